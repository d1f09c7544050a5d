//! Health: `/healthz` (the process runs), `/readyz` (it has what it needs), `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use aide::axum::ApiRouter;
use aide::generate::GenContext;
use aide::openapi::{self, MediaType, SchemaObject, StatusCode};
use aide::{OperationInput, OperationOutput};
use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::future::{BoxFuture, join_all};
use macro_rules_attribute::apply;
use schemars::{JsonSchema, json_schema};
use serde::Serialize;
use serde_json::json;

use crate::metrics::Metrics;
use crate::serving::operation::{Tag, documented, get};
use crate::serving::problem::{Kind, Problem};

/// How long one check may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// These operations.
pub const TAG: Tag = Tag {
    name: "operations",
    description: "Whether the process runs, whether it is ready, and its metrics.",
    problems: &[],
};

type Check = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// The checks that a process must pass to be ready, by name. Clones check the same.
#[derive(Clone, Default)]
pub struct ReadyChecks {
    checks: Vec<(&'static str, Check)>,
}

impl ReadyChecks {
    /// Adds a check, which fails if it takes more than a second.
    pub fn with<F, R, E>(mut self, name: &'static str, check: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<anyhow::Error>,
    {
        let check: Check = Arc::new(move || {
            let checked = check();
            Box::pin(async move { checked.await.map_err(Into::into) })
        });
        self.checks.push((name, check));
        self
    }

    /// Runs all checks at once; returns the names of those that failed, with the reason for the log.
    async fn missing(&self) -> Vec<(&'static str, anyhow::Error)> {
        let checks = self.checks.iter().map(|(name, check)| async move {
            match tokio::time::timeout(CHECK_TIMEOUT, check()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some((*name, error)),
                Err(_) => Some((
                    *name,
                    anyhow::anyhow!("no answer within {} s", CHECK_TIMEOUT.as_secs()),
                )),
            }
        });
        join_all(checks).await.into_iter().flatten().collect()
    }
}

/// What `/metrics` works with. Clones share it.
#[derive(Clone)]
pub struct Figures {
    metrics: Arc<Metrics>,
    measure: Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

/// `/healthz` and `/readyz`.
pub fn operations(ready: ReadyChecks) -> ApiRouter {
    let lives = healthz::operation(TAG).answer("The process runs.", json!({"status": "ok"}));
    let is_ready = readyz::operation(TAG)
        .answer("The process is ready.", json!({"status": "ready"}))
        .problems(&[Kind::Unavailable]);
    ApiRouter::new()
        .api_route("/healthz", get(healthz, lives))
        .api_route("/readyz", get(readyz, is_ready))
        .with_state(ready)
}

/// `/metrics`, for a `Who`. `measure` is called before each answer and updates those that are not counted as things happen.
pub fn figures<Who, F, R>(counted: Arc<Metrics>, measure: F) -> ApiRouter
where
    Who: FromRequestParts<Figures, Rejection = Problem> + OperationInput + Send + 'static,
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let shown =
        metrics::operation(TAG).answer("All metrics.", "trackbox_claimed_total 42\n# EOF\n");
    ApiRouter::new()
        .api_route("/metrics", get(metrics::<Who>, shown))
        .with_state(Figures {
            metrics: counted,
            measure: Arc::new(move || Box::pin(measure())),
        })
}

/// The state of a process.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Health")]
struct HealthAnswer {
    status: &'static str,
}

/// Whether the process runs
///
/// Checks nothing else, so it answers as long as the process does.
#[apply(documented)]
async fn healthz() -> Json<HealthAnswer> {
    Json(HealthAnswer { status: "ok" })
}

/// Whether the process is ready
///
/// Checks the database and the other services that the role needs, each for at most a second.
#[apply(documented)]
async fn readyz(State(ready): State<ReadyChecks>) -> Result<Json<HealthAnswer>, Problem> {
    let missing = ready.missing().await;
    if missing.is_empty() {
        return Ok(Json(HealthAnswer { status: "ready" }));
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    for (name, error) in &missing {
        // At level debug, because monitoring asks every few seconds.
        tracing::debug!(name, "not ready: {name}: {error:#}");
    }
    Err(Problem::unavailable(
        format!("not ready: missing {}", names.join(", ")),
        None,
    ))
}

/// What the process counts and measures
///
/// In the OpenMetrics text format, which Prometheus reads.
#[apply(documented)]
async fn metrics<Who>(_: Who, State(figures): State<Figures>) -> Encoded {
    (figures.measure)().await;
    Encoded(figures.metrics.encode())
}

/// Metrics in the OpenMetrics text format.
struct Encoded(String);

impl IntoResponse for Encoded {
    fn into_response(self) -> Response {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], self.0).into_response()
    }
}

impl OperationOutput for Encoded {
    type Inner = Self;

    fn inferred_responses(
        _: &mut GenContext,
        _: &mut openapi::Operation,
    ) -> Vec<(Option<StatusCode>, openapi::Response)> {
        let schema = SchemaObject {
            json_schema: json_schema!({"type": "string"}),
            external_docs: None,
            example: None,
        };
        let media = MediaType {
            schema: Some(schema),
            ..MediaType::default()
        };
        let response = openapi::Response {
            content: [("application/openmetrics-text".to_owned(), media)].into(),
            ..openapi::Response::default()
        };
        vec![(Some(StatusCode::Code(200)), response)]
    }
}

#[cfg(test)]
mod tests {
    use super::ReadyChecks;

    #[tokio::test]
    async fn a_check_that_fails_or_hangs_is_named_after_a_second() {
        let ready = ReadyChecks::default()
            .with("fine", async || anyhow::Ok(()))
            .with("broken", async || Err(anyhow::anyhow!("no")))
            .with("hanging", std::future::pending::<anyhow::Result<()>>);
        let missing = ready.missing().await;
        let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["broken", "hanging"]);
    }
}
