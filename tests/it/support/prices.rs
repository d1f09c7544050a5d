//! A price of a call, and the lease to adjust it.

use chrono::TimeDelta;
use trackbox::plan::price::Price;
use trackbox::plan::quota::Shares;
use trackbox::store::Store;
use trackbox::store::account_plans::AccountPlan;
use uuid::Uuid;

use crate::support::time::at;

/// What is known of an account before anything was learned, except that the price is `whole`.
pub fn pricing(account: &str, whole: f64) -> AccountPlan {
    AccountPlan {
        account: account.to_owned(),
        price: Price {
            whole,
            by_hour: [1.0; 24],
            by_day: [1.0, 0.5, 0.25],
            round: 3.0,
        },
        shares: Shares::default(),
        shares_day: 0,
        held_until: None,
        failing: 0,
        unanswered_since: None,
        made_by: String::new(),
        parcels: 7,
        counted_at: at(0),
        adjusted_at: at(0),
        refitted_at: at(0),
    }
}

/// Asks at `at(secs)` to adjust the price of account CDEK for 180 s; `None` if another member does.
pub async fn lead(store: &Store, member: Uuid, secs: i64) -> Option<AccountPlan> {
    let (new, lease) = (pricing("CDEK", 1.0), TimeDelta::seconds(180));
    let leads = store.lead(&new, member, at(secs), lease);
    leads.await.expect("asks")
}
