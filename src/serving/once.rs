//! A JSON body with an Idempotency-Key: a request that may be sent again without a second effect
//! (draft-ietf-httpapi-idempotency-key-header-07, read November 2026).

use aide::OperationInput;
use aide::generate::GenContext;
use aide::openapi::{Operation, Parameter, ParameterData, ParameterSchemaOrContent, SchemaObject};
use axum::extract::{FromRequest, Request};
use schemars::{JsonSchema, json_schema};
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::serving::extract::{self, Json};
use crate::serving::problem::{FieldError, Problem};
use crate::store::idempotency::Once;

/// The header with the key.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// The longest key.
const KEY_CHARS_MAX: usize = 255;

/// A JSON body, and its key if it was sent with one.
#[derive(Debug)]
pub struct OnceJson<T> {
    pub body: T,
    pub once: Option<Once>,
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for OnceJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let mut keys = request.headers().get_all(IDEMPOTENCY_KEY).iter();
        let key = keys.next().map(|value| key(value.as_bytes())).transpose()?;
        if keys.next().is_some() {
            return Err(wrong("there must be one key"));
        }
        let place = format!("{} {}\n", request.method(), request.uri().path());
        let bytes = extract::read(request).await?;
        let once = key.map(|key| {
            let mut hash = Sha256::new();
            hash.update(place.as_bytes());
            hash.update(&bytes);
            Once {
                key,
                fingerprint: hash.finalize().into(),
            }
        });
        let body = extract::parse_object(&bytes)?;
        Ok(Self { body, once })
    }
}

/// The key in a header: a quoted string, as the draft has it, or a bare word, as many clients send it.
fn key(value: &[u8]) -> Result<String, Problem> {
    let text = str::from_utf8(value).map_err(|_| wrong("it must be visible ASCII characters"))?;
    let text = text.trim();
    let inner = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    let text = inner.unwrap_or(text);
    let visible = text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
    if !visible || !(1..=KEY_CHARS_MAX).contains(&text.len()) {
        return Err(wrong("it must be 1 to 255 visible ASCII characters"));
    }
    Ok(text.to_owned())
}

fn wrong(detail: &str) -> Problem {
    let detail = format!("the header Idempotency-Key cannot be used: {detail}");
    Problem::invalid_at(FieldError::parameter("Idempotency-Key", detail))
}

impl<T: JsonSchema> OperationInput for OnceJson<T> {
    fn operation_input(ctx: &mut GenContext, operation: &mut Operation) {
        Json::<T>::operation_input(ctx, operation);
        let schema = SchemaObject {
            json_schema: json_schema!({"type": "string", "minLength": 1, "maxLength": KEY_CHARS_MAX}),
            external_docs: None,
            example: None,
        };
        let description = "A key of your own for this request, new for each new request. Sent again with the same key within 24 \
                           hours, it has no second effect: the results are those of the first time, the states those of now.";
        let parameter = Parameter::Header {
            parameter_data: ParameterData {
                name: "Idempotency-Key".to_owned(),
                description: Some(description.to_owned()),
                required: false,
                deprecated: None,
                format: ParameterSchemaOrContent::Schema(schema),
                example: None,
                examples: Default::default(),
                explode: None,
                extensions: Default::default(),
            },
            style: Default::default(),
        };
        operation
            .parameters
            .push(aide::openapi::ReferenceOr::Item(parameter));
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    #[test]
    fn a_key_is_quoted_or_bare_and_nothing_else() {
        for text in ["\"8e03978e-40d5\"", "8e03978e-40d5", " 8e03978e-40d5 "] {
            assert_eq!(key(text.as_bytes()).expect("is a key"), "8e03978e-40d5");
        }
        let long = "x".repeat(256);
        for text in ["", "\"\"", "a b", "\u{e9}", long.as_str()] {
            assert!(key(text.as_bytes()).is_err(), "{text}");
        }
    }
}
