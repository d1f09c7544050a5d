//! Answers of several parts, each about one number.

use serde_json::Value;

use crate::carriers::declared::condition::{Subject, any};
use crate::carriers::declared::context::Context;
use crate::carriers::declared::file::File;
use crate::carriers::reading::complaint::not_in_form;
use crate::carriers::reading::number::{Told, another};
use crate::carriers::{Asked, CarrierError, FailureOf, Sighting, State, Verdict};
use crate::model::number::fold;

/// A part with the numbers that it names.
struct Item<'v> {
    /// As the answer's list has it.
    part: &'v Value,
    /// What is read: the part itself, or one of its choices.
    value: &'v Value,
    exact: Vec<&'v str>,
    told: Vec<Told>,
}

/// What an answer says of its numbers.
pub struct Items {
    pub sightings: Vec<Sighting>,
    /// Numbers that the carrier has to be told first.
    pub unregistered: Vec<Asked>,
}

/// What a successful answer says of each number. A part belongs to the number that it names, in another spelling only if no
/// other number of the call can be meant; a number without a part gets no sighting.
///
/// # Errors
/// If the answer has no list of parts, or one of them says that the account is not served.
pub fn items(
    file: &File,
    state: &State,
    body: &Value,
    context: Context<'_>,
) -> Result<Items, CarrierError> {
    let Some(items) = parts(file, &state.asked, body) else {
        let name = file.answer.items.first();
        let name = name.map_or("items", |path| path.name());
        return Err(not_in_form(
            body,
            context.key,
            &format!("it has no list of {name}"),
        ));
    };
    let is_single = file.request.numbers == 1;
    let (mut sightings, mut unregistered) = (Vec::new(), Vec::new());
    let is_unregistered = |value| {
        let subject = Subject {
            http: context.http,
            value,
            words: None,
        };
        let rule = file.register.as_ref().filter(|_| state.stage == 0);
        rule.is_some_and(|rule| any(&rule.when, subject))
    };
    for asked in state.asked.iter().cloned() {
        let verdict = match newest(file, &about(&items, &asked), context) {
            Some(item) if is_unregistered(item.value) => {
                unregistered.push(asked);
                continue;
            }
            Some(item) => match file.verdict(item.value, context) {
                Err(error) if !is_single && error.failure_of() == FailureOf::Number => {
                    Verdict::Failed {
                        reason: error.to_string(),
                    }
                }
                verdict => verdict?,
            },
            None if is_single => match others(file, &items, &asked, context.key) {
                Some(verdict) => verdict,
                None => continue,
            },
            None => continue,
        };
        sightings.push(Sighting { asked, verdict });
    }
    Ok(Items {
        sightings,
        unregistered,
    })
}

/// The parts about each number. They are those of the first path that leads somewhere; `None` if none does, or if it leads to
/// no list.
pub fn parts_about<'v>(
    file: &File,
    asked: &[Asked],
    body: &'v Value,
) -> Option<Vec<Vec<&'v Value>>> {
    let items = parts(file, asked, body)?;
    let about = asked.iter().map(|asked| about(&items, asked));
    let parts = about.map(|items| {
        let mut parts: Vec<&Value> = items.into_iter().map(|item| item.part).collect();
        parts.dedup_by(|a, b| std::ptr::eq(*a, *b));
        parts
    });
    Some(parts.collect())
}

/// The parts of an answer about numbers of the carrier that was asked, those that it refuses too.
fn parts<'v>(file: &File, asked: &[Asked], body: &'v Value) -> Option<Vec<Item<'v>>> {
    let mut paths = file.answer.items.iter();
    let found = paths.find_map(|path| path.members(body));
    let refused = file.answer.refused.iter();
    let refused = refused.filter_map(|path| path.members(body)?.ok());
    let refused: Vec<&Value> = refused.flatten().collect();
    let values = match found {
        Some(Ok(values)) => values,
        _ if !refused.is_empty() => Vec::new(),
        _ => return None,
    };
    let carrier = asked.first().map(|asked| &asked.carrier);
    let of_carrier = |value: &&Value| {
        let path = file.answer.carrier.as_ref();
        let named = path.and_then(|path| path.first(value)).map(Value::as_str);
        named.is_none_or(|named| {
            let pair = named.zip(carrier);
            pair.is_some_and(|(named, it)| named.eq_ignore_ascii_case(it.as_str()))
        })
    };
    let folded = |asked: &Asked| fold(asked.number.as_str());
    let numbers: Vec<String> = asked.iter().map(folded).collect();
    let item = |part| {
        let named = file.item.number.iter().flat_map(|path| path.all(part));
        let named: Vec<&Value> = named.collect();
        let told = named.iter().filter_map(|it| Told::of(it));
        let is_only = |told: &Told| numbers.iter().filter(|it| told.is(it)).count() == 1;
        let exact: Vec<&str> = named.iter().filter_map(|it| it.as_str()).collect();
        let told: Vec<Told> = told.filter(is_only).collect();
        let choices = file.answer.choices.as_ref();
        let choices = choices.and_then(|path| path.members(part)?.ok());
        let choices = choices.filter(|choices| !choices.is_empty());
        let item = move |value| Item {
            part,
            value,
            exact: exact.clone(),
            told: told.clone(),
        };
        choices.unwrap_or_else(|| vec![part]).into_iter().map(item)
    };
    let values = values.into_iter().chain(refused);
    Some(values.filter(of_carrier).flat_map(item).collect())
}

/// The parts that name a number, or else those that name it in another spelling.
fn about<'a, 'v>(items: &'a [Item<'v>], asked: &Asked) -> Vec<&'a Item<'v>> {
    let exact = |item: &&Item<'_>| item.exact.contains(&asked.number.as_str());
    let exact: Vec<&Item<'v>> = items.iter().filter(exact).collect();
    if !exact.is_empty() {
        return exact;
    }
    let folded = fold(asked.number.as_str());
    let spelt = |item: &&Item<'_>| item.told.iter().any(|told| told.is(&folded));
    items.iter().filter(spelt).collect()
}

/// The one of several parts about a number that counts.
fn newest<'a, 'v>(
    file: &File,
    items: &[&'a Item<'v>],
    context: Context<'_>,
) -> Option<&'a Item<'v>> {
    let Some(rule) = &file.answer.newest else {
        return items.first().copied();
    };
    let at = |item: &&&Item<'v>| rule.when(item.value, context.zone).ok().map(|when| when.at);
    // The first of those that are equally new.
    items.iter().rev().max_by_key(at).copied()
}

/// What to say if all parts are about other numbers.
fn others(file: &File, items: &[Item<'_>], asked: &Asked, key: &str) -> Option<Verdict> {
    let named = items.iter().flat_map(|item| {
        let paths = file.item.number.iter();
        paths.flat_map(|path| path.all(item.part))
    });
    let named: Vec<&Value> = named.collect();
    another(&asked.number, &named, key)
}
