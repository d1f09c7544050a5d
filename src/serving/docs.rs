//! The OpenAPI document, and the page that shows it without loading anything from outside.

use std::sync::OnceLock;

use aide::generate::GenContext;
use aide::openapi::{
    self, Components, Info, License, OpenApi, Operation, Parameter, ReferenceOr, SecurityScheme,
};
use aide::operation::{ParamLocation, add_parameters, parameters_from_schema};
use aide::swagger::Swagger;
use axum::Router;
use axum::body::Bytes;
use axum::http::header;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::serving::caller::KEYS;
use crate::serving::operation::Tag;

/// Lets the page load and request nothing but what this server serves.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The pattern of a text without control characters.
pub const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";

/// The same with lines and tabs.
pub const PLAIN_LINES: &str = r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]*$";

/// The same as [`PLAIN`] of a text that also has something beside blanks.
pub const NAMING: &str = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$";

/// How the document describes keys.
fn keys() -> SecurityScheme {
    SecurityScheme::Http {
        scheme: "bearer".to_owned(),
        bearer_format: Some("tbx_ and 38 letters and digits".to_owned()),
        description: Some(
            "A key, made with `trackbox keys create` or `POST /keys`. None is needed as long as there has never been one \
             and the port is at a loopback address or `http.open` is set. Beside each operation stands what the key needs: \
             a scope, or that it is an operator's."
                .to_owned(),
        ),
        extensions: Default::default(),
    }
}

/// A document without operations yet.
pub fn document(title: &str, description: &str, tags: &[Tag]) -> OpenApi {
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
            .map(|tag| openapi::Tag {
                name: tag.name.to_owned(),
                description: Some(tag.description.to_owned()),
                ..openapi::Tag::default()
            })
            .collect(),
        components: Some(Components {
            security_schemes: [(KEYS.to_owned(), ReferenceOr::Item(keys()))].into(),
            ..Components::default()
        }),
        ..OpenApi::default()
    }
}

/// `/swagger.json` and `/docs/`; `/` and `/docs` redirect there.
pub fn routes(document: &OpenApi) -> Router {
    // A document consists of strings, numbers, lists and maps with string keys, which always serialize.
    let json = Bytes::from(serde_json::to_vec(document).unwrap_or_default());
    let swagger = move || async move { ([(header::CONTENT_TYPE, "application/json")], json) };
    Router::new()
        .route("/swagger.json", get(swagger))
        .route("/docs/", get(page))
        .route("/docs", get(async || Redirect::permanent("/docs/")))
        .route("/", get(async || Redirect::temporary("/docs/")))
}

async fn page() -> impl IntoResponse {
    // Built on the first request: 1.6 MB that most processes never need.
    static PAGE: OnceLock<Bytes> = OnceLock::new();
    let page = PAGE.get_or_init(|| {
        // Relative, so that it works behind a proxy that serves all of this under a prefix.
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

/// A schema transform: marks every field of an object as required, because answers always have it, even if null.
pub fn all_required(schema: &mut Schema) {
    required_but(schema, &[]);
}

/// The same, but for fields that answers leave out if there is nothing to say.
pub fn all_required_but(optional: &'static [&'static str]) -> impl FnMut(&mut Schema) {
    move |schema| required_but(schema, optional)
}

/// An object must have at least one of its fields. One that is left out is not null.
pub fn some_required(schema: &mut Schema) {
    let fields = schema.get_mut("properties");
    for field in fields
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(Map::values_mut)
    {
        if let Some(field) = field.as_object_mut()
            && field.get("default").is_some_and(Value::is_null)
        {
            field.remove("default");
        }
    }
    let one = |name: &String| json!({"required": [name]});
    let fields = schema.get("properties").and_then(Value::as_object);
    if let Some(fields) = fields {
        let any = fields.keys().map(one).collect();
        schema.insert("anyOf".to_owned(), Value::Array(any));
    }
}

fn required_but(schema: &mut Schema, optional: &[&str]) {
    let names = |fields: &Map<String, Value>| {
        let names = fields
            .keys()
            .filter(|name| !optional.contains(&name.as_str()));
        names.cloned().map(Value::String).collect()
    };
    let fields = schema.get("properties").and_then(Value::as_object);
    if let Some(names) = fields.map(names) {
        schema.insert("required".to_owned(), Value::Array(names));
    }
}

/// Documents the fields of an object's schema as parameters, each with its first example.
pub fn document_parameters(
    ctx: &mut GenContext,
    operation: &mut Operation,
    schema: Schema,
    location: ParamLocation,
) {
    let mut parameters = parameters_from_schema(ctx, schema, location);
    for parameter in &mut parameters {
        let (Parameter::Path {
            parameter_data: data,
            ..
        }
        | Parameter::Query {
            parameter_data: data,
            ..
        }) = parameter
        else {
            continue;
        };
        if let aide::openapi::ParameterSchemaOrContent::Schema(schema) = &data.format {
            let examples = schema.json_schema.get("examples");
            data.example = examples.and_then(|examples| examples.get(0)).cloned();
        }
    }
    add_parameters(ctx, operation, parameters);
}
