//! When the next batch may be sent: a rate held from the start, as a pure function of the time passed.

use std::time::Duration;

/// Holds a rate of items a second over batches of one size.
///
/// The first batch may be sent at once, each further one when the time of those before it has passed. After a delay the
/// pace catches up by at most one batch: time lost beyond that, to a slow server, is not made up.
#[derive(Debug)]
pub struct Pace {
    items_per_second: f64,
    catch_up: Duration,
    /// When the next batch may be sent, since the start.
    due: Duration,
}

impl Pace {
    pub fn new(items_per_second: f64, batch_items: usize) -> Self {
        Self {
            items_per_second,
            catch_up: time_of(batch_items, items_per_second),
            due: Duration::ZERO,
        }
    }

    /// How much longer to wait, `elapsed` after the start.
    pub fn wait(&self, elapsed: Duration) -> Duration {
        self.due.saturating_sub(elapsed)
    }

    /// Records that a batch of `items` was done `elapsed` after the start.
    pub fn passed(&mut self, elapsed: Duration, items: usize) {
        let earliest = elapsed.saturating_sub(self.catch_up);
        self.due = self.due.max(earliest) + time_of(items, self.items_per_second);
    }
}

fn time_of(items: usize, items_per_second: f64) -> Duration {
    // A batch has at most ten thousand items, so the conversion is exact.
    Duration::from_secs_f64(items as f64 / items_per_second)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn the_first_batch_is_sent_at_once_and_the_next_at_its_time() {
        let mut pace = Pace::new(20.0, 200);
        assert_eq!(pace.wait(secs(0)), secs(0));
        pace.passed(secs(0), 200);
        assert_eq!(pace.wait(secs(0)), secs(10));
        assert_eq!(pace.wait(secs(4)), secs(6));
        assert_eq!(pace.wait(secs(10)), secs(0));
    }

    #[test]
    fn the_time_a_request_takes_does_not_slow_the_pace() {
        let mut pace = Pace::new(20.0, 200);
        for batch in 0..100 {
            let sent = secs(batch * 10);
            assert_eq!(pace.wait(sent), secs(0));
            pace.passed(sent + secs(3), 200);
        }
        assert_eq!(pace.wait(secs(0)), secs(1_000));
    }

    #[test]
    fn after_a_long_failure_the_pace_catches_up_by_one_batch() {
        let mut pace = Pace::new(20.0, 200);
        pace.passed(secs(95), 200);
        assert_eq!(pace.wait(secs(95)), secs(0));
        pace.passed(secs(95), 200);
        assert_eq!(pace.wait(secs(95)), secs(10));
    }

    #[test]
    fn a_smaller_batch_costs_less_time() {
        let mut pace = Pace::new(20.0, 200);
        pace.passed(secs(0), 20);
        assert_eq!(pace.wait(secs(0)), secs(1));
    }
}
