//! `GET /changes`: what happened to the parcels of a shop, in order and without gaps.

use std::time::Duration;

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::feed::Crowded;
use crate::http::message::{self, Message};
use crate::http::trackings::TAG;
use crate::http::{Serve, veil};
use crate::model::change::Cursor;
use crate::model::tenant::Tenant;
use crate::serving::caller::{Caller, Reads};
use crate::serving::extract::Query;
use crate::serving::id::Id;
use crate::serving::operation::{documented, get};
use crate::serving::page::{any_number, limit, number};
use crate::serving::problem::{FieldError, Kind, Problem};
use crate::store::changes::{PAGE_MAX, PageError, ToldChange};

/// The longest wait for a change.
const WAIT_MAX: u64 = 25;

/// How much of the time of a request is left for its answer after a wait.
const ANSWER_TIME: Duration = Duration::from_secs(5);

/// How many changes are looked at for one answer of a filtered feed.
const LOOKED_AT_MAX: u32 = 5_000;

/// Which changes are asked for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ChangesQuery {
    /// The `cursor` of the last answer. `latest` begins behind the newest change; left out, with the oldest that is kept.
    #[schemars(example = &"latest")]
    after: Option<String>,
    /// How many at most: 1 to 500, default 100.
    #[schemars(with = "Option<u32>", transform = any_number, example = 100)]
    limit: Option<String>,
    /// How many seconds to wait for a change if there is none: 0 to 25, default 0.
    #[schemars(with = "Option<u32>", transform = any_number, example = 0)]
    wait: Option<String>,
    /// Only these types, separated by commas.
    #[schemars(regex(pattern = types_pattern()), example = &"tracking.updated")]
    types: Option<String>,
    /// Only the changes of this tracking.
    #[schemars(regex(pattern = "^(-?[0-9]+)?$"), example = &"1")]
    tracking_id: Option<String>,
}

/// The pattern of a list of types.
fn types_pattern() -> String {
    let one = message::TYPES.join("|").replace('.', r"\.");
    format!("^(({one})(,({one}))*)?$")
}

/// A part of the feed.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Changes {
    /// Oldest first.
    changes: Vec<Message>,
    /// Where to go on: give it as `after`. Keep it when you have dealt with the changes.
    cursor: String,
    /// Whether there are more changes already.
    more: bool,
}

/// The parameters as they were read.
struct Asked {
    limit: u32,
    until: Instant,
    types: Vec<String>,
    tracking_id: Option<i64>,
}

/// Follow all changes
///
/// Every change of your parcels, once, in order and without gaps: what a carrier reported, and what you did yourself. Go on
/// with the `cursor` of each answer; with `wait` the answer comes when there is a change. `changeSeq` counts the changes of a
/// parcel: that of a `tracking.updated` is the one before plus 1, the other types carry the number to count on from. Changes are
/// kept for `changes.keep` (30 days, unless the configuration says otherwise).
#[apply(documented)]
async fn list_changes(
    caller: Reads,
    State(serve): State<Serve>,
    Query(query): Query<ChangesQuery>,
) -> Result<axum::Json<Changes>, Problem> {
    let asked = Asked::read(&query, &serve)?;
    let mut after = match query.after.as_deref() {
        None | Some("") => None,
        Some("latest") => {
            let cursor = serve.store.feed_end(caller.tenant).await?;
            return Ok(axum::Json(Changes {
                changes: Vec::new(),
                cursor: cursor.text(),
                more: false,
            }));
        }
        Some(text) => Some(Cursor::parse(text).ok_or_else(|| {
            let detail = "after must be the cursor of an answer, or latest";
            Problem::invalid_at(FieldError::parameter("after", detail))
        })?),
    };
    let mut looked_at = 0;
    loop {
        let page = serve.store.changes(caller.tenant, after, asked.limit).await;
        let page = page.map_err(expired)?;
        looked_at += asked.limit;
        let mut changes = page.changes;
        changes.retain(|it| asked.takes(it));
        hide_names(&serve, &caller, &mut changes).await?;
        let changes: Vec<Message> = changes.iter().map(message::of).collect();
        let is_over = looked_at >= LOOKED_AT_MAX || Instant::now() >= asked.until;
        if !changes.is_empty() || (is_over && (!page.more || looked_at >= LOOKED_AT_MAX)) {
            return Ok(axum::Json(Changes {
                changes,
                cursor: page.next.text(),
                more: page.more,
            }));
        }
        after = Some(page.next);
        if !page.more {
            looked_at = 0;
            wait(&serve, caller.tenant, page.next.seq, asked.until).await?;
        }
    }
}

/// Takes the names of people out of what the caller is told, where they are not for it.
async fn hide_names(
    serve: &Serve,
    caller: &Caller,
    changes: &mut [ToldChange],
) -> Result<(), Problem> {
    let named = changes.iter_mut().filter_map(|it| {
        let has_names = it.names().next().is_some();
        has_names.then_some(it)
    });
    let named: Vec<&mut ToldChange> = named.collect();
    if named.is_empty() || caller.is_alone {
        return Ok(());
    }
    let ids = named.iter().map(|it| it.identity.tracking_id);
    let open = veil::open_to(serve, caller, ids).await?;
    for change in named {
        if !open.contains(&change.identity.tracking_id) {
            change.names().for_each(|name| *name = None);
        }
    }
    Ok(())
}

async fn wait(serve: &Serve, tenant: Tenant, seq: i64, until: Instant) -> Result<(), Problem> {
    serve
        .feed
        .wait(tenant, seq, until)
        .await
        .map_err(|Crowded| {
            let detail =
                "too many requests wait for changes in this process; ask without wait, or later";
            Problem::new(Kind::TooManyRequests, detail).retry_after(Duration::from_secs(5))
        })
}

fn expired(error: PageError) -> Problem {
    match error {
        PageError::Store(error) => error.into(),
        PageError::Expired => Problem::new(
            Kind::CursorExpired,
            "the change that this cursor names is not kept any more, or was lost when the database was restored. Begin anew: \
             take the cursor of after=latest, then read all your parcels with GET /trackings, then go on from that cursor",
        ),
    }
}

impl Asked {
    fn read(query: &ChangesQuery, serve: &Serve) -> Result<Self, Problem> {
        let limit = limit(query.limit.as_deref(), 100, PAGE_MAX).map_err(Problem::invalid_at)?;
        let wait = number("wait", query.wait.as_deref()).map_err(Problem::invalid_at)?;
        let wait = Duration::from_secs(wait.unwrap_or(0).min(WAIT_MAX));
        let longest = serve.http.request_timeout.get().saturating_sub(ANSWER_TIME);
        let types = query.types.as_deref().unwrap_or_default();
        let types = types.split(',').map(str::trim).filter(|it| !it.is_empty());
        let types: Vec<String> = types.map(str::to_owned).collect();
        if let Some(odd) = types
            .iter()
            .find(|it| !message::TYPES.contains(&it.as_str()))
        {
            let detail = format!(
                "{odd} is no type of change; there are {}",
                message::TYPES.join(", ")
            );
            return Err(Problem::invalid_at(FieldError::parameter("types", detail)));
        }
        let tracking_id = match query.tracking_id.as_deref() {
            None | Some("") => None,
            Some(text) => match Id::parse(text) {
                Id::Number(id) => Some(id),
                Id::Beyond => Some(-1),
                Id::Other => {
                    let detail = "trackingId must be a whole number";
                    return Err(Problem::invalid_at(FieldError::parameter(
                        "trackingId",
                        detail,
                    )));
                }
            },
        };
        Ok(Self {
            limit,
            until: Instant::now() + wait.min(longest),
            types,
            tracking_id,
        })
    }

    fn takes(&self, change: &ToldChange) -> bool {
        let of_type = self.types.is_empty()
            || self
                .types
                .iter()
                .any(|it| it == message::type_of(change.kind));
        of_type
            && self
                .tracking_id
                .is_none_or(|id| id == change.identity.tracking_id)
    }
}

pub fn router() -> ApiRouter<Serve> {
    let example: Value = json!({
        "changes": [message::example()], "cursor": "AQAAAAAAAAAJoVVoBg", "more": false,
    });
    let operation = list_changes::operation(TAG)
        .answer("A part of the feed.", example)
        .problems(&[Kind::Invalid, Kind::CursorExpired]);
    ApiRouter::new().api_route("/changes", get(list_changes, operation))
}
