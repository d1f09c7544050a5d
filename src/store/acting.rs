//! What owners do with their parcels: they get them, edit them, stop and archive them, and remove them.
//!
//! Trackings are locked first, by id: a consumer may be writing their news, and a new owner must count from what it sees.

use std::collections::HashMap;

use sea_orm::QueryResult;
use uuid::Uuid;

use crate::clock::Time;
use crate::model::Tracking;
use crate::model::extra::Extra;
use crate::model::parcel::{Edit, Parcel, State, Words};
use crate::model::status::Status;
use crate::model::tenant::Tenant;
use crate::store::WholeStore;
use crate::store::error::StoreError;
use crate::store::feed::{Entry, Head, Kind, What};
use crate::store::parcels::{Listed, Moves};
use crate::store::rows::{Readable, Unreadable, get};

/// What is too much of a parcel's words, as the field and a sentence; without a field if the parcel itself is.
pub type TooMuch = (&'static str, String);

/// The least valid versions of what is cached: by the tracking's id, of trackings and of their owners' views.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fences {
    pub trackings: Vec<(i64, i64)>,
    pub owned: Vec<(i64, i64)>,
}

/// What came of an act on some parcels.
#[derive(Clone, Debug, Default)]
pub struct Acted {
    /// For each id, in their order. If one is refused, nothing was done.
    pub parcels: Vec<Result<Option<(Tracking, Parcel)>, TooMuch>>,
    /// Whether some parcel is due now that was not before.
    pub due: bool,
    pub heads: Vec<Head>,
}

/// A tenant's parcel as its row has it.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub parcel: Parcel,
    carrier_code: String,
    status: Status,
}

impl Readable for Held {
    const TABLE: &'static str = "parcels";
    const KEY: &'static str = "tracking_id";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            parcel: Parcel::read(row)?,
            carrier_code: get(row, "carrier_code")?,
            status: Status::from_code(get(row, "status")?),
        })
    }
}

impl Held {
    pub fn listed(&self, state: State) -> Listed {
        Listed {
            tenant: self.parcel.tenant,
            tracking_id: self.parcel.tracking_id,
            state,
            carrier_code: self.carrier_code.clone(),
            status: self.status,
        }
    }
}

/// What one tenant does in one transaction, gathered to be written at once.
pub(super) struct Acts {
    pub(super) tenant: Tenant,
    pub(super) now: Time,
    cause: Uuid,
    /// Trackings that it has from now on, each with its parcel, and whether the tracking is new too.
    pub got: Vec<(Tracking, Parcel, bool)>,
    pub edited: Vec<(Tracking, Held, Parcel)>,
    pub removed: Vec<(Tracking, Held)>,
    pub moves: Moves,
}

impl Acts {
    pub fn new(tenant: Tenant, now: Time) -> Self {
        Self {
            tenant,
            now,
            cause: Uuid::now_v7(),
            got: Vec::new(),
            edited: Vec::new(),
            removed: Vec::new(),
            moves: Moves::default(),
        }
    }

    pub fn tenant(&self) -> Tenant {
        self.tenant
    }

    /// The tenant gets a tracking, with the words of these edits.
    pub fn get(
        &mut self,
        row: &Tracking,
        edits: &[&Edit],
        is_new: bool,
    ) -> Result<Parcel, TooMuch> {
        let mut parcel = Parcel {
            tenant: self.tenant,
            tracking_id: row.id,
            state: State::default(),
            words: Words::default(),
            extra: Extra::default(),
            created_at: self.now,
        };
        for edit in edits {
            parcel.words = edit.apply(&parcel.words)?;
            parcel.extra = edit.told(&parcel.extra)?;
        }
        self.got.push((row.clone(), parcel.clone(), is_new));
        Ok(parcel)
    }

    /// The tenant edits a parcel that it has.
    pub fn edit(
        &mut self,
        row: &Tracking,
        held: &Held,
        edits: &[&Edit],
    ) -> Result<Parcel, TooMuch> {
        let mut parcel = held.parcel.clone();
        for edit in edits {
            parcel.words = edit.apply(&parcel.words)?;
            parcel.extra = edit.told(&parcel.extra)?;
            parcel.state = edit.state.unwrap_or(parcel.state);
        }
        if parcel != held.parcel {
            let edited = (row.clone(), held.clone(), parcel.clone());
            self.edited.push(edited);
        }
        Ok(parcel)
    }

    pub fn entry<'a>(&self, kind: Kind, row: &'a Tracking, detail: Option<String>) -> Entry<'a> {
        Entry {
            tenant: self.tenant,
            what: What::Act {
                kind,
                row,
                cause: self.cause,
                detail,
            },
        }
    }
}

impl WholeStore {
    /// Edits the tenant's parcels of these trackings. All or nothing; `None` for an id that it has not. `before_commit`
    /// invalidates cached values.
    pub async fn edit(
        &self,
        tenant: Tenant,
        ids: &[i64],
        edit: &Edit,
        now: Time,
        before_commit: impl AsyncFnOnce(&Fences),
    ) -> Result<Acted, StoreError> {
        self.act(tenant, ids, Some(edit), now, before_commit).await
    }

    /// Removes the tenant's parcels of these trackings; as [`WholeStore::edit`]. What they were last is answered.
    pub async fn remove(
        &self,
        tenant: Tenant,
        ids: &[i64],
        now: Time,
        before_commit: impl AsyncFnOnce(&Fences),
    ) -> Result<Acted, StoreError> {
        self.act(tenant, ids, None, now, before_commit).await
    }

    /// Edits, or removes without an edit.
    async fn act(
        &self,
        tenant: Tenant,
        ids: &[i64],
        edit: Option<&Edit>,
        now: Time,
        before_commit: impl AsyncFnOnce(&Fences),
    ) -> Result<Acted, StoreError> {
        let transaction = self.begin().await?;
        let mut acts = Acts::new(tenant, now);
        let (rows, held) = self
            .lock_parcels(&transaction, tenant, ids, &mut acts.moves)
            .await?;
        let aliases = self.aliases_by(&transaction, ids).await?;
        let mut done: HashMap<i64, Result<Option<(Tracking, Parcel)>, TooMuch>> = HashMap::new();
        let mut acted = Acted::default();
        for id in ids {
            let id = aliases.get(id).unwrap_or(id);
            let (Some(row), Some(held)) = (rows.get(id), held.get(id)) else {
                acted.parcels.push(Ok(None));
                continue;
            };
            let result = done.entry(*id).or_insert_with(|| {
                let parcel = match edit {
                    Some(edit) => acts.edit(row, held, &[edit])?,
                    None => {
                        acts.removed.push((row.clone(), held.clone()));
                        held.parcel.clone()
                    }
                };
                Ok(Some((row.clone(), parcel)))
            });
            acted.parcels.push(result.clone());
        }
        if acted.parcels.iter().any(Result::is_err) {
            return Ok(acted);
        }
        let written = self.write_acts(&transaction, acts, before_commit).await?;
        transaction.commit().await?;
        for (row, _) in acted.parcels.iter_mut().flatten().flatten() {
            if let Some(new) = written.rows.get(&row.id) {
                row.clone_from(new);
            }
        }
        acted.due = written.due;
        acted.heads = written.heads;
        Ok(acted)
    }
}
