use chrono::NaiveDateTime;
use chrono_tz::Tz;
use proptest::prelude::{any, prop_assert_eq, proptest};
use serde_json::{Value, json};

use super::{When, days_only, local_time, when};
use crate::model::fixture::at;

fn shown(value: impl Into<Value>, zone: Tz) -> Option<String> {
    let when = when(&value.into(), zone).ok()?;
    Some(when.at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))
}

fn in_moscow(value: impl Into<Value>) -> Option<String> {
    shown(value, Tz::Europe__Moscow)
}

#[test]
fn a_form_with_one_meaning_is_read() {
    for (text, utc) in [
        ("25.11.2026 10:00:00", "2026-11-25T07:00:00Z"),
        ("25.11.2026 10:00", "2026-11-25T07:00:00Z"),
        ("25.11.2026, 9:05", "2026-11-25T06:05:00Z"),
        ("5.1.2026 10:00", "2026-01-05T07:00:00Z"),
        ("25.11.2026", "2026-11-24T21:00:00Z"),
        ("25.11.2026 24:00:00", "2026-11-25T21:00:00Z"),
        ("25.11.2026 24:00", "2026-11-25T21:00:00Z"),
        ("31.12.2026 24:00", "2026-12-31T21:00:00Z"),
        ("25.11.2026 10:00:00 +0700", "2026-11-25T03:00:00Z"),
        ("2026-11-25 10:00:00", "2026-11-25T07:00:00Z"),
        ("2026-11-25T10:00:00", "2026-11-25T07:00:00Z"),
        ("2026-11-25T10:00", "2026-11-25T07:00:00Z"),
        ("2026-11-25t10:00:00z", "2026-11-25T10:00:00Z"),
        (
            "2026-11-25T10:00:00.1234567Z",
            "2026-11-25T10:00:00.123456Z",
        ),
        ("2026-11-25 10:00:00,5", "2026-11-25T07:00:00.500Z"),
        ("2026-11-25T10:00:00+03:00", "2026-11-25T07:00:00Z"),
        ("2026-11-25T10:00:00+0300", "2026-11-25T07:00:00Z"),
        ("2026-11-25T10:00:00+03", "2026-11-25T07:00:00Z"),
        ("2026-11-25T10:00:00 -03:30", "2026-11-25T13:30:00Z"),
        ("2026-11-25T10:00+0300", "2026-11-25T07:00:00Z"),
        ("2026-11-25 10:00:00 UTC", "2026-11-25T10:00:00Z"),
        ("2026-11-25 10:00:00 GMT+3", "2026-11-25T07:00:00Z"),
        ("2026-11-25", "2026-11-24T21:00:00Z"),
        ("2026-11-25Z", "2026-11-25T00:00:00Z"),
        ("2026/11/25 10:00", "2026-11-25T07:00:00Z"),
        ("20261125", "2026-11-24T21:00:00Z"),
        ("20261125T100000Z", "2026-11-25T10:00:00Z"),
        ("20261125100000", "2026-11-25T07:00:00Z"),
        ("25 Nov 2026 10:00", "2026-11-25T07:00:00Z"),
        ("Wed, 25 Nov 2026 10:00:00 GMT", "2026-11-25T10:00:00Z"),
        ("25-NOV-2026 01:00 PM", "2026-11-25T10:00:00Z"),
        ("25 ноября 2026 г. 10:00", "2026-11-25T07:00:00Z"),
        ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00Z"),
        ("1763900000", "2025-11-23T12:13:20Z"),
        (" 1763900000.25 ", "2025-11-23T12:13:20.250Z"),
        ("1763900000123", "2025-11-23T12:13:20.123Z"),
        ("1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"),
        (
            "9999-12-31T23:59:59.999999999Z",
            "9999-12-31T23:59:59.999999Z",
        ),
    ] {
        assert_eq!(in_moscow(text).as_deref(), Some(utc), "{text}");
    }
    assert_eq!(
        in_moscow(1_763_900_000).as_deref(),
        Some("2025-11-23T12:13:20Z")
    );
    assert_eq!(
        in_moscow(1_763_900_000_123.0).as_deref(),
        Some("2025-11-23T12:13:20.123Z")
    );
}

#[test]
fn what_has_two_meanings_or_none_is_not_read() {
    for text in [
        "25/11/2026 10:00:00",
        "05/11/2026",
        "11-25-2026",
        "25.11.26 10:00:00",
        "25.11.2026 25:00",
        "25.11.2026 24:00:01",
        "25.11.2026 24:01",
        "25.11.2026 10:60",
        "25.11.2026 10:00 MSK",
        "25.11.2026 10:00:00.",
        "25.11.2026 13:00 PM",
        "25.11.2026 10",
        "31.02.2026",
        "2026-11",
        "2026-11-25T10:00:00+03:00x",
        "2026-11-25T10:00:00+99:00",
        "10:00",
        "soon",
        "20",
        "176390000",
        "+176390000",
        "17639000001",
        "1763900000.x",
        "25 foo 2026",
        "г.",
    ] {
        assert_eq!(in_moscow(text), None, "{text}");
    }
    for value in [json!(20), json!(-1_763_900_000), json!(1e300), json!(true)] {
        assert_eq!(in_moscow(value.clone()), None, "{value}");
    }
}

#[test]
fn times_that_mean_unset_are_none() {
    for text in [
        "30.11.-0001 00:00:00",
        "-0001-11-30T00:00:00",
        "0000-00-00 00:00:00",
        "00.00.0000 00:00:00",
        "0001-01-01T00:00:00Z",
        "01.01.1900",
        "1969-12-31T23:59:59Z",
        "9999-12-31T24:00:00Z",
        "",
    ] {
        assert_eq!(in_moscow(text), None, "{text}");
    }
}

#[test]
fn what_cannot_be_read_is_told_in_its_words() {
    let why = |value: Value| when(&value, Tz::UTC).expect_err("cannot be read");
    assert_eq!(
        why(json!("soon")),
        "its time \"soon\" cannot be read for certain"
    );
    assert_eq!(why(json!(null)), "it has no time");
    assert_eq!(why(json!({})), "its time is neither a text nor a number");
}

#[test]
fn midnight_among_times_of_the_same_day_is_a_day_alone() {
    let read = |text: &str| when(&json!(text), Tz::UTC).expect("is a time");
    let days = |texts: &[&str]| {
        let times: Vec<When> = texts.iter().map(|text| read(text)).collect();
        days_only(&times)
    };
    assert_eq!(
        days(&[
            "25.11.2026 00:00:00",
            "25.11.2026 10:00",
            "26.11.2026 00:00:00"
        ]),
        [true, false, false]
    );
    assert_eq!(days(&["25.11.2026", "26.11.2026 24:00"]), [true, false]);
    assert_eq!(
        days(&["27.11.2026 00:00", "26.11.2026 24:00"]),
        [false, false]
    );
}

fn utc(local: &str, zone: Tz) -> Option<String> {
    let local = NaiveDateTime::parse_from_str(local, "%Y-%m-%d %H:%M:%S").expect("a time");
    Some(local_time(local, zone)?.to_rfc3339())
}

#[test]
fn of_an_ambiguous_local_time_the_earlier_counts() {
    assert_eq!(
        utc("2026-10-25 02:30:00", Tz::Europe__Berlin).as_deref(),
        Some("2026-10-25T00:30:00+00:00")
    );
    // Moscow's last change: from +4 to +3 for good.
    assert_eq!(
        utc("2014-10-26 01:30:00", Tz::Europe__Moscow).as_deref(),
        Some("2014-10-25T21:30:00+00:00")
    );
}

#[test]
fn a_non_existent_local_time_is_shifted_by_the_gap() {
    assert_eq!(
        utc("2026-03-29 02:30:00", Tz::Europe__Berlin).as_deref(),
        Some("2026-03-29T01:30:00+00:00")
    );
    assert_eq!(
        utc("2010-03-28 02:30:00", Tz::Europe__Moscow).as_deref(),
        Some("2010-03-27T23:30:00+00:00")
    );
    assert_eq!(
        utc("2011-12-30 12:00:00", Tz::Pacific__Apia).as_deref(),
        Some("2011-12-30T22:00:00+00:00")
    );
}

proptest! {
    #[test]
    fn any_text_is_a_time_or_none(text in r"(?s)[0-9TZ:+\-./ ,a-zа-я]{0,30}|.{0,30}", number in any::<f64>()) {
        drop((in_moscow(text), in_moscow(number)));
    }

    #[test]
    fn every_second_is_read_as_it_was_written(secs in 0_i64..200_000_000_000) {
        let time = at(secs);
        for form in ["%Y-%m-%dT%H:%M:%S", "%d.%m.%Y %H:%M:%S", "%Y%m%d%H%M%S", "%a, %d %b %Y %H:%M:%S GMT", "%d-%B-%Y %I:%M:%S %p"] {
            let read = when(&json!(time.format(form).to_string()), Tz::UTC).map(|when| when.at);
            prop_assert_eq!(read, Ok(time));
        }
    }
}
