//! In virtual time, against a carrier that gives tokens: one token for all workers, and few log-ins with a wrong secret.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use parking_lot::Mutex;
use serde_json::Value;
use tower::ServiceExt as _;
use tracing_subscriber::fmt::MakeWriter;
use trackbox::app;
use trackbox::app::parts::Parts;
use trackbox::carriers::routes::Routes;
use trackbox::carriers::{Answer, Asked, Carrier, CarrierError, Login, State, Step};
use trackbox::clock::Time;
use trackbox::config::Secret;
use trackbox::model::token::Token;
use trackbox::serving::flood::FloodGuard;
use trackbox::serving::health::ReadyChecks;
use trackbox_emulator::oauth::{Counts, OAuth};

use crate::support::engines::redis::PrivateRedis;
use crate::support::fixture::{code, read_all};
use crate::support::pipe::{Pipe, Setup};

const MINUTE: Duration = Duration::from_secs(60);
const SECRET: &str = "hunter2";

/// What the emulator's tokens begin with.
const TOKEN: &str = "tok-";

/// Everything that is logged, down to the last detail.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl Log {
    /// Logs what this test does until the guard is dropped.
    fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone());
        let guard = tracing::subscriber::set_default(subscriber.finish());
        (log, guard)
    }

    fn assert_without_secrets(&self) {
        let log = String::from_utf8_lossy(&self.0.lock()).into_owned();
        for secret in [SECRET, TOKEN] {
            let line = log.lines().find(|line| line.contains(secret));
            assert_eq!(line, None);
        }
    }
}

/// Two workers of one account, whose tokens live for `life_secs`.
fn setup(life_secs: u64, secret: &str) -> Setup {
    Setup {
        limits: vec![("CDEK", 120)],
        workers: 2,
        settings: vec![
            ("CARRIERS__CDEK__USER", "me".to_owned()),
            ("CARRIERS__CDEK__SECRET", secret.to_owned()),
        ],
        oauth: Some(OAuth {
            client: "me".to_owned(),
            secret: SECRET.to_owned(),
            life: Duration::from_secs(life_secs),
        }),
        ..Setup::default()
    }
}

fn counts(pipe: &Pipe) -> Counts {
    pipe.emulator.issued().counts()
}

/// The text of an answer of the API.
async fn api(pipe: &Pipe, method: Method, path: &str) -> String {
    let flood = FloodGuard::new(&pipe.parts.config.http);
    let router: Router = (app::serve::ROLE.router)(&pipe.parts, ReadyChecks::default(), flood);
    let request = Request::builder().method(method).uri(path);
    let request = request.body(Body::empty()).expect("a request");
    let response = router.oneshot(request).await.expect("answers");
    assert_eq!(response.status(), 200, "{path}");
    let body = to_bytes(response.into_body(), 1 << 20).await;
    String::from_utf8(body.expect("a body").to_vec()).expect("is text")
}

/// CDEK's account as `GET /carriers` shows it.
async fn shown(pipe: &Pipe) -> Value {
    let text = api(pipe, Method::GET, "/carriers").await;
    let body: Value = serde_json::from_str(&text).expect("is JSON");
    let mut carriers = body["carriers"].as_array().expect("a list").iter();
    let cdek = carriers.find(|carrier| carrier["account"] == "CDEK");
    cdek.expect("is listed").clone()
}

/// Ten minutes of two workers, with tokens of a minute.
async fn ten_minutes(setup: Setup) -> Pipe {
    let (log, _guard) = Log::start();
    let mut pipe = Pipe::new(setup).await;
    let rows = pipe.create_slow("CDEK", 60).await;
    pipe.run_for(MINUTE * 10).await;
    let counts = counts(&pipe);
    assert!((11..=13).contains(&counts.logins), "{counts:?}");
    assert!(counts.calls >= 500, "{counts:?}");
    pipe.assert_limits();
    let refused = (counts.expired, counts.unknown, counts.wrong);
    assert_eq!(refused, (0, 0, 0), "{counts:?}");
    for row in read_all(&pipe.parts.store, &rows).await {
        assert_eq!(row.last_error, "");
    }
    let metrics = pipe.parts.metrics.encode();
    let logins = format!(
        "trackbox_logins_total{{account=\"CDEK\",outcome=\"good\"}} {}",
        counts.logins
    );
    assert!(metrics.contains(&logins), "{metrics}");
    assert!(!metrics.contains(TOKEN) && !metrics.contains(SECRET));
    log.assert_without_secrets();
    pipe
}

#[tokio::test]
async fn two_workers_share_one_token_in_memory_and_never_call_with_an_expired_one() {
    ten_minutes(setup(60, SECRET)).await;
}

#[tokio::test]
async fn two_workers_share_one_token_in_redis_and_never_call_with_an_expired_one() {
    let redis = PrivateRedis::start();
    let mut setup = setup(60, SECRET);
    setup.settings.push(("REDIS__URL", redis.url()));
    let pipe = ten_minutes(setup).await;
    pipe.parts.redis.as_ref().expect("is used").close().await;
}

#[tokio::test]
async fn a_wrong_secret_is_tried_three_times_in_an_hour_and_six_times_a_day() {
    let (log, _guard) = Log::start();
    let mut pipe = Pipe::new(setup(3_600, "wr0ng")).await;
    let rows = pipe.create_slow("CDEK", 40).await;
    let mut wrong_by_hour = Vec::new();
    for _ in 0..24 {
        for _ in 0..12 {
            pipe.run_for(Duration::from_secs(2)).await;
            pipe.advance(MINUTE * 5 - Duration::from_secs(2));
        }
        wrong_by_hour.push(counts(&pipe).wrong);
    }
    assert_eq!(wrong_by_hour[0], 3, "{wrong_by_hour:?}");
    assert_eq!(wrong_by_hour[23], 6, "{wrong_by_hour:?}");
    let account = shown(&pipe).await;
    let reason = "cannot log in: the carrier refused our credentials: invalid_client";
    assert_eq!(account["pauseReason"], reason);
    assert!(account["pausedUntil"].is_string(), "{account}");
    for row in read_all(&pipe.parts.store, &rows).await {
        assert_eq!((row.check_fail_count, row.last_error.as_str()), (0, ""));
    }
    assert!(!account.to_string().contains("wr0ng"));
    log.assert_without_secrets();
    // At once after the pause was lifted. The carrier still forgives it: the first six were a day ago.
    pipe.advance(MINUTE * 60);
    api(&pipe, Method::DELETE, "/carriers/CDEK/pause").await;
    pipe.run_for(Duration::from_secs(5)).await;
    assert_eq!(counts(&pipe).wrong, 7);
}

#[tokio::test]
async fn a_new_secret_is_tried_at_once() {
    let mut pipe = Pipe::new(setup(3_600, "wr0ng")).await;
    let rows = pipe.create_slow("CDEK", 10).await;
    pipe.run_for(MINUTE * 40).await;
    assert_eq!((counts(&pipe).wrong, counts(&pipe).logins), (3, 0));
    let mut config = (*pipe.parts.config).clone();
    let cdek = config.carriers.get_mut("CDEK").expect("its section");
    cdek.secret = Secret::new(SECRET);
    let routes = Arc::new(Routes::new(&config).expect("is valid"));
    let restarted = Parts {
        routes,
        ..pipe.parts.clone()
    };
    pipe.workers = vec![app::work::scheduler(&restarted).expect("makes a worker")];
    pipe.run_for(Duration::from_secs(30)).await;
    assert_eq!((counts(&pipe).wrong, counts(&pipe).logins), (3, 1));
    assert_eq!(shown(&pipe).await["pausedUntil"], Value::Null);
    for row in read_all(&pipe.parts.store, &rows).await {
        assert!(row.last_ok_at.is_some(), "is checked");
    }
}

#[tokio::test]
async fn a_revoked_token_costs_one_login_and_fails_no_check() {
    let mut pipe = Pipe::new(setup(3_600, SECRET)).await;
    let rows = pipe.create_slow("CDEK", 60).await;
    pipe.run_for(MINUTE).await;
    assert_eq!(counts(&pipe).logins, 1);
    pipe.emulator.issued().revoke();
    pipe.run_for(MINUTE).await;
    let counts = counts(&pipe);
    assert_eq!(counts.logins, 2, "{counts:?}");
    assert!((1..=20).contains(&counts.unknown), "{counts:?}");
    assert_eq!(shown(&pipe).await["pausedUntil"], Value::Null);
    for row in read_all(&pipe.parts.store, &rows).await {
        assert_eq!(row.last_error, "");
    }
}

/// The emulator's adapter, whose token is always refused, or whose log-ins do not count as calls.
struct Other {
    emulator: Arc<dyn Carrier>,
    counts: bool,
    spoils: bool,
}

impl Carrier for Other {
    fn name(&self) -> &'static str {
        self.emulator.name()
    }

    fn start(&self, asked: &[Asked]) -> Step {
        self.emulator.start(asked)
    }

    fn resume(&self, state: State, answer: &Answer, now: Time) -> Result<Step, CarrierError> {
        self.emulator.resume(state, answer, now)
    }

    fn login(&self) -> Option<Login> {
        let login = self.emulator.login()?;
        let counts = self.counts;
        Some(Login { counts, ..login })
    }

    fn read_token(&self, login: &Login, answer: &Answer, now: Time) -> Result<Token, CarrierError> {
        let token = self.emulator.read_token(login, answer, now)?;
        let spoilt = Token::new("spoilt", now, token.life()).filter(|_| self.spoils);
        Ok(spoilt.unwrap_or(token))
    }
}

/// Workers that ask CDEK through [`Other`].
async fn with_other(setup: Setup, counts: bool, spoils: bool) -> Pipe {
    let mut pipe = Pipe::new(setup).await;
    let route = pipe.parts.routes.resolve(&code("CDEK")).expect("is routed");
    let emulator = Arc::clone(&route.adapter);
    let other: Arc<dyn Carrier> = Arc::new(Other {
        emulator,
        counts,
        spoils,
    });
    let routes = Routes::new(&pipe.parts.config).expect("is valid");
    let routes = Arc::new(routes.with_adapter(&code("CDEK"), other));
    pipe.parts.routes = routes;
    for worker in &mut pipe.workers {
        *worker = app::work::scheduler(&pipe.parts).expect("makes a worker");
    }
    pipe
}

#[tokio::test]
async fn a_token_that_has_ended_already_pauses_the_account() {
    let mut pipe = Pipe::new(setup(0, SECRET)).await;
    pipe.create_slow("CDEK", 40).await;
    pipe.run_for(Duration::from_secs(30)).await;
    let reason = "cannot log in: the carrier's answer is unreadable: its token has ended already";
    assert_eq!(shown(&pipe).await["pauseReason"], reason);
    assert!(counts(&pipe).logins <= 2, "{:?}", counts(&pipe));
    assert_eq!(counts(&pipe).expired, 0);
}

#[tokio::test]
async fn a_token_that_is_refused_again_pauses_the_account() {
    let mut pipe = with_other(setup(3_600, SECRET), true, true).await;
    pipe.create_slow("CDEK", 40).await;
    pipe.run_for(Duration::from_secs(30)).await;
    let account = shown(&pipe).await;
    assert!(account["pausedUntil"].is_string(), "{account}");
    let reason = "the carrier refused our credentials: the token is not known";
    assert_eq!(account["pauseReason"], reason);
    // One log-in for the first token, one for the second, and one or two for calls that were under way.
    assert!(counts(&pipe).logins <= 4, "{:?}", counts(&pipe));
}

#[tokio::test]
async fn logins_that_do_not_count_as_calls_are_ten_an_hour_at_most() {
    let mut pipe = with_other(setup(60, SECRET), false, false).await;
    pipe.create_slow("CDEK", 20).await;
    let mut logins = Vec::new();
    for _ in 0..120 {
        pipe.run_for(MINUTE).await;
        logins.push(counts(&pipe).logins);
    }
    for (place, sum) in logins.iter().enumerate().skip(60) {
        let within = sum - logins[place - 60];
        assert!(within <= 10, "{within} in the hour before minute {place}");
    }
    assert!(logins[59] >= 8, "they are used: {logins:?}");
    assert_eq!(counts(&pipe).expired, 0);
}
