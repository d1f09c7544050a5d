//! What every store promises of the counts of calls and errors.

use sea_orm::{ConnectionTrait as _, Database};
use trackbox::clock::{Time, hour_of, minute_of};
use trackbox::store::counts::{CallCounts, CallErrors, HourOf, MinuteOf};

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::time::at;

const DAY: i64 = 24 * 3_600;

fn calls(account: &str, secs: i64, calls: i64, late: f64) -> MinuteOf {
    let counts = CallCounts {
        calls,
        numbers: 2 * calls,
        claimed: calls,
        late,
        first: 1,
        idle: 3,
    };
    ((minute_of(at(secs)), account.to_owned()), counts)
}

fn errors(kind: &str, count: i64, words: &str, last_at: Time) -> HourOf {
    let errors = CallErrors {
        kind: kind.to_owned(),
        count,
        words: words.to_owned(),
        last_at,
    };
    ((hour_of(last_at), "CDEK".to_owned()), errors)
}

#[tokio::test]
async fn the_calls_of_all_workers_are_counted_by_the_minute_and_kept_for_a_day() {
    on_every_store(async |TestStore { store, .. }| {
        let one = [
            calls("CDEK", 5, 3, 1.5),
            calls("CDEK", 70, 9, 0.0),
            calls("OTHER", 5, 1, 0.0),
        ];
        store.add_calls(&one).await.expect("adds");
        store.add_calls(&[]).await.expect("adds nothing");
        // A little late, for a minute that is over.
        store
            .add_calls(&[calls("CDEK", 50, 4, -2.0)])
            .await
            .expect("adds");
        let minute = minute_of(at(0));
        let counted = store.calls_by_minute("CDEK", minute..minute + 1).await;
        let sum = CallCounts {
            calls: 7,
            numbers: 14,
            claimed: 7,
            late: -0.5,
            first: 2,
            idle: 6,
        };
        assert_eq!(counted.expect("reads"), [(minute, sum)].into());
        let of_minute = store.calls_of_minute(minute).await.expect("reads");
        assert_eq!(
            of_minute,
            [("CDEK".to_owned(), 7), ("OTHER".to_owned(), 1)].into()
        );
        store.forget_counts(at(DAY + 60)).await.expect("forgets");
        let counted = store.calls_by_minute("CDEK", 0..minute + 9).await;
        let left: Vec<i64> = counted.expect("reads").into_keys().collect();
        assert_eq!(left, [minute + 1]);
    })
    .await;
}

#[tokio::test]
async fn errors_are_counted_by_the_hour_with_the_last_words_and_kept_for_a_week() {
    on_every_store(async |TestStore { store, .. }| {
        let first = [
            errors("status", 2, "the carrier answered 500", at(10)),
            errors("timeout", 1, "too slow", at(20)),
        ];
        store.add_errors(&first).await.expect("adds");
        let more = [errors("status", 3, "the carrier answered 502", at(30))];
        store.add_errors(&more).await.expect("adds");
        let later = [errors("status", 1, "the carrier answered 503", at(7_200))];
        store.add_errors(&later).await.expect("adds");
        let shown = store.errors_by_hour("CDEK").await.expect("reads");
        let sum = errors("status", 5, "the carrier answered 502", at(30));
        assert_eq!(shown, [later[0].clone(), sum, first[1].clone()]);
        assert_eq!(store.errors_by_hour("OTHER").await.expect("reads"), []);
        store
            .forget_counts(at(7 * DAY + 3_600))
            .await
            .expect("forgets");
        let shown = store.errors_by_hour("CDEK").await.expect("reads");
        assert_eq!(shown, later);
    })
    .await;
}

#[tokio::test]
async fn a_count_that_cannot_be_right_is_bounded() {
    on_every_store(async |TestStore { store, url, .. }| {
        let both = [calls("CDEK", 5, 3, 0.0), calls("CDEK", 70, 5, 0.0)];
        store.add_calls(&both).await.expect("adds");
        let database = Database::connect(&url).await.expect("connects");
        let spoil = format!(
            "UPDATE call_minutes SET calls = -5, idle = 9000000000000000000 WHERE minute = {}",
            minute_of(at(5))
        );
        database.execute_unprepared(&spoil).await.expect("spoils");
        database.close().await.expect("closes");
        let minute = minute_of(at(0));
        let counted = store.calls_by_minute("CDEK", minute..minute + 2).await;
        let mut sum = CallCounts::default();
        counted
            .expect("reads")
            .into_values()
            .for_each(|it| sum += it);
        assert_eq!((sum.calls, sum.idle), (5, 1_000_000_003));
    })
    .await;
}
