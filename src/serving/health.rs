//! Health: `/healthz` (the process lives), `/readyz` (what it needs is there), `/metrics`.

use std::sync::Arc;
use std::time::Duration;

use aide::axum::ApiRouter;
use aide::axum::routing::get_with;
use aide::transform::TransformOperation;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::future::{BoxFuture, join_all};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use crate::metrics::Metrics;
use crate::serving::docs;
use crate::serving::problem::{Kind, Problem};

/// How long one check of readiness may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(1);

/// The tag of these operations in the document.
pub const TAG: &str = "operations";

type Check = Arc<dyn Fn() -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

/// What a process needs to be ready, by name. A clone checks the same.
#[derive(Clone, Default)]
pub struct ReadyChecks {
    checks: Vec<(&'static str, Check)>,
}

impl ReadyChecks {
    /// Adds a check; each has a second to answer.
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

    /// Makes all checks at once; answers the names of what is missing, with the reason for the log.
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

/// A sign of life.
#[derive(Debug, Serialize, JsonSchema)]
struct Health {
    status: &'static str,
}

/// `/healthz` and `/readyz`.
pub fn probes(ready: ReadyChecks) -> ApiRouter {
    ApiRouter::new()
        .api_route("/healthz", get_with(healthz, healthz_docs))
        .api_route("/readyz", get_with(readyz, readyz_docs))
        .with_state(ready)
}

/// `/metrics`; `measure` is called first, to bring up to date what is only measured when asked for.
pub fn metrics<F, R>(metrics: Arc<Metrics>, measure: F) -> ApiRouter
where
    F: Fn() -> R + Clone + Send + Sync + 'static,
    R: Future<Output = ()> + Send,
{
    let handler = move || async move {
        measure().await;
        Encoded(metrics.encode())
    };
    ApiRouter::new().api_route("/metrics", get_with(handler, metrics_docs))
}

/// All that a role without an API of its own answers: health and metrics, nothing documented.
pub fn router(ready: ReadyChecks, counted: Arc<Metrics>) -> Router {
    probes(ready).merge(metrics(counted, async || ())).into()
}

async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

async fn readyz(State(ready): State<ReadyChecks>) -> Result<Json<Health>, Problem> {
    let missing = ready.missing().await;
    if missing.is_empty() {
        return Ok(Json(Health { status: "ready" }));
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    for (name, error) in &missing {
        // Asked every few seconds by whoever watches: whoever wants to know why turns the level up.
        tracing::debug!("not ready: {name}: {error:#}");
    }
    Err(Problem::unavailable(
        format!("not ready: missing {}", names.join(", ")),
        None,
    ))
}

/// Metrics in the text that Prometheus reads.
struct Encoded(String);

impl IntoResponse for Encoded {
    fn into_response(self) -> Response {
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        ([(header::CONTENT_TYPE, kind)], self.0).into_response()
    }
}

impl aide::OperationOutput for Encoded {
    type Inner = Self;
}

fn healthz_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("healthz")
        .tag(TAG)
        .summary("Whether the process lives")
        .description("Asks nothing else, so it answers as long as the process does.");
    docs::answer::<Health>(op, "The process lives.", json!({"status": "ok"}))
}

fn readyz_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("readyz")
        .tag(TAG)
        .summary("Whether everything it needs is there")
        .description(
            "Asks the database and whatever else the role needs, each for at most a second.",
        );
    let op = docs::answer::<Health>(op, "Everything is there.", json!({"status": "ready"}));
    docs::problems(op, &[Kind::Unavailable])
}

fn metrics_docs(op: TransformOperation<'_>) -> TransformOperation<'_> {
    let op = op
        .id("metrics")
        .tag(TAG)
        .summary("What the process counts and measures")
        .description("In the OpenMetrics text format, which Prometheus reads.");
    docs::text_answer(
        op,
        "application/openmetrics-text",
        "All metrics.",
        "trackbox_claimed_total 42\n# EOF\n",
    )
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
