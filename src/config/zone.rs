//! Which time zone was probably meant by a text that is none.

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::config::keys::nearest;

/// The zones of Russia by their hours ahead of UTC, each in its usual abbreviation (IANA's until 2016) and as a name.
const RUSSIAN: [(i32, &str, Tz); 11] = [
    (2, "EET", Tz::Europe__Kaliningrad),
    (3, "MSK", Tz::Europe__Moscow),
    (4, "SAMT", Tz::Europe__Samara),
    (5, "YEKT", Tz::Asia__Yekaterinburg),
    (6, "OMST", Tz::Asia__Omsk),
    (7, "KRAT", Tz::Asia__Krasnoyarsk),
    (8, "IRKT", Tz::Asia__Irkutsk),
    (9, "YAKT", Tz::Asia__Yakutsk),
    (10, "VLAT", Tz::Asia__Vladivostok),
    (11, "MAGT", Tz::Asia__Magadan),
    (12, "PETT", Tz::Asia__Kamchatka),
];

/// Moscow's time and the city, as Russians write them.
const MOSCOW: [&str; 2] = ["МСК", "МОСКВА"];

/// What was probably meant, in words that end a question; `None` if nothing comes near.
pub fn meant(text: &str) -> Option<String> {
    let capitals = text.trim().to_uppercase();
    if let Some(hours) = hours_ahead(&capitals) {
        return by_offset(hours);
    }
    let by_abbreviation = RUSSIAN.iter().find(|(_, name, _)| *name == capitals);
    let moscow = MOSCOW.contains(&capitals.as_str());
    let moscow = moscow.then_some(Tz::Europe__Moscow);
    let by_city = || {
        let city = capitals.replace([' ', '-'], "_");
        let mut zones = TZ_VARIANTS.iter();
        zones.find(|zone| zone.name().to_uppercase().rsplit('/').next() == Some(&city))
    };
    let zone = by_abbreviation
        .map(|(_, _, zone)| *zone)
        .or(moscow)
        .or_else(|| by_city().copied());
    let name = zone.map(Tz::name);
    name.or_else(|| nearest(text, TZ_VARIANTS.iter().map(|zone| zone.name())))
        .map(str::to_owned)
}

/// The whole hours of `+03:00`, `UTC+3` or `GMT-3`.
fn hours_ahead(capitals: &str) -> Option<i32> {
    let bare = capitals.trim_start_matches("UTC").trim_start_matches("GMT");
    let bare = bare.trim().replace('\u{2212}', "-");
    let (sign, digits) = match bare.split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let hours = digits.strip_suffix(":00").unwrap_or(digits);
    let hours = hours
        .strip_suffix("00")
        .filter(|it| it.len() == 2)
        .unwrap_or(hours);
    let is_number = hours.bytes().all(|byte| byte.is_ascii_digit());
    let hours: i32 = hours.parse().ok().filter(|_| is_number)?;
    Some(sign * hours)
}

/// The names of a fixed offset: the zone of a place, and the one without a place, whose sign means the opposite.
fn by_offset(hours: i32) -> Option<String> {
    if hours == 0 {
        return Some("UTC".to_owned());
    }
    let fixed = format!("Etc/GMT{:+}", -hours);
    fixed.parse::<Tz>().ok()?;
    let of_place = RUSSIAN.iter().find(|(ahead, ..)| *ahead == hours);
    let of_place = of_place.map_or_else(String::new, |(_, _, zone)| format!("{zone} or "));
    let side = if hours > 0 { "ahead of" } else { "behind" };
    let hours = hours.abs();
    Some(format!(
        "{of_place}{fixed} (always {hours} h {side} UTC: the sign in such names is inverted)"
    ))
}
