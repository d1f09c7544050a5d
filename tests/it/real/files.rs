//! A carrier that is nothing but a user's file, through the whole pipe.

use std::fs;

use serde_json::{Value, json};
use trackbox::model::status::Direction::*;
use trackbox::model::status::Status::*;

use super::{Case, URL, World, play_in};
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

fn answer(events: Value) -> Said {
    Said::ok(json!({"number": "n0", "events": events}).to_string())
}

#[tokio::test]
async fn a_parcel_of_a_users_own_file_travels_as_its_map_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("mine.toml"), FILE).expect("writes the file");
    let folder = folder.path().display().to_string();
    let world = World::new(&[
        ("ADAPTERS__FOLDER", &folder),
        ("CARRIERS__MINE__ADAPTER", "mine"),
        ("CARRIERS__MINE__BASE_URL", URL),
        ("CARRIERS__MINE__API_KEY", "k3y"),
        ("CARRIERS__MINE__PER_MINUTE", "0"),
    ])
    .await;
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
