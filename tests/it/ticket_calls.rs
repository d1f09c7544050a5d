//! In virtual time, against a carrier that answers later: its tickets are asked for at their time, within the account's limits, and
//! given up if nothing comes of them.

use std::time::Duration;

use chrono::TimeDelta;
use trackbox::model::Tracking;
use trackbox::model::tenant::Tenant;
use trackbox::store::claims::{Claim, Take};
use trackbox::store::tickets::NewTicket;
use trackbox_emulator::faults::Fault;
use trackbox_emulator::tickets::Counts;

use crate::support::carriers::TICKET_WAIT;
use crate::support::fixture::{LEASE, code, read, read_all, shares};
use crate::support::pipe::{Pipe, Setup};

const MINUTE: Duration = Duration::from_secs(60);

/// A pipe whose CDEK gives tickets, and asks for each parcel once a day at most.
async fn pipe(workers: usize) -> Pipe {
    Pipe::new(Setup {
        limits: vec![("CDEK", 60)],
        workers,
        settings: vec![
            ("CARRIERS__CDEK__ADAPTER", "emulator-ticket".to_owned()),
            ("CARRIERS__CDEK__MIN_INTERVAL", "1d".to_owned()),
        ],
        ..Setup::default()
    })
    .await
}

fn counts(pipe: &Pipe) -> Counts {
    pipe.emulator.tickets().counts()
}

async fn answered(pipe: &Pipe, rows: &[Tracking]) -> usize {
    let known = pipe.parts.store.trackings_after(0, 10_000).await;
    let known = known.expect("reads");
    assert_eq!(known.len(), rows.len());
    known.iter().filter(|row| row.last_ok_at.is_some()).count()
}

/// Runs until a ticket is kept.
async fn keep_one(pipe: &mut Pipe) {
    for _ in 0..100 {
        pipe.step().await;
        if open(pipe).await == 1 {
            return;
        }
        pipe.advance(Duration::from_millis(50));
    }
    panic!("no ticket is kept: {:?}", counts(pipe));
}

async fn open(pipe: &Pipe) -> usize {
    let open = pipe.parts.store.open_tickets(pipe.clock.now(), 100).await;
    open.expect("lists").len()
}

#[tokio::test]
async fn thousands_of_numbers_cost_a_call_for_their_ticket_and_few_for_its_answer() {
    let mut pipe = pipe(2).await;
    let rows = pipe.create_slow("CDEK", 3_500).await;
    pipe.run_for(MINUTE).await;
    assert_eq!(answered(&pipe, &rows).await, 3_500);
    pipe.assert_truth().await;
    pipe.assert_limits();
    let counts = counts(&pipe);
    assert_eq!((counts.given, counts.answered), (2, 2), "{counts:?}");
    assert_eq!(
        (counts.numbers, counts.most_often),
        (3_500, 1),
        "{counts:?}"
    );
    // Every second, until the answer is there.
    let asked = TICKET_WAIT.as_secs() + 1;
    assert!(counts.not_ready <= 2 * asked, "{counts:?}");
    let calls = pipe.calls("CDEK");
    assert_eq!(calls, counts.given + counts.answered + counts.not_ready);
    pipe.run_for(MINUTE * 3).await;
    assert_eq!(open(&pipe).await, 0, "it is forgotten");
    let metrics = pipe.parts.metrics.encode();
    let given = "trackbox_tickets_total{account=\"CDEK\",outcome=\"given\"} 2";
    assert!(metrics.contains(given), "{metrics}");
    assert_eq!(pipe.calls("CDEK"), calls);
}

#[tokio::test]
async fn the_answer_of_a_ticket_is_of_the_time_when_its_numbers_were_asked_for() {
    let mut pipe = pipe(1).await;
    let rows = pipe.create_slow("CDEK", 1).await;
    keep_one(&mut pipe).await;
    let asked_at = pipe.clock.now();
    pipe.advance(Duration::from_secs(1));
    let refreshed = pipe
        .parts
        .current
        .refresh(Tenant::DEFAULT, rows[0].id, pipe.clock.now(), |_| {
            Duration::ZERO
        })
        .await;
    refreshed.expect("refreshes");
    pipe.run_for(Duration::from_secs(4)).await;
    let row = read(&pipe.parts.store, rows[0].id).await;
    assert_eq!(row.last_checked_at, Some(asked_at));
    pipe.run_for(Duration::from_secs(10)).await;
    assert_eq!(
        counts(&pipe).most_often,
        2,
        "a refresh since needs a check of its own"
    );
}

#[tokio::test]
async fn a_ticket_that_its_carrier_lost_is_given_up_and_its_numbers_are_asked_anew() {
    let mut pipe = pipe(2).await;
    let rows = pipe.create_slow("CDEK", 40).await;
    keep_one(&mut pipe).await;
    pipe.emulator.tickets().lose();
    pipe.run_for(MINUTE).await;
    assert_eq!(answered(&pipe, &rows).await, 40);
    let counts = counts(&pipe);
    assert_eq!((counts.given, counts.unknown, counts.most_often), (2, 1, 2));
    let metrics = pipe.parts.metrics.encode();
    let given_up = "trackbox_tickets_total{account=\"CDEK\",outcome=\"given_up\"} 1";
    assert!(metrics.contains(given_up), "{metrics}");
    for row in read_all(&pipe.parts.store, &rows).await {
        assert_eq!((row.check_fail_count, row.last_error.as_str()), (0, ""));
    }
}

#[tokio::test]
async fn a_ticket_that_never_becomes_ready_is_given_up_when_it_ends() {
    let mut pipe = pipe(1).await;
    pipe.emulator.tickets().set_wait(MINUTE * 600);
    let rows = pipe.create_slow("CDEK", 40).await;
    for _ in 0..58 {
        pipe.run_for(Duration::from_secs(2)).await;
        pipe.advance(MINUTE - Duration::from_secs(2));
    }
    assert_eq!((counts(&pipe).given, open(&pipe).await), (1, 1));
    pipe.emulator.tickets().set_wait(TICKET_WAIT);
    pipe.run_for(MINUTE * 4).await;
    assert_eq!(answered(&pipe, &rows).await, 40);
    let counts = counts(&pipe);
    assert_eq!((counts.given, counts.most_often), (2, 2), "{counts:?}");
}

#[tokio::test]
async fn a_ticket_waits_while_its_account_is_paused_and_no_call_is_made() {
    let mut pipe = pipe(2).await;
    let rows = pipe.create_slow("CDEK", 40).await;
    keep_one(&mut pipe).await;
    pipe.set_fault(
        "CDEK",
        Fault::TooManyRequests {
            retry_after_secs: Some(300),
            as_date: false,
        },
    );
    pipe.run_for(Duration::from_secs(20)).await;
    let calls = pipe.calls("CDEK");
    pipe.clear_fault("CDEK");
    pipe.run_for(Duration::from_secs(240)).await;
    assert_eq!(pipe.calls("CDEK"), calls);
    assert_eq!(answered(&pipe, &rows).await, 0);
    pipe.run_for(MINUTE).await;
    assert_eq!(answered(&pipe, &rows).await, 40);
    assert_eq!(counts(&pipe).most_often, 1);
}

#[tokio::test]
async fn an_account_that_failed_is_tried_with_its_tickets_if_it_has_nothing_else() {
    let mut pipe = pipe(2).await;
    let rows = pipe.create_slow("CDEK", 40).await;
    keep_one(&mut pipe).await;
    pipe.set_fault("CDEK", Fault::Status { code: 502 });
    pipe.run_for(MINUTE * 5).await;
    let failed = pipe.calls("CDEK");
    assert!((5..=40).contains(&failed), "{failed} calls");
    pipe.clear_fault("CDEK");
    pipe.run_for(MINUTE * 2).await;
    assert_eq!(answered(&pipe, &rows).await, 40);
    let counts = counts(&pipe);
    assert_eq!((counts.given, counts.most_often), (1, 1), "{counts:?}");
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_asked_for_three_times_and_then_for_fewer_numbers() {
    let mut pipe = pipe(1).await;
    let rows = pipe.create_slow("CDEK", 40).await;
    keep_one(&mut pipe).await;
    let before = pipe.calls("CDEK");
    pipe.set_fault("CDEK", Fault::HugeBody { bytes: 9_000_000 });
    while open(&pipe).await == 1 {
        pipe.run_for(Duration::from_millis(100)).await;
    }
    assert_eq!(pipe.calls("CDEK") - before, 3, "it is given up");
    pipe.clear_fault("CDEK");
    pipe.run_for(MINUTE).await;
    assert_eq!(answered(&pipe, &rows).await, 40);
    let counts = counts(&pipe);
    assert!(counts.given >= 3, "the whole, and its halves: {counts:?}");
}

#[tokio::test]
async fn a_ticket_of_another_adapter_than_the_configuration_has_is_given_up() {
    let mut pipe = pipe(1).await;
    pipe.create_slow("CDEK", 3).await;
    let now = pipe.clock.now();
    let claim = Claim {
        shares: &shares(&[code("CDEK")], 1, 1),
        limit: 1,
        take: Take::Trial,
    };
    let held = pipe.parts.store.claim(claim, now, LEASE).await;
    let held = held.expect("claims").trackings;
    let new = NewTicket {
        account: "CDEK",
        adapter: "another",
        ticket: "T1",
        asked_at: now,
        ask_at: now,
        wait: MINUTE,
        ends_at: now + TimeDelta::hours(9),
    };
    let lease = (held[0].id, held[0].lease_id.expect("a lease"));
    let parked = pipe.parts.store.park(&new, &[lease]).await;
    assert_eq!(parked.expect("parks"), 1);
    pipe.run_for(Duration::from_secs(30)).await;
    let row = read(&pipe.parts.store, held[0].id).await;
    assert!(
        row.last_ok_at.is_some(),
        "it is asked for by the adapter in use"
    );
}
