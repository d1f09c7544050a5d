//! Answers of several parts, each about one number.

use serde_json::Value;

use crate::carriers::declared::file::File;
use crate::carriers::declared::item::Context;
use crate::carriers::reading::complaint::not_in_form;
use crate::carriers::reading::number::{Told, another};
use crate::carriers::{Asked, CarrierError, FailureOf, Sighting, State, Step, Verdict};
use crate::model::number::fold;

/// A part with the numbers that it names.
struct Item<'v> {
    value: &'v Value,
    exact: Vec<&'v str>,
    told: Vec<Told>,
}

/// What a successful answer says of each number. A part belongs to the number that it names, in another spelling only if no
/// other number of the call can be meant; a number without a part gets no sighting.
///
/// # Errors
/// If the answer has no list of parts, or one of them says that the account is not served.
pub fn items(
    file: &File,
    state: State,
    body: &Value,
    context: Context<'_>,
) -> Result<Step, CarrierError> {
    let paths = &file.answer.items;
    let found = paths.iter().find_map(|path| path.members(body));
    let Some(Ok(values)) = found else {
        let name = paths.first().map_or("items", |path| path.name());
        return Err(not_in_form(
            body,
            context.key,
            &format!("it has no list of {name}"),
        ));
    };
    let carrier = state.asked.first().map(|asked| asked.carrier.clone());
    let of_carrier = |value: &&Value| {
        let named = file
            .answer
            .carrier
            .as_ref()
            .and_then(|path| path.first(value));
        let named = named.map(Value::as_str);
        named.is_none_or(|named| {
            let pair = named.zip(carrier.as_ref());
            pair.is_some_and(|(named, it)| named.eq_ignore_ascii_case(it.as_str()))
        })
    };
    let folded = |asked: &Asked| fold(asked.number.as_str());
    let numbers: Vec<String> = state.asked.iter().map(folded).collect();
    let item = |value| {
        let named = file.item.number.iter().flat_map(|path| path.all(value));
        let named: Vec<&Value> = named.collect();
        let told = named.iter().filter_map(|it| Told::of(it));
        let is_only = |told: &Told| numbers.iter().filter(|it| told.is(it)).count() == 1;
        Item {
            value,
            exact: named.iter().filter_map(|it| it.as_str()).collect(),
            told: told.filter(is_only).collect(),
        }
    };
    let items: Vec<Item<'_>> = values.into_iter().filter(of_carrier).map(item).collect();
    let is_single = file.request.numbers == 1;
    let mut sightings = Vec::new();
    for (asked, folded) in state.asked.into_iter().zip(&numbers) {
        let exact = |item: &&Item<'_>| item.exact.contains(&asked.number.as_str());
        let spelt = |item: &&Item<'_>| item.told.iter().any(|told| told.is(folded));
        let mut of_it: Vec<&Item<'_>> = items.iter().filter(exact).collect();
        if of_it.is_empty() {
            of_it = items.iter().filter(spelt).collect();
        }
        let verdict = match newest(file, &of_it, context) {
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
    Ok(Step::Done(sightings))
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
        paths.flat_map(|path| path.all(item.value))
    });
    let named: Vec<&Value> = named.collect();
    another(&asked.number, &named, key)
}
