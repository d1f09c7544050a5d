//! How many parcels each tenant may refresh.

use std::num::NonZeroU32;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::config::Http;
use crate::model::tenant::Tenant;
use crate::serving::problem::{Kind, Problem};

/// How often each tenant may refresh, counted in this process alone.
pub struct Refreshes {
    /// Has an entry for each tenant that ever refreshed.
    limiter: DefaultKeyedRateLimiter<Tenant>,
    per_minute: NonZeroU32,
}

impl Refreshes {
    /// Lets each tenant refresh `http.refreshes_per_minute` times a minute, also all at once; 0 counts as 1.
    pub fn new(http: &Http) -> Self {
        let per_minute = NonZeroU32::new(http.refreshes_per_minute).unwrap_or(NonZeroU32::MIN);
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(per_minute)),
            per_minute,
        }
    }

    /// # Errors
    /// [`Kind::TooManyRequests`] if the tenant has used up its refreshes.
    pub fn take(&self, tenant: Tenant) -> Result<(), Problem> {
        self.limiter.check_key(&tenant).map_err(|not_until| {
            let wait = not_until.wait_time_from(DefaultClock::default().now());
            let detail = format!(
                "this tenant refreshes more than {} parcels a minute (http.refreshes_per_minute): its parcels are checked \
                 without it too, and other requests go on",
                self.per_minute
            );
            Problem::new(Kind::TooManyRequests, detail).retry_after(wait)
        })
    }
}
