use std::sync::Arc;

use crate::carriers::offer::{Meant, Offer};
use crate::carriers::routes::Routes;
use crate::carriers::{Answer, Asked, Carrier, CarrierError, State, Step};
use crate::clock::Time;
use crate::config::Config;
use crate::model::fixture::tracking;
use crate::model::number::Spelling;
use crate::model::tenant::TenantCode;
use crate::model::{CarrierCode, TrackNumber, Tracking};

fn code(text: &str) -> CarrierCode {
    CarrierCode::parse(text).expect("a code")
}

fn routes(adapt: impl FnOnce(&mut Config)) -> Routes {
    let mut config = Config::default();
    adapt(&mut config);
    Routes::new(&config).expect("routes")
}

#[test]
fn a_section_is_known_by_every_spelling_of_its_name() {
    let routes = routes(|_| ());
    for spelling in [
        "CDEK",
        "cdek",
        " Cdek ",
        "CDEK\u{200b}",
        "C D E K",
        "\u{feff}CDEK\u{a0}",
    ] {
        let spelt = code(spelling);
        let everyone = TenantCode::default();
        assert_eq!(
            Offer::of(&routes, &everyone).meant(&spelt),
            Meant::Section(code("CDEK")),
            "{spelling:?}"
        );
        let route = routes.resolve(&spelt).expect("a route");
        assert_eq!(route.account.name, "CDEK");
        assert_eq!(routes.sections().of(spelling), "CDEK");
    }
}

#[test]
fn two_sections_with_one_name_are_refused() {
    let mut config = Config::default();
    let section = config.carriers["CDEK"].clone();
    config.carriers.insert("cdek ".to_owned(), section);
    let error = Routes::new(&config).err().expect("is refused").to_string();
    assert!(
        error.contains("[carriers.CDEK] is the same carrier"),
        "{error}"
    );
}

/// A carrier to which `a1` and `A1` are two parcels.
struct Strict(Arc<dyn Carrier>);

impl Carrier for Strict {
    fn name(&self) -> &'static str {
        "strict"
    }

    fn spelling(&self) -> Spelling {
        Spelling {
            blanks_matter: false,
            case_matters: true,
        }
    }

    fn start(&self, asked: &[Asked]) -> Step {
        self.0.start(asked)
    }

    fn resume(&self, state: State, answer: &Answer, now: Time) -> Result<Step, CarrierError> {
        self.0.resume(state, answer, now)
    }
}

#[test]
fn a_carrier_is_asked_in_its_own_spelling() {
    let plain = routes(|_| ());
    let adapter = Arc::clone(&plain.resolve(&code("CDEK")).expect("a route").adapter);
    let strict = routes(|_| ()).with_adapter(&code("CDEK"), Arc::new(Strict(adapter)));
    let asked = |routes: &Routes, carrier_code: &str| {
        let row = Tracking {
            carrier_code: code(carrier_code),
            track_number: TrackNumber::parse(" a\u{200b}1").expect("a number"),
            ..tracking(1, 1)
        };
        let row = routes
            .resolve(&row.carrier_code)
            .expect("a route")
            .asked(row);
        format!("{}/{}", row.carrier_code, row.track_number)
    };
    assert_eq!(asked(&plain, "cdek"), "CDEK/A1");
    assert_eq!(asked(&plain, "Other"), "Other/A1");
    assert_eq!(asked(&strict, "cdek"), "CDEK/a1");
    assert!(strict.sections().spelling("cdek").case_matters);
    assert!(!strict.sections().spelling("Other").case_matters);
}

#[test]
fn an_account_that_gets_tickets_takes_two_calls_to_ask_once() {
    let checks = |adapter: &str| {
        let routes = routes(|config| {
            let section = config.carriers.get_mut("CDEK").expect("a section");
            section.adapter = adapter.to_owned();
            section.per_minute = Some(60);
            section.numbers = Some(30);
        });
        let route = routes.resolve(&code("CDEK")).expect("a route");
        route.account.checks_per_hour().expect("has limits")
    };
    assert!((checks("emulator-ticket") * 2.0 - checks("emulator-batch")).abs() < 1e-6);
}

/// Where the carrier of the first of two sections of this adapter is told to push: its address and its key.
fn callback(public_url: &str, adapter: &str) -> Option<(String, String)> {
    let routes = routes(|config| {
        config.http.public_url = public_url.to_owned();
        for name in ["CDEK", "POST_RU"] {
            let section = config.carriers.get_mut(name).expect("is shipped");
            section.adapter = adapter.to_owned();
            section.base_url = crate::config::SecretUrl::new("https://api.example");
            section.user = "user".to_owned();
            section.secret = crate::config::Secret::new("secret");
            section.push_secret = crate::config::Secret::new("kN3dP0r8mZ1bT6cYw9aQxV2s");
            section.push_key = crate::config::Secret::new("key");
        }
    });
    let told = |name| routes.section(name).expect("a route").callback.clone();
    let both = [told("CDEK"), told("POST_RU")];
    // An account as a whole has one address, and numbers have their section's.
    let is_whole = adapter == "cdek";
    assert_eq!(both[1].is_none(), is_whole || both[0].is_none());
    let callback = both[0].as_ref()?;
    Some((callback.url.clone(), callback.key.clone()))
}

#[test]
fn a_carrier_that_a_call_subscribes_is_told_its_sections_address() {
    let url = "https://track.example.org/push/CDEK/kN3dP0r8mZ1bT6cYw9aQxV2s";
    let expected = Some((url.to_owned(), "key".to_owned()));
    for adapter in ["cdek", "ups"] {
        assert_eq!(callback("https://track.example.org", adapter), expected);
        assert_eq!(callback("", adapter), None, "{adapter}");
    }
    assert_eq!(callback("https://track.example.org", "emulator"), None);
}
