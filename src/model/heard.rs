//! What a status is based on.

use serde::Serialize;

/// What a status is based on. A higher one is never replaced by a lower one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Heard {
    Nothing,
    NotFoundYet,
    Seen,
}

impl Heard {
    /// The number that stands for it in the store.
    pub fn rank(self) -> i16 {
        match self {
            Self::Nothing => 0,
            Self::NotFoundYet => 1,
            Self::Seen => 2,
        }
    }

    /// The way back from [`Heard::rank`]. An unknown number reads as [`Heard::Nothing`].
    pub fn from_rank(rank: i16) -> Self {
        match rank {
            2 => Self::Seen,
            1 => Self::NotFoundYet,
            _ => Self::Nothing,
        }
    }
}
