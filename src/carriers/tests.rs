//! What holds for every adapter.
//!
//! `tests/carriers/<adapter>/<case>.json` (`.txt` if it is not JSON) is an answer's body, as a carrier sent it or could
//! send it. `<case>.snap` beside it is what the adapter reads from it. `<case>.given.json`, if there is one, says how
//! the answer came: HTTP status (else 200), zone (else UTC), numbers (else `N1`).

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use crate::carriers::adapters::ADAPTERS;
use crate::carriers::{Adapter, Answer, Sighting, Verdict, emulator, fixture, gdeposylka, track24};
use crate::clock::Time;
use crate::config::CarrierSection;
use crate::config::keys::{Entry, KeyPath};
use crate::model::Event;
use crate::model::answer::alone;
use crate::model::fixture::at;

fn folder(adapter: &Adapter) -> PathBuf {
    let carriers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/carriers");
    carriers.join(adapter.name)
}

/// The recorded answers of an adapter.
fn cases(adapter: &Adapter) -> Vec<PathBuf> {
    let folder = folder(adapter);
    let entries =
        fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder that can be read").path())
        .filter(|file| {
            let name = file.to_string_lossy();
            !name.ends_with(".given.json") && (name.ends_with(".json") || name.ends_with(".txt"))
        })
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "{} is empty", folder.display());
    cases
}

/// What the adapter reads from a recorded answer.
fn reading(adapter: &Adapter, case: &Path) -> Value {
    let given = fs::read(case.with_extension("given.json")).unwrap_or_else(|_| b"{}".to_vec());
    let given: Value = serde_json::from_slice(&given).expect("is JSON");
    let mut access = fixture::access("https://api.example/");
    access.zone = given["zone"]
        .as_str()
        .unwrap_or("UTC")
        .parse()
        .expect("a time zone");
    let status = given["http"].as_u64().unwrap_or(200);
    let answer = Answer {
        status: u16::try_from(status).expect("an HTTP status"),
        body: fs::read(case).expect("the case can be read"),
    };
    let numbers = given["numbers"].as_array();
    let numbers = numbers.map_or(vec!["N1"], |numbers| {
        numbers.iter().filter_map(Value::as_str).collect()
    });
    match fixture::sightings(&*(adapter.make)(access), &answer, &numbers) {
        Ok(sightings) => json!({"sightings": sightings.iter().map(shown).collect::<Vec<_>>()}),
        Err(error) => json!({"error": error.to_string()}),
    }
}

#[test]
fn recorded_answers_are_read_as_expected() {
    for adapter in ADAPTERS {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder(adapter));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        for case in cases(adapter) {
            let name = case
                .file_stem()
                .expect("a file has a name")
                .to_string_lossy();
            let reading = format!("{:#}", reading(adapter, &case));
            settings.bind(|| insta::assert_snapshot!(name.as_ref(), reading));
        }
    }
}

#[test]
fn an_adapter_goes_by_its_name_and_needs_keys_that_a_section_has() {
    let mut names = BTreeSet::new();
    let documented = include_str!("../../config.toml");
    for adapter in ADAPTERS {
        let made = fixture::adapter(adapter, "https://api.example/");
        assert_eq!(made.name(), adapter.name);
        assert!(names.insert(adapter.name) && adapter.name != "none");
        assert!(documented.contains(&format!("\"{}\"", adapter.name)));
        for key in adapter.needs {
            let entry = KeyPath::of(&["carriers", "CODE", key]).entry();
            assert!(matches!(entry, Some(Entry::Key(_))), "{key}");
            assert!(!CarrierSection::default().is_set(key), "{key}");
        }
    }
}

/// Every field of an adapter's recorded answers.
fn fields(adapter: &Adapter) -> Vec<String> {
    fn collect(value: &Value, fields: &mut BTreeSet<String>) {
        match value {
            Value::Object(object) => object.iter().for_each(|(name, value)| {
                fields.insert(name.clone());
                collect(value, fields);
            }),
            Value::Array(members) => members.iter().for_each(|member| collect(member, fields)),
            _ => {}
        }
    }
    let mut fields = BTreeSet::new();
    for case in cases(adapter) {
        let body = fs::read(case).expect("the case can be read");
        collect(
            &serde_json::from_slice(&body).unwrap_or_default(),
            &mut fields,
        );
    }
    fields.into_iter().collect()
}

proptest! {
    #[test]
    fn no_bytes_make_an_adapter_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for adapter in ADAPTERS {
            fixture::survives(&*fixture::adapter(adapter, "https://api.example/"), body.clone());
        }
    }
}

#[test]
fn no_json_makes_an_adapter_panic() {
    for adapter in ADAPTERS {
        let mut access = fixture::access("https://api.example/");
        access.zone = chrono_tz::Europe::Moscow;
        let made = (adapter.make)(access);
        proptest!(|(body in fixture::json_like(fields(adapter)))| fixture::survives(&*made, body));
    }
}

/// An answer of each adapter with one event for each member: a good one of that text, or something else in its place.
fn answers(members: &[Result<&str, Value>]) -> Vec<(&'static Adapter, String)> {
    let events = |fields: [&str; 3]| {
        let [time, text, place] = fields;
        let event = |(index, member): (usize, &Result<&str, Value>)| match member {
            Ok(raw) => {
                let at = at(60 * index as i64)
                    .format("%d.%m.%Y %H:%M:%S")
                    .to_string();
                json!({time: at, text: raw, place: "RAW"})
            }
            Err(other) => other.clone(),
        };
        let events = members.iter().enumerate().map(event);
        json!(events.collect::<Vec<Value>>())
    };
    let emulated = events(["event_time", "status_raw", "location"]);
    let emulated = json!({"track_number": "N1", "status": "IN_TRANSIT", "events": emulated});
    let track24 = events([
        "operationDateTime",
        "operationAttribute",
        "operationPlaceName",
    ]);
    let answers = [
        (&emulator::ADAPTER, emulated.clone()),
        (&emulator::BATCH_ADAPTER, json!({"results": [emulated]})),
        (
            &gdeposylka::ADAPTER,
            json!({"checkpoints": events(["time", "status", "location"])}),
        ),
        (
            &track24::ADAPTER,
            json!({"status": "ok", "data": {"events": track24}}),
        ),
    ];
    // Faults that JSON does not allow.
    let raw = |answer: Value| answer.to_string().replace("RAW", "a\u{1}\\ud800\n");
    answers
        .map(|(adapter, answer)| (adapter, raw(answer)))
        .to_vec()
}

proptest! {
    #[test]
    fn no_event_that_can_be_read_is_lost_beside_others(
        members in proptest::collection::vec(proptest::option::of(fixture::json_like(vec!["x".to_owned()])), 0..12),
    ) {
        let junk = |body: &Vec<u8>| serde_json::from_slice(body).expect("is JSON");
        let texts: Vec<String> = (0..members.len()).map(|index| format!("text {index}")).collect();
        let members: Vec<Result<&str, Value>> = members
            .iter()
            .zip(&texts)
            .map(|(member, text)| member.as_ref().map_or(Ok(text.as_str()), |body| Err(junk(body))))
            .collect();
        let expected: Vec<&str> = members.iter().filter_map(|member| member.as_ref().ok().copied()).collect();
        for (adapter, body) in answers(&members) {
            let made = fixture::adapter(adapter, "https://api.example/");
            let verdicts = fixture::verdicts(&*made, &fixture::ok(&body), &["N1"]);
            let Ok([Verdict::Seen(seen)]) = verdicts.as_deref() else {
                prop_assert!(expected.is_empty(), "{}: {verdicts:?} of {body}", adapter.name);
                continue;
            };
            let read: Vec<&str> = seen.events.iter().filter(|event| !event.stated).map(|event| event.status_raw.as_str()).collect();
            prop_assert_eq!(&read, &expected, "{} of {}", adapter.name, body);
            prop_assert_eq!(seen.unreadable.count as usize, members.len() - expected.len());
        }
    }
}

fn shown(sighting: &Sighting) -> Value {
    let mut shown = shown_verdict(sighting);
    if let Verdict::Seen(seen) = &sighting.verdict
        && seen.unreadable.count > 0
    {
        shown["unreadableEvents"] = json!(seen.unreadable);
    }
    shown
}

fn shown_verdict(sighting: &Sighting) -> Value {
    let number = sighting.asked.number.as_str();
    match &sighting.verdict {
        Verdict::Seen(seen) => {
            let mut events = seen.events.clone();
            let report = alone(&mut events, at(30 * 86_400));
            events.retain(|event| !event.stated);
            json!({
            "number": number,
            "verdict": "SEEN",
            "status": report.status,
            "subStatus": report.sub_status,
            "direction": report.direction,
            "statusRaw": report.status_raw,
            "statusAt": report.status_at.map(shown_time),
            "lastEventCode": report.last_event_code,
            "lastEventAt": report.last_event_at.map(shown_time),
            "events": events.iter().map(shown_event).collect::<Vec<_>>(),
            })
        }
        Verdict::NotFoundYet => json!({"number": number, "verdict": "NOT_FOUND_YET"}),
        Verdict::Invalid { reason } => {
            json!({"number": number, "verdict": "INVALID", "reason": reason})
        }
        Verdict::Failed { reason } => {
            json!({"number": number, "verdict": "FAILED", "reason": reason})
        }
    }
}

fn shown_event(event: &Event) -> Value {
    json!({
        "status": event.status,
        "subStatus": event.sub_status,
        "statusRaw": event.status_raw,
        "eventTime": shown_time(event.event_time),
        "location": event.location,
        "message": event.message,
        "hasPayload": !event.payload_json.is_empty(),
    })
}

fn shown_time(time: Time) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
