//! Answers reach the archive beside the checks, which never wait for it.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use trackbox::app;
use trackbox::archive::{decompressed, reading};
use trackbox::carriers::{Answer, Asked, State, Step, Verdict};
use trackbox::model::Tracking;
use trackbox::model::archived::Archived;
use trackbox::model::tenant::Tenant;
use trackbox::scheduler::archivist::Archivist;
use trackbox::store::Store;

use crate::support::pipe::{Pipe, Setup};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

async fn pipe(settings: Vec<(&'static str, String)>) -> Pipe {
    Pipe::new(Setup {
        settings,
        ..Setup::default()
    })
    .await
}

fn archivist(pipe: &Pipe) -> Archivist {
    app::work::archivist(&pipe.parts)
}

async fn archived(store: &Store, rows: &[Tracking]) -> Vec<Archived> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    store.archived(&ids).await.expect("reads")
}

/// What a kept answer is read as.
fn read(pipe: &Pipe, kept: &Archived) -> Verdict {
    let carrier = kept.carrier_code.clone();
    let route = pipe.parts.routes.resolve(&carrier).expect("has a route");
    let number = kept.track_number.clone();
    let state = State::first(&[Asked::of(carrier, number)]);
    let body = decompressed(&kept.body).expect("was compressed");
    let status = kept.status;
    let read = route
        .adapter
        .resume(state, &Answer { status, body }, kept.first.0);
    match read {
        Ok(Step::Done(mut sightings)) => sightings.remove(0).verdict,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn each_answer_is_kept_once_and_read_again_as_it_was() {
    // The second carrier is asked for several numbers in one call.
    let adapter = ("CARRIERS__POST_RU__ADAPTER", "emulator-batch".to_owned());
    let mut pipe = pipe(vec![adapter]).await;
    let mut rows = pipe.create("CDEK", 5).await;
    rows.extend(pipe.create("POST_RU", 40).await);
    let mut archivist = archivist(&pipe);
    pipe.run_until_arrived(24 * HOUR).await;
    archivist.write_all().await.expect("writes");
    let kept = archived(&pipe.parts.store, &rows).await;
    let calls = pipe.calls("CDEK") + pipe.calls("POST_RU");
    for row in &rows {
        let of_it: Vec<&Archived> = kept.iter().filter(|it| it.tracking_id == row.id).collect();
        let last = of_it.last().expect("has answers");
        let Verdict::Seen(seen) = read(&pipe, last) else {
            panic!("{last:?} was seen");
        };
        let events = pipe
            .parts
            .store
            .events(Tenant::DEFAULT, row.id, true, 100, 0)
            .await;
        let events = events.expect("reads").expect("is there");
        let own = seen.events.iter().filter(|event| !event.stated);
        let own: BTreeSet<[u8; 32]> = own.map(|event| event.digest(1)).collect();
        let stored = events.iter().map(|event| event.event.digest(1));
        assert_eq!(own, stored.collect(), "the last answer holds all");
        for kept in of_it {
            let read = read(&pipe, kept);
            assert_eq!(reading(Ok(&read), false), Some(kept.reading));
            let body = decompressed(&kept.body).expect("was compressed");
            let body = String::from_utf8(body).expect("is text");
            for other in rows.iter().filter(|other| other.id != row.id) {
                let other = format!("\"{}\"", other.track_number);
                assert!(!body.contains(&other), "{body} is not about {other}");
            }
        }
    }
    let metrics = pipe.parts.metrics.encode();
    assert!(
        metrics.contains("trackbox_answers_not_archived_total 0"),
        "{metrics}"
    );
    assert!(calls > 0 && kept.len() > rows.len());
}

#[tokio::test]
async fn an_answer_that_says_what_the_one_before_said_is_not_written_again() {
    let mut pipe = pipe(Vec::new()).await;
    let rows = pipe.create_slow("CDEK", 3).await;
    let mut archivist = archivist(&pipe);
    pipe.run_for(MINUTE).await;
    archivist.write_all().await.expect("writes");
    let first = archived(&pipe.parts.store, &rows).await;
    let calls = pipe.calls("CDEK");
    pipe.run_for(HOUR).await;
    archivist.write_all().await.expect("writes");
    assert!(pipe.calls("CDEK") > calls, "was asked again");
    assert_eq!(archived(&pipe.parts.store, &rows).await, first);
}

#[tokio::test]
async fn no_check_waits_for_an_archive_that_is_away() {
    let away = (
        "ARCHIVE__URL",
        "postgres://u:p@127.0.0.1:9/archive".to_owned(),
    );
    let mut pipe = pipe(vec![away]).await;
    pipe.create("CDEK", 50).await;
    let mut archivist = archivist(&pipe);
    pipe.run_for(MINUTE).await;
    archivist.write_all().await.expect_err("is away");
    pipe.run_until_arrived(24 * HOUR).await;
    let error = archivist.write_all().await.expect_err("is away");
    let error = format!("{error:#}");
    assert!(!error.contains("u:p"), "{error}");
}

#[tokio::test]
async fn an_archive_of_its_own_database_is_filled_and_a_stop_writes_what_waits() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/archive.db", folder.path().display());
    let mut pipe = pipe(vec![("ARCHIVE__URL", url)]).await;
    let rows = pipe.create("CDEK", 5).await;
    pipe.run_for(MINUTE).await;
    let stop = CancellationToken::new();
    stop.cancel();
    archivist(&pipe).run(stop).await.expect("stops");
    assert_eq!(archived(&pipe.parts.store, &rows).await.len(), 0);
    let reopened = app::parts::archive(&pipe.parts.config, &pipe.parts.store);
    let store = reopened.store().await.expect("opens");
    assert!(archived(&store, &rows).await.len() >= rows.len());
}

#[tokio::test]
async fn nothing_is_kept_if_the_archive_is_off() {
    let mut pipe = pipe(vec![("ARCHIVE__ENABLED", "false".to_owned())]).await;
    let rows = pipe.create("CDEK", 5).await;
    pipe.run_for(MINUTE).await;
    archivist(&pipe)
        .write_all()
        .await
        .expect("has nothing to do");
    assert_eq!(archived(&pipe.parts.store, &rows).await.len(), 0);
}

#[tokio::test]
async fn what_is_too_old_or_too_much_goes_and_so_does_what_is_of_no_parcel() {
    let settings = vec![
        ("ARCHIVE__KEEP", "10d".to_owned()),
        ("ARCHIVE__MAX_BYTES", (1024 * 1024).to_string()),
    ];
    let mut pipe = pipe(settings).await;
    let rows = pipe.create("CDEK", 3).await;
    pipe.run_for(MINUTE).await;
    let mut archivist = archivist(&pipe);
    archivist.write_all().await.expect("writes");
    let store = pipe.parts.store.clone();
    let kept = archived(&store, &rows).await;
    assert!(kept.len() >= 3);
    let at = |days: i64| {
        (
            pipe.clock.now() + chrono::TimeDelta::days(days),
            kept[0].first.1,
        )
    };
    let of = |tracking_id: i64, days: i64, bytes: usize| Archived {
        tracking_id,
        reading: [u8::try_from(days + 20).expect("is small"); 16],
        first: at(days),
        last: at(days),
        body: vec![0; bytes],
        ..kept[0].clone()
    };
    let (old, of_none) = (of(rows[0].id, -11, 10), of(rows[2].id + 1, -1, 10));
    store.archive(&[old, of_none.clone()]).await.expect("keeps");
    archivist.tidy().await.expect("tidies");
    assert_eq!(archived(&store, &rows).await, kept);
    let gone = store.archived(&[of_none.tracking_id]).await;
    assert_eq!(gone.expect("reads"), []);
    // A late answer about a parcel that was deleted meanwhile.
    store
        .archive(std::slice::from_ref(&of_none))
        .await
        .expect("keeps");
    archivist.tidy().await.expect("tidies");
    let gone = store.archived(&[of_none.tracking_id]).await;
    assert_eq!(gone.expect("reads"), []);
    let large: Vec<_> = (-9..-4).map(|days| of(rows[0].id, days, 300_000)).collect();
    store.archive(&large).await.expect("keeps");
    let mut again = self::archivist(&pipe);
    again.tidy().await.expect("tidies");
    let amount = store.archived_amount().await.expect("counts");
    assert!(amount.bytes <= 1024 * 1024, "{amount:?}");
}
