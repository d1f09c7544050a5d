//! Events: a tracking's history, and the report of codes that nobody mapped.

use sea_orm::{ConnectionTrait, QueryResult};

use crate::clock::Time;
use crate::model::status::{Status, SubStatus};
use crate::model::{Event, TrackingEvent};
use crate::store::dialect::Dialect;
use crate::store::sql::Row;
use crate::store::{Store, StoreError};

/// How many of the newest unmapped events the report looks at.
const UNMAPPED_SCAN_MAX: i64 = 100_000;

/// A carrier's code or text that no adapter knows a status for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmapped {
    pub carrier_code: String,
    pub status_raw: String,
    /// The text of one such event.
    pub message: String,
    /// How many of the newest 100,000 unmapped events carry it.
    pub count: i64,
    pub last_seen_at: Time,
    /// One tracking that has it.
    pub tracking_id: i64,
}

/// An event as it came to be known: how long it stayed unseen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenEvent {
    pub id: i64,
    pub carrier_code: String,
    pub status: Status,
    pub event_time: Time,
    /// When it was applied.
    pub seen_at: Time,
    /// When its tracking was made; older events were there before anybody looked.
    pub tracked_at: Time,
}

impl Store {
    /// The events that came after the one with the id `after`, up to `limit`, in the order in which they came.
    pub async fn events_after(&self, after: i64, limit: u32) -> Result<Vec<SeenEvent>, StoreError> {
        let sql = self
            .sql(
                "SELECT e.id, t.carrier_code, e.status, e.event_time, e.created_at, t.created_at AS tracked_at \
                 FROM (SELECT id, tracking_id, status, event_time, created_at FROM tracking_events WHERE id > $1 \
                       ORDER BY id LIMIT $2) AS e \
                 JOIN trackings AS t ON t.id = e.tracking_id ORDER BY e.id",
            )
            .bind(after)
            .bind(i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        found
            .iter()
            .map(|row| {
                let row = Row::new(row, self.dialect, "tracking_events");
                Ok(SeenEvent {
                    id: row.get("id")?,
                    carrier_code: row.get("carrier_code")?,
                    status: Status::parse(&row.get::<String>("status")?).unwrap_or(Status::Unknown),
                    event_time: row.time("event_time")?,
                    seen_at: row.time("created_at")?,
                    tracked_at: row.time("tracked_at")?,
                })
            })
            .collect()
    }

    /// A tracking's events by time and id, both descending; `None` where there is no such tracking.
    pub async fn events(
        &self,
        tracking_id: i64,
        limit: u32,
        offset: u64,
    ) -> Result<Option<Vec<TrackingEvent>>, StoreError> {
        let sql = self
            .sql(
                "SELECT id, tracking_id, status, sub_status, status_raw, event_time, location, message, \
                 payload_json, mapping_version, created_at FROM tracking_events WHERE tracking_id = $1 \
                 ORDER BY event_time DESC, id DESC LIMIT $2 OFFSET $3",
            )
            .bind(tracking_id)
            .bind(i64::from(limit))
            .bind(i64::try_from(offset).unwrap_or(i64::MAX));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        if found.is_empty() {
            let known = self
                .sql("SELECT 1 AS one FROM trackings WHERE id = $1")
                .bind(tracking_id);
            if self
                .reader
                .query_one_raw(known.statement())
                .await?
                .is_none()
            {
                return Ok(None);
            }
        }
        let events: Result<Vec<TrackingEvent>, StoreError> =
            found.iter().map(|row| read(row, self.dialect)).collect();
        events.map(Some)
    }

    /// The unmapped codes among the newest unmapped events, the most frequent first, at most `limit`.
    pub async fn unmapped(&self, limit: u32) -> Result<Vec<Unmapped>, StoreError> {
        let sql = self
            .sql(
                "SELECT t.carrier_code AS carrier_code, e.status_raw AS status_raw, MAX(e.message) AS message, \
                 COUNT(*) AS count, MAX(e.created_at) AS last_seen_at, MAX(e.tracking_id) AS tracking_id \
                 FROM (SELECT tracking_id, status_raw, message, created_at FROM tracking_events \
                       WHERE status = 'UNKNOWN' ORDER BY id DESC LIMIT $1) AS e \
                 JOIN trackings AS t ON t.id = e.tracking_id \
                 GROUP BY t.carrier_code, e.status_raw ORDER BY count DESC, carrier_code, status_raw LIMIT $2",
            )
            .bind(UNMAPPED_SCAN_MAX)
            .bind(i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        found
            .iter()
            .map(|row| {
                let row = Row::new(row, self.dialect, "tracking_events");
                Ok(Unmapped {
                    carrier_code: row.get("carrier_code")?,
                    status_raw: row.get("status_raw")?,
                    message: row.get("message")?,
                    count: row.get("count")?,
                    last_seen_at: row.time("last_seen_at")?,
                    tracking_id: row.get("tracking_id")?,
                })
            })
            .collect()
    }
}

fn read(row: &QueryResult, dialect: Dialect) -> Result<TrackingEvent, StoreError> {
    let row = Row::new(row, dialect, "tracking_events");
    let sub_status: Option<String> = row.get("sub_status")?;
    Ok(TrackingEvent {
        id: row.get("id")?,
        tracking_id: row.get("tracking_id")?,
        event: Event {
            status: Status::parse(&row.get::<String>("status")?).unwrap_or(Status::Unknown),
            sub_status: sub_status.and_then(|word| SubStatus::parse(&word)),
            status_raw: row.get("status_raw")?,
            event_time: row.time("event_time")?,
            location: row.get("location")?,
            message: row.get("message")?,
            payload_json: row.get("payload_json")?,
            mapping_version: row.get("mapping_version")?,
        },
        created_at: row.time("created_at")?,
    })
}
