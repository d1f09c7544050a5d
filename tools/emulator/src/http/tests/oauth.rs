//! Log-ins, and calls with and without a token.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, StatusCode};
use serde_json::Value;

use super::World;
use crate::oauth::{Counts, OAuth};
use crate::options::{Options, Progress};

fn world() -> World {
    World::with(Options {
        progress: Progress::Clock,
        oauth: Some(OAuth {
            client: "me".to_owned(),
            secret: "hunter2".to_owned(),
            life: Duration::from_secs(60),
        }),
        ..Options::default()
    })
}

async fn log_in(world: &World, secret: &str) -> (StatusCode, Value) {
    let form = format!("grant_type=client_credentials&client_id=me&client_secret={secret}");
    let request = Request::post("/v1/oauth/token")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form));
    world.call(request.expect("a request")).await
}

async fn ask(world: &World, token: &str) -> StatusCode {
    let request = Request::get("/v1/tracking/CDEK/1").header("authorization", token);
    let request = request.body(Body::empty()).expect("a request");
    world.call(request).await.0
}

#[tokio::test]
async fn a_call_needs_a_token_that_has_not_expired() {
    let world = world();
    let (status, body) = log_in(&world, "hunter2").await;
    assert_eq!((status, &body["expires_in"]), (StatusCode::OK, &60.into()));
    let token = format!("Bearer {}", body["access_token"].as_str().expect("a token"));
    world.advance(59);
    assert_eq!(ask(&world, &token).await, StatusCode::OK);
    world.advance(1);
    assert_eq!(ask(&world, &token).await, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&world, "Bearer x").await, StatusCode::UNAUTHORIZED);
    let counts = Counts {
        logins: 1,
        calls: 1,
        expired: 1,
        unknown: 1,
        ..Counts::default()
    };
    assert_eq!(world.emulator.issued().counts(), counts);
}

#[tokio::test]
async fn after_seven_wrong_secrets_in_a_day_the_right_one_is_refused_too() {
    let world = world();
    for _ in 0..7 {
        let (status, body) = log_in(&world, "wrong").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(body["error"], "invalid_client");
    }
    assert_eq!(log_in(&world, "hunter2").await.0, StatusCode::FORBIDDEN);
    world.advance(86_400);
    assert_eq!(log_in(&world, "hunter2").await.0, StatusCode::OK);
}
