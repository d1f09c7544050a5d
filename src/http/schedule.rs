//! `GET /trackings/{trackingId}/schedule`: when a parcel is looked at next, and why then.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::carriers::routes::Account;
use crate::clock::Time;
use crate::clock::hours;
use crate::config::Policy;
use crate::http::events::TrackingPath;
use crate::http::trackings::TAG;
use crate::http::{Serve, span};
use crate::learned::LearnedAccount;
use crate::model::Tracking;
use crate::plan::decide::{longest_wait, waited};
use crate::plan::hazard::Cell;
use crate::plan::parcel::Standing;
use crate::plan::{HOURS, SLOTS, age_class, slot_of};
use crate::serving::docs;
use crate::serving::extract::Path;
use crate::serving::problem::{Kind, Problem};
use crate::store::account_states::AccountState;

/// When a parcel is looked at next, and why then.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct Schedule {
    tracking_id: String,
    /// A year ahead where it is no longer checked.
    next_check_at: Time,
    reason: Reason,
    /// The same in a sentence.
    text: String,
    /// The account at the carrier whose calls are spent; null where the configuration leads nowhere.
    account: Option<String>,
    policy: Option<String>,
    /// The last check that the carrier answered.
    last_answered_at: Option<Time>,
    /// Failed checks in a row.
    failures: u32,
    /// Until when the carrier is left alone; null where it is not.
    paused_until: Option<Time>,
    /// Calls that the day has left; null where it has no limit.
    left_today: Option<i64>,
    /// What is expected of it; null before the carrier has answered, and once it has arrived.
    expectation: Option<Expectation>,
}

/// Why a check comes when it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Reason {
    /// It has arrived, or was given up: nothing more is expected.
    Done,
    /// The configuration leads its carrier nowhere.
    Unrouted,
    /// It is being checked.
    Checking,
    /// The carrier is left alone.
    Paused,
    /// The day's calls are spent.
    QuotaSpent,
    /// It was refreshed, and goes before all others.
    Refreshed,
    /// Its last checks failed.
    BackOff,
    /// Its time has come; it waits for a call.
    Due,
    /// By the fixed cadence.
    Cadence,
    /// By the table of waits for each status.
    Table,
    /// Waiting longer would cost more than a call.
    Learned,
    /// Little is expected, but nothing waits longer than this.
    LongestWait,
}

/// What the learned policy goes by, whichever policy is in force.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
struct Expectation {
    /// What was learned of events with this code is used.
    code: String,
    /// Hours since that event.
    age_hours: f64,
    /// The kind of day, and its hour (UTC).
    day: Day,
    hour: usize,
    /// How many events an hour such parcels have now.
    events_per_hour: f64,
    /// What that was learned from: events and hours of watching at this age, day and hour, as far as they are remembered.
    observed_events: f64,
    observed_hours: f64,
    /// The expected weight of events by now that the last answer did not show; events that people wait for weigh 5.
    unseen: f64,
    /// What waiting has cost so far: weight times hours.
    cost: f64,
    /// The price of a call now, in the same unit; null where the policy goes by none, and before there is one.
    price: Option<f64>,
    /// Hours after an answer at which it is looked at in any case.
    longest_wait_hours: f64,
}

/// Days that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Day {
    /// Monday to Friday.
    Working,
    Saturday,
    Sunday,
}

impl Day {
    /// In the order of the slots.
    const ALL: [Self; SLOTS / HOURS] = [Self::Working, Self::Saturday, Self::Sunday];
}

/// Answers when and why.
pub async fn schedule(
    State(serve): State<Serve>,
    Path(path): Path<TrackingPath>,
) -> Result<axum::Json<Schedule>, Problem> {
    let row = serve.current.from_store(path.id()?).await?;
    let row = row.ok_or_else(|| path.not_found())?;
    let now = serve.clock.now();
    let Some(route) = serve.routes.resolve(&row.carrier_code) else {
        let reason = if row.active {
            Reason::Unrouted
        } else {
            Reason::Done
        };
        return Ok(axum::Json(answer(&row, reason, None, None, None, now)));
    };
    let account = &route.account;
    let states = serve.store.account_states().await?;
    let state = states
        .into_iter()
        .find(|state| state.account == account.name);
    let known = serve.learned.refresh(account, now).await?;
    let section = serve.store.sections().of(row.carrier_code.as_str());
    let expectation = expectation(&row, account, section, &known, now);
    let reason = reason(&row, account, state.as_ref(), expectation.as_ref(), now);
    Ok(axum::Json(answer(
        &row,
        reason,
        Some(account),
        state,
        expectation,
        now,
    )))
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
    if due && left_today(account, state, now) == Some(0) {
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

fn left_today(account: &Account, state: Option<&AccountState>, now: Time) -> Option<i64> {
    let per_day = account.limits.per_day;
    (per_day > 0).then(|| state.map_or(i64::from(per_day), |state| state.left(per_day, None, now)))
}

fn answer(
    row: &Tracking,
    reason: Reason,
    account: Option<&Account>,
    state: Option<AccountState>,
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
        left_today: account.and_then(|account| left_today(account, state.as_ref(), now)),
        expectation,
    }
}

/// The reason for people.
fn text(
    row: &Tracking,
    reason: Reason,
    pause_reason: &str,
    expectation: Option<&Expectation>,
    now: Time,
) -> String {
    let wait = span_or_days(hours(row.next_check_at) - hours(now));
    match reason {
        Reason::Done => format!("It is {}: nothing more is expected.", row.status),
        Reason::Unrouted => format!(
            "Nobody checks it: the configuration has no [carriers.{}] and no [carriers.\"*\"].",
            row.carrier_code
        ),
        Reason::Checking => "It is being checked now.".to_owned(),
        Reason::Paused => format!("The carrier is left alone for now: {pause_reason}."),
        Reason::QuotaSpent => {
            "Its time has come, but the day's calls are spent; they begin anew at midnight UTC."
                .to_owned()
        }
        Reason::Refreshed => {
            "It was refreshed and goes before all others; it waits for the next call.".to_owned()
        }
        Reason::Due => format!(
            "Its time came {} ago; it waits for a call, after those whose time came before.",
            span_or_days(hours(now) - hours(row.next_check_at))
        ),
        Reason::BackOff => format!(
            "Its last {} failed ({}); the next one is in {wait}.",
            if row.check_fail_count == 1 {
                "check".to_owned()
            } else {
                format!("{} checks", row.check_fail_count)
            },
            row.last_error
        ),
        Reason::Cadence => format!("By the fixed cadence the next check is in {wait}."),
        Reason::Table => format!(
            "It is {}, and the table gives the next check in {wait}.",
            row.status
        ),
        Reason::Learned => format!(
            "{} In {wait} waiting will have cost as much as a call is worth; where calls are left over it is checked \
             sooner.",
            so_far(expectation)
        ),
        Reason::LongestWait => format!(
            "{} So little is expected that it waits the longest that any parcel waits: the next check is in {wait}, or \
             sooner where calls are left over.",
            so_far(expectation)
        ),
    }
}

fn so_far(expectation: Option<&Expectation>) -> String {
    expectation.map_or_else(
        || "Nothing is known yet of such parcels.".to_owned(),
        |it| {
            format!(
                "Its last event ({}) was {} ago; such parcels now have news {} an hour, and {:.2} weighted events are \
                 expected to be there unseen.",
                it.code,
                span_or_days(it.age_hours),
                times(it.events_per_hour),
                it.unseen
            )
        },
    )
}

/// A rate in words.
fn times(rate: f64) -> String {
    if rate >= 0.1 {
        format!("{rate:.1} times")
    } else {
        format!("{rate:.3} times")
    }
}

/// A number of hours in the unit that fits it, from days to less than a second.
fn span_or_days(hours: f64) -> String {
    if hours < 48.0 {
        span(hours.max(0.0))
    } else {
        format!("{:.1} days", hours / 24.0)
    }
}

pub fn schedule_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("getSchedule")
        .tag(TAG)
        .summary("When it is checked next, and why then")
        .description(
            "The next check as it is planned, with what it was planned by: what was learned of such parcels, the price of a \
             call, back-off, quota and pause. Nothing is asked of the carrier.",
        );
    let example = json!({
        "trackingId": "1", "nextCheckAt": "2026-11-20T15:10:00Z", "reason": Reason::Learned,
        "text": "Its last event (IN_TRANSIT_DEPARTED) was 9.5 h ago; such parcels now have news 0.1 times an hour, and 0.13 \
                 weighted events are expected to be there unseen. In 2.1 h waiting will have cost as much as a call is \
                 worth; where calls are left over it is checked sooner.",
        "account": "CDEK", "policy": "learned", "lastAnsweredAt": "2026-11-20T12:00:02Z", "failures": 0,
        "pausedUntil": null, "leftToday": null,
        "expectation": {
            "code": "IN_TRANSIT_DEPARTED", "ageHours": 9.5, "day": Day::Working, "hour": 13, "eventsPerHour": 0.104, "observedEvents": 61.3,
            "observedHours": 588.2, "unseen": 0.13, "cost": 0.066, "price": 0.181, "longestWaitHours": 24.0,
        },
    });
    let op = docs::answer::<Schedule>(op, "When and why.", example);
    docs::problems(
        op,
        &[
            Kind::NotFound,
            Kind::Invalid,
            Kind::TooManyRequests,
            Kind::Internal,
            Kind::Unavailable,
        ],
    )
}
