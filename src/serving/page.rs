//! `limit` and `offset` in a query, read generously: an empty or negative number is as good as none.

use crate::serving::problem::FieldError;

/// Reads a query parameter as a whole number; `None` where it is absent, empty or negative.
///
/// A number beyond 64 bits counts as the largest.
///
/// # Errors
/// Names the parameter where it holds no whole number.
pub fn number(name: &str, text: Option<&str>) -> Result<Option<u64>, FieldError> {
    let text = text.unwrap_or_default();
    if text.is_empty() {
        return Ok(None);
    }
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(FieldError::parameter(
            name,
            format!("{name} must be a whole number"),
        ));
    }
    Ok((!negative).then(|| digits.parse().unwrap_or(u64::MAX)))
}

/// A limit: `default` where it is absent, empty, negative or 0, at most `max`.
///
/// # Errors
/// As [`number`].
pub fn limit(text: Option<&str>, default: u32, max: u32) -> Result<u32, FieldError> {
    let limit = number("limit", text)?.filter(|limit| *limit > 0);
    Ok(limit.map_or(default, |limit| {
        u32::try_from(limit).unwrap_or(max).min(max)
    }))
}

#[cfg(test)]
mod tests {
    use super::{limit, number};

    #[test]
    fn a_limit_is_read_as_the_contract_says() {
        let cases = [
            (None, 100),
            (Some(""), 100),
            (Some("0"), 100),
            (Some("-5"), 100),
            (Some("1"), 1),
            (Some("500"), 500),
            (Some("501"), 500),
            (Some("99999999999999999999999999"), 500),
            (Some("-99999999999999999999999"), 100),
        ];
        for (text, expected) in cases {
            assert_eq!(limit(text, 100, 500), Ok(expected), "{text:?}");
        }
        for text in ["ten", "1.5", "1e2", "-", " 1", "0x10"] {
            let error = limit(Some(text), 100, 500).expect_err(text);
            assert_eq!(error.parameter.as_deref(), Some("limit"));
        }
    }

    #[test]
    fn an_absurd_offset_is_the_largest() {
        assert_eq!(
            number("offset", Some("99999999999999999999")),
            Ok(Some(u64::MAX))
        );
        assert_eq!(number("offset", Some("-1")), Ok(None));
    }
}
