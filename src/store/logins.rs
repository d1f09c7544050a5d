//! Who may log in to an account, and when: one worker at a time, and ever more seldom while the carrier refuses it.
//!
//! In the database, so that it holds for all workers and outlives them: carriers lock an account out after wrong secrets.

use std::time::Duration;

use chrono::TimeDelta;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QuerySelect as _, Set};

use crate::clock::{Time, not_ahead};
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::entity::account_login::{ActiveModel, Column, Entity, Model};
use crate::store::error::StoreError;

/// The wait after the 1st, 2nd, … refusal in a row; the last one holds for all further ones. So a wrong secret is tried
/// three times in the first hour, and at most six times in any day.
const RESTS: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3_600),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(4 * 3_600),
    Duration::from_secs(24 * 3_600),
];

/// The wait after a log-in that failed on the way: the calls with an old token must not all try, and wait for it.
const FAILED_REST: Duration = Duration::from_secs(10);

/// Log-ins that the carrier does not count: five at once, then one in twelve minutes, so at most ten in any hour.
const AT_ONCE: i32 = 5;
const ONE_IN: TimeDelta = TimeDelta::minutes(12);

/// How long the account is left alone at most.
const REST_MAX: TimeDelta = TimeDelta::hours(25);

/// How long credentials are remembered that are no longer used.
const UNUSED_MAX: TimeDelta = TimeDelta::days(30);

/// How often to try again if another worker changed the row meanwhile.
const TRIES: usize = 3;

/// The most credentials of an account that are read.
const CREDENTIALS_MAX: u64 = 1_000;

/// An account and the name of its credentials.
#[derive(Clone, Copy, Debug)]
pub struct LoginOf<'a> {
    pub account: &'a str,
    pub credentials: &'a str,
}

/// Leave to log in once. Until it is ended it counts as a refusal.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    before: Model,
    now: Model,
}

/// Whether a worker may log in now.
#[derive(Clone, Debug, PartialEq)]
pub enum Leave {
    Begun(Box<Begun>),
    /// Another worker is logging in.
    Busy,
    /// The last log-in was refused or failed, for this reason, and the next one must wait.
    Rest {
        until: Time,
        reason: String,
    },
    /// The log-ins of the hour are used up.
    Spent {
        until: Time,
    },
}

/// How a log-in ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It gave a token.
    Well,
    /// The carrier refused the credentials, for this reason.
    Refused { reason: String },
    /// It failed in another way, for this reason.
    Failed { reason: String },
    /// It was not made.
    Unmade,
}

impl Model {
    /// What becomes of the row if a log-in begins now that takes `hold` at most; or why it must not.
    fn begin(&self, is_limited: bool, hold: Duration, now: Time) -> Result<Self, Leave> {
        let not_before = self.not_before.map(|at| not_ahead(at.0, now, REST_MAX));
        if let Some(until) = not_before.filter(|until| *until > now) {
            return Err(match self.reason.is_empty() {
                true => Leave::Busy,
                false => Leave::Rest {
                    until,
                    reason: self.reason.clone(),
                },
            });
        }
        let mut spent_until = self.spent_until;
        if is_limited {
            let spent = spent_until.map_or(now, |at| not_ahead(at.0, now, ONE_IN * AT_ONCE));
            let until = spent - ONE_IN * (AT_ONCE - 1);
            if until > now {
                return Err(Leave::Spent { until });
            }
            spent_until = Some(Stamp(spent.max(now) + ONE_IN));
        }
        Ok(Self {
            refusals: self.refusals.saturating_add(1),
            reason: String::new(),
            not_before: Some(Stamp(now + hold)),
            spent_until,
            turn: self.turn + 1,
            updated_at: Stamp(now),
            ..self.clone()
        })
    }
}

/// The wait after so many refusals in a row.
pub(super) fn rest(refusals: u32) -> Duration {
    RESTS[(refusals as usize).clamp(1, RESTS.len()) - 1]
}

impl Begun {
    /// What becomes of the row now that the log-in has ended.
    fn ended(&self, ending: Ending, now: Time) -> Model {
        let mut row = self.now.clone();
        (row.not_before, row.updated_at) = (None, Stamp(now));
        match ending {
            Ending::Well => row.refusals = 0,
            Ending::Refused { reason } => {
                row.reason = reason;
                row.not_before = Some(Stamp(now + rest(row.refusals.unsigned_abs())));
            }
            Ending::Failed { reason } => {
                row.refusals = self.before.refusals;
                row.reason = reason;
                row.not_before = Some(Stamp(now + FAILED_REST));
            }
            Ending::Unmade => {
                row.refusals = self.before.refusals;
                row.spent_until = self.before.spent_until;
            }
        }
        row
    }
}

impl Store {
    /// Begins a log-in that takes `hold` at most. `is_limited` says that the hourly limit holds for it.
    pub async fn begin_login(
        &self,
        of: LoginOf<'_>,
        is_limited: bool,
        hold: Duration,
        now: Time,
    ) -> Result<Leave, StoreError> {
        for _ in 0..TRIES {
            let key = (of.account.to_owned(), of.credentials.to_owned());
            let Some(before) = Entity::find_by_id(key).one(&self.writer).await? else {
                self.add_credentials(of, now).await?;
                continue;
            };
            let begun = match before.begin(is_limited, hold, now) {
                Ok(begun) => begun,
                Err(leave) => return Ok(leave),
            };
            if self.replace_login(before.turn, begun.clone()).await? {
                return Ok(Leave::Begun(Box::new(Begun { before, now: begun })));
            }
        }
        Ok(Leave::Busy)
    }

    /// Notes how a log-in ended. Answers until when the account must not log in again, if it gave no token.
    pub async fn end_login(
        &self,
        begun: &Begun,
        ending: Ending,
        now: Time,
    ) -> Result<Option<Time>, StoreError> {
        let ended = begun.ended(ending, now);
        let until = ended.not_before.map(|at| at.0);
        self.replace_login(begun.now.turn, ended).await?;
        Ok(until)
    }

    /// Notes that a worker uses these credentials. If they are new, and the carrier refused the ones before, the account's
    /// pause ends. Answers whether it did.
    pub async fn meet_credentials(&self, of: LoginOf<'_>, now: Time) -> Result<bool, StoreError> {
        let known = Entity::find()
            .filter(Column::Account.eq(of.account))
            .limit(CREDENTIALS_MAX)
            .all(&self.writer)
            .await?;
        if known.iter().any(|row| row.credentials == of.credentials) {
            return Ok(false);
        }
        let was_refused = known.iter().any(|row| row.refusals > 0);
        if was_refused {
            self.lift_pause(of.account, now).await?;
        }
        self.add_credentials(of, now).await?;
        Ok(was_refused)
    }

    /// Lets the account log in at once, whatever was refused before.
    pub(super) async fn forget_refusals(&self, account: &str) -> Result<(), StoreError> {
        let forgotten = ActiveModel {
            refusals: Set(0),
            reason: Set(String::new()),
            not_before: Set(None),
            ..ActiveModel::default()
        };
        Entity::update_many()
            .set(forgotten)
            .filter(Column::Account.eq(account))
            .exec(&self.writer)
            .await?;
        Ok(())
    }

    async fn add_credentials(&self, of: LoginOf<'_>, now: Time) -> Result<(), StoreError> {
        Entity::delete_many()
            .filter(Column::Account.eq(of.account))
            .filter(Column::UpdatedAt.lt(Stamp(now - UNUSED_MAX)))
            .exec(&self.writer)
            .await?;
        let new = ActiveModel {
            account: Set(of.account.to_owned()),
            credentials: Set(of.credentials.to_owned()),
            updated_at: Set(Stamp(now)),
            ..ActiveModel::default()
        };
        Entity::insert(new)
            .on_conflict(
                OnConflict::columns([Column::Account, Column::Credentials])
                    .do_nothing()
                    .to_owned(),
            )
            .exec_without_returning(&self.writer)
            .await?;
        Ok(())
    }

    /// Replaces a row, unless another worker began a log-in since its `turn`.
    async fn replace_login(&self, turn: i64, row: Model) -> Result<bool, StoreError> {
        let new = ActiveModel {
            refusals: Set(row.refusals),
            reason: Set(row.reason),
            not_before: Set(row.not_before),
            spent_until: Set(row.spent_until),
            turn: Set(row.turn),
            updated_at: Set(row.updated_at),
            ..ActiveModel::default()
        };
        let replaced = Entity::update_many()
            .set(new)
            .filter(Column::Account.eq(row.account))
            .filter(Column::Credentials.eq(row.credentials))
            .filter(Column::Turn.eq(turn))
            .exec(&self.writer)
            .await?;
        Ok(replaced.rows_affected == 1)
    }
}
