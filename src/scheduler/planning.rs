//! Plans the calls that ask about what was claimed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::carriers::routes::Account;
use crate::model::Tracking;
use crate::scheduler::Scheduler;
use crate::scheduler::lane::Call;
use crate::scheduler::permits::Taken;
use crate::store::failures::Gate;

impl Scheduler {
    /// Plans a call for each group of `asked`, gives back the calls that found none, and releases what found no call.
    /// Returns whether calls were left over.
    pub(super) async fn plan_calls(
        &mut self,
        account: &Arc<Account>,
        asked: Vec<Tracking>,
        taken: Taken,
        gate: Option<Gate>,
        lease_ends: Duration,
    ) -> anyhow::Result<bool> {
        let per_call = account.numbers_per_call.max(1);
        let splits = self.splits(&asked, per_call).await;
        let groups = groups(asked, per_call, &splits);
        let now = self.parts.clock.now();
        let mut grants = taken.grants.iter();
        let (mut used, mut refused) = (0, Vec::new());
        let lane = self.lanes.entry(account.name.clone()).or_default();
        for group in groups {
            let route = group
                .first()
                .and_then(|row| self.parts.routes.resolve(&row.carrier_code));
            let (Some(route), Some(grant)) = (route, grants.next()) else {
                refused.extend(group);
                continue;
            };
            used += 1;
            let counter = &self.parts.pricer.counter;
            counter.claimed(&account.name, &group, now);
            lane.waiting.push_back(Call {
                route: route.clone(),
                was_split: group.iter().any(|row| splits.contains_key(&row.id)),
                trackings: group.into_iter().map(|row| route.asked(row)).collect(),
                grant: *grant,
                gate,
                lease_ends,
            });
        }
        let left_over = used < taken.grants.len();
        self.give_back_unused(account, taken, used).await;
        self.give_back(&refused).await?;
        Ok(left_over)
    }

    /// How large the next call with these trackings may be, for those whose last call failed as a whole.
    async fn splits(&self, asked: &[Tracking], per_call: u32) -> HashMap<i64, u32> {
        if per_call == 1 || asked.is_empty() {
            return HashMap::new();
        }
        let ids: Vec<i64> = asked.iter().map(|row| row.id).collect();
        match self.parts.store.call_splits(&ids).await {
            Ok(splits) => splits,
            Err(error) => {
                tracing::warn!("cannot read which calls to split: {error}");
                HashMap::new()
            }
        }
    }

    /// Gives back the calls that found no tracking. If that fails they stay counted, which costs a few calls of the day.
    pub(super) async fn give_back_unused(&self, account: &Account, taken: Taken, used: usize) {
        if let Err(error) = self.permits.give_back(account, taken, used).await {
            let account = account.name.as_str();
            tracing::warn!(
                account,
                "cannot give back calls of account {account}, they stay counted for the day: {error}"
            );
        }
    }
}

/// Cuts `rows` into calls of one carrier each: of `per_call` numbers, and of fewer if an earlier call with them failed as a
/// whole. The call with the first row comes first.
fn groups(rows: Vec<Tracking>, per_call: u32, splits: &HashMap<i64, u32>) -> Vec<Vec<Tracking>> {
    let mut groups: Vec<(u32, Vec<Tracking>)> = Vec::new();
    for row in rows {
        let split = splits.get(&row.id);
        let size = split.map_or(per_call, |size| per_call.min(*size));
        let open = groups.iter_mut().rev().find(|(its_size, group)| {
            let is_alike = |it: &Tracking| it.carrier_code == row.carrier_code;
            *its_size == size && group.first().is_some_and(is_alike)
        });
        match open {
            Some((_, group)) if group.len() < size as usize => group.push(row),
            Some(_) | None => groups.push((size, vec![row])),
        }
    }
    groups.into_iter().map(|(_, group)| group).collect()
}
