//! Whether a carrier answers about the number that was asked for.
//!
//! Carriers give a number back in capitals, without blanks, or as a JSON number, which has no zeros at its beginning.

use serde_json::Value;

use crate::carriers::Verdict;
use crate::carriers::reading::complaint::words_of_error;
use crate::model::TrackNumber;
use crate::model::number::fold;

/// A number as a carrier's answer names it.
#[derive(Clone)]
pub enum Told {
    /// Without blanks and in capitals.
    Text(String),
    /// A JSON number's digits.
    Digits(String),
}

impl Told {
    /// The number that a field names; `None` if it names none, or not all its digits.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Some(fold(text))
                .filter(|text| !text.is_empty())
                .map(Self::Text),
            Value::Number(number) => number.as_u64().map(|it| Self::Digits(it.to_string())),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Whether it is this number, which is folded.
    pub fn is(&self, folded: &str) -> bool {
        match self {
            Self::Text(text) => text == folded,
            Self::Digits(digits) => digits == folded || digits == folded.trim_start_matches('0'),
        }
    }
}

/// A failure, if an answer names numbers and none of them is the one that was `asked` for. `key` is the account's.
pub fn another(asked: &TrackNumber, named: &[&Value], key: &str) -> Option<Verdict> {
    let asked = fold(asked.as_str());
    let mut told = named.iter().filter_map(|it| Some((it, Told::of(it)?)));
    let first = told.next()?;
    if first.1.is(&asked) || told.any(|(_, told)| told.is(&asked)) {
        return None;
    }
    let number = match first.0 {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let number = words_of_error(&number, key);
    let number = number.map_or_else(String::new, |number| format!(", {number}"));
    Some(Verdict::Failed {
        reason: format!("the carrier's answer is about another number{number}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::another;
    use crate::carriers::Verdict;
    use crate::model::TrackNumber;

    fn said(asked: &str, named: &[Value]) -> Option<String> {
        let asked = TrackNumber::parse(asked).expect("is a number");
        let named: Vec<&Value> = named.iter().collect();
        match another(&asked, &named, "k3y")? {
            Verdict::Failed { reason } => Some(reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_same_number_may_come_back_in_another_spelling() {
        for (asked, named) in [
            ("rb123456789ru", json!("RB123456789RU")),
            ("RB 123 456 789 RU", json!("RB123456789RU")),
            ("RB123456789RU", json!(" rb123456789ru\n")),
            ("80085912345678", json!(80_085_912_345_678_u64)),
            ("0012345", json!(12_345)),
            ("N1", json!(null)),
            ("N1", json!("")),
            ("N1", json!(["N2"])),
            ("123456789012345678901234", json!(1.2345678901234568e23)),
        ] {
            assert_eq!(
                said(asked, std::slice::from_ref(&named)),
                None,
                "{asked} {named}"
            );
        }
        assert_eq!(said("N1", &[json!("N2"), json!("n1")]), None);
    }

    #[test]
    fn another_number_is_told() {
        assert_eq!(
            said("N1", &[json!("N2")]).as_deref(),
            Some("the carrier's answer is about another number, N2")
        );
        for (asked, named) in [
            ("0012345", json!("12345")),
            ("N1", json!(1)),
            ("12345", json!(123_450)),
            ("N1", json!("k3y")),
        ] {
            let said = said(asked, &[named]).expect("is another");
            assert!(!said.contains("k3y"), "{said}");
        }
    }
}
