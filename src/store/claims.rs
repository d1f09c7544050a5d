//! Claims: taking what is due under a lease, and giving it back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sea_orm::{ConnectionTrait as _, QueryResult};
use uuid::Uuid;

use crate::clock::Time;
use crate::model::tenant::Payer;
use crate::model::{CarrierCode, Tracking};
use crate::store::Store;
use crate::store::dialect::Dialect;
use crate::store::entity::{columns, tracking};
use crate::store::error::StoreError;
use crate::store::queues::{FREE, KIND};
use crate::store::rows::{Readable, Unreadable, get};
use crate::store::set::Set;

/// What may be claimed of one queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    pub carrier_code: CarrierCode,
    pub payer: Payer,
    /// How many trackings that are due its payer may have, of all its queues together.
    pub most: u32,
    /// How many of these may never have had an answer while others of the payer are due.
    pub unanswered_max: u32,
}

/// What to claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    /// Of these queues, all together.
    pub shares: &'a [Share],
    /// At most so many trackings; one for [`Take::Trial`].
    pub limit: u32,
    pub take: Take<'a>,
}

/// Which trackings may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take<'a> {
    /// What is due, of each payer as much as its [`Share`] allows: the refreshed ones; then those that never had an answer,
    /// at most `unanswered_max` of them; then the others; then the rest of those without an answer. Each by time. What may be
    /// taken early comes last.
    Due { early: Early<'a> },
    /// One that is due, to try an account with: of each payer's first refreshed one, first without an answer and first of the
    /// others, one that had an answer before if there is any.
    Trial,
}

/// Which trackings may be taken before they are due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Early<'a> {
    None,
    /// To fill the last call of `per_call` numbers, with what is due and `begun` numbers that were claimed before: those that
    /// are at most a tenth of their wait early, of the next 1,000 to be due.
    Fill {
        per_call: u32,
        begun: u32,
    },
    /// As many as fit: of these, in their order, those whose last good answer is older than `answered_before` and whose checks
    /// did not fail since.
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
    /// How many each payer got, corrupt ones included.
    pub by_payer: BTreeMap<Payer, u32>,
}

/// How many of the next trackings to be due a claim looks at to fill a call. If none of them is nearly due, looking further
/// would cost more than a fuller call is worth.
const FILL_SCAN_MAX: u32 = 1_000;

/// A tracking that may be checked early.
struct MayBeEarly {
    payer: Payer,
    id: i64,
}

impl Readable for MayBeEarly {
    const TABLE: &'static str = "trackings";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        Ok(Self {
            payer: Payer::from_row(get(row, "payer")?),
            id: get(row, "id")?,
        })
    }
}

/// The claim. Each kind of candidates is a range of the claim index of its own. `{…}` is filled in by [`Store::claim`].
const CLAIM: &str = "WITH
queues AS MATERIALIZED (SELECT q.code, q.payer, q.most, q.unanswered_max FROM {queues}),
urgent AS MATERIALIZED ({urgent}),
unanswered AS MATERIALIZED ({unanswered}),
known AS MATERIALIZED ({known}),
due AS MATERIALIZED (
  SELECT id, next_check_at, place FROM (
    SELECT d.*, row_number() OVER (PARTITION BY payer ORDER BY place, next_check_at, id) AS turn FROM (
      SELECT id, next_check_at, last_ok_at, payer, most, 0 AS place FROM urgent
      UNION ALL
      SELECT id, next_check_at, last_ok_at, payer, most, CASE WHEN nth <= unanswered_max THEN 1 ELSE 3 END FROM unanswered
      UNION ALL
      SELECT id, next_check_at, last_ok_at, payer, most, 2 FROM known
    ) AS d
  ) AS t WHERE {due} LIMIT :limit
),
early AS MATERIALIZED ({early}),
chosen AS (
  SELECT id AS row_id, row_number() OVER (ORDER BY place, turn, next_check_at, id) AS nth
  FROM (SELECT id, next_check_at, place, 0 AS turn FROM due UNION ALL SELECT id, next_check_at, 4, nth FROM early) AS c
),
-- A new check id for each; those left over at the end match no row. MATERIALIZED, or SQLite reads all of them for each row.
leases AS MATERIALIZED (SELECT u.nth, u.check_id FROM {check_ids})
UPDATE trackings SET lease_until = :lease_until, lease_id = leases.check_id
FROM chosen JOIN leases ON leases.nth = chosen.nth
WHERE trackings.id = chosen.row_id
RETURNING {columns}";

/// What is due for each payer's share, or what an account is tried with.
const IN_SHARES: &str = "turn <= most ORDER BY place, next_check_at, id";
const FOR_TRIAL: &str = "TRUE ORDER BY last_ok_at IS NULL, place, next_check_at, id";

/// Of each payer the first `{limit}` trackings of one kind that meet a condition, numbered. `{limit}` is its share, or a number.
fn heads(dialect: Dialect, kind: u8, condition: &str, limit: Option<u32>, locked: &str) -> String {
    let most = limit.map_or("h.most".to_owned(), |limit| limit.to_string());
    let of_queue = match (limit, dialect) {
        (Some(limit), _) => limit.to_string(),
        // So that no more rows are locked than may be claimed.
        (None, Dialect::Postgres) => "queues.most".to_owned(),
        // It knows no LIMIT that differs from row to row.
        (None, Dialect::Sqlite) => ":limit".to_owned(),
    };
    let of_one = format!(
        "FROM trackings WHERE carrier_code = queues.code AND payer = queues.payer AND active AND {KIND} = {kind} \
         AND {FREE} AND {condition} ORDER BY next_check_at, id LIMIT {of_queue}"
    );
    let of_all = match dialect {
        Dialect::Postgres => format!(
            "queues CROSS JOIN LATERAL (SELECT id, next_check_at, last_ok_at {of_one} {locked}) AS t"
        ),
        Dialect::Sqlite => {
            format!("queues CROSS JOIN trackings AS t ON t.id IN (SELECT id {of_one})")
        }
    };
    format!(
        "SELECT h.* FROM (SELECT t.id, t.next_check_at, t.last_ok_at, queues.payer, queues.most, queues.unanswered_max, \
         row_number() OVER (PARTITION BY queues.payer ORDER BY t.next_check_at, t.id) AS nth FROM {of_all}) AS h \
         WHERE h.nth <= {most}"
    )
}

/// Whether a known tracking may be checked early.
const MAY_BE_EARLY: &str =
    "next_check_at > :now AND check_fail_count = 0 AND last_ok_at < :answered_before";

/// The early trackings of a claim: of some, those that may be taken, as many as there is room for.
const EARLY: &str = "SELECT t.id, t.next_check_at, e.nth FROM {some} AS e CROSS JOIN trackings AS t
  WHERE t.id = e.row_id AND active AND {kind} = 2 AND {free} AND {may_be_taken} ORDER BY e.nth, next_check_at, t.id
  LIMIT (SELECT {room} FROM due) {locked}";

/// The room in all calls.
const ROOM: &str = ":limit - COUNT(*)";

/// The room in the last call.
const ROOM_IN_LAST: &str = "(:per_call - (COUNT(*) + :begun) % :per_call) % :per_call";

/// Whether a known tracking is at most a tenth of its wait early.
const IS_NEARLY_DUE: &str = "next_check_at > :now \
    AND (next_check_at - :now) * 10 <= next_check_at - last_checked_at";

fn early_sql(dialect: Dialect, some: &str, may_be_taken: &str, room: &str) -> String {
    EARLY
        .replace("{some}", some)
        .replace("{kind}", KIND)
        .replace("{free}", FREE)
        .replace("{may_be_taken}", may_be_taken)
        .replace("{room}", room)
        .replace("{locked}", &dialect.skip_locked_of("t"))
}

impl Store {
    /// The next trackings to be due that may be checked early, by time, of each payer at most its share: those that are not
    /// due, whose last good answer is older than `answered_before`, and whose checks did not fail since.
    pub async fn early(
        &self,
        shares: &[Share],
        answered_before: Time,
        now: Time,
    ) -> Result<Vec<(Payer, i64)>, StoreError> {
        let set = self.shares(shares);
        let heads = heads(self.dialect, 2, MAY_BE_EARLY, None, "");
        let sql = format!(
            "WITH queues AS MATERIALIZED (SELECT q.code, q.payer, q.most, q.unanswered_max FROM {}) \
             SELECT f.id, f.payer FROM ({heads}) AS f ORDER BY f.next_check_at, f.id",
            set.from()
        );
        let limit = shares.iter().map(|share| share.most).max().unwrap_or(0);
        let sql = self
            .sql(sql)
            .bind_set(set)
            .bind("answered_before", answered_before)
            .bind("now", now)
            .bind("limit", i64::from(limit));
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let found: Vec<MayBeEarly> = self.rows.readable(&found);
        Ok(found.into_iter().map(|it| (it.payer, it.id)).collect())
    }

    fn shares<'a>(&self, shares: &'a [Share]) -> Set<'a, Share> {
        self.set(shares)
            .named("q")
            .column("code", |share| share.carrier_code.as_str().to_owned())
            .column("payer", |share| share.payer.slot())
            .column("most", |share| i64::from(share.most))
            .column("unanswered_max", |share| i64::from(share.unanswered_max))
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
        let queues = self.shares(claim.shares);
        let locked = self.dialect.skip_locked();
        let due = |kind| heads(self.dialect, kind, "next_check_at <= :now", None, locked);
        let (wanted, early) = match claim.take {
            Take::Due { early } => (IN_SHARES, early),
            Take::Trial => (FOR_TRIAL, Early::None),
        };
        let ids: &[i64] = match early {
            Early::Of { trackings, .. } => trackings,
            Early::Fill { .. } | Early::None => &[],
        };
        let ids = self.set(ids).named("e").column("row_id", |id| *id);
        let early_sql = match early {
            Early::Of { .. } => {
                let some = format!("(SELECT e.row_id, e.nth FROM {})", ids.from());
                early_sql(self.dialect, &some, MAY_BE_EARLY, ROOM)
            }
            Early::Fill { per_call, .. } if per_call > 1 => {
                let payers: BTreeSet<Payer> = claim.shares.iter().map(|it| it.payer).collect();
                let scanned =
                    FILL_SCAN_MAX / u32::try_from(payers.len()).unwrap_or(u32::MAX).max(1);
                let scanned = Some(scanned.max(1));
                let next = heads(self.dialect, 2, "next_check_at > :now", scanned, "");
                let some = format!("(SELECT n.id AS row_id, 0 AS nth FROM ({next}) AS n)");
                early_sql(self.dialect, &some, IS_NEARLY_DUE, ROOM_IN_LAST)
            }
            // A call of one number has no room.
            Early::Fill { .. } | Early::None => {
                "SELECT id, next_check_at, 0 AS nth FROM due WHERE id IS NULL".to_owned()
            }
        };
        let sql = CLAIM
            .replace("{queues}", &queues.from())
            .replace("{urgent}", &due(0))
            .replace("{unanswered}", &due(1))
            .replace("{known}", &due(2))
            .replace("{due}", wanted)
            .replace("{early}", &early_sql)
            .replace("{check_ids}", &check_ids.from())
            .replace("{columns}", &columns::<tracking::Entity>("trackings."));
        let mut sql = self
            .sql(sql)
            .bind("now", now)
            .bind("limit", i64::from(claim.limit))
            .bind("lease_until", now + lease)
            .bind_set(queues)
            .bind_set(check_ids);
        match early {
            Early::Of {
                answered_before, ..
            } => sql = sql.bind("answered_before", answered_before).bind_set(ids),
            Early::Fill { per_call, begun } => {
                sql = sql.bind("per_call", i64::from(per_call));
                sql = sql.bind("begun", i64::from(begun));
            }
            Early::None => {}
        }
        let found = self.writer.query_all_raw(sql.statement()).await?;
        let mut trackings: Vec<Tracking> = self.rows.readable(&found);
        // RETURNING has no order. The check ids were dealt out in the claim's order, and each is greater than the one before.
        trackings.sort_by_key(|tracking| tracking.lease_id);
        let mut by_payer = BTreeMap::new();
        for payer in found.iter().filter_map(|row| get(row, "payer").ok()) {
            *by_payer.entry(Payer::from_row(payer)).or_default() += 1;
        }
        Ok(Claimed {
            corrupt: found.len() - trackings.len(),
            trackings,
            by_payer,
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
