//! Mends what makes an answer no JSON although its meaning is plain: bytes that are not UTF-8, control characters that
//! stand raw in a text, and halves of surrogate pairs.

/// JSON in which strict readers find no such fault: what cannot be a character is U+FFFD, and what should have been
/// escaped is. Valid JSON keeps its meaning.
pub fn mended(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let mut mended = String::with_capacity(text.len());
    let mut rest = text.as_ref();
    let mut is_in_text = false;
    while let Some(c) = rest.chars().next() {
        let (taken, written) = match c {
            '\\' if is_in_text => escape(rest),
            _ if is_in_text && c.is_control() && c.is_ascii() => {
                mended.push_str(&format!("\\u{:04x}", u32::from(c)));
                (1, "")
            }
            _ => {
                is_in_text ^= c == '"';
                (c.len_utf8(), &rest[..c.len_utf8()])
            }
        };
        mended.push_str(written);
        rest = &rest[taken..];
    }
    mended
}

/// How many bytes the escape at the beginning takes, and how it is to be written.
fn escape(text: &str) -> (usize, &str) {
    let unit = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        u32::from_str_radix(digits, 16).ok().filter(|_| is_hex)
    };
    let is_low = |at| unit(at).is_some_and(|unit| (0xDC00..0xE000).contains(&unit));
    match unit(0) {
        Some(0xD800..0xDC00) if is_low(6) => (12, &text[..12]),
        Some(0xD800..0xE000) => (6, "\\ufffd"),
        Some(_) => (6, &text[..6]),
        None => {
            let next = text[1..].chars().next();
            let taken = 1 + next.filter(char::is_ascii).map_or(0, char::len_utf8);
            (taken, &text[..taken])
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};
    use serde_json::{Value, json};

    use super::mended;
    use crate::carriers::fixture::json_like;

    fn read(body: &[u8]) -> Option<Value> {
        serde_json::from_str(&mended(body)).ok()
    }

    #[test]
    fn what_cannot_be_a_character_is_replaced_and_the_rest_is_read() {
        for (body, text) in [
            (&br#"["a\ud800b"]"#[..], "a\u{fffd}b"),
            (br#"["\udc00\ud83d\ude00"]"#, "\u{fffd}\u{1f600}"),
            (br#"["\ud83d\ud83d\ude00"]"#, "\u{fffd}\u{1f600}"),
            (br#"["\\ud800"]"#, "\\ud800"),
            (b"[\"\xd0\x9f\xd1\"]", "\u{41f}\u{fffd}"),
            (b"[\"\xff\xfe\"]", "\u{fffd}\u{fffd}"),
            (b"[\"a\nb\tc\0\x1b\"]", "a\nb\tc\0\u{1b}"),
            (b"[\n\t\"\\\"\n\"]", "\"\n"),
        ] {
            assert_eq!(read(body), Some(json!([text])), "{text}");
        }
        for broken in [&b"[\"a"[..], b"[\"\\", b"[\"\\u12", b"\"\\\xff\""] {
            assert_eq!(read(broken), None);
        }
    }

    fn utf16_escapes() -> impl proptest::strategy::Strategy<Value = String> {
        use proptest::strategy::Strategy as _;
        let unit = proptest::prop_oneof![any::<u16>(), 0xd7f0_u16..0xe010];
        prop::collection::vec(unit, 0..8)
            .prop_map(|units| units.iter().map(|unit| format!("\\u{unit:04x}")).collect())
    }

    proptest! {
        #[test]
        fn any_bytes_are_mended(body in prop::collection::vec(any::<u8>(), 0..200)) {
            mended(&body);
        }

        #[test]
        fn valid_json_keeps_its_meaning(body in json_like(vec!["a".to_owned(), "\\\"\u{1f600}".to_owned()])) {
            let strict: Value = serde_json::from_slice(&body).expect("is valid");
            prop_assert_eq!(read(&body), Some(strict));
        }

        #[test]
        fn any_text_is_read_whatever_stands_in_it(raw in "[^\"\\\\]{0,20}", escapes in utf16_escapes()) {
            let body = format!("[\"{raw}\", \"{escapes}\", \"whole\"]");
            let read = read(body.as_bytes()).expect("is read");
            prop_assert_eq!(&read[0], &json!(raw));
            prop_assert!(read[2] == "whole");
            if let Ok(strict) = serde_json::from_str::<Value>(&format!("\"{escapes}\"")) {
                prop_assert_eq!(&read[1], &strict);
            }
        }
    }
}
