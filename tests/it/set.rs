//! A set of rows arrives in a statement as it was sent, with any values in its columns.

use sea_orm::{ConnectionTrait as _, Database};
use trackbox::clock::Time;
use trackbox::store::column::{Key, Stamp};
use trackbox::store::dialect::Dialect;
use trackbox::store::rows::get;
use trackbox::store::set::Set;
use trackbox::store::sql::Sql;
use uuid::Uuid;

use crate::support::fixture::{TestStore, on_every_store};
use crate::support::time::at;

type Cells = (
    i16,
    i32,
    i64,
    f64,
    bool,
    String,
    Time,
    Uuid,
    Option<Vec<u8>>,
);

fn rows() -> Vec<Cells> {
    let text = "\"Омск\", {NULL}\\ '$1'\n".to_owned();
    let (id, bytes) = (Uuid::from_u128(7), Some(vec![0, 255, 39]));
    vec![
        (1, -2, i64::MAX, 0.1, true, text, at(5), id, bytes),
        (0, 0, 0, 0.0, false, String::new(), at(0), Uuid::nil(), None),
        (
            -1,
            7,
            i64::MIN,
            -1e300,
            true,
            "x".to_owned(),
            at(-5),
            id,
            Some(Vec::new()),
        ),
    ]
}

/// All columns twice: as they are, and NULL if the row's `bool` is false.
fn set(dialect: Dialect, rows: &[Cells]) -> Set<'_, Cells> {
    Set::of(dialect, rows)
        .column("a", |r| r.0)
        .column("b", |r| r.1)
        .column("c", |r| r.2)
        .column("d", |r| r.3)
        .column("e", |r| r.4)
        .column("f", |r| r.5.clone())
        .column("g", |r| r.6)
        .column("h", |r| r.7)
        .nullable("i", |r| r.8.clone())
        .nullable("na", |r| r.4.then_some(r.0))
        .nullable("nb", |r| r.4.then_some(r.1))
        .nullable("nc", |r| r.4.then_some(r.2))
        .nullable("nd", |r| r.4.then_some(r.3))
        .nullable("ne", |r| r.4.then_some(r.4))
        .nullable("nf", |r| r.4.then(|| r.5.clone()))
        .nullable("ng", |r| r.4.then_some(r.6))
        .nullable("nh", |r| r.4.then_some(r.7))
}

#[tokio::test]
async fn a_set_of_rows_arrives_as_it_was_sent() {
    on_every_store(async |test: TestStore| {
        let dialect = if test.is_sqlite() {
            Dialect::Sqlite
        } else {
            Dialect::Postgres
        };
        let database = Database::connect(&test.url).await.expect("connects");
        for sent in [rows(), Vec::new()] {
            let set = set(dialect, &sent);
            let from = set.from();
            let sql = Sql::new(
                dialect,
                format!("SELECT u.*, :before AS before FROM {from} ORDER BY u.nth"),
            );
            let sql = sql.bind("before", 9_i64).bind_set(set);
            let found = database.query_all_raw(sql.statement()).await;
            let found = found.expect("selects");
            assert_eq!(found.len(), sent.len());
            for (place, (found, sent)) in found.iter().zip(&sent).enumerate() {
                assert_eq!(get::<i64>(found, "nth").expect("nth"), place as i64 + 1);
                assert_eq!(get::<i64>(found, "before").expect("before"), 9);
                let arrived = (
                    get(found, "a").expect("a"),
                    get(found, "b").expect("b"),
                    get(found, "c").expect("c"),
                    get(found, "d").expect("d"),
                    get(found, "e").expect("e"),
                    get(found, "f").expect("f"),
                    get::<Stamp>(found, "g").expect("g").0,
                    get::<Key>(found, "h").expect("h").0,
                    get(found, "i").expect("i"),
                );
                assert_eq!(&arrived, sent);
                let has = |there: bool| there == sent.4;
                assert!(has(
                    get::<Option<i16>>(found, "na").expect("na") == Some(sent.0)
                ));
                assert!(has(
                    get::<Option<i32>>(found, "nb").expect("nb") == Some(sent.1)
                ));
                assert!(has(
                    get::<Option<i64>>(found, "nc").expect("nc") == Some(sent.2)
                ));
                assert!(has(
                    get::<Option<f64>>(found, "nd").expect("nd") == Some(sent.3)
                ));
                assert!(has(
                    get::<Option<bool>>(found, "ne").expect("ne") == Some(sent.4)
                ));
                assert!(has(get::<Option<String>>(found, "nf")
                    .expect("nf")
                    .as_ref()
                    == Some(&sent.5)));
                assert!(has(
                    get::<Option<Stamp>>(found, "ng").expect("ng") == Some(Stamp(sent.6))
                ));
                assert!(has(
                    get::<Option<Key>>(found, "nh").expect("nh") == Some(Key(sent.7))
                ));
            }
        }
        database.close().await.expect("closes");
    })
    .await;
}
