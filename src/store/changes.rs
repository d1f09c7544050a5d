//! Reading the feed of a tenant.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait as _, FromQueryResult, QueryResult};

use crate::clock::Time;
use crate::model::change::{Cursor, Identity};
use crate::model::facts::Facts;
use crate::model::history::name;
use crate::model::parcel::Parcel;
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::tenant::Tenant;
use crate::model::{CarrierCode, TrackNumber, TrackingEvent};
use crate::store::Store;
use crate::store::column::{Key, Stamp};
use crate::store::entity::columns;
use crate::store::entity::event;
use crate::store::error::StoreError;
use crate::store::feed::Kind;
use crate::store::parcels::COLUMNS;
use crate::store::rows::{Readable, Unreadable, get};

const TABLE: &str = "changes";

/// The most changes that one page reads.
pub const PAGE_MAX: u32 = 500;

/// A change as it is told.
#[derive(Clone, Debug)]
pub struct ToldChange {
    pub seq: i64,
    pub identity: Identity,
    pub kind: Kind,
    pub at: Time,
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    pub direction: Direction,
    pub status_raw: String,
    pub status_at: Option<Time>,
    pub was: Option<(Status, Option<SubStatus>)>,
    /// The facts before and after, if they changed.
    pub facts: Option<(Option<Facts>, Option<Facts>)>,
    pub events: Vec<TrackingEvent>,
    pub events_total: u32,
    pub revised: Vec<TrackingEvent>,
    /// Which parcel it is of, as JSON, if that was removed.
    pub detail: Option<String>,
    /// The tracking's pair and the tenant's view of it now; `None` if it was removed.
    pub parcel: Option<(CarrierCode, TrackNumber, Parcel)>,
}

impl ToldChange {
    /// The names of people in its facts.
    pub fn names(&mut self) -> impl Iterator<Item = &mut Option<String>> {
        let facts = self.facts.iter_mut();
        let facts = facts.flat_map(|(before, now)| before.iter_mut().chain(now));
        let names = facts.map(|facts| &mut facts.signed_by);
        names.filter(|name| name.is_some())
    }
}

/// Where a feed begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub kept_from: i64,
    pub last_seq: i64,
}

/// A part of a feed.
#[derive(Clone, Debug)]
pub struct Page {
    pub changes: Vec<ToldChange>,
    /// Behind the last change that was looked at.
    pub next: Cursor,
    /// Whether there were changes behind it.
    pub more: bool,
}

/// Why a page cannot be read.
#[derive(Debug)]
pub enum PageError {
    /// The cursor names a change that is not kept any more, or that never was in this database.
    Expired,
    Store(StoreError),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A row of the page, with the names of its events.
struct Row {
    /// Whether there is something to be told.
    is_told: bool,
    change: ToldChange,
    events: Vec<u64>,
    revised: Vec<u64>,
}

impl Readable for Row {
    const TABLE: &'static str = TABLE;
    const KEY: &'static str = "seq";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let word = |name: &str| {
            let word: Option<String> = get(row, name)?;
            Ok::<_, Unreadable>(word.and_then(|word| SubStatus::parse(&word)))
        };
        let facts = |name: &str| {
            let json: Option<String> = get(row, name)?;
            Ok::<_, Unreadable>(json.map(|json| Facts::read(&json)))
        };
        let was: Option<i16> = get(row, "was_status")?;
        let kind: i16 = get(row, "kind")?;
        let direction: String = get(row, "direction")?;
        let total: i32 = get(row, "events_total")?;
        let tenant = Tenant::from_row(get(row, "of_tenant")?);
        let parcel = match get::<Option<String>>(row, "carrier_code")? {
            Some(code) if get::<Option<i32>>(row, "tenant_id")?.is_some() => {
                let code = CarrierCode::parse(code);
                let number = TrackNumber::parse(get::<String>(row, "track_number")?);
                Some((
                    code.map_err(|error| Unreadable::new("carrier_code", error))?,
                    number.map_err(|error| Unreadable::new("track_number", error))?,
                    Parcel::read(row)?,
                ))
            }
            Some(_) | None => None,
        };
        let known = Kind::from_code(kind);
        Ok(Self {
            is_told: known.is_some() && !get::<bool>(row, "gone")?,
            change: ToldChange {
                seq: get(row, "seq")?,
                identity: Identity {
                    tenant,
                    tracking_id: get(row, "of_tracking")?,
                    kind,
                    change_seq: get(row, "change_seq")?,
                    cause: get::<Key>(row, "cause")?.0,
                },
                kind: known.unwrap_or(Kind::Edited),
                at: get::<Stamp>(row, "at")?.0,
                status: Status::from_code(get(row, "status")?),
                sub_status: word("sub_status")?,
                direction: Direction::parse(&direction).unwrap_or(Direction::Forward),
                status_raw: get(row, "status_raw")?,
                status_at: get::<Option<Stamp>>(row, "status_at")?.map(|at| at.0),
                was: was
                    .map(|was| {
                        Ok::<_, Unreadable>((Status::from_code(was), word("was_sub_status")?))
                    })
                    .transpose()?,
                facts: facts("was_facts")?.zip(facts("facts")?),
                events: Vec::new(),
                events_total: total.unsigned_abs(),
                revised: Vec::new(),
                detail: get(row, "detail")?,
                parcel,
            },
            events: names(&get::<String>(row, "events")?)?,
            revised: names(&get::<String>(row, "revised")?)?,
        })
    }
}

fn names(text: &str) -> Result<Vec<u64>, Unreadable> {
    let names = text.split(',').filter(|name| !name.is_empty());
    let names = names.map(|name| u64::from_str_radix(name, 16));
    names
        .collect::<Result<_, _>>()
        .map_err(|error| Unreadable::new("events", error))
}

#[derive(FromQueryResult)]
struct EndsRow {
    tenant_id: i32,
    last_seq: i64,
    kept_from: i64,
}

/// A change's place and what identifies it.
struct Named {
    seq: i64,
    identity: Identity,
}

impl Readable for Named {
    const TABLE: &'static str = TABLE;
    const KEY: &'static str = "seq";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            seq: get(row, "seq")?,
            identity: Identity {
                tenant: Tenant::from_row(get(row, "tenant_id")?),
                tracking_id: get(row, "tracking_id")?,
                kind: get(row, "kind")?,
                change_seq: get(row, "change_seq")?,
                cause: get::<Key>(row, "cause")?.0,
            },
        })
    }
}

impl Store {
    /// Where the feeds of these tenants begin and end; those of whom nothing was told yet are left out.
    pub async fn feed_ends(&self, tenants: &[Tenant]) -> Result<HashMap<Tenant, Ends>, StoreError> {
        let set = self.set(tenants).column("of_tenant", |it| it.id());
        let sql = format!(
            "SELECT h.tenant_id, h.last_seq, h.kept_from FROM {} CROSS JOIN feed_heads AS h WHERE h.tenant_id = u.of_tenant",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let rows = EndsRow::find_by_statement(sql.statement());
        let rows = rows.all(&self.reader).await?.into_iter().map(|row| {
            let ends = Ends {
                kept_from: row.kept_from,
                last_seq: row.last_seq,
            };
            (Tenant::from_row(row.tenant_id), ends)
        });
        Ok(rows.collect())
    }

    /// The cursor behind the last change that the tenant was told.
    pub async fn feed_end(&self, tenant: Tenant) -> Result<Cursor, StoreError> {
        let ends = self.feed_ends(&[tenant]).await?;
        let Some(ends) = ends.get(&tenant) else {
            return Ok(Cursor::START);
        };
        let named = self.named(tenant, ends.last_seq).await?;
        Ok(named.map_or(Cursor::unseen(ends.last_seq), |named| {
            Cursor::behind(named.seq, &named.identity)
        }))
    }

    async fn named(&self, tenant: Tenant, seq: i64) -> Result<Option<Named>, StoreError> {
        let sql = "SELECT tenant_id, seq, kind, tracking_id, change_seq, cause FROM changes \
                   WHERE tenant_id = :tenant AND seq = :seq";
        let sql = self.sql(sql).bind("tenant", tenant.id()).bind("seq", seq);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let named: Vec<Named> = self.rows.answer(&found)?;
        Ok(named.into_iter().next())
    }

    /// The changes behind a cursor in their order, at most `limit` and [`PAGE_MAX`], without those of parcels that were
    /// removed since. Without a cursor, from the oldest that is kept.
    ///
    /// # Errors
    /// [`PageError::Expired`].
    pub async fn changes(
        &self,
        tenant: Tenant,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, PageError> {
        let ends = self.feed_ends(&[tenant]).await?;
        let ends = ends.get(&tenant).copied().unwrap_or(Ends {
            kept_from: 1,
            last_seq: 0,
        });
        let after = after.unwrap_or(Cursor::unseen(ends.kept_from - 1));
        if after.seq + 1 < ends.kept_from || after.seq > ends.last_seq {
            return Err(PageError::Expired);
        }
        if after.seq >= ends.kept_from {
            let named = self.named(tenant, after.seq).await?;
            if !named.is_some_and(|named| after.names(&named.identity)) {
                return Err(PageError::Expired);
            }
        }
        let sql = format!(
            "SELECT c.tenant_id AS of_tenant, c.seq, c.kind, c.tracking_id AS of_tracking, c.change_seq, c.cause, c.at, c.status, \
             c.sub_status, c.direction, c.status_raw, c.status_at, c.was_status, c.was_sub_status, c.facts, c.was_facts, c.events, \
             c.events_total, c.revised, c.gone, c.detail, t.carrier_code, t.track_number, {COLUMNS} FROM changes AS c \
             LEFT JOIN parcels AS p ON p.tenant_id = c.tenant_id AND p.tracking_id = c.tracking_id \
             LEFT JOIN trackings AS t ON t.id = p.tracking_id \
             WHERE c.tenant_id = :tenant AND c.seq > :after AND c.seq <= :until ORDER BY c.seq"
        );
        let until = after.seq.saturating_add(i64::from(limit.min(PAGE_MAX)));
        let sql = self.sql(sql).bind("tenant", tenant.id());
        let sql = sql.bind("after", after.seq).bind("until", until);
        let found = self
            .reader
            .query_all_raw(sql.statement())
            .await
            .map_err(StoreError::from)?;
        let mut rows: Vec<Row> = self.rows.readable(&found);
        let last = rows.last().map(|row| &row.change);
        let next = last.map_or(after, |last| Cursor::behind(last.seq, &last.identity));
        rows.retain(|row| row.is_told);
        self.add_events(&mut rows).await?;
        Ok(Page {
            changes: rows.into_iter().map(|row| row.change).collect(),
            more: next.seq < ends.last_seq,
            next,
        })
    }

    /// Reads the events that the changes name.
    async fn add_events(&self, rows: &mut [Row]) -> Result<(), StoreError> {
        let wanted = rows.iter().flat_map(|row| {
            let names = row.events.iter().chain(&row.revised);
            names.map(|name| (row.change.identity.tracking_id, *name))
        });
        let mut wanted: Vec<(i64, u64)> = wanted.collect();
        wanted.sort_unstable();
        wanted.dedup();
        if wanted.is_empty() {
            return Ok(());
        }
        let digest = |name: u64, rest: u8| {
            let mut digest = name.to_be_bytes().to_vec();
            digest.resize(32, rest);
            digest
        };
        let set = self
            .set(&wanted)
            .column("of_tracking", |(id, _)| *id)
            .column("first_digest", |(_, name)| digest(*name, 0))
            .column("last_digest", |(_, name)| digest(*name, u8::MAX));
        let sql = format!(
            "SELECT {} FROM {} CROSS JOIN tracking_events AS e WHERE e.tracking_id = u.of_tracking \
             AND e.digest BETWEEN u.first_digest AND u.last_digest",
            columns::<event::Entity>("e."),
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let mut events: HashMap<(i64, u64), TrackingEvent> = HashMap::new();
        for event in self.rows.readable::<Digested>(&found) {
            events.insert((event.event.tracking_id, event.name), event.event);
        }
        for row in rows {
            let id = row.change.identity.tracking_id;
            let find = |names: &[u64]| {
                let found = names.iter().filter_map(|name| events.get(&(id, *name)));
                found.cloned().collect()
            };
            row.change.events = find(&row.events);
            row.change.revised = find(&row.revised);
        }
        Ok(())
    }
}

/// An event with its name.
struct Digested {
    name: u64,
    event: TrackingEvent,
}

impl Readable for Digested {
    const TABLE: &'static str = TrackingEvent::TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let digest: Vec<u8> = get(row, "digest")?;
        let digest = digest
            .try_into()
            .map_err(|_| Unreadable::new("digest", "it has not 32 bytes"))?;
        Ok(Self {
            name: name(&digest),
            event: TrackingEvent::read(row)?,
        })
    }
}
