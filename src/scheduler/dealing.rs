//! Deals an account's calls between those who pay for its parcels.
//!
//! Each payer's part goes to its own parcels in the order of [`Take`]: so neither the imports nor the refreshes of one delay the
//! parcels of another. A claim for one payer is one statement, as if there were no others.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::Context as _;

use crate::carriers::routes::Account;
use crate::clock::{Time, delta};
use crate::model::Tracking;
use crate::model::tenant::Payer;
use crate::plan::decide::left_alone;
use crate::plan::turns::{Claimant, raise, turns};
use crate::scheduler::Scheduler;
use crate::scheduler::claiming::Demand;
use crate::store::claims::{Early, Share, Take};
use crate::store::turns::Turn;

/// How many trackings that may be checked early are read ahead.
const SHELF_MAX: u32 = 1_000;

/// How many times as many early trackings as it may take are offered to a claim, since other workers take them too.
const OFFERED_TIMES: usize = 4;

/// How many times calls that were dealt and not needed are dealt anew in one claim. What is left then, the next cycle deals.
const ROUNDS_MAX: usize = 4;

/// The payers of an account that want calls, the one with the longest overdue parcel first.
pub(super) struct Deal {
    payers: Vec<Payer>,
    claimants: Vec<Claimant>,
    /// Whether the payer has, as far as is known, something due.
    wants: Vec<bool>,
    given: Vec<u32>,
}

impl Deal {
    fn of(demand: &Demand, counts: &BTreeMap<Payer, u64>, now: Time) -> Self {
        let mut first: BTreeMap<Payer, (Time, u32)> = BTreeMap::new();
        for queue in &demand.queues {
            let (earliest, _) = first
                .entry(queue.payer)
                .or_insert((queue.earliest, queue.weight));
            *earliest = queue.earliest.min(*earliest);
        }
        let mut payers: Vec<(Time, Payer, u32)> = first
            .into_iter()
            .map(|(payer, (earliest, weight))| (earliest, payer, weight))
            .collect();
        payers.sort_unstable();
        let claimant = |(_, payer, weight): &(Time, Payer, u32)| Claimant {
            taken: counts.get(payer).copied().unwrap_or(0),
            weight: *weight,
        };
        let mut claimants: Vec<Claimant> = payers.iter().map(claimant).collect();
        raise(&mut claimants);
        Self {
            wants: payers.iter().map(|(at, ..)| *at <= now).collect(),
            given: vec![0; payers.len()],
            payers: payers.into_iter().map(|(_, payer, _)| payer).collect(),
            claimants,
        }
    }

    fn wanting(&self) -> usize {
        self.wants.iter().filter(|wants| **wants).count()
    }

    /// Who is given how many of so many numbers.
    fn deal(&self, numbers: u32) -> BTreeMap<Payer, u32> {
        let most = |wants: &bool| if *wants { usize::MAX } else { 0 };
        let most: Vec<usize> = self.wants.iter().map(most).collect();
        let mut parts = BTreeMap::new();
        for place in turns(&self.claimants, &most, numbers as usize) {
            *parts.entry(self.payers[place]).or_default() += 1;
        }
        parts
    }

    /// Counts what the payers got. One that got less than its part wants no more.
    fn note(&mut self, parts: &BTreeMap<Payer, u32>, got: &BTreeMap<Payer, u32>) {
        for (place, payer) in self.payers.iter().enumerate() {
            let numbers = got.get(payer).copied().unwrap_or(0);
            if parts.get(payer).is_some_and(|part| numbers < *part) {
                self.wants[place] = false;
            }
            let claimant = &mut self.claimants[place];
            claimant.taken = claimant.taken.saturating_add(claimant.cost(numbers.into()));
            self.given[place] += numbers;
        }
    }

    /// What to add to the payers' counts.
    fn turns(&self) -> Vec<Turn> {
        let turn = |place: usize| {
            let (claimant, numbers) = (self.claimants[place], self.given[place]);
            let more = claimant.cost(numbers.into());
            (numbers > 0).then(|| Turn {
                payer: self.payers[place],
                from: claimant.taken.saturating_sub(more),
                more,
            })
        };
        (0..self.payers.len()).filter_map(turn).collect()
    }
}

impl Scheduler {
    /// Claims what is due, and early trackings for what is left of the calls.
    pub(super) async fn claim_freely(
        &mut self,
        demand: &Demand,
        looks_ahead: bool,
        spends: bool,
        limit: u32,
    ) -> anyhow::Result<Vec<Tracking>> {
        let account = demand.account.name.as_str();
        let now = self.parts.clock.now();
        let mut deal = Deal::of(demand, &BTreeMap::new(), now);
        let is_shared = deal.payers.len() > 1 && (deal.wanting() > 1 || looks_ahead);
        if is_shared {
            let counts = self.parts.store.turns(account).await;
            let counts = counts.context("cannot read how calls were dealt")?;
            deal = Deal::of(demand, &counts, now);
        }
        let mut rows = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let left = limit - u32::try_from(rows.len()).unwrap_or(limit).min(limit);
            if deal.wanting() < 2 || left == 0 {
                break;
            }
            let early = Early::None;
            rows.extend(self.claim_parts(demand, &mut deal, left, early).await?);
        }
        let begun = u32::try_from(rows.len()).unwrap_or(limit).min(limit);
        if deal.wanting() < 2 && begun < limit {
            let left = limit - begun;
            let more = if spends {
                self.claim_or_spend(demand, &mut deal, looks_ahead, left)
                    .await
            } else {
                let per_call = demand.account.numbers_per_call.max(1);
                let early = Early::Fill { per_call, begun };
                self.claim_parts(demand, &mut deal, left, early).await
            };
            rows.extend(more?);
        }
        if is_shared && let Err(error) = self.parts.store.take_turns(account, &deal.turns()).await {
            tracing::warn!(
                account,
                "cannot note how calls of account {account} were dealt, the next ones are dealt as if these were not: {error}"
            );
        }
        Ok(rows)
    }

    /// Claims for each payer its part of so many numbers.
    async fn claim_parts(
        &mut self,
        demand: &Demand,
        deal: &mut Deal,
        limit: u32,
        early: Early<'_>,
    ) -> anyhow::Result<Vec<Tracking>> {
        let parts = deal.deal(limit);
        let lane = self.lanes.entry(demand.account.name.clone()).or_default();
        let halves = parts.iter().map(|(payer, part)| {
            // Half of an odd number is dealt out in turns.
            let halves = part + u32::from(lane.owes_half.remove(payer));
            if halves % 2 == 1 {
                lane.owes_half.insert(*payer);
            }
            (*payer, halves / 2)
        });
        let halves: BTreeMap<Payer, u32> = halves.collect();
        let is_fill = matches!(early, Early::Fill { per_call, .. } if per_call > 1);
        let shares = demand.queues.iter().map(|queue| Share {
            carrier_code: queue.carrier_code.clone(),
            payer: queue.payer,
            most: parts.get(&queue.payer).copied().unwrap_or(0),
            unanswered_max: halves.get(&queue.payer).copied().unwrap_or(0),
        });
        // The queues of others may fill a call.
        let shares: Vec<Share> = shares.filter(|it| it.most > 0 || is_fill).collect();
        if shares.is_empty() && !matches!(early, Early::Of { .. }) {
            return Ok(Vec::new());
        }
        let take = Take::Due { early };
        let claimed = self.claim_from_store(&shares, limit, take).await?;
        deal.note(&parts, &claimed.by_payer);
        Ok(claimed.trackings)
    }

    /// Claims for the one payer that still wants calls, if there is one, and spends the rest on early trackings of all payers.
    async fn claim_or_spend(
        &mut self,
        demand: &Demand,
        deal: &mut Deal,
        looks_ahead: bool,
        limit: u32,
    ) -> anyhow::Result<Vec<Tracking>> {
        let account = &demand.account;
        let rests = self.left_alone(account).max(account.min_interval);
        let rests = self.settings.recheck_after.max(rests);
        let answered_before = self.parts.clock.now() - delta(rests);
        let mut shelf = if looks_ahead {
            self.shelf(demand, deal, answered_before, rests, limit)
                .await?
        } else {
            VecDeque::new()
        };
        let offered = shelf.len().min(limit as usize * OFFERED_TIMES);
        let offered: Vec<i64> = shelf.iter().take(offered).copied().collect();
        let early = Early::Of {
            trackings: &offered,
            answered_before,
        };
        let rows = self.claim_parts(demand, deal, limit, early).await?;
        if looks_ahead {
            let is_last = |id: &i64| rows.iter().any(|row| row.id == *id);
            let used = if rows.len() < limit as usize {
                offered.len()
            } else {
                offered.iter().rposition(is_last).map_or(0, |last| last + 1)
            };
            shelf.drain(..used);
            let lane = self.lanes.entry(account.name.clone()).or_default();
            lane.shelf = shelf;
        }
        Ok(rows)
    }

    /// The next trackings that may be checked early, in the payers' turns, read anew if they are used up or old.
    async fn shelf(
        &mut self,
        demand: &Demand,
        deal: &Deal,
        answered_before: Time,
        rests: Duration,
        limit: u32,
    ) -> anyhow::Result<VecDeque<i64>> {
        let (now, monotonic) = (self.parts.clock.now(), self.parts.clock.monotonic());
        let lane = self.lanes.entry(demand.account.name.clone()).or_default();
        let shelf = std::mem::take(&mut lane.shelf);
        let is_old = monotonic >= lane.shelf_until;
        let is_used_up = shelf.len() < limit as usize && monotonic >= lane.shelf_again;
        if !is_old && !is_used_up {
            return Ok(shelf);
        }
        let payers = u32::try_from(deal.payers.len()).unwrap_or(u32::MAX).max(1);
        let most = (SHELF_MAX / payers).max(1);
        let shares = demand.queues.iter().map(|queue| Share {
            carrier_code: queue.carrier_code.clone(),
            payer: queue.payer,
            most,
            unanswered_max: 0,
        });
        let shares: Vec<Share> = shares.collect();
        let found = self.parts.store.early(&shares, answered_before, now).await;
        let found = found.context("cannot list what may be checked early")?;
        let keep = self.parts.clock.real(rests / 10);
        let lane = self.lanes.entry(demand.account.name.clone()).or_default();
        lane.shelf_until = monotonic + keep.max(self.settings.poll_interval);
        // If there were no more, there will not be more a moment later.
        let mut of_payers: Vec<VecDeque<i64>> = vec![VecDeque::new(); deal.payers.len()];
        for (payer, id) in found {
            if let Some(place) = deal.payers.iter().position(|it| *it == payer) {
                of_payers[place].push_back(id);
            }
        }
        let lengths: Vec<usize> = of_payers.iter().map(VecDeque::len).collect();
        let is_all = lengths.iter().all(|length| *length < most as usize);
        lane.shelf_again = if is_all {
            monotonic + self.settings.poll_interval
        } else {
            monotonic
        };
        let turns = turns(&deal.claimants, &lengths, usize::MAX);
        let in_turns = turns.into_iter();
        Ok(in_turns
            .filter_map(|place| of_payers[place].pop_front())
            .collect())
    }

    /// The shortest time between a good answer and an early check, by the account's load.
    fn left_alone(&self, account: &Account) -> Duration {
        let learned = self.parts.learned.account(&account.name);
        let round = learned.map_or(0.0, |learned| learned.round(account));
        Duration::try_from_secs_f64(left_alone(round) * 3_600.0).unwrap_or_default()
    }
}
