//! What the adapters' tests share: recorded answers, and answers made up at random.
//!
//! `tests/carriers/<adapter>/<case>.json` (`.txt` where it is no JSON) is an answer's body, as a carrier sent it or could
//! send it; `<case>.expected.json` beside it says in `given` how it came (HTTP status, zone, numbers) and in `then` what
//! it means. With `REWRITE_EXPECTED=1` the tests write `then` anew, to be read and committed.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use serde_json::{Value, json};

use crate::carriers::{Answer, Carrier, CarrierError, Observation, Sighting, Step, Verdict};
use crate::clock::Time;
use crate::model::fixture::at;
use crate::model::{CarrierCode, Event, TrackNumber};

/// How an answer came.
pub struct Given {
    pub status: u16,
    pub zone: chrono_tz::Tz,
    pub numbers: Vec<String>,
}

impl Given {
    fn read(given: &Value) -> Self {
        let zone = given["zone"].as_str().unwrap_or("UTC");
        let numbers = given["numbers"]
            .as_array()
            .cloned()
            .unwrap_or_else(|| vec![json!("N1")]);
        Self {
            status: given["http"]
                .as_u64()
                .unwrap_or(200)
                .try_into()
                .expect("an HTTP status"),
            zone: zone.parse().expect("a time zone"),
            numbers: numbers
                .iter()
                .map(|number| number.as_str().expect("a text").to_owned())
                .collect(),
        }
    }
}

/// Compares what an adapter makes of every recorded answer with what is expected beside it.
pub fn check(adapter: &str, make: impl Fn(&Given) -> Box<dyn Carrier>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/carriers")
        .join(adapter);
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder that can be read").path())
        .filter(|file| !file.to_string_lossy().ends_with(".expected.json"))
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "{} is empty", folder.display());
    for case in cases {
        let beside = case.with_extension("expected.json");
        let expected =
            fs::read(&beside).unwrap_or_else(|error| panic!("{}: {error}", beside.display()));
        let expected: Value = serde_json::from_slice(&expected).expect("the expected file is JSON");
        let given = Given::read(&expected["given"]);
        let answer = Answer {
            status: given.status,
            body: fs::read(&case).expect("the case can be read"),
        };
        let numbers: Vec<&str> = given.numbers.iter().map(String::as_str).collect();
        let then = match sightings(&*make(&given), &answer, &numbers) {
            Ok(sightings) => json!({"sightings": sightings.iter().map(shown).collect::<Vec<_>>()}),
            Err(error) => json!({"error": error.to_string()}),
        };
        if std::env::var_os("REWRITE_EXPECTED").is_some() {
            let whole = json!({"given": expected["given"], "then": then});
            fs::write(&beside, format!("{whole:#}\n")).expect("the expected file can be written");
        } else {
            assert_eq!(then, expected["then"], "{}\n{then:#}", case.display());
        }
    }
}

/// The first step of a check of these numbers.
pub fn start(adapter: &dyn Carrier, numbers: &[&str]) -> Step {
    let carrier = CarrierCode::parse("CDEK").expect("a code");
    let numbers: Vec<TrackNumber> = numbers
        .iter()
        .map(|number| TrackNumber::parse(*number).expect("a number"))
        .collect();
    adapter.start(&carrier, &numbers)
}

/// What an answer says of these numbers, in their order.
pub fn verdicts(
    adapter: &dyn Carrier,
    answer: &Answer,
    numbers: &[&str],
) -> Result<Vec<Verdict>, CarrierError> {
    let sightings = sightings(adapter, answer, numbers)?;
    Ok(sightings
        .into_iter()
        .map(|sighting| sighting.verdict)
        .collect())
}

fn sightings(
    adapter: &dyn Carrier,
    answer: &Answer,
    numbers: &[&str],
) -> Result<Vec<Sighting>, CarrierError> {
    let Step::Send(_, state) = start(adapter, numbers) else {
        panic!("nothing is sent");
    };
    match adapter.resume(state, answer, at(0))? {
        Step::Done(sightings) => Ok(sightings),
        Step::Send(..) => panic!("a second request is sent"),
    }
}

/// Holds that an answer is read or refused, and that what is read of it can be kept.
pub fn survives(adapter: &dyn Carrier, body: Vec<u8>) {
    let answer = Answer { status: 200, body };
    let Ok(verdicts) = verdicts(adapter, &answer, &["N1"]) else {
        return;
    };
    for verdict in verdicts {
        if let Verdict::Seen(Observation { report, events, .. }) = verdict {
            let texts = events
                .iter()
                .flat_map(|event| [&event.status_raw, &event.location, &event.message]);
            for text in texts.chain([&report.status_raw]) {
                assert!(
                    !text.contains('\0') && text.chars().count() <= 2_000,
                    "{text}"
                );
            }
            assert_eq!(
                report.last_event_at,
                events.last().map(|event| event.event_time)
            );
            assert!(events.is_sorted_by_key(|event| event.event_time));
        }
    }
}

/// JSON that looks like an answer from afar: these fields, holding what they should or anything else.
pub fn json_like(fields: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("ok"),
        Just("N1"),
        Just("CDEK"),
        Just("DELIVERED"),
        Just("26.10.2014 01:30:00"),
        Just("29.03.2026 02:30:00"),
        Just("31.12.9999 23:59:59"),
        Just("2026-11-20T12:00:00Z"),
        Just("2026-03-29 02:30:00"),
        Just("0000-01-01T00:00:00Z"),
        Just("Вручение. Вручение отправителю"),
        Just("Возврат"),
        Just("nul \0 and bell \u{7}"),
    ];
    let leaf = prop_oneof![
        4 => word.prop_map(|word| json!(word)),
        1 => any::<String>().prop_map(|text| json!(text)),
        1 => any::<i64>().prop_map(|number| json!(number)),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(|flag| json!(flag)),
    ];
    let tree = leaf.prop_recursive(5, 60, 6, move |inner| {
        let field = proptest::sample::select(fields).prop_map(str::to_owned);
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            3 => proptest::collection::vec((field, inner), 0..10).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    });
    tree.prop_map(|value| value.to_string().into_bytes())
}

fn shown(sighting: &Sighting) -> Value {
    let number = sighting.number.as_str();
    match &sighting.verdict {
        Verdict::Seen(seen) => json!({
            "number": number,
            "verdict": "SEEN",
            "status": seen.report.status,
            "subStatus": seen.report.sub_status,
            "direction": seen.report.direction,
            "statusRaw": seen.report.status_raw,
            "statusAt": seen.report.status_at.map(shown_time),
            "lastEventCode": seen.report.last_event_code,
            "lastEventAt": seen.report.last_event_at.map(shown_time),
            "events": seen.events.iter().map(shown_event).collect::<Vec<_>>(),
        }),
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
