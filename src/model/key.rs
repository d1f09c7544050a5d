//! API keys: their form, their checksum, and the hash that is stored of them.
//!
//! A key is `tbx_`, 32 random characters of `0-9A-Za-z` and 6 more that are the CRC-32 of those 32. The checksum tells a
//! mistyped key, and lets scanners find keys in code. 32 such characters are 190 random bits, which cannot be guessed, so a
//! fast hash is enough: a slow one would let a stranger keep the processor busy.

use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};

/// What every key begins with.
pub const PREFIX: &str = "tbx_";

/// How many of its first characters are stored and shown, so that people recognize it.
pub const HINT_CHARS: usize = 8;

const RANDOM_CHARS: usize = 32;

/// 62^6 is more than 2^32.
const CHECKSUM_CHARS: usize = 6;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Bytes below this give each digit equally often.
const FAIR_BYTES: u8 = 62 * 4;

/// SHA-256 of a whole key.
pub type KeyHash = [u8; 32];

/// The machine gives no random numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the machine gives no random numbers")]
pub struct NoRandomness;

/// A key whose checksum is right. Only [`ApiKey::expose`] shows it.
#[derive(Clone)]
pub struct ApiKey(String);

impl ApiKey {
    /// A new key from the machine's random numbers.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<Self, NoRandomness> {
        let system = SystemRandom::new();
        let mut random = String::with_capacity(RANDOM_CHARS);
        while random.len() < RANDOM_CHARS {
            let mut bytes = [0; RANDOM_CHARS];
            system.fill(&mut bytes).map_err(|_| NoRandomness)?;
            let fair = bytes.into_iter().filter(|byte| *byte < FAIR_BYTES);
            let digits = fair.map(|byte| char::from(DIGITS[usize::from(byte) % DIGITS.len()]));
            random.extend(digits.take(RANDOM_CHARS - random.len()));
        }
        Ok(Self(format!("{PREFIX}{random}{}", checksum(&random))))
    }

    /// Reads a key; `None` if the text has another form or a wrong checksum.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let (random, given) = rest.split_at_checked(RANDOM_CHARS)?;
        let is_key =
            random.bytes().all(|byte| byte.is_ascii_alphanumeric()) && given == checksum(random);
        is_key.then(|| Self(text.to_owned()))
    }

    /// Whether a text has a key anywhere in it.
    pub fn is_in(text: &str) -> bool {
        text.match_indices(PREFIX).any(|(at, _)| {
            let end = at + PREFIX.len() + RANDOM_CHARS + CHECKSUM_CHARS;
            text.get(at..end).and_then(Self::parse).is_some()
        })
    }

    /// What the store finds the key by.
    pub fn hash(&self) -> KeyHash {
        Sha256::digest(&self.0).into()
    }

    /// The first characters, which do not give the key away.
    pub fn hint(&self) -> &str {
        &self.0[..HINT_CHARS]
    }

    /// The key itself, for its owner alone.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(…)")
    }
}

/// The CRC-32 (IEEE 802.3) of a text in base 62, with leading zeros.
fn checksum(random: &str) -> String {
    let mut rest = u64::from(crc32fast::hash(random.as_bytes()));
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        let place = usize::try_from(rest % 62).expect("is below 62");
        *digit = DIGITS[place];
        rest /= 62;
    }
    digits.map(char::from).iter().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::{ApiKey, DIGITS, PREFIX, checksum};

    fn key() -> ApiKey {
        ApiKey::generate().expect("has random numbers")
    }

    #[test]
    fn a_key_has_the_documented_form_and_is_read_back() {
        let text = key().expose().to_owned();
        assert_eq!((text.len(), &text[..4]), (42, "tbx_"));
        assert_eq!(ApiKey::parse(&text).expect("a key").expose(), text);
        assert_eq!(key().hint().len(), 8);
    }

    /// The CRC-32 of "123456789" is 0xCBF43926: the check value of CRC-32/ISO-HDLC.
    #[test]
    fn the_checksum_is_the_one_that_other_programs_compute() {
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
        let digits: u64 = checksum("123456789").bytes().fold(0, |sum, digit| {
            let place = DIGITS.iter().position(|it| *it == digit);
            sum * 62 + place.expect("a digit") as u64
        });
        assert_eq!(digits, 0xCBF4_3926);
    }

    #[test]
    fn keys_do_not_repeat_and_use_every_digit_about_equally_often() {
        let keys: HashSet<String> = (0..4_000).map(|_| key().expose().to_owned()).collect();
        assert_eq!(keys.len(), 4_000);
        let mut counts = [0_u32; 62];
        for digit in keys.iter().flat_map(|key| key[4..36].bytes()) {
            let place = DIGITS.iter().position(|it| *it == digit);
            counts[place.expect("a digit")] += 1;
        }
        // 128,000 digits: 2,064 of each, and a standard deviation of 45.
        assert!(
            counts.iter().all(|count| (1_700..2_450).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn what_is_logged_of_a_key_shows_nothing_of_it() {
        assert_eq!(format!("{:?}", key()), "ApiKey(…)");
    }

    #[test]
    fn a_key_is_found_in_the_middle_of_a_text() {
        let key = key();
        let text = format!("a=tbx_&key={}&b=1", key.expose());
        assert!(ApiKey::is_in(&text) && ApiKey::is_in(key.expose()));
        assert!(
            !ApiKey::is_in("q=tbx_") && !ApiKey::is_in("q=tbx_ключ ключ ключ ключ ключ ключ ключ")
        );
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text in any::<String>()) {
            let read = ApiKey::parse(&text);
            prop_assert!(read.is_none());
            ApiKey::is_in(&format!("{PREFIX}{text}"));
        }

        #[test]
        fn one_changed_character_makes_it_no_key(place in 0_usize..42, to in 0_usize..62) {
            let key = key();
            let mut text = key.expose().as_bytes().to_vec();
            let changed = text[place] != DIGITS[to];
            text[place] = DIGITS[to];
            let text = String::from_utf8(text).expect("is ASCII");
            prop_assert_eq!(ApiKey::parse(&text).is_none(), changed);
        }
    }
}
