//! `/tenants`: who has parcels here, for operators.

use aide::axum::ApiRouter;
use axum::Json as Answer;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use crate::clock::Time;
use crate::http::keys::{self, CreateKey, Once};
use crate::http::{ALWAYS, Serve};
use crate::model::tenant::{TenantCode, WEIGHT_MAX, name, weight};
use crate::serving::caller::{Administers, Operates};
use crate::serving::docs::{self, NAMING};
use crate::serving::extract::{Json, Path, Query};
use crate::serving::operation::{Tag, documented, get, patch, post};
use crate::serving::page::{Cursor, ListQuery};
use crate::serving::problem::{FieldError, Kind, Problem};
use crate::serving::whole::Whole;
use crate::store::tenants::{TenantEdit, TenantRow};

/// The operations on tenants.
pub const TAG: Tag = Tag {
    name: "tenants",
    description: "Shops that share this installation without seeing each other's parcels. For operators.",
    problems: ALWAYS,
};

/// The pattern of a tenant's code.
const CODE: &str = "^[a-z0-9-]{1,40}$";

/// The tenant of a path.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TenantPath {
    /// The tenant's code.
    #[schemars(regex(pattern = CODE), example = &"shop")]
    tenant_code: String,
}

/// The tenant to make.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct CreateTenant {
    /// 1 to 40 of the characters a-z, 0-9 and -.
    #[schemars(regex(pattern = CODE))]
    code: String,
    /// What people call it: 1 to 100 characters. Default: its code.
    #[schemars(regex(pattern = NAMING), length(min = 1, max = 100))]
    name: Option<String>,
    /// The most parcels that it may have, archived ones included; null or left out: no limit.
    #[serde(default, rename = "parcelsMax", alias = "parcels_max")]
    parcels_max: Option<Whole>,
}

/// A tenant.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Tenant", transform = docs::all_required)]
pub struct TenantAnswer {
    code: String,
    name: String,
    /// The most parcels that it may have, archived ones included; null for no limit.
    parcels_max: Option<u32>,
    /// Its share of an account's calls beside the other tenants', while several want them.
    weight: u32,
    /// Since when its keys are refused; null if they are not.
    disabled_at: Option<Time>,
    created_at: Time,
}

/// A part of the list, oldest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct Tenants {
    tenants: Vec<TenantAnswer>,
    /// The cursor of the next part; null in the last part.
    next_cursor: Option<String>,
}

/// What to change of a tenant. A field that is left out stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(transform = docs::some_required)]
pub struct ChangeTenant {
    /// Whether its keys are refused.
    #[serde(default)]
    #[schemars(with = "bool")]
    disabled: Option<bool>,
    /// The most parcels that it may have, archived ones included; null for no limit. It keeps what it has beyond.
    #[serde(
        default,
        rename = "parcelsMax",
        alias = "parcels_max",
        deserialize_with = "given"
    )]
    #[schemars(with = "Option<Whole>")]
    parcels_max: Option<Option<Whole>>,
    /// Its share of an account's calls beside the other tenants', while several want them: 1, as for a new one, to 1000.
    #[serde(default)]
    #[schemars(with = "Whole", range(min = 1, max = WEIGHT_MAX))]
    weight: Option<Whole>,
}

/// A value that is there; null too.
fn given<'de, D: Deserializer<'de>>(json: D) -> Result<Option<Option<Whole>>, D::Error> {
    Option::deserialize(json).map(Some)
}

impl TenantPath {
    fn code(&self) -> Result<TenantCode, Problem> {
        TenantCode::parse(self.tenant_code.as_str()).map_err(|why| {
            Problem::invalid_at(FieldError::parameter(
                "tenantCode",
                format!("tenantCode {why}"),
            ))
        })
    }

    fn not_found(&self) -> Problem {
        let detail = format!("there is no tenant {}", self.tenant_code);
        Problem::new(Kind::NotFound, detail)
    }
}

impl From<TenantRow> for TenantAnswer {
    fn from(row: TenantRow) -> Self {
        Self {
            code: row.code.to_string(),
            name: row.name,
            parcels_max: row.parcels_max,
            weight: row.weight,
            disabled_at: row.disabled_at,
            created_at: row.created_at,
        }
    }
}

/// Make a tenant
///
/// It has no key yet: make one with `POST /tenants/{tenantCode}/keys`.
#[apply(documented)]
async fn create_tenant(
    caller: Operates,
    _: Administers,
    State(serve): State<Serve>,
    Json(request): Json<CreateTenant>,
) -> Result<Answer<TenantAnswer>, Problem> {
    let code = TenantCode::parse(request.code.as_str())
        .map_err(|why| Problem::invalid_at(FieldError::at("/code", format!("code {why}"))))?;
    let name = name(request.name.as_deref().unwrap_or(code.as_str()))
        .map_err(|why| Problem::invalid_at(FieldError::at("/name", format!("name {why}"))))?;
    let (max, now) = (request.parcels_max.map(|it| it.0), serve.clock.now());
    let made = serve
        .store
        .create_tenant(&code, &name, max, caller.key, now);
    let row = made.await?.ok_or_else(|| {
        let detail = format!("there is a tenant {code} already");
        Problem::new(Kind::Conflict, detail)
    })?;
    Ok(Answer(row.into()))
}

/// List the tenants
///
/// Oldest first; also those that are disabled. The tenant `default` is there from the start.
#[apply(documented)]
async fn list_tenants(
    _: Operates,
    State(serve): State<Serve>,
    Query(query): Query<ListQuery<Cursor, 100, 500>>,
) -> Result<Answer<Tenants>, Problem> {
    let (limit, after) = (query.limit()?, query.after()?);
    // One row more than asked for tells whether there is a next part.
    let mut rows = serve.store.tenants(after, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let last = rows.last().filter(|_| more);
    Ok(Answer(Tenants {
        next_cursor: last.map(|row| row.tenant.id().to_string()),
        tenants: rows.into_iter().map(TenantAnswer::from).collect(),
    }))
}

/// Disable, enable, limit or weigh a tenant
///
/// The keys of a disabled tenant are refused, in every process within ten seconds. Its parcels stay and are checked on. The
/// tenant `default` cannot be disabled. Parcels beyond `parcelsMax` are refused when they are created.
#[apply(documented)]
async fn change_tenant(
    caller: Operates,
    _: Administers,
    State(serve): State<Serve>,
    Path(path): Path<TenantPath>,
    Json(request): Json<ChangeTenant>,
) -> Result<Answer<TenantAnswer>, Problem> {
    let code = path.code()?;
    if (request.disabled, request.parcels_max, request.weight) == (None, None, None) {
        let detail = "must say what to change: disabled, parcelsMax or weight";
        return Err(Problem::invalid_at(FieldError::at("", detail)));
    }
    if request.disabled == Some(true) {
        code.may_be_disabled()
            .map_err(|why| Problem::new(Kind::Conflict, why))?;
    }
    let wanted = request.weight.map(|it| weight(it.0)).transpose();
    let edit = TenantEdit {
        disabled: request.disabled,
        parcels_max: request.parcels_max.map(|it| it.map(|it| it.0)),
        weight: wanted.map_err(|why| {
            Problem::invalid_at(FieldError::at("/weight", format!("weight {why}")))
        })?,
    };
    let now = serve.clock.now();
    let changed = serve.store.change_tenant(&code, edit, caller.key, now);
    let row = changed.await?.ok_or_else(|| path.not_found())?;
    serve.gate.forget_keys();
    Ok(Answer(row.into()))
}

/// Make a key of a tenant
///
/// For a tenant's first key; with one of scope ADMIN the tenant makes its others. The answer alone has the key itself.
#[apply(documented)]
async fn create_key_of_tenant(
    caller: Operates,
    _: Administers,
    State(serve): State<Serve>,
    Path(path): Path<TenantPath>,
    Json(request): Json<CreateKey>,
) -> Result<Once, Problem> {
    let found = serve.store.tenant(&path.code()?).await?;
    let tenant = found.ok_or_else(|| path.not_found())?.tenant;
    keys::create(&serve, tenant, &caller, request).await
}

pub fn router() -> ApiRouter<Serve> {
    let example = json!({
        "code": "shop", "name": "Shop in Berlin", "parcelsMax": 100_000, "weight": 1, "disabledAt": null, "createdAt": "2026-11-20T12:00:00Z",
    });
    let create = create_tenant::operation(TAG)
        .request(json!({"code": "books", "name": "Books in Berlin"}))
        .answer("The tenant is made.", example.clone())
        .problems(&[Kind::Conflict]);
    let list = list_tenants::operation(TAG).answer(
        "A part of the list.",
        json!({"tenants": [example.clone()], "nextCursor": null}),
    );
    let change = change_tenant::operation(TAG)
        .request(json!({"disabled": false, "parcelsMax": 100_000, "weight": 1}))
        .answer("The tenant is changed.", example)
        .problems(&[Kind::Conflict]);
    let key = create_key_of_tenant::operation(TAG)
        .request(keys::example_request())
        .answer("The key is made.", keys::example_created())
        .problems(&[Kind::Conflict]);
    ApiRouter::new()
        .api_route(
            "/tenants",
            get(list_tenants, list).merge(post(create_tenant, create)),
        )
        .api_route("/tenants/{tenantCode}", patch(change_tenant, change))
        .api_route(
            "/tenants/{tenantCode}/keys",
            post(create_key_of_tenant, key),
        )
}
