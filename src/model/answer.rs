//! What one answer of a carrier says of a parcel, before its history is at hand.

use crate::clock::Time;
use crate::model::history::AHEAD_MAX;
use crate::model::journey::{Journey, Step};
use crate::model::status::{Direction, Meant, Status, SubStatus};
use crate::model::{Event, Heard, Report, Tracking};

/// What an answer says of a parcel, by the answer and what was known before. Says of each event what it means on the way.
///
/// An answer that reaches from the oldest event to the one that gave the status is whole: it counts by itself. Any other
/// is a stale copy or a part: only what comes after that event counts.
pub fn told(row: &Tracking, events: &mut [Event], asked_at: Time) -> Report {
    let is_known = row.heard == Heard::Seen && !row.is_overruled();
    let Some(status_at) = row.status_at.filter(|_| is_known) else {
        return alone(events, asked_at);
    };
    let gave = |event: &Event| event.event_time == status_at && event.status_raw == row.status_raw;
    let gave = events.iter().position(gave);
    if let Some(event) = gave.and_then(|gave| events.get_mut(gave))
        && leaves_open(event.own())
        && row.direction == Direction::Forward
    {
        // The carrier's flags told more of it while it was the newest.
        event.own = Some(event.own().max((row.status, row.sub_status)));
    }
    let alone = alone(events, asked_at);
    let oldest = events.iter().map(|event| event.event_time).min();
    if gave.is_some() && oldest <= row.first_event_at.or(oldest) {
        let turned = (row.direction, alone.direction) == (Direction::Return, Direction::Forward);
        return match turned {
            true => follow_all(Direction::Return, events, asked_at),
            false => alone,
        };
    }
    let mut journey = Journey::of(row);
    let mut shown: Vec<(usize, Meant)> = Vec::new();
    for (nth, event) in events.iter().enumerate() {
        let is_newer = gave.map_or(event.stands_at() > status_at, |gave| nth > gave);
        if is_newer && event.decides(asked_at) {
            shown.push((nth, journey.follow(event.step())));
        }
    }
    let report = journey.report();
    for (nth, meant) in shown {
        events[nth].show(meant);
    }
    report
}

/// Whether words alone leave open what the carrier's translation or flags may tell.
fn leaves_open(own: Meant) -> bool {
    own.0 == Status::Unknown || own.1 == Some(SubStatus::InTransitArrivedAtDestination)
}

/// What an answer says by itself. Says of each event what it means on the way.
pub fn alone(events: &mut [Event], asked_at: Time) -> Report {
    follow_all(Direction::Forward, events, asked_at)
}

fn follow_all(way: Direction, events: &mut [Event], asked_at: Time) -> Report {
    let mut journey = Journey::new(way);
    let shown: Vec<Meant> = events
        .iter()
        .map(|event| {
            if event.decides(asked_at) {
                journey.follow(event.step())
            } else {
                event.own()
            }
        })
        .collect();
    let report = journey.report();
    for (event, meant) in events.iter_mut().zip(shown) {
        event.show(meant);
    }
    report
}

impl Event {
    /// What its own words mean.
    pub fn own(&self) -> Meant {
        self.own.unwrap_or((self.status, self.sub_status))
    }

    /// Gives it the meaning that it has on the parcel's way, and keeps its own.
    fn show(&mut self, meant: Meant) {
        self.own = Some(self.own());
        (self.status, self.sub_status) = meant;
    }

    fn stands_at(&self) -> Time {
        self.order_at.unwrap_or(self.event_time)
    }

    fn decides(&self, checked_at: Time) -> bool {
        !self.taken_back && self.event_time <= checked_at + AHEAD_MAX
    }

    fn step(&self) -> Step<'_> {
        Step::new(self.own(), &self.status_raw, self.event_time, self.stated)
    }

    /// The status that a carrier gives the whole parcel, as an event; `None` if it follows from `events`, or cannot.
    pub fn stated(
        meant: Meant,
        raw: &str,
        at: Option<Time>,
        events: &[Self],
        checked_at: Time,
    ) -> Option<Self> {
        let mut journey = Journey::new(Direction::Forward);
        for event in events.iter().filter(|event| event.decides(checked_at)) {
            journey.follow(event.step());
        }
        if !events.is_empty() && journey.status() == meant.0 {
            return None;
        }
        let event_time = at.unwrap_or(Time::UNIX_EPOCH);
        journey.follow(Step::new(meant, raw, event_time, true));
        let adds = events.is_empty() || journey.status() == meant.0;
        adds.then(|| Self {
            status: meant.0,
            sub_status: meant.1,
            status_raw: raw.to_owned(),
            event_time,
            location: String::new(),
            message: String::new(),
            payload_json: String::new(),
            mapping_version: 0,
            order_at: at.is_none().then_some(checked_at),
            taken_back: false,
            own: None,
            stated: true,
        })
    }
}
