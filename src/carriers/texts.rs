//! Turns the dated texts that aggregators give into an observation.

use serde_json::Value;

use crate::carriers::reading::order::{Dated, Placed, in_order};
use crate::carriers::reading::time::When;
use crate::carriers::words::{Meaning, meaning_with_hint, refined};
use crate::carriers::{CarrierError, EVENTS_MAX, Observation, Verdict, reading};
use crate::model::status::{Status, SubStatus};
use crate::model::{Event, Unreadable};

/// One dated text, clean enough for the store.
#[derive(Clone, Debug)]
pub struct DatedText {
    /// The carrier's main text; it becomes `statusRaw`.
    pub raw: String,
    /// The carrier's other text; it may change what the main text means.
    pub message: String,
    pub location: String,
    /// The carrier's own record as JSON.
    pub payload_json: String,
    /// What the carrier says by other means (a translation, a flag): it counts where the texts leave something open.
    pub hint: Option<Meaning>,
}

/// What a list of dated texts says of a number; `read` as in [`reading::each`]. `flag` is what the whole answer says of
/// the newest.
///
/// # Errors
/// As [`reading::each`].
pub fn verdict(
    records: &[&Value],
    key: &str,
    mapping_version: i32,
    flag: Option<Meaning>,
    read: impl Fn(&Value) -> Result<(When, DatedText), String>,
) -> Result<Verdict, CarrierError> {
    let (dated, unreadable) = reading::each(records, key, read)?;
    let seen = observe(dated, flag, unreadable, mapping_version);
    Ok(seen.map_or(Verdict::NotFoundYet, Verdict::Seen))
}

/// What these texts, in the carrier's order, say about a parcel; `None` if there are none. `flag` is what the whole answer
/// says of the newest.
fn observe(
    texts: Vec<Dated<DatedText>>,
    flag: Option<Meaning>,
    unreadable: Unreadable,
    mapping_version: i32,
) -> Option<Observation> {
    let mut texts = in_order(texts);
    let newest = texts.last_mut()?;
    newest.record.hint = refined(newest.record.hint, flag);
    let mut events: Vec<Event> = Vec::with_capacity(texts.len());
    for Placed {
        at,
        order_at,
        record,
    } in texts
    {
        let meaning = meaning_with_hint(&record.raw, &record.message, record.hint);
        let takes_back = meaning.is_some_and(|meaning| meaning.takes_back);
        if takes_back && let Some(before) = events.iter_mut().rfind(|event| !event.taken_back) {
            before.taken_back = true;
        }
        let (status, sub_status) = own(meaning);
        events.push(Event {
            status,
            sub_status,
            status_raw: record.raw,
            event_time: at,
            location: record.location,
            message: record.message,
            payload_json: record.payload_json,
            mapping_version,
            order_at,
            // It says nothing of the parcel but that the event before it was an error.
            taken_back: takes_back,
            own: None,
            stated: false,
        });
    }
    events.drain(..events.len().saturating_sub(EVENTS_MAX));
    Some(Observation {
        events,
        unreadable,
        mapping_version,
    })
}

/// A known event with the meaning that its texts have today.
pub fn reread(event: Event, hint: Option<Meaning>, mapping_version: i32) -> Event {
    let meaning = meaning_with_hint(&event.status_raw, &event.message, hint);
    Event {
        own: Some(own(meaning)),
        mapping_version,
        taken_back: event.taken_back || meaning.is_some_and(|meaning| meaning.takes_back),
        ..event
    }
}

/// What a meaning is to an event; without one it is unknown.
fn own(meaning: Option<Meaning>) -> (Status, Option<SubStatus>) {
    meaning.map_or((Status::Unknown, None), |meaning| {
        (meaning.status, meaning.sub_status)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DatedText, observe};
    use crate::carriers::reading::order::Dated;
    use crate::carriers::reading::time::when;
    use crate::model::answer::alone;
    use crate::model::fixture::at;
    use crate::model::status::{Direction, Status, SubStatus};
    use crate::model::{Event, Report, Unreadable};

    fn text(raw: &str, secs: i64) -> Dated<DatedText> {
        let record = DatedText {
            raw: raw.to_owned(),
            message: String::new(),
            location: String::new(),
            payload_json: String::new(),
            hint: None,
        };
        Dated {
            when: when(&json!(at(secs)), chrono_tz::UTC).expect("a time"),
            day_only: false,
            record,
        }
    }

    /// What texts say by themselves, and their events.
    struct Seen {
        report: Report,
        events: Vec<Event>,
    }

    fn seen(texts: Vec<Dated<DatedText>>) -> Seen {
        let observed = observe(texts, None, Unreadable::default(), 1).expect("has texts");
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
        let descending: Vec<Dated<DatedText>> = ascending.iter().rev().cloned().collect();
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
        assert_eq!(observe(Vec::new(), None, Unreadable::default(), 1), None);
    }
}
