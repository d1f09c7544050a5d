//! What a carrier's words of an error are about: the account, the address that we call, or a number.
//!
//! "Not found" alone says nothing: a key, a domain or a page is not found as well. What is about the account stops all its
//! calls, so an error that names a number is left to that number; if every number has it, the pauses of the account notice.

use serde_json::Value;

use crate::carriers::reading::words::{
    KEY_REFUSED, NOT_SERVED, NOTHING_HERE, OF_NUMBER, PLAN_ENDED, Saying, UNKNOWN_NUMBER, USED_UP,
    WRONG_ADDRESS,
};
use crate::carriers::{Answer, CarrierError, FailureOf, Verdict};

/// The most characters of a carrier's own words that become part of an error.
pub const WORDS_CHARS_MAX: usize = 200;

/// The most bytes of a page that are searched for its title.
const TITLE_BYTES_MAX: usize = 4_096;

/// Where gateways, proxies and frameworks put the words of an error.
const FOREIGN_FIELDS: &[&str] = &[
    "message", "error", "detail", "title", "msg", "errors", "fault",
];

/// Words in the form in which the tables name them: small letters, one blank before, between and after.
struct Spaced(String);

impl Spaced {
    fn of(said: &str) -> Self {
        let mut spaced = String::from(" ");
        let mut was_small = false;
        for c in said.chars() {
            // Two words that are written as one: apiKey.
            if was_small && c.is_uppercase() {
                spaced.push(' ');
            }
            was_small = c.is_lowercase();
            if c.is_alphanumeric() {
                spaced.extend(c.to_lowercase().map(|c| if c == 'ё' { 'е' } else { c }));
            } else if !spaced.ends_with(' ') {
                spaced.push(' ');
            }
        }
        spaced.push(' ');
        Self(spaced)
    }

    fn has_one(&self, parts: &[&str]) -> bool {
        let has = |part: &&str| self.0.contains(&format!(" {part}"));
        parts.iter().any(has)
    }

    fn says(&self, sayings: &[Saying]) -> bool {
        let says = |it: &Saying| self.has_one(it.of) && self.has_one(it.says);
        sayings.iter().any(says)
    }
}

/// Whether words are about a number. The path of a URL may hold a number and words of its own.
fn is_of_number(said: &str) -> bool {
    !said.contains('/') && Spaced::of(said).has_one(OF_NUMBER)
}

/// Whether words say that the carrier does not know the number, as aggregators write it.
pub fn says_unknown_number(said: &str) -> bool {
    is_of_number(said) && Spaced::of(said).says(UNKNOWN_NUMBER)
}

/// The error that a carrier's words are if they are about the account or the address.
fn failure_of_account(status: u16, said: &str, key: &str) -> Option<CarrierError> {
    let spaced = Spaced::of(said);
    let words =
        || words_of_error(said, key).unwrap_or_else(|| "in words not shown here".to_owned());
    if spaced.says(USED_UP) {
        return Some(CarrierError::UsedUp { said: words() });
    }
    if spaced.says(KEY_REFUSED) {
        return Some(CarrierError::KeyRefused { said: words() });
    }
    let of_number = is_of_number(said);
    if spaced.says(PLAN_ENDED) || (!of_number && spaced.says(NOT_SERVED)) {
        return Some(CarrierError::NotServed { said: words() });
    }
    (!of_number && spaced.says(WRONG_ADDRESS)).then(|| CarrierError::Foreign {
        status,
        said: words_of_error(said, key),
    })
}

/// The words of an error in the first of these fields that has any; in a list, the first ones.
pub fn said<'a>(body: &'a Value, fields: &[&str]) -> Option<&'a str> {
    fields.iter().find_map(|field| words_in(&body[*field]))
}

/// The words of an error in a field: its text, of a list the first one, of an object its message.
pub fn words_in(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text.as_str()).filter(|text| !text.trim().is_empty()),
        Value::Array(members) => members.iter().find_map(Value::as_str),
        Value::Object(_) => value["message"].as_str(),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

/// What the words of an error inside a successful answer are: of a number that the carrier does not know, if
/// `is_unknown` says so, else a failed check of that number, in these words if they can be repeated.
///
/// # Errors
/// The error of the account, if the words are about that.
pub fn complaint(
    said: &str,
    key: &str,
    is_unknown: impl Fn(&str) -> bool,
) -> Result<Verdict, CarrierError> {
    if let Some(error) = failure_of_account(200, said, key) {
        return Err(error);
    }
    if is_unknown(said) {
        return Ok(Verdict::NotFoundYet);
    }
    if NOTHING_HERE.contains(&said.trim().to_lowercase().as_str()) {
        let said = words_of_error(said, key);
        return Err(CarrierError::Foreign { status: 200, said });
    }
    let reason = match words_of_error(said, key) {
        Some(words) => format!("the carrier says: {words}"),
        None => "the carrier reports an error without saying which".to_owned(),
    };
    Ok(Verdict::Failed { reason })
}

/// The error for a successful answer that is not in the carrier's form: a gateway's, if it has words of an error.
/// `what` says what is missing.
pub fn not_in_form(body: &Value, key: &str, what: &str) -> CarrierError {
    match said(body, FOREIGN_FIELDS).or_else(|| body.as_str()) {
        Some(said) => failure_of_account(200, said, key).unwrap_or_else(|| CarrierError::Foreign {
            status: 200,
            said: words_of_error(said, key),
        }),
        None => CarrierError::Unreadable {
            reason: what.to_owned(),
        },
    }
}

/// The error of the account that a successful answer without any event has words for; `None` if it has none.
pub fn beside_no_events(body: &Value, key: &str) -> Option<CarrierError> {
    let said = [body, &body["data"]].map(|it| said(it, FOREIGN_FIELDS));
    let mut errors = said.into_iter().flatten();
    errors.find_map(|said| failure_of_account(200, said, key))
}

/// What an answer with a status other than success says of a number. `body` is its JSON, `own` are the carrier's own words
/// in it, and `is_unknown` knows the ones that it documents for an unknown number.
///
/// # Errors
/// If the words are not about an unknown number: a "not found" in other words is about our address.
pub fn refused(
    status: u16,
    body: &Result<Value, CarrierError>,
    own: Option<&str>,
    key: &str,
    is_unknown: impl Fn(&str) -> bool,
) -> Result<Verdict, CarrierError> {
    let foreign = || body.as_ref().ok().and_then(|it| said(it, FOREIGN_FIELDS));
    let words = own.or_else(foreign);
    match status {
        429 => {
            return Err(CarrierError::RateLimited {
                status,
                retry_after: None,
            });
        }
        500..=599 => return Err(CarrierError::Status { status }),
        _ => {}
    }
    let in_plain_text = body.as_ref().err().filter(|error| {
        let is_of_account = error.failure_of() == FailureOf::Account;
        is_of_account && !matches!(error, CarrierError::Foreign { .. })
    });
    let of_account = words.and_then(|said| failure_of_account(status, said, key));
    if let Some(error) = of_account.or_else(|| in_plain_text.cloned()) {
        return Err(error);
    }
    if let (400 | 404 | 410 | 422, Some(said)) = (status, own)
        && is_unknown(said)
    {
        return Ok(Verdict::NotFoundYet);
    }
    let shown = match body {
        Err(CarrierError::Foreign { said, .. }) => said.clone(),
        _ => words.and_then(|words| words_of_error(words, key)),
    };
    let is_address = |said: &str| matches!(status, 404 | 405) && !is_of_number(said);
    Err(match (status, own) {
        (401..=403, _) => CarrierError::Unauthorized {
            status,
            said: shown,
        },
        (400..=499, Some(own)) if !is_address(own) => CarrierError::Refused {
            status,
            said: shown.unwrap_or_else(|| "an error in words that are not shown".to_owned()),
        },
        _ => CarrierError::Foreign {
            status,
            said: shown,
        },
    })
}

/// The error for an answer that is no JSON but a page or a short text of its own; `None` if it may be broken JSON.
///
/// PHP writes its warnings before the JSON, with a line break first: such an answer is broken.
pub fn no_json(answer: &Answer, key: &str) -> Option<CarrierError> {
    let begin = &answer.body[..answer.body.len().min(TITLE_BYTES_MAX)];
    let begin = String::from_utf8_lossy(begin);
    let text = begin.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let status = answer.status;
    if text.starts_with('<') && !text.starts_with("<br") {
        let page = "a page instead of JSON";
        let title = title(text).and_then(|title| words_of_error(title, key));
        let said = title.map_or_else(|| page.to_owned(), |title| format!("{page}, {title}"));
        return Some(CarrierError::Foreign {
            status,
            said: Some(said),
        });
    }
    let is_text = !text.starts_with(['{', '[', '<']) && answer.body.len() <= WORDS_CHARS_MAX * 4;
    let error = || failure_of_account(status, text, key);
    is_text.then(error).flatten()
}

/// The title of a page.
fn title(page: &str) -> Option<&str> {
    // As long as the page itself.
    let lower = page.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let start = tag + lower[tag..].find('>')? + 1;
    let end = start + lower[start..].find("</title")?;
    Some(&page[start..end])
}

/// A carrier's error message on one line; `None` if it is empty or too long, or holds `key`.
pub fn words_of_error(text: &str, key: &str) -> Option<String> {
    let line = one_line(text);
    let is_short = !line.is_empty() && line.chars().count() <= WORDS_CHARS_MAX;
    (is_short && !holds(&line, key)).then_some(line)
}

/// A text on one line, with single blanks.
pub fn one_line(text: &str) -> String {
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    let words: Vec<&str> = text.split(is_blank).filter(|it| !it.is_empty()).collect();
    words.join(" ")
}

/// Whether a text holds one of the account's secrets, as it is or as a URL has it. `key` has one a line.
pub fn holds(text: &str, key: &str) -> bool {
    let mut keys = key.lines().filter(|key| !key.is_empty());
    keys.any(|key| {
        let in_url: String = url::form_urlencoded::byte_serialize(key.as_bytes()).collect();
        text.contains(key) || text.contains(&in_url)
    })
}

#[cfg(test)]
mod tests;
