//! `GET /carriers/{code}/budget`: what the calls of a carrier's account are spent on, and what more of them would win.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::carriers::routes::Account;
use crate::clock::Time;
use crate::clock::hours;
use crate::config::Policy;
use crate::http::accounts::{self, Standing};
use crate::http::carriers::{CarrierLimits, TAG};
use crate::http::{Serve, span};
use crate::learned::LearnedAccount;
use crate::model::CarrierCode;
use crate::plan::HOURS;
use crate::plan::decide::longest_wait;
use crate::plan::outlook::{Supply, staleness};
use crate::serving::docs;
use crate::serving::extract::Path;
use crate::serving::problem::{FieldError, Kind, Problem};
use crate::store::account_plans::AccountPlan;

/// Which carrier.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct CarrierPath {
    /// A carrier's code as requests write it.
    #[schemars(example = &"CDEK")]
    code: String,
}

/// What an account's calls are spent on.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct Budget {
    /// The account's name, and the sections of the configuration that share it.
    account: String,
    codes: Vec<String>,
    policy: String,
    /// All of it in a sentence or two.
    text: String,
    limits: CarrierLimits,
    /// How many parcels one call asks for.
    numbers_per_call: u32,
    /// Calls of the last whole minute, by all workers.
    used_last_minute: i64,
    /// Calls made today (UTC); null where the day has no limit.
    used_today: Option<i64>,
    paused_until: Option<Time>,
    /// Parcels that are still checked.
    parcels: i64,
    /// Of these, how many wait for a call, their time having come.
    waiting: i64,
    /// How long it takes to look at every parcel once; null without a limit.
    round_hours: Option<f64>,
    /// Null where the policy goes by none.
    price: Option<PriceAnswer>,
    /// How a limit by day is spread over the hours (UTC); null without one, and where the policy does not spread it.
    calls_by_hour: Option<[f64; HOURS]>,
    staleness: Option<Staleness>,
}

/// What a call must save to be worth it, in hours that weighted events stay unseen.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Price", transform = docs::all_required)]
struct PriceAnswer {
    now: f64,
    /// On a working day from midnight on (UTC).
    by_hour: [f64; HOURS],
    /// How many times that on a Saturday and on a Sunday.
    saturday: f64,
    sunday: f64,
    adjusted_at: Time,
}

/// Minutes from an event to the check that shows it, as expected from what was learned.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
struct Staleness {
    /// Looking at every parcel in turn.
    fixed_minutes: f64,
    /// The learned policy, by the weight of the events; null before a whole day was watched.
    learned_minutes: Option<f64>,
    /// The same if the limit were doubled.
    learned_minutes_if_doubled: Option<f64>,
}

/// Answers what the account of a carrier spends and wins.
pub async fn budget(
    State(serve): State<Serve>,
    Path(path): Path<CarrierPath>,
) -> Result<axum::Json<Budget>, Problem> {
    let code = CarrierCode::parse(path.code.as_str()).map_err(|error| {
        Problem::invalid_at(FieldError::parameter("code", format!("code {error}")))
    })?;
    let route = serve.routes.resolve(&code).ok_or_else(|| {
        let what = format!("the configuration has no [carriers.{code}] and no [carriers.\"*\"]");
        Problem::new(Kind::NotFound, what)
    })?;
    let account = &route.account;
    let now = serve.clock.now();
    let standings = accounts::standings(&serve).await?;
    let standing = standings
        .accounts
        .into_iter()
        .find(|standing| standing.account.name == account.name)
        .ok_or_else(|| Problem::new(Kind::NotFound, format!("there is no account of {code}")))?;
    let known = serve.learned.refresh(account, now).await?;
    Ok(axum::Json(answer(account, standing, &known, now)))
}

fn answer(account: &Account, standing: Standing, known: &LearnedAccount, now: Time) -> Budget {
    let parcels = standing.waiting.active;
    let round = account.checks_per_hour().map(|_| account.round(parcels));
    let staleness = round.map(|round| expected(account, known, parcels, round));
    let paced = account.policy == Policy::Learned && account.limits.per_day > 0;
    let per_day = f64::from(account.limits.per_day);
    let calls_by_hour = paced.then(|| known.shares().0.map(|share| rounded(share * per_day)));
    let learned = account.policy == Policy::Learned;
    let pricing = known.plan.as_ref().filter(|_| learned);
    let price = pricing.map(|pricing| shown(pricing, now));
    Budget {
        text: text(&standing, round, staleness.as_ref()),
        account: account.name.clone(),
        codes: account.codes.clone(),
        policy: account.policy.name().to_owned(),
        limits: CarrierLimits::of(account),
        numbers_per_call: account.numbers_per_call,
        used_last_minute: standing.used_last_minute,
        used_today: standing.used_today,
        paused_until: standing.paused_until,
        parcels,
        waiting: standing.waiting.due,
        round_hours: round.map(rounded),
        price,
        calls_by_hour,
        staleness,
    }
}

fn shown(pricing: &AccountPlan, now: Time) -> PriceAnswer {
    let price = &pricing.price;
    PriceAnswer {
        now: price.at(hours(now)),
        // Hours are counted from a Monday on.
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
            by_day: account.limits.per_day > 0,
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

fn text(standing: &Standing, round: Option<f64>, staleness: Option<&Staleness>) -> String {
    let parcels = standing.waiting.active;
    let (Some(round), Some(staleness)) = (round, staleness) else {
        return format!("{parcels} parcels, and no limit on the calls.");
    };
    let mut text = format!(
        "{parcels} parcels; within the limits each can be looked at once in {}.",
        span(round)
    );
    match (
        staleness.learned_minutes,
        staleness.learned_minutes_if_doubled,
    ) {
        (Some(now), Some(doubled)) => text.push_str(&format!(
            " An event is seen {} after it happened where parcels take turns, {} under the learned policy, and {} if the \
             limit were doubled, as far as can be told.",
            span(staleness.fixed_minutes / 60.0),
            span(now / 60.0),
            span(doubled / 60.0)
        )),
        _ => text.push_str(
            " What the learned policy wins can be told once parcels were watched for a whole day.",
        ),
    }
    text
}

fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

pub fn budget_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("getBudget")
        .tag(TAG)
        .summary("What a carrier's calls are spent on, and what more would win")
        .description(
            "Limits and use of the account that takes this carrier's code, what waits for it, the price of a call by hour, \
             and how long events stay unseen: now, and if the limit were doubled.",
        );
    let by_hour: [f64; HOURS] = std::array::from_fn(|hour| if hour < 6 { 0.05 } else { 0.21 });
    let example = json!({
        "account": "CDEK", "codes": ["CDEK"], "policy": "learned",
        "text": "10800 parcels; within the limits each can be looked at once in 3.0 h. An event is seen 90 min after it \
                 happened where parcels take turns, 50 min under the learned policy, and 25 min if the limit were doubled, \
                 as far as can be told.",
        "limits": {"perSecond": null, "perMinute": 60, "perDay": null, "burst": 1, "concurrency": 10},
        "numbersPerCall": 1, "usedLastMinute": 57, "usedToday": null, "pausedUntil": null, "parcels": 10_800,
        "waiting": 112, "roundHours": 3.0,
        "price": {"now": 0.21, "byHour": by_hour, "saturday": 0.6, "sunday": 0.3, "adjustedAt": "2026-11-20T12:00:00Z"},
        "callsByHour": null,
        "staleness": {"fixedMinutes": 90.0, "learnedMinutes": 49.6, "learnedMinutesIfDoubled": 24.8},
    });
    let op = docs::answer::<Budget>(op, "The budget.", example);
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
