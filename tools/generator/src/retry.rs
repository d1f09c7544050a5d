//! Sends one request until it is taken: the same body, growing waits, for a limited time.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::problem::Problem;
use crate::run::Event;
use crate::target::{Answer, Target};

/// How long to go on with a server that fails.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The wait after the first failure; it doubles with each further one.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// The most of a `Retry-After` that is waited.
    pub longest_retry_after: Duration,
    /// How long one request is tried without success.
    pub give_up_after: Duration,
    /// The time for one request, answer included.
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
    /// How long to wait after the failure number `failures`, counted from 1, that came `tried` after the first try;
    /// `None` when the time is up. The last wait is cut so that the last try comes as the time ends.
    fn wait(
        &self,
        failures: u32,
        retry_after: Option<Duration>,
        tried: Duration,
    ) -> Option<Duration> {
        let left = self.give_up_after.checked_sub(tried)?;
        if left.is_zero() {
            return None;
        }
        let doubled = 2_u32.saturating_pow(failures.saturating_sub(1));
        let own = self
            .first_wait
            .saturating_mul(doubled)
            .min(self.longest_wait);
        let asked = retry_after
            .unwrap_or_default()
            .min(self.longest_retry_after);
        Some(own.max(asked).min(left))
    }
}

/// How a request ended that got an answer for good.
#[derive(Debug)]
pub enum Outcome<T> {
    Taken(T),
    /// The server does not want it, now or later.
    Refused(Problem),
}

/// The server failed for longer than we try.
#[derive(Debug)]
pub struct GaveUp {
    pub tried: Duration,
    pub reason: String,
}

enum Verdict<T> {
    Final(Outcome<T>),
    TryAgain {
        reason: String,
        retry_after: Option<Duration>,
    },
}

/// Posts `body` until the server takes or refuses it; tells of an outage once at its start and once at its end.
///
/// No answer, an answer 408, 429 or 5xx, and an answer 2xx that `read` cannot make sense of, which all may pass, are
/// tried again; every other answer is a refusal. A try whose answer got lost may have been taken: the request must be
/// one that may come twice.
///
/// # Errors
/// [`GaveUp`] after `patience.give_up_after` without success.
pub async fn persist<T>(
    target: &Target,
    path: &str,
    body: &impl Serialize,
    patience: &Patience,
    read: impl Fn(&Answer) -> Result<T, String>,
    progress: &mut (dyn FnMut(Event<'_>) + Send),
) -> Result<Outcome<T>, GaveUp> {
    let started = Instant::now();
    let mut failures = 0;
    loop {
        let (reason, retry_after) = match judge(target.post(path, body).await, &read) {
            Verdict::Final(outcome) => {
                if failures > 0 {
                    let secs = started.elapsed().as_secs_f64();
                    progress(Event::Note(format!(
                        "{} answers again after {secs:.1} s",
                        target.name
                    )));
                }
                return Ok(outcome);
            }
            Verdict::TryAgain {
                reason,
                retry_after,
            } => (reason, retry_after),
        };
        failures += 1;
        let tried = started.elapsed();
        let Some(wait) = patience.wait(failures, retry_after, tried) else {
            return Err(GaveUp { tried, reason });
        };
        if failures == 1 {
            progress(Event::Note(format!(
                "{} fails: {reason}; trying the same request again for up to {} s",
                target.name,
                patience.give_up_after.as_secs()
            )));
        }
        tokio::time::sleep(wait).await;
    }
}

fn judge<T>(
    answer: Result<Answer, String>,
    read: impl Fn(&Answer) -> Result<T, String>,
) -> Verdict<T> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(reason) => {
            return Verdict::TryAgain {
                reason,
                retry_after: None,
            };
        }
    };
    let problem = || Problem::read(&answer.status.to_string(), &answer.body);
    match answer.status.as_u16() {
        200..=299 => match read(&answer) {
            Ok(value) => Verdict::Final(Outcome::Taken(value)),
            Err(reason) => Verdict::TryAgain {
                reason,
                retry_after: None,
            },
        },
        408 | 429 | 500.. => Verdict::TryAgain {
            reason: format!("{}: {}", answer.status, problem().detail),
            retry_after: answer.retry_after,
        },
        _ => Verdict::Final(Outcome::Refused(problem())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Patience;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let patience = Patience::default();
        let waits: Vec<_> = (1..=7)
            .filter_map(|failures| patience.wait(failures, None, secs(0)))
            .map(|wait| wait.as_secs_f64())
            .collect();
        assert_eq!(waits, [0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]);
        assert_eq!(patience.wait(u32::MAX, None, secs(0)), Some(secs(10)));
    }

    #[test]
    fn retry_after_is_honoured_up_to_a_bound() {
        let patience = Patience::default();
        let wait = |retry_after| patience.wait(1, Some(secs(retry_after)), secs(0));
        assert_eq!(wait(0), Some(Duration::from_millis(500)));
        assert_eq!(wait(30), Some(secs(30)));
        assert_eq!(wait(3_600), Some(secs(60)));
    }

    #[test]
    fn the_last_try_comes_as_the_time_ends() {
        let patience = Patience::default();
        assert_eq!(patience.wait(20, None, secs(117)), Some(secs(3)));
        assert_eq!(patience.wait(20, None, secs(120)), None);
        assert_eq!(patience.wait(20, None, secs(121)), None);
    }
}
