//! Conditions on an answer, or on a part of it.
//!
//! All that a condition names must hold; of a list of conditions one. Texts are compared without blanks around them, in any
//! case and with "е" for "ё", unless it says `exact`.

use serde_json::Value;

use crate::carriers::declared::path::{Path, text_of};
use crate::carriers::declared::toml::Section;

/// How deep `and` may lie in each other.
const DEPTH_MAX: usize = 4;

/// What conditions are about.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    /// The answer's status.
    pub http: u16,
    pub value: &'a Value,
    /// The words of an error in it.
    pub words: Option<&'a str>,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    http: Vec<u16>,
    /// What the tests are about; without one, the words of the error.
    path: Option<Path>,
    tests: Vec<Test>,
    exact: bool,
    and: Vec<Condition>,
    /// Where the carrier's own words for it stand.
    pub says: Option<Path>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    /// A text, but none of these.
    NotIn(Vec<String>),
    Starts(Vec<String>),
    Contains(Vec<String>),
    /// It is there, and not empty.
    Exists(bool),
    /// It is there, and a text: no number, no list.
    IsText(bool),
}

impl Condition {
    /// The conditions of a key: one table, or a list of them.
    pub fn list(section: &Section<'_>, key: &'static str) -> Vec<Self> {
        Self::list_in(section, key, 0)
    }

    fn list_in(section: &Section<'_>, key: &'static str, depth: usize) -> Vec<Self> {
        let tables = section.sections(key);
        if depth > DEPTH_MAX {
            section.wrong(key, "lies too deep", "write it flatter");
            return Vec::new();
        }
        tables.iter().map(|it| Self::read(it, depth)).collect()
    }

    fn read(section: &Section<'_>, depth: usize) -> Self {
        let exact = section.flag("exact").unwrap_or(false);
        let texts = |key| {
            let texts = section.texts(key).into_iter();
            let texts: Vec<String> = texts.map(|(text, _)| folded(&text, exact)).collect();
            (!texts.is_empty()).then_some(texts)
        };
        let tests = [
            texts("is").map(Test::In),
            texts("is_not").map(Test::NotIn),
            texts("starts").map(Test::Starts),
            texts("contains").map(Test::Contains),
            section.flag("exists").map(Test::Exists),
            section.flag("is_text").map(Test::IsText),
        ];
        let status = |text: &str| {
            let status = text.parse().ok().filter(|it| (100..600).contains(it));
            status.ok_or_else(|| "no HTTP status".to_owned())
        };
        let condition = Self {
            http: section.read_all("http", status),
            path: section.read("path", str::parse),
            tests: tests.into_iter().flatten().collect(),
            exact,
            and: Self::list_in(section, "and", depth + 1),
            says: section.read("says", str::parse),
        };
        if condition.http.is_empty() && condition.tests.is_empty() {
            let advice = "name one of http, is, is_not, starts, contains, exists, is_text";
            section.wrong("path", "says nothing that must hold", advice);
        }
        section.done();
        condition
    }

    /// Whether it names nothing but the status.
    pub fn is_of_status_alone(&self) -> bool {
        self.tests.is_empty() && self.and.iter().all(Self::is_of_status_alone)
    }

    /// The name of what it is about.
    pub fn name(&self) -> Option<&str> {
        self.path.as_ref().map(Path::name)
    }

    pub fn holds(&self, subject: Subject<'_>) -> bool {
        let text = || match &self.path {
            Some(path) => path.first(subject.value).and_then(text_of),
            None => subject.words.map(str::to_owned),
        };
        (self.http.is_empty() || self.http.contains(&subject.http))
            && (self.tests.is_empty() || {
                let text = text();
                self.tests
                    .iter()
                    .all(|test| self.passes(test, subject, text.as_deref()))
            })
            && self.and.iter().all(|other| other.holds(subject))
    }

    fn passes(&self, test: &Test, subject: Subject<'_>, text: Option<&str>) -> bool {
        let text = text.map(|text| folded(text, self.exact));
        let any = |texts: &[String], fits: fn(&str, &str) -> bool| {
            let text = text.as_deref();
            text.is_some_and(|text| texts.iter().any(|one| fits(text, one)))
        };
        match test {
            Test::In(texts) => any(texts, |text, one| text == one),
            Test::NotIn(texts) => text.is_some() && !any(texts, |text, one| text == one),
            Test::Starts(texts) => any(texts, |text, one| text.starts_with(one)),
            Test::Contains(texts) => any(texts, |text, one| text.contains(one)),
            Test::Exists(wanted) => {
                let value = self
                    .path
                    .as_ref()
                    .and_then(|path| path.first(subject.value));
                let is_there = match (&self.path, value) {
                    (None, _) => subject.words.is_some(),
                    (Some(_), value) => value.is_some_and(is_something),
                };
                is_there == *wanted
            }
            Test::IsText(wanted) => {
                let value = self
                    .path
                    .as_ref()
                    .and_then(|path| path.first(subject.value));
                value.is_some_and(|value| value.is_string() == *wanted)
            }
        }
    }
}

/// The first of these conditions that holds.
pub fn first<'a>(conditions: &'a [Condition], subject: Subject<'_>) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.holds(subject))
}

pub fn any(conditions: &[Condition], subject: Subject<'_>) -> bool {
    first(conditions, subject).is_some()
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.trim().is_empty(),
        Value::Array(members) => !members.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn folded(text: &str, exact: bool) -> String {
    let text = text.trim();
    match exact {
        true => text.to_owned(),
        false => text.to_lowercase().replace('ё', "е"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Condition, Subject, any};
    use crate::carriers::declared::toml::read;

    fn holds(conditions: &str, http: u16, value: &Value) -> bool {
        let conditions = read("a file", &format!("it = {conditions}"), |root| {
            Some(Condition::list(root, "it"))
        });
        let words = value["words"].as_str();
        any(
            &conditions.expect("is right"),
            Subject { http, value, words },
        )
    }

    #[test]
    fn everything_of_a_condition_must_hold_and_one_of_a_list() {
        let value =
            json!({"a": "Not Found", "n": 7, "t": true, "e": "", "words": "no such number"});
        for (conditions, expected) in [
            ("{ path = 'a', is = 'not found' }", true),
            ("{ path = 'a', is = 'not found', exact = true }", false),
            ("{ path = 'a', is = 'not found', http = 404 }", true),
            ("{ path = 'a', is = 'not found', http = [400, 410] }", false),
            ("{ http = 404 }", true),
            ("[{ http = 400 }, { path = 'n', is = 7 }]", true),
            ("{ path = 'n', is = ['6', '7'] }", true),
            ("{ path = 't', is = true }", true),
            ("{ path = 't', is_not = ['false', 'no'] }", true),
            ("{ path = 'x', is_not = 'no' }", false),
            ("{ path = 'a', starts = 'not', contains = 'xx' }", false),
            ("{ path = 'e', exists = true }", false),
            (
                "{ path = 'x', exists = false, and = { path = 'n', exists = true } }",
                true,
            ),
            ("{ path = 'n', is_text = true }", false),
            ("{ contains = 'SUCH' }", true),
            ("[]", false),
        ] {
            assert_eq!(holds(conditions, 404, &value), expected, "{conditions}");
        }
    }

    #[test]
    fn a_condition_that_says_nothing_is_refused() {
        let refused = read("a file", "it = { path = 'a', eksists = true }", |root| {
            Some(Condition::list(root, "it"))
        });
        let mistakes = refused.expect_err("says nothing");
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        assert_eq!(mistakes.len(), 2, "{told:?}");
        assert!(told[1].contains("did you mean exists?"), "{told:?}");
    }
}
