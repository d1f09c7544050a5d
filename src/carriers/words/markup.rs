//! Texts that were made for a web page: without their tags, and with characters for their entities.

use std::borrow::Cow;

/// The longest name of an entity: `&thinsp;` and `&#1114111;` have as many characters.
const NAME_CHARS_MAX: usize = 8;

/// `text` without markup. A tag and a named entity are blank space; an entity with a number is its character.
pub fn without_markup(text: &str) -> Cow<'_, str> {
    if !text.contains(['<', '&']) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['<', '&']) {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let (read, character) = tag(rest).or_else(|| entity(rest)).unwrap_or((1, None));
        plain.push(character.unwrap_or(' '));
        rest = &rest[read..];
    }
    plain.push_str(rest);
    Cow::Owned(plain)
}

/// The length of a tag at the beginning of `text`.
fn tag(text: &str) -> Option<(usize, Option<char>)> {
    let name = text.strip_prefix('<')?;
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let end = text.find('>').filter(|_| begins)?;
    Some((end + 1, None))
}

/// The length of an entity at the beginning of `text`, and its character if it has a number.
fn entity(text: &str) -> Option<(usize, Option<char>)> {
    let body = text.strip_prefix('&')?;
    let end = body.find(';').filter(|end| *end <= NAME_CHARS_MAX)?;
    let name = &body[..end];
    let character = match name.strip_prefix('#') {
        Some(number) => {
            let code = match number.strip_prefix(['x', 'X']) {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            Some(char::from_u32(code)?)
        }
        None if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => None,
        None => return None,
    };
    Some((end + 2, character))
}

#[cfg(test)]
mod tests {
    use proptest::proptest;

    use super::without_markup;

    #[test]
    fn tags_and_entities_leave_the_words() {
        for (text, plain) in [
            ("Вручено", "Вручено"),
            ("<b>Вручено</b>&nbsp;адресату", " Вручено  адресату"),
            ("&quot;последней мили&quot;", " последней мили "),
            ("&#1042;ручено&#x20;", "Вручено "),
            ("a < b & c; d", "a   b   c; d"),
            ("<", " "),
            ("&", " "),
            ("&;", " ;"),
            ("&#99999999;", " #99999999;"),
        ] {
            assert_eq!(without_markup(text), plain, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text: String) {
            assert!(without_markup(&text).chars().count() <= text.chars().count());
        }
    }
}
