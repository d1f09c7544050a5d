//! Claims: which carriers have something due, taking it under a lease, and giving it back.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, QueryResult};
use uuid::Uuid;

use crate::clock::Time;
use crate::model::{CarrierCode, Tracking};
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::dialect::Dialect;
use crate::store::entity::{columns, tracking};
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

/// A carrier with active trackings that no worker holds, and the earliest time at which one of them is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCarrier {
    pub carrier_code: CarrierCode,
    pub earliest: Time,
}

/// A range of the carriers, in the database's order of their codes, which is not Rust's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueCarriers {
    pub carriers: Vec<DueCarrier>,
    /// The last code of the range, if more may come after it.
    pub cut_after: Option<String>,
}

/// What to claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Of these carriers, all together.
    pub carriers: &'a [CarrierCode],
    /// At most so many trackings; one for [`Take::Trial`].
    pub limit: u32,
    pub take: Take<'a>,
}

/// Which trackings may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take<'a> {
    /// What is due: the refreshed ones; then those that never had an answer, at most `unanswered_max` of them; then the
    /// others; then the rest of those without an answer. Each by time. What may be taken early comes last.
    Due {
        unanswered_max: u32,
        early: Early<'a>,
    },
    /// One that is due, to try an account with: of the first refreshed one, the first without an answer and the first of the
    /// others, one that had an answer before if there is any.
    Trial,
}

/// Which trackings may be taken before they are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early<'a> {
    /// To fill the last call of `per_call` numbers: those that are at most a tenth of their wait early, of the next 1,000 to
    /// be due.
    Fill { per_call: u32 },
    /// As many as fit: of these, by time, those whose last good answer is older than `answered_before` and whose checks did
    /// not fail since.
    Of {
        trackings: &'a [i64],
        answered_before: Time,
    },
}

/// What was claimed.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Each holds a lease whose `lease_id` is the id of its check.
    pub trackings: Vec<Tracking>,
    /// How many corrupt rows were skipped. They keep the lease, so each is claimed again once a lease at most.
    pub corrupt: usize,
}

/// How many of the next trackings to be due a claim looks at to fill a call. If none of them is nearly due, looking further
/// would cost more than a fuller call is worth.
const FILL_SCAN_MAX: u32 = 1_000;

/// A carrier's code with the times at which the next tracking of each queue is due.
struct Carrier {
    code: String,
    times: [Option<Stamp>; 3],
}

impl Readable for Carrier {
    const TABLE: &'static str = "trackings";
    const KEY: &'static str = "code";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        // A corrupt time counts as past: the claim then takes its row and skips it, so that the next one comes up.
        let at = |name| get(row, name).unwrap_or(Some(Stamp(Time::UNIX_EPOCH)));
        Ok(Self {
            code: get(row, "code")?,
            times: ["urgent_at", "unanswered_at", "known_at"].map(at),
        })
    }
}

/// An id of a tracking.
struct Id(i64);

impl Readable for Id {
    const TABLE: &'static str = "trackings";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self(get(row, "id")?))
    }
}

/// The queues of a carrier's trackings: refreshed, without any answer so far, the others. As the claim index has it.
const QUEUE: &str = "(CASE WHEN priority = 1 THEN 0 WHEN last_ok_at IS NULL THEN 1 ELSE 2 END)";

/// Whether no worker holds a tracking.
pub(super) const FREE: &str = "(lease_until IS NULL OR lease_until <= :now)";

/// The claim. Each kind of candidates is a range of the claim index of its own. `{…}` is filled in by [`Store::claim`].
const CLAIM: &str = "WITH
codes AS MATERIALIZED (SELECT c.code FROM {carriers}),
urgent AS MATERIALIZED ({urgent}),
unanswered AS MATERIALIZED ({unanswered}),
known AS MATERIALIZED ({known}),
due AS MATERIALIZED (
  SELECT id, next_check_at, place FROM (
    SELECT id, next_check_at, last_ok_at, 0 AS place FROM urgent
    UNION ALL
    SELECT id, next_check_at, last_ok_at,
      CASE WHEN row_number() OVER (ORDER BY next_check_at, id) <= :unanswered_max THEN 1 ELSE 3 END FROM unanswered
    UNION ALL
    SELECT id, next_check_at, last_ok_at, 2 FROM known
  ) AS d ORDER BY {first} place, next_check_at, id LIMIT :limit
),
early AS MATERIALIZED ({early}),
chosen AS (
  SELECT id AS row_id, row_number() OVER (ORDER BY place, next_check_at, id) AS nth
  FROM (SELECT id, next_check_at, place FROM due UNION ALL SELECT id, next_check_at, 4 FROM early) AS c
),
-- A new check id for each; those left over at the end match no row. MATERIALIZED, or SQLite reads all of them for each row.
leases AS MATERIALIZED (SELECT u.nth, u.check_id FROM {check_ids})
UPDATE trackings SET lease_until = :lease_until, lease_id = leases.check_id
FROM chosen JOIN leases ON leases.nth = chosen.nth
WHERE trackings.id = chosen.row_id
RETURNING {columns}";

/// Of each carrier the first trackings of one queue that meet a condition, and of all these the first.
fn heads(dialect: Dialect, queue: u8, condition: &str, limit: &str, locked: &str) -> String {
    let of_one = format!(
        "FROM trackings WHERE carrier_code = codes.code AND payer = 0 AND active AND {QUEUE} = {queue} AND {FREE} \
         AND {condition} ORDER BY next_check_at, id LIMIT {limit}"
    );
    let of_all = match dialect {
        Dialect::Postgres => format!(
            "codes CROSS JOIN LATERAL (SELECT id, next_check_at, last_ok_at {of_one} {locked}) AS t"
        ),
        Dialect::Sqlite => {
            format!("codes CROSS JOIN trackings AS t ON t.id IN (SELECT id {of_one})")
        }
    };
    format!(
        "SELECT t.id, t.next_check_at, t.last_ok_at FROM {of_all} ORDER BY t.next_check_at, t.id LIMIT {limit}"
    )
}

/// Whether a known tracking may be checked early.
const MAY_BE_EARLY: &str =
    "next_check_at > :now AND check_fail_count = 0 AND last_ok_at < :answered_before";

/// The early trackings of a claim: of some, those that may be taken, as many as there is room for.
const EARLY: &str = "SELECT id, next_check_at FROM trackings WHERE id IN ({some}) AND active
  AND {queue} = 2 AND {free} AND {may_be_taken} ORDER BY next_check_at, id
  LIMIT (SELECT {room} FROM due) {locked}";

/// The room in all calls.
const ROOM: &str = ":limit - COUNT(*)";

/// The room in the last call.
const ROOM_IN_LAST: &str = "(:per_call - COUNT(*) % :per_call) % :per_call";

/// Whether a known tracking is at most a tenth of its wait early.
const IS_NEARLY_DUE: &str = "next_check_at > :now \
    AND (next_check_at - :now) * 10 <= next_check_at - last_checked_at";

fn early_sql(dialect: Dialect, some: &str, may_be_taken: &str, room: &str) -> String {
    EARLY
        .replace("{some}", some)
        .replace("{queue}", QUEUE)
        .replace("{free}", FREE)
        .replace("{may_be_taken}", may_be_taken)
        .replace("{room}", room)
        .replace("{locked}", dialect.skip_locked())
}

/// Walks the claim index from one carrier's code to the next, instead of reading all that is due.
const CARRIERS: &str = "WITH RECURSIVE codes(code, n) AS (
  SELECT (SELECT MIN(carrier_code) FROM trackings WHERE active AND carrier_code > :after), 1
  UNION ALL
  SELECT (SELECT MIN(t.carrier_code) FROM trackings AS t WHERE t.active AND t.carrier_code > codes.code), codes.n + 1
  FROM codes WHERE codes.code IS NOT NULL AND codes.n < :limit
)
SELECT code, ({urgent}) AS urgent_at, ({unanswered}) AS unanswered_at, ({known}) AS known_at
FROM codes WHERE code IS NOT NULL ORDER BY code";

impl Store {
    /// The next `limit` carriers after the code `after` (from the first if it is empty), by code, without those that have
    /// nothing to claim.
    pub async fn due_carriers(
        &self,
        after: &str,
        limit: u32,
        now: Time,
    ) -> Result<DueCarriers, StoreError> {
        let earliest = |queue: u8| {
            format!(
                "SELECT next_check_at FROM trackings WHERE carrier_code = codes.code AND payer = 0 AND active \
                 AND {QUEUE} = {queue} AND {FREE} ORDER BY next_check_at LIMIT 1"
            )
        };
        let sql = CARRIERS
            .replace("{urgent}", &earliest(0))
            .replace("{unanswered}", &earliest(1))
            .replace("{known}", &earliest(2));
        let sql = self
            .sql(sql)
            .bind("after", after)
            .bind("limit", i64::from(limit))
            .bind("now", now);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let carriers: Vec<Carrier> = self.rows.readable(&found);
        let mut due = DueCarriers::default();
        if found.len() >= limit as usize {
            due.cut_after = carriers.last().map(|carrier| carrier.code.clone());
        }
        for carrier in carriers {
            let Some(earliest) = carrier.times.into_iter().flatten().map(|at| at.0).min() else {
                continue;
            };
            // A corrupt code is left out: no route leads from it.
            if let Ok(carrier_code) = CarrierCode::parse(carrier.code) {
                due.carriers.push(DueCarrier {
                    carrier_code,
                    earliest,
                });
            }
        }
        Ok(due)
    }

    /// The next trackings to be due that may be checked early, by time: those that are not due, whose last good answer is
    /// older than `answered_before`, and whose checks did not fail since.
    pub async fn early(
        &self,
        carriers: &[CarrierCode],
        answered_before: Time,
        now: Time,
        limit: u32,
    ) -> Result<Vec<i64>, StoreError> {
        let set = self.set(carriers).named("c");
        let set = set.column("code", |code| code.as_str().to_owned());
        let heads = heads(self.dialect, 2, MAY_BE_EARLY, ":limit", "");
        let sql = format!(
            "WITH codes AS MATERIALIZED (SELECT c.code FROM {}) {heads}",
            set.from()
        );
        let sql = self
            .sql(sql)
            .bind_set(set)
            .bind("answered_before", answered_before)
            .bind("now", now)
            .bind("limit", i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let ids: Vec<Id> = self.rows.readable(&found);
        Ok(ids.into_iter().map(|id| id.0).collect())
    }

    /// Takes trackings in the order of [`Take`], and hides them from other workers for `lease`.
    ///
    /// A worker that dies mid-check needs no clean-up: its trackings are due again when the lease ends.
    pub async fn claim(
        &self,
        claim: Claim<'_>,
        now: Time,
        lease: Duration,
    ) -> Result<Claimed, StoreError> {
        let check_ids: Vec<Uuid> = (0..claim.limit).map(|_| Uuid::now_v7()).collect();
        let check_ids = self.set(&check_ids).column("check_id", |id| *id);
        let carriers = self.set(claim.carriers).named("c");
        let carriers = carriers.column("code", |code| code.as_str().to_owned());
        let locked = self.dialect.skip_locked();
        let due = |queue| {
            heads(
                self.dialect,
                queue,
                "next_check_at <= :now",
                ":limit",
                locked,
            )
        };
        let (unanswered_max, early) = match claim.take {
            Take::Due {
                unanswered_max,
                early,
            } => (unanswered_max, Some(early)),
            Take::Trial => (claim.limit, None),
        };
        let ids: &[i64] = match early {
            Some(Early::Of { trackings, .. }) => trackings,
            Some(Early::Fill { .. }) | None => &[],
        };
        let ids = self.set(ids).named("e").column("row_id", |id| *id);
        let early_sql = match early {
            Some(Early::Of { .. }) => {
                let some = format!("SELECT e.row_id FROM {}", ids.from());
                early_sql(self.dialect, &some, MAY_BE_EARLY, ROOM)
            }
            Some(Early::Fill { per_call }) if per_call > 1 => {
                let scanned = FILL_SCAN_MAX.to_string();
                let next = heads(self.dialect, 2, "next_check_at > :now", &scanned, "");
                let some = format!("SELECT n.id FROM ({next}) AS n");
                early_sql(self.dialect, &some, IS_NEARLY_DUE, ROOM_IN_LAST)
            }
            // A call of one number has no room.
            Some(Early::Fill { .. }) | None => {
                "SELECT id, next_check_at FROM due WHERE id IS NULL".to_owned()
            }
        };
        let first = match claim.take {
            Take::Due { .. } => "",
            Take::Trial => "last_ok_at IS NULL,",
        };
        let sql = CLAIM
            .replace("{carriers}", &carriers.from())
            .replace("{urgent}", &due(0))
            .replace("{unanswered}", &due(1))
            .replace("{known}", &due(2))
            .replace("{first}", first)
            .replace("{early}", &early_sql)
            .replace("{check_ids}", &check_ids.from())
            .replace("{columns}", &columns::<tracking::Entity>("trackings."));
        let mut sql = self
            .sql(sql)
            .bind("now", now)
            .bind("limit", i64::from(claim.limit))
            .bind("unanswered_max", i64::from(unanswered_max))
            .bind("lease_until", now + lease)
            .bind_set(carriers)
            .bind_set(check_ids);
        match early {
            Some(Early::Of {
                answered_before, ..
            }) => {
                sql = sql.bind("answered_before", answered_before).bind_set(ids);
            }
            Some(Early::Fill { per_call }) => {
                sql = sql.bind("per_call", i64::from(per_call));
            }
            None => {}
        }
        let found = self.writer.query_all_raw(sql.statement()).await?;
        let mut trackings: Vec<Tracking> = self.rows.readable(&found);
        // RETURNING has no order. The check ids were dealt out in the claim's order, and each is greater than the one before.
        trackings.sort_by_key(|tracking| tracking.lease_id);
        Ok(Claimed {
            corrupt: found.len() - trackings.len(),
            trackings,
        })
    }

    /// Ends leases that were not used, each only if the same check still holds it.
    pub async fn give_back(&self, leases: &[(i64, Uuid)]) -> Result<(), StoreError> {
        // By id, as everywhere, so that two transactions cannot deadlock.
        let mut leases = leases.to_vec();
        leases.sort_unstable();
        let set = self.set(&leases);
        let set = set.column("row_id", |l| l.0).column("check_id", |l| l.1);
        let sql = format!(
            "UPDATE trackings SET lease_until = NULL, lease_id = NULL FROM {} \
             WHERE trackings.id = u.row_id AND trackings.lease_id = u.check_id",
            set.from()
        );
        let sql = self.sql(sql).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }
}
