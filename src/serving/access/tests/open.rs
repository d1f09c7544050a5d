//! Tests of ports that need no key, and of when they do.

use std::time::Duration;

use axum::http::{Method, header};

use super::{ALL, LOOPBACK, World, detail};
use crate::model::key::ApiKey;
use crate::model::tenant::{Scope, Tenant};
use crate::serving::access::Standing;

#[tokio::test]
async fn a_port_is_open_only_by_its_configuration_and_only_until_the_first_key() {
    for (listen, is_open, standing) in [
        (LOOPBACK, false, Standing::OpenHere),
        ("[::1]:8080", false, Standing::OpenHere),
        (ALL, true, Standing::OpenToAll),
        (ALL, false, Standing::Shut),
        ("192.168.1.7:8080", false, Standing::Shut),
    ] {
        let world = World::new(listen, is_open).await;
        assert_eq!(world.gate.standing().await.expect("asks"), standing);
        let expected = if standing == Standing::Shut { 401 } else { 200 };
        assert_eq!(world.get(&[]).await, expected, "{listen}");
        let (key, _) = world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
        world.clock.advance(Duration::from_secs(10));
        assert_eq!(world.get(&[]).await, 401, "{listen}");
        assert_eq!(world.reads(&key).await, 200, "{listen}");
        assert_eq!(world.gate.standing().await.expect("asks"), Standing::Keyed);
    }
}

#[tokio::test]
async fn a_refusal_says_what_to_do_and_that_a_bearer_key_is_needed() {
    let world = World::new(ALL, false).await;
    let answer = world.ask(Method::GET, "/read", &[]).await;
    assert_eq!(answer.headers()[header::WWW_AUTHENTICATE], "Bearer");
    assert!(detail(answer).await.contains("trackbox keys create"));
    world.add(Tenant::DEFAULT, Scope::Read, |_| ()).await;
    world.clock.advance(Duration::from_secs(10));
    let answer = world.ask(Method::GET, "/read", &[]).await;
    assert!(
        detail(answer)
            .await
            .contains("`Authorization: Bearer tbx_…`")
    );
}

#[tokio::test]
async fn the_first_key_shuts_an_open_port_at_once_where_it_was_made() {
    let world = World::new(LOOPBACK, false).await;
    assert_eq!(world.get(&[]).await, 200);
    world.add(Tenant::DEFAULT, Scope::Admin, |_| ()).await;
    world.access.forget_keys();
    assert_eq!(world.get(&[]).await, 401);
}

#[tokio::test]
async fn an_open_port_answers_neither_proxies_nor_pages_of_other_origins() {
    for (listen, is_open) in [(LOOPBACK, false), (ALL, true)] {
        let world = World::new(listen, is_open).await;
        for (name, value) in [
            ("forwarded", "for=192.0.2.1"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "localhost"),
            ("x-real-ip", "127.0.0.1"),
            ("via", "1.1 proxy"),
        ] {
            let answer = world.ask(Method::GET, "/read", &[(name, value)]).await;
            assert_eq!(answer.status(), 401, "{name}");
            assert!(detail(answer).await.contains("make a key"));
        }
        assert_eq!(world.get(&[("host", "evil.example:8080")]).await, 421);
        assert_eq!(world.get(&[("host", "track.example")]).await, 200);
        let page = [
            ("host", "localhost:8080"),
            ("origin", "http://localhost:3000"),
        ];
        let answer = world.ask(Method::POST, "/write", &page).await;
        assert_eq!(answer.status(), 403);
        let wrong = ApiKey::generate().expect("has random numbers");
        assert_eq!(
            world.reads(&wrong).await,
            401,
            "a wrong key is wrong here too"
        );

        // With a key none of this is needed, since no page and no proxy knows it.
        let (key, _) = world.add(Tenant::DEFAULT, Scope::Write, |_| ()).await;
        world.clock.advance(Duration::from_secs(10));
        let bearer = format!("Bearer {}", key.expose());
        let proxied = [
            ("host", "shop.example"),
            ("x-forwarded-for", "192.0.2.1"),
            ("authorization", &bearer),
        ];
        assert_eq!(world.get(&proxied).await, 200);
    }
}

#[tokio::test]
async fn the_figures_of_a_loopback_port_are_not_shown_under_foreign_names() {
    for (listen, expected) in [(LOOPBACK, 421), (ALL, 200)] {
        let world = World::new(listen, false).await;
        let evil = [("host", "evil.example:8082")];
        let answer = world.ask(Method::GET, "/figures", &evil).await;
        assert_eq!(answer.status().as_u16(), expected);
        let answer = world
            .ask(Method::GET, "/figures", &[("host", "localhost")])
            .await;
        assert_eq!(answer.status().as_u16(), 200);
    }
}

#[tokio::test]
async fn an_open_port_stays_open_while_the_database_is_away() {
    let world = World::new(LOOPBACK, false).await;
    assert_eq!(world.get(&[]).await, 200);
    world.store.clone().close().await;
    world.clock.advance(Duration::from_secs(60));
    assert_eq!(world.get(&[]).await, 200);
    let never_asked = World::new(LOOPBACK, false).await;
    never_asked.store.clone().close().await;
    assert_eq!(never_asked.get(&[]).await, 503);
}
