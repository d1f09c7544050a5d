//! `GET /dead-letters`: records that were set aside. `POST /dead-letters/{deadLetterId}/retry`: publishes one again.

use aide::transform::TransformOperation;
use axum::extract::State;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Time;
use crate::http::Serve;
use crate::kafka::record::Outgoing;
use crate::serving::extract::{Path, Query};
use crate::serving::list::Id;
use crate::serving::problem::{FieldError, Kind, Problem};
use crate::serving::{docs, page};
use crate::store::dead_letters::DeadLetter;

/// The tag of the operations on dead letters in the document.
pub const TAG: &str = "dead letters";

const LIMIT_DEFAULT: u32 = 20;
const LIMIT_MAX: u32 = 100;

/// Which part of the list.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Part {
    /// How many at most: 1 to 100, default 20.
    #[schemars(with = "Option<i64>", example = 20)]
    limit: Option<String>,
    /// The `nextCursor` of the answer before.
    cursor: Option<String>,
}

/// A part of the list, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(transform = docs::all_required)]
pub struct DeadLetters {
    dead_letters: Vec<Letter>,
    /// The cursor of the next part; null after the last.
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
    /// As text; bytes that are none are shown as U+FFFD. Null where the record had no key.
    key: Option<String>,
    /// The first 65,536 bytes, as text; bytes that are none are shown as U+FFFD.
    value: String,
    /// How many bytes the whole value had.
    size_bytes: i64,
    /// Why it was set aside.
    error: String,
    /// When it was set aside.
    at: Time,
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

/// Answers a part of the list.
pub async fn list(
    State(serve): State<Serve>,
    Query(part): Query<Part>,
) -> Result<axum::Json<DeadLetters>, Problem> {
    let limit = page::limit(part.limit.as_deref(), LIMIT_DEFAULT, LIMIT_MAX)
        .map_err(Problem::invalid_at)?;
    let before = match part.cursor.as_deref().unwrap_or_default() {
        "" => None,
        cursor => match Id::parse(cursor) {
            Id::Number(id) => Some(id),
            Id::Beyond | Id::Other => {
                let error = FieldError::parameter(
                    "cursor",
                    "cursor must be the nextCursor of an answer before",
                );
                return Err(Problem::invalid_at(error));
            }
        },
    };
    // One more than asked for tells whether there is a next part.
    let mut letters = serve.store.dead_letters(before, limit + 1).await?;
    let more = letters.len() > limit as usize;
    letters.truncate(limit as usize);
    let last = letters.last().filter(|_| more);
    Ok(axum::Json(DeadLetters {
        next_cursor: last.map(|letter| letter.id.to_string()),
        dead_letters: letters.into_iter().map(Letter::from).collect(),
    }))
}

/// Which letter.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct DeadLetterPath {
    /// The letter's id.
    #[serde(rename = "deadLetterId")]
    #[schemars(example = "3", regex(pattern = "^-?[0-9]+$"))]
    dead_letter_id: String,
}

impl DeadLetterPath {
    fn not_found(&self) -> Problem {
        Problem::new(
            Kind::NotFound,
            format!("there is no dead letter {}", self.dead_letter_id),
        )
    }
}

/// A letter that is on its way again.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Retried {
    published: bool,
}

/// Publishes a letter's record again and forgets the letter.
///
/// Twice at once publishes it twice, which changes nothing: an update takes effect once.
pub async fn retry(
    State(serve): State<Serve>,
    Path(path): Path<DeadLetterPath>,
) -> Result<axum::Json<Retried>, Problem> {
    let id = match Id::parse(&path.dead_letter_id) {
        Id::Number(id) => id,
        Id::Beyond => return Err(path.not_found()),
        Id::Other => {
            let error =
                FieldError::parameter("deadLetterId", "deadLetterId must be a whole number");
            return Err(Problem::invalid_at(error));
        }
    };
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
        Problem::unavailable("the bus does not take the record now", Some(error.into()))
    })?;
    serve.store.delete_dead_letter(id).await?;
    Ok(axum::Json(Retried { published: true }))
}

pub fn list_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("listDeadLetters")
        .tag(TAG)
        .summary("Records that were set aside")
        .description(
            "Records of the topic that could not be read or applied, the newest first. They stop nobody; at most 100,000 \
             are kept, for 30 days.",
        );
    let example = json!({"deadLetters": [{
        "id": "3", "topic": "tracking.updated", "partition": 0, "offset": "4711", "key": "1", "value": "no JSON",
        "sizeBytes": 7, "error": "the value is no JSON: expected ident at line 1 column 2",
        "at": "2026-11-20T12:00:02Z",
    }], "nextCursor": null});
    let op = docs::answer::<DeadLetters>(op, "A part of the list.", example);
    docs::problems(
        op,
        &[
            Kind::Invalid,
            Kind::TooManyRequests,
            Kind::Internal,
            Kind::Unavailable,
        ],
    )
}

pub fn retry_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("retryDeadLetter")
        .tag(TAG)
        .summary("Publish a record again")
        .description(
            "Publishes the record's key and value on the topic and forgets the letter. If it still cannot be read or \
             applied, it comes back as another letter. The body is ignored.",
        );
    let op = docs::answer::<Retried>(op, "It is published.", json!({"published": true}));
    docs::problems(
        op,
        &[
            Kind::CrossSite,
            Kind::NotFound,
            Kind::Conflict,
            Kind::Invalid,
            Kind::TooManyRequests,
            Kind::Internal,
            Kind::Unavailable,
        ],
    )
}
