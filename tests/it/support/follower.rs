//! A program that follows the changes by their cursor all the time, and checks that they add up to what is.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database, Statement};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use trackbox::model::tenant::Tenant;
use trackbox::store::search::Count;

use crate::support::process::{World, pause};

/// The changes of the default tenant in the order in which they were told through the APIs in turn, from the first until
/// there are no more after `stop`.
pub async fn follow(apis: Vec<String>, stop: CancellationToken) -> Vec<Value> {
    let client = reqwest::Client::new();
    let (mut told, mut cursor) = (Vec::new(), String::new());
    for api in apis.iter().cycle() {
        let is_last = stop.is_cancelled();
        let request = client.get(format!("{api}/changes?limit=500&wait=2&after={cursor}"));
        let answer = request.timeout(Duration::from_secs(10)).send().await;
        let page: Option<Value> = match answer {
            Ok(answer) => {
                let status = answer.status();
                assert_ne!(status.as_u16(), 410, "the cursor was refused");
                answer.json().await.ok().filter(|_| status.is_success())
            }
            Err(_) => None,
        };
        // Between a kill and the next start there is no answer.
        let Some(page) = page else {
            pause(Duration::from_millis(50)).await;
            continue;
        };
        let changes = page["changes"].as_array().expect("a list");
        if is_last && changes.is_empty() {
            break;
        }
        page["cursor"]
            .as_str()
            .expect("a text")
            .clone_into(&mut cursor);
        told.extend(changes.iter().cloned());
    }
    told
}

/// What a reader knows of a parcel who knows only what it was told.
#[derive(Default)]
struct Folded {
    change_seq: i64,
    status: String,
    sub_status: String,
    events: HashSet<String>,
    events_total: u64,
}

impl Folded {
    fn first(data: &Value) -> Self {
        Self {
            change_seq: data["changeSeq"].as_i64().expect("a number"),
            status: data["status"].to_string(),
            sub_status: data["subStatus"].to_string(),
            ..Self::default()
        }
    }

    fn goes_on(&mut self, data: &Value) {
        let id = &data["trackingId"];
        self.change_seq += 1;
        assert_eq!(data["changeSeq"], self.change_seq, "a gap in {id}");
        let was = (
            data["previous"]["status"].to_string(),
            data["previous"]["subStatus"].to_string(),
        );
        assert_eq!(was.0, self.status, "what {id} was before");
        assert_eq!(was.1, self.sub_status, "what {id} was before");
        self.status = data["status"].to_string();
        self.sub_status = data["subStatus"].to_string();
        self.events_total += data["eventsTotal"].as_u64().expect("a number");
        for event in data["events"].as_array().expect("a list") {
            let event = event["id"].to_string();
            assert!(self.events.insert(event), "an event of {id} was told twice");
        }
    }
}

/// Asserts that the changes, folded, are what the store has: each parcel's number, status and events, and the counts.
pub async fn assert_adds_up(told: &[Value], world: &World) {
    let store = world.store().await;
    let mut parcels: HashMap<i64, Folded> = HashMap::new();
    let mut ids = HashSet::new();
    for change in told {
        assert!(ids.insert(change["id"].to_string()), "told twice: {change}");
        let data = &change["data"];
        let id = data["trackingId"].as_str().expect("a text").parse();
        let id: i64 = id.expect("a number");
        match change["type"].as_str().expect("a text") {
            "tracking.created" => {
                let before = parcels.insert(id, Folded::first(data));
                assert!(before.is_none(), "{id} was created twice");
            }
            "tracking.updated" => {
                let parcel = parcels.get_mut(&id);
                parcel.expect("was created before").goes_on(data);
            }
            other => panic!("nobody did {other}"),
        }
    }
    let rows = store.trackings_after(0, 1_000_000).await.expect("reads");
    assert_eq!(rows.len(), parcels.len());
    let mut events = events_by_parcel(&world.store_url).await;
    let mut counts: BTreeMap<(String, &str), i64> = BTreeMap::new();
    for row in &rows {
        let parcel = &parcels[&row.id];
        assert_eq!(parcel.change_seq, row.change_seq, "{}", row.id);
        let text = |word: Option<&str>| serde_json::to_string(&word).expect("is JSON");
        assert_eq!(parcel.status, text(Some(row.status.as_str())), "{}", row.id);
        let sub_status = row.sub_status.map(|word| word.to_string());
        assert_eq!(parcel.sub_status, text(sub_status.as_deref()), "{}", row.id);
        let known = events.remove(&row.id).unwrap_or_default();
        assert_eq!(parcel.events_total, known.len() as u64, "{}", row.id);
        assert!(parcel.events.is_subset(&known), "{}", row.id);
        let kind = (row.carrier_code.as_str().to_owned(), row.status.as_str());
        *counts.entry(kind).or_default() += 1;
    }
    let counted = store.parcel_counts(Tenant::DEFAULT).await.expect("reads");
    let kind = |it: Count| ((it.carrier_code, it.status.as_str()), it.n);
    let counted: BTreeMap<(String, &str), i64> = counted.into_iter().map(kind).collect();
    assert_eq!(counted, counts);
    store.close().await;
}

/// The ids of all events as JSON has them, by tracking.
async fn events_by_parcel(url: &str) -> HashMap<i64, HashSet<String>> {
    let judge = Database::connect(url).await.expect("connects");
    let sql = "SELECT tracking_id, id FROM tracking_events WHERE NOT stated";
    let select = Statement::from_string(judge.get_database_backend(), sql);
    let mut events: HashMap<i64, HashSet<String>> = HashMap::new();
    for row in judge.query_all_raw(select).await.expect("reads") {
        let get = |name: &str| row.try_get::<i64>("", name).expect("is a number");
        let of_parcel = events.entry(get("tracking_id")).or_default();
        of_parcel.insert(format!("\"{}\"", get("id")));
    }
    judge.close().await.expect("closes");
    events
}
