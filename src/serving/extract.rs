//! Extractors: a JSON body, the path, the query. If one cannot be read, the answer is a problem.
//!
//! The Content-Type of a body is ignored. A compressed body is refused, so that no body is larger than what was sent.

use std::time::Duration;

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{MediaType, Operation, RequestBody, SchemaObject};
use aide::operation::{ParamLocation, set_body};
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use tokio::time::{Instant, timeout_at};

use crate::serving::docs::document_parameters;
use crate::serving::problem::{FieldError, Kind, Problem};

/// The most bytes of a refused body that are read and dropped: a client that is still sending would otherwise lose the
/// answer.
const DISCARD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The limits of a request, which carries them as an extension.
#[derive(Clone, Copy, Debug)]
pub struct RequestLimits {
    /// The most bytes of a body.
    pub body_bytes_max: usize,
    /// When the answer is due.
    pub deadline: Instant,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            body_bytes_max: 8 * 1024 * 1024,
            deadline: Instant::now() + Duration::from_secs(30),
        }
    }
}

/// A JSON body of any Content-Type.
#[derive(Clone, Copy, Debug)]
pub struct Json<T>(pub T);

/// The parameters of the path.
#[derive(Clone, Copy, Debug)]
pub struct Path<T>(pub T);

/// The parameters of the query.
#[derive(Clone, Copy, Debug)]
pub struct Query<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        parse_object(&read(request).await?).map(Self)
    }
}

/// Reads a whole body, within the request's limits.
pub(super) async fn read(request: Request) -> Result<Vec<u8>, Problem> {
    let (parts, body) = request.into_parts();
    let limits = parts.extensions.get::<RequestLimits>();
    let limits = limits.copied().unwrap_or_default();
    let read = read_body(&parts.headers, body, limits.body_bytes_max);
    // The whole request has the same deadline; this inner timer is polled first.
    timeout_at(limits.deadline, read)
        .await
        .map_err(|_| Problem::slow_request())?
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::invalid(
                format!("the path cannot be read: {}", rejection.body_text()),
                Vec::new(),
            )),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::invalid(
                format!("the query cannot be read: {}", rejection.body_text()),
                Vec::new(),
            )),
        }
    }
}

/// Reads a body of at most `bytes_max`.
pub async fn read_body(
    headers: &HeaderMap,
    body: Body,
    bytes_max: usize,
) -> Result<Vec<u8>, Problem> {
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::new();
    let refused = if is_encoded(headers) {
        Problem::new(Kind::EncodedBody, "send the body without Content-Encoding")
    } else {
        let too_large = || {
            let detail = format!("a body may have at most {bytes_max} bytes");
            Problem::new(Kind::BodyTooLarge, detail)
        };
        if declared_length(headers).is_some_and(|length| length > bytes_max as u64) {
            too_large()
        } else {
            loop {
                let Some(chunk) = chunks.next().await else {
                    return Ok(bytes);
                };
                let chunk: Bytes = chunk.map_err(|error| {
                    Problem::invalid(format!("the body broke off: {error}"), Vec::new())
                })?;
                if bytes.len() + chunk.len() > bytes_max {
                    break too_large();
                }
                bytes.extend_from_slice(&chunk);
            }
        }
    };
    let mut discarded = 0;
    while let Some(Ok(chunk)) = chunks.next().await {
        discarded += chunk.len();
        if discarded > DISCARD_BYTES_MAX {
            break;
        }
    }
    Err(refused)
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| {
            value.to_str().map_or(true, |text| {
                text.split(',')
                    .map(str::trim)
                    .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case("identity"))
            })
        })
}

fn declared_length(headers: &HeaderMap) -> Option<u64> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

/// Reads a JSON object. The fields of a type would be read from a list too, by their order; only the empty one is taken for
/// an object without fields, by the wire contract.
pub(super) fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let value = parse(bytes)?;
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let list = text.trim_ascii().strip_prefix(b"[");
    if list.is_some_and(|list| list.trim_ascii() != b"]") {
        let detail = "must be a JSON object, this is a list";
        return Err(Problem::invalid_at(FieldError::at("", detail)));
    }
    Ok(value)
}

/// Reads JSON, with or without a byte order mark; an error has a line and column, or a JSON pointer.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // RFC 8259, section 8.1: a reader may ignore the mark.
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if is_utf16(bytes) {
        let detail = "the body is UTF-16 or UTF-32; send the JSON as UTF-8";
        return Err(Problem::invalid(detail, Vec::new()));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to();
        let detail = format!("the body is not UTF-8: byte {at} is not part of a character");
        Problem::invalid(detail, Vec::new())
    })?;
    if text.trim().is_empty() {
        return Err(Problem::invalid(
            "the body is empty, expected JSON",
            Vec::new(),
        ));
    }
    // Following the path costs a tenth of a request, and only an error needs it.
    if let Ok(value) = serde_json::from_str(text) {
        return Ok(value);
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        if error.is_data() {
            let detail = format!("the body is not as expected: {error}");
            Problem::invalid(detail, vec![FieldError::at(pointer, error.to_string())])
        } else {
            not_json(&error)
        }
    })?;
    deserializer.end().map_err(|error| not_json(&error))?;
    Ok(value)
}

/// Whether a body is in an encoding of two or four bytes a character: by its mark, or by the zeros beside the first one.
fn is_utf16(bytes: &[u8]) -> bool {
    matches!(
        bytes,
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] | [0, _, ..] | [_, 0, ..]
    )
}

fn not_json(error: &serde_json::Error) -> Problem {
    Problem::invalid(format!("the body is not JSON: {error}"), Vec::new())
}

/// A path as a JSON pointer (RFC 6901), without the segments that JSON has no name for.
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&key.replace('~', "~0").replace('/', "~1"));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

impl<T: JsonSchema> OperationInput for Json<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = SchemaObject {
            json_schema: ctx.schema.subschema_for::<T>(),
            external_docs: None,
            example: None,
        };
        let media = MediaType {
            schema: Some(schema),
            ..MediaType::default()
        };
        let body = RequestBody {
            content: [("application/json".to_owned(), media)]
                .into_iter()
                .collect(),
            required: true,
            ..RequestBody::default()
        };
        set_body(ctx, operation, body);
    }
}

impl<T: JsonSchema> OperationInput for Path<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<T>();
        document_parameters(ctx, operation, schema, ParamLocation::Path);
    }
}

impl<T: JsonSchema> OperationInput for Query<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        let schema = ctx.schema.subschema_for::<T>();
        document_parameters(ctx, operation, schema, ParamLocation::Query);
    }
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderValue, header};
    use serde::Deserialize;
    use serde::de::IgnoredAny;
    use serde_json::value::RawValue;

    use super::{is_encoded, parse, pointer};
    use crate::serving::id::Id;
    use crate::serving::list::List;

    #[derive(Debug, Deserialize)]
    struct Outer {
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    struct Inner {
        #[expect(dead_code, reason = "only its type matters")]
        number: u8,
    }

    #[test]
    fn a_wrong_value_is_named_by_its_json_pointer() {
        let json = r#"{"list": [{"number": 1}, {"number": "x"}]}"#;
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let error =
            serde_path_to_error::deserialize::<_, Outer>(&mut deserializer).expect_err("is wrong");
        assert_eq!(pointer(error.path()), "/list/1/number");
    }

    #[test]
    fn broken_json_is_refused_with_line_and_column() {
        for (body, part) in [
            (&b"{\"list\": [\n{]}"[..], "line 2 column 2"),
            (b"", "empty"),
            (b" \n", "empty"),
            (b"{\"list\": []} x", "trailing characters"),
            (b"{\"list\"", "EOF"),
            (b"{\"list\": [\xff]}", "byte 10"),
        ] {
            let problem = parse::<Outer>(body).expect_err("is refused");
            let shown = format!("{problem:?}");
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_taken_and_another_encoding_told() {
        let marked = parse::<Outer>("\u{feff}{\"list\": [{\"number\": 1}]}".as_bytes());
        assert_eq!(marked.expect("is read").list.len(), 1);
        let empty = parse::<Outer>("\u{feff}".as_bytes()).expect_err("is refused");
        assert!(format!("{empty:?}").contains("empty"));
        let units: Vec<u16> = "\u{feff}{\"list\": []}".encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        for body in [&little[..], &big, &little[2..], &big[2..]] {
            let problem = parse::<Outer>(body).expect_err("is refused");
            assert!(format!("{problem:?}").contains("send the JSON as UTF-8"));
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let body = "[".repeat(1_000_000);
        let problem = parse::<serde_json::Value>(body.as_bytes()).expect_err("is refused");
        assert!(format!("{problem:?}").contains("recursion limit"));
    }

    #[test]
    fn any_coding_but_identity_is_an_encoded_body() {
        for (value, expected) in [
            ("gzip", true),
            ("identity, gzip", true),
            ("br", true),
            ("identity", false),
            ("Identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(is_encoded(&headers), expected, "{value}");
        }
        assert!(!is_encoded(&HeaderMap::new()));
    }

    proptest::proptest! {
        #[test]
        fn any_body_is_read_or_refused(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..64),
            json in r#"[\[\]{}",:.eE0-9a-z \\-]{0,64}"#,
        ) {
            for body in [&bytes[..], json.as_bytes(), format!("[{json}]").as_bytes()] {
                let read = [
                    parse::<List<Id, 4>>(body).is_ok(),
                    parse::<List<Box<RawValue>, 4>>(body).is_ok(),
                    parse::<IgnoredAny>(body).is_ok(),
                ];
                // A lenient list, too, takes nothing but JSON.
                proptest::prop_assert!(read[2] || !(read[0] || read[1]), "{}", String::from_utf8_lossy(body));
            }
        }
    }
}
