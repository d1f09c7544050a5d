//! Texts with placeholders, such as `{number}`, which are escaped by the place that they stand in.
//!
//! A placeholder with `?` may be empty: the query field, form field or header that it stands in is then left out.

use crate::carriers::declared::xml;
use crate::carriers::subscription::Callback;
use crate::carriers::{Access, Asked, TOKEN_MARK};
use crate::config::keys::nearest;
use crate::model::extra::EXTRA_NAME_CHARS_MAX;

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Name {
    /// The number that is asked for; in a batch it stands in a member of a list, which is repeated.
    Number,
    /// All numbers, joined.
    Numbers,
    /// All numbers, each as `xml_each` writes it.
    Items,
    /// The carrier's code as the request for the tracking named it.
    Carrier,
    /// The carrier's own name for the ticket whose answer is asked for.
    Ticket,
    /// The address that the carrier is to push to, and what it is to prove its bodies with.
    PushUrl,
    PushKey,
    /// The account's token, filled in when the request is sent.
    Token,
    Key,
    User,
    Secret,
    Domain,
}

impl Name {
    /// The key of the section that holds it; `None` if it is about the number, its ticket or a subscription.
    pub fn key(self) -> Option<&'static str> {
        match self {
            Self::Number | Self::Numbers | Self::Items | Self::Carrier | Self::Ticket => None,
            Self::PushUrl | Self::PushKey | Self::Token => None,
            Self::Key => Some("api_key"),
            Self::User => Some("user"),
            Self::Secret => Some("secret"),
            Self::Domain => Some("domain"),
        }
    }
}

/// A text with placeholders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Value {
        name: Name,
        may_be_empty: bool,
    },
    /// What a shop told beside the number, by its name.
    Extra {
        name: String,
        may_be_empty: bool,
    },
}

/// What the placeholder of an extra begins with.
const EXTRA: &str = "extra.";

/// How values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Escape {
    /// What comes after does it: JSON, forms and queries.
    None,
    /// A segment of a path.
    Segment,
    Xml,
    /// No line may end in a header.
    Header,
}

/// What placeholders stand for in one request.
#[derive(Clone, Copy)]
pub struct Values<'a> {
    pub access: &'a Access,
    /// The number that `{number}` means.
    pub one: Option<&'a Asked>,
    pub all: &'a [Asked],
    /// Stands between the numbers of `{numbers}`.
    pub join: &'a str,
    /// What `{items}` means, escaped already.
    pub items: &'a str,
    /// What `{ticket}` means.
    pub ticket: &'a str,
    /// Where the carrier is to push, in a subscription.
    pub callback: Option<&'a Callback>,
}

impl Template {
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            parts.push(Part::Text(before.to_owned()));
            let (word, after) = after
                .split_once('}')
                .ok_or_else(|| "has a { without its }".to_owned())?;
            let (word, may_be_empty) = match word.strip_suffix('?') {
                Some(word) => (word, true),
                None => (word, false),
            };
            if let Some(name) = word.strip_prefix(EXTRA) {
                if !is_extra(name) {
                    return Err(format!(
                        "has the placeholder {{{word}}}, whose name is none: small letters, digits and _"
                    ));
                }
                parts.push(Part::Extra {
                    name: name.to_owned(),
                    may_be_empty,
                });
                rest = after;
                continue;
            }
            let names = <Name as strum::VariantArray>::VARIANTS;
            let name = names.iter().find(|name| <&str>::from(**name) == word);
            let name = *name.ok_or_else(|| unknown(word))?;
            parts.push(Part::Value { name, may_be_empty });
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self { parts })
    }

    /// The placeholders, and whether each may be empty.
    pub fn names(&self) -> impl Iterator<Item = (Name, bool)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Value { name, may_be_empty } => Some((*name, *may_be_empty)),
            Part::Text(_) | Part::Extra { .. } => None,
        })
    }

    /// The names of what shops tell beside the number, and whether each may be missing.
    pub fn extras(&self) -> impl Iterator<Item = (&str, bool)> {
        self.parts.iter().filter_map(|part| match part {
            Part::Extra { name, may_be_empty } => Some((name.as_str(), *may_be_empty)),
            Part::Text(_) | Part::Value { .. } => None,
        })
    }

    /// Whether it has a placeholder that may be empty.
    pub fn may_be_left_out(&self) -> bool {
        let names = self.names().map(|(_, may_be_empty)| may_be_empty);
        let extras = self.extras().map(|(_, may_be_empty)| may_be_empty);
        names.chain(extras).any(|may_be_empty| may_be_empty)
    }

    pub fn has(&self, wanted: Name) -> bool {
        self.names().any(|(name, _)| name == wanted)
    }

    /// The text, if it has no placeholder.
    pub fn plain(&self) -> Option<&str> {
        match &self.parts[..] {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The text with its values; `None` if one that may be empty is.
    pub fn filled(&self, values: &Values<'_>, escape: Escape) -> Option<String> {
        let mut filled = String::new();
        for part in &self.parts {
            let (value, may_be_empty) = match part {
                Part::Text(text) => {
                    filled.push_str(text);
                    continue;
                }
                Part::Value { name, may_be_empty } => (values.get(*name, escape), may_be_empty),
                Part::Extra { name, may_be_empty } => (values.told(name, escape), may_be_empty),
            };
            if value.is_empty() && *may_be_empty {
                return None;
            }
            filled.push_str(&value);
        }
        Some(filled)
    }
}

impl<'a> Values<'a> {
    /// Those of a request for these numbers.
    pub fn of(access: &'a Access, asked: &'a [Asked], join: &'a str) -> Self {
        Self {
            access,
            one: asked.first(),
            all: asked,
            join,
            items: "",
            ticket: "",
            callback: None,
        }
    }

    fn told(&self, name: &str, escape: Escape) -> String {
        let told = self.one.map_or("", |asked| asked.extra.get(name));
        written(told, escape)
    }

    fn get(&self, name: Name, escape: Escape) -> String {
        let one = |text: &str| written(text, escape);
        let of_number =
            |text: fn(&Asked) -> &str| self.one.map_or_else(String::new, |it| one(text(it)));
        match name {
            Name::Number => of_number(|asked| asked.number.as_str()),
            Name::Carrier => of_number(|asked| asked.carrier.as_str()),
            Name::Numbers => {
                let numbers = self.all.iter().map(|asked| one(asked.number.as_str()));
                numbers.collect::<Vec<String>>().join(self.join)
            }
            Name::Items => self.items.to_owned(),
            Name::Ticket => one(self.ticket),
            Name::PushUrl => self.callback.map_or_else(String::new, |it| one(&it.url)),
            Name::PushKey => self.callback.map_or_else(String::new, |it| one(&it.key)),
            Name::Token => TOKEN_MARK.to_owned(),
            Name::Key => one(&self.access.api_key),
            Name::User => one(&self.access.user),
            Name::Secret => one(&self.access.secret),
            Name::Domain => one(&self.access.domain),
        }
    }
}

/// Whether a text may be the name of what a shop tells beside a number.
pub fn is_extra(name: &str) -> bool {
    let of_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    (1..=EXTRA_NAME_CHARS_MAX).contains(&name.len()) && name.chars().all(of_name)
}

/// A value as it may stand in its place.
fn written(value: &str, escape: Escape) -> String {
    match escape {
        Escape::None => value.to_owned(),
        Escape::Segment => escaped(value),
        Escape::Header => value.chars().filter(|c| !c.is_control()).collect(),
        Escape::Xml => xml::escaped(value),
    }
}

/// A text as one segment of a URL's path. It is escaped, so no text can change the path.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut segment, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                segment.push(char::from(byte));
            }
            _ => segment.push_str(&format!("%{byte:02X}")),
        }
        segment
    })
}

fn unknown(word: &str) -> String {
    let names = <Name as strum::VariantArray>::VARIANTS;
    let names = names.iter().map(<&str>::from);
    let names: Vec<&str> = names.chain(["extra.postal_code"]).collect();
    let near = nearest(word, names.iter());
    let near = near.map_or_else(String::new, |near| format!("; did you mean {{{near}}}?"));
    format!(
        "has the placeholder {{{word}}}, which is none of {}{near}",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, proptest};

    use super::{Escape, Template, Values};
    use crate::carriers::{Asked, fixture};
    use crate::model::extra::Extra;
    use crate::model::{CarrierCode, TrackNumber};

    fn filled(text: &str, number: &str, escape: Escape) -> Option<String> {
        let access = fixture::access("https://api.example/");
        let carrier = CarrierCode::parse("CDEK").expect("a code");
        let number = TrackNumber::parse(number).expect("a number");
        let extra = Extra::read(Some(r#"{"postal_code":"SW1A 1AA"}"#)).expect("is one");
        let asked = [Asked {
            extra,
            ..Asked::of(carrier, number)
        }];
        let values = Values::of(&access, &asked, ",");
        Template::parse(text)
            .expect("is a template")
            .filled(&values, escape)
    }

    #[test]
    fn values_are_escaped_by_their_place() {
        let number = "a/b&<c>";
        for (escape, expected) in [
            (Escape::None, "[a/b&<c>]"),
            (Escape::Segment, "[a%2Fb%26%3Cc%3E]"),
            (Escape::Xml, "[a/b&amp;&lt;c&gt;]"),
            (Escape::Header, "[a/b&<c>]"),
        ] {
            assert_eq!(
                filled("[{number}]", number, escape).as_deref(),
                Some(expected)
            );
        }
        assert_eq!(
            filled("{key}.{domain}", "N1", Escape::None).as_deref(),
            Some("k3y.shop.example")
        );
        assert_eq!(
            filled("{extra.postal_code}", number, Escape::Segment).as_deref(),
            Some("SW1A%201AA")
        );
        assert_eq!(filled("{extra.country?}", number, Escape::None), None);
    }

    #[test]
    fn an_unknown_placeholder_is_told_with_the_nearest_one() {
        let wrong = Template::parse("a{nummber}").expect_err("is unknown");
        assert!(wrong.ends_with("did you mean {number}?"), "{wrong}");
        assert!(Template::parse("a{key").is_err());
        assert!(Template::parse("{extra.Postal}").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_a_template_or_refused(text in any::<String>()) {
            drop(Template::parse(&text));
        }
    }
}
