//! Parcels whose carrier pushes are asked for less often, and as before when it falls silent.

use std::time::Duration;

use chrono::TimeDelta;
use trackbox::kafka::message::{Checked, encode};
use trackbox::model::{Held, Outcome, Source, Tracking};

use crate::support::messages::seen;
use crate::support::pipe::{Pipe, Setup};
use crate::support::time::at;

const HOUR: Duration = Duration::from_secs(3_600);

/// Hourly checks of parcels whose steps take days.
async fn pipe() -> (Pipe, Vec<Tracking>) {
    let mut settings: Vec<(&str, String)> = [
        "WORK__NEXT_CHECK_IN_TRANSIT_MIN",
        "WORK__NEXT_CHECK_IN_TRANSIT_MAX",
        "WORK__NEXT_CHECK_UNKNOWN",
    ]
    .map(|key| (key, "1h".to_owned()))
    .to_vec();
    settings.push(("WORK__POLL_INTERVAL", "10m".to_owned()));
    settings.push(("CARRIERS__CDEK__PUSH_KEY", "k".to_owned()));
    settings.push((
        "CARRIERS__CDEK__PUSH_SECRET",
        "LetNobodyElseKnow-22orMore".to_owned(),
    ));
    let pipe = Pipe::new(Setup {
        limits: vec![("CDEK", 1_200)],
        settings,
        ..Setup::default()
    });
    let pipe = pipe.await;
    let rows = pipe.create_slow("CDEK", 20).await;
    (pipe, rows)
}

/// Pushes one more event of each parcel, as of now.
async fn push(pipe: &Pipe, rows: &[Tracking]) {
    let now = pipe.clock.now();
    let secs = (now - at(0)).num_seconds();
    let bus = pipe.parts.bus.as_ref().expect("has a bus");
    for row in rows {
        let mut update = seen(row.id, secs, 1, &[("IN_TRANSIT", secs)]);
        update.check_id = uuid::Uuid::now_v7();
        update.held = Held::Pushed;
        if let Outcome::Seen { events, .. } = &mut update.outcome {
            events.retain(|event| !event.stated);
        }
        let pushed = Checked {
            update,
            adapter: "emulator",
            mapping_version: 1,
            source: Source::Push,
        };
        bus.publish(encode(&pushed)).await.expect("publishes");
    }
    pipe.consume().await;
}

/// Reads what was learned, as a process does each minute.
async fn refresh(pipe: &Pipe) {
    let accounts = pipe.parts.routes.accounts();
    let account = accounts.iter().find(|it| it.name == "CDEK");
    let account = account.expect("is there");
    let now = pipe.clock.now();
    let read = pipe.parts.learned.refresh(account, now).await;
    read.expect("reads");
}

/// The calls of `hours` hours, in the first of each of which every parcel has news that is pushed.
async fn calls(pipe: &mut Pipe, rows: &[Tracking], hours: u32, pushes: bool) -> u64 {
    let before = pipe.calls("CDEK");
    for _ in 0..hours {
        if pushes {
            push(pipe, rows).await;
        }
        pipe.run_for(HOUR).await;
        refresh(pipe).await;
    }
    pipe.calls("CDEK") - before
}

#[tokio::test]
async fn while_a_carrier_pushes_it_is_asked_for_less_and_as_before_when_it_falls_silent() {
    let (mut pipe, rows) = pipe().await;
    let hourly = calls(&mut pipe, &rows, 12, false).await;
    assert!(hourly > 200, "every hour: {hourly}");
    calls(&mut pipe, &rows, 12, true).await;
    let thinned = calls(&mut pipe, &rows, 24, true).await;
    assert!(
        thinned * 3 < 2 * hourly,
        "{thinned} in 24 h, {hourly} in 12 h before"
    );
    calls(&mut pipe, &rows, 24, false).await;
    let silent = calls(&mut pipe, &rows, 12, false).await;
    assert!(silent * 10 > hourly * 9, "{silent}, {hourly} before");
    let news = pipe.parts.store.push_news("CDEK").await.expect("reads");
    assert!(news.told > 100.0, "{news:?}");
    let silent_for = pipe.clock.now() - news.heard_at.expect("was heard");
    assert!(silent_for > TimeDelta::hours(30));
}
