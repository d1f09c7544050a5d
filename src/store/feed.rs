//! The feed of a tenant: what it is told, numbered without gaps in the order of the commits.
//!
//! The number comes from a row for each tenant, the head. It stays locked until the commit, so whoever gets the next numbers
//! commits later, and a reader who has seen a number has seen all before it. A sequence would not do: what takes its number
//! first may commit last, and who reads on after the greater number never sees it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, FromQueryResult};
use uuid::Uuid;

use crate::clock::Time;
use crate::model::facts::Facts;
use crate::model::news::News;
use crate::model::parcel::{Parcel, State};
use crate::model::status::{Direction, Status, SubStatus};
use crate::model::tenant::Tenant;
use crate::model::{Change, Tracking};
use crate::store::Store;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::parcels::{Listed, Moves};

/// How long, in milliseconds, a transaction that holds a head may be idle: all other writers of the tenant wait for it.
const HEAD_IDLE_MS: &str = "2000";

/// What kind of a change it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, strum::IntoStaticStr)]
pub enum Kind {
    /// The tenant has it from now on.
    Created,
    /// News of the carrier's.
    Updated,
    /// The shop changed its words, or whether it follows it.
    Edited,
    /// The shop has it no more.
    Removed,
}

impl Kind {
    /// Its number in the store.
    pub fn code(self) -> i16 {
        match self {
            Self::Created => 0,
            Self::Updated => 1,
            Self::Edited => 2,
            Self::Removed => 3,
        }
    }

    /// The kind of that number; `None` for one of a newer program, which this one cannot tell.
    pub fn from_code(code: i16) -> Option<Self> {
        match code {
            0 => Some(Self::Created),
            1 => Some(Self::Updated),
            2 => Some(Self::Edited),
            3 => Some(Self::Removed),
            _ => None,
        }
    }
}

/// One thing that a tenant is told.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    pub tenant: Tenant,
    pub what: What<'a>,
}

#[derive(Clone, Debug)]
pub(super) enum What<'a> {
    News(&'a News),
    /// An owner's act on a tracking as it is then, by the request of this id, with what is to be said of it as JSON.
    Act {
        kind: Kind,
        row: &'a Tracking,
        cause: Uuid,
        detail: Option<String>,
    },
}

/// A tenant, and the number of the last change it was told.
pub type Head = (Tenant, i64);

impl What<'_> {
    fn kind(&self) -> Kind {
        match self {
            Self::News(_) => Kind::Updated,
            Self::Act { kind, .. } => *kind,
        }
    }

    fn tracking_id(&self) -> i64 {
        match self {
            Self::News(news) => news.tracking_id,
            Self::Act { row, .. } => row.id,
        }
    }

    fn change_seq(&self) -> i64 {
        match self {
            Self::News(news) => news.change_seq,
            Self::Act { row, .. } => row.change_seq,
        }
    }

    fn cause(&self) -> Uuid {
        match self {
            Self::News(news) => news.cause,
            Self::Act { cause, .. } => *cause,
        }
    }

    fn state(&self) -> (Status, Option<SubStatus>, Direction, &str, Option<Time>) {
        match self {
            Self::News(it) => (
                it.status,
                it.sub_status,
                it.direction,
                &it.status_raw,
                it.status_at,
            ),
            Self::Act { row, .. } => (
                row.status,
                row.sub_status,
                row.direction,
                &row.status_raw,
                row.status_at,
            ),
        }
    }

    fn news(&self) -> Option<&News> {
        match self {
            Self::News(news) => Some(news),
            Self::Act { .. } => None,
        }
    }

    fn detail(&self) -> Option<&String> {
        match self {
            Self::News(_) => None,
            Self::Act { detail, .. } => detail.as_ref(),
        }
    }
}

impl Store {
    /// What the owners of these trackings are listed by follows the trackings. Answers what each of them is to be told, those
    /// who follow it alone.
    pub(super) async fn fan_out<'a>(
        &self,
        transaction: &Transaction,
        changes: &[Change],
        news: &'a [News],
        moves: &mut Moves,
    ) -> Result<Vec<Entry<'a>>, StoreError> {
        let moved = changes.iter().filter(|Change { old, new }| {
            new.change_seq != old.change_seq || new.is_failing() != old.is_failing()
        });
        let moved: BTreeMap<i64, &Change> = moved.map(|change| (change.new.id, change)).collect();
        if moved.is_empty() {
            return Ok(Vec::new());
        }
        let rows: Vec<&Tracking> = moved.values().map(|change| &change.old).collect();
        self.adopt(transaction, &rows, moves).await?;
        let changes: Vec<&Change> = moved.values().copied().collect();
        let set = self
            .set(&changes)
            .column("row_id", |it| it.new.id)
            .column("new_status", |it| it.new.status.code())
            .column("fails", |it| it.new.is_failing())
            .nullable("told_at", |it| {
                (it.new.change_seq != it.old.change_seq).then_some(it.new.changed_at)?
            });
        let sql = format!(
            "UPDATE parcels SET status = u.new_status, failing = u.fails, changed_at = COALESCE(u.told_at, parcels.changed_at) \
             FROM {} WHERE parcels.tracking_id = u.row_id RETURNING tenant_id, tracking_id, state, carrier_code, status",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let found = transaction.query_all_raw(sql.statement()).await?;
        let mut owners: BTreeMap<i64, Vec<Listed>> = BTreeMap::new();
        for listed in self.rows.readable::<Listed>(&found) {
            if let Some(change) = moved.get(&listed.tracking_id) {
                moves.count(&listed, 1);
                let before = Listed {
                    status: change.old.status,
                    ..listed.clone()
                };
                moves.count(&before, -1);
            }
            owners.entry(listed.tracking_id).or_default().push(listed);
        }
        let mut entries = Vec::new();
        for it in news {
            let owners = owners.get(&it.tracking_id).into_iter().flatten();
            let followers = owners.filter(|owner| owner.state == State::Followed);
            entries.extend(followers.map(|owner| Entry {
                tenant: owner.tenant,
                what: What::News(it),
            }));
        }
        Ok(entries)
    }

    /// Writes what tenants are told, and the counts. The heads stay locked from here to the commit: nothing but the database
    /// may be waited for.
    pub(super) async fn tell(
        &self,
        transaction: &Transaction,
        mut entries: Vec<Entry<'_>>,
        moves: Moves,
        now: Time,
    ) -> Result<Vec<Head>, StoreError> {
        // Stable: what a parcel's owner is told keeps its order.
        entries.sort_by_key(|entry| entry.tenant);
        let counts: Vec<(Tenant, i64)> = entries
            .chunk_by(|a, b| a.tenant == b.tenant)
            .map(|its| (its[0].tenant, its.len() as i64))
            .collect();
        let heads = self.move_heads(transaction, &counts, now).await?;
        let mut numbered = Vec::with_capacity(entries.len());
        let mut next: BTreeMap<Tenant, (i64, Time)> = BTreeMap::new();
        for (head, (tenant, count)) in std::iter::zip(&heads, &counts) {
            next.insert(*tenant, (head.last_seq - count, head.last_at.0));
        }
        for entry in &entries {
            if let Some((seq, at)) = next.get_mut(&entry.tenant) {
                *seq += 1;
                numbered.push((*seq, *at, entry));
            }
        }
        self.insert_changes(transaction, &numbered).await?;
        self.write_counts(transaction, moves).await?;
        let heads = heads.iter();
        Ok(heads
            .map(|head| (Tenant::from_row(head.tenant_id), head.last_seq))
            .collect())
    }

    /// Takes so many numbers for each tenant; in the order of the tenants, and so are the answers.
    async fn move_heads(
        &self,
        transaction: &Transaction,
        counts: &[(Tenant, i64)],
        now: Time,
    ) -> Result<Vec<HeadRow>, StoreError> {
        if counts.is_empty() {
            return Ok(Vec::new());
        }
        let set = self
            .set(counts)
            .column("tenant_id", |(tenant, _)| tenant.id())
            .column("n", |(_, n)| *n);
        let (limit, and_limit, greatest) = match self.dialect {
            Dialect::Postgres => (
                "WITH idle AS MATERIALIZED (SELECT set_config('idle_in_transaction_session_timeout', :idle, TRUE) AS limited)",
                " CROSS JOIN idle WHERE idle.limited IS NOT NULL",
                "GREATEST",
            ),
            Dialect::Sqlite => ("", " WHERE TRUE", "MAX"),
        };
        let sql = format!(
            "{limit} INSERT INTO feed_heads (tenant_id, last_seq, last_at) SELECT u.tenant_id, u.n, :now FROM {}{and_limit} \
             ORDER BY u.tenant_id ON CONFLICT (tenant_id) DO UPDATE SET last_seq = feed_heads.last_seq + excluded.last_seq, \
             last_at = {greatest}(feed_heads.last_at, excluded.last_at) RETURNING tenant_id, last_seq, last_at",
            set.from()
        );
        let sql = self.sql(sql).bind("now", now).bind("idle", HEAD_IDLE_MS);
        let sql = sql.bind_set(set);
        let rows = HeadRow::find_by_statement(sql.statement());
        let mut heads = rows.all(transaction).await?;
        heads.sort_by_key(|head| head.tenant_id);
        Ok(heads)
    }

    async fn insert_changes(
        &self,
        transaction: &Transaction,
        entries: &[(i64, Time, &Entry<'_>)],
    ) -> Result<(), StoreError> {
        if entries.is_empty() {
            return Ok(());
        }
        let word = |it: Option<SubStatus>| it.map(|word| word.to_string());
        let mut set = self
            .set(entries)
            .column("tenant_id", |(.., it)| it.tenant.id())
            .column("seq", |(seq, ..)| *seq)
            .column("kind", |(.., it)| it.what.kind().code())
            .column("tracking_id", |(.., it)| it.what.tracking_id())
            .column("change_seq", |(.., it)| it.what.change_seq())
            .column("cause", |(.., it)| it.what.cause())
            .column("at", |(_, at, _)| *at)
            .column("status", |(.., it)| it.what.state().0.code())
            .nullable("sub_status", |(.., it)| word(it.what.state().1))
            .column("direction", |(.., it)| it.what.state().2.to_string())
            .column("status_raw", |(.., it)| it.what.state().3.to_owned())
            .nullable("status_at", |(.., it)| it.what.state().4);
        if entries.iter().any(|(.., it)| it.what.news().is_some()) {
            set = set
                .nullable("was_status", |(.., it)| Some(it.what.news()?.was.0.code()))
                .nullable("was_sub_status", |(.., it)| word(it.what.news()?.was.1))
                .column("events", |(.., it)| {
                    names(it.what.news().map(|it| &it.events))
                })
                .column("events_total", |(.., it)| {
                    let total = it.what.news().map_or(0, |it| it.events_total);
                    i32::try_from(total).unwrap_or(i32::MAX)
                })
                .column("revised", |(.., it)| {
                    names(it.what.news().map(|it| &it.revised))
                });
        }
        let facts = |it: &Entry<'_>| it.what.news().and_then(|it| it.facts.clone());
        if entries.iter().any(|(.., it)| facts(it).is_some()) {
            set = set
                .nullable("facts", |(.., it)| Some(facts_json(facts(it)?.1.as_ref())))
                .nullable("was_facts", |(.., it)| {
                    Some(facts_json(facts(it)?.0.as_ref()))
                });
        }
        if entries.iter().any(|(.., it)| it.what.detail().is_some()) {
            set = set.nullable("detail", |(.., it)| it.what.detail().cloned());
        }
        let sql = set.insert_into("changes");
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }
}

#[derive(FromQueryResult)]
struct HeadRow {
    tenant_id: i32,
    last_seq: i64,
    last_at: crate::store::column::Stamp,
}

/// Names of events as a row has them.
fn names(names: Option<&Vec<u64>>) -> String {
    let names = names.into_iter().flatten();
    let names: Vec<Cow<'_, str>> = names.map(|name| format!("{name:016x}").into()).collect();
    names.join(",")
}

/// Facts as text; empty if there are none.
fn facts_json(facts: Option<&Facts>) -> String {
    let json = facts.map(serde_json::to_string);
    // Texts, numbers and times always serialize.
    json.and_then(Result::ok).unwrap_or_default()
}

/// What a parcel was when it was removed or edited, as its change keeps it.
pub(super) fn detail(row: &Tracking, parcel: &Parcel) -> String {
    serde_json::json!({
        "carrierCode": row.carrier_code.as_str(),
        "trackNumber": row.track_number.as_str(),
        "orderId": parcel.words.order_id,
    })
    .to_string()
}
