//! Turns: how much of each account's calls its payers were given. All workers share it.

use std::collections::BTreeMap;

use sea_orm::{ConnectionTrait as _, QueryResult};

use crate::model::tenant::Payer;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

/// What a payer was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub payer: Payer,
    /// Its count before, raised if it was too far behind.
    pub from: u64,
    /// By how much the count grows.
    pub more: u64,
}

/// A payer's count.
struct Count {
    payer: Payer,
    taken: u64,
}

impl Readable for Count {
    const TABLE: &'static str = "payer_turns";
    const KEY: &'static str = "payer";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        let taken: i64 = get(row, "taken")?;
        Ok(Self {
            payer: Payer::from_row(get(row, "payer")?),
            taken: u64::try_from(taken).unwrap_or(0),
        })
    }
}

impl Store {
    /// The counts of an account's payers. One without a count was given nothing so far.
    pub async fn turns(&self, account: &str) -> Result<BTreeMap<Payer, u64>, StoreError> {
        let sql = "SELECT payer, taken FROM payer_turns WHERE budget = :account LIMIT 32768";
        let sql = self.sql(sql).bind("account", account);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let counts: Vec<Count> = self.rows.readable(&found);
        Ok(counts.into_iter().map(|it| (it.payer, it.taken)).collect())
    }

    /// Adds to the counts of an account's payers. What several workers add at once adds up.
    pub async fn take_turns(&self, account: &str, turns: &[Turn]) -> Result<(), StoreError> {
        if turns.is_empty() {
            return Ok(());
        }
        // By payer, so that two transactions cannot deadlock.
        let mut turns = turns.to_vec();
        turns.sort_by_key(|turn| turn.payer);
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let set = self
            .set(&turns)
            .column("budget", |_| account.to_owned())
            .column("payer", |turn| turn.payer.slot())
            .column("taken", |turn| count(turn.from.saturating_add(turn.more)))
            .column("last", |turn| count(turn.more));
        let sql = format!(
            "{} ON CONFLICT (budget, payer) DO UPDATE SET last = excluded.last, taken = excluded.last + \
             CASE WHEN payer_turns.taken < excluded.taken - excluded.last THEN excluded.taken - excluded.last \
             ELSE payer_turns.taken END",
            set.insert_into("payer_turns")
        );
        let sql = self.sql(sql).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }
}
