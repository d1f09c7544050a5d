//! Finding parcels: pages of a tenant's list.
//!
//! Each question is led by one index, chosen here and not by the planner, and read in its order from where the last page
//! ended. What else is asked is tested on the rows that it gives, at most [`LOOKED_AT_MAX`] a page: so no question costs more,
//! and a page may be short although more follow.

use sea_orm::{ConnectionTrait as _, QueryResult};

use crate::clock::Time;
use crate::model::parcel::State;
use crate::model::status::Status;
use crate::model::tenant::Tenant;
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

/// The most rows that are looked at for one page.
pub const LOOKED_AT_MAX: usize = 5_000;

/// How many rows one query reads: few for the first part of a small page. Literals in the statement: for a parameter
/// PostgreSQL would plan to read a tenth of the table.
const CHUNKS: [usize; 2] = [51, 501];

/// What is asked for: all that is given must hold, and of a list one of its words.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    /// Without any: all but the archived ones.
    pub states: Vec<State>,
    pub statuses: Vec<Status>,
    /// As parcels have it.
    pub carriers: Vec<String>,
    pub label: Option<String>,
    /// As [`order_key`](crate::model::parcel::order_key) has it.
    pub order_key: Option<String>,
    /// What a number begins with, as [`number_key`](crate::model::parcel::number_key) has it.
    pub number_key: Option<String>,
    pub failing: Option<bool>,
}

/// Where the next page begins: behind this row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub tracking_id: i64,
    pub changed_at: Time,
    pub number_key: String,
}

/// A page of a list.
#[derive(Clone, Debug, Default)]
pub struct Found {
    pub ids: Vec<i64>,
    /// `None` at the end.
    pub next: Option<Place>,
}

/// The order in which an index gives its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// The newest change first.
    Changed,
    /// The newest tracking first.
    Created,
    /// By number.
    Number,
}

/// A row that may be one of those that are asked for.
#[derive(Clone, Debug)]
struct Candidate {
    place: Place,
    state: State,
    status: Status,
    carrier_code: String,
    order_key: Option<String>,
    labels: Vec<String>,
    failing: bool,
}

impl Readable for Candidate {
    const TABLE: &'static str = "parcels";
    const KEY: &'static str = "tracking_id";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let labels: String = get(row, "labels")?;
        Ok(Self {
            place: Place {
                tracking_id: get(row, "tracking_id")?,
                changed_at: get::<Stamp>(row, "changed_at")?.0,
                number_key: get(row, "number_key")?,
            },
            state: State::from_code(get(row, "state")?),
            status: Status::from_code(get(row, "status")?),
            carrier_code: get(row, "carrier_code")?,
            order_key: get(row, "order_key")?,
            labels: serde_json::from_str(&labels)
                .map_err(|error| Unreadable::new("labels", error))?,
            failing: get(row, "failing")?,
        })
    }
}

impl Filter {
    /// Whether a row is one of those asked for.
    fn takes(&self, row: &Candidate) -> bool {
        let any = |list: &[String], it: &String| list.is_empty() || list.contains(it);
        let states = if self.states.is_empty() {
            row.state != State::Archived
        } else {
            self.states.contains(&row.state)
        };
        states
            && (self.statuses.is_empty() || self.statuses.contains(&row.status))
            && any(&self.carriers, &row.carrier_code)
            && self.label.iter().all(|it| row.labels.contains(it))
            && self
                .order_key
                .as_ref()
                .is_none_or(|it| Some(it) == row.order_key.as_ref())
            && self
                .number_key
                .iter()
                .all(|it| row.place.number_key.starts_with(it.as_str()))
            && self.failing.is_none_or(|it| it == row.failing)
    }

    /// The ranges of rows that all lie in one index, and the order in which it gives them. More ranges are merged.
    fn ranges(&self) -> (Vec<String>, Order) {
        if self.order_key.is_some() {
            let range = "p.order_key = :order_key".to_owned();
            return (vec![range], Order::Created);
        }
        if self.number_key.is_some() {
            let range = "p.number_key >= :number_key AND p.number_key < :number_end".to_owned();
            return (vec![range], Order::Number);
        }
        if self.label.is_some() {
            return (vec![String::new()], Order::Created);
        }
        if self.states == [State::Archived] {
            return (vec!["p.state = 2".to_owned()], Order::Changed);
        }
        if self.states.contains(&State::Archived) {
            return (vec!["TRUE".to_owned()], Order::Created);
        }
        if self.failing == Some(true) {
            let range = "p.failing AND p.state < 2".to_owned();
            return (vec![range], Order::Changed);
        }
        let every = <Status as strum::VariantArray>::VARIANTS;
        let statuses = if self.statuses.is_empty() {
            every
        } else {
            &self.statuses
        };
        let mut codes: Vec<i16> = statuses.iter().map(|status| status.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        let of_carrier = match self.carriers.as_slice() {
            [_] => "p.carrier_code = :carrier AND ",
            _ => "",
        };
        let range = |code: i16| format!("{of_carrier}p.status = {code} AND p.state < 2");
        (codes.into_iter().map(range).collect(), Order::Changed)
    }
}

/// The least text above all that begin with `prefix`.
fn end_of(prefix: &str) -> String {
    // No key has it: they are of letters and digits.
    format!("{prefix}\u{10FFFF}")
}

impl Store {
    /// A page of the tenant's parcels: at most `limit`, those behind `after`.
    pub async fn find_parcels(
        &self,
        tenant: Tenant,
        filter: &Filter,
        after: Option<&Place>,
        limit: usize,
    ) -> Result<Found, StoreError> {
        let mut found = Found::default();
        let mut after = after.cloned();
        let mut looked_at = 0;
        while looked_at < LOOKED_AT_MAX {
            let chunk = CHUNKS[usize::from(looked_at > 0 || limit >= CHUNKS[0])];
            let rows = self
                .candidates(tenant, filter, after.as_ref(), chunk)
                .await?;
            let is_last = rows.len() < chunk;
            let rows: Vec<Candidate> = self.rows.readable(&rows);
            for row in &rows {
                looked_at += 1;
                if !filter.takes(row) {
                    continue;
                }
                if found.ids.len() == limit {
                    found.next = after;
                    return Ok(found);
                }
                found.ids.push(row.place.tracking_id);
                after = Some(row.place.clone());
            }
            if is_last {
                return Ok(found);
            }
            let Some(last) = rows.last() else {
                return Ok(found);
            };
            after = Some(last.place.clone());
        }
        found.next = after;
        Ok(found)
    }

    /// The next rows of the index that leads.
    async fn candidates(
        &self,
        tenant: Tenant,
        filter: &Filter,
        after: Option<&Place>,
        chunk: usize,
    ) -> Result<Vec<QueryResult>, StoreError> {
        const COLUMNS: &str = "p.tracking_id, p.changed_at, p.number_key, p.state, p.status, p.carrier_code, p.order_key, \
                               p.labels, p.failing";
        let (ranges, order) = filter.ranges();
        let (behind, by) = match order {
            Order::Changed => (
                "(p.changed_at, p.tracking_id) < (:changed_at, :id)",
                "changed_at DESC, tracking_id DESC",
            ),
            Order::Created => ("p.tracking_id < :id", "tracking_id DESC"),
            Order::Number => (
                "(p.number_key, p.tracking_id) > (:after_number, :id)",
                "number_key, tracking_id",
            ),
        };
        let behind = after.map_or_else(String::new, |_| format!(" AND {behind}"));
        let order_by = |prefix: &str| {
            let by = by.split(", ").map(|by| format!("{prefix}{by}"));
            by.collect::<Vec<_>>().join(", ")
        };
        let parts = ranges.iter().map(|range| {
            if range.is_empty() {
                let behind = behind.replace("p.", "l.");
                // The label leads, and each of its rows is looked up.
                return format!(
                    "SELECT {COLUMNS} FROM (SELECT l.tracking_id FROM parcel_labels AS l WHERE l.tenant_id = :tenant \
                     AND l.label = :label{behind} ORDER BY l.tracking_id DESC LIMIT {chunk}) AS labelled \
                     JOIN parcels AS p ON p.tenant_id = :tenant AND p.tracking_id = labelled.tracking_id"
                );
            }
            format!(
                "SELECT * FROM (SELECT {COLUMNS} FROM parcels AS p WHERE p.tenant_id = :tenant AND {range}{behind} \
                 ORDER BY {} LIMIT {chunk}) AS part",
                order_by("p.")
            )
        });
        let parts = parts.collect::<Vec<_>>().join(" UNION ALL ");
        let sql = format!(
            "SELECT * FROM ({parts}) AS found ORDER BY {} LIMIT {chunk}",
            order_by("found.")
        );
        let number_key = filter.number_key.clone().unwrap_or_default();
        let mut sql = self
            .sql(sql)
            .bind("tenant", tenant.id())
            .bind("order_key", filter.order_key.clone())
            .bind("number_end", end_of(&number_key))
            .bind("number_key", number_key)
            .bind("label", filter.label.clone())
            .bind("carrier", filter.carriers.first().cloned());
        if let Some(after) = after {
            sql = sql
                .bind("id", after.tracking_id)
                .bind("changed_at", after.changed_at)
                .bind("after_number", after.number_key.clone());
        }
        Ok(self.reader.query_all_raw(sql.statement()).await?)
    }

    /// How many parcels the tenant has, by carrier and status, and how many of these are archived.
    pub async fn parcel_counts(&self, tenant: Tenant) -> Result<Vec<Count>, StoreError> {
        let sql = "SELECT carrier_code, status, archived, n FROM parcel_counts WHERE tenant_id = :tenant AND n <> 0 \
                   ORDER BY carrier_code, status";
        let sql = self.sql(sql).bind("tenant", tenant.id());
        let found = self.reader.query_all_raw(sql.statement()).await?;
        Ok(self.rows.readable(&found))
    }
}

/// How many parcels a tenant has of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    pub carrier_code: String,
    pub status: Status,
    pub archived: bool,
    pub n: i64,
}

impl Readable for Count {
    const TABLE: &'static str = "parcel_counts";
    const KEY: &'static str = "carrier_code";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            carrier_code: get(row, "carrier_code")?,
            status: Status::from_code(get(row, "status")?),
            archived: get(row, "archived")?,
            n: get(row, "n")?,
        })
    }
}
