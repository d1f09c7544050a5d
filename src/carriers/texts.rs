//! Turns the dated texts that aggregators give into an observation.

use chrono::TimeDelta;

use crate::carriers::russian::{Meaning, meaning_of_two};
use crate::carriers::{EVENTS_MAX, Observation};
use crate::clock::Time;
use crate::model::status::{Status, SubStatus};
use crate::model::{Event, Unreadable};

/// One dated text, clean enough for the store.
#[derive(Clone, Debug)]
pub struct DatedText {
    pub at: Time,
    /// The carrier gave a date without a time of day: its list tells its place among the others of that day.
    pub day_only: bool,
    /// The carrier's main text; it becomes `statusRaw`.
    pub raw: String,
    /// The carrier's other text; it may change what the main text means.
    pub message: String,
    pub location: String,
    /// The carrier's own record as JSON.
    pub payload_json: String,
    /// What the carrier says by other means (a translation, a flag): it counts where the meaning of the texts is unknown.
    pub hint: Option<Meaning>,
}

/// What these texts say about a parcel; `None` if there are none.
pub fn observe(
    texts: Vec<DatedText>,
    unreadable: Unreadable,
    mapping_version: i32,
) -> Option<Observation> {
    let mut events: Vec<Event> = in_order(texts)
        .into_iter()
        .map(|(at, text)| {
            let meaning = meaning_of_two(&text.raw, &text.message).or(text.hint);
            Event {
                status: meaning.map_or(Status::Unknown, |meaning| meaning.status),
                sub_status: meaning.and_then(|meaning| meaning.sub_status),
                status_raw: text.raw,
                event_time: text.at,
                location: text.location,
                message: text.message,
                payload_json: text.payload_json,
                mapping_version,
                order_at: (at != text.at).then_some(at),
                taken_back: false,
                own: None,
                stated: false,
            }
        })
        .collect();
    events.drain(..events.len().saturating_sub(EVENTS_MAX));
    (!events.is_empty()).then_some(Observation {
        events,
        unreadable,
        mapping_version,
    })
}

/// An event's normalised code: the sub-status if it has one, else the status.
pub fn code(event: &Event) -> String {
    event
        .sub_status
        .map_or(event.status.as_str(), SubStatus::as_str)
        .to_owned()
}

/// The texts oldest first, each with the time that it stands at. Texts of the same time keep the carrier's order, and a
/// date without a time of day stands right after the text before it in the list, if that is of the same day.
fn in_order(mut texts: Vec<DatedText>) -> Vec<(Time, DatedText)> {
    if is_newest_first(&texts) {
        texts.reverse();
    }
    let mut before: Option<Time> = None;
    let mut placed: Vec<(Time, DatedText)> = texts
        .into_iter()
        .map(|text| {
            let day = text.at..text.at + TimeDelta::days(1);
            let after = before.filter(|before| text.day_only && day.contains(before));
            let at = after.map_or(text.at, |before| before + TimeDelta::microseconds(1));
            before = Some(at);
            (at, text)
        })
        .collect();
    placed.sort_by_key(|(at, _)| *at);
    placed
}

/// Whether more neighbours in the list go back in time than forward. Of a date without a time of day only the date tells.
fn is_newest_first(texts: &[DatedText]) -> bool {
    let falls = |pair: &[DatedText]| {
        let (one, other) = (&pair[0], &pair[1]);
        let apart = if one.day_only || other.day_only {
            TimeDelta::days(1)
        } else {
            TimeDelta::microseconds(1)
        };
        i32::from(one.at - other.at >= apart) - i32::from(other.at - one.at >= apart)
    };
    texts.windows(2).map(falls).sum::<i32>() > 0
}

#[cfg(test)]
mod tests {
    use super::{DatedText, observe};
    use crate::model::answer::alone;
    use crate::model::fixture::at;
    use crate::model::status::{Direction, Status, SubStatus};
    use crate::model::{Event, Report, Unreadable};

    fn text(raw: &str, secs: i64) -> DatedText {
        DatedText {
            at: at(secs),
            day_only: false,
            raw: raw.to_owned(),
            message: String::new(),
            location: String::new(),
            payload_json: String::new(),
            hint: None,
        }
    }

    /// What texts say by themselves, and their events.
    struct Seen {
        report: Report,
        events: Vec<Event>,
    }

    fn seen(texts: Vec<DatedText>) -> Seen {
        let observed = observe(texts, Unreadable::default(), 1).expect("has texts");
        let mut events = observed.events;
        let report = alone(&mut events, at(100));
        Seen { report, events }
    }

    #[test]
    fn a_delivery_on_the_way_back_is_a_return() {
        let seen = seen(vec![
            text("Приём", 0),
            text("Возврат", 10),
            text("Прибыло в сортировочный центр", 20),
            text("Вручение адресату", 30),
        ]);
        let statuses: Vec<Status> = seen.events.iter().map(|event| event.status).collect();
        assert_eq!(
            statuses,
            [
                Status::InTransit,
                Status::Returning,
                Status::Returning,
                Status::Returned
            ]
        );
        assert_eq!(seen.report.sub_status, Some(SubStatus::ReturnedToSender));
        assert_eq!(seen.report.direction, Direction::Return);
        assert_eq!(
            seen.report.last_event_code.as_deref(),
            Some("RETURNED_TO_SENDER")
        );
    }

    #[test]
    fn a_delivery_before_the_way_back_stays_one() {
        let seen = seen(vec![text("Вручение адресату", 0), text("Возврат", 10)]);
        assert_eq!(seen.events[0].status, Status::Delivered);
        assert_eq!(seen.report.status, Status::Returning);
    }

    #[test]
    fn a_courier_who_brings_a_parcel_back_to_the_depot_does_not_return_it() {
        let seen = seen(vec![
            text("Не вручен", 0),
            text("Возвращен на склад доставки", 10),
            text("Вручен", 20),
        ]);
        assert_eq!(seen.report.status, Status::Delivered);
        assert_eq!(seen.report.direction, Direction::Forward);
    }

    #[test]
    fn the_newest_text_decides_even_if_its_meaning_is_unknown() {
        let report = seen(vec![text("Возврат", 0), text("Нечто небывалое", 10)]).report;
        assert_eq!(report.status, Status::Unknown);
        assert_eq!(report.status_raw, "Нечто небывалое");
        assert_eq!(report.direction, Direction::Return);
        assert_eq!(report.last_event_code.as_deref(), Some("UNKNOWN"));
    }

    #[test]
    fn of_texts_of_the_same_time_the_lists_order_tells_the_newer() {
        let ascending = vec![
            text("Приём", 0),
            text("Сортировка", 5),
            text("Передано курьеру", 5),
        ];
        let descending: Vec<DatedText> = ascending.iter().rev().cloned().collect();
        assert_eq!(seen(ascending).report.status_raw, "Передано курьеру");
        assert_eq!(seen(descending).report.status_raw, "Передано курьеру");
        let jumbled = vec![
            text("Приём", 0),
            text("Вручение адресату", 9),
            text("Сортировка", 5),
        ];
        assert_eq!(seen(jumbled).report.status, Status::Delivered);
    }

    #[test]
    fn without_texts_there_is_nothing_to_see() {
        assert_eq!(observe(Vec::new(), Unreadable::default(), 1), None);
    }
}
