//! Track numbers that look like the real ones, of any carrier.

use rand::Rng;

/// Weights of the eight serial digits: UPU standard S10, "Check digit", read 2026-11-23.
const S10_WEIGHTS: [u32; 8] = [8, 6, 4, 2, 3, 5, 9, 7];

/// Service indicators of parcels, registered letters, EMS and tracked letters in S10.
const S10_SERVICES: &[u8] = b"CREL";

/// How many characters follow the T in a number of a carrier whose format nobody knows.
const PLAIN_CHARS: usize = 10;

const DIGITS: &[u8] = b"0123456789";
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const LETTERS_AND_DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// Makes a track number as `carrier` writes them.
///
/// `CDEK`: 10 digits, the first of them no zero. `POST_RU`: an S10 number of Russia (two letters, eight digits, a right
/// check digit, `RU`). Any other carrier: `T` and ten of A-Z and 0-9. Two calls may give the same number.
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

/// The ninth digit of an S10 number: 11 less the weighted sum modulo 11, where 10 is written 0 and 11 is written 5.
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
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::{make, s10_check_digit};

    /// What an S10 number says against what its own serial digits give.
    fn said_and_right(number: &str) -> (u32, u32) {
        let digits: Vec<u8> = number[2..11].bytes().map(|byte| byte - b'0').collect();
        let serial = digits[..8].try_into().expect("eight digits");
        (u32::from(digits[8]), s10_check_digit(&serial))
    }

    #[test]
    fn the_check_digit_of_known_numbers_is_right() {
        // RA473124829GB: the example worked out in the standard itself
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
