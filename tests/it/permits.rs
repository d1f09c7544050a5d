//! In virtual time: calls are taken in one way, counted for the right day, and one account's trouble is its own.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, Database};
use trackbox::app;
use trackbox::carriers::routes::Routes;
use trackbox::carriers::{Answer, Asked, Carrier, CarrierError, State, Step};
use trackbox::clock::Time;

use crate::support::fixture::{code, read_all};
use crate::support::pipe::{Pipe, Setup};

/// Asks the emulator twice for each check.
struct TwoSteps(Arc<dyn Carrier>);

impl Carrier for TwoSteps {
    fn name(&self) -> &'static str {
        "two-steps"
    }

    fn start(&self, asked: &[Asked]) -> Step {
        self.0.start(asked)
    }

    fn resume(&self, state: State, answer: &Answer, now: Time) -> Result<Step, CarrierError> {
        if state.stage > 0 {
            return self.0.resume(state, answer, now);
        }
        let Step::Send(request, state) = self.0.start(&state.asked) else {
            panic!("the emulator needs a request");
        };
        Ok(Step::Send(request, State { stage: 1, ..state }))
    }
}

#[tokio::test]
async fn second_steps_of_checks_wait_for_their_slot_and_count_for_the_day() {
    let mut pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 60)],
        settings: vec![
            ("CARRIERS__CDEK__PER_DAY", "70".to_owned()),
            ("WORK__LEASE", "60s".to_owned()),
        ],
        ..Setup::default()
    })
    .await;
    let routes = Routes::new(&pipe.parts.config).expect("routes");
    let route = routes.resolve(&code("CDEK")).expect("a route");
    let adapter = Arc::new(TwoSteps(Arc::clone(&route.adapter)));
    pipe.parts.routes = Arc::new(routes.with_adapter(&code("CDEK"), adapter));
    pipe.workers = vec![app::work::scheduler(&pipe.parts).expect("makes a worker")];
    // Shortly before midnight, so that the day's calls are spread over ten minutes.
    pipe.advance(Duration::from_secs(12 * 3_600 - 605));
    let rows = pipe.create_slow("CDEK", 60).await;
    pipe.run_for(Duration::from_secs(600)).await;
    let calls = pipe.calls("CDEK");
    assert!((60..=70).contains(&calls), "{calls} calls");
    let rows = read_all(&pipe.parts.store, &rows).await;
    let failed: Vec<&str> = rows
        .iter()
        .filter(|row| row.check_fail_count > 0)
        .map(|row| row.last_error.as_str())
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    let checks = pipe.parts.stats.processed_total();
    let needed = checks * 2;
    assert!(
        needed + 2 >= calls,
        "{calls} calls for {checks} checks: the first steps of others were wasted"
    );
    pipe.assert_limits();
}

/// Calls of POST_RU in two minutes, beside a CDEK whose state is unreadable or not.
async fn calls_beside(spoiled: bool) -> u64 {
    let mut pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 600), ("POST_RU", 120)],
        settings: vec![("CARRIERS__CDEK__PER_DAY", "5000".to_owned())],
        ..Setup::default()
    })
    .await;
    pipe.create("CDEK", 100).await;
    pipe.create("POST_RU", 300).await;
    pipe.run_for(Duration::from_secs(5)).await;
    if spoiled {
        // The trigger makes every later state of CDEK unreadable.
        let database = Database::connect(pipe.parts.config.store.url.expose()).await;
        let database = database.expect("connects");
        for sql in [
            "CREATE TRIGGER spoil AFTER UPDATE ON carrier_state WHEN NEW.budget = 'CDEK' BEGIN \
             UPDATE carrier_state SET tokens_at = 9223372036854775807 WHERE budget = 'CDEK'; END",
            "UPDATE carrier_state SET fails = fails WHERE budget = 'CDEK'",
        ] {
            database.execute_unprepared(sql).await.expect("writes");
        }
    }
    let before = pipe.calls("POST_RU");
    pipe.run_for(Duration::from_secs(120)).await;
    pipe.calls("POST_RU") - before
}

#[tokio::test]
async fn an_unreadable_state_of_one_account_costs_the_others_no_calls() {
    let (alone, beside) = (calls_beside(false).await, calls_beside(true).await);
    assert!(alone >= 200, "{alone} calls");
    assert!(
        beside * 10 >= alone * 9,
        "{beside} calls beside an unreadable state, {alone} without"
    );
}
