//! Errors: a status and `{"detail":"…"}`.

use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

/// An error as a client hears it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub detail: String,
}

impl Problem {
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

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, Json(json!({"detail": self.detail}))).into_response()
    }
}

pub async fn no_path(uri: Uri) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, format!("there is no {}", uri.path()))
}

pub async fn no_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take {method}", uri.path()),
    )
}

/// Reads a JSON body, whatever its Content-Type says.
pub fn read_json<T: DeserializeOwned>(body: Result<Bytes, BytesRejection>) -> Result<T, Problem> {
    let body = body.map_err(|rejection| Problem::new(rejection.status(), rejection.body_text()))?;
    serde_json::from_slice(&body).map_err(|error| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("the body is not as agreed: {error}"),
        )
    })
}

/// The query of a call: `delayMs` and `failRate` besides its own.
#[derive(Debug)]
pub struct Params(pub HashMap<String, String>);

impl Params {
    /// Reads the query; what is no query is empty.
    pub fn read(uri: &Uri) -> Result<Self, Problem> {
        let query = axum::extract::Query::<HashMap<String, String>>::try_from_uri(uri)
            .map_err(|_| Problem::bad("the query is unreadable"))?;
        Ok(Self(query.0))
    }

    /// A parameter that must be there.
    pub fn required(&self, name: &str) -> Result<&str, Problem> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Problem::bad(format!("the parameter {name} is missing")))
    }

    fn number(&self, name: &str, max: f64) -> Result<f64, Problem> {
        let Some(text) = self.0.get(name).filter(|text| !text.is_empty()) else {
            return Ok(0.0);
        };
        let number: Option<f64> = text.parse().ok();
        number
            .filter(|number| (0.0..=max).contains(number))
            .ok_or_else(|| Problem::bad(format!("{name} must be a number from 0 to {max}")))
    }

    /// How long to wait before the answer, 0 to 10,000 ms.
    pub fn delay_ms(&self) -> Result<u64, Problem> {
        Ok(self.number("delayMs", 10_000.0)? as u64)
    }

    /// The chance that the call fails with 503.
    pub fn fail_rate(&self) -> Result<f64, Problem> {
        self.number("failRate", 1.0)
    }
}
