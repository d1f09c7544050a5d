//! Recorded answers, and what an adapter reads from them.
//!
//! In an adapter's folder `<case>.json` (`.xml`, or `.txt` if it is neither) is an answer's body, as a carrier sent it or
//! could send it. `<case>.snap` beside it is what the adapter reads from it. `<case>.given.json`, if there is one, says how
//! the answer came: HTTP status (else 200), zone (else UTC), numbers (else `N1`), what was told beside them (`extra`), and the ticket that was asked for, or as
//! `stage` 2 that the numbers were registered; or that it was `pushed`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::carriers::adapters::Adapter;
use crate::carriers::{Access, Answer, Asked, Carrier, Sighting, State, Step, Verdict};
use crate::clock::Time;
use crate::model::answer::alone;
use crate::model::extra::Extra;
use crate::model::{CarrierCode, Event, TrackNumber};

/// What stands before the reading in a `.snap`.
const HEAD: &str = "---\nsource: src/carriers/tests.rs\n---\n";

/// The recorded answers in a folder, by name.
///
/// # Errors
/// If it cannot be read.
pub fn cases(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        let is_given = file.to_string_lossy().ends_with(".given.json");
        if !is_given && matches!(ending, Some("json" | "xml" | "txt")) {
            cases.push(file);
        }
    }
    cases.sort();
    Ok(cases)
}

/// What the adapter reads from a recorded answer, as text. `access` is the account's, but for the zone.
///
/// # Errors
/// What cannot be read.
pub fn reading(
    adapter: &Adapter,
    access: Access,
    case: &Path,
    now: Time,
) -> Result<String, String> {
    let (given, access) = given(access, case)?;
    let read = match recorded(adapter, &access, &given, case)? {
        None => {
            let body = fs::read(case).map_err(|error| error.to_string())?;
            shown_push(adapter, access, body, now)
        }
        Some((made, state, answer)) => match made.resume(state, &answer, now) {
            Ok(Step::Done(sightings)) => {
                let shown = sightings.iter().map(|sighting| shown(sighting, now));
                json!({"sightings": shown.collect::<Vec<Value>>()})
            }
            Ok(Step::Wait(ticket)) => {
                json!({"ticket": ticket.id, "waitSecs": ticket.wait.as_secs()})
            }
            Ok(Step::Send(_, state)) if state.stage > 0 => {
                let numbers = state.asked.iter().map(|asked| asked.number.as_str());
                let told = state.told.iter().map(|sighting| shown(sighting, now));
                json!({"registers": numbers.collect::<Vec<_>>(), "sightings": told.collect::<Vec<_>>()})
            }
            Ok(Step::Send(..)) => return Err("it leads to another request".to_owned()),
            Err(error) => json!({"error": error.to_string()}),
        },
    };
    Ok(format!("{read:#}"))
}

/// What is said beside a recorded answer, and the account that got it.
///
/// # Errors
/// What cannot be read.
pub fn given(access: Access, case: &Path) -> Result<(Value, Access), String> {
    let given = match fs::read(case.with_extension("given.json")) {
        Ok(given) => {
            serde_json::from_slice(&given).map_err(|error| format!("its .given.json: {error}"))?
        }
        Err(_) => json!({}),
    };
    let zone = given["zone"].as_str().unwrap_or("UTC");
    let access = Access {
        zone: zone
            .parse()
            .map_err(|_| format!("its .given.json names the zone {zone}"))?,
        ..access
    };
    Ok((given, access))
}

/// The account that got an answer, what it had asked for, and the answer.
pub type Recorded = (Arc<dyn Carrier>, State, Answer);

/// A recorded answer; `None` of a body that the carrier pushed.
///
/// # Errors
/// What cannot be read.
pub fn recorded(
    adapter: &Adapter,
    access: &Access,
    given: &Value,
    case: &Path,
) -> Result<Option<Recorded>, String> {
    if given["pushed"] == json!(true) {
        return Ok(None);
    }
    let status = given["http"].as_u64().unwrap_or(200);
    let answer = Answer {
        status: u16::try_from(status)
            .map_err(|_| "its .given.json names no HTTP status".to_owned())?,
        body: fs::read(case).map_err(|error| error.to_string())?,
    };
    let carrier = CarrierCode::parse("CDEK").map_err(|error| error.to_string())?;
    let numbers = given["numbers"].as_array();
    let numbers = numbers.map_or_else(
        || vec!["N1"],
        |numbers| numbers.iter().filter_map(Value::as_str).collect(),
    );
    let extra = given.get("extra").map(Value::to_string);
    let extra = Extra::read(extra.as_deref()).map_err(|error| format!("its extra: {error}"))?;
    let asked = numbers.into_iter().map(|number| {
        let number = TrackNumber::parse(number).map_err(|error| error.to_string())?;
        let carrier = carrier.clone();
        let extra = extra.clone();
        Ok(Asked {
            carrier,
            number,
            extra,
        })
    });
    let asked: Vec<Asked> = asked.collect::<Result<_, String>>()?;
    let made = adapter.make(access.clone());
    let step = match given["ticket"].as_str() {
        Some(ticket) => made.redeem(ticket, &asked),
        None => made.start(&asked),
    };
    let Step::Send(_, mut state) = step else {
        return Err("nothing would be sent for its numbers".to_owned());
    };
    if let Some(stage) = given["stage"].as_u64() {
        state.stage = u32::try_from(stage).unwrap_or(0);
    }
    Ok(Some((made, state, answer)))
}

/// What the adapter reads from a body that its carrier pushed.
fn shown_push(adapter: &Adapter, access: Access, body: Vec<u8>, now: Time) -> Value {
    let pushed = match adapter.make(access).read_push(body, now) {
        Ok(pushed) => pushed,
        Err(error) => return json!({"error": error.to_string()}),
    };
    let shown = pushed.into_iter().map(|(number, told)| {
        let Some(told) = told else {
            return json!({"number": number});
        };
        let seen = Verdict::Seen(told);
        shown_parcel(&number, &seen, now)
    });
    json!({"pushed": shown.collect::<Vec<Value>>()})
}

/// What a `.snap` expects; `None` if there is none.
pub fn expected(case: &Path) -> Option<String> {
    let text = fs::read_to_string(case.with_extension("snap")).ok()?;
    let (_, after) = text.strip_prefix("---\n")?.split_once("\n---\n")?;
    Some(after.trim_end().to_owned())
}

/// Writes what a recorded answer is expected to be read as.
///
/// # Errors
/// If the file cannot be written.
pub fn expect(case: &Path, reading: &str) -> std::io::Result<()> {
    fs::write(case.with_extension("snap"), format!("{HEAD}{reading}\n"))
}

/// What an answer says of one number, for people.
pub fn shown(sighting: &Sighting, now: Time) -> Value {
    shown_parcel(sighting.asked.number.as_str(), &sighting.verdict, now)
}

fn shown_parcel(number: &str, verdict: &Verdict, now: Time) -> Value {
    let mut shown = shown_verdict(number, verdict, now);
    if let Verdict::Seen(seen) = verdict {
        if seen.unreadable.count > 0 {
            shown["unreadableEvents"] = json!(seen.unreadable);
        }
        if let Some(facts) = &seen.facts {
            shown["facts"] = json!(facts);
        }
    }
    shown
}

fn shown_verdict(number: &str, verdict: &Verdict, now: Time) -> Value {
    match verdict {
        Verdict::Seen(seen) => {
            let mut events = seen.events.clone();
            let report = alone(&mut events, now);
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
        Verdict::Unasked { reason } => {
            json!({"number": number, "verdict": "UNASKED", "reason": reason})
        }
    }
}

fn shown_event(event: &Event) -> Value {
    let mut shown = json!({
        "status": event.status,
        "subStatus": event.sub_status,
        "statusRaw": event.status_raw,
        "eventTime": shown_time(event.event_time),
        "location": event.location,
        "message": event.message,
        "hasPayload": !event.payload_json.is_empty(),
    });
    if event.taken_back {
        shown["takenBack"] = json!(true);
    }
    if event.own() == Event::KEEPS {
        shown["keeps"] = json!(true);
    }
    shown
}

fn shown_time(time: Time) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
