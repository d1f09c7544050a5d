//! `GET /dead-letters`: the records that were set aside. `POST /dead-letters/{deadLetterId}/retry`: publishes one again.

use aide::axum::ApiRouter;
use axum::extract::State;
use macro_rules_attribute::apply;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::clock::Time;
use crate::http::{ALWAYS, Serve};
use crate::kafka::record::Outgoing;
use crate::model::act::Deed;
use crate::serving::caller::Operates;
use crate::serving::docs;
use crate::serving::extract::Query;
use crate::serving::id::{HasId, IdPath};
use crate::serving::operation::{Tag, documented, get, post};
use crate::serving::page::{Cursor, ListQuery};
use crate::serving::problem::{Kind, Problem};
use crate::store::dead_letters::DeadLetter;

/// The operations on dead letters.
pub const TAG: Tag = Tag {
    name: "dead letters",
    description: "Records of the topic that could not be read or applied.",
    problems: ALWAYS,
};

/// A part of the list, newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct DeadLetters {
    dead_letters: Vec<Letter>,
    /// The cursor of the next part; null in the last part.
    next_cursor: Option<String>,
}

/// A record that could not be read or applied.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "DeadLetter", transform = docs::all_required)]
struct Letter {
    id: String,
    topic: String,
    partition: i32,
    /// A 64-bit number in decimal.
    offset: String,
    /// The key as text, with U+FFFD for bytes that are not UTF-8. Null if the record had no key.
    key: Option<String>,
    /// The first 65,536 bytes of the value as text, with U+FFFD for bytes that are not UTF-8.
    value: String,
    /// The bytes of the whole value.
    size_bytes: i64,
    /// Why it was set aside.
    error: String,
    /// When it was set aside.
    at: Time,
}

impl HasId for Letter {
    const NAME: &'static str = "dead letter";
    const PARAMETER: &'static str = "deadLetterId";
    const EXAMPLE: &'static str = "3";
}

impl From<DeadLetter> for Letter {
    fn from(letter: DeadLetter) -> Self {
        Self {
            id: letter.id.to_string(),
            topic: letter.topic,
            partition: letter.partition,
            offset: letter.offset.to_string(),
            key: letter
                .key
                .map(|key| String::from_utf8_lossy(&key).into_owned()),
            value: String::from_utf8_lossy(&letter.value).into_owned(),
            size_bytes: letter.size_bytes,
            error: letter.error,
            at: letter.at,
        }
    }
}

/// List the records that were set aside
///
/// Records of the topic that could not be read or applied, newest first. They hold up no other record. At most 100,000 are
/// kept, for 30 days.
#[apply(documented)]
async fn list_dead_letters(
    _: Operates,
    State(serve): State<Serve>,
    Query(query): Query<ListQuery<Cursor, 20, 100>>,
) -> Result<axum::Json<DeadLetters>, Problem> {
    let (limit, after) = (query.limit()?, query.after()?);
    // One row more than asked for tells whether there is a next part.
    let mut letters = serve.store.dead_letters(after, limit + 1).await?;
    let more = letters.len() > limit as usize;
    letters.truncate(limit as usize);
    let last = letters.last().filter(|_| more);
    Ok(axum::Json(DeadLetters {
        next_cursor: last.map(|letter| letter.id.to_string()),
        dead_letters: letters.into_iter().map(Letter::from).collect(),
    }))
}

/// The record was published again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Retried {
    published: bool,
}

/// Publish a record again
///
/// Publishes the record's key and value on the topic and deletes the dead letter. If the record still cannot be read or
/// applied, it becomes a new dead letter. The body is ignored.
#[apply(documented)]
async fn retry_dead_letter(
    caller: Operates,
    State(serve): State<Serve>,
    path: IdPath<Letter>,
) -> Result<axum::Json<Retried>, Problem> {
    let id = path.id()?;
    // Two requests at once may publish the record twice. That is harmless: an update takes effect once.
    let letter = serve
        .store
        .dead_letter(id)
        .await?
        .ok_or_else(|| path.not_found())?;
    let kept = letter.value.len();
    if i64::try_from(kept).unwrap_or(i64::MAX) < letter.size_bytes {
        let detail = format!(
            "only the first {kept} of its {} bytes were kept, so it cannot be published again",
            letter.size_bytes
        );
        return Err(Problem::new(Kind::Conflict, detail));
    }
    let Some(bus) = &serve.bus else {
        let detail = "this process has no bus to publish on: kafka.brokers is not set";
        return Err(Problem::unavailable(detail, None));
    };
    let record = Outgoing {
        key: letter.key.unwrap_or_default(),
        value: letter.value,
    };
    bus.publish(vec![record]).await.map_err(|error| {
        Problem::unavailable("the bus does not accept the record now", Some(error.into()))
    })?;
    let act = caller.act(Deed::DeadLetterRetried, format!("dead letter {id}"));
    serve.store.note_act(&act, serve.clock.now()).await?;
    serve.store.delete_dead_letter(id).await?;
    Ok(axum::Json(Retried { published: true }))
}

pub fn router() -> ApiRouter<Serve> {
    let example = json!({"deadLetters": [{
        "id": "3", "topic": "tracking.updated", "partition": 0, "offset": "4711", "key": "1", "value": "no JSON",
        "sizeBytes": 7, "error": "the value is no JSON: expected ident at line 1 column 2",
        "at": "2026-11-20T12:00:02Z",
    }], "nextCursor": null});
    let list = list_dead_letters::operation(TAG).answer("A part of the list.", example);
    let retry = retry_dead_letter::operation(TAG)
        .answer("The record is published.", json!({"published": true}))
        .problems(&[Kind::Conflict]);
    ApiRouter::new()
        .api_route("/dead-letters", get(list_dead_letters, list))
        .api_route(
            "/dead-letters/{deadLetterId}/retry",
            post(retry_dead_letter, retry),
        )
}
