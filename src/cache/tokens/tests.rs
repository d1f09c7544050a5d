//! What every process promises of the tokens it keeps, alone or with others.

use std::sync::Arc;
use std::time::Duration;

use super::seal::Credentials;
use super::{Shelf, Tokens};
use crate::cache::redis::fixture::{PrivateRedis, connect, random_prefix};
use crate::model::fixture::at;
use crate::model::token::Token;

fn shelf(tokens: &Tokens, secret: &str) -> Arc<Shelf> {
    let login = format!("POST /token secret={secret}");
    tokens.shelf(Credentials::new("CDEK", login.as_bytes(), secret))
}

fn token(text: &str, since: i64) -> Token {
    Token::new(text, at(since), Duration::from_secs(60)).expect("a token")
}

async fn fresh(shelf: &Shelf, secs: i64) -> Option<String> {
    let token = shelf.fresh(at(secs)).await;
    token.map(|token| token.expose().to_owned())
}

/// Two processes that share a Redis, and the prefix of its keys.
async fn two() -> (Tokens, Tokens, String) {
    let prefix = random_prefix();
    let [one, other] = [connect(&prefix).await, connect(&prefix).await];
    let tokens = |redis| Tokens::new(Some(Arc::new(redis)));
    (tokens(one), tokens(other), prefix)
}

#[tokio::test]
async fn a_kept_token_is_found_until_it_is_to_be_renewed_and_held_until_it_ends() {
    let (shared, ..) = two().await;
    for tokens in [Tokens::new(None), shared] {
        let shelf = shelf(&tokens, "s");
        assert_eq!(fresh(&shelf, 0).await, None);
        shelf.keep(token("a", 0)).await;
        assert_eq!(fresh(&shelf, 47).await.as_deref(), Some("a"));
        assert_eq!(fresh(&shelf, 48).await, None);
        assert!(shelf.held(at(53)).is_some() && shelf.held(at(54)).is_none());
    }
}

#[tokio::test]
async fn what_one_process_keeps_the_other_finds_with_the_same_secret_only() {
    let (one, other, _) = two().await;
    shelf(&one, "s").keep(token("a", 0)).await;
    assert_eq!(fresh(&shelf(&other, "s"), 1).await.as_deref(), Some("a"));
    assert_eq!(fresh(&shelf(&other, "t"), 1).await, None);
}

#[tokio::test]
async fn a_void_token_is_not_found_again_and_the_next_one_is() {
    let (one, other, _) = two().await;
    let (first, second) = (shelf(&one, "s"), shelf(&other, "s"));
    let old = first.keep(token("a", 0)).await;
    assert_eq!(fresh(&second, 1).await.as_deref(), Some("a"));
    first.void(&old);
    assert_eq!(fresh(&first, 1).await, None, "Redis still has it");
    second.keep(token("b", 2)).await;
    assert_eq!(fresh(&first, 3).await.as_deref(), Some("b"));
    first.void(&old);
    assert_eq!(fresh(&first, 3).await.as_deref(), Some("b"));
}

#[tokio::test]
async fn what_is_in_redis_shows_neither_token_nor_secret() {
    let (one, _, prefix) = two().await;
    let shelf = shelf(&one, "hunter2");
    shelf.keep(token("t0ken", 0)).await;
    let redis = connect(&prefix).await;
    let (_, values) = redis.read(vec![shelf.key(&redis)]).await.expect("reads");
    let bytes = values[0].as_bytes().expect("is kept").to_vec();
    let shown = shelf.key(&redis) + &String::from_utf8_lossy(&bytes);
    assert!(!shown.contains("t0ken") && !shown.contains("hunter2"));
}

#[tokio::test]
async fn without_redis_a_process_keeps_its_own() {
    let server = PrivateRedis::start();
    let tokens = Tokens::new(Some(Arc::new(server.connect().await)));
    drop(server);
    let shelf = shelf(&tokens, "s");
    shelf.keep(token("a", 0)).await;
    assert_eq!(fresh(&shelf, 1).await.as_deref(), Some("a"));
    assert_eq!(fresh(&shelf, 48).await, None);
}

#[tokio::test]
async fn one_at_a_time_has_the_turn() {
    let tokens = Tokens::new(None);
    let turn = shelf(&tokens, "s").turn().await;
    assert!(shelf(&tokens, "s").free_turn().is_none());
    assert!(shelf(&tokens, "t").free_turn().is_some());
    drop(turn);
    assert!(shelf(&tokens, "s").free_turn().is_some());
}
