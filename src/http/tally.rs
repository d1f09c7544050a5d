//! How many trackings each carrier has: counted anew for each request while that is quick, reused for a while once it is
//! not.
//!
//! A count reads an index entry of every active tracking. However large the table, one process spends at most about a
//! fiftieth of its time on counting.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::Time;
use crate::store::Store;
use crate::store::error::StoreError;
use crate::store::trackings::CarrierCount;

/// A count that takes no longer is made for each request.
const QUICK: Duration = Duration::from_millis(20);

/// From this many times as long as it took, a count is renewed in the background; from twice as many, it is not used.
const RENEW_TIMES: u32 = 50;

/// The counts of a process. A clone is the same.
#[derive(Clone, Default)]
pub struct Tally {
    known: Arc<Mutex<Option<Known>>>,
    counting: Arc<tokio::sync::Mutex<()>>,
}

/// What was counted.
#[derive(Clone, Debug)]
pub struct Counted {
    pub carriers: Arc<Vec<CarrierCount>>,
    pub at: Time,
}

#[derive(Clone)]
struct Known {
    counted: Counted,
    began: Instant,
    took: Duration,
}

/// What may be done with a count of this age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    AsItIs,
    AndRenewIt,
    No,
}

fn use_of(took: Duration, age: Duration) -> Use {
    let renew = took.saturating_mul(RENEW_TIMES);
    if took <= QUICK || age > renew.saturating_mul(2) {
        Use::No
    } else if age > renew {
        Use::AndRenewIt
    } else {
        Use::AsItIs
    }
}

impl Tally {
    /// The counts at `now`, or a little before.
    pub async fn counted(&self, store: &Store, now: Time) -> Result<Counted, StoreError> {
        let asked = Instant::now();
        let known = self.known.lock().clone();
        let usable = known.map(|known| {
            let age = asked.saturating_duration_since(known.began);
            (use_of(known.took, age), known.counted)
        });
        match usable {
            Some((Use::AsItIs, counted)) => Ok(counted),
            Some((Use::AndRenewIt, counted)) => {
                if self.counting.try_lock().is_ok() {
                    tokio::spawn(self.clone().count(store.clone(), now, asked));
                }
                Ok(counted)
            }
            Some((Use::No, _)) | None => {
                // A task, so that a count goes on if who asked for it goes away.
                let counting = tokio::spawn(self.clone().count(store.clone(), now, asked));
                let counted = counting.await;
                counted.unwrap_or_else(|error| Err(StoreError::busy(error.to_string())))
            }
        }
    }

    /// Counts, unless somebody did since `asked`.
    async fn count(self, store: Store, now: Time, asked: Instant) -> Result<Counted, StoreError> {
        let _one_at_a_time = self.counting.lock().await;
        let since = self.known.lock().clone();
        if let Some(known) = since.filter(|known| known.began >= asked) {
            return Ok(known.counted);
        }
        let began = Instant::now();
        let counted = Counted {
            carriers: Arc::new(store.carrier_counts(now).await?),
            at: now,
        };
        *self.known.lock() = Some(Known {
            counted: counted.clone(),
            began,
            took: began.elapsed(),
        });
        Ok(counted)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Use, use_of};

    #[test]
    fn a_quick_count_is_never_reused_and_a_slow_one_for_as_long_as_it_is_dear() {
        let ms = Duration::from_millis;
        for (took, age, expected) in [
            (ms(20), ms(0), Use::No),
            (ms(21), ms(0), Use::AsItIs),
            (ms(168), ms(8_400), Use::AsItIs),
            (ms(168), ms(8_401), Use::AndRenewIt),
            (ms(168), ms(16_801), Use::No),
            (ms(2_000), ms(90_000), Use::AsItIs),
            (Duration::MAX, Duration::MAX, Use::AsItIs),
        ] {
            assert_eq!(use_of(took, age), expected, "{took:?} {age:?}");
        }
    }
}
