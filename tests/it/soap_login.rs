//! In virtual time, against a double of DPD, whose token stands in the body: two workers share one, and a refused one is replaced.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use trackbox::model::status::Status;
use trackbox::model::tenant::Tenant;

use crate::support::fixture::{code, number, read_all};
use crate::support::pipe::{Pipe, Setup};

/// The double's log-ins, the token that it takes, and when that ends.
struct Book {
    log_ins: u32,
    token: String,
    ends_at: DateTime<Utc>,
    refused: u32,
}

type Shared = Arc<Mutex<Book>>;

fn soap(inner: &str) -> String {
    let open = "<soap:Envelope xmlns:soap='http://schemas.xmlsoap.org/soap/envelope/'><soap:Body>";
    format!("{open}{inner}</soap:Body></soap:Envelope>")
}

async fn log_in(State(book): State<Shared>, body: String) -> String {
    assert!(body.contains("<password>hunter2</password>"), "{body}");
    let mut book = book.lock();
    book.log_ins += 1;
    book.token = format!("t0k<en{}", book.log_ins);
    let token = book.token.replace('<', "&lt;");
    // As DPD writes it: local, without an offset.
    let ends = book.ends_at.with_timezone(&chrono_tz::Europe::Amsterdam);
    let ends = ends.format("%Y-%m-%dT%H:%M:%S%.3f");
    soap(&format!(
        "<getAuthResponse><return><authToken>{token}</authToken><authTokenExpires>{ends}</authTokenExpires></return></getAuthResponse>"
    ))
}

async fn track(State(book): State<Shared>, body: String) -> (StatusCode, String) {
    let mut book = book.lock();
    let token = book.token.replace('<', "&lt;");
    if !body.contains(&format!("<authToken>{token}</authToken>")) {
        book.refused += 1;
        let fault = "<errorCode>DELICOM_ERR_AUTHENTICATION</errorCode><errorMessage>check it</errorMessage>";
        let fault = format!("<detail><authenticationFault>{fault}</authenticationFault></detail>");
        return (
            StatusCode::INTERNAL_SERVER_ERROR,
            soap(&format!("<Fault>{fault}</Fault>")),
        );
    }
    let step = "<status>Courier</status><statusHasBeenReached>true</statusHasBeenReached>\
                <date><content>11/19/2026 7:34:34 AM</content></date>";
    let result = format!("<trackingresult><statusInfo>{step}</statusInfo></trackingresult>");
    (
        StatusCode::OK,
        soap(&format!(
            "<getTrackingDataResponse>{result}</getTrackingDataResponse>"
        )),
    )
}

#[tokio::test]
async fn a_token_in_the_body_is_shared_and_one_that_was_refused_is_replaced() {
    let book = Arc::new(Mutex::new(Book {
        log_ins: 0,
        token: String::new(),
        ends_at: crate::support::time::at(86_400),
        refused: 0,
    }));
    let router = Router::new()
        .route("/soap/services/LoginService/V2_1", post(log_in))
        .route("/soap/services/ParcelLifeCycleService/V2_0", post(track))
        .with_state(Arc::clone(&book));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("has an address"));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let mut pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 0)],
        workers: 2,
        settings: vec![
            ("CARRIERS__CDEK__ADAPTER", "dpd".to_owned()),
            ("CARRIERS__CDEK__BASE_URL", url),
            (
                "CARRIERS__CDEK__LIMITS",
                "{ calls = 1200, per = \"1m\" }".to_owned(),
            ),
            ("CARRIERS__CDEK__USER", "KD1".to_owned()),
            ("CARRIERS__CDEK__SECRET", "hunter2".to_owned()),
        ],
        ..Setup::default()
    })
    .await;
    let pairs: Vec<_> = (0..20)
        .map(|n| (code("CDEK"), number(&format!("0530880141{n:04}"))))
        .collect();
    let now = pipe.clock.now();
    let creating = pipe
        .parts
        .current
        .create_or_get(Tenant::DEFAULT, &pairs, now);
    let rows = creating.await.expect("creates");
    pipe.run_for(Duration::from_secs(20)).await;
    let all_out = read_all(&pipe.parts.store, &rows).await;
    for row in &all_out {
        assert_eq!(row.status, Status::OutForDelivery, "{}", row.last_error);
    }
    let counts = || {
        let book = book.lock();
        (book.log_ins, book.refused)
    };
    assert_eq!(counts(), (1, 0));
    // The carrier forgets the token before its time.
    book.lock().token = "another".to_owned();
    pipe.run_for(Duration::from_secs(20)).await;
    let (log_ins, refused) = counts();
    assert_eq!(log_ins, 2);
    assert!((1..=4).contains(&refused), "{refused}");
    server.abort();
}
