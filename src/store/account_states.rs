//! What all workers share of an account at a carrier: its pause and its failures in a row.
//!
//! In the database rather than in the cache, so that an emptied cache forgets no pause and no call.

use std::collections::HashSet;
use std::time::Duration;

use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, EntityTrait as _, FromQueryResult as _,
    QueryFilter as _, QueryOrder as _, QueryResult, QuerySelect as _, QueryTrait as _, Set,
};

use crate::clock::{Time, day_of, not_ahead};
use crate::store::Store;
use crate::store::entity::account_state::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;
use crate::store::failures::{Failures, PAUSE_MAX, without_failures};
use crate::store::rows::{Readable, Unreadable, get};

/// The most accounts read at once; more than a configuration has.
const ACCOUNTS_MAX: u64 = 10_000;

/// A pause that ends later than this was never made so: it is longer than any, however much the clocks differ.
const PAUSED_MAX: Duration = PAUSE_MAX.saturating_add(Duration::from_secs(3_600));

/// The state of one account.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountState {
    /// The account's name in the configuration.
    pub account: String,
    pub paused_until: Option<Time>,
    pub pause_reason: String,
    pub failures: Failures,
}

impl AccountState {
    /// What it can be at this time: a pause that a clock far ahead stored is not believed.
    fn believed(mut self, now: Time) -> Self {
        let until = self.paused_until;
        self.paused_until = until.map(|until| not_ahead(until, now, PAUSED_MAX));
        self
    }
}

impl Store {
    /// The state of every account that has one, as far as it can be at the time `now`. Leaves out those that cannot be read.
    pub async fn account_states(&self, now: Time) -> Result<Vec<AccountState>, StoreError> {
        Ok(self.believed(&self.state_rows().await?, now))
    }

    /// The same, and a state that cannot be read is replaced: no pause, and the day's calls used up.
    pub async fn mended_account_states(&self, now: Time) -> Result<Vec<AccountState>, StoreError> {
        let found = self.state_rows().await?;
        let states = self.believed(&found, now);
        let good: HashSet<&str> = states.iter().map(|state| state.account.as_str()).collect();
        let names = found.iter().filter_map(|row| get(row, "budget").ok());
        let spoiled: Vec<String> = names
            .filter(|name: &String| !good.contains(name.as_str()))
            .collect();
        if spoiled.is_empty() {
            return Ok(states);
        }
        let used_up = ActiveModel {
            day: Set(day_of(now)),
            day_used: Set(i64::MAX),
            tokens: Set(0.0),
            tokens_at: Set(None),
            ..without_failures(now)
        };
        Entity::update_many()
            .set(used_up)
            .filter(Column::Account.is_in(&spoiled))
            .exec(&self.writer)
            .await?;
        for account in spoiled {
            tracing::error!(
                account,
                "replaced the state of account {account}, which could not be read: it makes no more calls today if \
                 its limit is by day"
            );
        }
        Ok(states)
    }

    fn believed(&self, found: &[QueryResult], now: Time) -> Vec<AccountState> {
        let states: Vec<AccountState> = self.rows.readable(found);
        let states = states.into_iter();
        states.map(|state| state.believed(now)).collect()
    }

    async fn state_rows(&self) -> Result<Vec<QueryResult>, StoreError> {
        let states = Entity::find()
            .order_by_asc(Column::Account)
            .limit(ACCOUNTS_MAX)
            .into_query();
        Ok(self.reader.query_all(&states).await?)
    }
}

impl Readable for AccountState {
    const TABLE: &'static str = "carrier_state";
    const KEY: &'static str = "budget";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let row = Model::from_query_result_nullable(row, "")?;
        Ok(Self {
            account: row.account,
            paused_until: row.paused_until.map(|at| at.0),
            pause_reason: row.pause_reason,
            failures: Failures {
                fails: row.fails.unsigned_abs(),
                refusals: row.refusals.unsigned_abs(),
                suspicion: row.suspicion,
                suspects: row.suspects.unsigned_abs(),
            },
        })
    }
}
