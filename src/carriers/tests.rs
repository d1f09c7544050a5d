//! What holds for every adapter.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use serde_json::{Value, json};

use crate::carriers::adapters::{Adapter, BUILT_IN};
use crate::carriers::declared::file::Format;
use crate::carriers::declared::xml;
use crate::carriers::{Answer, CarrierError, State, Step, Verdict, fixture, recorded};
use crate::config::CarrierSection;
use crate::config::keys::{Entry, KeyPath};
use crate::model::facts::Facts;
use crate::model::fixture::at;

fn folder(adapter: &Adapter) -> PathBuf {
    let carriers = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/carriers");
    carriers.join(adapter.name)
}

/// The recorded answers of an adapter.
fn cases(adapter: &Adapter) -> Vec<PathBuf> {
    let folder = folder(adapter);
    let cases = recorded::cases(&folder);
    let cases = cases.unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    assert!(!cases.is_empty(), "{} is empty", folder.display());
    cases
}

#[test]
fn recorded_answers_are_read_as_expected() {
    for adapter in BUILT_IN.iter() {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(folder(adapter));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        for case in cases(adapter) {
            let name = case
                .file_stem()
                .expect("a file has a name")
                .to_string_lossy();
            let access = fixture::access("https://api.example/");
            let reading = recorded::reading(adapter, access, &case, at(30 * 86_400));
            let reading = reading.unwrap_or_else(|error| panic!("{}: {error}", case.display()));
            settings.bind(|| insta::assert_snapshot!(name.as_ref(), reading));
        }
    }
}

#[test]
fn an_adapter_goes_by_its_name_and_needs_keys_that_a_section_has() {
    let mut names = BTreeSet::new();
    let documented = include_str!("../../docs/carriers.md");
    for adapter in BUILT_IN.iter() {
        let made = fixture::adapter(adapter.name, "https://api.example/");
        assert_eq!(made.name(), adapter.name);
        assert!(names.insert(adapter.name) && adapter.name != "none");
        assert!(
            documented.contains(&format!("| `{}` |", adapter.name)),
            "{}",
            adapter.name
        );
        for key in &adapter.needs {
            let entry = KeyPath::of(&["carriers", "CODE", key]).entry();
            assert!(matches!(entry, Some(Entry::Key(_))), "{key}");
            assert!(!CarrierSection::default().is_set(key), "{key}");
        }
    }
}

#[test]
fn every_answer_of_a_real_carrier_says_where_it_is_from() {
    let of_before = ["emulator", "emulator-batch", "gdeposylka", "track24"];
    for adapter in BUILT_IN.iter().filter(|it| !of_before.contains(&it.name)) {
        for case in cases(adapter) {
            let given = fs::read(case.with_extension("given.json"));
            let given = given.unwrap_or_else(|error| panic!("{}: {error}", case.display()));
            let given: Value = serde_json::from_slice(&given).expect("is JSON");
            let source = given["source"].as_str().unwrap_or_default();
            let origins = ["recorded", "cited", "written by hand"];
            let is_told = origins.iter().any(|origin| source.starts_with(origin));
            assert!(is_told, "{}: {source}", case.display());
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
        let answer = Answer { status: 200, body };
        let value = match adapter.file.answer.format {
            Format::Json => serde_json::from_slice(&answer.body).unwrap_or_default(),
            Format::Xml => xml::read(&answer, "").unwrap_or_default(),
        };
        collect(&value, &mut fields);
    }
    fields.into_iter().collect()
}

/// What random JSON would be as XML: random bytes are no XML that could be read.
fn xml_of(name: &str, value: &Value) -> String {
    let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let name = if name.is_empty() { "x" } else { name.as_str() };
    let inner = match value {
        Value::Object(fields) => fields.iter().map(|(name, it)| xml_of(name, it)).collect(),
        Value::Array(members) => return members.iter().map(|it| xml_of(name, it)).collect(),
        other => other.to_string().replace('&', "&amp;").replace('<', "&lt;"),
    };
    format!("<{name}>{inner}</{name}>")
}

proptest! {
    #[test]
    fn no_bytes_make_an_adapter_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        for adapter in BUILT_IN.iter() {
            fixture::survives(&*fixture::adapter(adapter.name, "https://api.example/"), body.clone());
        }
    }
}

#[test]
fn no_json_makes_an_adapter_panic() {
    for adapter in BUILT_IN.iter() {
        let mut access = fixture::access("https://api.example/");
        access.zone = chrono_tz::Europe::Moscow;
        let made = adapter.make(access);
        let is_json = adapter.file.answer.format == Format::Json;
        proptest!(|(body in fixture::json_like(fields(adapter)))| {
            if is_json {
                fixture::survives(&*made, body);
            } else {
                let value = serde_json::from_slice(&body).expect("is JSON");
                let history = xml_of("OperationHistoryData", &value);
                let response = format!("<getOperationHistoryResponse>{history}</getOperationHistoryResponse>");
                fixture::survives(&*made, format!("<Envelope><Body>{response}</Body></Envelope>").into_bytes());
            }
        });
    }
}

/// An answer of each adapter with one event for each member: a good one of that text, or something else in its place.
fn answers(members: &[Result<&str, Value>]) -> Vec<(&'static str, String)> {
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
        ("emulator", emulated.clone()),
        ("emulator-batch", json!({"results": [emulated]})),
        (
            "gdeposylka",
            json!({"checkpoints": events(["time", "status", "location"])}),
        ),
        (
            "track24",
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
                prop_assert!(expected.is_empty(), "{}: {verdicts:?} of {body}", adapter);
                continue;
            };
            let read: Vec<&str> = seen.events.iter().filter(|event| !event.stated).map(|event| event.status_raw.as_str()).collect();
            prop_assert_eq!(&read, &expected, "{} of {}", adapter, body);
            prop_assert_eq!(seen.unreadable.count as usize, members.len() - expected.len());
        }
    }
}

#[test]
fn what_is_kept_of_a_recorded_answer_is_read_as_the_answer_was() {
    let now = at(30 * 86_400);
    for (adapter, names) in BUILT_IN.iter().flat_map(|it| [(it, true), (it, false)]) {
        for case in cases(adapter) {
            let access = fixture::access("https://api.example/");
            let (given, access) = recorded::given(access, &case).expect("is recorded");
            let recorded = recorded::recorded(adapter, &access, &given, &case);
            let Some((made, state, answer)) = recorded.expect("is recorded") else {
                continue;
            };
            let place = case.display();
            let whole = made.resume(state.clone(), &answer, now);
            if state.stage > 0 || matches!(whole, Ok(Step::Send(..) | Step::Wait(_))) {
                // It says not all, and so is not kept.
                continue;
            }
            let bodies = made.kept(&state.asked, &answer, names);
            for (asked, body) in state.asked.iter().zip(bodies) {
                let read = |result: &Result<Step, CarrierError>| match result {
                    Ok(Step::Done(sightings)) => {
                        let found = sightings.iter().find(|it| it.asked == *asked);
                        let mut verdict = found.map(|it| it.verdict.clone());
                        if let (false, Some(Verdict::Seen(seen))) = (names, &mut verdict) {
                            seen.facts = seen.facts.take().and_then(Facts::without_names);
                        }
                        Ok(verdict)
                    }
                    Ok(Step::Send(..) | Step::Wait(_)) => panic!("{place}: it says not all"),
                    Err(error) => Err(error.clone()),
                };
                let whole = read(&whole);
                let Some(body) = body else {
                    let says = matches!(whole, Ok(Some(Verdict::Seen(_) | Verdict::NotFoundYet)));
                    assert!(!says, "{place}: {} is not kept", asked.number);
                    continue;
                };
                for name in adapter.file.item.event.drop.iter() {
                    let body = String::from_utf8_lossy(&body);
                    assert!(!body.contains(&format!("\"{name}\"")), "{place}: {name}");
                    for before in ["<", "</", ":"] {
                        let tag = format!("{before}{name}>");
                        assert!(!body.contains(&tag), "{place}: {name}");
                    }
                }
                let status = answer.status;
                let alone = State::first(std::slice::from_ref(asked));
                let again = made.resume(alone, &Answer { status, body }, now);
                assert_eq!(read(&again), whole, "{place}: {}", asked.number);
            }
        }
    }
}
