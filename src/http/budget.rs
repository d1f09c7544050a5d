//! `GET /carriers/{code}/budget`: how a carrier's account spends its calls, and what more calls would gain.

use std::collections::BTreeMap;
use std::sync::Arc;

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::carriers::routes::{Account, Routes};
use crate::clock::{Time, at_hour, at_minute, hours, minute_of};
use crate::config::Policy;
use crate::http::accounts::{self, AccountOverview};
use crate::http::carriers::{LimitsAnswer, TAG};
use crate::http::{Serve, in_words};
use crate::learned::LearnedAccount;
use crate::model::CarrierCode;
use crate::model::limits::Limits;
use crate::model::quota::Quota;
use crate::plan::HOURS;
use crate::plan::decide::longest_wait;
use crate::plan::outlook::{Supply, staleness};
use crate::plan::pace::by_hour;
use crate::plan::quota::Shares;
use crate::serving::caller::Operates;
use crate::serving::docs::{self, PLAIN};
use crate::serving::extract::Path;
use crate::serving::operation::{documented, get};
use crate::serving::problem::{FieldError, Kind, Problem};
use crate::store::account_plans::AccountPlan;
use crate::store::counts::{CallCounts, HourOf};

/// How many minutes each entry of `lastDay` adds up.
const MINUTES_SHOWN: i64 = 10;

/// A carrier.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct CarrierPath {
    /// The carrier's code, as in a tracking.
    #[schemars(regex(pattern = PLAIN), length(min = 1, max = 64), example = &"CDEK")]
    code: String,
}

impl CarrierPath {
    /// The account that serves the carrier.
    ///
    /// # Errors
    /// If it is no code, or no section of the configuration serves it.
    pub fn account<'a>(&self, routes: &'a Routes) -> Result<&'a Arc<Account>, Problem> {
        let code = CarrierCode::parse(self.code.as_str()).map_err(|error| {
            Problem::invalid_at(FieldError::parameter("code", format!("code {error}")))
        })?;
        let route = routes.resolve(&code).ok_or_else(|| {
            let what =
                format!("the configuration has no [carriers.{code}] and no [carriers.\"*\"]");
            Problem::new(Kind::NotFound, what)
        })?;
        Ok(&route.account)
    }
}

/// How an account spends its calls.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct Budget {
    /// The account's name, and the sections of the configuration that share it.
    account: String,
    codes: Vec<String>,
    policy: String,
    /// A summary for people.
    text: String,
    limits: LimitsAnswer,
    /// The most parcels that one call asks about.
    numbers_per_call: u32,
    /// Calls that all workers made in the last whole minute.
    used_last_minute: i64,
    /// Calls made today, in the time zone of the limit per day; null if there is none.
    used_today: Option<i64>,
    paused_until: Option<Time>,
    /// Parcels that are still checked.
    parcels: i64,
    /// Of these, those that are due and wait for a call.
    waiting: i64,
    /// How long it takes to check every parcel once; null if there is no limit.
    round_hours: Option<f64>,
    /// Null if the policy uses no price.
    price: Option<PriceAnswer>,
    /// The calls of a day by hour (UTC); null if no limit per day or month is the strictest.
    calls_by_hour: Option<[f64; HOURS]>,
    staleness: Option<Staleness>,
    /// What all workers did in the last 24 hours, by ten minutes; those in which they did nothing are left out.
    last_day: Vec<Used>,
    /// What failed in the last seven days, the latest hour first.
    errors: Vec<Failures>,
}

/// What all workers did in ten minutes.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
struct Used {
    from: Time,
    calls: i64,
    /// Parcels asked about in these calls.
    numbers: i64,
    /// Parcels that calls had room for and none used.
    idle: i64,
    /// Parcels claimed for the first time, or again without an answer so far.
    first: i64,
    /// By how many minutes the other parcels were overdue on average when they were claimed; negative if they were early,
    /// null if there were none.
    late_minutes: Option<f64>,
}

/// How often something failed in an hour.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
struct Failures {
    hour: Time,
    /// `number` if the call was answered, but not for this parcel; else the kind of failure of the whole call.
    kind: String,
    count: i64,
    /// What was said the last time.
    words: String,
    last_at: Time,
}

/// The price of a call: what it must save to be worth making, in hours that weighted events stay unseen.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Price", transform = docs::all_required)]
struct PriceAnswer {
    now: f64,
    /// By hour of a working day, from midnight (UTC).
    by_hour: [f64; HOURS],
    /// What the price is multiplied by on a Saturday and on a Sunday.
    saturday: f64,
    sunday: f64,
    adjusted_at: Time,
}

/// Expected minutes from an event to the check that shows it, by what was learned.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
struct Staleness {
    /// If all parcels are checked in turn.
    fixed_minutes: f64,
    /// Under the learned policy, averaged by the weight of the events; null until a whole day was observed.
    learned_minutes: Option<f64>,
    /// The same with twice the limit.
    learned_minutes_if_doubled: Option<f64>,
}

/// Show how a carrier's account spends its calls
///
/// The limits and use of the account that the carrier's code belongs to, the parcels that wait for it, the price of a call
/// by hour, and how long events stay unseen: now, and if the limit were doubled. Also the calls of the last day, and the
/// failures of the last week.
#[apply(documented)]
async fn get_budget(
    _: Operates,
    State(serve): State<Serve>,
    Path(path): Path<CarrierPath>,
) -> Result<axum::Json<Budget>, Problem> {
    let account = path.account(&serve.routes)?;
    let now = serve.clock.now();
    let overview = accounts::overview(&serve).await?;
    let overview = overview
        .accounts
        .into_iter()
        .find(|overview| overview.account.name == account.name)
        .ok_or_else(|| {
            Problem::new(
                Kind::NotFound,
                format!("there is no account {}", account.name),
            )
        })?;
    let known = serve.learned.refresh(account, now).await?;
    let until = minute_of(now) + 1;
    let minutes = serve
        .store
        .calls_by_minute(&account.name, until - 24 * 60..until)
        .await?;
    let counted = Counted {
        last_day: last_day(minutes),
        errors: serve
            .store
            .errors_by_hour(&account.name)
            .await?
            .into_iter()
            .map(failures)
            .collect(),
    };
    Ok(axum::Json(answer(account, overview, &known, counted, now)))
}

/// What the workers counted, as it is shown.
struct Counted {
    last_day: Vec<Used>,
    errors: Vec<Failures>,
}

fn last_day(minutes: BTreeMap<i64, CallCounts>) -> Vec<Used> {
    let mut parts: BTreeMap<i64, CallCounts> = BTreeMap::new();
    for (minute, counts) in minutes {
        *parts.entry(minute.div_euclid(MINUTES_SHOWN)).or_default() += counts;
    }
    let used = |(part, counts): (i64, CallCounts)| Used {
        from: at_minute(part * MINUTES_SHOWN),
        calls: counts.calls,
        numbers: counts.numbers,
        idle: counts.idle,
        first: counts.first,
        late_minutes: (counts.claimed > 0)
            .then(|| rounded(counts.late * 60.0 / counts.claimed as f64)),
    };
    parts.into_iter().map(used).collect()
}

fn failures(((hour, _), errors): HourOf) -> Failures {
    Failures {
        hour: at_hour(hour),
        kind: errors.kind,
        count: errors.count,
        words: errors.words,
        last_at: errors.last_at,
    }
}

fn answer(
    account: &Account,
    overview: AccountOverview,
    known: &LearnedAccount,
    counted: Counted,
    now: Time,
) -> Budget {
    let parcels = overview.counts.active;
    let round = account.checks_per_hour().map(|_| account.round(parcels));
    let staleness = round.map(|round| expected(account, known, parcels, round));
    let learned = account.policy == Policy::Learned;
    let shares = if learned {
        known.shares()
    } else {
        Shares::even()
    };
    let calls_by_hour = calls_by_hour(&account.limits, &shares);
    let pricing = known.plan.as_ref().filter(|_| learned);
    let price = pricing.map(|pricing| shown(pricing, now));
    Budget {
        text: text(&overview, round, staleness.as_ref()),
        account: account.name.clone(),
        codes: account.codes.clone(),
        policy: account.policy.name().to_owned(),
        limits: LimitsAnswer::of(&overview),
        numbers_per_call: account.numbers_per_call,
        used_last_minute: overview.used_last_minute,
        used_today: overview.used_today(),
        paused_until: overview.paused_until,
        parcels,
        waiting: overview.counts.due,
        round_hours: round.map(rounded),
        price,
        calls_by_hour,
        staleness,
        last_day: counted.last_day,
        errors: counted.errors,
    }
}

/// How the strictest limit by day or month is spread over an average day.
fn calls_by_hour(limits: &Limits, shares: &Shares) -> Option<[f64; HOURS]> {
    let most = limits.calls_per_hour_of_windows();
    let quotas = limits.quotas.iter().map(Quota::calls_per_hour);
    let calls = quotas.min_by(f64::total_cmp)? * HOURS as f64;
    let spread = by_hour(calls, shares, most.unwrap_or(f64::INFINITY))?;
    Some(spread.map(rounded))
}

fn shown(pricing: &AccountPlan, now: Time) -> PriceAnswer {
    let price = &pricing.price;
    PriceAnswer {
        now: price.at(hours(now)),
        // Hours count from a Monday, so the first 24 are a working day.
        by_hour: std::array::from_fn(|hour| price.at(hour as f64)),
        saturday: price.by_day[1],
        sunday: price.by_day[2],
        adjusted_at: pricing.adjusted_at,
    }
}

fn expected(account: &Account, known: &LearnedAccount, parcels: i64, round: f64) -> Staleness {
    let learned = |times: f64| {
        let supply = Supply {
            parcels: parcels as f64,
            checks_per_hour: account.checks_per_hour()? * times,
            by_day: account.limits.is_by_day(),
            longest: longest_wait(round / times),
        };
        let codes = known.sections.values().flat_map(|s| s.codes.values());
        staleness(codes, &supply).map(|hours| rounded(hours * 60.0))
    };
    Staleness {
        fixed_minutes: rounded(round * 30.0),
        learned_minutes: learned(1.0),
        learned_minutes_if_doubled: learned(2.0),
    }
}

fn text(overview: &AccountOverview, round: Option<f64>, staleness: Option<&Staleness>) -> String {
    let parcels = overview.counts.active;
    let (Some(round), Some(staleness)) = (round, staleness) else {
        return format!("{parcels} parcels, and no limit on the calls.");
    };
    let mut text = format!(
        "{parcels} parcels; within the limits each can be checked once in {}.",
        in_words(round)
    );
    match (
        staleness.learned_minutes,
        staleness.learned_minutes_if_doubled,
    ) {
        (Some(now), Some(doubled)) => text.push_str(&format!(
            " An event is seen {} after it happened if parcels take turns, {} under the learned policy, and {} if the \
             limit were doubled. These are estimates.",
            in_words(staleness.fixed_minutes / 60.0),
            in_words(now / 60.0),
            in_words(doubled / 60.0)
        )),
        _ => text.push_str(
            " What the learned policy gains is known after a whole day of checks.",
        ),
    }
    text
}

fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

pub fn router() -> ApiRouter<Serve> {
    let by_hour: [f64; HOURS] = std::array::from_fn(|hour| if hour < 6 { 0.05 } else { 0.21 });
    let example = json!({
        "account": "CDEK", "codes": ["CDEK"], "policy": "learned",
        "text": "10800 parcels; within the limits each can be checked once in 3.0 h. An event is seen 90 min after it \
                 happened if parcels take turns, 50 min under the learned policy, and 25 min if the limit were doubled. \
                 These are estimates.",
        "limits": {"perSecond": null, "perMinute": 60, "perDay": null, "burst": 1, "concurrency": 10,
                   "windows": [{"calls": 60, "per": "1m", "zone": null, "used": null}]},
        "numbersPerCall": 1, "usedLastMinute": 57, "usedToday": null, "pausedUntil": null, "parcels": 10_800,
        "waiting": 112, "roundHours": 3.0,
        "price": {"now": 0.21, "byHour": by_hour, "saturday": 0.6, "sunday": 0.3, "adjustedAt": "2026-11-20T12:00:00Z"},
        "callsByHour": null,
        "staleness": {"fixedMinutes": 90.0, "learnedMinutes": 49.6, "learnedMinutesIfDoubled": 24.8},
        "lastDay": [{"from": "2026-11-20T11:50:00Z", "calls": 588, "numbers": 588, "idle": 0, "first": 12,
                     "lateMinutes": 0.4}],
        "errors": [{"hour": "2026-11-20T11:00:00Z", "kind": "timeout", "count": 3,
                    "words": "the carrier did not answer within 10 s", "lastAt": "2026-11-20T11:41:07Z"}],
    });
    let operation = get_budget::operation(TAG).answer("The budget.", example);
    ApiRouter::new().api_route("/carriers/{code}/budget", get(get_budget, operation))
}
