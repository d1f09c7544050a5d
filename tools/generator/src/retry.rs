//! Sends a request until the server accepts or refuses it: with the same body, growing waits, for a limited time.

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable as _};
use serde::Serialize;

use crate::progress::RunEvent;
use crate::refusal::Refusal;
use crate::target::{Answer, Target};

/// How long to try again while a server fails.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The wait after the first failure; it doubles with each further one.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// Upper limit of the `Retry-After` that is obeyed.
    pub longest_retry_after: Duration,
    /// How long one request is tried without success.
    pub give_up_after: Duration,
    /// The time for one try, including its answer.
    pub deadline: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(10),
            longest_retry_after: Duration::from_secs(60),
            give_up_after: Duration::from_secs(120),
            deadline: Duration::from_secs(30),
        }
    }
}

impl Patience {
    fn backoff(&self) -> ExponentialBuilder {
        ExponentialBuilder::new()
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .without_max_times()
    }

    /// Adjusts the `backoff` after a failure that came `tried` after the first try. `None`: the time is up.
    ///
    /// The last wait is cut so that the last try comes when the time ends.
    fn wait(
        &self,
        backoff: Duration,
        retry_after: Option<Duration>,
        tried: Duration,
    ) -> Option<Duration> {
        let left = self.give_up_after.saturating_sub(tried);
        let asked = retry_after
            .unwrap_or_default()
            .min(self.longest_retry_after);
        (!left.is_zero()).then(|| backoff.max(asked).min(left))
    }
}

/// Why a request was not accepted.
#[derive(Debug)]
pub enum Rejected {
    /// The server does not want it, now or later.
    Refused(Refusal),
    /// The server failed for longer than we try.
    GaveUp { tried: Duration, reason: String },
}

/// How one try failed.
enum Failure {
    Refused(Refusal),
    TryAgain {
        reason: String,
        retry_after: Option<Duration>,
    },
}

/// Posts `body` until the server accepts or refuses it. Reports an outage once when it starts and once when it ends.
///
/// These failures may pass and are tried again: no answer; an answer 408, 429 or 5xx; an answer 2xx that `read` cannot
/// read. Every other answer is a refusal. The server may have accepted a try whose answer was lost, so the request must
/// be one that may arrive twice.
///
/// # Errors
/// [`Rejected::GaveUp`] after `patience.give_up_after` without success.
pub async fn persist<T>(
    target: &Target,
    path: &str,
    body: &impl Serialize,
    patience: &Patience,
    read: impl Fn(&Answer) -> Result<T, String>,
    progress: &mut (dyn FnMut(RunEvent<'_>) + Send),
) -> Result<T, Rejected> {
    let started = Instant::now();
    let mut failed = false;
    let sent = (async || judge(target.post(path, body).await, &read))
        .retry(patience.backoff())
        .when(|failure| matches!(failure, Failure::TryAgain { .. }))
        .adjust(|failure, backoff| match failure {
            Failure::TryAgain { retry_after, .. } => {
                patience.wait(backoff?, *retry_after, started.elapsed())
            }
            Failure::Refused(_) => None,
        })
        .notify(|failure, _| {
            if let Failure::TryAgain { reason, .. } = failure
                && !failed
            {
                failed = true;
                progress(RunEvent::Note(format!(
                    "{} fails: {reason}; trying the same request again for up to {} s",
                    target.name,
                    patience.give_up_after.as_secs()
                )));
            }
        })
        .await;
    let tried = started.elapsed();
    let outcome = match sent {
        Ok(accepted) => Ok(accepted),
        Err(Failure::Refused(refusal)) => Err(Rejected::Refused(refusal)),
        Err(Failure::TryAgain { reason, .. }) => return Err(Rejected::GaveUp { tried, reason }),
    };
    if failed {
        progress(RunEvent::Note(format!(
            "{} answers again after {:.1} s",
            target.name,
            tried.as_secs_f64()
        )));
    }
    outcome
}

fn judge<T>(
    answer: Result<Answer, String>,
    read: impl Fn(&Answer) -> Result<T, String>,
) -> Result<T, Failure> {
    let try_again = |reason| Failure::TryAgain {
        reason,
        retry_after: None,
    };
    let answer = answer.map_err(try_again)?;
    let refusal = || Refusal::read(&answer.status.to_string(), &answer.body);
    match answer.status.as_u16() {
        200..=299 => read(&answer).map_err(try_again),
        408 | 429 | 500.. => Err(Failure::TryAgain {
            reason: format!("{}: {}", answer.status, refusal().detail),
            retry_after: answer.retry_after,
        }),
        _ => Err(Failure::Refused(refusal())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use backon::BackoffBuilder as _;

    use super::Patience;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let patience = Patience::default();
        let wait = |backoff| patience.wait(backoff, None, secs(0));
        let waits: Vec<_> = patience
            .backoff()
            .build()
            .filter_map(wait)
            .map(|wait| wait.as_secs_f64())
            .take(7)
            .collect();
        assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        let late = patience.backoff().build().nth(1_000_000).and_then(wait);
        assert_eq!(late, Some(secs(10)));
    }

    #[test]
    fn retry_after_is_honoured_up_to_a_bound() {
        let patience = Patience::default();
        let wait = |retry_after| {
            patience.wait(Duration::from_millis(500), Some(secs(retry_after)), secs(0))
        };
        assert_eq!(wait(0), Some(Duration::from_millis(500)));
        assert_eq!(wait(30), Some(secs(30)));
        assert_eq!(wait(3_600), Some(secs(60)));
    }

    #[test]
    fn the_last_try_comes_as_the_time_ends() {
        let patience = Patience::default();
        assert_eq!(patience.wait(secs(10), None, secs(117)), Some(secs(3)));
        assert_eq!(patience.wait(secs(10), None, secs(120)), None);
        assert_eq!(patience.wait(secs(10), None, secs(121)), None);
    }
}
