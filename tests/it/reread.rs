//! `trackbox reread` puts right what an older program decided wrongly.
//!
//! The file `tests/wire/store/reread.sql` is the database of a program that did not know today's words and rules, after a
//! carrier had told it of these parcels: B2A and B2B were delivered and then scanned late; B5 and B5ALONE were delivered in
//! English, with a translation, and given up; B70 to B72 went back to their sender; GOOD is on its way.

use std::collections::BTreeMap;
use std::path::Path;

use sea_orm::{ConnectionTrait as _, Database};
use tempfile::TempDir;
use trackbox::carriers::routes::Routes;
use trackbox::config::Config;
use trackbox::kafka::message::decode;
use trackbox::model::Tracking;
use trackbox::model::status::{Direction, Status};
use trackbox::reread::Difference;
use trackbox::store::{Connections, WholeStore};

use crate::support::command::trackbox;
use crate::support::fixture::{Applier, TestStore, create, on_every_store, read};
use crate::support::messages::seen;
use crate::support::time::at;
use crate::support::wire::recorded_text;

/// What each parcel is, with its way, and whether it is still asked for.
type Parcels = BTreeMap<String, (Status, Direction, bool)>;

async fn parcels(url: &str) -> Parcels {
    let store = WholeStore::open(url, Connections::default())
        .await
        .expect("opens");
    let rows = store.trackings_after(0, 100).await.expect("reads");
    store.close().await;
    let of = |row: &Tracking| (row.status, row.direction, row.active);
    rows.iter()
        .map(|row| (row.track_number.to_string(), of(row)))
        .collect()
}

/// Runs the command on the database in `folder`, and returns what it prints.
fn reread(folder: &Path, arguments: &[&str]) -> String {
    trackbox(folder, &[&["reread"], arguments].concat())
}

async fn restored() -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/trackbox.db", folder.path().display());
    let database = Database::connect(format!("{url}?mode=rwc"))
        .await
        .expect("connects");
    database
        .execute_unprepared(&recorded_text("store/reread.sql"))
        .await
        .expect("restores");
    database.close().await.expect("closes");
    let config = format!(
        "store.url = \"{url}\"\n[carriers.T24]\nadapter = \"track24\"\nbase_url = \"http://127.0.0.1:9\"\n\
         api_key = \"k\"\ndomain = \"d\"\ntime_zone = \"Europe/Moscow\"\n"
    );
    std::fs::write(folder.path().join("config.toml"), config).expect("writes");
    (folder, url)
}

#[tokio::test]
async fn a_store_of_an_older_program_is_put_right() {
    let (folder, url) = restored().await;
    let shown = reread(folder.path(), &["--show", "0"]);
    assert!(shown.contains("7 of 8 parcels differ"), "{shown}");
    assert!(
        shown.contains("        3  DELIVERED FORWARD -> RETURNED_TO_SENDER RETURN"),
        "{shown}"
    );
    assert!(
        shown.ends_with("repeat it with --apply to make these changes.\n"),
        "{shown}"
    );
    let none = reread(folder.path(), &["--since", "2030-01-01"]);
    assert!(none.starts_with("0 of 0 parcels differ"), "{none}");
    let before = parcels(&url).await;
    assert_eq!(
        before["B70"],
        (Status::Delivered, Direction::Forward, false),
        "only shown"
    );

    reread(folder.path(), &["--apply"]);
    let done = |status, direction| (status, direction, false);
    let delivered = done(Status::Delivered, Direction::Forward);
    let returned = done(Status::Returned, Direction::Return);
    let after = parcels(&url).await;
    for (number, expected) in [
        ("B2A", delivered),
        ("B2B", delivered),
        ("B5", delivered),
        ("B5ALONE", delivered),
        ("B70", returned),
        ("B71", returned),
        ("B72", returned),
        ("GOOD", (Status::InTransit, Direction::Forward, true)),
    ] {
        assert_eq!(after[number], expected, "{number}");
    }
    let again = reread(folder.path(), &["--apply"]);
    assert!(again.starts_with("0 of 8 parcels differ"), "{again}");
    assert_eq!(parcels(&url).await, after);
}

#[tokio::test]
async fn a_parcel_that_was_ended_wrongly_is_asked_for_again() {
    on_every_store(async |TestStore { store, url, .. }| {
        let id = create(&store, "CDEK", 1).await[0].id;
        let mut applier = Applier::new(&store).await;
        let back = seen(id, 9, 1, &[("IN_TRANSIT", 1), ("RETURNING", 2)]);
        applier.apply(&store, vec![back]).await.expect("applies");
        // As a program would have left it that took the way back for a delivery.
        let database = Database::connect(url.as_str()).await.expect("connects");
        let ended =
            "UPDATE trackings SET status = 'DELIVERED', direction = 'FORWARD', active = FALSE";
        database.execute_unprepared(ended).await.expect("writes");
        database.close().await.expect("closes");
        let (page, last) = store
            .full_histories(0, 10, None, None)
            .await
            .expect("reads");
        assert_eq!((page.len(), last), (1, Some(id)));
        let routes = Routes::new(&Config::default()).expect("routes");
        let (row, events) = page.into_iter().next().expect("has one");
        let difference = Difference::of(&row, events, &routes, at(1_000));
        let difference = difference.expect("differs");
        let records = difference.message();
        let updates: Vec<_> = records
            .iter()
            .map(|record| decode(Some(&record.value), at(0), at(1_000)).expect("reads"))
            .collect();
        for _ in 0..2 {
            applier
                .apply(&store, updates.clone())
                .await
                .expect("applies");
            let row = read(&store, id).await;
            assert_eq!(
                (row.status, row.direction, row.active),
                (Status::Returning, Direction::Return, true)
            );
            assert_eq!(
                (row.last_checked_at, row.next_check_at),
                (Some(at(9)), at(69)),
                "its checks stay"
            );
        }
    })
    .await;
}
