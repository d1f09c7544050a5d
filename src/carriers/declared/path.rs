//! Where something stands in an answer: names and places, such as `data.events[0].code`.
//!
//! `[*]` is every member of a list, `[-1]` its last. A name asked of a list is asked of its first member, and `[*]` of
//! what is no list is the thing itself, so that one path reads an element that comes once or several times.
//!
//! Not RFC 9535: its filters, regular expressions and descents would let a file of a stranger do any amount of work.

use std::str::FromStr;

use serde_json::Value;

use crate::carriers::reading;
use crate::model::clean_text;

/// The most steps of a path.
const STEPS_MAX: usize = 32;

/// A path that was read from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    steps: Vec<Step>,
    /// As it was written.
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Name(String),
    At(usize),
    Last,
    Each,
}

impl Path {
    /// Everything that stands here, in the answer's order.
    pub fn all<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        self.steps.iter().fold(vec![value], |values, step| {
            values
                .into_iter()
                .flat_map(|value| step.of(value))
                .collect()
        })
    }

    /// The first thing that stands here and is not null.
    pub fn first<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        let mut all = self.all(value).into_iter();
        all.find(|value| !value.is_null())
    }

    /// The members of the list that stands here, or of several lists; `None` if nothing does.
    ///
    /// # Errors
    /// If something else than a list stands here.
    pub fn members<'a>(&self, value: &'a Value) -> Option<Result<Vec<&'a Value>, NoList>> {
        let found = self.all(value);
        if found.is_empty() {
            return None;
        }
        if self.steps.last() == Some(&Step::Each) {
            return Some(Ok(found));
        }
        let lists = found.into_iter().map(reading::list);
        let lists: Option<Vec<Vec<&Value>>> = lists.collect();
        Some(lists.map(|lists| lists.concat()).ok_or(NoList))
    }

    /// The text that stands here, without blanks around it; empty if there is none.
    pub fn text(&self, value: &Value) -> String {
        let text = self.first(value).and_then(text_of).unwrap_or_default();
        text.trim().to_owned()
    }

    /// The last name, for an error.
    pub fn name(&self) -> &str {
        let mut steps = self.steps.iter().rev();
        let name = steps.find_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::At(_) | Step::Last | Step::Each => None,
        });
        name.unwrap_or(&self.text)
    }

    /// The names on the way, from the outside to the inside.
    pub fn names(&self) -> Vec<&str> {
        let names = self.steps.iter().filter_map(|step| match step {
            Step::Name(name) => Some(name.as_str()),
            Step::At(_) | Step::Last | Step::Each => None,
        });
        names.collect()
    }

    /// A copy of the answer in which the list that stands here has only the members that `keep` wants.
    pub fn keeping(&self, value: &Value, keep: &impl Fn(&Value) -> bool) -> Value {
        keeping(&self.steps, value, keep)
    }

    /// The path to what holds the last name; `None` if that is the whole answer.
    pub fn holder(&self) -> Option<Self> {
        let is_name = |step: &Step| matches!(step, Step::Name(_));
        let steps = &self.steps[..self.steps.iter().rposition(is_name)?];
        (!steps.is_empty()).then(|| Self {
            steps: steps.to_vec(),
            text: self.text.clone(),
        })
    }
}

/// A copy of what stands at the beginning of `steps`, without the unwanted members of the list at their end.
fn keeping(steps: &[Step], value: &Value, keep: &impl Fn(&Value) -> bool) -> Value {
    let wanted = |members: &[Value]| members.iter().filter(|it| keep(it)).cloned().collect();
    let Some((step, rest)) = steps.split_first() else {
        return match value {
            Value::Array(members) => Value::Array(wanted(members)),
            // A list as PHP writes one that lost members.
            Value::Object(members) => {
                let kept = members.iter().filter(|(_, it)| keep(it));
                Value::Object(kept.map(|(key, it)| (key.clone(), it.clone())).collect())
            }
            other => other.clone(),
        };
    };
    match (step, value) {
        (Step::Each, Value::Array(members)) if rest.is_empty() => Value::Array(wanted(members)),
        (Step::Each, Value::Array(members)) => {
            let members = members.iter().map(|it| keeping(rest, it, keep));
            Value::Array(members.collect())
        }
        (Step::Each, one) if rest.is_empty() => match keep(one) {
            true => one.clone(),
            false => Value::Null,
        },
        (Step::Each, one) => keeping(rest, one, keep),
        (Step::Name(name), Value::Object(fields)) => {
            let field = |(key, it): (&String, &Value)| {
                let it = match key == name {
                    true => keeping(rest, it, keep),
                    false => it.clone(),
                };
                (key.clone(), it)
            };
            Value::Object(fields.iter().map(field).collect())
        }
        (step, Value::Array(members)) => {
            // A name is asked of the first member.
            let (place, steps) = match step {
                Step::At(place) => (*place, rest),
                Step::Last => (members.len().saturating_sub(1), rest),
                Step::Name(_) | Step::Each => (0, steps),
            };
            let member = |(nth, it): (usize, &Value)| match (nth == place, step) {
                (true, Step::Name(_)) if it.is_array() => it.clone(),
                (true, _) => keeping(steps, it, keep),
                (false, _) => it.clone(),
            };
            Value::Array(members.iter().enumerate().map(member).collect())
        }
        (Step::Name(_) | Step::At(_) | Step::Last, other) => other.clone(),
    }
}

/// Instead of a list there is something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoList;

impl Step {
    fn of<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let members = value.as_array();
        match self {
            Self::Each => members.map_or_else(|| vec![value], |members| members.iter().collect()),
            Self::At(place) => members.and_then(|it| it.get(*place)).into_iter().collect(),
            Self::Last => members.and_then(|it| it.last()).into_iter().collect(),
            Self::Name(name) => {
                let holder = members.map_or(Some(value), |members| members.first());
                holder.and_then(|it| it.get(name)).into_iter().collect()
            }
        }
    }
}

/// The text of a value: a number's digits, `true` and `false`, and of an XML element with attributes its text. `None` if
/// it is of another type.
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(clean_text(text)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Object(fields) => fields.get("#").and_then(Value::as_str).map(clean_text),
        Value::Null | Value::Array(_) => None,
    }
}

/// The first text that any of these paths leads to; empty if none does.
pub fn first_text(paths: &[Path], value: &Value) -> String {
    let texts = paths.iter().map(|path| path.text(value));
    texts
        .into_iter()
        .find(|text| !text.is_empty())
        .unwrap_or_default()
}

impl FromStr for Path {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| format!("{what}; write names and places, such as data.events[0]");
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (name, places) = part.split_at(part.find('[').unwrap_or(part.len()));
            if name.is_empty() && (!steps.is_empty() || places.is_empty()) {
                return Err(wrong("it has an empty name"));
            }
            if !name.is_empty() {
                steps.push(Step::Name(name.to_owned()));
            }
            let mut rest = places;
            while let Some(inner) = rest.strip_prefix('[') {
                let (place, after) = inner
                    .split_once(']')
                    .ok_or_else(|| wrong("it has a [ without its ]"))?;
                steps.push(match place {
                    "*" => Step::Each,
                    "-1" => Step::Last,
                    _ => Step::At(place.parse().map_err(|_| {
                        wrong("between [ and ] it has neither a number, nor -1, nor *")
                    })?),
                });
                rest = after;
            }
            if !rest.is_empty() {
                return Err(wrong("it goes on behind a ] without a dot"));
            }
        }
        if steps.len() > STEPS_MAX {
            return Err(format!("it has more than {STEPS_MAX} steps"));
        }
        Ok(Self {
            steps,
            text: text.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};
    use serde_json::{Value, json};

    use super::Path;
    use crate::carriers::fixture::json_like;

    fn all(path: &str, value: &Value) -> Vec<String> {
        let path: Path = path.parse().expect("is a path");
        path.all(value).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_path_leads_through_names_places_and_members() {
        let value = json!({"a": [{"b": 1}, {"b": 2}], "c": {"b": 3}, "n": null});
        assert_eq!(all("a[*].b", &value), ["1", "2"]);
        assert_eq!(all("a[-1].b", &value), ["2"]);
        assert_eq!(all("a[1].b", &value), ["2"]);
        assert_eq!(all("a.b", &value), ["1"]);
        assert_eq!(all("c[*].b", &value), ["3"]);
        assert_eq!(all("[*].b", &value["a"]), ["1", "2"]);
        assert_eq!(all("n", &value), ["null"]);
        for nothing in ["n.x", "a[7]", "c.b.x", "x.y[*]"] {
            assert!(all(nothing, &value).is_empty(), "{nothing}");
        }
    }

    #[test]
    fn an_answer_is_copied_without_the_unwanted_members_of_a_list() {
        let value =
            json!({"x": 1, "a": {"b": [{"n": 1}, {"n": 2}]}, "p": {"0": {"n": 1}, "7": {"n": 2}}});
        let second = |it: &Value| it["n"] == 2;
        let kept = |path: &str, value: &Value| {
            path.parse::<Path>()
                .expect("is a path")
                .keeping(value, &second)
        };
        for path in ["a.b", "a.b[*]"] {
            let expected = json!([{"n": 2}]);
            let kept = kept(path, &value);
            assert_eq!((&kept["a"]["b"], &kept["x"]), (&expected, &json!(1)));
        }
        assert_eq!(kept("p", &value)["p"], json!({"7": {"n": 2}}));
        let lists = json!([{"b": [{"n": 1}]}, {"b": [{"n": 2}]}]);
        assert_eq!(kept("[*].b", &lists), json!([{"b": []}, {"b": [{"n": 2}]}]));
        assert_eq!(kept("[-1].b", &lists), lists);
        assert_eq!(kept("b", &lists), json!([{"b": []}, {"b": [{"n": 2}]}]));
        assert_eq!(kept("no.such", &value), value);
    }

    #[test]
    fn the_name_and_the_holder_of_a_path_are_told() {
        let path: Path = "a.b[*].c[0]".parse().expect("is a path");
        assert_eq!(path.name(), "c");
        for path in ["a.b", "a.b[*]"] {
            let path: Path = path.parse().expect("is a path");
            assert_eq!(path.holder().as_ref().map(Path::name), Some("a"));
        }
        let path: Path = "a[*]".parse().expect("is a path");
        assert_eq!(path.holder(), None);
    }

    #[test]
    fn a_wrong_path_is_refused() {
        for wrong in ["", "a..b", "a[", "a[x]", "a[0]b", ".a", "a."] {
            assert!(wrong.parse::<Path>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_path_is_read_or_refused_and_walked(
            text in "[ab.\\[\\]*0-9-]{0,20}",
            junk in any::<String>(),
            body in json_like(vec!["a".to_owned(), "b".to_owned()]),
        ) {
            let value: Value = serde_json::from_slice(&body).expect("is JSON");
            for text in [text, junk] {
                if let Ok(path) = text.parse::<Path>() {
                    path.all(&value);
                    path.text(&value);
                    assert_eq!(path.keeping(&value, &|_| true), value);
                    path.keeping(&value, &|_| false);
                    assert!(!path.name().is_empty());
                }
            }
        }
    }
}
