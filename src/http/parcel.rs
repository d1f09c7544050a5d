//! `GET`, `PATCH` and `DELETE /trackings/{trackingId}`, and the same for many: a shop's own parcels.

use aide::axum::ApiRouter;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use serde_json::value::RawValue;

use crate::clock::Time;
use crate::http::Serve;
use crate::http::by_ids::{IDS_MAX, StringOrNumber, check};
use crate::http::lines::{Line, Word};
use crate::http::trackings::{TAG, Tracking, documented_as, example, one};
use crate::http::veil;
use crate::http::words::{self, Documented};
use crate::model::act::{Act, Deed};
use crate::model::owned::view;
use crate::model::parcel::Edit;
use crate::model::shown::Shown;
use crate::serving::caller::{Caller, Reads, Writes};
use crate::serving::docs;
use crate::serving::extract::Json;
use crate::serving::id::{Id, IdPath};
use crate::serving::list::{self, List};
use crate::serving::operation::{delete, documented, get, patch, post};
use crate::serving::problem::{FieldError, Problem};
use crate::store::acting::Acted;

/// One tracking as JSON.
#[derive(Debug)]
pub struct One(Vec<u8>);

impl IntoResponse for One {
    fn into_response(self) -> Response {
        let json = (axum::http::header::CONTENT_TYPE, "application/json");
        ([json], self.0).into_response()
    }
}

documented_as!(One: Tracking);

/// What is to become of a parcel. A field that is left out stays as it is, and null clears it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct PatchTracking {
    #[schemars(with = "Change")]
    fields: Box<RawValue>,
}

/// What may be said of a parcel that is there.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "EditTracking", transform = docs::some_required)]
struct Change {
    #[serde(flatten)]
    words: Documented,
    /// Labels to add to those that it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<words::Label>>")]
    add_labels: Option<Vec<String>>,
    /// Labels to take away.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Vec<words::Label>>")]
    remove_labels: Option<Vec<String>>,
    /// STOPPED: no more checks for you, and no more changes told. ARCHIVED: also out of the lists. FOLLOWED: as before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "crate::model::parcel::State", default)]
    state: Option<crate::model::parcel::State>,
}

/// Reads an edit at `pointer`.
fn read_edit(json: &RawValue, pointer: &str) -> Result<Edit, Problem> {
    let kind = list::kind(json);
    let place = if pointer.is_empty() {
        "the body"
    } else {
        pointer
    };
    if kind != "an object" {
        let detail = format!("{place} must be an object, this is {kind}");
        return Err(Problem::invalid_at(FieldError::at(pointer, detail)));
    }
    let sent: words::Sent<'_> = serde_json::from_str(json.get())
        .map_err(|error| Problem::invalid_at(FieldError::at(pointer, error.to_string())))?;
    let mut errors = Vec::new();
    let edit = words::read(&sent, pointer, &mut errors);
    if !errors.is_empty() {
        let detail = format!("{} fields are not valid; nothing was changed", errors.len());
        return Err(Problem::invalid(detail, errors));
    }
    if edit == Edit::default() && !sent.names_a_list() {
        let detail = format!(
            "{place} names nothing that can be changed; there are orderId, title, note, labels, addLabels, removeLabels, metadata, \
             postalCode, shipDate, country, extra and state"
        );
        return Err(Problem::invalid_at(FieldError::at(pointer, detail)));
    }
    Ok(edit)
}

/// Show a parcel
///
/// Its state, and what you wrote about it.
#[apply(documented)]
async fn get_tracking(
    caller: Reads,
    State(serve): State<Serve>,
    path: IdPath<Tracking>,
) -> Result<One, Problem> {
    let id = path.id()?;
    let found = serve.current.get(caller.tenant, &[id]).await?;
    let seen = found.into_iter().next().flatten();
    let mut seen = seen.ok_or_else(|| path.not_found())?;
    veil::hide_names(&serve, &caller, std::iter::once(&mut seen.shown)).await?;
    Ok(One(one(id, &seen.shown, seen.view())))
}

/// Edit a parcel
///
/// A JSON merge patch (RFC 7396): what is left out stays, null clears. `addLabels` and `removeLabels` change single labels.
/// `state` stops the checks, archives the parcel, or takes it back: then it is checked at once. The checks go on while another
/// shop follows the parcel.
#[apply(documented)]
async fn edit_tracking(
    caller: Writes,
    State(serve): State<Serve>,
    path: IdPath<Tracking>,
    Json(request): Json<PatchTracking>,
) -> Result<One, Problem> {
    let id = path.id()?;
    let edit = read_edit(&request.fields, "")?;
    let now = serve.clock.now();
    let acted = serve.current.edit(caller.tenant, &[id], &edit, now).await?;
    match acted.parcels.into_iter().next() {
        Some(Ok(Some((row, parcel)))) => {
            let mut shown = Shown::of(&row);
            veil::hide_names(&serve, &caller, std::iter::once(&mut shown)).await?;
            Ok(One(one(id, &shown, &view(&parcel))))
        }
        Some(Err((field, detail))) => {
            let error = FieldError::at(format!("/{field}"), detail);
            Err(Problem::invalid_at(error))
        }
        Some(Ok(None)) | None => Err(path.not_found()),
    }
}

/// An empty answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Removed {}

/// Remove a parcel
///
/// You have it no more: neither its state nor its history, your words about it nor the changes that you were told. If no other
/// shop has it, it is deleted within a minute.
#[apply(documented)]
async fn remove_tracking(
    caller: Writes,
    State(serve): State<Serve>,
    path: IdPath<Tracking>,
) -> Result<axum::Json<Removed>, Problem> {
    let now = serve.clock.now();
    let acted = serve
        .current
        .remove(caller.tenant, &[path.id()?], now)
        .await?;
    note_removed(&serve, &caller, &acted, now).await?;
    match acted.parcels.into_iter().next() {
        Some(Ok(Some(_))) => Ok(axum::Json(Removed {})),
        Some(Ok(None) | Err(_)) | None => Err(path.not_found()),
    }
}

/// Parcels, and what is to become of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = docs::all_required)]
pub struct EditTrackings {
    /// At most 10,000 ids, as strings or numbers.
    #[schemars(with = "Option<Vec<StringOrNumber>>", length(max = 10_000))]
    ids: List<Id, IDS_MAX>,
    #[schemars(with = "Change")]
    set: Box<RawValue>,
}

/// Parcels to remove.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = docs::all_required)]
pub struct RemoveTrackings {
    /// At most 10,000 ids, as strings or numbers.
    #[schemars(with = "Option<Vec<StringOrNumber>>", length(max = 10_000))]
    ids: List<Id, IDS_MAX>,
}

/// What came of each id.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Results {
    results: Vec<Line>,
}

/// Edit many parcels
///
/// As `PATCH` for each of them, all or none. An id that is not yours has the result `UNKNOWN`.
#[apply(documented)]
async fn edit_trackings(
    caller: Writes,
    State(serve): State<Serve>,
    Json(request): Json<EditTrackings>,
) -> Result<axum::Json<Results>, Problem> {
    let ids = check(&request.ids)?;
    let edit = read_edit(&request.set, "/set")?;
    let now = serve.clock.now();
    let acted = serve.current.edit(caller.tenant, &ids, &edit, now).await?;
    results(&ids, acted, Word::Edited)
}

/// Remove many parcels
///
/// As `DELETE` for each of them. An id that is not yours has the result `UNKNOWN`.
#[apply(documented)]
async fn remove_trackings(
    caller: Writes,
    State(serve): State<Serve>,
    Json(request): Json<RemoveTrackings>,
) -> Result<axum::Json<Results>, Problem> {
    let ids = check(&request.ids)?;
    let now = serve.clock.now();
    let acted = serve.current.remove(caller.tenant, &ids, now).await?;
    note_removed(&serve, &caller, &acted, now).await?;
    results(&ids, acted, Word::Removed)
}

/// Notes who removed parcels, each once.
async fn note_removed(
    serve: &Serve,
    caller: &Caller,
    acted: &Acted,
    now: Time,
) -> Result<(), Problem> {
    let removed = acted.parcels.iter().flatten().flatten();
    let mut ids: Vec<i64> = removed.map(|(row, _)| row.id).collect();
    ids.sort_unstable();
    ids.dedup();
    let acts = ids.into_iter().map(|id| Act {
        tracking: Some(id),
        ..caller.act(Deed::ParcelRemoved, format!("tracking {id}"))
    });
    let acts: Vec<Act> = acts.collect();
    serve.store.note_acts(&acts, now).await?;
    Ok(())
}

fn results(ids: &[i64], acted: Acted, done: Word) -> Result<axum::Json<Results>, Problem> {
    let mut errors = Vec::new();
    let mut results = Vec::with_capacity(ids.len());
    for (place, (id, result)) in std::iter::zip(ids, acted.parcels).enumerate() {
        match result {
            Ok(Some(_)) => results.push(Line::done(place, done, *id)),
            Ok(None) => results.push(Line::done(place, Word::Unknown, *id)),
            Err((field, detail)) => {
                let detail = format!("{field} of parcel {id}: {detail}");
                errors.push(FieldError::at(format!("/ids/{place}"), detail));
            }
        }
    }
    if errors.is_empty() {
        return Ok(axum::Json(Results { results }));
    }
    let detail = format!(
        "{} of {} parcels cannot be changed so; nothing was changed",
        errors.len(),
        ids.len()
    );
    Err(Problem::invalid(detail, errors))
}

pub fn router() -> ApiRouter<Serve> {
    let change = || {
        json!(Change {
            words: Documented::example(),
            add_labels: None,
            remove_labels: None,
            state: Some(crate::model::parcel::State::Stopped),
        })
    };
    let show = get_tracking::operation(TAG).answer("The parcel.", example(true));
    let edit = edit_tracking::operation(TAG)
        .request(change())
        .answer("The parcel as it is now.", example(true));
    let remove = remove_tracking::operation(TAG).answer("It is removed.", json!({}));
    let edit_many = edit_trackings::operation(TAG)
        .request(json!({"ids": ["1", 2], "set": change()}))
        .answer(
            "What came of each id.",
            json!({"results": [Line::done(0, Word::Edited, 1)]}),
        );
    let remove_many = remove_trackings::operation(TAG)
        .request(json!({"ids": ["1", 2]}))
        .answer(
            "What came of each id.",
            json!({"results": [Line::done(0, Word::Removed, 1)]}),
        );
    ApiRouter::new()
        .api_route(
            "/trackings/{trackingId}",
            get(get_tracking, show)
                .merge(patch(edit_tracking, edit))
                .merge(delete(remove_tracking, remove)),
        )
        .api_route("/trackings/edit", post(edit_trackings, edit_many))
        .api_route("/trackings/remove", post(remove_trackings, remove_many))
}
