//! What the adapters' tests share: adapters without a configuration, and answers made up at random.

use std::sync::Arc;

use proptest::prelude::{Just, Strategy, any, prop_oneof};
use reqwest::Url;
use serde_json::{Value, json};

use crate::carriers::adapters::built_in;
use crate::carriers::{
    Access, Answer, Asked, Carrier, CarrierError, Observation, Sighting, Step, Verdict,
};
use crate::model::answer::alone;
use crate::model::facts::Facts;
use crate::model::fixture::at;
use crate::model::{CarrierCode, Event, TrackNumber};

/// The access of an account with the key `k3y`, the user `us3r` and the secret `s3cret` for `shop.example`, at local times in
/// UTC.
pub fn access(base_url: &str) -> Access {
    Access {
        base_url: Url::parse(base_url).expect("an address"),
        login_url: None,
        api_key: "k3y".to_owned(),
        user: "us3r".to_owned(),
        secret: "s3cret".to_owned(),
        domain: "shop.example".to_owned(),
        zone: chrono_tz::UTC,
        registers: true,
    }
}

/// The built-in adapter of this name, for such an account.
pub fn adapter(name: &str, base_url: &str) -> Arc<dyn Carrier> {
    let adapter = built_in(name).unwrap_or_else(|| panic!("there is no {name}"));
    adapter.make(access(base_url))
}

/// A successful answer.
pub fn ok(body: &str) -> Answer {
    Answer {
        status: 200,
        body: body.as_bytes().to_vec(),
    }
}

/// The first step of a check of these numbers.
pub fn start(adapter: &dyn Carrier, numbers: &[&str]) -> Step {
    let carrier = CarrierCode::parse("CDEK").expect("a code");
    let asked = |number: &&str| {
        let number = TrackNumber::parse(*number).expect("a number");
        Asked::of(carrier.clone(), number)
    };
    let asked: Vec<Asked> = numbers.iter().map(asked).collect();
    adapter.start(&asked)
}

/// The step whose answer tells of these numbers: the first one, or that of a ticket.
fn answered(adapter: &dyn Carrier, numbers: &[&str]) -> Step {
    match (start(adapter, numbers), adapter.gives_tickets()) {
        (Step::Send(_, state), true) => adapter.redeem("t1cket", &state.asked),
        (step, _) => step,
    }
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

/// What an answer says of these numbers, with each its number.
///
/// # Errors
/// As the adapter.
pub fn sightings(
    adapter: &dyn Carrier,
    answer: &Answer,
    numbers: &[&str],
) -> Result<Vec<Sighting>, CarrierError> {
    let Step::Send(_, state) = answered(adapter, numbers) else {
        panic!("nothing is sent");
    };
    match adapter.resume(state, answer, at(0))? {
        Step::Done(sightings) => Ok(sightings),
        Step::Wait(_) => Ok(Vec::new()),
        Step::Send(_, state) if state.stage > 0 => Ok(state.told),
        Step::Send(..) => panic!("a second request is sent"),
    }
}

/// Asserts that an answer is read or rejected without a panic, and that the store can keep what was read.
pub fn survives(adapter: &dyn Carrier, body: Vec<u8>) {
    let answer = Answer { status: 200, body };
    let Ok(verdicts) = verdicts(adapter, &answer, &["N1"]) else {
        return;
    };
    for verdict in verdicts {
        if let Verdict::Seen(Observation {
            mut events, facts, ..
        }) = verdict
        {
            let json = facts.as_ref().map(|facts| json!(facts).to_string());
            assert_eq!(json.and_then(|json| Facts::read(&json)), facts);
            let report = alone(&mut events, at(0));
            events.retain(|event| !event.stated);
            let texts = events
                .iter()
                .flat_map(|event| [&event.status_raw, &event.location, &event.message]);
            for text in texts.chain([&report.status_raw]) {
                assert!(
                    !text.contains('\0') && text.chars().count() <= 2_000,
                    "{text}"
                );
            }
            let place = |event: &Event| event.order_at.unwrap_or(event.event_time);
            assert!(events.is_sorted_by_key(place));
        }
    }
}

/// JSON that resembles an answer: these fields, with values of the right kind or any other.
pub fn json_like(fields: Vec<String>) -> impl Strategy<Value = Vec<u8>> {
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
        let field = proptest::sample::select(fields.clone());
        prop_oneof![
            1 => proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            3 => proptest::collection::vec((field, inner), 0..10).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    });
    tree.prop_map(|value| value.to_string().into_bytes())
}
