//! The program as a process: what a shop tells through the API reaches the carrier, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};
use trackbox_emulator::scenario::{Parcel, Step};

use crate::support::process::{World, pause, stop};

/// A code that stands nowhere by chance.
const CODE: &str = "SW1A 1AA";

async fn send(request: reqwest::RequestBuilder) -> Value {
    let request = request.timeout(Duration::from_secs(10));
    let answer = request.send().await.expect("is answered");
    let status = answer.status();
    let body: Value = answer.json().await.expect("is JSON");
    assert!(status.is_success(), "{status} {body}");
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_shop_tells_reaches_the_carrier_and_is_in_no_change_and_no_log() {
    let mut world = World::new(&[("CDEK", 0)]).await;
    world.set("LOG__FILTER", "debug".to_owned());
    let parcel = Parcel {
        carrier: "CDEK".to_owned(),
        track_number: "N1".to_owned(),
        step_seconds: 1,
        progress_prob: 0.0,
        postal_code: Some(CODE.to_owned()),
        steps: vec![
            Step::new("IN_TRANSIT", "ACCEPTED", "London"),
            Step::new("DELIVERED", "DELIVERED", "London"),
        ],
    };
    world.emulator.seed(vec![parcel]).expect("seeds");
    let child = world.start();
    world.wait_until_ready().await;
    let client = reqwest::Client::new();
    let api = &world.api;
    let item = json!({"carrierCode": "CDEK", "trackNumber": "N1", "postalCode": "sw1a 1aa"});
    let created = client
        .post(format!("{api}/trackings"))
        .json(&json!({"items": [item]}));
    let created = send(created).await;
    assert_eq!(created["trackings"][0]["postalCode"], CODE);
    world.wait_until_arrived(Duration::from_secs(60)).await;
    let shown = send(client.get(format!("{api}/trackings/1"))).await;
    assert_eq!(
        (&shown["postalCode"], &shown["status"]),
        (&json!(CODE), &json!("DELIVERED"))
    );
    let changes = send(client.get(format!("{api}/changes"))).await;
    let told = changes.to_string();
    assert!(told.contains("DELIVERED") && !told.contains(CODE), "{told}");
    let edited = client
        .patch(format!("{api}/trackings/1"))
        .json(&json!({"postalCode": null}));
    assert_eq!(send(edited).await["postalCode"], Value::Null);
    pause(Duration::from_millis(100)).await;
    stop(child, || world.log()).await;
    let log = world.log();
    assert!(log.contains("tracking"), "the log is there");
    for spelling in [CODE, "sw1a 1aa", "SW1A+1AA", "SW1A%201AA"] {
        assert!(!log.contains(spelling), "{spelling} is logged");
    }
}
