//! `/keys`: a tenant's API keys. A key is shown once, by the request that makes it.

use aide::axum::ApiRouter;
use aide::{OperationOutput, generate::GenContext, openapi};
use axum::Json as Answer;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::{Time, cut};
use crate::http::{ALWAYS, Serve};
use crate::model::key::ApiKey;
use crate::model::tenant::{Scope, Tenant, name};
use crate::serving::caller::{Administers, Caller};
use crate::serving::docs::{self, NAMING};
use crate::serving::extract::{Json, Query};
use crate::serving::id::{HasId, IdPath};
use crate::serving::operation::{Tag, delete, documented, get, patch, post};
use crate::serving::page::{Cursor, ListQuery};
use crate::serving::problem::{FieldError, Kind, Problem};
use crate::serving::whole::Whole;
use crate::store::api_keys::{KeyRow, LIVE_KEYS_MAX, NewKey};

/// The operations on keys.
pub const TAG: Tag = Tag {
    name: "keys",
    description: "The keys of a tenant, and the log of what was done with them.",
    problems: ALWAYS,
};

/// The furthest that a key's end may lie ahead.
const EXPIRES_MAX: TimeDelta = TimeDelta::days(36_500);

/// The highest limit of requests a second.
const PER_SECOND_MAX: u16 = 10_000;

/// The key to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CreateKey {
    /// What people call it: 1 to 100 characters.
    #[schemars(regex(pattern = NAMING), length(min = 1, max = 100))]
    name: String,
    scope: Scope,
    /// Whether it is an operator's. Only an operator makes one, for the tenant `default`.
    #[serde(default)]
    operator: bool,
    /// The most requests a second, counted in each process; 0 means no limit of its own.
    #[serde(default, alias = "per_second")]
    #[schemars(range(max = 10_000))]
    per_second: Whole,
    /// When it stops working; null means never.
    #[serde(default, alias = "expires_at")]
    expires_at: Option<Time>,
}

/// A key, without the key itself.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Key", transform = docs::all_required)]
pub struct KeyAnswer {
    id: String,
    name: String,
    /// Its first characters.
    hint: String,
    scope: Scope,
    operator: bool,
    /// The most requests a second, counted in each process; 0 means no limit of its own.
    per_second: u16,
    created_at: Time,
    expires_at: Option<Time>,
    revoked_at: Option<Time>,
    /// To the minute; null if it was never used.
    last_used_at: Option<Time>,
}

/// A new key.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct CreatedKey {
    /// The key itself, which is never shown again.
    secret: String,
    key: KeyAnswer,
}

/// The same, which no cache may keep.
pub struct Once(CreatedKey);

/// A part of the list, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct Keys {
    keys: Vec<KeyAnswer>,
    /// The cursor of the next part; null in the last part.
    next_cursor: Option<String>,
}

/// What to change of a key.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct ChangeKey {
    /// When it stops working, a time to come; null means never.
    #[serde(alias = "expires_at", deserialize_with = "Option::deserialize")]
    expires_at: Option<Time>,
}

impl From<KeyRow> for KeyAnswer {
    fn from(row: KeyRow) -> Self {
        Self {
            id: row.id.to_string(),
            name: row.name,
            hint: row.hint,
            scope: row.scope,
            operator: row.is_operator,
            per_second: row.per_second,
            created_at: row.created_at,
            expires_at: row.expires_at,
            revoked_at: row.revoked_at,
            last_used_at: row.last_used_at,
        }
    }
}

impl HasId for KeyAnswer {
    const NAME: &'static str = "key";
    const PARAMETER: &'static str = "keyId";
    const EXAMPLE: &'static str = "2";
}

impl IntoResponse for Once {
    fn into_response(self) -> Response {
        let mut response = Answer(self.0).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

impl OperationOutput for Once {
    type Inner = CreatedKey;

    fn inferred_responses(
        ctx: &mut GenContext,
        operation: &mut openapi::Operation,
    ) -> Vec<(Option<openapi::StatusCode>, openapi::Response)> {
        Answer::<CreatedKey>::inferred_responses(ctx, operation)
    }
}

/// Makes a key of `tenant` for a caller who may.
///
/// # Errors
/// If the request is not valid, or the tenant has too many keys.
pub async fn create(
    serve: &Serve,
    tenant: Tenant,
    caller: &Caller,
    request: CreateKey,
) -> Result<Once, Problem> {
    let now = serve.clock.now();
    let name = name(&request.name)
        .map_err(|why| Problem::invalid_at(FieldError::at("/name", format!("name {why}"))))?;
    let per_second = u16::try_from(request.per_second.0).ok();
    let per_second = per_second.filter(|per_second| *per_second <= PER_SECOND_MAX);
    let Some(per_second) = per_second else {
        let detail = format!("perSecond must be at most {PER_SECOND_MAX}");
        return Err(Problem::invalid_at(FieldError::at("/perSecond", detail)));
    };
    if request.operator && !(caller.operator && tenant == Tenant::DEFAULT) {
        let detail = "only an operator makes an operator's key, and only for the tenant default";
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    let new = NewKey {
        tenant,
        key: ApiKey::generate().map_err(Problem::internal)?,
        name,
        scope: request.scope,
        is_operator: request.operator,
        per_second,
        expires_at: expiry(request.expires_at, now)?,
    };
    let row = serve.store.add_key(&new, caller.key, now).await?;
    let row = row.ok_or_else(|| {
        let detail = format!("the tenant has {LIVE_KEYS_MAX} keys in force: revoke one first");
        Problem::new(Kind::Conflict, detail)
    })?;
    serve.gate.forget_keys();
    let id = row.id;
    tracing::info!(key.id = id, "made key {id} of scope {}", row.scope);
    Ok(Once(CreatedKey {
        secret: new.key.expose().to_owned(),
        key: row.into(),
    }))
}

/// The end of a key, which must lie ahead.
fn expiry(at: Option<Time>, now: Time) -> Result<Option<Time>, Problem> {
    let fits = |at: &Time| *at > now && *at <= now + EXPIRES_MAX;
    match at.map(cut) {
        Some(at) if !fits(&at) => Err(Problem::invalid_at(FieldError::at(
            "/expiresAt",
            "expiresAt must be a time to come within 100 years; to end a key now, delete it",
        ))),
        at => Ok(at),
    }
}

/// Make a key
///
/// The answer alone has the key itself. As soon as there is a key, every request needs one.
#[apply(documented)]
async fn create_key(
    caller: Administers,
    State(serve): State<Serve>,
    Json(request): Json<CreateKey>,
) -> Result<Once, Problem> {
    create(&serve, caller.tenant, &caller, request).await
}

/// List the keys
///
/// All keys of the tenant, newest first; also those that are revoked.
#[apply(documented)]
async fn list_keys(
    caller: Administers,
    State(serve): State<Serve>,
    Query(query): Query<ListQuery<Cursor, 100, 500>>,
) -> Result<Answer<Keys>, Problem> {
    let (limit, after) = (query.limit()?, query.after()?);
    // One row more than asked for tells whether there is a next part.
    let mut rows = serve.store.keys(caller.tenant, after, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| more);
    Ok(Answer(Keys {
        next_cursor: last.map(|row| row.id.to_string()),
        keys: rows.into_iter().map(KeyAnswer::from).collect(),
    }))
}

/// Change when a key expires
///
/// To replace a key, make another, let this one expire when all clients have changed, and they never stop working. A revoked
/// key stays as it is.
#[apply(documented)]
async fn change_key(
    caller: Administers,
    State(serve): State<Serve>,
    path: IdPath<KeyAnswer>,
    Json(request): Json<ChangeKey>,
) -> Result<Answer<KeyAnswer>, Problem> {
    let (id, now) = (path.id()?, serve.clock.now());
    let expires_at = expiry(request.expires_at, now)?;
    let changed = serve
        .store
        .set_key_expiry(caller.tenant, id, expires_at, caller.key, now);
    let row = changed.await?.ok_or_else(|| path.not_found())?;
    if row.revoked_at.is_some() {
        let detail = format!("the key {id} was revoked, for good; make a new one with POST /keys");
        return Err(Problem::new(Kind::NotFound, detail));
    }
    serve.gate.forget_keys();
    Ok(Answer(row.into()))
}

/// Revoke a key
///
/// For good, in every process within ten seconds. The key stays in the list. Revoking it again changes nothing.
#[apply(documented)]
async fn revoke_key(
    caller: Administers,
    State(serve): State<Serve>,
    path: IdPath<KeyAnswer>,
) -> Result<Answer<KeyAnswer>, Problem> {
    let (id, now) = (path.id()?, serve.clock.now());
    let revoked = serve.store.revoke_key(caller.tenant, id, caller.key, now);
    let row = revoked.await?.ok_or_else(|| path.not_found())?;
    serve.gate.forget_keys();
    tracing::info!(key.id = id, "revoked key {id}");
    Ok(Answer(row.into()))
}

/// A key as the document shows it.
pub fn example() -> serde_json::Value {
    json!({
        "id": "2", "name": "till 3", "hint": "tbx_4fTg", "scope": "WRITE", "operator": false, "perSecond": 0,
        "createdAt": "2026-11-20T12:00:00Z", "expiresAt": "2027-11-20T12:00:00Z", "revokedAt": null,
        "lastUsedAt": null,
    })
}

/// The request for it.
pub fn example_request() -> serde_json::Value {
    json!({"name": "till 3", "scope": "WRITE", "expiresAt": "2027-11-20T12:00:00Z"})
}

/// A new key as the document shows it.
pub fn example_created() -> serde_json::Value {
    json!({"secret": "tbx_ and 38 letters and digits", "key": example()})
}

pub fn router() -> ApiRouter<Serve> {
    let create = create_key::operation(TAG)
        .request(example_request())
        .answer("The key is made.", example_created())
        .problems(&[Kind::Conflict]);
    let list = list_keys::operation(TAG).answer(
        "A part of the list.",
        json!({"keys": [example()], "nextCursor": null}),
    );
    let change = change_key::operation(TAG)
        .request(json!({"expiresAt": "2027-11-20T12:00:00Z"}))
        .answer("The key is changed.", example());
    let revoke = revoke_key::operation(TAG).answer("The key is revoked.", example());
    ApiRouter::new()
        .api_route(
            "/keys",
            get(list_keys, list).merge(post(create_key, create)),
        )
        .api_route(
            "/keys/{keyId}",
            patch(change_key, change).merge(delete(revoke_key, revoke)),
        )
}
