//! The body that a file describes.

use serde_json::{Map, Value};

use crate::carriers::declared::template::{Escape, Name, Template, Values};
use crate::carriers::declared::toml::Section;

/// How deep a JSON body may be.
const DEPTH_MAX: usize = 16;

/// What is sent behind the headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BodyRule {
    None,
    Json(JsonRule),
    Form(Vec<(String, Template)>),
    Xml {
        content_type: String,
        text: Template,
        /// What stands in `{items}` once for each number.
        each: Option<Template>,
    },
}

/// JSON whose texts are templates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonRule {
    Plain(Value),
    Text(Template),
    List(Vec<JsonRule>),
    Table(Vec<(String, JsonRule)>),
}

/// The fields of a table with their values.
pub fn fields(section: &Section<'_>, key: &'static str) -> Vec<(String, Template)> {
    let table = section.section(key);
    let mut fields = Vec::new();
    for (name, text, span) in table.lines() {
        match Template::parse(&text) {
            Ok(template) => fields.push((name, template)),
            Err(what) => table.wrong_line(
                &name,
                span,
                &what,
                "use the placeholders of docs/carriers.md",
            ),
        }
    }
    fields
}

/// Reads the body of a request; `None` if it is wrong.
pub fn body(section: &Section<'_>) -> Option<BodyRule> {
    let form = fields(section, "form");
    let json = section.json("json");
    let xml = section.read("xml", Template::parse);
    let each = section.read("xml_each", Template::parse);
    let content_type = section.text("content_type");
    if content_type.is_some() && xml.is_none() {
        section.wrong("content_type", "is given without xml", "leave it out");
    }
    let names_items = xml.as_ref().is_some_and(|text| text.has(Name::Items));
    let is_of_numbers = each.as_ref().is_some_and(|each| each.has(Name::Number));
    if names_items != is_of_numbers || each.is_some() != is_of_numbers {
        let advice = "write {items} in xml where they go, and xml_each with {number} for each";
        section.wrong("xml_each", "and {items} in xml need each other", advice);
    }
    let given = [!form.is_empty(), json.is_some(), xml.is_some()];
    if given.iter().filter(|given| **given).count() > 1 {
        section.wrong(
            "form",
            "stands beside another body",
            "give one of form, json and xml",
        );
    }
    if let Some(text) = xml {
        let content_type = content_type.unwrap_or_else(|| "text/xml; charset=utf-8".to_owned());
        if content_type.chars().any(char::is_control) {
            section.wrong("content_type", "has control characters", "write text/xml");
        }
        return Some(BodyRule::Xml {
            content_type,
            text,
            each,
        });
    }
    match json {
        Some(json) => match JsonRule::of(json, 0) {
            Ok(rule) => Some(BodyRule::Json(rule)),
            Err(what) => {
                section.wrong("json", &what, "use the placeholders of docs/carriers.md");
                None
            }
        },
        None if form.is_empty() => Some(BodyRule::None),
        None => Some(BodyRule::Form(form)),
    }
}

impl JsonRule {
    fn of(value: Value, depth: usize) -> Result<Self, String> {
        if depth > DEPTH_MAX {
            return Err("is too deep".to_owned());
        }
        match value {
            Value::String(text) => Template::parse(&text).map(Self::Text),
            Value::Array(members) => {
                let members = members.into_iter().map(|it| Self::of(it, depth + 1));
                members.collect::<Result<_, _>>().map(Self::List)
            }
            Value::Object(fields) => {
                let fields = fields.into_iter();
                let fields = fields.map(|(name, it)| Ok((name, Self::of(it, depth + 1)?)));
                fields.collect::<Result<_, String>>().map(Self::Table)
            }
            other => Ok(Self::Plain(other)),
        }
    }

    /// Its templates.
    pub fn templates(&self) -> Vec<&Template> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Text(text) => vec![text],
            Self::List(members) => members.iter().flat_map(Self::templates).collect(),
            Self::Table(fields) => fields.iter().flat_map(|(_, it)| it.templates()).collect(),
        }
    }

    /// Those that do not stand in a member of a list that is repeated for each number.
    pub fn templates_of_call(&self) -> Vec<&Template> {
        match self {
            Self::Plain(_) => Vec::new(),
            Self::Text(text) => vec![text],
            Self::List(members) => {
                let once = members.iter().filter(|member| !member.has(Name::Number));
                once.flat_map(Self::templates_of_call).collect()
            }
            Self::Table(fields) => {
                let fields = fields.iter();
                fields.flat_map(|(_, it)| it.templates_of_call()).collect()
            }
        }
    }

    /// Whether it has a placeholder.
    pub fn has(&self, name: Name) -> bool {
        self.templates().iter().any(|template| template.has(name))
    }

    /// The JSON; a member of a list that names the number stands there once for each.
    pub fn filled(&self, values: &Values<'_>) -> Value {
        match self {
            Self::Plain(value) => value.clone(),
            Self::Text(text) => text
                .filled(values, Escape::None)
                .map_or(Value::Null, Value::String),
            Self::Table(fields) => {
                let field = |(name, it): &(String, Self)| {
                    let is_left_out = match it {
                        Self::Text(text) => text.filled(values, Escape::None).is_none(),
                        _ => false,
                    };
                    (!is_left_out).then(|| (name.clone(), it.filled(values)))
                };
                Value::Object(
                    fields
                        .iter()
                        .filter_map(field)
                        .collect::<Map<String, Value>>(),
                )
            }
            Self::List(members) => {
                let each = |member: &Self| -> Vec<Value> {
                    if !member.has(Name::Number) {
                        return vec![member.filled(values)];
                    }
                    let with = |one| {
                        member.filled(&Values {
                            one: Some(one),
                            ..*values
                        })
                    };
                    values.all.iter().map(with).collect()
                };
                Value::Array(members.iter().flat_map(each).collect())
            }
        }
    }
}
