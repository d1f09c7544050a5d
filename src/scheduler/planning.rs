//! Plans the calls that ask about what was claimed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::carriers::routes::{Account, Route, Routes};
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
        let routes = Arc::clone(&self.parts.routes);
        let (groups, mut refused) = groups(asked, &routes, per_call, &splits);
        let now = self.parts.clock.now();
        let mut grants = taken.grants.iter();
        let mut used = 0;
        let lane = self.lanes.entry(account.name.clone()).or_default();
        for Group { route, rows, .. } in groups {
            let Some(grant) = grants.next() else {
                refused.extend(rows);
                continue;
            };
            used += 1;
            let counter = &self.parts.pricer.counter;
            counter.claimed(&account.name, &rows, now);
            lane.waiting.push_back(Call {
                route: route.clone(),
                was_split: rows.iter().any(|row| splits.contains_key(&row.id)),
                trackings: rows,
                ticket: None,
                grant: *grant,
                gate,
                lease_ends,
            });
        }
        let left_over = used < taken.grants.len();
        self.give_back_unused(account, taken, used).await;
        let refused = refused.iter();
        let refused: Vec<_> = refused
            .filter_map(|row| Some((row.id, row.lease_id?)))
            .collect();
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

/// The trackings of one call, and what it may hold.
struct Group<'a> {
    route: &'a Route,
    size: u32,
    rows: Vec<Tracking>,
}

/// Cuts `rows` into calls of what is asked in the same way: of `per_call` numbers, and of fewer if an earlier call with them
/// failed as a whole. The call with the first row comes first. Beside them, the rows without a route.
fn groups<'a>(
    rows: Vec<Tracking>,
    routes: &'a Routes,
    per_call: u32,
    splits: &HashMap<i64, u32>,
) -> (Vec<Group<'a>>, Vec<Tracking>) {
    let mut groups: Vec<Group<'a>> = Vec::new();
    let mut stray = Vec::new();
    for row in rows {
        let Some(route) = routes.resolve(&row.carrier_code) else {
            stray.push(row);
            continue;
        };
        let split = splits.get(&row.id);
        let size = split.map_or(per_call, |size| per_call.min(*size));
        let row = route.asked(row);
        let mixes = route.adapter.mixes_carriers();
        let is_alike = |group: &&mut Group<'_>| {
            let of_carrier = |it: &Tracking| it.carrier_code == row.carrier_code;
            group.size == size
                && group.route.calls_as(route)
                && (mixes || group.rows.iter().all(of_carrier))
        };
        match groups.iter_mut().rev().find(is_alike) {
            Some(open) if open.rows.len() < size as usize => open.rows.push(row),
            Some(_) | None => groups.push(Group {
                route,
                size,
                rows: vec![row],
            }),
        }
    }
    (groups, stray)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::groups;
    use crate::carriers::routes::Routes;
    use crate::carriers::{Answer, Asked, Carrier, CarrierError, State, Step};
    use crate::clock::Time;
    use crate::config::Config;
    use crate::model::fixture::tracking;
    use crate::model::{CarrierCode, Tracking};

    /// Takes three numbers a call.
    struct Threes {
        mixes: bool,
    }

    impl Carrier for Threes {
        fn name(&self) -> &'static str {
            "threes"
        }

        fn numbers_per_call(&self) -> usize {
            3
        }

        fn mixes_carriers(&self) -> bool {
            self.mixes
        }

        fn start(&self, asked: &[Asked]) -> Step {
            Step::Done(State::first(asked).all(&crate::carriers::Verdict::NotFoundYet))
        }

        fn resume(&self, _: State, _: &Answer, _: Time) -> Result<Step, CarrierError> {
            Err(CarrierError::TooManySteps)
        }
    }

    /// The ids of each call's rows; those of odd ids are of CDEK, the others of POST_RU.
    fn calls(mixes: bool, splits: &HashMap<i64, u32>) -> Vec<Vec<i64>> {
        let adapter: Arc<dyn Carrier> = Arc::new(Threes { mixes });
        let codes = ["CDEK", "POST_RU"].map(|code| CarrierCode::parse(code).expect("a code"));
        let mut routes = Routes::new(&Config::default()).expect("routes");
        for code in &codes {
            routes = routes.with_adapter(code, Arc::clone(&adapter));
        }
        let row = |id: i64| Tracking {
            carrier_code: codes[usize::from(id % 2 == 0)].clone(),
            ..tracking(id, 1)
        };
        let (groups, stray) = groups((1..=6).map(row).collect(), &routes, 3, splits);
        assert!(stray.is_empty());
        let ids = |rows: Vec<Tracking>| rows.iter().map(|row| row.id).collect();
        groups.into_iter().map(|group| ids(group.rows)).collect()
    }

    #[test]
    fn a_call_holds_several_carriers_if_the_adapter_can() {
        let none = HashMap::new();
        assert_eq!(calls(true, &none), [[1, 2, 3], [4, 5, 6]]);
        assert_eq!(calls(false, &none), [[1, 3, 5], [2, 4, 6]]);
    }

    #[test]
    fn a_call_that_failed_as_a_whole_is_halved() {
        let splits = [(2, 1), (3, 2), (5, 2)].into();
        let expected: [&[i64]; 3] = [&[1, 4, 6], &[2], &[3, 5]];
        assert_eq!(calls(true, &splits), expected);
    }
}
