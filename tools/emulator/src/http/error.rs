//! Errors, a status and `{"detail":"…"}`, and what reads requests and may refuse them.

use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

/// An error as a client receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    pub status: StatusCode,
    pub detail: String,
}

impl ApiError {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            detail: detail.into(),
        }
    }

    pub fn bad(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"detail": self.detail}))).into_response()
    }
}

pub async fn no_path(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()))
}

pub async fn no_method(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take {method}", uri.path()),
    )
}

/// Reads a JSON body. The Content-Type header is ignored.
pub fn read_json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, ApiError> {
    let body =
        body.map_err(|rejection| ApiError::new(rejection.status(), rejection.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| {
        ApiError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the body is not the JSON expected here: {error}"),
        )
    })
}

/// The query parameters of a call.
#[derive(Debug)]
pub struct Params(pub HashMap<String, String>);

impl Params {
    /// Reads the query; without one there are no parameters.
    pub fn read(uri: &Uri) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<HashMap<String, String>>::try_from_uri(uri)
            .map_err(|_| ApiError::bad("the query is unreadable"))?;
        Ok(Self(query.0))
    }

    /// The value of a required parameter.
    pub fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| ApiError::bad(format!("the parameter {name} is missing")))
    }

    fn number(&self, name: &str, max: f64) -> Result<f64, ApiError> {
        let Some(text) = self.0.get(name).filter(|text| !text.is_empty()) else {
            return Ok(0.0);
        };
        let number: Option<f64> = text.parse().ok();
        number
            .filter(|number| (0.0..=max).contains(number))
            .ok_or_else(|| ApiError::bad(format!("{name} must be a number from 0 to {max}")))
    }

    /// Milliseconds to wait before the answer, 0 to 10,000.
    pub fn delay_ms(&self) -> Result<u64, ApiError> {
        Ok(self.number("delayMs", 10_000.0)? as u64)
    }

    /// The chance that the call fails with 503.
    pub fn fail_rate(&self) -> Result<f64, ApiError> {
        self.number("failRate", 1.0)
    }
}
