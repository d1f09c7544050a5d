//! What may follow what in a parcel's life: the one table by which events in their order become its status.
//!
//! An event says by itself only what its own words mean. What that means for the parcel depends on what came before: a
//! scan that was recorded late undoes no delivery, and on the way back "delivered" is with the sender.

use crate::clock::Time;
use crate::model::status::{Direction, Meant, Status, SubStatus};
use crate::model::{Event, Report, Tracking};

/// What a new event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It gives the status.
    Gives,
    /// It changes nothing: recorded late, repeated, or told by a second carrier of the same way.
    Nothing,
    /// It gives the status only if the parcel leaves the place: a scan there is recorded late.
    Leaving,
    /// It gives the status only if it is an acceptance, which begins a new journey.
    Accepting,
}

/// The events, in the order of the columns of [`TABLE`].
const EVENTS: [Status; 13] = [
    Status::Unknown,
    Status::Pending,
    Status::InfoReceived,
    Status::InTransit,
    Status::OutForDelivery,
    Status::AvailableForPickup,
    Status::AttemptFailed,
    Status::Exception,
    Status::Delivered,
    Status::Returning,
    Status::Returned,
    Status::Cancelled,
    Status::Expired,
];

/// For each status that a parcel has, what each event does to it: `+` gives, `.` nothing, `l` leaving, `a`
/// accepting.
#[rustfmt::skip]
const TABLE: [(Status, &str); 13] = [
    //                          event: ? p i t o a f x D b R C E
    (Status::Unknown,                 "+ + + + + + + + + + + + +"),
    (Status::Pending,                 "+ + + + + + + + + + + + +"),
    (Status::InfoReceived,            "+ . + + + + + + + + + + +"),
    (Status::InTransit,               "+ . . + + + + + + + + + +"),
    (Status::OutForDelivery,          "+ . . + + + + + + + + + +"),
    (Status::AvailableForPickup,      "+ . . l + + + + + + + + +"),
    (Status::AttemptFailed,           "+ . . + + + + + + + + + +"),
    (Status::Exception,               "+ . . + + + + + + + + + +"),
    (Status::Delivered,               ". . . a . . . . . + + . ."),
    (Status::Returning,               "+ . . + + + + + + + + . +"),
    (Status::Returned,                ". . + a . . . . . . . . ."),
    (Status::Cancelled,               ". . + + + + . . + + + . ."),
    (Status::Expired,                 "+ . + + + + + + + + + + ."),
];

fn turn(now: Status, event: Status) -> Turn {
    let row = TABLE.iter().find(|(status, _)| *status == now);
    let column = EVENTS.iter().position(|status| *status == event);
    let cell = row
        .zip(column)
        .and_then(|((_, cells), column)| cells.as_bytes().get(2 * column));
    match cell {
        Some(b'+') => Turn::Gives,
        Some(b'l') => Turn::Leaving,
        Some(b'a') => Turn::Accepting,
        _ => Turn::Nothing,
    }
}

/// What an event's own words mean, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    pub status_raw: &'a str,
    /// `None` if the carrier told a status without its time.
    pub at: Option<Time>,
    /// It is no event, but the status that the carrier gives the whole parcel.
    pub stated: bool,
}

impl<'a> Step<'a> {
    /// That of an event. The time of one that has none is 1970.
    pub fn new((status, sub_status): Meant, status_raw: &'a str, at: Time, stated: bool) -> Self {
        Self {
            status,
            sub_status,
            status_raw,
            at: (at != Time::UNIX_EPOCH).then_some(at),
            stated,
        }
    }

    /// Whether it stands in the history alone and changes nothing.
    fn keeps(&self) -> bool {
        !self.stated && (self.status, self.sub_status) == Event::KEEPS
    }
}

/// Where a parcel stands after some of its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Journey<'a> {
    /// The last status that was known; an unknown text hides it and does not end it.
    stage: Status,
    status: Status,
    sub_status: Option<SubStatus>,
    direction: Direction,
    status_raw: &'a str,
    status_at: Option<Time>,
    last_event: Option<(&'a str, Option<Time>)>,
}

impl<'a> Journey<'a> {
    /// A parcel of which nothing is known but the way that it goes.
    pub fn new(direction: Direction) -> Self {
        Self {
            stage: Status::Unknown,
            status: Status::Unknown,
            sub_status: None,
            direction,
            status_raw: Status::Unknown.as_str(),
            status_at: None,
            last_event: None,
        }
    }

    /// A parcel as it was last told of.
    pub fn of(row: &'a Tracking) -> Self {
        Self {
            stage: row.stage,
            status: row.status,
            sub_status: row.sub_status,
            direction: row.direction,
            status_raw: &row.status_raw,
            status_at: row.status_at,
            last_event: row.last_event_code.as_deref().zip(Some(row.last_event_at)),
        }
    }

    /// Goes on by one event. Answers what the event means on the way that the parcel goes.
    pub fn follow(&mut self, step: Step<'a>) -> Meant {
        if step.keeps() {
            let code = self
                .sub_status
                .map_or(self.status.as_str(), SubStatus::as_str);
            self.last_event = Some((code, step.at));
            return (self.status, self.sub_status);
        }
        let accepts = step.sub_status == Some(SubStatus::InTransitAccepted);
        let follows = match turn(self.stage, step.status) {
            Turn::Gives => true,
            Turn::Nothing => false,
            Turn::Leaving => step.stated || leaves(step.sub_status),
            Turn::Accepting => accepts,
        };
        let ended = matches!(self.stage, Status::Delivered | Status::Returned);
        if matches!(step.status, Status::Returning | Status::Returned) {
            // What a parcel's way back is told late does not turn it round again.
            if follows {
                self.direction = Direction::Return;
            }
        } else if follows && ended {
            self.direction = Direction::Forward;
        }
        let (status, sub_status) = on_way(step.status, step.sub_status, self.direction);
        if !step.stated {
            let code = sub_status.map_or(status.as_str(), SubStatus::as_str);
            self.last_event = Some((code, step.at));
        }
        if follows {
            if status != Status::Unknown {
                self.stage = status;
            }
            self.status = status;
            self.sub_status = sub_status;
            self.status_raw = step.status_raw;
            self.status_at = step.at;
        }
        (status, sub_status)
    }

    /// The status that it has now.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The last status that was known.
    pub fn stage(&self) -> Status {
        self.stage
    }

    /// Where the parcel is now.
    pub fn report(self) -> Report {
        let (last_event_code, last_event_at) = self.last_event.unzip();
        Report {
            status: self.status,
            sub_status: self.sub_status,
            direction: self.direction,
            status_raw: self.status_raw.to_owned(),
            status_at: self.status_at,
            last_event_code: last_event_code.map(str::to_owned),
            last_event_at: last_event_at.flatten(),
        }
    }
}

/// Whether a scan says that the parcel leaves the place where it waits.
fn leaves(sub_status: Option<SubStatus>) -> bool {
    matches!(
        sub_status,
        Some(
            SubStatus::InTransitDeparted
                | SubStatus::InTransitExported
                | SubStatus::InTransitForwarded
                | SubStatus::InTransitTransferredToCarrier
        )
    )
}

/// What an event's own words mean on a parcel's way.
fn on_way(status: Status, sub_status: Option<SubStatus>, way: Direction) -> Meant {
    match (way, status) {
        (Direction::Return, Status::InTransit) => (Status::Returning, None),
        (Direction::Return, Status::Delivered) => {
            (Status::Returned, Some(SubStatus::ReturnedToSender))
        }
        (Direction::Forward | Direction::Return, status) => (status, sub_status),
    }
}

#[cfg(test)]
mod tests;
