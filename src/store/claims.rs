//! Claims: which carriers have something due, taking it under a lease, and giving it back.

use std::time::Duration;

use sea_orm::{ConnectionTrait as _, QueryResult};
use uuid::Uuid;

use crate::clock::Time;
use crate::model::{CarrierCode, Tracking};
use crate::store::Store;
use crate::store::column::Stamp;
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

/// How many parcels that are not yet due a claim looks at. If all of these were checked just now or are in backoff, looking
/// further would cost more than the spare permits are worth.
const EARLY_SCAN_MAX: u32 = 1_000;

/// How many due parcels of a priority are looked at for one to try an account with.
const TRIAL_SCAN_MAX: u32 = 1_000;

/// Which trackings of a carrier may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Those whose check is due.
    Due,
    /// After those also the next ones to be due, if their last good answer is older than this and no check has failed
    /// since: for spare permits that cannot be saved for later.
    Early { answered_before: Time },
    /// Due ones to try an account with: those that were answered before come first, then urgent ones.
    Trial,
}

/// What was claimed.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Each holds a lease whose `lease_id` is the id of its check.
    pub trackings: Vec<Tracking>,
    /// How many corrupt rows were skipped. They keep the lease, so each is claimed again once a lease at most.
    pub corrupt: usize,
}

/// A carrier's code with the times at which the next urgent and the next other tracking are due.
struct Carrier {
    code: String,
    urgent_at: Option<Stamp>,
    due_at: Option<Stamp>,
}

impl Readable for Carrier {
    const TABLE: &'static str = "trackings";
    const KEY: &'static str = "code";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        // A corrupt time counts as past: the claim then takes its row and skips it, so that the next one comes up.
        let at = |name| get(row, name).unwrap_or(Some(Stamp(Time::UNIX_EPOCH)));
        Ok(Self {
            code: get(row, "code")?,
            urgent_at: at("urgent_at"),
            due_at: at("due_at"),
        })
    }
}

/// The claim. Each kind of candidates is a range of the claim index of its own: one range over both priorities would read
/// everything that is not due yet. `{…}` is filled in by [`Store::claim_due`].
const CLAIM: &str = "WITH
urgent AS MATERIALIZED ({urgent}),
due AS MATERIALIZED ({due}),
{more}
chosen AS (
  SELECT c.id AS row_id, row_number() OVER (ORDER BY c.priority DESC, c.next_check_at, c.id) AS place
  FROM ({kinds}) AS c
),
-- A new check id for each; those left over at the end match no row.
leases AS (SELECT u.nth, u.check_id FROM {check_ids})
UPDATE trackings SET lease_until = :lease_until, lease_id = leases.check_id
FROM chosen JOIN leases ON leases.nth = chosen.place
WHERE trackings.id = chosen.row_id
RETURNING {columns}";

/// What is claimed of the due trackings.
const DUE_KINDS: &str = "SELECT * FROM urgent UNION ALL SELECT * FROM due";

/// The due trackings of one priority that no worker holds.
const DUE: &str = "SELECT id, priority, next_check_at FROM trackings
  WHERE carrier_code = :carrier AND active AND priority = {priority} AND next_check_at <= :now
  AND (lease_until IS NULL OR lease_until <= :now)
  ORDER BY next_check_at, id LIMIT :limit {locked}";

/// The trackings for the permits that are left over.
const EARLY: &str = "room AS (SELECT :limit - (SELECT COUNT(*) FROM urgent) - (SELECT COUNT(*) FROM due) AS n),
-- Not locked, since most of these are not taken.
ahead AS MATERIALIZED (
  SELECT id, next_check_at, check_fail_count, last_ok_at, lease_until FROM trackings
  WHERE carrier_code = :carrier AND active AND priority = 0 AND next_check_at > :now
  ORDER BY next_check_at, id LIMIT {scan}
),
-- Locked, and for that the conditions are asked again, since another worker may have taken a row meanwhile.
early AS MATERIALIZED (
  SELECT id, priority, next_check_at FROM trackings
  WHERE id IN (
    SELECT id FROM ahead WHERE {free} ORDER BY next_check_at, id
    LIMIT (SELECT CASE WHEN n > 0 THEN n ELSE 0 END FROM room)
  ) AND active AND priority = 0 AND {free} {locked}
),";

/// The due trackings to try an account with.
const TRIAL: &str = "trial AS MATERIALIZED (
  SELECT id, priority, next_check_at FROM trackings
  WHERE id IN (
    SELECT c.id FROM (SELECT * FROM urgent UNION ALL SELECT * FROM due) AS c JOIN trackings AS t ON t.id = c.id
    ORDER BY t.last_ok_at IS NULL, c.priority DESC, c.next_check_at, c.id LIMIT :limit
  ) AND active AND next_check_at <= :now AND (lease_until IS NULL OR lease_until <= :now) {locked}
),";

/// Whether a tracking may be checked early.
const FREE: &str = "check_fail_count = 0 AND last_ok_at < :answered_before \
    AND (lease_until IS NULL OR lease_until <= :now)";

/// Walks the claim index from one carrier's code to the next, instead of reading all that is due.
const CARRIERS: &str = "WITH RECURSIVE codes(code, n) AS (
  SELECT (SELECT MIN(carrier_code) FROM trackings WHERE active AND carrier_code > :after), 1
  UNION ALL
  SELECT (SELECT MIN(t.carrier_code) FROM trackings AS t WHERE t.active AND t.carrier_code > codes.code), codes.n + 1
  FROM codes WHERE codes.code IS NOT NULL AND codes.n < :limit
)
SELECT code, ({urgent}) AS urgent_at, ({due}) AS due_at FROM codes WHERE code IS NOT NULL ORDER BY code";

/// When a carrier's next tracking of one priority that no worker holds is due.
const EARLIEST: &str = "SELECT t.next_check_at FROM trackings AS t
  WHERE t.carrier_code = codes.code AND t.active AND t.priority = {priority}
  AND (t.lease_until IS NULL OR t.lease_until <= :now)
  ORDER BY t.next_check_at LIMIT 1";

impl Store {
    /// The next `limit` carriers after the code `after` (from the first if it is empty), by code, without those that have
    /// nothing to claim.
    pub async fn due_carriers(
        &self,
        after: &str,
        limit: u32,
        now: Time,
    ) -> Result<DueCarriers, StoreError> {
        let earliest = |priority: &str| EARLIEST.replace("{priority}", priority);
        let sql = CARRIERS
            .replace("{urgent}", &earliest("1"))
            .replace("{due}", &earliest("0"));
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
            let times = [carrier.urgent_at, carrier.due_at];
            let Some(earliest) = times.into_iter().flatten().map(|at| at.0).min() else {
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

    /// Takes up to `limit` trackings of one carrier, urgent ones first, then by due time, and hides them from other
    /// workers for `lease`.
    ///
    /// A worker that dies mid-check needs no clean-up: its trackings are due again when the lease ends.
    pub async fn claim_due(
        &self,
        carrier: &CarrierCode,
        take: Take,
        now: Time,
        lease: Duration,
        limit: u32,
    ) -> Result<Claimed, StoreError> {
        let check_ids: Vec<Uuid> = (0..limit).map(|_| Uuid::now_v7()).collect();
        let check_ids = self.set(&check_ids).column("check_id", |id| *id);
        let due = |priority: &str| DUE.replace("{priority}", priority);
        let scanned = |priority: &str| {
            due(priority)
                .replace(":limit", &TRIAL_SCAN_MAX.to_string())
                .replace("{locked}", "")
        };
        let (urgent, due, more, kinds) = match take {
            Take::Due => (due("1"), due("0"), "", DUE_KINDS.to_owned()),
            Take::Early { .. } => {
                let kinds = format!("{DUE_KINDS} UNION ALL SELECT * FROM early");
                (due("1"), due("0"), EARLY, kinds)
            }
            Take::Trial => (
                scanned("1"),
                scanned("0"),
                TRIAL,
                "SELECT * FROM trial".to_owned(),
            ),
        };
        let sql = CLAIM
            .replace("{more}", more)
            .replace("{kinds}", &kinds)
            .replace("{urgent}", &urgent)
            .replace("{due}", &due)
            .replace("{free}", FREE)
            .replace("{scan}", &EARLY_SCAN_MAX.to_string())
            .replace("{locked}", self.dialect.skip_locked())
            .replace("{check_ids}", &check_ids.from())
            .replace("{columns}", &columns::<tracking::Entity>("trackings."));
        let mut sql = self
            .sql(sql)
            .bind("carrier", carrier.as_str())
            .bind("now", now)
            .bind("limit", i64::from(limit))
            .bind("lease_until", now + lease)
            .bind_set(check_ids);
        if let Take::Early { answered_before } = take {
            sql = sql.bind("answered_before", answered_before);
        }
        let found = self.writer.query_all_raw(sql.statement()).await?;
        let mut trackings: Vec<Tracking> = self.rows.readable(&found);
        // RETURNING has no order.
        trackings.sort_by_key(|t| (std::cmp::Reverse(t.urgent), t.next_check_at, t.id));
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
