//! How adapters read what carriers write: loosely typed fields, local times, refusals and error messages.

use chrono::{Datelike as _, NaiveDateTime, Offset as _, TimeDelta, TimeZone as _};
use chrono_tz::Tz;
use serde_json::Value;

use crate::carriers::{CarrierError, Verdict, read_time, unreadable};
use crate::clock::Time;
use crate::model::clean_text;

/// The most characters of a carrier's own words that become part of an error.
const WORDS_CHARS_MAX: usize = 200;

/// The longest gap in local time, in quarters of an hour: a day (Samoa skipped 30 December 2011) and one hour to spare.
const GAP_QUARTERS_MAX: i32 = 4 * 25;

/// A whole answer as JSON, with or without a byte order mark.
///
/// # Errors
/// [`CarrierError::Unreadable`] if it is not JSON.
pub fn json(body: &[u8]) -> Result<Value, CarrierError> {
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    serde_json::from_slice(body).map_err(|error| unreadable(&error))
}

/// The error for an answer of the wrong form; `what` is in our words, not the carrier's.
pub fn misshapen(what: &str) -> CarrierError {
    CarrierError::Unreadable {
        reason: what.to_owned(),
    }
}

/// The error for a status other than success. `words` are the carrier's own, and `None` if the answer is not in its form.
pub fn refusal(status: u16, words: Option<String>) -> CarrierError {
    match (status, words) {
        (401..=403, _) => CarrierError::Unauthorized { status },
        (429, _) => CarrierError::RateLimited {
            status,
            retry_after: None,
        },
        (400..=499, Some(said)) => CarrierError::Refused { status, said },
        (500..=599, _) => CarrierError::Status { status },
        _ => CarrierError::Foreign { status },
    }
}

/// The words of an answer that is an object with one of these fields; `None` if it is none, such as a gateway's page.
pub fn own_words(body: &[u8], fields: &[&str], key: &str) -> Option<String> {
    let body = json(body).ok()?;
    let said = fields.iter().find_map(|field| body[*field].as_str())?;
    let words = words_of_error(said, key);
    Some(words.unwrap_or_else(|| "an error in words that are not shown".to_owned()))
}

/// Words, in lower case, that say together that the account's calls are used up.
const USED_UP: &[&[&str]] = &[
    &["лимит", "превы"],
    &["лимит", "исчерп"],
    &["limit", "exceeded"],
    &["limit", "reached"],
    &["quota"],
    &["too many requests"],
];

/// Words that say together that the key, or the domain that it was given to, is refused.
const KEY_REFUSED: &[&[&str]] = &[
    &["неверн", "ключ"],
    &["неверн", "key"],
    &["неверн", "домен"],
    &["invalid", "key"],
    &["invalid", "token"],
    &["invalid", "domain"],
    &["wrong", "key"],
    &["bad", "token"],
];

/// The error that a carrier's words are if they are about the account; `None` if they are about a number.
fn failure_of_account(said: &str, key: &str) -> Option<CarrierError> {
    let lower = said.to_lowercase();
    let says = |sets: &[&[&str]]| {
        let all = |parts: &&[&str]| parts.iter().all(|part| lower.contains(part));
        sets.iter().any(all)
    };
    let words =
        || words_of_error(said, key).unwrap_or_else(|| "in words not shown here".to_owned());
    if says(USED_UP) {
        return Some(CarrierError::UsedUp { said: words() });
    }
    says(KEY_REFUSED).then(|| CarrierError::KeyRefused { said: words() })
}

/// A field's text: a number's digits, empty if the field is absent or null; `None` if it is of another type.
pub fn text(record: &Value, field: &str) -> Option<String> {
    match &record[field] {
        Value::Null => Some(String::new()),
        Value::String(text) => Some(clean_text(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// An event's `statusRaw` and message; `None` if both texts are empty.
///
/// If the main text is empty, the other takes its place.
pub fn raw_and_message(main: String, other: String) -> Option<(String, String)> {
    match (main.trim().is_empty(), other.trim().is_empty()) {
        (true, true) => None,
        (true, false) => Some((other, String::new())),
        (false, _) if main == other => Some((main, String::new())),
        (false, _) => Some((main, other)),
    }
}

/// A place after its postal code, as in Russian addresses; `None` if a field is not a text.
pub fn place(record: &Value, postal_code: &str, name: &str) -> Option<String> {
    let (postal_code, name) = (text(record, postal_code)?, text(record, name)?);
    if postal_code.is_empty() || name.contains(&postal_code) {
        return Some(name);
    }
    Some(clean_text(format!("{postal_code} {name}").trim_end()))
}

/// A time in RFC 3339; `None` if it is not one or means "unset".
pub fn time(text: &str) -> Option<Time> {
    read_time(text).and_then(set)
}

/// Converts a local time to UTC. Ambiguous times (DST ends): the earlier. Non-existent times (DST starts): shifted by
/// the size of the gap. `None` before 1970, which means "unset".
pub fn local_time(local: NaiveDateTime, zone: Tz) -> Option<Time> {
    if !(1969..=9999).contains(&local.year()) {
        return None;
    }
    let offset_before = || {
        (1..=GAP_QUARTERS_MAX).find_map(|quarters| {
            let before = local.checked_sub_signed(TimeDelta::minutes(15 * i64::from(quarters)))?;
            Some(zone.from_local_datetime(&before).latest()?.offset().fix())
        })
    };
    let utc = match zone.from_local_datetime(&local).earliest() {
        Some(time) => time.naive_utc(),
        None => local.checked_sub_offset(offset_before()?)?,
    };
    set(utc.and_utc())
}

/// A time in whole microseconds; `None` before 1970: programs write the years 1 and 1900 for "unset".
fn set(time: Time) -> Option<Time> {
    let micros = time.timestamp_micros();
    (micros >= 0)
        .then(|| Time::from_timestamp_micros(micros))
        .flatten()
}

/// What the carrier's words of an error are: a failed check of one number, in these words if they can be repeated.
///
/// # Errors
/// [`CarrierError::UsedUp`] and [`CarrierError::KeyRefused`] if the words are about the account.
pub fn failed(text: &str, key: &str) -> Result<Verdict, CarrierError> {
    if let Some(error) = failure_of_account(text, key) {
        return Err(error);
    }
    let reason = match words_of_error(text, key) {
        Some(words) => format!("the carrier says: {words}"),
        None => "the carrier reports an error without saying which".to_owned(),
    };
    Ok(Verdict::Failed { reason })
}

/// A carrier's error message on one line; `None` if it is empty or too long, or holds `key`.
pub fn words_of_error(text: &str, key: &str) -> Option<String> {
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    let words: Vec<&str> = text
        .split(is_blank)
        .filter(|word| !word.is_empty())
        .collect();
    let line = words.join(" ");
    let is_short = !line.is_empty() && line.chars().count() <= WORDS_CHARS_MAX;
    let holds_key = !key.is_empty() && line.contains(key);
    (is_short && !holds_key).then_some(line)
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDateTime;
    use chrono_tz::Tz;

    use super::{local_time, time, words_of_error};

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

    #[test]
    fn years_that_mean_unset_are_no_time() {
        assert_eq!(utc("1900-01-01 00:00:00", Tz::Europe__Moscow), None);
        assert_eq!(time("0001-01-01T00:00:00Z"), None);
        assert_eq!(time("1969-12-31T23:59:59Z"), None);
        assert!(time("1970-01-01T00:00:00Z").is_some());
        assert!(time("9999-12-31T23:59:59.999999999Z").is_some());
        assert_eq!(time("yesterday"), None);
    }

    #[test]
    fn an_error_message_is_one_short_line_without_the_key() {
        assert_eq!(
            words_of_error(" no\n such\u{0} code ", "k3y").as_deref(),
            Some("no such code")
        );
        assert_eq!(words_of_error("bad apiKey=k3y", "k3y"), None);
        assert_eq!(words_of_error(&"x".repeat(201), ""), None);
        assert_eq!(words_of_error(" \n", ""), None);
    }
}
