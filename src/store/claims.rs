//! Claims: which carriers have something due, taking it under a lease, and giving it back.

use std::time::Duration;

use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::clock::Time;
use crate::model::{CarrierCode, Tracking};
use crate::store::sql::Row;
use crate::store::trackings::{COLUMNS, read};
use crate::store::{Store, StoreError};

/// A carrier with active trackings that nobody holds, and the earliest time at which one of them is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueCarrier {
    pub carrier_code: CarrierCode,
    pub earliest: Time,
}

/// A stretch of the carriers, in the database's order of their codes, which is not Rust's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueCarriers {
    pub carriers: Vec<DueCarrier>,
    /// The last code that was looked at, where more may come after it.
    pub cut_after: Option<String>,
}

/// How many parcels that are not yet due a claim looks at: where all of them were checked just now, or are in back-off,
/// looking further would cost more than the permits are worth.
const EARLY_SCAN_MAX: u32 = 1_000;

/// Which trackings of a carrier may be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Take {
    /// Those whose check is due.
    Due,
    /// After those, also the next ones to be due, if their last good answer is older than this and no failure has come
    /// since: for permits that cannot be saved for later.
    Early { answered_before: Time },
}

/// What was claimed.
#[derive(Debug, Default)]
pub struct Claimed {
    /// Each holds a lease whose `lease_id` is the id of its check.
    pub trackings: Vec<Tracking>,
    /// Rows that could not be read. They keep the lease, so they come up once a lease at most.
    pub unreadable: Vec<StoreError>,
}

impl Store {
    /// The next `limit` carriers after the code `after` (all from the first where it is empty), by code; those with
    /// nothing that may be claimed are left out.
    ///
    /// Walks the claim index from carrier to carrier instead of over all that is due.
    pub async fn due_carriers(
        &self,
        after: &str,
        limit: u32,
        now: Time,
    ) -> Result<DueCarriers, StoreError> {
        let earliest = |priority: i32| {
            format!(
                "(SELECT t.next_check_at FROM trackings AS t WHERE t.carrier_code = codes.code AND t.active \
                 AND t.priority = {priority} AND (t.lease_until IS NULL OR t.lease_until <= $3) \
                 ORDER BY t.next_check_at LIMIT 1)"
            )
        };
        let sql = format!(
            "WITH RECURSIVE codes(code, n) AS (\
               SELECT (SELECT MIN(carrier_code) FROM trackings WHERE active AND carrier_code > $1), 1 \
               UNION ALL \
               SELECT (SELECT MIN(t.carrier_code) FROM trackings AS t WHERE t.active AND t.carrier_code > codes.code), \
                      codes.n + 1 \
               FROM codes WHERE codes.code IS NOT NULL AND codes.n < $2) \
             SELECT code, {} AS urgent_at, {} AS due_at FROM codes WHERE code IS NOT NULL ORDER BY code",
            earliest(1),
            earliest(0)
        );
        let sql = self
            .sql(sql)
            .bind(after)
            .bind(i64::from(limit))
            .bind_time(now);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let mut due = DueCarriers::default();
        for row in &found {
            let row = Row::new(row, self.dialect, "trackings");
            let code: String = row.get("code")?;
            if found.len() >= limit as usize {
                due.cut_after = Some(code.clone());
            }
            let times = [row.opt_time("urgent_at")?, row.opt_time("due_at")?];
            let Some(earliest) = times.into_iter().flatten().min() else {
                continue;
            };
            // A code that cannot be one is left to the claim, which never asks for it.
            if let Ok(carrier_code) = CarrierCode::parse(code) {
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
        let candidates = |name: &str, priority: i32, locked: &str| {
            format!(
                "{name} AS MATERIALIZED (SELECT id, priority, next_check_at FROM trackings \
                 WHERE carrier_code = $1 AND active AND priority = {priority} AND next_check_at <= $2 \
                 AND (lease_until IS NULL OR lease_until <= $2) ORDER BY next_check_at, id LIMIT $3 {locked})"
            )
        };
        let locked = self.dialect.skip_locked();
        let check_ids: Vec<Uuid> = (0..limit).map(|_| Uuid::now_v7()).collect();
        let check_ids = self.set(&check_ids).column("check_id", |id| *id);
        let (early, more, from) = match take {
            Take::Due => (String::new(), "", check_ids.from(5)),
            Take::Early { .. } => {
                let free = "check_fail_count = 0 AND last_ok_at < $5 AND (lease_until IS NULL OR lease_until <= $2)";
                let early = format!(
                    "room AS (SELECT $3 - (SELECT COUNT(*) FROM urgent) - (SELECT COUNT(*) FROM due) AS n), \
                     ahead AS MATERIALIZED (\
                       SELECT id, next_check_at, check_fail_count, last_ok_at, lease_until FROM trackings \
                       WHERE carrier_code = $1 AND active AND priority = 0 AND next_check_at > $2 \
                       ORDER BY next_check_at, id LIMIT {EARLY_SCAN_MAX}), \
                     early AS MATERIALIZED (SELECT id, priority, next_check_at FROM trackings WHERE id IN (\
                       SELECT id FROM ahead WHERE {free} ORDER BY next_check_at, id \
                       LIMIT (SELECT CASE WHEN n > 0 THEN n ELSE 0 END FROM room)) \
                     AND active AND priority = 0 AND {free} {locked}), "
                );
                (early, " UNION ALL SELECT * FROM early", check_ids.from(6))
            }
        };
        // Ranges of the claim index, one after the other: one range over both priorities would read all that is not
        // yet due.
        let sql = format!(
            "WITH {}, {}, {early} chosen AS (\
               SELECT every_kind.id AS row_id, \
                      row_number() OVER (ORDER BY every_kind.priority DESC, every_kind.next_check_at, every_kind.id) AS place \
               FROM (SELECT * FROM urgent UNION ALL SELECT * FROM due{more}) AS every_kind), \
             leases AS (SELECT u.nth AS nth, u.check_id AS check_id FROM {from}) \
             UPDATE trackings SET lease_until = $4, lease_id = leases.check_id \
             FROM chosen JOIN leases ON leases.nth = chosen.place \
             WHERE trackings.id = chosen.row_id RETURNING {COLUMNS}",
            candidates("urgent", 1, locked),
            candidates("due", 0, locked)
        );
        let mut sql = self
            .sql(sql)
            .bind(carrier.as_str())
            .bind_time(now)
            .bind(i64::from(limit))
            .bind_time(now + lease);
        if let Take::Early { answered_before } = take {
            sql = sql.bind_time(answered_before);
        }
        let sql = sql.bind_set(check_ids);
        let found = self.writer.query_all_raw(sql.statement()).await?;
        let mut claimed = Claimed::default();
        for row in &found {
            match read(row, self.dialect) {
                Ok(tracking) => claimed.trackings.push(tracking),
                Err(error) => claimed.unreadable.push(error),
            }
        }
        // RETURNING has no order.
        claimed
            .trackings
            .sort_by_key(|t| (std::cmp::Reverse(t.urgent), t.next_check_at, t.id));
        Ok(claimed)
    }

    /// Ends leases that were not used, each only where it is still held by the same check.
    pub async fn give_back(&self, leases: &[(i64, Uuid)]) -> Result<(), StoreError> {
        let mut leases = leases.to_vec();
        leases.sort_unstable();
        let set = self.set(&leases);
        let set = set.column("row_id", |l| l.0).column("check_id", |l| l.1);
        let from = set.from(1);
        let sql = format!(
            "UPDATE trackings SET lease_until = NULL, lease_id = NULL FROM {from} \
             WHERE trackings.id = u.row_id AND trackings.lease_id = u.check_id"
        );
        let sql = self.sql(sql).bind_set(set);
        self.writer.execute_raw(sql.statement()).await?;
        Ok(())
    }
}
