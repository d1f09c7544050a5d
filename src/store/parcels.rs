//! Parcels: the tenants' views of trackings.
//!
//! Whoever writes one has locked its tracking first, so no two writers meet in its rows. The order of all locks: partitions,
//! trackings by id, parcels, the feeds' heads by tenant ([`feed`](crate::store::feed)), counts.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait, QueryResult};

use crate::clock::Time;
use crate::model::extra::Extra;
use crate::model::owned::Owned;
use crate::model::parcel::{Parcel, State, Words, number_key};
use crate::model::status::Status;
use crate::model::tenant::Tenant;
use crate::model::{CarrierCode, TrackNumber, Tracking};
use crate::store::column::Stamp;
use crate::store::error::StoreError;
use crate::store::native::Transaction;
use crate::store::rows::{Readable, Unreadable, get};
use crate::store::{Store, WholeStore};

const TABLE: &str = "parcels";

/// The columns of a [`Parcel`].
pub(super) const COLUMNS: &str = "p.tenant_id, p.tracking_id, p.state, p.order_id, p.title, p.note, p.labels, p.metadata, p.extra, p.created_at";

/// Whether the tracking `t` is that of `:tenant`.
pub(super) const OWNED: &str = "(t.owners < 0 AND :tenant = 1 OR EXISTS \
     (SELECT 1 FROM parcels AS p WHERE p.tenant_id = :tenant AND p.tracking_id = t.id))";

/// A parcel that a tenant is to have.
#[derive(Clone, Debug)]
pub(super) struct NewParcel {
    pub tenant: Tenant,
    pub tracking_id: i64,
    pub carrier_code: CarrierCode,
    pub track_number: TrackNumber,
    pub words: Words,
    pub extra: Extra,
    /// The tracking's.
    pub status: Status,
    pub failing: bool,
    /// What it is listed by at first.
    pub changed_at: Time,
    pub created_at: Time,
}

/// What decides where a parcel is listed and counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub tenant: Tenant,
    pub tracking_id: i64,
    pub state: State,
    pub carrier_code: String,
    pub status: Status,
}

/// How many parcels are more or fewer, by tenant, carrier, status, and whether they are archived.
#[derive(Clone, Debug, Default)]
pub(super) struct Moves(BTreeMap<(Tenant, String, i16, bool), i64>);

impl Moves {
    /// Counts `by` more parcels of this kind.
    pub fn add(&mut self, tenant: Tenant, carrier: &str, status: Status, state: State, by: i64) {
        let archived = state == State::Archived;
        let key = (tenant, carrier.to_owned(), status.code(), archived);
        *self.0.entry(key).or_default() += by;
    }

    /// Counts a parcel of this kind `by` times.
    pub fn count(&mut self, it: &Listed, by: i64) {
        self.add(it.tenant, &it.carrier_code, it.status, it.state, by);
    }
}

impl Readable for Parcel {
    const TABLE: &'static str = TABLE;
    const KEY: &'static str = "tracking_id";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let json = |name: &str| get::<String>(row, name);
        let labels = serde_json::from_str(&json("labels")?);
        let metadata = serde_json::from_str(&json("metadata")?);
        let extra = Extra::read(get::<Option<String>>(row, "extra")?.as_deref());
        Ok(Self {
            tenant: Tenant::from_row(get(row, "tenant_id")?),
            tracking_id: get(row, "tracking_id")?,
            state: State::from_code(get(row, "state")?),
            words: Words {
                order_id: get(row, "order_id")?,
                title: get(row, "title")?,
                note: get(row, "note")?,
                labels: labels.map_err(|error| Unreadable::new("labels", error))?,
                metadata: metadata.map_err(|error| Unreadable::new("metadata", error))?,
            },
            extra: extra.map_err(|error| Unreadable::new("extra", error))?,
            created_at: get::<Stamp>(row, "created_at")?.0,
        })
    }
}

impl Readable for Listed {
    const TABLE: &'static str = TABLE;
    const KEY: &'static str = "tracking_id";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            tenant: Tenant::from_row(get(row, "tenant_id")?),
            tracking_id: get(row, "tracking_id")?,
            state: State::from_code(get(row, "state")?),
            carrier_code: get(row, "carrier_code")?,
            status: Status::from_code(get(row, "status")?),
        })
    }
}

/// The owners of a tracking, as one row for each of them, or one if nobody has it.
struct OwnerRow {
    id: i64,
    version: i64,
    parcel: Option<Parcel>,
}

impl Readable for OwnerRow {
    const TABLE: &'static str = TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let id = get(row, "id")?;
        let has_row = get::<Option<i32>>(row, "tenant_id")?.is_some();
        let parcel = if has_row {
            Some(Parcel::read(row)?)
        } else if get::<i32>(row, "owners")? < 0 {
            Some(Parcel {
                tenant: Tenant::DEFAULT,
                tracking_id: id,
                state: State::default(),
                words: Words::default(),
                extra: Extra::default(),
                created_at: get::<Stamp>(row, "made_at")?.0,
            })
        } else {
            None
        };
        Ok(Self {
            id,
            version: get(row, "owners_version")?,
            parcel,
        })
    }
}

impl WholeStore {
    /// Who has these trackings, and what each is shown of them; in any order, without those that do not exist.
    pub async fn owned(&self, ids: &[i64]) -> Result<Vec<Owned>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let set = self.set(ids).column("row_id", |id| *id);
        let sql = format!(
            "SELECT t.id, t.owners, t.owners_version, t.created_at AS made_at, {COLUMNS} FROM {} JOIN trackings AS t ON t.id = u.row_id \
             LEFT JOIN parcels AS p ON p.tracking_id = t.id ORDER BY t.id, p.tenant_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let rows: Vec<OwnerRow> = self.rows.readable(&found);
        let owned = rows.chunk_by(|a, b| a.id == b.id);
        let owned = owned.map(|rows| {
            let parcels = rows.iter().filter_map(|row| row.parcel.as_ref());
            Owned::of(rows[0].id, rows[0].version, parcels)
        });
        Ok(owned.collect())
    }
}

impl Store {
    /// Whether this tracking is the tenant's.
    pub async fn owns(&self, tenant: Tenant, tracking_id: i64) -> Result<bool, StoreError> {
        let sql = format!("SELECT 1 FROM trackings AS t WHERE t.id = :id AND {OWNED}");
        let sql = self.sql(sql).bind("id", tracking_id);
        let sql = sql.bind("tenant", tenant.id());
        let found = self.reader.query_one_raw(sql.statement()).await?;
        Ok(found.is_some())
    }

    /// Gives those of these trackings that are from before there were owners to the default tenant. They are locked.
    pub(super) async fn adopt(
        &self,
        transaction: &Transaction,
        rows: &[&Tracking],
        moves: &mut Moves,
    ) -> Result<(), StoreError> {
        let orphans = rows.iter().filter(|row| row.owners < 0);
        let parcels: Vec<NewParcel> = orphans
            .map(|row| NewParcel {
                created_at: row.created_at,
                changed_at: row.changed_at.or(row.status_at).unwrap_or(row.created_at),
                ..NewParcel::of(Tenant::DEFAULT, row, row.created_at)
            })
            .collect();
        if parcels.is_empty() {
            return Ok(());
        }
        self.insert_parcels(transaction, &parcels, moves).await?;
        let set = self.set(&parcels).column("row_id", |it| it.tracking_id);
        let sql = format!(
            "UPDATE trackings SET owners = 1, payer = :payer FROM {} WHERE trackings.id = u.row_id AND trackings.owners < 0",
            set.from()
        );
        let payer = Tenant::DEFAULT.payer().slot();
        let sql = self.sql(sql).bind("payer", payer).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Inserts parcels that do not exist yet, with their labels, and counts them.
    pub(super) async fn insert_parcels(
        &self,
        transaction: &Transaction,
        parcels: &[NewParcel],
        moves: &mut Moves,
    ) -> Result<(), StoreError> {
        let (plain, worded): (Vec<&NewParcel>, Vec<&NewParcel>) = parcels
            .iter()
            .partition(|it| it.words == Words::default() && it.extra.is_empty());
        for (parcels, has_words) in [(plain, false), (worded, true)] {
            if parcels.is_empty() {
                continue;
            }
            let mut set = self
                .set(&parcels)
                .column("tenant_id", |it| it.tenant.id())
                .column("tracking_id", |it| it.tracking_id)
                .column("carrier_code", |it| it.carrier_code.as_str().to_owned())
                .column("number_key", |it| number_key(it.track_number.as_str()))
                .column("status", |it| it.status.code())
                .column("failing", |it| it.failing)
                .column("changed_at", |it| it.changed_at)
                .column("created_at", |it| it.created_at);
            if has_words {
                set = set
                    .nullable("order_id", |it| it.words.order_id.clone())
                    .nullable("order_key", |it| it.words.order_key())
                    .nullable("title", |it| it.words.title.clone())
                    .nullable("note", |it| it.words.note.clone())
                    .column("labels", |it| it.words.labels_json())
                    .column("metadata", |it| it.words.metadata_json())
                    .nullable("extra", |it| it.extra.json());
            }
            let sql = format!("{} ON CONFLICT DO NOTHING", set.insert_into("parcels"));
            let sql = self.sql(sql).bind_set(set);
            transaction.execute_raw(sql.statement()).await?;
            let labels = parcels.iter().flat_map(|it| {
                let labels = it.words.labels.iter();
                labels.map(|label| (it.tenant, it.tracking_id, label.as_str()))
            });
            self.insert_labels(transaction, &labels.collect::<Vec<_>>())
                .await?;
        }
        for it in parcels {
            let carrier = it.carrier_code.as_str();
            moves.add(it.tenant, carrier, it.status, State::default(), 1);
        }
        Ok(())
    }

    /// Adds labels: of tenants and trackings that they do not have yet.
    pub(super) async fn insert_labels(
        &self,
        transaction: &Transaction,
        labels: &[(Tenant, i64, &str)],
    ) -> Result<(), StoreError> {
        if labels.is_empty() {
            return Ok(());
        }
        let set = self
            .set(labels)
            .column("tenant_id", |(tenant, ..)| tenant.id())
            .column("tracking_id", |(_, id, _)| *id)
            .column("label", |(.., label)| (*label).to_owned());
        let sql = format!(
            "{} ON CONFLICT DO NOTHING",
            set.insert_into("parcel_labels")
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }

    /// Adds to the counts. Call it last of all before the commit: the feeds' heads, which are locked by then, keep two
    /// transactions of a tenant from meeting here.
    pub(super) async fn write_counts(
        &self,
        transaction: &Transaction,
        moves: Moves,
    ) -> Result<(), StoreError> {
        let moves: Vec<_> = moves.0.into_iter().filter(|(_, by)| *by != 0).collect();
        if moves.is_empty() {
            return Ok(());
        }
        let set = self
            .set(&moves)
            .column("tenant_id", |((tenant, ..), _)| tenant.id())
            .column("carrier_code", |((_, carrier, ..), _)| carrier.clone())
            .column("status", |((_, _, status, _), _)| *status)
            .column("archived", |((.., archived), _)| *archived)
            .column("n", |(_, by)| *by);
        let sql = format!(
            "{} ON CONFLICT (tenant_id, carrier_code, status, archived) DO UPDATE SET n = parcel_counts.n + excluded.n",
            set.insert_into("parcel_counts")
        );
        let sql = self.sql(sql).bind_set(set);
        transaction.execute_raw(sql.statement()).await?;
        Ok(())
    }
}

impl NewParcel {
    /// A tenant's new view of a tracking, of which it says nothing.
    pub fn of(tenant: Tenant, row: &Tracking, now: Time) -> Self {
        Self {
            tenant,
            tracking_id: row.id,
            carrier_code: row.carrier_code.clone(),
            track_number: row.track_number.clone(),
            words: Words::default(),
            extra: Extra::default(),
            status: row.status,
            failing: row.is_failing(),
            changed_at: now,
            created_at: now,
        }
    }
}
