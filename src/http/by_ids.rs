//! `POST /trackings/get-by-ids`: current states, from the cache where it has them.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::http::Serve;
use crate::http::trackings::{TAG, Tracking, Trackings, example};
use crate::serving::docs;
use crate::serving::extract::Json;
use crate::serving::list::{Id, List};
use crate::serving::problem::{FieldError, Kind, Problem};

/// The most ids of one request.
pub const IDS_MAX: usize = 10_000;

/// Which trackings to answer.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct GetByIds {
    /// At most 10,000 ids, as strings or numbers.
    #[serde(default)]
    #[schemars(with = "Vec<StringOrNumber>", length(max = 10_000))]
    ids: List<Id, IDS_MAX>,
}

/// An id as a client may write it.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "documents what List<Id> reads")]
enum StringOrNumber {
    String(String),
    Number(i64),
}

/// Answers the trackings in the order asked, a repeated id each time, and leaves unknown ids out.
pub async fn by_ids(
    State(serve): State<Serve>,
    Json(request): Json<GetByIds>,
) -> Result<axum::Json<Trackings>, Problem> {
    let ids = check(&request.ids)?;
    let rows = serve.current.get(&ids).await?;
    let trackings = ids
        .iter()
        .filter_map(|id| rows.get(id))
        .map(|row| Tracking::from(row.as_ref()))
        .collect();
    Ok(axum::Json(Trackings { trackings }))
}

/// The ids that may be somebody's.
fn check(ids: &List<Id, IDS_MAX>) -> Result<Vec<i64>, Problem> {
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
        let detail = format!("{} of {} ids are no ids", errors.len(), ids.total);
        return Err(Problem::invalid(detail, errors));
    }
    let numbers = ids.kept.iter().filter_map(|id| match id {
        Id::Number(number) => Some(*number),
        Id::Beyond | Id::Other => None,
    });
    Ok(numbers.collect())
}

pub fn by_ids_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("getTrackingsByIds")
        .tag(TAG)
        .summary("Look parcels up")
        .description(
            "Answers in the order asked, a repeated id each time; unknown ids are left out. No ids give no trackings.",
        );
    let op = docs::request_example(op, json!({"ids": ["1", 2]}));
    let op = docs::answer::<Trackings>(op, "The trackings.", json!({"trackings": [example(true)]}));
    docs::problems(
        op,
        &[
            Kind::CrossSite,
            Kind::SlowRequest,
            Kind::BodyTooLarge,
            Kind::EncodedBody,
            Kind::Invalid,
            Kind::TooManyRequests,
            Kind::Internal,
            Kind::Unavailable,
        ],
    )
}
