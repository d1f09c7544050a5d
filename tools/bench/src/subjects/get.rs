//! get-by-ids of 100 cached parcels.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use serde_json::json;

use crate::Options;
use crate::engines::{Place, redis_url};
use crate::http::{self, Connection};
use crate::load::{Until, load};
use crate::machine::{cpu_secs, used};
use crate::parcels;
use crate::report::{Goal, Line};
use crate::subjects::bare::{Bare, Running};
use crate::subjects::limit::store_with;
use crate::trackbox::TrackBox;

const PARCELS: i64 = 1_000;
const IDS: usize = 100;
const CONNECTIONS: usize = 16;

pub async fn measure(options: &Options) -> anyhow::Result<Vec<Line>> {
    let mut lines = one(
        options,
        Place::engines().await?,
        "serve",
        Some(redis_url()?),
    )
    .await?;
    lines.extend(one(options, Place::embedded()?, "all", None).await?);
    Ok(lines)
}

async fn one(
    options: &Options,
    place: Place,
    role: &'static str,
    redis: Option<String>,
) -> anyhow::Result<Vec<Line>> {
    let (cache, looked_up) = match redis {
        Some(_) => ("Redis", "one MGET"),
        None => ("the process", "a map"),
    };
    let mut requests = Line {
        figure: format!("requests/s, cache in {cache}"),
        goal: Some(Goal::AtLeast(0.7)),
        how: format!(
            "{IDS} of {PARCELS} parcels a request, {CONNECTIONS} connections; limit: a bare handler answers the same from \
             {looked_up}"
        ),
        ..Line::default()
    };
    let mut slowest = Line {
        figure: format!("p99 in ms, cache in {cache}"),
        ..Line::default()
    };
    let mut ceiling = Line {
        figure: "requests/s of the load itself".to_owned(),
        how: "the answer to one of these requests, fixed".to_owned(),
        ..Line::default()
    };
    let numbers = parcels::numbers("G", PARCELS as usize);
    store_with(&place, &numbers).await?.close().await;
    let mut settings = place.settings()?;
    settings.extend(parcels::resting());
    let trackbox = TrackBox::start(options, role, place.folder.path(), &settings).await?;
    // Once for all, so that they are cached.
    let ids: Vec<i64> = (1..=PARCELS).collect();
    let path = "/trackings/get-by-ids";
    let whole = http::post(path, &json!({"ids": ids}));
    let answer = Connection::open(trackbox.api).await?.ask(&whole).await?;
    ensure!(
        answer.json()?["trackings"]
            .as_array()
            .is_some_and(|all| all.len() == ids.len())
    );
    let asked = |path: &str| {
        let requests = ids
            .chunks(IDS)
            .map(|ids| http::post(path, &json!({"ids": ids})));
        Arc::new(requests.collect::<Vec<_>>())
    };
    let (ours, theirs) = (asked(path), asked("/"));
    let first = Connection::open(trackbox.api).await?.ask(&ours[0]).await?;
    let [all, fixed] = ["all.json", "first.json"].map(|name| place.folder.path().join(name));
    std::fs::write(&all, &answer.body)?;
    std::fs::write(&fixed, &first.body)?;
    let bare = Bare {
        answer: all,
        fixed,
        redis,
    };
    let bare = Running::start(&bare).await?;
    let same = Connection::open(bare.address)
        .await?
        .ask(&theirs[0])
        .await?;
    ensure!(
        same.body == first.body,
        "the bare handler answers something else"
    );
    let fixed = Arc::new(vec![http::get("/fixed")]);
    let time = Until::After(options.size(Duration::from_secs(2), Duration::from_millis(200)));
    for _ in 0..options.repetitions() {
        let ids = [("trackbox", trackbox.id()), ("bare handler", bare.id())];
        let before = cpu_secs(ids);
        let loaded = load(trackbox.api, Arc::clone(&ours), CONNECTIONS, time).await?;
        let limit = load(bare.address, Arc::clone(&theirs), CONNECTIONS, time).await?;
        requests.cpu_secs = used(&before, cpu_secs(ids));
        let most = load(bare.address, Arc::clone(&fixed), CONNECTIONS, time).await?;
        ceiling.ours.push(most.per_sec);
        requests.ours.push(loaded.per_sec);
        requests.limit.push(limit.per_sec);
        slowest.ours.push(loaded.p99_ms);
        slowest.limit.push(limit.p99_ms);
    }
    bare.stop().await?;
    trackbox.stop().await?;
    place.drop().await?;
    Ok(vec![requests, slowest, ceiling])
}
