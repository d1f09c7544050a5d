//! Track numbers of any carrier that look like real ones.

use std::collections::HashSet;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;

/// Weights of the eight serial digits: UPU standard S10, "Check digit", read 2026-11-23.
const S10_WEIGHTS: [u32; 8] = [8, 6, 4, 2, 3, 5, 9, 7];

/// Service indicators of parcels, registered letters, EMS and tracked letters in S10.
const S10_SERVICES: &[u8] = b"CREL";

/// How many characters follow the T in a number of any other carrier.
const PLAIN_CHARS: usize = 10;

const DIGITS: &[u8] = b"0123456789";
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LETTERS_AND_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// A track number and its carrier, as the API takes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Number {
    pub carrier_code: String,
    pub track_number: String,
}

/// Makes `count` different numbers, of one carrier after the other in turn; none without a carrier.
///
/// The same carriers and seed make the same numbers, and a larger count only adds to them.
pub fn make_all(carriers: &[String], count: usize, seed: u64) -> Vec<Number> {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut taken = HashSet::with_capacity(count);
    carriers
        .iter()
        .cycle()
        .take(count)
        .map(|carrier| {
            // Every format has at least 10^9 numbers and a run makes at most 10^6, so this ends after a few tries.
            let track_number = loop {
                let number = make(carrier, &mut rng);
                if taken.insert(number.clone()) {
                    break number;
                }
            };
            Number {
                carrier_code: carrier.clone(),
                track_number,
            }
        })
        .collect()
}

/// Makes a track number in the format of `carrier`. Two calls may return the same number.
///
/// `CDEK`: 10 digits, the first not zero. `POST_RU`: an S10 number of Russia (two letters, eight digits, a valid check
/// digit, `RU`). Any other carrier: `T` and ten characters of A-Z and 0-9.
pub fn make(carrier: &str, rng: &mut impl Rng) -> String {
    match carrier {
        "CDEK" => pick(&DIGITS[1..], 1, rng) + &pick(DIGITS, 9, rng),
        "POST_RU" => s10("RU", rng),
        _ => format!("T{}", pick(LETTERS_AND_DIGITS, PLAIN_CHARS, rng)),
    }
}

fn s10(country: &str, rng: &mut impl Rng) -> String {
    let service = pick(S10_SERVICES, 1, rng) + &pick(LETTERS, 1, rng);
    let serial: [u8; 8] = std::array::from_fn(|_| rng.random_range(0..10));
    let digits: String = serial
        .iter()
        .map(|&digit| char::from(b'0' + digit))
        .collect();
    format!("{service}{digits}{}{country}", s10_check_digit(&serial))
}

/// The ninth digit of an S10 number: 11 minus the weighted sum modulo 11. 10 is written 0 and 11 is written 5.
fn s10_check_digit(serial: &[u8; 8]) -> u32 {
    let sum: u32 = serial
        .iter()
        .zip(S10_WEIGHTS)
        .map(|(&digit, weight)| u32::from(digit) * weight)
        .sum();
    match 11 - sum % 11 {
        10 => 0,
        11 => 5,
        digit => digit,
    }
}

fn pick(characters: &[u8], count: usize, rng: &mut impl Rng) -> String {
    (0..count)
        .map(|_| char::from(characters[rng.random_range(0..characters.len())]))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{make, make_all, s10_check_digit};

    fn carriers(codes: &[&str]) -> Vec<String> {
        codes.iter().map(|&code| code.to_owned()).collect()
    }

    #[test]
    fn no_number_comes_twice_and_carriers_take_turns() {
        let numbers = make_all(&carriers(&["CDEK", "POST_RU", "DHL"]), 30_000, 1);
        let different: HashSet<_> = numbers.iter().map(|it| &it.track_number).collect();
        assert_eq!(different.len(), 30_000);
        for code in ["CDEK", "POST_RU", "DHL"] {
            let of_carrier = numbers.iter().filter(|it| it.carrier_code == code);
            assert_eq!(of_carrier.count(), 10_000, "{code}");
        }
    }

    #[test]
    fn a_seed_repeats_the_numbers_for_any_count() {
        let codes = carriers(&["CDEK", "POST_RU"]);
        let few = make_all(&codes, 10, 7);
        assert_eq!(few, make_all(&codes, 1_000, 7)[..10]);
        assert_ne!(few, make_all(&codes, 10, 8));
    }

    #[test]
    fn a_number_is_written_as_the_api_reads_it() {
        let number = &make_all(&carriers(&["CDEK"]), 1, 1)[0];
        let json = serde_json::to_value(number).expect("a number is JSON");
        assert_eq!(
            json,
            serde_json::json!({"carrierCode": "CDEK", "trackNumber": number.track_number})
        );
    }

    /// The check digit in an S10 number, and the one calculated from its serial digits.
    fn said_and_right(number: &str) -> (u32, u32) {
        let digits: Vec<u8> = number[2..11].bytes().map(|byte| byte - b'0').collect();
        let serial = digits[..8].try_into().expect("eight digits");
        (u32::from(digits[8]), s10_check_digit(&serial))
    }

    #[test]
    fn the_check_digit_of_known_numbers_is_right() {
        // RA473124829GB: the example in the standard
        // (4·8 + 7·6 + 3·4 + 1·2 + 2·3 + 4·5 + 8·9 + 2·7 = 200, 200 mod 11 = 2, 11 − 2 = 9).
        for number in ["RA473124829GB", "RA123456785RU", "EE876543216IL"] {
            let (said, right) = said_and_right(number);
            assert_eq!(said, right, "{number}");
        }
    }

    #[test]
    fn a_check_digit_of_ten_is_written_0_and_of_eleven_5() {
        // 3·4 = 12, 12 mod 11 = 1: ten. All zeros: eleven.
        assert_eq!(s10_check_digit(&[0, 0, 3, 0, 0, 0, 0, 0]), 0);
        assert_eq!(s10_check_digit(&[0; 8]), 5);
    }

    #[test]
    fn every_russian_post_number_is_a_right_s10_number() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..1_000 {
            let number = make("POST_RU", &mut rng);
            assert_eq!(number.len(), 13, "{number}");
            assert!(
                number[..2].bytes().all(|byte| byte.is_ascii_uppercase()),
                "{number}"
            );
            assert!(
                number[2..11].bytes().all(|byte| byte.is_ascii_digit()),
                "{number}"
            );
            assert!(number.ends_with("RU"), "{number}");
            let (said, right) = said_and_right(&number);
            assert_eq!(said, right, "{number}");
        }
    }

    #[test]
    fn a_cdek_number_has_ten_digits() {
        let mut rng = StdRng::seed_from_u64(2);
        for _ in 0..1_000 {
            let number = make("CDEK", &mut rng);
            assert_eq!(number.len(), 10, "{number}");
            assert!(number.bytes().all(|byte| byte.is_ascii_digit()), "{number}");
        }
    }

    #[test]
    fn any_other_carrier_gets_a_t_and_ten_characters() {
        let mut rng = StdRng::seed_from_u64(3);
        let number = make("DHL", &mut rng);
        assert_eq!(number.len(), 11, "{number}");
        assert!(number.starts_with('T'), "{number}");
        assert!(
            number[1..]
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            "{number}"
        );
    }
}
