//! What the configuration promises.

mod checks;
mod layers;
mod refused;
mod secrets;
mod shipped;

use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, prop_oneof, proptest};

use crate::carriers::routes::Routes;
use crate::config::keys::{Entry, KeyPath};
use crate::config::layers::example;
use crate::config::mistakes::ConfigError;
use crate::config::{Config, Preset, Span, load};

/// The configuration of a file with this text, without variables.
fn of_file(text: &str) -> Result<Config, ConfigError> {
    of_both(text, &[])
}

/// The configuration of these variables, without a file.
fn of_variables(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    from_layers(None, &owned(variables), None)
}

fn of_both(text: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    from_layers(Some(text), &owned(variables), None)
}

/// The configuration of a file with this text, variables and the program's own cadence.
fn from_layers(
    text: Option<&str>,
    variables: &[(String, String)],
    preset: Option<Preset>,
) -> Result<Config, ConfigError> {
    let file = text.map(|text| ("file my.toml".to_owned(), text.to_owned()));
    load::from_layers(file, variables, preset, Routes::check)
}

/// Every key: those outside the carriers' sections, then those of one carrier's.
fn known(code: &str) -> Vec<KeyPath> {
    KeyPath::all(Some(code))
}

/// A good value of a key, as TOML.
fn good(key: &KeyPath) -> String {
    match key.entry() {
        Some(Entry::Key(schema)) => example(key, schema),
        other => panic!("{key} is {other:?}"),
    }
}

fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(owned).collect()
}

fn span(text: &str) -> Span {
    text.parse().expect("a span")
}

#[test]
fn a_span_is_read_from_each_form_and_written_in_the_shortest_exact_one() {
    let forms = [
        ("500ms", 500, "500ms"),
        ("10s", 10_000, "10s"),
        ("5m", 300_000, "5m"),
        ("1h", 3_600_000, "1h"),
        ("1d", 86_400_000, "1d"),
        ("60", 60_000, "1m"),
        ("0.5", 500, "500ms"),
        ("1.5h", 5_400_000, "90m"),
        ("1500ms", 1_500, "1500ms"),
        ("90s", 90_000, "90s"),
        (" 10 s ", 10_000, "10s"),
        ("0", 0, "0s"),
    ];
    for (text, millis, written) in forms {
        let read = span(text);
        assert_eq!(
            (read.millis(), read.to_string().as_str()),
            (millis, written),
            "{text}"
        );
    }
}

#[test]
fn a_span_is_deserialized_from_text_and_from_a_number_of_seconds() {
    for (json, written) in [("\"90s\"", "90s"), ("5", "5s"), ("0.5", "500ms")] {
        let read: Span = serde_json::from_str(json).expect("a span");
        assert_eq!(read.to_string(), written);
    }
    assert!(serde_json::from_str::<Span>("-5").is_err());
    assert!(serde_json::from_str::<Span>("true").is_err());
}

#[test]
fn what_is_no_span_is_refused() {
    for text in [
        "",
        "s",
        "-1",
        "1e3",
        "10 parsecs",
        "0.0001",
        "1.5ms",
        "1h30m",
        ".5s",
        "NaN",
        "99999d",
        "1..2",
        "1S",
    ] {
        assert!(text.parse::<Span>().is_err(), "{text}");
    }
}

fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| number.to_string()),
        "[0-9]{1,12}(ms|s|m|h|d)?".prop_map(|text| format!("\"{text}\"")),
        ".{0,20}".prop_map(|text| format!("{text:?}")),
        prop::sample::select(vec![
            "[]",
            "{}",
            "true",
            "\"\"",
            "1979-05-27",
            "[1, \"a\"]",
            "\"***\"",
            "nan",
            "\"none\""
        ])
        .prop_map(str::to_owned),
        prop::sample::select(known("CDEK")).prop_map(|key| good(&key)),
    ]
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(known("*")).prop_map(|key| key.to_string()),
        prop::sample::select(known("CDEK")).prop_map(|key| key.to_string()),
        "[a-z]{1,8}(\\.[a-z_]{1,8}){0,3}",
    ]
}

proptest! {
    #[test]
    fn any_text_as_a_file_is_read_or_refused(text in "(?s).{0,200}") {
        drop(of_file(&text));
    }

    #[test]
    fn any_keys_and_values_are_refused_or_can_be_shown_and_loaded_again(
        lines in prop::collection::vec((any_key(), any_value()), 0..4),
    ) {
        let text: Vec<String> = lines.iter().map(|(key, value)| format!("{key} = {value}")).collect();
        if let Ok(config) = of_file(&text.join("\n"))
            && !config.shown().contains("***")
        {
            prop_assert_eq!(of_file(&config.shown()), Ok(config));
        }
    }

    #[test]
    fn any_variables_are_read_or_refused(
        known in prop::collection::vec((any_key(), any_value()), 0..4),
        other in prop::collection::vec(("(TRACKBOX_)?[A-Z_*é]{0,20}", ".{0,20}"), 0..4),
    ) {
        let known = known.into_iter().map(|(key, value)| {
            let parts: Vec<&str> = key.split('.').map(|part| part.trim_matches('"')).collect();
            (KeyPath::of(&parts).variable(), value.trim_matches('"').to_owned())
        });
        let variables: Vec<(String, String)> = known.chain(other).collect();
        drop(from_layers(None, &variables, Some(Preset::Demo)));
    }

    #[test]
    fn any_span_is_read_as_it_was_written(millis in 0_u64..100 * 365 * 86_400_000) {
        let written = Span::from_millis(millis);
        prop_assert_eq!(written.to_string().parse(), Ok(written));
    }

    #[test]
    fn any_text_is_a_span_or_refused(text in ".{0,30}") {
        let span = text.parse::<Span>();
        prop_assert!(span.is_err() || span.is_ok_and(|span| span.millis() <= 100 * 365 * 86_400_000));
    }
}
