//! Listing a parcel's events, and refreshing parcels, on PostgreSQL.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::try_join_all;
use serde_json::json;
use trackbox::clock::machine_now;

use crate::Options;
use crate::engines::Place;
use crate::http;
use crate::load::{Until, load};
use crate::machine::{cpu_secs, used};
use crate::parcels;
use crate::report::{Goal, Line};
use crate::subjects::limit::{APPLY, CLAIM, store_with};
use crate::subjects::pinned::Pinned;
use crate::trackbox::TrackBox;

/// Connections to TrackBox, and to the database beside it.
const CONNECTIONS: usize = 12;

const EVENTS: &str = "SELECT id, tracking_id, status, status_raw, event_time, location, message, payload_json, created_at, \
    sub_status, superseded FROM tracking_events WHERE tracking_id = $1 AND NOT superseded AND NOT stated \
    AND EXISTS (SELECT 1 FROM parcels WHERE tenant_id = 1 AND parcels.tracking_id = $1) ORDER BY event_time DESC, id DESC LIMIT 100";

const REFRESH: &str = "UPDATE trackings SET priority = 1, active = TRUE, refreshed_at = $2, next_check_at = $2, \
    version = version + 1, updated_at = $2 WHERE id = $1 \
    AND EXISTS (SELECT 1 FROM parcels WHERE tenant_id = 1 AND parcels.tracking_id = $1)";

pub async fn measure(options: &Options) -> anyhow::Result<Vec<Line>> {
    let place = Place::engines().await?;
    // Each is refreshed once, by TrackBox or by the bare SQL: a second refresh within 30 s would change nothing.
    let share = options.size(10_000_usize, 100);
    let repetitions = options.repetitions();
    let numbers = parcels::numbers("R", 2 * share * repetitions);
    store_with(&place, &numbers).await?.close().await;
    Pinned::open(&place).await?.run(CLAIM, APPLY).await?;
    aged(&place).await?;
    let mut settings = place.settings()?;
    settings.extend(parcels::resting());
    let trackbox = TrackBox::start(options, "serve", place.folder.path(), &settings).await?;
    let how = format!("{CONNECTIONS} connections; limit: the bare SQL on as many");
    let mut lines = ["requests/s, a parcel's events", "requests/s, refresh"].map(|figure| Line {
        figure: figure.to_owned(),
        goal: Some(Goal::AtLeast(0.5)),
        how: how.clone(),
        ..Line::default()
    });
    let [events, refresh] = &mut lines;
    let mut next = 1_i64;
    for _ in 0..repetitions {
        let mut ids = || {
            let first = next;
            next += share as i64;
            first..next
        };
        let (ours, bare) = (ids(), ids());
        for (line, kind) in [(&mut *events, Kind::Events), (&mut *refresh, Kind::Refresh)] {
            let requests = Arc::new(ours.clone().map(|id| kind.request(id)).collect());
            let process = [("trackbox", trackbox.id())];
            let before = cpu_secs(process);
            let loaded = load(trackbox.api, requests, CONNECTIONS, Until::Requests(share)).await?;
            line.cpu_secs = used(&before, cpu_secs(process));
            line.ours.push(loaded.per_sec);
            line.limit.push(kind.bare(&place, bare.clone()).await?);
        }
    }
    trackbox.stop().await?;
    place.drop().await?;
    Ok(lines.into())
}

/// Moves the checks back, so that a refresh is not too soon.
async fn aged(place: &Place) -> anyhow::Result<()> {
    let long_ago = machine_now() - Duration::from_secs(3_600);
    let mut connection = place.postgres().await?;
    sqlx::query("UPDATE trackings SET last_checked_at = $1")
        .bind(long_ago)
        .execute(&mut connection)
        .await?;
    sqlx::query("VACUUM ANALYZE trackings")
        .execute(&mut connection)
        .await?;
    Ok(())
}

#[derive(Clone, Copy)]
enum Kind {
    Events,
    Refresh,
}

impl Kind {
    fn request(self, id: i64) -> Vec<u8> {
        match self {
            Self::Events => http::get(&format!("/trackings/{id}/events")),
            Self::Refresh => http::post(&format!("/trackings/{id}/refresh"), &json!({})),
        }
    }

    /// The bare SQL for these ids; how many a second.
    async fn bare(self, place: &Place, ids: std::ops::Range<i64>) -> anyhow::Result<f64> {
        let (next, count) = (Arc::new(AtomicI64::new(ids.start)), ids.end - ids.start);
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(place.postgres().await?);
        }
        let began = Instant::now();
        let tasks = connections.into_iter().map(|mut connection| {
            let next = Arc::clone(&next);
            let end = ids.end;
            tokio::spawn(async move {
                loop {
                    let id = next.fetch_add(1, Ordering::Relaxed);
                    if id >= end {
                        return anyhow::Ok(());
                    }
                    let query = match self {
                        Self::Events => sqlx::query(EVENTS).bind(id),
                        Self::Refresh => sqlx::query(REFRESH).bind(id).bind(machine_now()),
                    };
                    match self {
                        Self::Events => {
                            let rows = query.fetch_all(&mut connection).await?;
                            ensure!(!rows.is_empty(), "no events");
                        }
                        Self::Refresh => {
                            let done = query.execute(&mut connection).await?;
                            ensure!(done.rows_affected() == 1, "not refreshed");
                        }
                    }
                }
            })
        });
        for ended in try_join_all(tasks).await? {
            ended?;
        }
        Ok(count as f64 / began.elapsed().as_secs_f64())
    }
}
