//! Parcels that a tenant wishes for: trackings are created, or shared if they exist.

use std::collections::{HashMap, HashSet};

use sea_orm::{ConnectionTrait as _, QueryResult};

use crate::clock::Time;
use crate::model::number::fold;
use crate::model::parcel::{Edit, Parcel};
use crate::model::tenant::Tenant;
use crate::model::{CarrierCode, TrackNumber, Tracking};
use crate::store::WholeStore;
use crate::store::acting::{Acts, Fences, TooMuch};
use crate::store::entity::columns;
use crate::store::entity::tracking::Entity;
use crate::store::error::StoreError;
use crate::store::feed::Head;
use crate::store::idempotency::{Once, Taken};
use crate::store::native::Transaction;
use crate::store::rows::{Readable, Unreadable, get};

/// Carrier and number, folded.
type Key = (String, String);

/// A pair to be created, and what tells it apart.
struct Wanted<'a> {
    key: Key,
    pair: &'a (CarrierCode, TrackNumber),
}

/// A tracking, and its place in the set that it was looked for by.
pub(super) struct Placed {
    pub place: usize,
    pub row: Tracking,
}

impl Readable for Placed {
    const TABLE: &'static str = Tracking::TABLE;

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let nth: i64 = get(row, "nth")?;
        Ok(Self {
            place: nth.unsigned_abs() as usize - 1,
            row: Tracking::read(row)?,
        })
    }
}

/// A parcel that a tenant wishes for, and what it says about it.
#[derive(Clone, Debug)]
pub struct Wish {
    pub pair: (CarrierCode, TrackNumber),
    pub edit: Edit,
}

/// What becomes of a parcel that the tenant has already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExisting {
    /// It stays as it is.
    #[default]
    Keep,
    /// What the wish names is written, labels are added.
    Merge,
}

/// A parcel that was wished for.
#[derive(Clone, Debug)]
pub struct Made {
    pub row: Tracking,
    pub parcel: Parcel,
    /// Whether the tenant has it only since now.
    pub is_new: bool,
}

/// What came of wishes.
#[derive(Clone, Debug, Default)]
pub struct Creation {
    /// For each wish, in their order; `None` if its row is corrupt. If one is refused, nothing was done.
    pub made: Vec<Option<Result<Made, TooMuch>>>,
    /// Whether some parcel is due now that was not before.
    pub due: bool,
    pub heads: Vec<Head>,
    /// What came of the same request before: then nothing was done now.
    pub before: Option<String>,
}

/// What is remembered of a request with an Idempotency-Key: the key, and how its outcome is written down.
pub type Remembered<'a> = (
    &'a Once,
    &'a (dyn Fn(&[Option<Result<Made, TooMuch>>]) -> String + Sync),
);

impl WholeStore {
    /// Gives the tenant the parcels that it wishes for: creates the trackings that do not exist yet, due at once, and lets it
    /// share those that do.
    ///
    /// Pairs that differ only in what their carriers do not mind of a spelling have one tracking, which keeps the spelling
    /// that came first. All or nothing. `before_commit` invalidates cached values.
    pub async fn create(
        &self,
        tenant: Tenant,
        wishes: &[Wish],
        on_existing: OnExisting,
        once: Option<Remembered<'_>>,
        now: Time,
        before_commit: impl AsyncFnOnce(&Fences),
    ) -> Result<Creation, StoreError> {
        let (wanted, places) = self.wanted(wishes);
        let merged: Vec<Edit> = match on_existing {
            OnExisting::Keep => Vec::new(),
            OnExisting::Merge => wishes.iter().map(|it| it.edit.adding_labels()).collect(),
        };
        // Of each tracking, what is said about it.
        let mut edits: Vec<Vec<&Edit>> = vec![Vec::new(); wanted.len()];
        for (place, nth) in places.iter().enumerate() {
            match merged.get(place) {
                Some(edit) => edits[*nth].push(edit),
                None if edits[*nth].is_empty() => edits[*nth].push(&wishes[place].edit),
                None => {}
            }
        }
        let transaction = self.begin().await?;
        if let Some((once, _)) = once
            && let Taken::Done(outcome) = self.take_key(&transaction, tenant, once, now).await?
        {
            return Ok(Creation {
                before: Some(outcome),
                ..Creation::default()
            });
        }
        let mut acts = Acts::new(tenant, now);
        let mut made: Vec<Option<Result<Made, TooMuch>>> = vec![None; wanted.len()];
        for (id, key) in self.insert(&transaction, tenant, &wanted, now).await? {
            if let Ok(nth) = wanted.binary_search_by(|it| it.key.cmp(&key)) {
                let (carrier_code, track_number) = wanted[nth].pair.clone();
                let row = Tracking::new(id, carrier_code, track_number, now);
                let parcel = acts.get(&row, &edits[nth], true);
                made[nth] = Some(Made::of(row, parcel, true));
            }
        }
        let is_new = !acts.got.is_empty();
        let numbered = wanted.iter().enumerate();
        let others = numbered.filter(|(nth, _)| made[*nth].is_none());
        let others: Vec<(usize, &Wanted)> = others.collect();
        let existing = self.existing(&transaction, &others, wanted.len()).await?;
        let existing = self
            .share(&transaction, existing, &edits, on_existing, &mut acts)
            .await?;
        for (nth, result) in existing {
            made[nth] = Some(result);
        }
        let in_order = places.iter().map(|nth| made[*nth].clone());
        let mut creation = Creation {
            made: in_order.collect(),
            ..Creation::default()
        };
        if creation.made.iter().flatten().any(Result::is_err) {
            return Ok(creation);
        }
        if let Some((once, outcome)) = once {
            let outcome = outcome(&creation.made);
            self.finish_key(&transaction, tenant, once, outcome).await?;
        }
        let got = acts.got.len();
        let written = self.write_acts(&transaction, acts, before_commit).await?;
        if let Some(too_many) = written.too_many {
            creation.refuse_beyond(too_many.room(got), &too_many.refusal(got));
            return Ok(creation);
        }
        transaction.commit().await?;
        for made in creation.made.iter_mut().flatten().flatten() {
            if let Some(row) = written.rows.get(&made.row.id) {
                made.row.clone_from(row);
            }
        }
        creation.due = is_new || written.due;
        creation.heads = written.heads;
        Ok(creation)
    }

    /// As [`WholeStore::create`] for parcels of which nothing is said: the trackings of the pairs, in their order.
    pub async fn create_or_get(
        &self,
        tenant: Tenant,
        pairs: &[(CarrierCode, TrackNumber)],
        now: Time,
    ) -> Result<Vec<Tracking>, StoreError> {
        let wishes: Vec<Wish> = pairs.iter().map(Wish::for_pair).collect();
        let no_cache = async |_: &Fences| ();
        let creation = self.create(tenant, &wishes, OnExisting::Keep, None, now, no_cache);
        let made = creation.await?.made.into_iter().flatten().flatten();
        Ok(made.map(|made| made.row).collect())
    }

    /// Gives the tenant its share of trackings that exist, each with the place of its wish.
    async fn share(
        &self,
        transaction: &Transaction,
        existing: Vec<(usize, Tracking)>,
        edits: &[Vec<&Edit>],
        on_existing: OnExisting,
        acts: &mut Acts,
    ) -> Result<Vec<(usize, Result<Made, TooMuch>)>, StoreError> {
        let tenant = acts.tenant();
        let ids: Vec<i64> = existing.iter().map(|(_, row)| row.id).collect();
        let held = self.held(transaction, tenant, &ids).await?;
        let merges = |nth: usize| {
            on_existing == OnExisting::Merge && edits[nth].iter().any(|it| **it != Edit::default())
        };
        let mut made = Vec::with_capacity(existing.len());
        let mut others = Vec::new();
        for (nth, row) in existing {
            match held.get(&row.id) {
                Some(held) if !merges(nth) => {
                    let parcel = held.parcel.clone();
                    made.push((nth, Made::of(row, Ok(parcel), false)));
                }
                Some(_) | None => others.push((nth, row.id)),
            }
        }
        let ids: Vec<i64> = others.iter().map(|(_, id)| *id).collect();
        let (rows, held) = self
            .lock_parcels(transaction, tenant, &ids, &mut acts.moves)
            .await?;
        for (nth, id) in others {
            let Some(row) = rows.get(&id) else {
                let reason = format!("tracking {id} was deleted meanwhile");
                return Err(StoreError::busy(reason));
            };
            let edits = &edits[nth];
            let (parcel, is_new) = match held.get(&id) {
                None => (acts.get(row, edits, false), true),
                Some(held) if merges(nth) => (acts.edit(row, held, edits), false),
                Some(held) => (Ok(held.parcel.clone()), false),
            };
            made.push((nth, Made::of(row.clone(), parcel, is_new)));
        }
        Ok(made)
    }

    /// The different trackings that are wished for by their key, each as it comes first; and for each wish, which it is.
    fn wanted<'a>(&self, wishes: &'a [Wish]) -> (Vec<Wanted<'a>>, Vec<usize>) {
        let mut spellings = HashMap::new();
        let keyed = wishes.iter().map(|Wish { pair, .. }| {
            let code = pair.0.as_str();
            let (carrier_key, spelling) = spellings
                .entry(code)
                .or_insert_with(|| (fold(code), self.sections().spelling(code)));
            let key = (carrier_key.clone(), spelling.fold(pair.1.as_str()));
            Wanted { key, pair }
        });
        let mut keyed: Vec<(usize, Wanted)> = keyed.enumerate().collect();
        // Stable: of equal keys, the first pair stays the first.
        keyed.sort_by(|(_, a), (_, b)| a.key.cmp(&b.key));
        let mut wanted: Vec<Wanted> = Vec::with_capacity(keyed.len());
        let mut places = vec![0; wishes.len()];
        for (place, it) in keyed {
            if wanted.last().is_none_or(|last| last.key != it.key) {
                wanted.push(it);
            }
            places[place] = wanted.len() - 1;
        }
        (wanted, places)
    }

    /// Creates those that do not exist yet, in one statement; the tenant pays for them. Returns the id and the key of each one.
    ///
    /// In the order of the keys, so that two requests with the same pairs cannot deadlock.
    async fn insert(
        &self,
        transaction: &Transaction,
        tenant: Tenant,
        wanted: &[Wanted<'_>],
        now: Time,
    ) -> Result<Vec<(i64, Key)>, StoreError> {
        let set = self
            .set(wanted)
            .column("carrier_code", |it| it.pair.0.as_str().to_owned())
            .column("track_number", |it| it.pair.1.as_str().to_owned())
            .column("carrier_key", |it| it.key.0.clone())
            .column("number_key", |it| it.key.1.clone());
        let insert = format!(
            "INSERT INTO trackings ({}, owners, payer, next_check_at, created_at, updated_at) \
             SELECT {}, 1, :payer, :now, :now, :now FROM {} WHERE TRUE \
             ORDER BY u.nth ON CONFLICT DO NOTHING RETURNING id, carrier_key, number_key",
            set.names(""),
            set.names("u."),
            set.from()
        );
        let payer = tenant.payer().slot();
        let insert = self.sql(insert).bind("now", now).bind("payer", payer);
        let insert = insert.bind_set(set);
        let created = transaction.query_all_raw(insert.statement()).await?;
        let created = created.iter().map(|row| {
            let key = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
            Ok((row.try_get_by_index(0)?, key))
        });
        created.collect()
    }

    /// Those of `wanted` that exist, each with its place. Only if there are no others among `all`, a corrupt row is an error.
    async fn existing(
        &self,
        transaction: &Transaction,
        wanted: &[(usize, &Wanted<'_>)],
        all: usize,
    ) -> Result<Vec<(usize, Tracking)>, StoreError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let set = self
            .set(wanted)
            .column("carrier_code", |(_, it)| it.pair.0.as_str().to_owned())
            .column("track_number", |(_, it)| it.pair.1.as_str().to_owned())
            .column("carrier_key", |(_, it)| it.key.0.clone())
            .column("number_key", |(_, it)| it.key.1.clone());
        // By its own spelling, if it was written without a key, or with another one before its carrier's section changed.
        let select = format!(
            "SELECT u.nth, {} FROM {} JOIN trackings AS t ON t.id = COALESCE( \
             (SELECT k.id FROM trackings AS k WHERE k.carrier_key = u.carrier_key AND k.number_key = u.number_key), \
             (SELECT s.id FROM trackings AS s WHERE s.carrier_code = u.carrier_code AND s.track_number = u.track_number))",
            columns::<Entity>("t."),
            set.from()
        );
        let select = self.sql(select).bind_set(set);
        let rows = transaction.query_all_raw(select.statement()).await?;
        let placed: Vec<Placed> = if wanted.len() < all {
            self.rows.readable(&rows)
        } else {
            self.rows.answer(&rows)?
        };
        let placed = placed.into_iter();
        Ok(placed
            .filter_map(|it| Some((wanted.get(it.place)?.0, it.row)))
            .collect())
    }
}

impl Creation {
    /// Refuses the new parcels after the first `room` of them.
    fn refuse_beyond(&mut self, room: usize, why: &TooMuch) {
        let mut fits = HashSet::new();
        for made in &mut self.made {
            let Some(Ok(Made {
                row, is_new: true, ..
            })) = made
            else {
                continue;
            };
            if fits.len() < room || fits.contains(&row.id) {
                fits.insert(row.id);
            } else {
                *made = Some(Err(why.clone()));
            }
        }
    }
}

impl Wish {
    /// A parcel of which nothing is said.
    pub fn for_pair(pair: &(CarrierCode, TrackNumber)) -> Self {
        Self {
            pair: pair.clone(),
            edit: Edit::default(),
        }
    }
}

impl Made {
    fn of(row: Tracking, parcel: Result<Parcel, TooMuch>, is_new: bool) -> Result<Self, TooMuch> {
        parcel.map(|parcel| Self {
            row,
            parcel,
            is_new,
        })
    }
}
