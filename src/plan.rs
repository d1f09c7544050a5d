//! When to check a parcel again. Pure: time is an argument.
//!
//! [`cadence`] has the fixed rules: an interval or a table by status, and the back-off after failures, which every policy
//! uses. The rest is the learned policy. [`hazard`] counts, for each carrier, how often news follows: by the code of the
//! parcel's last event, the age of that event, and the slot of the week. From the counts, [`decide`] derives how much
//! unseen news a parcel is expected to have. A parcel is due when the cost of waiting reaches the price of a call, and
//! [`price`] moves that price until the calls suffice, hour by hour. [`quota`] spreads a daily limit over the hours,
//! [`outlook`] estimates the staleness that a limit allows, and [`parcel`] reads a tracking for the others.
//!
//! The learned policy measures time as a number of hours since a Monday.

pub mod cadence;
pub mod decide;
pub mod hazard;
pub mod outlook;
pub mod pace;
pub mod parcel;
pub mod price;
pub mod pushed;
pub mod quota;
pub mod turns;

use std::collections::BTreeMap;

use crate::model::number::{Spelling, fold};

/// Hours of a day.
pub const HOURS: usize = 24;

/// Kinds of days (working days, Saturdays, Sundays), and how many of each a week has.
pub const KINDS: usize = 3;
pub const DAYS: [f64; KINDS] = [5.0, 1.0, 1.0];

/// Slots of a week: the hours of each kind of day.
pub const SLOTS: usize = KINDS * HOURS;

/// The age in hours at which each class of ages begins. The last class has no end.
pub const AGE_EDGES: [f64; 16] = [
    0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 36.0, 48.0, 72.0, 120.0, 240.0,
];

/// How many classes of ages there are.
pub const AGES: usize = AGE_EDGES.len();

/// The time step of a plan, in hours.
pub const STEP: f64 = 1.0 / 12.0;

/// The weight of an event that people wait for. Any other event has the weight 1.
pub const IMPORTANT: f64 = 5.0;

/// The sections that carriers are learned by, and what each minds in the spelling of its numbers. They are those of the
/// configuration, so their number is limited although carrier codes are free text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections(BTreeMap<String, Section>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    name: String,
    spelling: Spelling,
    is_pushed: bool,
}

impl Sections {
    /// The section of every code without one of its own.
    pub const REST: &'static str = "*";

    /// Sections that mind nothing in the spelling of numbers.
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self::spelt(names.into_iter().map(|name| (name, Spelling::default())))
    }

    pub fn spelt(sections: impl IntoIterator<Item = (String, Spelling)>) -> Self {
        let sections = sections.into_iter();
        Self(
            sections
                .map(|(name, spelling)| {
                    let section = Section {
                        name,
                        spelling,
                        is_pushed: false,
                    };
                    (fold(&section.name), section)
                })
                .collect(),
        )
    }

    /// The same, of which these take what their carriers push.
    #[must_use]
    pub fn pushed<'a>(mut self, names: impl IntoIterator<Item = &'a str>) -> Self {
        for name in names {
            if let Some(section) = self.0.get_mut(&fold(name)) {
                section.is_pushed = true;
            }
        }
        self
    }

    /// Whether the section of this name takes what its carrier pushes.
    pub fn is_pushed(&self, name: &str) -> bool {
        let section = self.0.get(&fold(name));
        section.is_some_and(|section| section.is_pushed)
    }

    /// The section of a carrier's code.
    pub fn of(&self, code: &str) -> &str {
        let section = self.0.get(&fold(code));
        section.map_or(Self::REST, |section| section.name.as_str())
    }

    /// What the carrier of a code minds in the spelling of its numbers.
    pub fn spelling(&self, code: &str) -> Spelling {
        let section = self.0.get(&fold(code)).or_else(|| self.0.get(Self::REST));
        section.map_or_else(Spelling::default, |section| section.spelling)
    }
}

/// The kind of an event, for what is assumed before anything was learned.
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

    /// The assumed rate of the next event, in events an hour.
    pub fn prior(self) -> f64 {
        match self {
            Self::PreTransit => 1.0 / 36.0,
            Self::InTransit | Self::Exception => 1.0 / 24.0,
            Self::OutForDelivery => 1.0 / 6.0,
            Self::Pickup => 1.0 / 48.0,
        }
    }
}

/// The assumed activity of carriers by hour of the day: little at night. Its mean is 1.
pub fn usual_day() -> [f64; HOURS] {
    let mut day = [0.15; HOURS];
    for hour in &mut day[7..21] {
        *hour = 1.55;
    }
    let mean = day.iter().sum::<f64>() / HOURS as f64;
    day.map(|hour| hour / mean)
}

/// The assumed activity of carriers by kind of day: less at weekends. Its mean over a week is 1.
pub const USUAL_WEEK: [f64; KINDS] = {
    const MEAN: f64 = (5.0 + 0.8 + 0.5) / 7.0;
    [1.0 / MEAN, 0.8 / MEAN, 0.5 / MEAN]
};

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
    // At most 23. A negative time counts backwards from midnight.
    time.floor().rem_euclid(HOURS as f64) as usize
}
