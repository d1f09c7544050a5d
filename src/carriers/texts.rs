//! Turns the dated codes and texts that carriers give into an observation.

use crate::carriers::declared::map::Means;
use crate::carriers::reading::order::{Dated, Placed, in_order};
use crate::carriers::words::{Meaning, meaning_with_hint, refined};
use crate::carriers::{EVENTS_MAX, Observation};
use crate::model::status::{Meant, Status};
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
    /// What its code means; `None` if it has none, or one that is not mapped.
    pub means: Option<Means>,
    /// How the texts are read of an event without such a code.
    pub words: Words,
    /// What the carrier says by other means (a translation, a flag): it counts where the code or the texts leave something
    /// open.
    pub hint: Option<Meaning>,
    /// The carrier took it back.
    pub taken_back: bool,
}

/// How texts are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Words {
    /// Not at all.
    None,
    /// By our words.
    Ours,
}

impl Words {
    /// What an event means.
    fn meaning(
        self,
        means: Option<Means>,
        (raw, message): (&str, &str),
        hint: Option<Meaning>,
    ) -> Said {
        let by_code = match means {
            Some(Means::Keep) => return Said::of(Event::KEEPS),
            Some(Means::Status(status, sub_status)) => Some(Meaning {
                sub_status,
                ..Meaning::of(status)
            }),
            None => None,
        };
        let meaning = match (by_code, self) {
            (None, Self::Ours) => meaning_with_hint(raw, message, hint),
            (by_code, _) => refined(by_code, hint),
        };
        Said {
            meant: meaning.map_or((Status::Unknown, None), |it| (it.status, it.sub_status)),
            takes_back: meaning.is_some_and(|it| it.takes_back),
        }
    }

    /// A known event with the meaning that its code or its texts have today.
    pub fn reread(
        self,
        event: Event,
        means: Option<Means>,
        hint: Option<Meaning>,
        mapping_version: i32,
    ) -> Event {
        let said = self.meaning(means, (&event.status_raw, &event.message), hint);
        Event {
            own: Some(said.meant),
            mapping_version,
            taken_back: event.taken_back || said.takes_back,
            ..event
        }
    }
}

/// What an event says.
struct Said {
    meant: Meant,
    /// It revokes the event before it and says nothing else.
    takes_back: bool,
}

impl Said {
    fn of(meant: Meant) -> Self {
        Self {
            meant,
            takes_back: false,
        }
    }
}

/// What these texts, in the carrier's order, say about a parcel; `None` if there are none. `flag` is what the whole answer
/// says of the newest.
pub fn observe(
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
        let texts = (record.raw.as_str(), record.message.as_str());
        let said = record.words.meaning(record.means, texts, record.hint);
        if said.takes_back
            && let Some(before) = events.iter_mut().rfind(|event| !event.taken_back)
        {
            before.taken_back = true;
        }
        let (status, sub_status) = said.meant;
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
            // If it takes another back, it says nothing else of the parcel.
            taken_back: record.taken_back || said.takes_back,
            own: None,
            stated: false,
        });
    }
    events.drain(..events.len().saturating_sub(EVENTS_MAX));
    Some(Observation {
        events,
        unreadable,
        facts: None,
        mapping_version,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{DatedText, Words, observe};
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
            means: None,
            words: Words::Ours,
            hint: None,
            taken_back: false,
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
