//! The OpenAPI document and the page that shows it, with nothing fetched from outside.

use std::sync::OnceLock;

use aide::generate::in_context;
use aide::openapi::{
    Header, HeaderStyle, Info, License, MediaType, OpenApi, ParameterSchemaOrContent, ReferenceOr,
    Response, SchemaObject, StatusCode, Tag,
};
use aide::swagger::Swagger;
use aide::transform::TransformOperation;
use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use schemars::{JsonSchema, Schema, json_schema};
use serde_json::{Map, Value, json};

use crate::serving::problem::{FieldError, Kind, PROBLEM_JSON, ProblemBody};

/// Forbids the page to load or ask anything that is not this server's own.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A document without operations yet.
pub fn document(title: &str, description: &str, tags: &[(&str, &str)]) -> OpenApi {
    OpenApi {
        info: Info {
            title: title.to_owned(),
            description: Some(description.to_owned()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            license: Some(License {
                name: "MIT".to_owned(),
                identifier: Some("MIT".to_owned()),
                ..License::default()
            }),
            ..Info::default()
        },
        tags: tags
            .iter()
            .map(|(name, description)| Tag {
                name: (*name).to_owned(),
                description: Some((*description).to_owned()),
                ..Tag::default()
            })
            .collect(),
        ..OpenApi::default()
    }
}

/// `/swagger.json`, `/docs/`, and the way there from `/` and `/docs`.
pub fn routes(document: &OpenApi) -> Router {
    // A document is made of strings, numbers and maps of them: it always serializes.
    let json = Bytes::from(serde_json::to_vec(document).unwrap_or_default());
    let swagger = move || async move { ([(header::CONTENT_TYPE, "application/json")], json) };
    Router::new()
        .route("/swagger.json", get(swagger))
        .route("/docs/", get(page))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/", get(async || Redirect::temporary("/docs/")))
}

async fn page() -> impl IntoResponse {
    // Made when it is first asked for: 1.6 MB that most processes never need.
    static PAGE: OnceLock<Bytes> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        // Relative, so that it works behind a proxy that puts all this under a path.
        Bytes::from(
            Swagger::new("../swagger.json")
                .with_title("TrackBox API")
                .html(),
        )
    });
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, PAGE_POLICY),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, page.clone())
}

/// Documents the answer 200.
pub fn answer<'t, T: JsonSchema>(
    op: TransformOperation<'t>,
    description: &str,
    example: Value,
) -> TransformOperation<'t> {
    let schema = in_context(|ctx| ctx.schema.subschema_for::<T>());
    let media = MediaType {
        schema: Some(schema_object(schema)),
        example: Some(example),
        ..MediaType::default()
    };
    respond(op, 200, description, "application/json", media)
}

/// Documents the answer 200 as a text of its own kind.
pub fn text_answer<'t>(
    op: TransformOperation<'t>,
    kind: &str,
    description: &str,
    example: &str,
) -> TransformOperation<'t> {
    let media = MediaType {
        schema: Some(schema_object(json_schema!({"type": "string"}))),
        example: Some(Value::from(example)),
        ..MediaType::default()
    };
    respond(op, 200, description, kind, media)
}

/// Documents an example of the request's body, fit to be pasted.
pub fn request_example<'t>(
    mut op: TransformOperation<'t>,
    example: Value,
) -> TransformOperation<'t> {
    if let Some(ReferenceOr::Item(body)) = &mut op.inner_mut().request_body {
        for media in body.content.values_mut() {
            media.example = Some(example.clone());
        }
    }
    op
}

/// Documents the problems that an operation may answer with.
pub fn problems<'t>(op: TransformOperation<'t>, kinds: &[Kind]) -> TransformOperation<'t> {
    kinds.iter().fold(op, |op, kind| problem(op, *kind))
}

fn problem(op: TransformOperation<'_>, kind: Kind) -> TransformOperation<'_> {
    let schema = in_context(|ctx| ctx.schema.subschema_for::<ProblemBody<'_>>());
    let errors = match kind {
        Kind::Invalid => vec![FieldError::at("/items/17/trackNumber", "must not be empty")],
        _ => Vec::new(),
    };
    let body = ProblemBody {
        kind: kind.urn(),
        title: kind.title(),
        status: kind.status().as_u16(),
        detail: example_detail(kind),
        request_id: Some("0199f6a2-5b1c-7d3e-8f40-112233445566"),
        errors: &errors,
        more_errors: 0,
    };
    let media = MediaType {
        schema: Some(schema_object(schema)),
        example: Some(json!(body)),
        ..MediaType::default()
    };
    let mut op = respond(
        op,
        kind.status().as_u16(),
        kind.title(),
        PROBLEM_JSON,
        media,
    );
    if matches!(kind, Kind::TooManyRequests | Kind::Unavailable) {
        let header = Header {
            description: Some("When to come back, in seconds.".to_owned()),
            style: HeaderStyle::Simple,
            required: true,
            deprecated: None,
            format: ParameterSchemaOrContent::Schema(schema_object(
                json_schema!({"type": "integer", "minimum": 1}),
            )),
            example: Some(json!(1)),
            examples: Default::default(),
            extensions: Default::default(),
        };
        if let Some(ReferenceOr::Item(response)) = response_of(&mut op, kind.status().as_u16()) {
            response
                .headers
                .insert("Retry-After".to_owned(), ReferenceOr::Item(header));
        }
    }
    op
}

fn example_detail(kind: Kind) -> &'static str {
    match kind {
        Kind::CrossSite => "the browser says that another site made this request",
        Kind::NotFound => "there is no tracking 4711",
        Kind::MethodNotAllowed => "the header `allow` lists the methods of this path",
        Kind::SlowRequest => "the body did not arrive in time",
        Kind::Conflict => {
            "only the first 65536 of its 100000 bytes were kept, so it cannot be published again"
        }
        Kind::BodyTooLarge => "a body may have at most 8388608 bytes",
        Kind::UrlTooLong => "a URL may have at most 8192 bytes",
        Kind::EncodedBody => "send the body without Content-Encoding",
        Kind::Invalid => "1 of 18 items is refused; nothing was created",
        Kind::TooManyRequests => "this client makes too many requests",
        Kind::Internal => "the cause is in the log, under the id of this request",
        Kind::Unavailable => "the database is not available",
    }
}

fn respond<'t>(
    mut op: TransformOperation<'t>,
    status: u16,
    description: &str,
    kind: &str,
    media: MediaType,
) -> TransformOperation<'t> {
    let response = Response {
        description: description.to_owned(),
        content: [(kind.to_owned(), media)].into_iter().collect(),
        ..Response::default()
    };
    let responses = op
        .inner_mut()
        .responses
        .get_or_insert_with(Default::default);
    responses
        .responses
        .insert(StatusCode::Code(status), ReferenceOr::Item(response));
    op
}

fn response_of<'a>(
    op: &'a mut TransformOperation<'_>,
    status: u16,
) -> Option<&'a mut ReferenceOr<Response>> {
    let responses = op.inner_mut().responses.as_mut()?;
    responses.responses.get_mut(&StatusCode::Code(status))
}

/// Marks every field of an object as always there, null or not: a transform for schemas.
pub fn all_required(schema: &mut Schema) {
    let names = |fields: &Map<String, Value>| fields.keys().cloned().map(Value::String).collect();
    let fields = schema.get("properties").and_then(Value::as_object);
    if let Some(names) = fields.map(names) {
        schema.insert("required".to_owned(), Value::Array(names));
    }
}

fn schema_object(json_schema: Schema) -> SchemaObject {
    SchemaObject {
        json_schema,
        external_docs: None,
        example: None,
    }
}
