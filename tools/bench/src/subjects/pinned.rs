//! What a check asks of the database, in statements written for this benchmark alone: they stay as they are, whatever
//! TrackBox does.

use std::str::FromStr as _;

use anyhow::ensure;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, PgConnection, Row as _, SqliteConnection};
use trackbox::clock::machine_now;
use uuid::Uuid;

use crate::engines::Place;
use crate::parcels::CARRIER;

const CLAIM_POSTGRES: &str = "UPDATE trackings SET lease_until = $2, next_check_at = $2 FROM ( \
     SELECT id FROM trackings WHERE carrier_code = $1 AND payer = 0 AND active \
     AND (CASE WHEN priority = 1 THEN 0 WHEN last_ok_at IS NULL THEN 1 ELSE 2 END) = 1 AND next_check_at <= $3 \
     ORDER BY next_check_at, id LIMIT $4 FOR UPDATE SKIP LOCKED) AS due \
     WHERE trackings.id = due.id RETURNING trackings.*";

const LOCK_POSTGRES: &str = "SELECT * FROM trackings WHERE id = ANY ($1) ORDER BY id FOR UPDATE";

const HISTORY_POSTGRES: &str = "SELECT * FROM tracking_events WHERE tracking_id = ANY ($1)";

const WRITE_POSTGRES: &str = "UPDATE trackings SET status = u.status, status_raw = u.raw, status_at = u.at, heard = 2, \
     status_checked_at = u.checked_at, status_check_id = u.check_id, last_event_code = u.status, last_event_at = u.at, \
     last_ok_at = u.checked_at, last_checked_at = u.checked_at, last_check_id = u.check_id, next_check_at = u.next, \
     active = FALSE, lease_until = NULL, version = u.version, updated_at = $1 \
     FROM UNNEST ($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[], $7::uuid[], \
     $8::timestamptz[], $9::bigint[]) AS u (row_id, status, raw, at, checked_at, check_id, next, version) \
     WHERE trackings.id = u.row_id";

const EVENTS_POSTGRES: &str = "INSERT INTO tracking_events (tracking_id, status, status_raw, event_time, location, message, \
     payload_json, journey, digest, mapping_version, created_at) \
     SELECT id, status, raw, event_time, 'Omsk', '', '', 1, digest, 1, $1 \
     FROM UNNEST ($2::bigint[], $3::text[], $4::text[], $5::timestamptz[], $6::bytea[]) \
     AS e (id, status, raw, event_time, digest) ON CONFLICT DO NOTHING";

const LIST_POSTGRES: &str = "UPDATE parcels SET status = 6, changed_at = $2 WHERE tracking_id = ANY ($1) \
     RETURNING tenant_id, tracking_id, state, carrier_code";

const HEAD_POSTGRES: &str = "INSERT INTO feed_heads (tenant_id, last_seq, last_at) VALUES (1, $1, $2) \
     ON CONFLICT (tenant_id) DO UPDATE SET last_seq = feed_heads.last_seq + excluded.last_seq, \
     last_at = excluded.last_at RETURNING last_seq";

const CHANGES_POSTGRES: &str = "INSERT INTO changes (tenant_id, seq, kind, tracking_id, change_seq, cause, at, status, \
     direction, status_raw, status_at, was_status, events, events_total) \
     SELECT 1, $2 + u.nth, 1, u.row_id, 1, u.cause, $1, 6, 'FORWARD', '4', $3, 1, u.names, 3 \
     FROM UNNEST ($4::bigint[], $5::uuid[], $6::text[]) WITH ORDINALITY AS u (row_id, cause, names, nth)";

const COUNTS_POSTGRES: &str = "INSERT INTO parcel_counts (tenant_id, carrier_code, status, archived, n) \
     VALUES (1, $1, 1, FALSE, -$2), (1, $1, 6, FALSE, $2) \
     ON CONFLICT (tenant_id, carrier_code, status, archived) DO UPDATE SET n = parcel_counts.n + excluded.n";

const CLAIM_SQLITE: &str = "UPDATE trackings SET lease_until = ?2, next_check_at = ?2 WHERE id IN ( \
     SELECT id FROM trackings WHERE carrier_code = ?1 AND payer = 0 AND active \
     AND (CASE WHEN priority = 1 THEN 0 WHEN last_ok_at IS NULL THEN 1 ELSE 2 END) = 1 AND next_check_at <= ?3 \
     ORDER BY next_check_at, id LIMIT ?4) RETURNING *";

const READ_SQLITE: &str =
    "SELECT * FROM trackings WHERE id IN (SELECT value FROM json_each(?1)) ORDER BY id";

const HISTORY_SQLITE: &str =
    "SELECT * FROM tracking_events WHERE tracking_id IN (SELECT value FROM json_each(?1))";

const WRITE_SQLITE: &str = "UPDATE trackings SET status = u.status, status_raw = u.raw, status_at = u.at, heard = 2, \
     status_checked_at = u.checked_at, status_check_id = u.check_id, last_event_code = u.status, last_event_at = u.at, \
     last_ok_at = u.checked_at, last_checked_at = u.checked_at, last_check_id = u.check_id, next_check_at = u.next, \
     active = FALSE, lease_until = NULL, version = u.version, updated_at = ?1 \
     FROM (SELECT value ->> 0 AS row_id, value ->> 1 AS status, value ->> 2 AS raw, value ->> 3 AS at, \
     value ->> 4 AS checked_at, value ->> 5 AS check_id, value ->> 6 AS next, value ->> 7 AS version FROM json_each(?2)) AS u \
     WHERE trackings.id = u.row_id";

const EVENTS_SQLITE: &str = "INSERT INTO tracking_events (tracking_id, status, status_raw, event_time, location, message, \
     payload_json, journey, digest, mapping_version, created_at) \
     SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, 'Omsk', '', '', 1, unhex(value ->> 4), 1, ?1 \
     FROM json_each(?2) WHERE TRUE ON CONFLICT DO NOTHING";

const LIST_SQLITE: &str = "UPDATE parcels SET status = 6, changed_at = ?2 \
     WHERE tracking_id IN (SELECT value FROM json_each(?1)) RETURNING tenant_id, tracking_id, state, carrier_code";

const HEAD_SQLITE: &str = "INSERT INTO feed_heads (tenant_id, last_seq, last_at) VALUES (1, ?1, ?2) \
     ON CONFLICT (tenant_id) DO UPDATE SET last_seq = feed_heads.last_seq + excluded.last_seq, \
     last_at = excluded.last_at RETURNING last_seq";

const CHANGES_SQLITE: &str = "INSERT INTO changes (tenant_id, seq, kind, tracking_id, change_seq, cause, at, status, \
     direction, status_raw, status_at, was_status, events, events_total) \
     SELECT 1, ?2 + key + 1, 1, value ->> 0, 1, value ->> 1, ?1, 6, 'FORWARD', '4', ?3, 1, value ->> 2, 3 \
     FROM json_each(?4)";

const COUNTS_SQLITE: &str = "INSERT INTO parcel_counts (tenant_id, carrier_code, status, archived, n) \
     VALUES (1, ?1, 1, FALSE, -?2), (1, ?1, 6, FALSE, ?2) \
     ON CONFLICT (tenant_id, carrier_code, status, archived) DO UPDATE SET n = parcel_counts.n + excluded.n";

/// What happened to each parcel, and how many hours ago.
const EVENTS: [(&str, &str, i64); 3] = [
    ("ACCEPTED", "1", 48),
    ("IN_TRANSIT", "2", 24),
    ("DELIVERED", "4", 1),
];

/// The connection of one worker and consumer.
pub enum Pinned {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

/// An event to be written.
struct Event {
    tracking_id: i64,
    status: &'static str,
    raw: &'static str,
    time: DateTime<Utc>,
    digest: Vec<u8>,
}

fn events(ids: &[i64], now: DateTime<Utc>) -> Vec<Event> {
    let of = |id: &i64| {
        let id = *id;
        EVENTS.map(|(status, raw, hours)| Event {
            tracking_id: id,
            status,
            raw,
            time: now - TimeDelta::hours(hours),
            // As random as a hash of what happened.
            digest: rand::random::<[u8; 32]>().to_vec(),
        })
    };
    ids.iter().flat_map(of).collect()
}

/// What the owner of each parcel is told: the check, and the names of its events.
fn told(ids: &[i64], checks: &[Uuid], events: &[Event]) -> Vec<(i64, Uuid, String)> {
    let names = |events: &[Event]| {
        let name = |event: &Event| hex(&event.digest[..8]);
        events.iter().map(name).collect::<Vec<_>>().join(",")
    };
    let each = ids.iter().zip(checks).zip(events.chunks(EVENTS.len()));
    each.map(|((id, check), events)| (*id, *check, names(events)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Pinned {
    pub async fn open(place: &Place) -> anyhow::Result<Self> {
        if place.is_shared() {
            return Ok(Self::Postgres(place.postgres().await?));
        }
        let file = SqliteConnectOptions::from_str(&place.url)?
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        Ok(Self::Sqlite(file.connect().await?))
    }

    /// Takes at most `claim` parcels at a time, `apply` in all, and applies a check of each; how many there were.
    pub async fn step(&mut self, claim: usize, apply: usize) -> anyhow::Result<usize> {
        let mut ids = Vec::new();
        while ids.len() < apply {
            let claimed = self.claim(claim).await?;
            if claimed.is_empty() {
                break;
            }
            ids.extend(claimed);
        }
        if !ids.is_empty() {
            self.apply(&ids).await?;
        }
        Ok(ids.len())
    }

    async fn claim(&mut self, limit: usize) -> anyhow::Result<Vec<i64>> {
        let (now, limit) = (machine_now(), i64::try_from(limit)?);
        let lease = now + TimeDelta::seconds(120);
        let ids = match self {
            Self::Postgres(connection) => {
                let claim = sqlx::query(CLAIM_POSTGRES).bind(CARRIER);
                let claim = claim.bind(lease).bind(now).bind(limit);
                let rows = claim.fetch_all(connection).await?;
                rows.iter().map(|row| row.get("id")).collect()
            }
            Self::Sqlite(connection) => {
                let claim = sqlx::query(CLAIM_SQLITE).bind(CARRIER);
                let claim = claim.bind(lease.timestamp_micros());
                let claim = claim.bind(now.timestamp_micros()).bind(limit);
                let rows = claim.fetch_all(connection).await?;
                rows.iter().map(|row| row.get("id")).collect()
            }
        };
        Ok(ids)
    }

    /// One transaction: reads what is known, as whoever decides by it must, and writes what is new.
    async fn apply(&mut self, ids: &[i64]) -> anyhow::Result<()> {
        let now = machine_now();
        let (next, events) = (now + TimeDelta::days(300), events(ids, now));
        let at = now - TimeDelta::hours(1);
        let checks: Vec<Uuid> = ids.iter().map(|_| Uuid::now_v7()).collect();
        let (told, count) = (told(ids, &checks, &events), ids.len() as i64);
        let written = match self {
            Self::Postgres(connection) => {
                let mut transaction = connection.begin().await?;
                for read in [LOCK_POSTGRES, HISTORY_POSTGRES] {
                    let read = sqlx::query(read).bind(ids);
                    read.fetch_all(&mut *transaction).await?;
                }
                let all = ids.len();
                let write = sqlx::query(WRITE_POSTGRES)
                    .bind(now)
                    .bind(ids)
                    .bind(vec!["DELIVERED"; all])
                    .bind(vec!["4"; all])
                    .bind(vec![at; all])
                    .bind(vec![now; all])
                    .bind(&checks)
                    .bind(vec![next; all])
                    .bind(vec![2_i64; all]);
                let written = write.execute(&mut *transaction).await?.rows_affected();
                fn column<T>(events: &[Event], of: impl Fn(&Event) -> T) -> Vec<T> {
                    events.iter().map(of).collect()
                }
                let insert = sqlx::query(EVENTS_POSTGRES)
                    .bind(now)
                    .bind(column(&events, |event| event.tracking_id))
                    .bind(column(&events, |event| event.status))
                    .bind(column(&events, |event| event.raw))
                    .bind(column(&events, |event| event.time))
                    .bind(column(&events, |event| event.digest.clone()));
                insert.execute(&mut *transaction).await?;
                let list = sqlx::query(LIST_POSTGRES).bind(ids).bind(now);
                list.fetch_all(&mut *transaction).await?;
                let head = sqlx::query(HEAD_POSTGRES).bind(count).bind(now);
                let head = head.fetch_one(&mut *transaction).await?;
                let before = head.get::<i64, _>(0) - count;
                let changes = sqlx::query(CHANGES_POSTGRES)
                    .bind(now)
                    .bind(before)
                    .bind(at)
                    .bind(ids)
                    .bind(&checks)
                    .bind(told.iter().map(|it| it.2.as_str()).collect::<Vec<_>>());
                changes.execute(&mut *transaction).await?;
                let counts = sqlx::query(COUNTS_POSTGRES).bind(CARRIER).bind(count);
                counts.execute(&mut *transaction).await?;
                transaction.commit().await?;
                written
            }
            Self::Sqlite(connection) => {
                let now = now.timestamp_micros();
                let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
                for read in [READ_SQLITE, HISTORY_SQLITE] {
                    let read = sqlx::query(read).bind(json!(ids).to_string());
                    read.fetch_all(&mut *transaction).await?;
                }
                let (at, next) = (at.timestamp_micros(), next.timestamp_micros());
                let row = |(id, check): (&i64, &Uuid)| {
                    json!([id, "DELIVERED", "4", at, now, check, next, 2])
                };
                let rows = ids.iter().zip(&checks).map(row);
                let rows = json!(rows.collect::<Vec<_>>()).to_string();
                let write = sqlx::query(WRITE_SQLITE).bind(now).bind(rows);
                let written = write.execute(&mut *transaction).await?.rows_affected();
                let rows = events.iter().map(|event| {
                    let digest = hex(&event.digest);
                    let time = event.time.timestamp_micros();
                    json!([event.tracking_id, event.status, event.raw, time, digest])
                });
                let rows = json!(rows.collect::<Vec<_>>()).to_string();
                let insert = sqlx::query(EVENTS_SQLITE).bind(now).bind(rows);
                insert.execute(&mut *transaction).await?;
                let list = sqlx::query(LIST_SQLITE).bind(json!(ids).to_string());
                list.bind(now).fetch_all(&mut *transaction).await?;
                let head = sqlx::query(HEAD_SQLITE).bind(count).bind(now);
                let head = head.fetch_one(&mut *transaction).await?;
                let before = head.get::<i64, _>(0) - count;
                let changes = sqlx::query(CHANGES_SQLITE).bind(now).bind(before);
                let changes = changes.bind(at).bind(json!(told).to_string());
                changes.execute(&mut *transaction).await?;
                let counts = sqlx::query(COUNTS_SQLITE).bind(CARRIER).bind(count);
                counts.execute(&mut *transaction).await?;
                transaction.commit().await?;
                written
            }
        };
        ensure!(
            written == ids.len() as u64,
            "{written} of {} parcels were written",
            ids.len()
        );
        Ok(())
    }

    /// Steps until nothing is due; how many parcels were checked.
    pub async fn run(mut self, claim: usize, apply: usize) -> anyhow::Result<usize> {
        let mut checked = 0;
        loop {
            match self.step(claim, apply).await? {
                0 => break,
                count => checked += count,
            }
        }
        self.close().await?;
        Ok(checked)
    }

    pub async fn close(self) -> anyhow::Result<()> {
        match self {
            Self::Postgres(connection) => connection.close().await?,
            Self::Sqlite(connection) => connection.close().await?,
        }
        Ok(())
    }
}
