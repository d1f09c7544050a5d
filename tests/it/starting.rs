//! The program started before its engines: it waits for engines that may come, and ends with the reason if waiting cannot
//! help.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use sea_orm::ConnectionTrait as _;
use tempfile::tempdir;
use tokio::net::TcpListener;
use trackbox::store::{Connections, WholeStore};

use crate::support::engines::free_port;
use crate::support::engines::postgres::{PASSWORD, PrivatePostgres};
use crate::support::fixture::{postgres, postgres_server};
use crate::support::fleet::Fleet;
use crate::support::process::{World, pause, stop};
use crate::support::truth;

/// How long a process may take until it listens.
const LISTENS_WITHIN: Duration = Duration::from_secs(5);

/// How long a process that cannot work may take to end.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// What a process logs while it waits for its database.
const WAITS: &str = "connecting to the database fails, retrying";

/// Asks until something listens, and returns the first answer.
async fn first_answer(url: &str) -> Response {
    let asking = async {
        loop {
            match reqwest::get(url).await {
                Ok(answer) => return answer,
                Err(_) => pause(Duration::from_millis(20)).await,
            }
        }
    };
    let asked = tokio::time::timeout(LISTENS_WITHIN, asking).await;
    asked.expect("listens soon")
}

/// Asserts that a process lives, is not ready, and answers at once that its database is missing.
async fn assert_answers_without_a_database(api: &str) {
    let alive = first_answer(&format!("{api}/healthz")).await;
    assert_eq!(alive.status(), StatusCode::OK);
    for (path, detail) in [
        ("readyz", "not ready: missing database"),
        ("trackings/1/events", "the database is not available"),
    ] {
        let asking = reqwest::get(format!("{api}/{path}"));
        let answer = tokio::time::timeout(Duration::from_secs(1), asking).await;
        let answer = answer.expect("answers at once").expect("answers");
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers()["retry-after"], "2");
        let problem: serde_json::Value = answer.json().await.expect("is JSON");
        assert_eq!(problem["detail"], detail, "{problem}");
    }
}

/// Waits until the log holds `words` `times` times.
async fn wait_for_log(world: &World, words: &str, times: usize) {
    let logged = async {
        while world.log().matches(words).count() < times {
            pause(Duration::from_millis(50)).await;
        }
    };
    let logged = tokio::time::timeout(Duration::from_secs(20), logged).await;
    assert!(logged.is_ok(), "{words}\n{}", world.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_started_before_their_engines_wait_for_them_and_then_work() {
    let limits = [("CDEK", 600)];
    let mut fleet = Fleet::new(&limits, "emulator").await;
    fleet.world.create("CDEK", 20, 3).await;
    fleet.postgres.crash();
    fleet.kafka.kill();
    fleet.redis.kill();
    fleet.start_serve("serve-1");
    fleet.start("work-1", &[]);
    fleet.start("consume-1", &[]);
    assert_answers_without_a_database(&fleet.apis[0]).await;
    wait_for_log(&fleet.world, WAITS, 3).await;

    fleet.postgres.start_again();
    let works = "connecting to the database works again";
    wait_for_log(&fleet.world, works, 3).await;
    let read = async {
        let url = format!("{}/trackings/1/events", fleet.apis[0]);
        while first_answer(&url).await.status() != StatusCode::OK {
            pause(Duration::from_millis(50)).await;
        }
    };
    let read = tokio::time::timeout(Duration::from_secs(20), read).await;
    assert!(read.is_ok(), "the API needs no other engine");
    fleet.redis.start_again();
    fleet.kafka.start_again();
    let arrived = fleet.world.wait_until_arrived(Duration::from_secs(120));
    arrived.await;
    truth::assert_limits(&fleet.world.emulator);
    let (world, _postgres) = fleet.stop().await;
    world.assert_truth().await;
}

/// A world whose database is at `url`.
async fn world_on(url: String) -> World {
    let folder = tempdir().expect("a temporary folder");
    World::with(folder, url, &[("CDEK", 600)], "emulator").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_while_it_waits_for_a_database_it_ends_cleanly() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let silent_port = silent.local_addr().expect("has an address").port();
    for port in [free_port(), silent_port] {
        let world = world_on(format!("postgres://trackbox@localhost:{port}/none")).await;
        let child = world.start();
        assert_answers_without_a_database(&world.api).await;
        wait_for_log(&world, WAITS, 1).await;
        stop(child, || world.log()).await;
    }
}

/// Asserts that the program ends soon, and says why.
async fn assert_ends(world: &World, why: &str) {
    let mut child = world.start_role("serve");
    let ended = tokio::time::timeout(ENDS_WITHIN, child.wait()).await;
    let log = world.log();
    let ended = ended.unwrap_or_else(|_| panic!("waits for {why}\n{log}"));
    assert!(!ended.expect("is waited for").success());
    assert!(log.contains("error: ") && log.contains(why), "{log}");
    assert!(!log.contains("hunter"), "{log}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waiting_cannot_mend_ends_the_process_with_the_reason() {
    let (encrypted, _certificate) = PrivatePostgres::start_encrypted();
    let server = |password| encrypted.server(Some(password));
    let (known, unknown) = (server(PASSWORD), server("hunter3"));
    for (url, why) in [
        (
            "mysql://me:hunter4@localhost/db".to_owned(),
            "which is neither SQLite nor PostgreSQL",
        ),
        (
            format!("{unknown}/postgres?sslmode=require"),
            "password authentication failed",
        ),
        (format!("{known}/postgres?sslmode=disable"), "pg_hba.conf"),
        (
            format!("{known}/postgres?sslmode=verify-full"),
            "certificate",
        ),
        (
            format!("{known}/elsewhere?sslmode=require"),
            "database \"elsewhere\" does not exist",
        ),
    ] {
        assert_ends(&world_on(url).await, why).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_other_tables_than_the_programs_ends_the_process() {
    let made = postgres(&postgres_server()).await;
    made.store.close().await;
    let judge = sea_orm::Database::connect(&made.url).await;
    let judge = judge.expect("connects");
    let changed = "UPDATE _sqlx_migrations SET checksum = 'x' WHERE version = 1";
    judge.execute_unprepared(changed).await.expect("updates");
    judge.close().await.expect("closes");
    assert_ends(&world_on(made.url).await, "migration 1").await;
}

#[tokio::test]
async fn a_broken_or_missing_server_may_come_back_and_a_refusal_may_not() {
    let connections = Connections::default();
    let away = format!("postgres://me@localhost:{}/db", free_port());
    for (url, may_pass) in [
        (away.as_str(), true),
        ("postgres://me@no.such.host.invalid/db", true),
        ("sqlite:///dev/null/no/folder", false),
        ("http://localhost", false),
    ] {
        let error = WholeStore::open(url, connections.clone()).await;
        let error = error.expect_err("cannot be opened");
        assert_eq!(error.may_pass(), may_pass, "{error:?}");
    }
}
