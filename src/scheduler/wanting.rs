//! Which parcels are to be subscribed: those that a check showed to be under way.

use crate::carriers::routes::Route;
use crate::kafka::message::Checked;
use crate::model::Outcome;
use crate::scheduler::exchange::record;
use crate::scheduler::parts::SchedulerParts;

/// Has the parcels subscribed that the carrier of `route` knows and that are under way, if it takes numbers.
pub async fn want(parts: &SchedulerParts, route: &Route, checks: &[Checked]) {
    let takes_numbers = route.callback.is_some()
        && route
            .adapter
            .subscription()
            .is_some_and(|it| it.numbers > 0);
    let is_under_way = |checked: &&Checked| match &checked.update.outcome {
        Outcome::Seen { report, .. } => !report.status.is_terminal(),
        Outcome::NotFoundYet | Outcome::Failed { .. } | Outcome::Replayed(_) => false,
    };
    let ids = checks.iter().filter(|_| takes_numbers).filter(is_under_way);
    let ids: Vec<i64> = ids.map(|checked| checked.update.tracking_id).collect();
    if !ids.is_empty() {
        let now = parts.clock.now();
        let wanting = parts.store.want_subscriptions(&route.section, &ids, now);
        record(&route.account.name, "note what is to be pushed", wanting).await;
    }
}
