//! When the next batch may go: a rate held from the start, as a pure function of the time that has passed.

use std::time::Duration;

/// Holds a rate of items a second over batches of one size.
///
/// The first batch may go at once, each further one when the time of those before it has passed. Whoever comes late
/// catches up, but by one batch at most: what a slow server cost beyond that is not made up for.
#[derive(Debug)]
pub struct Pace {
    items_per_second: f64,
    catch_up: Duration,
    /// When the next batch may go, since the start.
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

    /// How long to wait yet, `elapsed` after the start.
    pub fn wait(&self, elapsed: Duration) -> Duration {
        self.due.saturating_sub(elapsed)
    }

    /// Takes note of a batch of `items` that was through `elapsed` after the start.
    pub fn passed(&mut self, elapsed: Duration, items: usize) {
        let earliest = elapsed.saturating_sub(self.catch_up);
        self.due = self.due.max(earliest) + time_of(items, self.items_per_second);
    }
}

fn time_of(items: usize, items_per_second: f64) -> Duration {
    // Items of a batch are at most ten thousand, so the conversion is exact.
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
    fn the_first_batch_goes_at_once_and_the_next_at_its_time() {
        let mut pace = Pace::new(20.0, 200);
        assert_eq!(pace.wait(secs(0)), secs(0));
        pace.passed(secs(0), 200);
        assert_eq!(pace.wait(secs(0)), secs(10));
        assert_eq!(pace.wait(secs(4)), secs(6));
        assert_eq!(pace.wait(secs(10)), secs(0));
    }

    #[test]
    fn the_time_of_a_request_is_no_delay() {
        let mut pace = Pace::new(20.0, 200);
        for batch in 0..100 {
            let sent = secs(batch * 10);
            assert_eq!(pace.wait(sent), secs(0));
            pace.passed(sent + secs(3), 200);
        }
        assert_eq!(pace.wait(secs(0)), secs(1_000));
    }

    #[test]
    fn after_a_long_failure_one_batch_is_made_up_for_and_no_more() {
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
