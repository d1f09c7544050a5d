//! When to look again, learned: how likely news is, what a call is worth, and what follows. Pure; time is an argument.
//!
//! Time is in hours since a Monday, as a number. What is learned of a carrier are counts by the code of a parcel's last
//! event, the time since, and the slot of the week ([`hazard`]); from them follows how much news a parcel is expected to
//! have that nobody has seen ([`decide`]). A call is made when what waiting would cost reaches the price of a call
//! ([`price`]), which is what makes the budget last, hour by hour.

pub mod cadence;
pub mod decide;
pub mod hazard;
pub mod outlook;
pub mod parcel;
pub mod price;
pub mod quota;

use std::collections::BTreeSet;

/// Hours of a day.
pub const HOURS: usize = 24;

/// Kinds of days: working days, Saturdays, Sundays; and how many of each a week has.
pub const KINDS: usize = 3;
pub const DAYS: [f64; KINDS] = [5.0, 1.0, 1.0];

/// Slots of a week: the hours of each kind of day.
pub const SLOTS: usize = KINDS * HOURS;

/// From which age in hours on each class of ages begins; the last one has no end.
pub const AGE_EDGES: [f64; 16] = [
    0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 36.0, 48.0, 72.0, 120.0, 240.0,
];

/// How many classes of ages there are.
pub const AGES: usize = AGE_EDGES.len();

/// The step of the look ahead, in hours.
pub const STEP: f64 = 1.0 / 12.0;

/// How much an event matters that people wait for, where any other counts 1.
pub const IMPORTANT: f64 = 5.0;

/// The sections that carriers are learned by: the configuration's, so that there are only so many, whatever codes come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections(BTreeSet<String>);

impl Sections {
    /// What takes every code without a section of its own.
    pub const REST: &'static str = "*";

    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    /// The section of a carrier's code.
    pub fn of(&self, code: &str) -> &str {
        self.0.get(code).map_or(Self::REST, String::as_str)
    }
}

/// What is known of a kind of event before anything was learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    PreTransit,
    InTransit,
    OutForDelivery,
    Exception,
    Pickup,
}

impl Class {
    pub const ALL: [Self; 5] = [
        Self::PreTransit,
        Self::InTransit,
        Self::OutForDelivery,
        Self::Exception,
        Self::Pickup,
    ];

    /// Events an hour that follow such an event.
    pub fn prior(self) -> f64 {
        match self {
            Self::PreTransit => 1.0 / 36.0,
            Self::InTransit | Self::Exception => 1.0 / 24.0,
            Self::OutForDelivery => 1.0 / 6.0,
            Self::Pickup => 1.0 / 48.0,
        }
    }
}

/// The usual day of carriers before anything was learned: little at night. Its mean is 1.
pub fn usual_day() -> [f64; HOURS] {
    let mut day = [0.15; HOURS];
    for hour in &mut day[7..21] {
        *hour = 1.55;
    }
    let mean = day.iter().sum::<f64>() / HOURS as f64;
    day.map(|hour| hour / mean)
}

/// The class of an age in hours.
pub fn age_class(age: f64) -> usize {
    AGE_EDGES
        .iter()
        .rposition(|edge| age >= *edge)
        .unwrap_or_default()
}

/// The slot of a time in hours since a Monday.
pub fn slot_of(time: f64) -> usize {
    const SATURDAY: usize = 5;
    let hour = time.floor().rem_euclid(7.0 * HOURS as f64) as usize;
    let day = hour / HOURS;
    day.saturating_sub(SATURDAY - 1) * HOURS + hour % HOURS
}

/// The hour of the day of a time in hours.
pub fn hour_of(time: f64) -> usize {
    // At most 23, and a negative time counts backwards from midnight.
    time.floor().rem_euclid(HOURS as f64) as usize
}
