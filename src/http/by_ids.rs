//! `POST /trackings/get-by-ids`: current states, from the cache if it has them.

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::http::trackings::{TAG, Trackings, example};
use crate::http::{Serve, veil};
use crate::serving::caller::Reads;
use crate::serving::extract::Json;
use crate::serving::id::Id;
use crate::serving::list::List;
use crate::serving::operation::{documented, post};
use crate::serving::page::any_number;
use crate::serving::problem::{FieldError, Problem};

/// The most ids of one request.
pub const IDS_MAX: usize = 10_000;

/// The trackings to look up.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetByIds {
    /// At most 10,000 ids, as strings or numbers.
    #[serde(default)]
    #[schemars(with = "Option<Vec<StringOrNumber>>", length(max = 10_000))]
    ids: List<Id, IDS_MAX>,
}

/// An id as a client may write it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents what List<Id> reads")]
pub enum StringOrNumber {
    String(#[schemars(regex(pattern = "^-?[0-9]+$"))] String),
    Number(#[schemars(transform = any_number)] i64),
}

/// Look parcels up
///
/// The answer is in the order of the ids: a repeated id appears each time, unknown ids are left out. Without ids the
/// answer has no trackings. The id of a tracking that an upgrade folded into another one, since both were spellings of one
/// number, gives that one, under the id asked for.
#[apply(documented)]
async fn get_trackings_by_ids(
    caller: Reads,
    State(serve): State<Serve>,
    Json(request): Json<GetByIds>,
) -> Result<Trackings, Problem> {
    let ids = check(&request.ids)?;
    let mut found = serve.current.get(caller.tenant, &ids).await?;
    let shown = found.iter_mut().flatten().map(|seen| &mut seen.shown);
    veil::hide_names(&serve, &caller, shown).await?;
    let mut trackings = Trackings::default();
    // One that was folded into another parcel's keeps the id that the client knows.
    for (id, seen) in std::iter::zip(ids, found) {
        if let Some(seen) = seen {
            trackings.add(id, &seen.shown, seen.view(), &[]);
        }
    }
    Ok(trackings)
}

/// The ids that a tracking can have.
pub fn check(ids: &List<Id, IDS_MAX>) -> Result<Vec<i64>, Problem> {
    if ids.total > IDS_MAX {
        let detail = format!("must have at most {IDS_MAX} ids, this has {}", ids.total);
        return Err(Problem::invalid_at(FieldError::at("/ids", detail)));
    }
    let errors: Vec<FieldError> = ids
        .kept
        .iter()
        .enumerate()
        .filter(|(_, id)| **id == Id::Other)
        .map(|(place, _)| {
            FieldError::at(
                format!("/ids/{place}"),
                "must be a whole number, or a string of one",
            )
        })
        .collect();
    if !errors.is_empty() {
        let detail = format!("{} of {} ids are not valid", errors.len(), ids.total);
        return Err(Problem::invalid(detail, errors));
    }
    let numbers = ids.kept.iter().filter_map(|id| match id {
        Id::Number(number) => Some(*number),
        Id::Beyond | Id::Other => None,
    });
    Ok(numbers.collect())
}

pub fn router() -> ApiRouter<Serve> {
    let operation = get_trackings_by_ids::operation(TAG)
        .request(json!({"ids": ["1", 2]}))
        .answer("The trackings.", json!({"trackings": [example(true)]}));
    ApiRouter::new().api_route(
        "/trackings/get-by-ids",
        post(get_trackings_by_ids, operation),
    )
}
