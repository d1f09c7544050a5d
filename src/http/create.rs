//! `POST /trackings`: creates trackings, or gets those that exist.

use std::collections::{HashMap, HashSet};

use aide::axum::ApiRouter;
use axum::extract::State;
use axum::http::HeaderValue;
use axum::response::{IntoResponse, Response};
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::carriers::offer::Offer;
use crate::http::items::{Checked, ITEMS_MAX, check, refusal};
use crate::http::lines::{Line, Word};
use crate::http::trackings::{TAG, Tracking, Trackings, documented_as, example};
use crate::http::{Serve, veil, words};
use crate::model::number::fold;
use crate::model::owned::view;
use crate::model::shown::Shown;
use crate::model::tenant::Tenant;
use crate::model::{CarrierCode, TrackNumber};
use crate::serving::caller::{Caller, Writes};
use crate::serving::docs::{self, NAMING};
use crate::serving::list::List;
use crate::serving::once::OnceJson;
use crate::serving::operation::{documented, post};
use crate::serving::problem::{FieldError, Problem};
use crate::store::acting::TooMuch;
use crate::store::creating::{Made, OnExisting, Remembered, Wish};
use crate::store::idempotency::Once;

/// The parcels to follow.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = docs::all_required_but(&["partial", "onExisting"]))]
pub struct CreateTrackings {
    /// 1 to 10,000 numbers, each with its carrier.
    #[serde(default)]
    #[schemars(with = "Vec<Wanted>", length(min = 1, max = 10_000))]
    items: List<Box<RawValue>, ITEMS_MAX>,
    /// Whether good items are taken although others are refused; default false: then nothing is created if any is refused.
    #[serde(default)]
    partial: bool,
    /// What becomes of a parcel that you have already: it stays as it is, or is given what the item says, with its labels
    /// added. Default `keep`.
    #[serde(default, rename = "onExisting", alias = "on_existing")]
    on_existing: Existing,
}

/// What becomes of a parcel that is there already.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Existing {
    #[default]
    Keep,
    Merge,
}

/// One number at one carrier.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "CreateTracking")]
struct Wanted {
    /// The carrier's code, as the configuration names it: free text without control characters.
    #[schemars(regex(pattern = NAMING), length(min = 1, max = 64))]
    carrier_code: &'static str,
    /// The number on the parcel: free text without control characters.
    #[schemars(regex(pattern = NAMING), length(min = 1, max = 64))]
    track_number: &'static str,
    #[serde(flatten)]
    words: words::Documented,
}

/// The answer to `POST /trackings`.
#[derive(Debug)]
pub struct Created {
    trackings: Trackings,
    /// Whether the same request took effect before.
    is_repetition: bool,
}

impl IntoResponse for Created {
    fn into_response(self) -> Response {
        let mut response = self.trackings.into_response();
        if self.is_repetition {
            let headers = response.headers_mut();
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
        }
        response
    }
}

documented_as!(Created: Documented);

/// Trackings, and what came of each line.
#[derive(JsonSchema)]
#[schemars(rename = "CreatedTrackings")]
#[expect(dead_code, reason = "documents what Trackings writes")]
pub struct Documented {
    /// Each tracking once, at its first place.
    trackings: Vec<Tracking>,
    /// One for each item, in their order.
    results: Vec<Line>,
}

/// Follow parcels
///
/// Creates a tracking for each pair of carrier and number, or gets the existing one. A new tracking is checked at once.
/// Spellings that differ only in blanks, invisible characters and ASCII case are one pair, unless the carrier minds them;
/// the tracking shows what was sent first. The answer is in the order of the items; a repeated pair appears once, at its
/// first place, with the advice on its items. If any item is refused, nothing is created, and the JSON pointer of each bad
/// item is listed, unless `partial` is true: then the others are created, and `results` says what is wrong. A shop may give
/// each parcel its order, a title, a note, labels and metadata.
#[apply(documented)]
async fn create_trackings(
    caller: Writes,
    State(serve): State<Serve>,
    OnceJson {
        body: request,
        once,
    }: OnceJson<CreateTrackings>,
) -> Result<Created, Problem> {
    let checked = check(&request.items, Offer::of(&serve.routes, &caller.shop))?;
    let mut advice: HashMap<_, Vec<String>> = HashMap::new();
    let lines = checked.into_iter().map(|item| {
        let Checked { wish, advice: more } = item?;
        if !more.is_empty() {
            let key = key(&wish.pair.0, &wish.pair.1);
            advice.entry(key).or_default().extend(more);
        }
        Ok(wish)
    });
    let lines = lines.collect();
    let on_existing = match request.on_existing {
        Existing::Keep => OnExisting::Keep,
        Existing::Merge => OnExisting::Merge,
    };
    let asked = Asked {
        tenant: caller.tenant,
        on_existing,
        partial: request.partial,
        once,
    };
    let results = match create(&serve, &asked, lines).await? {
        Came::Now(results) => results,
        Came::Before(lines) => return again(&serve, &caller, lines).await,
    };
    let mut seen = HashSet::with_capacity(results.len());
    let mut trackings = Trackings::default();
    // Each tracking once, at its first place, with the advice on its items.
    let made = results
        .iter()
        .filter_map(|(_, result)| result.as_ref().ok());
    let made: Vec<&Made> = made.filter(|made| seen.insert(made.row.id)).collect();
    let mut shown: Vec<Shown> = made.iter().map(|made| Shown::of(&made.row)).collect();
    veil::hide_names(&serve, &caller, shown.iter_mut()).await?;
    for (Made { row, parcel, .. }, shown) in std::iter::zip(made, &shown) {
        let mut on_it = Vec::new();
        if !advice.is_empty() {
            let key = key(&row.carrier_code, &row.track_number);
            on_it = advice.remove(&key).unwrap_or_default();
            on_it.dedup();
        }
        trackings.add(row.id, shown, &view(parcel), &on_it);
    }
    let lines = results.iter();
    let lines = lines.map(|(place, it)| line(*place, it.as_ref()));
    let lines: Vec<Line> = lines.collect();
    Ok(Created {
        trackings: trackings.with_field("results", &lines),
        is_repetition: false,
    })
}

/// The answer to a request that took effect before: its results of then, with the states of now.
async fn again(serve: &Serve, caller: &Caller, lines: Vec<Line>) -> Result<Created, Problem> {
    let mut seen = HashSet::new();
    let ids = lines.iter().filter_map(Line::id);
    let ids: Vec<i64> = ids.filter(|id| seen.insert(*id)).collect();
    let mut known = serve.current.get(caller.tenant, &ids).await?;
    let shown = known.iter_mut().flatten().map(|seen| &mut seen.shown);
    veil::hide_names(serve, caller, shown).await?;
    let mut trackings = Trackings::default();
    for (id, seen) in std::iter::zip(ids, known) {
        if let Some(seen) = seen {
            trackings.add(id, &seen.shown, seen.view(), &[]);
        }
    }
    Ok(Created {
        trackings: trackings.with_field("results", &lines),
        is_repetition: true,
    })
}

/// What is wrong with a line.
type Errors = Vec<FieldError>;

/// How a request's lines are to be dealt with.
struct Asked {
    tenant: Tenant,
    on_existing: OnExisting,
    partial: bool,
    once: Option<Once>,
}

/// What came of a request.
enum Came {
    /// Of each line, by place.
    Now(Vec<(usize, Result<Made, Errors>)>),
    /// It took effect before.
    Before(Vec<Line>),
}

fn line(place: usize, result: Result<&Made, &Errors>) -> Line {
    match result {
        Ok(made) if made.is_new => Line::done(place, Word::Created, made.row.id),
        Ok(made) => Line::done(place, Word::Exists, made.row.id),
        Err(errors) => Line::refused(place, errors.clone()),
    }
}

/// What came of all lines in their order: of those with a wish, without corrupt rows, and of those that were refused.
fn in_order<M, E>(
    made: impl Iterator<Item = (usize, Option<M>)>,
    refused: impl Iterator<Item = (usize, E)>,
) -> Vec<(usize, Result<M, E>)> {
    let made = made.filter_map(|(place, made)| Some((place, Ok(made?))));
    let refused = refused.map(|(place, errors)| (place, Err(errors)));
    let mut results: Vec<_> = made.chain(refused).collect();
    results.sort_by_key(|(place, _)| *place);
    results
}

/// Creates what is wished for, unless a line is refused; if that may be, only the others. What came of each line; of one
/// whose row is corrupt, nothing.
async fn create(
    serve: &Serve,
    asked: &Asked,
    lines: Vec<Result<Wish, Errors>>,
) -> Result<Came, Problem> {
    let total = lines.len();
    let (mut places, mut wishes, mut refused) = (Vec::new(), Vec::new(), Vec::new());
    for (place, line) in lines.into_iter().enumerate() {
        match line {
            Ok(wish) => {
                places.push(place);
                wishes.push(wish);
            }
            Err(errors) => refused.push((place, errors)),
        }
    }
    loop {
        if !asked.partial && !refused.is_empty() {
            refused.sort_by_key(|(place, _)| *place);
            let refused = refused.into_iter().map(|(_, errors)| errors);
            return Err(refusal(total, refused));
        }
        let now = serve.clock.now();
        let outcome = |made: &[Option<Result<Made, TooMuch>>]| {
            let made = made.iter().map(|made| made.as_ref()?.as_ref().ok());
            let made = places.iter().copied().zip(made);
            let refused = refused.iter().map(|(place, errors)| (*place, errors));
            let results = in_order(made, refused).into_iter();
            let lines: Vec<Line> = results.map(|(place, it)| line(place, it)).collect();
            // Texts and numbers always serialize.
            serde_json::to_string(&lines).unwrap_or_default()
        };
        let once: Option<Remembered<'_>> = asked.once.as_ref().map(|once| (once, &outcome as _));
        let creation = serve
            .current
            .create(asked.tenant, &wishes, asked.on_existing, once, now)
            .await?;
        if let Some(before) = creation.before {
            let lines = serde_json::from_str(&before).map_err(Problem::internal)?;
            return Ok(Came::Before(lines));
        }
        let made = creation.made;
        let refused_before = refused.len();
        let is_refused = |made: &Option<_>| matches!(made, Some(Err(_)));
        for (place, made) in std::iter::zip(&places, &made) {
            if let Some(Err((field, detail))) = made {
                let pointer = match *field {
                    "" => format!("/items/{place}"),
                    field => format!("/items/{place}/{field}"),
                };
                let error = FieldError::at(pointer, detail.clone());
                refused.push((*place, vec![error]));
            }
        }
        if refused.len() == refused_before {
            let made = made.into_iter().map(|made| made?.ok());
            let made = places.into_iter().zip(made);
            return Ok(Came::Now(in_order(made, refused.into_iter())));
        }
        // Nothing was done. Once more, without what was refused.
        let mut kept = made.iter().map(|made| !is_refused(made));
        places.retain(|_| kept.next().unwrap_or(false));
        let mut kept = made.iter().map(|made| !is_refused(made));
        wishes.retain(|_| kept.next().unwrap_or(false));
    }
}

fn key(carrier_code: &CarrierCode, track_number: &TrackNumber) -> (String, String) {
    (fold(carrier_code.as_str()), fold(track_number.as_str()))
}

pub fn router() -> ApiRouter<Serve> {
    let wanted = Wanted {
        carrier_code: "CDEK",
        track_number: "1234567890",
        words: words::Documented::example(),
    };
    let line = Line::done(0, Word::Created, 1);
    let operation = create_trackings::operation(TAG)
        .request(json!({"items": [wanted]}))
        .answer(
            "The trackings.",
            json!({"trackings": [example(false)], "results": [line]}),
        );
    ApiRouter::new().api_route("/trackings", post(create_trackings, operation))
}
