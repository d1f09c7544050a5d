//! The layers around every router.
//!
//! From the outside in: the request's id, its log line and its metrics; compression of large answers; problems, which get
//! the request's id and whose cause is logged here, once; panics; refusals that need no handler; the time limit.

use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::X_CONTENT_TYPE_OPTIONS;
use axum::http::{HeaderName, HeaderValue, Method, Response as HttpResponse};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use tower_http::CompressionLevel;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use uuid::Uuid;

use crate::config::Http;
use crate::metrics::Metrics;
use crate::serving::extract::RequestLimits;
use crate::serving::problem::{Kind, Problem};

/// The header with a request's id, in the request and in the answer.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that a client may choose.
const REQUEST_ID_CHARS_MAX: usize = 64;

/// The longest URL.
const URL_BYTES_MAX: usize = 8 * 1024;

/// Answers smaller than this are not compressed.
const COMPRESS_BYTES_MIN: u16 = 1024;

/// The route's name in metrics if no route matches.
const UNMATCHED: &str = "(none)";

/// The header in which a browser says which site made the request.
const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// The settings of the layers.
#[derive(Clone)]
pub struct Kit {
    metrics: Arc<Metrics>,
    body_bytes_max: usize,
    request_timeout: std::time::Duration,
}

impl Kit {
    pub fn new(http: &Http, metrics: Arc<Metrics>) -> Self {
        Self {
            metrics,
            body_bytes_max: http.body_limit_bytes,
            request_timeout: http.request_timeout.get(),
        }
    }
}

/// The request's id, which the request carries as an extension.
#[derive(Clone, Debug)]
struct RequestId(Arc<str>);

/// Answers unknown paths and methods with problems. Call it before adding layers to the router.
pub fn with_fallbacks(router: Router) -> Router {
    with_method_fallback(router).fallback(async || lost())
}

/// The answer at a path where there is nothing.
pub fn lost() -> Problem {
    let detail = "there is nothing at this path; /docs/ lists all paths";
    Problem::new(Kind::NotFound, detail)
}

/// Answers unknown methods of known paths with problems; for a router that is merged into one with both fallbacks.
pub fn with_method_fallback(router: Router) -> Router {
    router.method_not_allowed_fallback(async || {
        Problem::new(
            Kind::MethodNotAllowed,
            "the header `allow` lists the methods of this path",
        )
    })
}

/// Puts all layers around `router`.
pub fn wrap(router: Router, kit: Kit) -> Router {
    let compression = CompressionLayer::new()
        .gzip(true)
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESS_BYTES_MIN).and(NotForContentType::IMAGES));
    router
        .layer(from_fn_with_state(kit.clone(), limit))
        .layer(from_fn(refuse))
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(name_problems))
        .layer(compression)
        .layer(from_fn_with_state(kit.metrics, observe))
}

/// Gives the request an id; counts, times and logs it.
async fn observe(
    State(metrics): State<Arc<Metrics>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = request_id(&request);
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let method = method_name(request.method());
    let matched = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    // An id of visible ASCII characters is always a header value.
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    // Answers contain text from carriers, which a browser must not interpret as a page.
    let nosniff = HeaderValue::from_static("nosniff");
    response
        .headers_mut()
        .insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    let route = matched.as_ref().map_or(UNMATCHED, MatchedPath::as_str);
    let status = response.status().as_u16();
    let took = began.elapsed();
    metrics.http_request(route, method, status, took);
    tracing::debug!(
        request.id = %id,
        "{method} {route} answered {status} in {} ms", took.as_millis()
    );
    response
}

/// The client's own id if it is short and plain, else a new one.
fn request_id(request: &Request) -> Arc<str> {
    let given = request
        .headers()
        .get(X_REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    match given {
        Some(id) if (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.chars().all(plain) => {
            Arc::from(id)
        }
        _ => Arc::from(Uuid::now_v7().to_string()),
    }
}

/// The method as a label of metrics; all unusual methods share one.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    }
}

/// Adds the request's id to a problem, and logs the cause.
async fn name_problems(request: Request, next: Next) -> Response {
    let id = request.extensions().get::<RequestId>().cloned();
    let mut response = next.run(request).await;
    let Some(problem) = response.extensions_mut().remove::<Arc<Problem>>() else {
        return response;
    };
    let id = id.as_ref().map(|RequestId(id)| id.as_ref());
    if let Some(cause) = problem.cause() {
        let id = id.unwrap_or_default();
        match problem.kind() {
            Kind::Unavailable => {
                tracing::warn!(request.id = id, "request {id} was not answered: {cause:#}")
            }
            _ => tracing::error!(request.id = id, "request {id} failed: {cause:#}"),
        }
    }
    let (rendered, body) = problem.render(id).into_parts();
    // Keeps the headers that inner layers have added, such as `allow`.
    response.headers_mut().extend(rendered.headers);
    response
        .headers_mut()
        .remove(axum::http::header::CONTENT_LENGTH);
    *response.body_mut() = body;
    response
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> HttpResponse<Body> {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    Problem::internal(anyhow::anyhow!("a handler panicked: {text}")).into_response()
}

/// Refuses requests that no handler needs to see.
async fn refuse(request: Request, next: Next) -> Response {
    let changes = !matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS
    );
    let cross_site = request
        .headers()
        .get(SEC_FETCH_SITE)
        .is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site"));
    if changes && cross_site {
        return Problem::new(
            Kind::CrossSite,
            "the browser says that another site made this request",
        )
        .into_response();
    }
    let url_bytes = request
        .uri()
        .path_and_query()
        .map_or(0, |url| url.as_str().len());
    if url_bytes > URL_BYTES_MAX {
        return Problem::new(
            Kind::UrlTooLong,
            format!("a URL may have at most {URL_BYTES_MAX} bytes"),
        )
        .into_response();
    }
    next.run(request).await
}

/// Ends a request that takes too long, and passes the limits on to the extractors.
async fn limit(State(kit): State<Kit>, mut request: Request, next: Next) -> Response {
    let deadline = tokio::time::Instant::now() + kit.request_timeout;
    request.extensions_mut().insert(RequestLimits {
        body_bytes_max: kit.body_bytes_max,
        deadline,
    });
    match tokio::time::timeout_at(deadline, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let secs = kit.request_timeout.as_secs_f64();
            let cause = anyhow::anyhow!("the handler took more than {secs} s");
            Problem::unavailable(format!("the answer took more than {secs} s"), Some(cause))
                .into_response()
        }
    }
}

#[cfg(test)]
mod tests;
