//! Events: a tracking's history, and the report of unmapped codes.

use sea_orm::{ConnectionTrait as _, FromQueryResult as _, QueryResult};

use crate::clock::Time;
use crate::model::status::{Status, SubStatus};
use crate::model::tenant::Tenant;
use crate::model::{Event, TrackingEvent};
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::entity::columns;
use crate::store::entity::event::{Entity, Model};
use crate::store::error::StoreError;
use crate::store::parcels::OWNED;
use crate::store::rows::{Readable, Unreadable, get};

/// How many of the newest unmapped events the report covers.
const UNMAPPED_SCAN_MAX: i64 = 100_000;

const TABLE: &str = "tracking_events";

/// A carrier's code or text that its adapter maps to no status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmapped {
    pub carrier_code: String,
    pub status_raw: String,
    /// The text of one such event.
    pub message: String,
    /// How many of the newest 100,000 unmapped events have it.
    pub count: i64,
    pub last_seen_at: Time,
    /// One tracking that has it.
    pub tracking_id: i64,
}

/// An event with the times that tell how late it was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenEvent {
    pub id: i64,
    pub carrier_code: String,
    pub status: Status,
    pub event_time: Time,
    /// When it was applied.
    pub seen_at: Time,
    /// When its tracking was created: an older event could not have been seen in time.
    pub tracked_at: Time,
}

impl Store {
    /// The events that were applied after the one with the id `after`, at most `limit`, in that order.
    pub async fn events_after(&self, after: i64, limit: u32) -> Result<Vec<SeenEvent>, StoreError> {
        let sql = self
            .sql(
                "SELECT e.id, t.carrier_code, e.status, e.event_time, e.created_at, t.created_at AS tracked_at \
                 FROM (SELECT id, tracking_id, status, event_time, created_at FROM tracking_events WHERE id > :after AND NOT stated \
                       ORDER BY id LIMIT :limit) AS e \
                 JOIN trackings AS t ON t.id = e.tracking_id ORDER BY e.id",
            )
            .bind("after", after)
            .bind("limit", i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        self.rows.answer(&found)
    }

    /// A tracking's events by time and id, both descending, those superseded only if `superseded`; `None` if the tenant has no such
    /// tracking. The id of a tracking that was folded into another one gives that one's.
    pub async fn events(
        &self,
        tenant: Tenant,
        tracking_id: i64,
        superseded: bool,
        limit: u32,
        offset: u64,
    ) -> Result<Option<Vec<TrackingEvent>>, StoreError> {
        // Most have some, so that one question answers both.
        let events = self
            .events_of(tenant, tracking_id, superseded, limit, offset)
            .await?;
        if !events.is_empty() || self.owns(tenant, tracking_id).await? {
            return Ok(Some(events));
        }
        match self.aliases(&[tracking_id]).await?.get(&tracking_id) {
            Some(alias) if self.owns(tenant, *alias).await? => {
                let events = self.events_of(tenant, *alias, superseded, limit, offset);
                events.await.map(Some)
            }
            Some(_) | None => Ok(None),
        }
    }

    /// None also if the tracking is not the tenant's.
    async fn events_of(
        &self,
        tenant: Tenant,
        tracking_id: i64,
        superseded: bool,
        limit: u32,
        offset: u64,
    ) -> Result<Vec<TrackingEvent>, StoreError> {
        let valid = if superseded { "" } else { "AND NOT superseded" };
        let sql = format!(
            "SELECT {} FROM tracking_events WHERE tracking_id = :id AND NOT stated {valid} \
             AND EXISTS (SELECT 1 FROM trackings AS t WHERE t.id = :id AND {OWNED}) \
             ORDER BY event_time DESC, id DESC LIMIT :limit OFFSET :offset",
            columns::<Entity>("")
        );
        let sql = self.sql(sql).bind("id", tracking_id);
        let sql = sql.bind("tenant", tenant.id());
        let sql = sql.bind("limit", i64::from(limit));
        // Both databases read it as a signed number.
        let offset = i64::try_from(offset).unwrap_or(i64::MAX);
        let sql = sql.bind("offset", offset);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        self.rows.answer(&found)
    }

    /// The unmapped codes among the newest unmapped events, the most frequent first, at most `limit`.
    pub async fn unmapped(&self, limit: u32) -> Result<Vec<Unmapped>, StoreError> {
        let (keeps, _) = Event::KEEPS;
        let sql = self
            .sql(
                "SELECT t.carrier_code AS carrier_code, e.status_raw AS status_raw, MAX(e.message) AS message, \
                 COUNT(*) AS count, MAX(e.created_at) AS last_seen_at, MAX(e.tracking_id) AS tracking_id \
                 FROM (SELECT tracking_id, status_raw, message, created_at FROM tracking_events \
                       WHERE status = 'UNKNOWN' AND NOT stated AND COALESCE(own_status, '') <> :keeps \
                       AND superseded_at IS NULL ORDER BY id DESC LIMIT :scan) AS e \
                 JOIN trackings AS t ON t.id = e.tracking_id \
                 GROUP BY t.carrier_code, e.status_raw ORDER BY count DESC, carrier_code, status_raw LIMIT :limit",
            )
            .bind("scan", UNMAPPED_SCAN_MAX)
            .bind("keeps", keeps.as_str())
            .bind("limit", i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        self.rows.answer(&found)
    }
}

impl Readable for TrackingEvent {
    const TABLE: &'static str = TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        Ok(Self {
            id: row.id,
            tracking_id: row.tracking_id,
            event: Event {
                status: Status::parse(&row.status).unwrap_or(Status::Unknown),
                sub_status: row.sub_status.and_then(|word| SubStatus::parse(&word)),
                status_raw: row.status_raw,
                event_time: row.event_time.0,
                location: row.location,
                message: row.message,
                payload_json: row.payload_json,
                mapping_version: row.mapping_version,
                order_at: row.order_at.map(|at| at.0),
                taken_back: row.taken_back,
                own: None,
                stated: row.stated,
            },
            created_at: row.created_at.0,
            superseded: row.superseded,
            superseded_at: row.superseded_at.map(|at| at.0),
        })
    }
}

impl Readable for SeenEvent {
    const TABLE: &'static str = TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let status: String = get(row, "status")?;
        Ok(Self {
            id: get(row, "id")?,
            carrier_code: get(row, "carrier_code")?,
            status: Status::parse(&status).unwrap_or(Status::Unknown),
            event_time: get::<Stamp>(row, "event_time")?.0,
            seen_at: get::<Stamp>(row, "created_at")?.0,
            tracked_at: get::<Stamp>(row, "tracked_at")?.0,
        })
    }
}

impl Readable for Unmapped {
    const TABLE: &'static str = TABLE;
    const KEY: &'static str = "tracking_id";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            carrier_code: get(row, "carrier_code")?,
            status_raw: get(row, "status_raw")?,
            message: get(row, "message")?,
            count: get(row, "count")?,
            last_seen_at: get::<Stamp>(row, "last_seen_at")?.0,
            tracking_id: get(row, "tracking_id")?,
        })
    }
}
