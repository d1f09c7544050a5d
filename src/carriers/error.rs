//! Why a call failed, and of what that is a failure.

use std::time::Duration;

/// The most bytes read of one answer; a longer one counts as unreadable.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most calls that one check may take, apart from logins.
pub const STEPS_MAX: u32 = 8;

/// Why a call failed for all its numbers. Its text ends up in `lastError`, so it must not hold a key or a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum CarrierError {
    /// The carrier asked us to wait.
    #[error("the carrier answered {status}: too many calls")]
    RateLimited {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// The carrier's documented words for a limit that is used up, with any status.
    #[error("the carrier says that our calls are used up: {said}")]
    UsedUp { said: String },
    #[error(
        "the carrier refused our credentials: it answered {status}{}",
        after_colon(said)
    )]
    Unauthorized { status: u16, said: Option<String> },
    /// The carrier's documented words for a refused key or domain, with any status.
    #[error("the carrier refused our credentials: {said}")]
    KeyRefused { said: String },
    /// The carrier's words for an account that it does not serve: unpaid, blocked, or called from the wrong place.
    #[error("the carrier does not serve our account: {said}")]
    NotServed { said: String },
    /// An answer that the carrier did not write, with any status: a gateway before it, a page, or a wrong address.
    #[error(
        "the carrier answered {status}, but not in its own form{}",
        after_colon(said)
    )]
    Foreign { status: u16, said: Option<String> },
    /// A refusal in the carrier's own form: of the numbers that were asked for.
    #[error("the carrier answered {status}: {said}")]
    Refused { status: u16, said: String },
    /// The carrier has trouble of its own.
    #[error("the carrier answered {status}")]
    Status { status: u16 },
    #[error("the carrier's answer is unreadable: {reason}")]
    Unreadable { reason: String },
    #[error("the carrier did not answer within {} s", timeout.as_secs_f64())]
    Timeout { timeout: Duration },
    #[error("the carrier could not be reached: {reason}")]
    Unreachable { reason: String },
    /// Often a kept connection that the carrier closed just as we used it.
    #[error("the carrier could not be reached: it closed the connection before any answer")]
    Closed,
    #[error("the carrier's answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("a check took more than {STEPS_MAX} calls")]
    TooManySteps,
    /// The carrier has lost the ticket, or its answer.
    #[error("the carrier no longer knows the ticket: {said}")]
    TicketGone { said: String },
    #[error("the adapter asks for a token that it has no way to get")]
    NoLogin,
}

/// What a failure is a failure of, as far as its own words say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureOf {
    /// Every further call would fail too.
    Account,
    /// Another number may go well.
    Number,
    /// The same call may go well a moment later.
    Call,
}

impl CarrierError {
    pub fn failure_of(&self) -> FailureOf {
        match self {
            Self::RateLimited { .. }
            | Self::UsedUp { .. }
            | Self::Unauthorized { .. }
            | Self::KeyRefused { .. }
            | Self::NotServed { .. }
            | Self::Foreign { .. }
            | Self::NoLogin => FailureOf::Account,
            Self::Refused { .. } | Self::Unreadable { .. } | Self::TooLong | Self::TooManySteps => {
                FailureOf::Number
            }
            Self::Status { .. }
            | Self::Timeout { .. }
            | Self::Unreachable { .. }
            | Self::TicketGone { .. }
            | Self::Closed => FailureOf::Call,
        }
    }

    /// What it says in other words than ours.
    pub fn words(&mut self) -> Option<&mut String> {
        match self {
            Self::UsedUp { said }
            | Self::KeyRefused { said }
            | Self::NotServed { said }
            | Self::Refused { said, .. }
            | Self::TicketGone { said } => Some(said),
            Self::Unauthorized { said, .. } | Self::Foreign { said, .. } => said.as_mut(),
            Self::Unreadable { reason } | Self::Unreachable { reason } => Some(reason),
            Self::RateLimited { .. }
            | Self::Status { .. }
            | Self::Timeout { .. }
            | Self::Closed
            | Self::TooLong
            | Self::TooManySteps
            | Self::NoLogin => None,
        }
    }

    /// Whether the carrier wants no calls now, which says nothing of the parcels.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::UsedUp { .. })
    }
}

/// Words as the end of a sentence that may do without them.
fn after_colon(said: &Option<String>) -> String {
    said.as_ref()
        .map_or_else(String::new, |said| format!(": {said}"))
}
