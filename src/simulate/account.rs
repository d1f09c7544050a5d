//! The accounts of a simulation: the invented carriers that share calls, as one.

use std::ops::Range;

use crate::simulate::process::{InventedCarrier, JourneyStage, Process};
use crate::simulate::setting::Setting;
use crate::simulate::trace::{Journey, failing, imported, journeys};

/// How long after its last news a parcel is no longer checked, in hours.
pub const RETIRES_AFTER: f64 = 30.0 * 24.0;

/// The seed of an import lies as far from those of the carriers.
const IMPORT_SEED: u64 = 500_000;

/// One account: the stages of its carriers one after the other, as if they were one carrier's.
#[derive(Clone, Debug)]
pub struct InventedAccount<'a> {
    /// Its carriers, each with its place in the process and the place of its first stage here.
    carriers: Vec<(usize, usize, &'a InventedCarrier)>,
    pub stages: Vec<JourneyStage>,
    /// How many parcels are under way at a time, here and in all accounts.
    pub parcels: f64,
    all_parcels: f64,
}

/// The accounts of a process, in the order of their first carriers.
pub fn accounts(process: &Process) -> Vec<InventedAccount<'_>> {
    let all_parcels = process.carriers.iter().map(|it| it.parcels).sum();
    let mut accounts: Vec<InventedAccount<'_>> = Vec::new();
    for (place, carrier) in process.carriers.iter().enumerate() {
        let shared = accounts
            .iter_mut()
            .find(|account| account.carriers[0].2.account == carrier.account);
        match shared {
            Some(account) => account.add(place, carrier),
            None => {
                let mut account = InventedAccount {
                    carriers: Vec::new(),
                    stages: Vec::new(),
                    parcels: 0.0,
                    all_parcels,
                };
                account.add(place, carrier);
                accounts.push(account);
            }
        }
    }
    accounts
}

impl<'a> InventedAccount<'a> {
    fn add(&mut self, place: usize, carrier: &'a InventedCarrier) {
        let first = self.stages.len();
        self.carriers.push((place, first, carrier));
        self.parcels += carrier.parcels;
        for stage in &carrier.stages {
            let mut stage = stage.clone();
            stage.next.iter_mut().for_each(|(next, _)| *next += first);
            self.stages.push(stage);
        }
    }

    /// The stages of each carrier, which learns by itself.
    pub fn sections(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.carriers
            .iter()
            .map(|(_, first, carrier)| *first..first + carrier.stages.len())
    }

    /// The place of the carrier whose stage this is.
    pub fn carrier_of(&self, stage: usize) -> usize {
        self.carriers
            .partition_point(|(_, first, _)| *first <= stage)
    }

    /// The seed of what happens to its calls.
    pub fn seed(&self, setting: &Setting) -> u64 {
        setting.seed * 1_000 + self.carriers[0].0 as u64
    }

    /// All parcels of the account, in the order in which they become known.
    ///
    /// # Errors
    /// They have too many events to be kept.
    pub fn journeys(&self, setting: &Setting) -> anyhow::Result<Vec<Journey>> {
        let end = setting.days * 24.0;
        let mut all = Vec::new();
        for (place, first, carrier) in &self.carriers {
            let seed = setting.seed * 1_000 + *place as u64;
            let mut more = journeys(carrier, seed, end, setting.own_lanes)?;
            if let Some(import) = setting.import {
                let number = import.parcels * carrier.parcels / self.all_parcels;
                more.extend(imported(
                    carrier,
                    seed + IMPORT_SEED,
                    import.at,
                    number,
                    end,
                )?);
            }
            if setting.failing_numbers > 0.0 {
                let number = setting.failing_numbers * carrier.parcels;
                more.extend(failing(number, RETIRES_AFTER, end));
            }
            for journey in &mut more {
                journey
                    .events
                    .iter_mut()
                    .for_each(|(_, stage)| *stage += first);
            }
            all.extend(more);
        }
        all.sort_by(|a, b| a.known_at.total_cmp(&b.known_at));
        Ok(all)
    }
}
