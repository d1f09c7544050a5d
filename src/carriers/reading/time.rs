//! The one reader of times that carriers write.
//!
//! A form is read if it can be meant in one way only, no matter which carrier writes it:
//! - the year first: `2026-11-25`, `2026/11/25`, `20261125`;
//! - day, month and year with dots, which no country writes in another order: `25.11.2026`, `5.1.2026`;
//! - a month in English or Russian words: `25 Nov 2026`, `25 ноября 2026`, `Wed, 25 Nov 2026`;
//! - with or without a time of day (`10:00`, `10:00:00.123`, `24:00`, `10:00 PM`), with or without an offset (`Z`,
//!   `+03:00`, `+0300`, `+03`, `GMT`); without one it is in the zone of the carrier's section;
//! - a number of 10 digits is seconds since 1970, one of 13 digits milliseconds: both are from 2001 to 2286.
//!
//! What has two meanings is not read, even where a single value shows which one is meant, as `25/11/2026` does: of such
//! a carrier only the days after the 12th would appear, in a history that looks complete. So are years of two digits.
//! Years before 1970 are what programs write for "unset".

use std::collections::HashSet;

use chrono::{
    Datelike as _, NaiveDate, NaiveDateTime, NaiveTime, Offset as _, TimeDelta, TimeZone as _,
};
use chrono_tz::Tz;
use serde_json::Value;

use crate::clock::Time;

/// The longest gap in local time, in quarters of an hour: a day (Samoa skipped 30 December 2011) and one hour to spare.
const GAP_QUARTERS_MAX: i32 = 4 * 25;

const MICROS_PER_SEC: i64 = 1_000_000;
const DAY_SECS: i64 = 86_400;

/// How the names of months begin, in English and in Russian.
const MONTHS: [&[&str]; 12] = [
    &["jan", "янв"],
    &["feb", "фев"],
    &["mar", "мар"],
    &["apr", "апр"],
    &["may", "май", "мая"],
    &["jun", "июн"],
    &["jul", "июл"],
    &["aug", "авг"],
    &["sep", "сен"],
    &["oct", "окт"],
    &["nov", "ноя"],
    &["dec", "дек"],
];

/// A time as a carrier wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When {
    pub at: Time,
    /// The day that was written.
    day: NaiveDate,
    of_day: OfDay,
}

/// The time of day that was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfDay {
    None,
    /// 00:00:00, which may stand for none.
    Midnight,
    Given,
}

impl When {
    /// The day that was written.
    pub fn day(self) -> NaiveDate {
        self.day
    }

    /// The day, if no time of day was written, or midnight, which stands for none where nothing else is known of the day.
    pub fn day_alone(self) -> Option<NaiveDate> {
        (self.of_day != OfDay::Given).then_some(self.day)
    }
}

/// Reads a field that holds a time: a text or a number. A time without an offset is in `zone`.
///
/// # Errors
/// Why it cannot be read, with its words.
pub fn when(value: &Value, zone: Tz) -> Result<When, String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Null => String::new(),
        Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            return Err("its time is neither a text nor a number".to_owned());
        }
    };
    if text.is_empty() {
        return Err("it has no time".to_owned());
    }
    read(&text, zone).ok_or_else(|| format!("its time \"{text}\" cannot be read for certain"))
}

/// Which of the times of one list are days without a time of day: a date alone, or 00:00:00 if others of that day have
/// another time.
pub fn days_only(times: &[When]) -> Vec<bool> {
    let given = times.iter().filter(|when| when.of_day == OfDay::Given);
    let exact: HashSet<NaiveDate> = given.map(|when| when.day).collect();
    let is_day = |when: &When| match when.of_day {
        OfDay::None => true,
        OfDay::Midnight => exact.contains(&when.day),
        OfDay::Given => false,
    };
    times.iter().map(is_day).collect()
}

fn read(text: &str, zone: Tz) -> Option<When> {
    if let Some(at) = since_1970(text) {
        return Some(When {
            at,
            day: at.date_naive(),
            of_day: OfDay::Given,
        });
    }
    let mut rest = text;
    let day = date(&mut rest)?;
    // The Russian "г." for a year.
    rest = rest.trim_start().trim_start_matches("г.");
    rest = rest.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, 'T' | 't' | ','));
    let (of_day, micros) = if rest.starts_with(|c: char| c.is_ascii_digit()) {
        match time_of_day(&mut rest)? {
            0 => (OfDay::Midnight, 0),
            micros => (OfDay::Given, micros),
        }
    } else {
        (OfDay::None, 0)
    };
    let local = day.and_time(NaiveTime::MIN) + TimeDelta::microseconds(micros);
    let at = match rest.trim_start() {
        "" => local_time(local, zone)?,
        written => set((local - TimeDelta::seconds(offset_secs(written)?)).and_utc())?,
    };
    Some(When { at, day, of_day })
}

/// A number of seconds or milliseconds since 1970. How many digits it has tells which.
fn since_1970(text: &str) -> Option<Time> {
    let mut rest = text;
    let whole = digits(&mut rest);
    let fraction = micros_of(rest.strip_prefix('.').unwrap_or("0"))?;
    let is_all = rest.is_empty() || rest.starts_with('.');
    let number: i64 = whole.parse().ok().filter(|_| is_all)?;
    let micros = match whole.len() {
        10 => number * MICROS_PER_SEC + fraction,
        13 => number * 1_000,
        _ => return None,
    };
    set(Time::from_timestamp_micros(micros)?)
}

fn date(rest: &mut &str) -> Option<NaiveDate> {
    if let Some((name, after)) = rest.split_once(',')
        && name.chars().all(char::is_alphabetic)
    {
        // The day of the week.
        *rest = after.trim_start();
    }
    let (text, first) = (*rest, digits(rest));
    let (year, month, day) = match first.len() {
        8 | 12 | 14 => {
            *rest = &text[8..];
            let part = |from: usize, to: usize| first[from..to].parse().ok();
            (part(0, 4)?, part(4, 6)?, part(6, 8)?)
        }
        4 => {
            let mark = mark(rest, "-/.")?;
            let month = number(rest, 1, 2)?;
            self::mark(rest, mark)?;
            (first.parse().ok()?, month, number(rest, 1, 2)?)
        }
        1 | 2 => {
            let mark = mark(rest, ".- ")?;
            let month = if mark == "." {
                number(rest, 1, 2)?
            } else {
                month_in_words(rest)?
            };
            self::mark(rest, mark)?;
            (number(rest, 4, 4)?, month, first.parse().ok()?)
        }
        _ => return None,
    };
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)
}

/// Microseconds since midnight; 24:00 and a leap second belong to the next minute.
fn time_of_day(rest: &mut &str) -> Option<i64> {
    let first = digits(rest);
    let mut micros = 0;
    let (mut hour, minute, sec): (i64, i64, i64) = match first.len() {
        1 | 2 => {
            mark(rest, ":")?;
            let minute = number(rest, 2, 2)?;
            let mut sec = 0;
            if mark(rest, ":").is_some() {
                sec = number(rest, 2, 2)?;
                if mark(rest, ".,").is_some() {
                    micros = micros_of(digits(rest))?;
                }
            }
            (first.parse().ok()?, minute.into(), sec.into())
        }
        4 => (first[..2].parse().ok()?, first[2..].parse().ok()?, 0),
        6 => (
            first[..2].parse().ok()?,
            first[2..4].parse().ok()?,
            first[4..].parse().ok()?,
        ),
        _ => return None,
    };
    let word = rest.trim_start();
    if let Some(half) = word.get(..2).map(str::to_ascii_lowercase)
        && matches!(half.as_str(), "am" | "pm")
    {
        if !(1..=12).contains(&hour) {
            return None;
        }
        hour = hour % 12 + if half == "pm" { 12 } else { 0 };
        *rest = &word[2..];
    }
    let secs = (hour * 60 + minute) * 60 + sec;
    let micros = secs * MICROS_PER_SEC + micros;
    let is_end = hour == 24 && micros == DAY_SECS * MICROS_PER_SEC;
    (is_end || (hour < 24 && minute < 60 && sec <= 60)).then_some(micros)
}

/// The seconds by which a local time with this offset is ahead of UTC.
fn offset_secs(text: &str) -> Option<i64> {
    let bare = ["Z", "z", "UTC", "GMT"]
        .iter()
        .find_map(|name| text.strip_prefix(name));
    let mut rest = bare.unwrap_or(text);
    if rest.is_empty() {
        return Some(0);
    }
    let sign = if mark(&mut rest, "+-")? == "+" { 1 } else { -1 };
    let first = digits(&mut rest);
    let (hours, minutes): (i64, i64) = match first.len() {
        1 | 2 if mark(&mut rest, ":").is_some() => {
            (first.parse().ok()?, number(&mut rest, 2, 2)?.into())
        }
        1 | 2 => (first.parse().ok()?, 0),
        4 => (first[..2].parse().ok()?, first[2..].parse().ok()?),
        _ => return None,
    };
    let fits = rest.is_empty() && hours < 24 && minutes < 60;
    fits.then_some(sign * (hours * 60 + minutes) * 60)
}

/// Takes the digits at the beginning.
fn digits<'a>(rest: &mut &'a str) -> &'a str {
    let end = rest.find(|c: char| !c.is_ascii_digit());
    let (digits, after) = rest.split_at(end.unwrap_or(rest.len()));
    *rest = after;
    digits
}

/// Takes a number of so many digits.
fn number(rest: &mut &str, digits_min: usize, digits_max: usize) -> Option<u32> {
    let digits = digits(rest);
    let fits = (digits_min..=digits_max).contains(&digits.len());
    fits.then(|| digits.parse().ok()).flatten()
}

/// Takes one of these characters.
fn mark<'a>(rest: &mut &'a str, any_of: &str) -> Option<&'a str> {
    let first = rest.chars().next().filter(|c| any_of.contains(*c))?;
    let (mark, after) = rest.split_at(first.len_utf8());
    *rest = after;
    Some(mark)
}

fn month_in_words(rest: &mut &str) -> Option<u32> {
    let end = rest.find(|c: char| !c.is_alphabetic())?;
    let (name, after) = rest.split_at(end);
    let name = name.to_lowercase();
    let mut months = (1..).zip(MONTHS);
    let (month, _) = months.find(|(_, names)| names.iter().any(|begin| name.starts_with(begin)))?;
    // An abbreviation may end with a point.
    *rest = after.strip_prefix('.').unwrap_or(after);
    Some(month)
}

/// Digits after the point of a second, as microseconds.
fn micros_of(fraction: &str) -> Option<i64> {
    let is_number = !fraction.is_empty() && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let digits = fraction.get(..6).unwrap_or(fraction);
    let micros = format!("{digits:0<6}").parse().ok();
    micros.filter(|_| is_number)
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
    (micros >= 0 && time.year() <= 9999)
        .then(|| Time::from_timestamp_micros(micros))
        .flatten()
}

#[cfg(test)]
mod tests;
