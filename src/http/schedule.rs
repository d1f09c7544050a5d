//! `GET /trackings/{trackingId}/schedule`: when a parcel is checked next, and why then.

mod reason;

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::carriers::routes::Account;
use crate::clock::{Time, hours};
use crate::config::Policy;
use crate::http::Serve;
use crate::http::schedule::reason::{Day, Expectation, Reason, text};
use crate::http::trackings::{self, TAG};
use crate::learned::LearnedAccount;
use crate::model::Tracking;
use crate::plan::decide::{longest_wait, waited};
use crate::plan::hazard::factors::Cell;
use crate::plan::parcel::Standing;
use crate::plan::{HOURS, age_class, slot_of};
use crate::serving::caller::Reads;
use crate::serving::docs;
use crate::serving::id::IdPath;
use crate::serving::operation::{documented, get};
use crate::serving::problem::Problem;
use crate::store::account_states::AccountState;
use crate::store::error::StoreError;

/// When a parcel is checked next, and why then.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct Schedule {
    tracking_id: String,
    /// A year ahead if the parcel is no longer checked.
    next_check_at: Time,
    reason: Reason,
    /// The reason in a sentence.
    text: String,
    /// The account that makes the calls; null if the configuration has none for the carrier.
    account: Option<String>,
    policy: Option<String>,
    /// The time of the last check that the carrier answered.
    last_answered_at: Option<Time>,
    /// Failed checks in a row.
    failures: u32,
    /// The end of the account's pause; null if it is not paused.
    paused_until: Option<Time>,
    /// Calls left of the day or month, of several the least; null if neither has a limit.
    left_today: Option<i64>,
    /// The news to expect; null before the carrier has answered and once the status is final.
    expectation: Option<Expectation>,
}

/// Show when a parcel is checked next, and why then
///
/// The planned check with the input of the plan: what was learned about such parcels, the price of a call, backoff, quota
/// and pause. The carrier is not asked.
#[apply(documented)]
async fn get_schedule(
    caller: Reads,
    State(serve): State<Serve>,
    path: IdPath<trackings::Tracking>,
) -> Result<axum::Json<Schedule>, Problem> {
    let id = path.id()?;
    let row = serve.current.from_store(caller.tenant, id).await?;
    let row = row.ok_or_else(|| path.not_found())?;
    let row = Tracking { id, ..row };
    let now = serve.clock.now();
    let Some(route) = serve.routes.resolve(&row.carrier_code) else {
        let reason = if row.active {
            Reason::Unrouted
        } else {
            Reason::Done
        };
        return Ok(axum::Json(answer(
            &row, reason, None, None, None, None, now,
        )));
    };
    let account = &route.account;
    let states = serve.store.account_states(now).await?;
    let state = states
        .into_iter()
        .find(|state| state.account == account.name);
    let known = serve.learned.refresh(account, now).await?;
    let section = serve.store.sections().of(row.carrier_code.as_str());
    let expectation = expectation(&row, account, section, &known, now);
    let left = left(&serve, account, now).await?;
    let reason = reason(
        &row,
        account,
        state.as_ref(),
        left,
        expectation.as_ref(),
        now,
    );
    Ok(axum::Json(answer(
        &row,
        reason,
        Some(account),
        state,
        left,
        expectation,
        now,
    )))
}

/// How many calls the account may still make of its day or month, of several the least.
async fn left(serve: &Serve, account: &Account, now: Time) -> Result<Option<i64>, StoreError> {
    let quotas = &account.limits.quotas;
    let used = serve.store.calls_used(&account.name, quotas, now).await?;
    let quotas = quotas.iter().zip(used);
    let left = quotas.map(|(quota, used)| (i64::from(quota.calls) - used).max(0));
    Ok(left.min())
}

fn expectation(
    row: &Tracking,
    account: &Account,
    section: &str,
    known: &LearnedAccount,
    now: Time,
) -> Option<Expectation> {
    let last_ok = row.last_ok_at.filter(|_| row.active)?;
    let section = known.sections.get(section)?;
    let Standing { code, since } = Standing::of(row);
    let fit = section.fit(code)?;
    let (age, slot) = ((hours(now) - since).max(0.0), slot_of(hours(now)));
    let observed = section
        .codes
        .get(code)
        .map_or_else(Cell::default, |(counts, _)| {
            counts.cells[age_class(age)][slot]
        });
    let (unseen, cost) = waited(fit, since, hours(last_ok), hours(now));
    let pricing = known.plan.as_ref();
    Some(Expectation {
        code: code.to_owned(),
        age_hours: age,
        day: Day::ALL[slot / HOURS],
        hour: slot % HOURS,
        events_per_hour: fit.hazard(age_class(age), slot),
        observed_events: observed.events,
        observed_hours: observed.hours,
        unseen,
        cost,
        price: pricing
            .filter(|_| account.policy == Policy::Learned)
            .map(|pricing| pricing.price.at(hours(now))),
        longest_wait_hours: longest_wait(known.round(account)),
    })
}

fn reason(
    row: &Tracking,
    account: &Account,
    state: Option<&AccountState>,
    left: Option<i64>,
    expectation: Option<&Expectation>,
    now: Time,
) -> Reason {
    if !row.active {
        return Reason::Done;
    }
    if row.lease_until.is_some_and(|until| until > now) {
        return Reason::Checking;
    }
    if state.is_some_and(|state| state.paused_until.is_some_and(|until| until > now)) {
        return Reason::Paused;
    }
    let due = row.next_check_at <= now;
    if due && left == Some(0) {
        return Reason::QuotaSpent;
    }
    if row.urgent {
        return Reason::Refreshed;
    }
    if due {
        return Reason::Due;
    }
    if row.check_fail_count > 0 {
        return Reason::BackOff;
    }
    match account.policy {
        Policy::Fixed => Reason::Cadence,
        Policy::Table => Reason::Table,
        Policy::Learned => {
            let longest = expectation.map_or(f64::INFINITY, |it| it.longest_wait_hours);
            let wait = row
                .last_ok_at
                .map_or(0.0, |at| hours(row.next_check_at) - hours(at));
            if wait >= longest - 0.1 {
                Reason::LongestWait
            } else {
                Reason::Learned
            }
        }
    }
}

fn answer(
    row: &Tracking,
    reason: Reason,
    account: Option<&Account>,
    state: Option<AccountState>,
    left: Option<i64>,
    expectation: Option<Expectation>,
    now: Time,
) -> Schedule {
    let paused_until = state
        .as_ref()
        .and_then(|state| state.paused_until)
        .filter(|until| *until > now);
    let pause_reason = state
        .as_ref()
        .map_or("", |state| state.pause_reason.as_str());
    Schedule {
        tracking_id: row.id.to_string(),
        next_check_at: row.next_check_shown(),
        reason,
        text: text(row, reason, pause_reason, expectation.as_ref(), now),
        account: account.map(|account| account.name.clone()),
        policy: account.map(|account| account.policy.name().to_owned()),
        last_answered_at: row.last_ok_at,
        failures: row.check_fail_count,
        paused_until,
        left_today: left,
        expectation,
    }
}

pub fn router() -> ApiRouter<Serve> {
    let example = json!({
        "trackingId": "1", "nextCheckAt": "2026-11-20T15:10:00Z", "reason": Reason::Learned,
        "text": "Its last event (IN_TRANSIT_DEPARTED) was 9.5 h ago; such parcels now have news 0.1 times an hour, and 0.13 \
                 weighted events are expected to be there unseen. In 2.1 h waiting will have cost as much as a call is \
                 worth; it is checked sooner if there are spare calls.",
        "account": "CDEK", "policy": "learned", "lastAnsweredAt": "2026-11-20T12:00:02Z", "failures": 0,
        "pausedUntil": null, "leftToday": null,
        "expectation": {
            "code": "IN_TRANSIT_DEPARTED", "ageHours": 9.5, "day": Day::Working, "hour": 13, "eventsPerHour": 0.104, "observedEvents": 61.3,
            "observedHours": 588.2, "unseen": 0.13, "cost": 0.066, "price": 0.181, "longestWaitHours": 24.0,
        },
    });
    let operation = get_schedule::operation(TAG).answer("When and why.", example);
    ApiRouter::new().api_route(
        "/trackings/{trackingId}/schedule",
        get(get_schedule, operation),
    )
}
