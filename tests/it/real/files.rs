//! A carrier that is nothing but a user's file, through the whole pipe.

use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use trackbox::model::shown::Shown;
use trackbox::model::status::Direction::*;
use trackbox::model::status::Status::*;

use super::{Case, URL, World, play_in};
use crate::support::fixture::{code, number};
use crate::support::scripted::Said;

const FILE: &str = r#"
name = "mine"
title = "A carrier of the user's own"
version = 1
source = "invented"
terms = "none"
[request]
path = "/track"
query = { code = "{number}", key = "{key}" }
[item]
not_found = { http = 404, path = "error", is = "no such parcel" }
words = "error"
number = "number"
events = "events"
[facts]
expected_to = { path = "due", zone = "Europe/Berlin" }
signed_by = "signed"
pieces = "pieces"
[event]
taken_back = { path = "deleted", is = true }
code = "code"
reason = "reason"
raw = "code"
time = { path = "at", zone = "Europe/Berlin" }
[map]
IN = "IN_TRANSIT"
DONE = "DELIVERED"
NO = "ATTEMPT_FAILED"
NOTE = "keep"
[map.pair]
"NO/23" = "RETURNING_STORAGE_EXPIRED <"
"#;

/// A world whose carrier MINE is this file, read from `folder`.
async fn world(folder: &TempDir, further: &[(&'static str, &str)]) -> World {
    fs::write(folder.path().join("mine.toml"), FILE).expect("writes the file");
    let folder = folder.path().display().to_string();
    let mut settings = vec![
        ("ADAPTERS__FOLDER", folder.as_str()),
        ("CARRIERS__MINE__ADAPTER", "mine"),
        ("CARRIERS__MINE__BASE_URL", URL),
        ("CARRIERS__MINE__API_KEY", "k3y"),
        ("CARRIERS__MINE__PER_MINUTE", "0"),
    ];
    settings.extend(further);
    World::new(&settings).await
}

fn answer(events: Value) -> Said {
    Said::ok(json!({"number": "n0", "events": events}).to_string())
}

#[tokio::test]
async fn a_parcel_of_a_users_own_file_travels_as_its_map_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let world = world(&folder, &[]).await;
    let event =
        |code: &str, day: u32| json!({"code": code, "at": format!("2026-11-{day} 10:00:00")});
    let scan = event("IN", 20);
    let note = event("NOTE", 21);
    let mut mistake = event("DONE", 22);
    mistake["deleted"] = true.into();
    let mut back = event("NO", 24);
    back["reason"] = 23.into();
    let unknown = Said {
        status: 404,
        ..Said::ok(r#"{"error":"no such parcel"}"#)
    };
    let case = Case {
        adapter: "MINE",
        name: "a file".to_owned(),
        answers: vec![
            (unknown, Pending, Forward),
            (answer(json!([scan])), InTransit, Forward),
            (answer(json!([mistake, note, scan])), InTransit, Forward),
            (
                answer(json!([back, mistake, note, scan])),
                Returning,
                Return,
            ),
            (
                answer(json!([event("DONE", 26), back, mistake, note, scan])),
                Returned,
                Return,
            ),
        ],
    };
    play_in(world, vec![case]).await;
}

#[tokio::test]
async fn what_the_answer_says_beside_its_events_travels_too_and_a_name_only_if_it_may() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (in_messages, signed) in [("false", json!(null)), ("true", json!("Ivanov"))] {
        let mut world = world(&folder, &[("FACTS__IN_MESSAGES", in_messages)]).await;
        let body = json!({
            "number": "n0", "events": [{"code": "DONE", "at": "2026-11-22 10:00:00"}],
            "due": "2026-11-22 18:00", "signed": "Ivanov", "pieces": 2,
        });
        world.script.say("N0", Said::ok(body.to_string()));
        let row = world
            .create(&[(code("MINE"), number("N0"))])
            .await
            .remove(0);
        world.pipe.run_for(Duration::from_secs(3)).await;
        let row = world.row(row.id).await;
        let fields = Shown::of(&row).fields;
        let shown = [b"{\"id\":1", &*fields, b"}"].concat();
        let shown: Value = serde_json::from_slice(&shown).expect("is JSON");
        let expected = json!({
            "expectedFrom": null, "expectedTo": "2026-11-22T17:00:00Z", "signedBy": signed, "pieces": 2,
            "service": null, "origin": null, "destination": null, "numbers": [],
        });
        assert_eq!(shown["facts"], expected);
    }
}
