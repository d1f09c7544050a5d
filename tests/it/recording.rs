//! `trackbox carriers record`: an answer is kept without personal data, so that `trackbox carriers test` reads it.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use trackbox::commands::{ask, carriers};
use trackbox::config::{CarrierSection, Config, Secret, SecretUrl};
use trackbox::model::TrackNumber;

use crate::support::engines::install_tls;
use crate::support::fixture::code;

const NUMBER: &str = "1Z12345E0205271688";

/// The configuration of an account at a server that gives a token, and answers with this status and body.
async fn account(status: u16, body: String) -> Config {
    install_tls();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("has an address");
    let status = axum::http::StatusCode::from_u16(status).expect("is a status");
    let answer = move || async move { (status, body).into_response() };
    let token = || async { r#"{"access_token":"t0ken-of-the-account","expires_in":"14399"}"# };
    let server = Router::new()
        .route("/security/v1/oauth/token", post(token))
        .route("/api/track/v1/details/{number}", get(answer));
    tokio::spawn(async move { axum::serve(listener, server).await });
    let section = CarrierSection {
        adapter: "ups".to_owned(),
        base_url: SecretUrl::new(format!("http://{address}/")),
        user: "us3r-name".to_owned(),
        secret: Secret::new("s3cret-word"),
        time_zone: chrono_tz::Europe::Berlin,
        ..CarrierSection::default()
    };
    let mut config = Config::default();
    config.carriers.insert("UPS".to_owned(), section);
    config
}

/// The text of a file, and as JSON.
fn text(folder: &Path, name: &str) -> (String, Value) {
    let text = fs::read_to_string(folder.join(name)).expect("is written");
    let value = serde_json::from_str(&text).expect("is JSON");
    (text, value)
}

#[tokio::test]
async fn a_recorded_answer_has_no_personal_data_and_is_read_as_the_whole_one() {
    let body = json!({"trackResponse": {"shipment": [{"inquiryNumber": NUMBER, "package": [{
        "trackingNumber": NUMBER,
        "activity": [{
            "location": {"address": {"city": "Essen", "countryCode": "DE", "addressLine1": "Am Weg 5"}},
            "status": {"type": "D", "code": "FS", "statusCode": "011", "description": "Delivered"},
            "date": "20261120", "time": "093041",
        }],
        "deliveryInformation": {"receivedBy": "ANN MUSTER", "location": "Front Door", "phone": "+49 151 2345678"},
        "packageAddress": [{"type": "DESTINATION", "name": "Ann Muster", "address": {"city": "Essen"}}],
        "note": "ask ann@mail.example or +49 151 2345678 as us3r-name with s3cret-word and t0ken-of-the-account",
    }]}]}});
    let config = account(200, body.to_string()).await;
    let folder = tempfile::tempdir().expect("makes a folder");
    let number = TrackNumber::parse(NUMBER).expect("is a number");
    for _ in 0..2 {
        let recorded = ask::record(&config, code("UPS"), &number, &[], folder.path()).await;
        recorded.expect("is recorded");
    }
    let (text, answer) = text(folder.path(), "recorded_seen_1.json");
    for personal in [
        "Weg", "ANN", "Ann", "ann@", "2345678", "us3r", "s3cret", "t0ken",
    ] {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
    let package = &answer["trackResponse"]["shipment"][0]["package"][0];
    assert_eq!(
        package["activity"][0]["location"]["address"]["city"],
        "Essen"
    );
    assert_eq!(package["deliveryInformation"]["location"], "Front Door");
    let note = "ask BLANKED or BLANKED as BLANKED with BLANKED and BLANKED";
    assert_eq!(package["note"], note);
    let (_, given) = self::text(folder.path(), "recorded_seen_1.given.json");
    assert_eq!(given["numbers"], json!([NUMBER]));
    assert_eq!(given["zone"], "Europe/Berlin");
    assert!(
        given["source"]
            .as_str()
            .is_some_and(|it| it.starts_with("recorded 20"))
    );

    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("carriers/ups.toml");
    let test = |write| carriers::test(&file, Some(folder.path()), write);
    test(true).expect("is read");
    test(false).expect("is read as before");
    let read = fs::read_to_string(folder.path().join("recorded_seen_2.snap")).expect("is written");
    assert!(
        read.contains("\"eventTime\": \"2026-11-20T08:30:41Z\""),
        "{read}"
    );
    assert!(read.contains("\"status\": \"DELIVERED\""), "{read}");
}

#[tokio::test]
async fn an_answer_that_is_an_error_is_recorded_with_its_status() {
    let body = r#"{"response":{"errors":[{"code":"TW0001","message":"Not found"}]}}"#;
    let config = account(404, body.to_owned()).await;
    let folder = tempfile::tempdir().expect("makes a folder");
    let number = TrackNumber::parse(NUMBER).expect("is a number");
    let recorded = ask::record(&config, code("UPS"), &number, &[], folder.path()).await;
    recorded.expect("is recorded");
    let (_, given) = text(folder.path(), "recorded_not_found_1.given.json");
    assert_eq!(given["http"], 404);
    let missing = folder.path().join("missing");
    let refused = ask::record(&config, code("UPS"), &number, &[], &missing).await;
    let error = refused.expect_err("there is no folder").to_string();
    assert!(error.starts_with("there is no folder"), "{error}");
}
