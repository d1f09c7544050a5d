//! The accounts' tokens, one for all processes: in Redis, encrypted, and in the memory of each process.
//!
//! While Redis is away, each process has its own. Who may log in, and when, is not decided here.

pub mod seal;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use fred::types::{FromValue as _, Value};
use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::cache::redis::Redis;
use crate::cache::tokens::seal::Credentials;
use crate::clock::Time;
use crate::model::token::Token;

/// The tokens of a process.
pub struct Tokens {
    redis: Option<Arc<Redis>>,
    /// By account and the name of its credentials: as many as the configuration has.
    shelves: Mutex<HashMap<(String, String), Arc<Shelf>>>,
}

/// The token of one account.
pub struct Shelf {
    pub credentials: Credentials,
    redis: Option<Arc<Redis>>,
    kept: Mutex<Kept>,
    turn: Arc<Turn<()>>,
}

#[derive(Default)]
struct Kept {
    token: Option<Arc<Token>>,
    /// The last one that the carrier refused, which others may still keep.
    void: Option<Arc<Token>>,
}

impl Tokens {
    /// In Redis, if there is one.
    pub fn new(redis: Option<Arc<Redis>>) -> Self {
        Self {
            redis,
            shelves: Mutex::default(),
        }
    }

    /// The shelf of these credentials, which keeps their token.
    pub fn shelf(&self, credentials: Credentials) -> Arc<Shelf> {
        let key = (credentials.account.clone(), credentials.name.clone());
        let mut shelves = self.shelves.lock();
        let shelf = shelves.entry(key).or_insert_with(|| {
            Arc::new(Shelf {
                credentials,
                redis: self.redis.clone(),
                kept: Mutex::default(),
                turn: Arc::default(),
            })
        });
        Arc::clone(shelf)
    }
}

impl Shelf {
    /// The token of this process, if it is valid.
    pub fn held(&self, now: Time) -> Option<Arc<Token>> {
        let token = self.kept.lock().token.clone();
        token.filter(|token| token.is_valid(now))
    }

    /// A token that needs no renewal: this process's, else the shared one, which it then takes over.
    pub async fn fresh(&self, now: Time) -> Option<Arc<Token>> {
        let is_fresh = |token: &Arc<Token>| token.is_fresh(now);
        if let Some(token) = self.held(now).filter(is_fresh) {
            return Some(token);
        }
        let shared = self.shared().await.map(Arc::new).filter(is_fresh)?;
        let mut kept = self.kept.lock();
        if kept.void.as_ref() == Some(&shared) {
            return None;
        }
        kept.token = Some(Arc::clone(&shared));
        Some(shared)
    }

    async fn shared(&self) -> Option<Token> {
        let redis = self.redis.as_ref()?;
        // A failure is logged by the connection, once.
        let (_, values) = redis.read(vec![self.key(redis)]).await.ok()?;
        let sealed = Vec::<u8>::from_value(values.into_iter().next()?).ok()?;
        self.credentials.open(&sealed)
    }

    /// Keeps a new token, for all processes if Redis is there.
    pub async fn keep(&self, token: Token) -> Arc<Token> {
        let token = Arc::new(token);
        self.kept.lock().token = Some(Arc::clone(&token));
        let sealed = self.redis.as_ref().zip(self.credentials.seal(&token));
        if let Some((redis, sealed)) = sealed {
            let value = Value::Bytes(sealed.into());
            if let Err(error) = redis.set(self.key(redis), value, token.life()).await {
                let account = self.credentials.account.as_str();
                tracing::debug!(account, %error, "cannot share the token of account {account}: {error}");
            }
        }
        token
    }

    /// Gives up a token that the carrier refused, but none that came after it.
    pub fn void(&self, token: &Arc<Token>) {
        let mut kept = self.kept.lock();
        if kept.token.as_ref() == Some(token) {
            kept.token = None;
        }
        kept.void = Some(Arc::clone(token));
    }

    /// This process's turn to get a new token, which it has until the guard is dropped.
    pub async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// The turn, if it is free.
    pub fn free_turn(&self) -> Option<OwnedMutexGuard<()>> {
        Arc::clone(&self.turn).try_lock_owned().ok()
    }

    fn key(&self, redis: &Redis) -> String {
        let Credentials { account, name, .. } = &self.credentials;
        redis.key(format_args!("token:{account}:{name}"))
    }
}
