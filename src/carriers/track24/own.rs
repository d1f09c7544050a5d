//! What Track24 adds of its own to the carriers' words: notes, translations, icons and flags.

use serde_json::Value;

use crate::carriers::reading;
use crate::carriers::words::{Meaning, meaning_with_hint};
use crate::model::status::Status;

/// What Track24 calls itself in `serviceName` and `source`, in lower case (public clients of the API, read 2026-11-30).
const OWN_NAMES: &[&str] = &["track24", "track24.ru"];

/// How its own notes begin, in lower case.
const OWN_WORDS: &[&str] = &[
    "трек-код внесен в базу",
    "трек-код добавлен в track24",
    "вероятно, посылка еще не отправлена",
];

/// What an event's `icon` means: "awaiting" is recorded, "delivered" goes by the flag's name (public clients of the API,
/// read 2026-11-30).
const ICONS: &[(&str, Status)] = &[
    ("awaiting", Status::AvailableForPickup),
    ("delivered", Status::Delivered),
];

/// What an answer's flags mean, the last stage first.
const FLAGS: &[(&str, Status)] = &[
    ("deliveredStatus", Status::Delivered),
    ("awaitingStatus", Status::AvailableForPickup),
];

/// What an event's translation says, or its icon.
pub fn hint(event: &Value) -> Option<Meaning> {
    let text = |field| reading::text(event, field);
    let icon = text("icon");
    let icon = ICONS
        .iter()
        .find(|(name, _)| icon.eq_ignore_ascii_case(name));
    meaning_with_hint(
        &text("operationAttributeTranslated"),
        &text("operationTypeTranslated"),
        icon.map(|(_, status)| Meaning::of(*status)),
    )
}

/// What an answer's flags say of the newest event.
pub fn flagged(data: &Value) -> Option<Meaning> {
    let is_set = |field: &str| match &data[field] {
        Value::Bool(flag) => *flag,
        Value::Number(flag) => flag.as_i64() == Some(1),
        Value::String(flag) => matches!(flag.trim(), "1" | "true"),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    };
    let flag = FLAGS.iter().find(|(field, _)| is_set(field));
    flag.map(|(_, status)| Meaning::of(*status))
}

/// Whether an event is a note of Track24's own.
pub fn is_note(event: &Value) -> bool {
    let lower = |field| {
        let text = reading::text(event, field);
        text.trim().to_lowercase().replace('ё', "е")
    };
    let names = ["serviceName", "source"].map(lower);
    let begins = |text: String| OWN_WORDS.iter().any(|words| text.starts_with(words));
    names.iter().any(|name| OWN_NAMES.contains(&name.as_str()))
        || (names.iter().all(String::is_empty)
            && ["operationAttribute", "operationType"]
                .map(lower)
                .into_iter()
                .any(begins))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{flagged, is_note};
    use crate::carriers::{Verdict, fixture, track24};
    use crate::model::status::Status;

    #[test]
    fn its_own_notes_are_no_events_of_the_parcel() {
        let event = |attribute: &str, kind: &str| json!({"operationAttribute": attribute, "operationType": kind});
        let note = event(
            "Трек-код внесён в базу Track24 для автоматического мониторинга.",
            "Вероятно, посылка ещё не отправлена.",
        );
        let named = |event: &Value, field: &str, name: &str| {
            let mut event = event.clone();
            event[field] = json!(name);
            event
        };
        let scan = event("Прием", "");
        for own in [
            note.clone(),
            event("", "Вероятно, посылка еще не отправлена."),
            named(&note, "source", ""),
            named(&scan, "serviceName", "Track24"),
            named(&scan, "serviceName", " TRACK24.RU "),
            named(&scan, "source", "track24"),
        ] {
            assert!(is_note(&own), "{own}");
        }
        for others in [
            scan.clone(),
            named(&scan, "source", "rupost"),
            named(&note, "serviceName", "Почта России"),
            json!({"serviceName": 24, "source": []}),
        ] {
            assert!(!is_note(&others), "{others}");
        }
    }

    #[test]
    fn flags_come_as_texts_numbers_and_booleans() {
        let status = |data: Value| flagged(&data).map(|meaning| meaning.status);
        for set in [json!("1"), json!(1), json!(true), json!(" 1 ")] {
            let delivered = json!({"deliveredStatus": set, "awaitingStatus": set});
            assert_eq!(status(delivered), Some(Status::Delivered), "{set}");
            let awaiting = json!({"deliveredStatus": "0", "awaitingStatus": set});
            assert_eq!(status(awaiting), Some(Status::AvailableForPickup), "{set}");
        }
        for unset in [json!("0"), json!(0), json!(false), json!(null), json!([])] {
            assert_eq!(status(json!({"deliveredStatus": unset})), None, "{unset}");
        }
        assert_eq!(status(json!([])), None);
    }

    #[test]
    fn a_flag_is_about_the_newest_event_alone_and_never_ends_a_return() {
        let statuses = |events: &[(&str, &str)]| -> Vec<Status> {
            let events: Vec<Value> = events
                .iter()
                .map(|(at, text)| json!({"operationDateTime": at, "operationAttribute": text, "operationType": ""}))
                .collect();
            let body = json!({"status": "ok", "data": {"events": events, "deliveredStatus": "1"}});
            let adapter = fixture::adapter(&track24::ADAPTER, "https://api.example/a");
            let answer = fixture::ok(&body.to_string());
            let verdicts = fixture::verdicts(&*adapter, &answer, &["N1"]).expect("is an answer");
            let [Verdict::Seen(seen)] = &verdicts[..] else {
                panic!("{verdicts:?}");
            };
            seen.events.iter().map(|event| event.status).collect()
        };
        let (older, newer) = (
            ("20.11.2026 10:00:00", "妥投"),
            ("21.11.2026 10:00:00", "妥投"),
        );
        let last_only = [Status::Unknown, Status::Delivered];
        assert_eq!(statuses(&[older, newer]), last_only);
        assert_eq!(statuses(&[newer, older]), last_only);
        assert_eq!(
            statuses(&[newer, newer, older]),
            [Status::Unknown, Status::Unknown, Status::Delivered]
        );
        for (text, expected) in [
            ("Сортировка", Status::InTransit),
            ("Отправлено обратно отправителю", Status::Returning),
            ("Возвр. отправление", Status::Unknown),
            ("Не то, что ждали", Status::Unknown),
        ] {
            assert_eq!(
                statuses(&[("20.11.2026 10:00:00", text)]),
                [expected],
                "{text}"
            );
        }
    }
}
