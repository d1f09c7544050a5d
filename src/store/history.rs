//! Histories: what is kept of the events of a batch's trackings, read whole to decide by, and written where it changed.

use std::collections::{HashMap, HashSet};

use sea_orm::{
    ColumnTrait as _, ConnectionTrait, EntityTrait as _, IdenStatic as _, QueryFilter as _,
    QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _,
};
use uuid::Uuid;

use crate::clock::Time;
use crate::model::history::{History, Kept};
use crate::model::status::{Status, SubStatus};
use crate::model::{CarrierCode, Event, Heard, Tracking};
use crate::store::Store;
use crate::store::column::{Key, Stamp};
use crate::store::entity::event::Column;
use crate::store::entity::tracking;
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::rows::{Readable, Unreadable, get};
use crate::store::set::Set;

/// What is read of an event, without its texts.
const COLUMNS: &str = "id, tracking_id, status, sub_status, status_raw, event_time, journey, digest, mapping_version, created_at, \
     own_status, own_sub_status, order_at, first_checked_at, first_check_id, place, whole, beside, taken_back, stated, \
     superseded, superseded_at";

/// A row of a history.
struct Row {
    tracking_id: i64,
    kept: Kept,
}

impl Readable for Row {
    const TABLE: &'static str = "tracking_events";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let meaning = |status: String, sub_status: Option<String>| {
            (
                Status::parse(&status).unwrap_or(Status::Unknown),
                sub_status.and_then(|word| SubStatus::parse(&word)),
            )
        };
        let shown = meaning(get(row, "status")?, get(row, "sub_status")?);
        let own: Option<String> = get(row, "own_status")?;
        let own_sub_status = get(row, "own_sub_status")?;
        let created_at: Stamp = get(row, "created_at")?;
        let first_checked_at: Option<Stamp> = get(row, "first_checked_at")?;
        let first_check_id: Option<Key> = get(row, "first_check_id")?;
        let order_at: Option<Stamp> = get(row, "order_at")?;
        let superseded_at: Option<Stamp> = get(row, "superseded_at")?;
        let digest: Vec<u8> = get(row, "digest")?;
        let beside: String = get(row, "beside")?;
        let names = beside.split(',').filter(|name| !name.is_empty());
        let names = names.map(|name| u64::from_str_radix(name, 16));
        Ok(Self {
            tracking_id: get(row, "tracking_id")?,
            kept: Kept {
                id: Some(get(row, "id")?),
                event: None,
                remapped: false,
                rewritten: false,
                digest: digest
                    .try_into()
                    .map_err(|_| Unreadable::new("digest", "it has not 32 bytes"))?,
                own: own.map_or(shown, |own| meaning(own, own_sub_status)),
                shown,
                status_raw: get(row, "status_raw")?,
                event_time: get::<Stamp>(row, "event_time")?.0,
                order_at: order_at.map(|at| at.0),
                journey: get(row, "journey")?,
                mapping_version: get(row, "mapping_version")?,
                first: (
                    first_checked_at.unwrap_or(created_at).0,
                    first_check_id.map_or(Uuid::nil(), |id| id.0),
                ),
                place: get(row, "place")?,
                whole: get(row, "whole")?,
                beside: names
                    .collect::<Result<_, _>>()
                    .map_err(|error| Unreadable::new("beside", error))?,
                taken_back: get(row, "taken_back")?,
                stated: get(row, "stated")?,
                superseded: get(row, "superseded")?,
                superseded_at: superseded_at.map(|at| at.0),
            },
        })
    }
}

/// A row of a history with the event's texts.
struct FullRow(Row);

impl Readable for FullRow {
    const TABLE: &'static str = Row::TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let mut read = Row::read(row)?;
        let kept = &mut read.kept;
        kept.event = Some(Event {
            status: kept.shown.0,
            sub_status: kept.shown.1,
            status_raw: kept.status_raw.clone(),
            event_time: kept.event_time,
            location: get(row, "location")?,
            message: get(row, "message")?,
            payload_json: get(row, "payload_json")?,
            mapping_version: kept.mapping_version,
            order_at: kept.order_at,
            taken_back: kept.taken_back,
            own: Some(kept.own),
            stated: kept.stated,
        });
        Ok(Self(read))
    }
}

impl Store {
    /// Trackings with an id above `after` that have a history, by id, at most `limit`, each with its whole history; only of
    /// `carrier` and changed `since` if these are given. The id of the last one that was looked at, or `None` at the end.
    pub async fn full_histories(
        &self,
        after: i64,
        limit: u32,
        carrier: Option<&CarrierCode>,
        since: Option<Time>,
    ) -> Result<(Vec<(Tracking, Vec<Kept>)>, Option<i64>), StoreError> {
        use tracking::Column as Of;
        let rows = tracking::Entity::find()
            .filter(Of::Id.gt(after))
            .filter(Of::Heard.eq(Heard::Seen.rank()))
            .apply_if(carrier, |rows, code| {
                rows.filter(Of::CarrierCode.eq(code.as_str()))
            })
            .apply_if(since, |rows, since| {
                rows.filter(Of::UpdatedAt.gte(Stamp(since)))
            })
            .order_by_asc(Of::Id)
            .limit(u64::from(limit));
        let rows: Vec<Tracking> = self.find(rows).await?;
        let last = rows.last().map(|row| row.id);
        Ok((self.with_histories(rows).await?, last))
    }

    /// The trackings with these ids, by id, each with its whole history.
    pub async fn histories_of(
        &self,
        ids: &[i64],
    ) -> Result<Vec<(Tracking, Vec<Kept>)>, StoreError> {
        let sql = self.by_ids_sql(ids, "");
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let mut rows: Vec<Tracking> = self.rows.readable(&found);
        rows.sort_by_key(|row| row.id);
        self.with_histories(rows).await
    }

    /// Trackings that were read before their histories: these are never older than the rows.
    async fn with_histories(
        &self,
        rows: Vec<Tracking>,
    ) -> Result<Vec<(Tracking, Vec<Kept>)>, StoreError> {
        let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
        let further = ", location, message, payload_json";
        let found = self.history_rows(&self.reader, &ids, further).await?;
        let full = self.rows.readable(&found).into_iter();
        let mut events = by_tracking(full.map(|FullRow(row)| row));
        let with = |row: Tracking| {
            let events = events.remove(&row.id).unwrap_or_default();
            (row, events)
        };
        Ok(rows.into_iter().map(with).collect())
    }

    /// The rows of [`COLUMNS`] and the `further` columns for the events of these trackings.
    async fn history_rows(
        &self,
        connection: &impl ConnectionTrait,
        ids: &[i64],
        further: &str,
    ) -> Result<Vec<QueryResult>, StoreError> {
        let set = self.set(ids).column("row_id", |id| *id);
        let sql = format!(
            "SELECT {COLUMNS}{further} FROM tracking_events WHERE tracking_id IN (SELECT u.row_id FROM {})",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        Ok(connection.query_all_raw(sql.statement()).await?)
    }

    /// The histories of these trackings, by id. The trackings are locked, so nobody else changes them.
    pub(super) async fn histories(
        &self,
        transaction: &Transaction,
        ids: &[i64],
    ) -> Result<HashMap<i64, History>, StoreError> {
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let found = self.history_rows(transaction, ids, "").await?;
        let events = by_tracking(self.rows.readable(&found));
        let histories = events
            .into_iter()
            .map(|(id, events)| (id, History::new(events)));
        Ok(histories.collect())
    }

    /// Writes what changed. Answers how many events are new or got a newer mapping's status, and how many of these are
    /// unmapped.
    pub(super) async fn write_histories(
        &self,
        transaction: &Transaction,
        histories: &HashMap<i64, History>,
        now: Time,
    ) -> Result<(u64, u64), StoreError> {
        let changed = histories.iter();
        let changed = changed.flat_map(|(id, history)| history.changed().map(|kept| (*id, kept)));
        let (mut new, known): (Vec<_>, Vec<_>) = changed.partition(|(_, kept)| kept.id.is_none());
        // So that the ids of a tracking's events follow their times, and two programs lock in the same order.
        new.sort_by_key(|(id, kept)| (*id, kept.event_time, kept.first, kept.place));
        let told = new
            .iter()
            .chain(known.iter().filter(|(_, kept)| kept.remapped));
        let told: Vec<_> = told.filter(|(_, kept)| !kept.stated).collect();
        let unmapped = told
            .iter()
            .filter(|(_, kept)| kept.shown.0 == Status::Unknown && kept.own != Event::KEEPS);
        let counts = (told.len() as u64, unmapped.count() as u64);
        // A tracking's events stay together, so that their ids keep the order.
        let odd: HashSet<i64> = new
            .iter()
            .filter(|(_, kept)| !is_plain(kept))
            .map(|(id, _)| *id)
            .collect();
        let (plain, odd): (Vec<_>, Vec<_>) = new.into_iter().partition(|(id, _)| !odd.contains(id));
        self.insert_events(transaction, with_facts(self.set(&plain)), now)
            .await?;
        let odd = with_rare_facts(with_facts(self.set(&odd)));
        self.insert_events(transaction, odd, now).await?;
        self.update_events(transaction, with_rare_facts(with_facts(self.set(&known))))
            .await?;
        let rewritten = known.into_iter().filter(|(_, kept)| kept.rewritten);
        let rewritten: Vec<_> = rewritten.collect();
        // The carrier's record as it is read today.
        let records = self
            .set(&rewritten)
            .column(Column::PayloadJson.as_str(), |(_, kept)| payload(kept));
        self.update_events(transaction, records).await?;
        Ok(counts)
    }

    /// Inserts a set of events with the facts that it has.
    async fn insert_events(
        &self,
        transaction: &Transaction,
        set: Set<'_, (i64, &Kept)>,
        now: Time,
    ) -> Result<(), StoreError> {
        if set.is_empty() {
            return Ok(());
        }
        let text = |kept: &Kept, of: fn(&Event) -> &String| {
            let event = kept.event.as_ref();
            event.map_or_else(String::new, |event| of(event).clone())
        };
        let set = set
            .column(Column::TrackingId.as_str(), |(id, _)| *id)
            .column(Column::StatusRaw.as_str(), |(_, kept)| {
                kept.status_raw.clone()
            })
            .column(Column::EventTime.as_str(), |(_, kept)| kept.event_time)
            .column(Column::Location.as_str(), |(_, kept)| {
                text(kept, |event| &event.location)
            })
            .column(Column::Message.as_str(), |(_, kept)| {
                text(kept, |event| &event.message)
            })
            .column(Column::PayloadJson.as_str(), |(_, kept)| payload(kept))
            .column(Column::Digest.as_str(), |(_, kept)| kept.digest.to_vec())
            .column(Column::Journey.as_str(), |(_, kept)| kept.journey);
        let sql = format!(
            "INSERT INTO tracking_events ({}, created_at) SELECT {}, :now FROM {} WHERE TRUE ORDER BY u.nth",
            set.names(""),
            set.names("u."),
            set.from()
        );
        let sql = self.sql(sql).bind("now", now).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Writes a set of what known events have now.
    async fn update_events(
        &self,
        transaction: &Transaction,
        set: Set<'_, (i64, &Kept)>,
    ) -> Result<(), StoreError> {
        if set.is_empty() {
            return Ok(());
        }
        let assignments = set.assignments();
        let set = set.column("row_id", |(_, kept)| kept.id.unwrap_or_default());
        let sql = format!(
            "UPDATE tracking_events SET {assignments} FROM {} WHERE tracking_events.id = u.row_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }
}

fn payload(kept: &Kept) -> String {
    let event = kept.event.as_ref();
    event.map_or_else(String::new, |event| event.payload_json.clone())
}

fn by_tracking(rows: impl IntoIterator<Item = Row>) -> HashMap<i64, Vec<Kept>> {
    let mut events: HashMap<i64, Vec<Kept>> = HashMap::new();
    for row in rows {
        events.entry(row.tracking_id).or_default().push(row.kept);
    }
    events
}

/// Whether nothing about an event is out of the ordinary, so that its other facts need not be written.
fn is_plain(kept: &Kept) -> bool {
    kept.own == kept.shown
        && kept.order_at.is_none()
        && kept.beside.is_empty()
        && !(kept.taken_back || kept.stated || kept.superseded)
}

/// The facts of every event, which may change after it was written.
fn with_facts<'a>(set: Set<'a, (i64, &'a Kept)>) -> Set<'a, (i64, &'a Kept)> {
    set.column(Column::Status.as_str(), |(_, kept)| {
        kept.shown.0.to_string()
    })
    .nullable(Column::SubStatus.as_str(), |(_, kept)| word(kept.shown.1))
    .nullable(Column::FirstCheckedAt.as_str(), |(_, kept)| {
        Some(kept.first.0)
    })
    .nullable(Column::FirstCheckId.as_str(), |(_, kept)| {
        Some(kept.first.1)
    })
    .column(Column::Place.as_str(), |(_, kept)| kept.place)
    .column(Column::Whole.as_str(), |(_, kept)| kept.whole)
    .column(Column::MappingVersion.as_str(), |(_, kept)| {
        kept.mapping_version
    })
}

/// The facts of few events, which may change too.
fn with_rare_facts<'a>(set: Set<'a, (i64, &'a Kept)>) -> Set<'a, (i64, &'a Kept)> {
    set.nullable(Column::OwnStatus.as_str(), |(_, kept)| {
        Some(kept.own.0.to_string())
    })
    .nullable(Column::OwnSubStatus.as_str(), |(_, kept)| word(kept.own.1))
    .nullable(Column::OrderAt.as_str(), |(_, kept)| kept.order_at)
    .column(Column::Beside.as_str(), |(_, kept)| {
        let names = kept.beside.iter().map(|name| format!("{name:x}"));
        names.collect::<Vec<_>>().join(",")
    })
    .column(Column::TakenBack.as_str(), |(_, kept)| kept.taken_back)
    .column(Column::Stated.as_str(), |(_, kept)| kept.stated)
    .column(Column::Superseded.as_str(), |(_, kept)| kept.superseded)
    .nullable(Column::SupersededAt.as_str(), |(_, kept)| {
        kept.superseded_at
    })
}

fn word(sub_status: Option<SubStatus>) -> Option<String> {
    sub_status.map(|word| word.to_string())
}
