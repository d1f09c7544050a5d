//! `POST /push/{section}/{secret}`: what carriers push. No part of the API's document: it is for carriers, and its form theirs.
//!
//! Who does not know the secret of the address sees nothing here, and nothing of what it sends is read. A success is
//! answered only after the bus has all that is believed of the body, and the database what is not.

pub mod meaning;
mod turns;

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::http::request::Parts as Head;
use axum::routing::post;
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout_at;

use crate::carriers::Pushed;
use crate::carriers::routes::Route;
use crate::http::Serve;
use crate::http::push::turns::{Body, Taker};
use crate::metrics::PushOutcome;
use crate::serving::extract::{RequestLimits, read_body};
use crate::serving::layers;
use crate::serving::problem::{Kind, Problem};
use crate::together::Together;

/// The most bytes of a pushed body; of UPS, whose bodies may hold a photo, the largest.
const BODY_BYTES_MAX: usize = 256 * 1024;

/// How many turns of looking up and publishing are under way at once, and of how many parcels one of them is.
const TURNS: usize = 2;
const PARCELS_MAX: usize = 500;

/// The most bodies that are read or wait for a turn, so that they need 128 MiB at most; further ones are refused at once.
const BODIES_MAX: usize = 512;

/// The section's name in metrics if there is no such section, or its secret is another.
const STRANGER: &str = "(none)";

/// What takes bodies: all of a process together.
struct Door {
    serve: Serve,
    taker: Together<Taker>,
    bodies: Semaphore,
}

/// What a body told.
#[derive(Debug, Serialize)]
struct Told {
    /// The parcels in it.
    parcels: usize,
}

async fn take(
    State(door): State<Arc<Door>>,
    path: Result<Path<(String, String)>, axum::extract::rejection::PathRejection>,
    request: Request,
) -> Result<Json<Told>, Problem> {
    let (head, body) = request.into_parts();
    let Some(route) = path
        .ok()
        .and_then(|Path((name, secret))| door.route(&name, &secret))
    else {
        door.count(STRANGER, PushOutcome::Stranger);
        return Err(layers::lost());
    };
    let Ok(_one_of_them) = door.bodies.try_acquire() else {
        door.count(&route.section, PushOutcome::Failed);
        let detail = "too much is being pushed at once";
        return Err(Problem::unavailable(detail, None));
    };
    let limits = head.extensions.get::<RequestLimits>().copied();
    let limits = limits.unwrap_or_default();
    let bytes_max = limits.body_bytes_max.min(BODY_BYTES_MAX);
    let reading = timeout_at(limits.deadline, read_body(&head.headers, body, bytes_max));
    let read = reading
        .await
        .unwrap_or_else(|_| Err(Problem::slow_request()));
    let body = read.inspect_err(|_| door.count(&route.section, PushOutcome::Unreadable))?;
    let told = door.read(route, &head, body)?;
    let parcels = told.len();
    if parcels == 0 {
        door.count(&route.section, PushOutcome::Ignored);
        return Ok(Json(Told { parcels }));
    }
    door.take_in(route, told).await?;
    Ok(Json(Told { parcels }))
}

impl Door {
    fn new(serve: Serve) -> Self {
        Self {
            taker: Together::new(Taker(serve.clone()), TURNS, PARCELS_MAX),
            serve,
            bodies: Semaphore::new(BODIES_MAX),
        }
    }

    /// The section that an address is of.
    fn route(&self, name: &str, secret: &str) -> Option<&Route> {
        let route = self.serve.routes.section(name)?;
        let door = route.door.as_ref()?;
        door.opens_to(secret).then_some(route)
    }

    fn count(&self, section: &str, outcome: PushOutcome) {
        self.serve.metrics.pushes(section, outcome).inc();
    }

    /// What a body tells, if it is the carrier's own.
    fn read(&self, route: &Route, head: &Head, body: Vec<u8>) -> Result<Vec<Pushed>, Problem> {
        let header = |name: &str| head.headers.get(name).map(|value| value.as_bytes());
        if !route
            .door
            .as_ref()
            .is_some_and(|door| door.proves(header, &body))
        {
            self.count(&route.section, PushOutcome::Forged);
            let detail = "the signature is missing, or made of other bytes or with another key than push_key";
            return Err(Problem::new(Kind::NotProven, detail));
        }
        let read = route.adapter.read_push(body, self.serve.clock.now());
        read.map_err(|error| {
            self.count(&route.section, PushOutcome::Unreadable);
            Problem::invalid(format!("the body cannot be read: {error}"), Vec::new())
        })
    }

    /// Publishes what is believed, makes the other parcels due, and counts both.
    async fn take_in(self: &Arc<Self>, route: &Route, parcels: Vec<Pushed>) -> Result<(), Problem> {
        let failed = |problem| {
            self.count(&route.section, PushOutcome::Failed);
            problem
        };
        let body = Body {
            route: route.clone(),
            at: self.serve.clock.now(),
            parcels,
        };
        let size = body.parcels.len();
        let door = Arc::clone(self);
        // A task of its own: a carrier that hangs up must not stop the turn in which others wait.
        let turn = tokio::spawn(async move { door.taker.run(body, size).await });
        let taken = match turn.await {
            Ok(Ok(taken)) => taken,
            Ok(Err(stopped)) => Err(stopped.to_string()),
            Err(ended) => Err(ended.to_string()),
        };
        let outcomes = taken.map_err(|reason| {
            let cause = anyhow::anyhow!("what {} pushed was not taken: {reason}", route.section);
            let detail = "the bus or the database does not take it now";
            failed(Problem::unavailable(detail, Some(cause)))
        })?;
        for outcome in outcomes {
            self.count(&route.section, outcome);
        }
        Ok(())
    }
}

/// The one path, apart from the API's: without its flood guard, since a carrier's bursts come from few addresses.
pub fn router(serve: Serve) -> Router {
    Router::new()
        .route("/push/{section}/{secret}", post(take))
        .with_state(Arc::new(Door::new(serve)))
}
