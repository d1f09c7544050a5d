//! Queues: the active trackings of a carrier that one payer pays for, and when the next one is due.

use sea_orm::{ConnectionTrait as _, QueryResult};

use crate::clock::Time;
use crate::model::CarrierCode;
use crate::model::tenant::{Payer, WEIGHT_MAX};
use crate::store::Store;
use crate::store::column::Stamp;
use crate::store::dialect::Dialect;
use crate::store::error::StoreError;
use crate::store::rows::{Readable, Unreadable, get};

/// A queue with trackings that no worker holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueQueue {
    pub carrier_code: CarrierCode,
    pub payer: Payer,
    /// The payer's, from 1 to [`WEIGHT_MAX`].
    pub weight: u32,
    /// When the first of them is due.
    pub earliest: Time,
}

/// The queue after which a list of queues goes on; by default the start of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct After {
    code: String,
    payer: i16,
}

/// A part of the queues, in the database's order of their codes, which is not Rust's, and then by payer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DueQueues {
    pub queues: Vec<DueQueue>,
    /// The last queue of the part, if more may come after it.
    pub cut_after: Option<After>,
}

/// A queue with the times at which the next tracking of each kind is due.
struct Row {
    after: After,
    weight: i32,
    times: [Option<Stamp>; 3],
}

impl Readable for Row {
    const TABLE: &'static str = "trackings";
    const KEY: &'static str = "code";

    fn read(row: &QueryResult) -> Result<Self, Unreadable> {
        // A corrupt time counts as past: the claim then takes its row and skips it, so that the next one comes up.
        let at = |name| get(row, name).unwrap_or(Some(Stamp(Time::UNIX_EPOCH)));
        Ok(Self {
            after: After {
                code: get(row, "code")?,
                payer: get(row, "payer")?,
            },
            weight: get(row, "weight").unwrap_or(1),
            times: ["urgent_at", "unanswered_at", "known_at"].map(at),
        })
    }
}

/// The kinds of a queue's trackings: refreshed, without any answer so far, the others. As the claim index has it.
pub(super) const KIND: &str =
    "(CASE WHEN priority = 1 THEN 0 WHEN last_ok_at IS NULL THEN 1 ELSE 2 END)";

/// Whether no worker holds a tracking.
pub(super) const FREE: &str = "(lease_until IS NULL OR lease_until <= :now)";

/// Walks the claim index from one queue to the next, instead of reading all that is due.
const QUEUES: &str = "WITH RECURSIVE queues(code, payer, n) AS (
  SELECT code, payer, 1 FROM (SELECT carrier_code AS code, payer FROM trackings
    WHERE active AND (carrier_code, payer) > (:after_code, :after_payer) ORDER BY carrier_code, payer LIMIT 1) AS first
  UNION ALL
  SELECT t.carrier_code, t.payer, queues.n + 1 FROM {next} WHERE queues.n < :limit
)
SELECT queues.code, queues.payer, COALESCE(tenants.weight, 1) AS weight,
  ({urgent}) AS urgent_at, ({unanswered}) AS unanswered_at, ({known}) AS known_at
FROM queues LEFT JOIN tenants ON tenants.id = queues.payer + 1 ORDER BY queues.code, queues.payer";

impl Store {
    /// The next `limit` queues after `after`, by code and payer, without those that have nothing to claim.
    pub async fn due_queues(
        &self,
        after: &After,
        limit: u32,
        now: Time,
    ) -> Result<DueQueues, StoreError> {
        let earliest = |kind: u8| {
            format!(
                "SELECT next_check_at FROM trackings WHERE carrier_code = queues.code AND payer = queues.payer AND active \
                 AND {KIND} = {kind} AND {FREE} ORDER BY next_check_at LIMIT 1"
            )
        };
        let next = "FROM trackings AS s WHERE s.active AND (s.carrier_code, s.payer) > (queues.code, queues.payer) \
                    ORDER BY s.carrier_code, s.payer LIMIT 1";
        let next = match self.dialect {
            Dialect::Postgres => {
                format!("queues CROSS JOIN LATERAL (SELECT s.carrier_code, s.payer {next}) AS t")
            }
            Dialect::Sqlite => {
                format!("queues CROSS JOIN trackings AS t ON t.id = (SELECT s.id {next})")
            }
        };
        let sql = QUEUES
            .replace("{next}", &next)
            .replace("{urgent}", &earliest(0))
            .replace("{unanswered}", &earliest(1))
            .replace("{known}", &earliest(2));
        let sql = self
            .sql(sql)
            .bind("after_code", after.code.as_str())
            .bind("after_payer", after.payer)
            .bind("limit", i64::from(limit))
            .bind("now", now);
        let found = self.reader.query_all_raw(sql.statement()).await?;
        let rows: Vec<Row> = self.rows.readable(&found);
        let mut due = DueQueues::default();
        if found.len() >= limit as usize {
            due.cut_after = rows.last().map(|row| row.after.clone());
        }
        for row in rows {
            let Some(earliest) = row.times.into_iter().flatten().map(|at| at.0).min() else {
                continue;
            };
            // A corrupt code is left out: no route leads from it.
            if let Ok(carrier_code) = CarrierCode::parse(row.after.code) {
                due.queues.push(DueQueue {
                    carrier_code,
                    payer: Payer::from_row(row.after.payer),
                    weight: row.weight.unsigned_abs().clamp(1, WEIGHT_MAX),
                    earliest,
                });
            }
        }
        Ok(due)
    }
}
