//! Why a parcel is checked when it is: in a word, in figures and in a sentence.

use schemars::JsonSchema;
use serde::Serialize;

use crate::clock::{Time, hours};
use crate::http::in_words;
use crate::model::Tracking;
use crate::plan::{HOURS, SLOTS};
use crate::serving::docs;

/// Why the next check comes when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// Its status is final: nothing more is expected.
    Done,
    /// The configuration has no account for its carrier.
    Unrouted,
    /// It is being checked.
    Checking,
    /// The account is paused.
    Paused,
    /// The calls of the day are spent.
    QuotaSpent,
    /// It was refreshed, so it goes before all others.
    Refreshed,
    /// Its last checks failed.
    BackOff,
    /// It is due and waits for a call.
    Due,
    /// By the fixed cadence.
    Cadence,
    /// By the table of waits for each status.
    Table,
    /// Waiting longer would cost more than a call.
    Learned,
    /// Little is expected, but no parcel waits longer than this.
    LongestWait,
}

/// The input of the learned policy, shown under every policy.
#[derive(Clone, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct Expectation {
    /// The code of the last event; the figures are those of parcels with the same code.
    pub code: String,
    /// Hours since that event.
    pub age_hours: f64,
    /// The kind of day, and its hour (UTC).
    pub day: Day,
    pub hour: usize,
    /// Events per hour that such parcels have now.
    pub events_per_hour: f64,
    /// The observations behind that figure: events and hours at this age, day and hour. Old ones count less.
    pub observed_events: f64,
    pub observed_hours: f64,
    /// The expected weight of the events since the last answer; events that people wait for weigh 5.
    pub unseen: f64,
    /// The cost of waiting so far: weight times hours.
    pub cost: f64,
    /// The price of a call now, in the same unit; null if the policy uses no price or there is none yet.
    pub price: Option<f64>,
    /// Hours after an answer at which the parcel is checked in any case.
    pub longest_wait_hours: f64,
}

/// A kind of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Day {
    /// Monday to Friday.
    Working,
    Saturday,
    Sunday,
}

impl Day {
    /// In the order of the slots.
    pub const ALL: [Self; SLOTS / HOURS] = [Self::Working, Self::Saturday, Self::Sunday];
}

/// Explains when the parcel is checked next.
pub fn text(
    row: &Tracking,
    reason: Reason,
    pause_reason: &str,
    expectation: Option<&Expectation>,
    now: Time,
) -> String {
    let wait = in_words(hours(row.next_check_at) - hours(now));
    match reason {
        Reason::Done => format!("It is {}: nothing more is expected.", row.status),
        Reason::Unrouted => format!(
            "It is not checked: the configuration has no [carriers.{}] and no [carriers.\"*\"].",
            row.carrier_code
        ),
        Reason::Checking => "It is being checked now.".to_owned(),
        Reason::Paused => format!("The account is paused: {pause_reason}."),
        Reason::QuotaSpent => {
            "It is due, but the calls of the day or month are spent; it waits for the next one."
                .to_owned()
        }
        Reason::Refreshed => {
            "It was refreshed, so it goes before all others; it waits for the next call.".to_owned()
        }
        Reason::Due => format!(
            "It has been due for {}; it waits for a call, after those that became due before it.",
            in_words(hours(now) - hours(row.next_check_at))
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
            "{} In {wait} waiting will have cost as much as a call is worth; it is checked sooner if there are spare calls.",
            so_far(expectation)
        ),
        Reason::LongestWait => format!(
            "{} So little is expected that it waits as long as any parcel may: the next check is in {wait}, or sooner if \
             there are spare calls.",
            so_far(expectation)
        ),
    }
}

fn so_far(expectation: Option<&Expectation>) -> String {
    expectation.map_or_else(
        || "Nothing is known yet about such parcels.".to_owned(),
        |it| {
            format!(
                "Its last event ({}) was {} ago; such parcels now have news {} an hour, and {:.2} weighted events are \
                 expected to be there unseen.",
                it.code,
                in_words(it.age_hours),
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
