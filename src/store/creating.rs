//! Trackings: creating those that do not exist yet.

use std::collections::HashMap;

use sea_orm::{ConnectionTrait as _, QueryResult};

use crate::clock::Time;
use crate::model::number::fold;
use crate::model::{CarrierCode, TrackNumber, Tracking};
use crate::store::WholeStore;
use crate::store::entity::columns;
use crate::store::entity::tracking::Entity;
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

/// Carrier and number, folded.
type Key = (String, String);

/// A pair to be created, and what tells it apart.
struct Wanted<'a> {
    key: Key,
    pair: &'a (CarrierCode, TrackNumber),
}

/// A tracking, and its place in the set that it was looked for by.
struct Placed {
    place: usize,
    row: Tracking,
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

impl WholeStore {
    /// Creates the trackings that do not exist yet, due at once, and returns that of each pair, in their order.
    ///
    /// Pairs that differ only in what their carriers do not mind of a spelling have one tracking, which keeps the spelling
    /// that came first. All or nothing.
    pub async fn create_or_get(
        &self,
        pairs: &[(CarrierCode, TrackNumber)],
        now: Time,
    ) -> Result<Vec<Tracking>, StoreError> {
        let (wanted, places) = self.wanted(pairs);
        let mut found: Vec<Option<Tracking>> = vec![None; wanted.len()];
        for (id, key) in self.insert(&wanted, now).await? {
            if let Ok(nth) = wanted.binary_search_by(|it| it.key.cmp(&key)) {
                let (carrier_code, track_number) = wanted[nth].pair.clone();
                found[nth] = Some(Tracking::new(id, carrier_code, track_number, now));
            }
        }
        let numbered = wanted.iter().enumerate();
        let others = numbered.filter(|(nth, _)| found[*nth].is_none());
        let others: Vec<(usize, &Wanted)> = others.collect();
        if !others.is_empty() {
            let rows = self.existing(&others).await?;
            let existing: Vec<Placed> = if others.len() < wanted.len() {
                self.rows.readable(&rows)
            } else {
                self.rows.answer(&rows)?
            };
            for Placed { place, row } in existing {
                if let Some((nth, _)) = others.get(place) {
                    found[*nth] = Some(row);
                }
            }
        }
        // Only a corrupt row was not found.
        let rows = places.into_iter().filter_map(|nth| found[nth].clone());
        Ok(rows.collect())
    }

    /// The different trackings among `pairs` by their key, each as it comes first; and for each pair, which it is.
    fn wanted<'a>(&self, pairs: &'a [(CarrierCode, TrackNumber)]) -> (Vec<Wanted<'a>>, Vec<usize>) {
        let mut spellings = HashMap::new();
        let keyed = pairs.iter().map(|pair| {
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
        let mut places = vec![0; pairs.len()];
        for (place, it) in keyed {
            if wanted.last().is_none_or(|last| last.key != it.key) {
                wanted.push(it);
            }
            places[place] = wanted.len() - 1;
        }
        (wanted, places)
    }

    /// Creates those that do not exist yet, in one statement. Returns the id and the key of each one.
    ///
    /// In the order of the keys, so that two requests with the same pairs cannot deadlock.
    async fn insert(
        &self,
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
            "INSERT INTO trackings ({}, next_check_at, created_at, updated_at) \
             SELECT {}, :now, :now, :now FROM {} WHERE TRUE \
             ORDER BY u.nth ON CONFLICT DO NOTHING RETURNING id, carrier_key, number_key",
            set.names(""),
            set.names("u."),
            set.from()
        );
        let insert = self.sql(insert).bind("now", now).bind_set(set);
        let created = self.writer.query_all_raw(insert.statement()).await?;
        let created = created.iter().map(|row| {
            let key = (row.try_get_by_index(1)?, row.try_get_by_index(2)?);
            Ok((row.try_get_by_index(0)?, key))
        });
        created.collect()
    }

    /// Those of `wanted` that exist, as rows of [`Placed`].
    async fn existing(
        &self,
        wanted: &[(usize, &Wanted<'_>)],
    ) -> Result<Vec<QueryResult>, StoreError> {
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
        Ok(self.reader.query_all_raw(select.statement()).await?)
    }
}
