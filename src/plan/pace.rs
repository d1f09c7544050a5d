//! How the calls of a day or month are spread over what is left of it.

use crate::plan::quota::Shares;
use crate::plan::{HOURS, hour_of};

/// The calls a minute at the time `now`, so that `left` calls last until `ends` (both in hours) and follow `shares`.
///
/// `most` are the calls an hour that other limits allow: no hour gets more, and what it cannot use goes to the others.
/// `None` if they are the stricter ones, so that calls need no spreading.
pub fn per_minute(left: f64, now: f64, ends: f64, shares: &Shares, most: f64) -> Option<f64> {
    let mut hours = [0.0; HOURS];
    let mut at = now;
    while at < ends {
        let next = (at.floor() + 1.0).min(ends);
        hours[hour_of(at)] += next - at;
        at = next;
    }
    let spread = spread(left, &hours, shares, most)?;
    Some(spread[hour_of(now)] / 60.0).filter(|rate| rate.is_finite())
}

/// The calls an hour in each hour of a whole day with `calls`. Parameters as for [`per_minute`].
pub fn by_hour(calls: f64, shares: &Shares, most: f64) -> Option<[f64; HOURS]> {
    spread(calls, &[1.0; HOURS], shares, most)
}

/// Spreads `calls` over the hours of the day that are left, `hours` of each: in proportion to their shares, up to `most`.
fn spread(calls: f64, hours: &[f64; HOURS], shares: &Shares, most: f64) -> Option<[f64; HOURS]> {
    let total: f64 = hours.iter().sum();
    if total <= 0.0 || calls >= most * total {
        return None;
    }
    let mut is_full = [false; HOURS];
    // Each pass fills an hour or is the last.
    loop {
        let (mut left, mut shared) = (calls.max(0.0), 0.0);
        for hour in 0..HOURS {
            if is_full[hour] {
                left -= most * hours[hour];
            } else {
                shared += shares.0[hour] * hours[hour];
            }
        }
        let spread = shares.0.map(|share| left / shared * share);
        let overflows =
            |hour: &usize| !is_full[*hour] && hours[*hour] > 0.0 && spread[*hour] > most;
        let over: Vec<usize> = (0..HOURS).filter(overflows).collect();
        if over.is_empty() {
            return Some(spread.map(|calls| calls.min(most)));
        }
        over.into_iter().for_each(|hour| is_full[hour] = true);
    }
}

#[cfg(test)]
mod tests {
    use super::{by_hour, per_minute};
    use crate::plan::quota::Shares;

    const FLAT: Shares = Shares([1.0 / 24.0; 24]);

    #[test]
    fn what_is_left_lasts_until_the_end_and_follows_the_shares() {
        let shares = Shares::default();
        let mut left = 1_000.0;
        let mut calls = Vec::new();
        for hour in 0..24 {
            let now = f64::from(hour);
            let rate = per_minute(left, now, 24.0, &shares, f64::INFINITY).expect("is paced");
            calls.push(rate * 60.0);
            left -= rate * 60.0;
        }
        assert!(left.abs() < 1e-6, "{left}");
        for (hour, calls) in calls.iter().enumerate() {
            assert!((calls - shares.0[hour] * 1_000.0).abs() < 1e-6);
        }
        let at_noon = per_minute(70.0, 12.0, 24.0, &FLAT, f64::INFINITY);
        assert!(at_noon.is_some_and(|rate| (rate - 70.0 / 720.0).abs() < 1e-9));
    }

    #[test]
    fn an_hour_gets_no_more_than_other_limits_allow_and_the_others_get_the_rest() {
        let shares = Shares::default();
        let spread = by_hour(2_000.0, &shares, 100.0).expect("is paced");
        assert!((spread.iter().sum::<f64>() - 2_000.0).abs() < 1e-6);
        assert!(spread.iter().all(|calls| *calls <= 100.0));
        assert!(spread.iter().any(|calls| *calls < 90.0), "{spread:?}");
        for calls in [2_400.0, 90_000.0] {
            assert_eq!(by_hour(calls, &shares, 100.0), None);
        }
        assert_eq!(per_minute(1_300.0, 12.0, 24.0, &shares, 100.0), None);
    }
}
