//! A user of the HTTP API that reads all the time, and checks that nothing goes back.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::support::process::pause;

/// Reads `ids` through the APIs in turn until `stop`; returns how often an API answered.
///
/// # Panics
/// If the version of a parcel, the time of its check or its last status goes back.
pub async fn read_all_along(apis: Vec<String>, ids: Vec<i64>, stop: CancellationToken) -> u64 {
    let client = reqwest::Client::new();
    let mut seen = HashMap::new();
    let mut reads = 0;
    for api in apis.iter().cycle() {
        if stop.is_cancelled() {
            break;
        }
        let request = client
            .post(format!("{api}/trackings/get-by-ids"))
            .json(&json!({"ids": ids}));
        let answer = request.timeout(Duration::from_secs(5)).send().await;
        let body: Option<Value> = match answer {
            Ok(answer) if answer.status().is_success() => answer.json().await.ok(),
            // Between a kill and the next start there is no answer.
            Ok(_) | Err(_) => None,
        };
        let rows = body.iter().flat_map(|body| body["trackings"].as_array());
        for row in rows.flatten() {
            let id = row["id"].as_str().expect("an id").to_owned();
            let now = State::of(row);
            if let Some(before) = seen.insert(id.clone(), now.clone()) {
                assert_goes_on(&id, &before, &now);
            }
        }
        reads += u64::from(body.is_some());
        pause(Duration::from_millis(50)).await;
    }
    reads
}

/// What must not go back.
#[derive(Clone, PartialEq, Eq)]
struct State {
    version: i64,
    checked_at: String,
    terminal: bool,
}

impl State {
    fn of(row: &Value) -> Self {
        let status = row["status"].as_str().expect("a status");
        Self {
            version: row["version"].as_i64().expect("a version"),
            checked_at: row["lastCheckedAt"].as_str().unwrap_or_default().to_owned(),
            terminal: matches!(status, "DELIVERED" | "RETURNED" | "CANCELLED" | "EXPIRED"),
        }
    }
}

fn assert_goes_on(id: &str, before: &State, now: &State) {
    assert!(
        before.version <= now.version,
        "{id} went from version {} to {}",
        before.version,
        now.version
    );
    assert!(
        time_key(&before.checked_at) <= time_key(&now.checked_at),
        "{id} was checked at {}, then at {}",
        before.checked_at,
        now.checked_at
    );
    assert!(
        !before.terminal || now.terminal,
        "{id} left its last status"
    );
    assert!(
        before.version < now.version || before == now,
        "{id} changed without a new version"
    );
}

/// RFC 3339 with Z and a fraction of any length, as a key that sorts by time.
fn time_key(text: &str) -> (String, String) {
    let text = text.trim_end_matches('Z');
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    (whole.to_owned(), fraction.to_owned())
}
