//! Problems (RFC 9457): all answers other than success. Only this file knows status codes.
//!
//! The client reads what it can change. The cause is logged with its chain, once, by [`crate::serving::layers`].

use std::sync::Arc;
use std::time::Duration;

use aide::OperationOutput;
use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::store::error::StoreError;

/// The media type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// The most errors that one problem lists.
pub const ERRORS_MAX: usize = 100;

/// The most characters of one detail: a parser's message may quote a whole string of the request.
const DETAIL_CHARS_MAX: usize = 500;

/// When to retry if the database is unavailable; by then the process has tried to reach it again.
const RETRY_AFTER_UNAVAILABLE: Duration = Duration::from_secs(2);

/// The kind of a problem, which sets its type, title and status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Unauthorized,
    Forbidden,
    CrossSite,
    NotProven,
    NotFound,
    MethodNotAllowed,
    SlowRequest,
    Conflict,
    CursorExpired,
    KeyReused,
    KeyBusy,
    BodyTooLarge,
    UrlTooLong,
    EncodedBody,
    Misdirected,
    Invalid,
    TooManyRequests,
    Internal,
    Unavailable,
}

impl Kind {
    pub fn status(self) -> StatusCode {
        match self {
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::Forbidden | Self::CrossSite | Self::NotProven => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::SlowRequest => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::CursorExpired => StatusCode::GONE,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::KeyBusy => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UrlTooLong => StatusCode::URI_TOO_LONG,
            Self::EncodedBody => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected => StatusCode::MISDIRECTED_REQUEST,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooManyRequests => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The problem's type: a stable name that clients can compare.
    pub fn urn(self) -> &'static str {
        match self {
            Self::Unauthorized => "urn:trackbox:problem:unauthorized",
            Self::Forbidden => "urn:trackbox:problem:forbidden",
            Self::CrossSite => "urn:trackbox:problem:cross-site",
            Self::NotProven => "urn:trackbox:problem:not-proven",
            Self::NotFound => "urn:trackbox:problem:not-found",
            Self::MethodNotAllowed => "urn:trackbox:problem:method-not-allowed",
            Self::SlowRequest => "urn:trackbox:problem:slow-request",
            Self::Conflict => "urn:trackbox:problem:conflict",
            Self::CursorExpired => "urn:trackbox:problem:cursor-expired",
            Self::KeyReused => "urn:trackbox:problem:idempotency-key-reused",
            Self::KeyBusy => "urn:trackbox:problem:idempotency-key-busy",
            Self::BodyTooLarge => "urn:trackbox:problem:body-too-large",
            Self::UrlTooLong => "urn:trackbox:problem:url-too-long",
            Self::EncodedBody => "urn:trackbox:problem:encoded-body",
            Self::Misdirected => "urn:trackbox:problem:misdirected",
            Self::Invalid => "urn:trackbox:problem:invalid-request",
            Self::TooManyRequests => "urn:trackbox:problem:too-many-requests",
            Self::Internal => "urn:trackbox:problem:internal",
            Self::Unavailable => "urn:trackbox:problem:unavailable",
        }
    }

    /// What went wrong; the same for every problem of the kind.
    pub fn title(self) -> &'static str {
        match self {
            Self::Unauthorized => "This needs a key",
            Self::Forbidden => "The key may not do this",
            Self::CrossSite => "A page of another site may not change anything here",
            Self::NotProven => "Nothing shows that the carrier sent this",
            Self::NotFound => "Not found",
            Self::MethodNotAllowed => "This path does not allow this method",
            Self::SlowRequest => "The request took too long to arrive",
            Self::Conflict => "The current state does not allow this",
            Self::KeyReused => "This Idempotency-Key was used for another request",
            Self::KeyBusy => "A request with this Idempotency-Key is under way",
            Self::CursorExpired => "There is no such place in the feed any more",
            Self::BodyTooLarge => "The body is too large",
            Self::UrlTooLong => "The URL is too long",
            Self::EncodedBody => "Compressed bodies are not accepted",
            Self::Misdirected => "This server is not known by this name",
            Self::Invalid => "The request is not valid",
            Self::TooManyRequests => "Too many requests",
            Self::Internal => "Internal error",
            Self::Unavailable => "Not available now",
        }
    }
}

/// One error in a request, and its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ProblemError")]
pub struct FieldError {
    /// A JSON pointer (RFC 6901) into the body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
    /// The name of a parameter of the path or the query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter: Option<String>,
    /// What is wrong.
    pub detail: String,
}

impl FieldError {
    /// An error in the body.
    pub fn at(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            pointer: Some(pointer.into()),
            parameter: None,
            detail: short(detail.into()),
        }
    }

    /// An error in the path or the query.
    pub fn parameter(name: &str, detail: impl Into<String>) -> Self {
        Self {
            pointer: None,
            parameter: Some(name.to_owned()),
            detail: short(detail.into()),
        }
    }
}

/// Why a request failed.
#[derive(Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    errors: Vec<FieldError>,
    more_errors: usize,
    retry_after: Option<Duration>,
    cause: Option<anyhow::Error>,
}

/// The body of every answer other than success (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Problem")]
pub struct ProblemBody<'a> {
    /// The kind of problem: a stable name.
    #[serde(rename = "type")]
    pub kind: &'a str,
    /// What went wrong; the same for every problem of the kind.
    pub title: &'a str,
    /// The HTTP status.
    pub status: u16,
    /// What went wrong this time.
    pub detail: &'a str,
    /// The request's id, also in the header `x-request-id` and in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// The errors in the request, at most 100.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schemars(default)]
    pub errors: &'a [FieldError],
    /// How many more errors there are than `errors` lists.
    #[serde(skip_serializing_if = "is_zero")]
    #[schemars(default)]
    pub more_errors: usize,
}

impl Problem {
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: short(detail.into()),
            errors: Vec::new(),
            more_errors: 0,
            retry_after: None,
            cause: None,
        }
    }

    /// A refused request; `errors` beyond [`ERRORS_MAX`] are counted, not listed.
    pub fn invalid(detail: impl Into<String>, mut errors: Vec<FieldError>) -> Self {
        let more_errors = errors.len().saturating_sub(ERRORS_MAX);
        errors.truncate(ERRORS_MAX);
        Self {
            errors,
            more_errors,
            ..Self::new(Kind::Invalid, detail)
        }
    }

    /// A refused request with one error.
    pub fn invalid_at(error: FieldError) -> Self {
        Self {
            detail: error.detail.clone(),
            errors: vec![error],
            ..Self::new(Kind::Invalid, "")
        }
    }

    /// Counts errors that are not listed.
    pub fn with_more_errors(mut self, more_errors: usize) -> Self {
        self.more_errors += more_errors;
        self
    }

    /// Tells the client nothing but the request's id; the cause goes to the log.
    pub fn internal(cause: impl Into<anyhow::Error>) -> Self {
        Self {
            cause: Some(cause.into()),
            ..Self::new(
                Kind::Internal,
                "the cause is in the log, under the id of this request",
            )
        }
    }

    /// Something that the answer needs is unavailable; the client should retry soon.
    pub fn unavailable(detail: impl Into<String>, cause: Option<anyhow::Error>) -> Self {
        Self {
            cause,
            retry_after: Some(RETRY_AFTER_UNAVAILABLE),
            ..Self::new(Kind::Unavailable, detail)
        }
    }

    /// Tells the client when to retry: at least 1 s, in whole seconds.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait.max(Duration::from_secs(1)));
        self
    }

    /// A body that did not arrive in time.
    pub fn slow_request() -> Self {
        Self::new(Kind::SlowRequest, "the body did not arrive in time")
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// For the log only.
    pub fn cause(&self) -> Option<&anyhow::Error> {
        self.cause.as_ref()
    }

    /// The whole answer, with the request's id.
    pub fn render(&self, request_id: Option<&str>) -> Response {
        let body = ProblemBody {
            kind: self.kind.urn(),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: &self.detail,
            request_id,
            errors: &self.errors,
            more_errors: self.more_errors,
        };
        // Strings and numbers always serialize.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.kind.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(wait) = self.retry_after {
            let secs = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(secs.max(1)));
        }
        if self.kind == Kind::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.kind == Kind::EncodedBody {
            headers.insert(
                header::ACCEPT_ENCODING,
                HeaderValue::from_static("identity"),
            );
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.render(None);
        // For the layer that renders it again with the request's id.
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}

impl OperationOutput for Problem {
    type Inner = Self;
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::KeyReused => Self::new(
                Kind::KeyReused,
                "another request was sent with this Idempotency-Key within 24 hours; take a new key for each new request",
            ),
            StoreError::KeyBusy => Self::new(Kind::KeyBusy, "send the request again in a moment")
                .retry_after(Duration::from_secs(1)),
            error if error.is_unavailable() => {
                Self::unavailable("the database is not available", Some(error.into()))
            }
            error => Self::internal(error),
        }
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn short(text: String) -> String {
    match text.char_indices().nth(DETAIL_CHARS_MAX) {
        None => text,
        Some((end, _)) => {
            let mut text = text;
            text.truncate(end);
            text.push('…');
            text
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::header;

    use super::{ERRORS_MAX, FieldError, Kind, Problem};

    #[test]
    fn retry_after_is_at_least_a_second_and_rounded_up() {
        for (wait_ms, secs) in [(0, "1"), (20, "1"), (1_000, "1"), (1_001, "2")] {
            let problem = Problem::new(Kind::TooManyRequests, "slow down")
                .retry_after(Duration::from_millis(wait_ms));
            let response = problem.render(None);
            assert_eq!(response.headers()[header::RETRY_AFTER], secs);
        }
    }

    #[test]
    fn a_problem_lists_a_hundred_errors_and_counts_the_rest() {
        let errors = (0..ERRORS_MAX + 7)
            .map(|n| FieldError::at(format!("/items/{n}"), "is wrong"))
            .collect();
        let problem = Problem::invalid("many", errors);
        assert_eq!((problem.errors.len(), problem.more_errors), (ERRORS_MAX, 7));
    }

    #[test]
    fn a_detail_that_quotes_a_whole_request_is_cut() {
        let error = FieldError::at("/x", "ж".repeat(10_000));
        assert_eq!(error.detail.chars().count(), 501);
    }
}
