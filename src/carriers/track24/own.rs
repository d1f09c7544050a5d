//! What Track24 adds of its own to the carriers' words: notes.

use serde_json::Value;

use crate::carriers::reading;

/// What Track24 calls itself in `serviceName` and `source`, in lower case.
const OWN_NAMES: &[&str] = &["track24", "track24.ru"];

/// How its own notes begin, in lower case.
const OWN_WORDS: &[&str] = &[
    "трек-код внесен в базу",
    "трек-код добавлен в track24",
    "вероятно, посылка еще не отправлена",
];

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

    use super::is_note;

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
}
