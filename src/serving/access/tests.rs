//! Tests of the gate: through a router, without a port, on a SQLite store.

mod open;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use axum::response::Response;
use axum::routing::{any, get, post};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::{Access, Gate};
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::model::fixture::at;
use crate::model::key::ApiKey;
use crate::model::tenant::{Scope, Tenant, TenantCode};
use crate::serving::caller::{Administers, Caller, Operates, Reads, Writes};
use crate::store::api_keys::NewKey;
use crate::store::tenants::TenantEdit;
use crate::store::{Connections, Store, WholeStore};

const LOOPBACK: &str = "127.0.0.1:8080";
const ALL: &str = "0.0.0.0:8080";

/// A gate and what it works with.
struct World {
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    access: Access,
    gate: Gate,
    router: Router,
    _folder: TempDir,
}

impl World {
    /// A gate that is configured to listen at `listen`.
    async fn new(listen: &str, is_open: bool) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let url = format!("sqlite://{}/trackbox.db", folder.path().display());
        let database = WholeStore::open(&url, Connections::default()).await;
        let store = database.expect("opens").store();
        store.migrate().await.expect("migrates");
        let mut http = Config::default().http;
        http.open = is_open;
        http.hosts = vec!["track.example".to_owned()];
        let (clock, metrics) = (Clock::manual(at(0)), Arc::new(Metrics::new()));
        let access = Access::new(store.clone(), clock.clone(), Arc::clone(&metrics), &http);
        let gate = access.at(listen.parse::<SocketAddr>().expect("an address"));
        let tell = |caller: &Caller| format!("{} {:?}", caller.tenant.id(), caller.key);
        let routes = Router::new()
            .route("/read", get(async move |caller: Reads| tell(&caller)))
            .route("/write", post(async |_: Writes| ""))
            .route("/administer", get(async |_: Administers| ""))
            .route("/operate", any(async |_: Operates| ""));
        let figures = Router::new().route("/figures", get(async || ""));
        let router = gate.before(routes).merge(gate.before_figures(figures));
        Self {
            store,
            clock,
            metrics,
            access,
            gate,
            router,
            _folder: folder,
        }
    }

    async fn add(
        &self,
        tenant: Tenant,
        scope: Scope,
        adapt: impl FnOnce(&mut NewKey),
    ) -> (ApiKey, i64) {
        let key = ApiKey::generate().expect("has random numbers");
        let mut new = NewKey {
            tenant,
            key: key.clone(),
            name: "till".to_owned(),
            scope,
            is_operator: false,
            per_second: 0,
            expires_at: None,
        };
        adapt(&mut new);
        let row = self.store.add_key(&new, None, self.clock.now()).await;
        (key, row.expect("adds").expect("there is room").id)
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Response {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).expect("a request");
        self.router.clone().oneshot(request).await.expect("answers")
    }

    async fn status(&self, method: Method, path: &str, key: &ApiKey) -> u16 {
        let value = format!("Bearer {}", key.expose());
        let answer = self.ask(method, path, &[("authorization", &value)]).await;
        answer.status().as_u16()
    }

    async fn reads(&self, key: &ApiKey) -> u16 {
        self.status(Method::GET, "/read", key).await
    }

    async fn get(&self, headers: &[(&str, &str)]) -> u16 {
        let answer = self.ask(Method::GET, "/read", headers).await;
        answer.status().as_u16()
    }
}

async fn detail(response: Response) -> String {
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await;
    let body: serde_json::Value =
        serde_json::from_slice(&body.expect("a body")).expect("is a problem");
    body["detail"].as_str().expect("a detail").to_owned()
}

#[tokio::test]
async fn a_key_leads_to_its_tenant_and_to_what_it_may_do() {
    let world = World::new(ALL, false).await;
    let code = TenantCode::parse("shop").expect("a code");
    let shop = world
        .store
        .create_tenant(&code, "Shop", None, None, at(0))
        .await;
    let shop = shop.expect("creates").expect("is new").tenant;
    let (reader, id) = world.add(shop, Scope::Read, |_| ()).await;
    let (writer, _) = world.add(shop, Scope::Write, |_| ()).await;
    let (admin, _) = world.add(shop, Scope::Admin, |_| ()).await;
    let operator = |new: &mut NewKey| new.is_operator = true;
    let (operator, _) = world.add(Tenant::DEFAULT, Scope::Write, operator).await;
    let watcher = |new: &mut NewKey| new.is_operator = true;
    let (watcher, _) = world.add(Tenant::DEFAULT, Scope::Read, watcher).await;
    let all = [&reader, &writer, &admin, &operator, &watcher];
    for (method, path, expected) in [
        (Method::GET, "/read", [200, 200, 200, 200, 200]),
        (Method::POST, "/write", [403, 200, 200, 200, 403]),
        (Method::GET, "/administer", [403, 403, 200, 403, 403]),
        (Method::GET, "/operate", [403, 403, 403, 200, 200]),
        (Method::DELETE, "/operate", [403, 403, 403, 200, 403]),
    ] {
        for (key, expected) in all.into_iter().zip(expected) {
            let status = world.status(method.clone(), path, key).await;
            assert_eq!(status, expected, "{method} {path}");
        }
    }
    let bearer = format!("bearer  {}", reader.expose());
    let answer = world
        .ask(Method::GET, "/read", &[("Authorization", &bearer)])
        .await;
    let body = axum::body::to_bytes(answer.into_body(), 1 << 10)
        .await
        .expect("a body");
    assert_eq!(body, format!("{} Some({id})", shop.id()));
    let answer = world
        .ask(Method::POST, "/write", &[("authorization", &bearer)])
        .await;
    let told = detail(answer).await;
    assert_eq!(
        told,
        "this needs a key of scope WRITE, and this key has READ"
    );
}

#[tokio::test]
async fn a_revoked_expired_or_disabled_key_is_refused_within_ten_seconds() {
    let world = World::new(ALL, false).await;
    let code = TenantCode::parse("shop").expect("a code");
    let shop = world
        .store
        .create_tenant(&code, "Shop", None, None, at(0))
        .await;
    let shop = shop.expect("creates").expect("is new").tenant;
    let (revoked, id) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    let (disabled, _) = world.add(shop, Scope::Read, |_| ()).await;
    let expiry = |new: &mut NewKey| new.expires_at = Some(at(15));
    let (expiring, _) = world.add(Tenant::DEFAULT, Scope::Read, expiry).await;
    for key in [&revoked, &disabled, &expiring] {
        assert_eq!(world.reads(key).await, 200);
    }
    let done = world
        .store
        .revoke_key(Tenant::DEFAULT, id, None, at(0))
        .await;
    done.expect("revokes");
    let done = world
        .store
        .change_tenant(
            &code,
            TenantEdit {
                disabled: Some(true),
                ..TenantEdit::default()
            },
            None,
            at(0),
        )
        .await;
    done.expect("disables");
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.reads(&revoked).await, 401);
    assert_eq!(world.reads(&disabled).await, 401);
    assert_eq!(world.reads(&expiring).await, 200);
    // Its last look-up is still believed, its end holds all the same.
    world.clock.advance(Duration::from_secs(5));
    assert_eq!(world.reads(&expiring).await, 401);
}

#[tokio::test]
async fn a_key_costs_one_question_in_ten_seconds_whatever_becomes_of_it() {
    let world = World::new(ALL, false).await;
    let (good, _) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    let (revoked, id) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    let done = world
        .store
        .revoke_key(Tenant::DEFAULT, id, None, at(0))
        .await;
    done.expect("revokes");
    let expiry = |new: &mut NewKey| new.expires_at = Some(at(0));
    let (expired, _) = world.add(Tenant::DEFAULT, Scope::Read, expiry).await;
    let unknown = ApiKey::generate().expect("has random numbers");
    for (asked, key) in (1..).zip([good, revoked, expired, unknown]) {
        for _ in 0..3 {
            world.reads(&key).await;
        }
        assert_eq!(world.metrics.key_lookups().get(), asked);
    }
}

#[tokio::test]
async fn what_is_no_key_never_reaches_the_database() {
    let world = World::new(ALL, false).await;
    let (good, _) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    world.store.clone().close().await;
    let mut mistyped = good.expose().to_owned();
    let last = mistyped.pop().expect("has characters");
    let other = if last == '0' { '1' } else { '0' };
    for wrong in [
        format!("Bearer {mistyped}{other}"),
        format!("Bearer {mistyped}"),
        "Bearer ".to_owned(),
        "Bearer".to_owned(),
        format!("Basic {}", good.expose()),
        good.expose().to_owned(),
        "Bearer ключ".to_owned(),
    ] {
        let status = world.get(&[("authorization", &wrong)]).await;
        assert_eq!(status, 401, "{wrong}");
    }
    let bearer = format!("Bearer {}", good.expose());
    let twice = [
        ("authorization", bearer.as_str()),
        ("authorization", &bearer),
    ];
    assert_eq!(world.get(&twice).await, 401);
    assert_eq!(world.metrics.key_lookups().get(), 0);
    assert_eq!(
        world.reads(&good).await,
        503,
        "a real key would be looked up"
    );
}

#[tokio::test]
async fn a_key_in_a_url_is_refused_although_it_is_good() {
    let world = World::new(ALL, false).await;
    let (good, _) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    let path = format!("/read?a=1&api_key={}", good.expose());
    let bearer = format!("Bearer {}", good.expose());
    let answer = world
        .ask(Method::GET, &path, &[("authorization", &bearer)])
        .await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(
        detail(answer)
            .await
            .starts_with("a key in a URL ends up in logs")
    );
}

#[tokio::test]
async fn a_client_with_twenty_wrong_keys_in_a_minute_waits_but_known_keys_go_on_working() {
    let world = World::new(ALL, false).await;
    let (good, _) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    assert_eq!(world.reads(&good).await, 200);
    for _ in 0..20 {
        let wrong = ApiKey::generate().expect("has random numbers");
        assert_eq!(world.reads(&wrong).await, 401);
    }
    let asked = world.metrics.key_lookups().get();
    let wrong = ApiKey::generate().expect("has random numbers");
    assert_eq!(world.reads(&wrong).await, 429);
    let answer = world
        .ask(Method::GET, "/read", &[("authorization", "Bearer x")])
        .await;
    assert_eq!(answer.headers()[header::RETRY_AFTER], "60");
    assert_eq!(
        world.metrics.key_lookups().get(),
        asked,
        "none is looked up"
    );
    world.clock.advance(Duration::from_secs(10));
    assert_eq!(world.reads(&good).await, 200, "it was known before");
    world.gate.forget_keys();
    assert_eq!(world.reads(&good).await, 200, "it is known still");
    let (new, _) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    assert_eq!(world.reads(&new).await, 429);
    world.clock.advance(Duration::from_secs(50));
    assert_eq!(world.reads(&new).await, 200);
}

#[tokio::test]
async fn a_key_with_a_limit_of_its_own_is_told_what_is_left_of_it() {
    let world = World::new(ALL, false).await;
    let limited = |new: &mut NewKey| new.per_second = 2;
    let (limited, _) = world.add(Tenant::DEFAULT, Scope::Read, limited).await;
    let (free, _) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    let bearer = format!("Bearer {}", limited.expose());
    let ask = async || {
        world
            .ask(Method::GET, "/read", &[("authorization", &bearer)])
            .await
    };
    let first = ask().await;
    assert_eq!(first.headers()["ratelimit-policy"], "\"key\";q=2;w=1");
    assert_eq!(first.headers()["ratelimit"], "\"key\";r=1;t=1");
    let mut answers = Vec::new();
    // More than a second's worth, however slow the machine is between two of them.
    for _ in 0..50 {
        answers.push(ask().await);
    }
    // A new look-up keeps the counter.
    world.clock.advance(Duration::from_secs(10));
    answers.push(ask().await);
    let refused = answers.iter().find(|answer| answer.status() == 429);
    let refused = refused.expect("one too many");
    assert_eq!(refused.headers()["ratelimit"], "\"key\";r=0;t=1");
    assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
    for _ in 0..50 {
        assert_eq!(world.reads(&free).await, 200);
    }
}

#[tokio::test]
async fn the_last_use_of_a_key_is_stored_in_one_batch() {
    let world = World::new(ALL, false).await;
    let (key, _) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    world.clock.advance(Duration::from_secs(7));
    world.reads(&key).await;
    let last_used = async || {
        let keys = world.store.keys(Tenant::DEFAULT, None, 10).await;
        keys.expect("lists")[0].last_used_at
    };
    assert_eq!(last_used().await, None, "reading writes nothing");
    world.access.0.ring.note_uses().await.expect("notes");
    assert_eq!(last_used().await, Some(at(7)));
}
