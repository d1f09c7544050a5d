//! What came of each line of a request on many parcels.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::serving::problem::FieldError;

/// What came of a line of a request.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "LineResult")]
pub struct Line {
    /// The line's place, counted from 0.
    index: usize,
    result: Word,
    /// The tracking's id; left out if the line names none.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// What is wrong with the line; left out if it was not refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

/// What came of a line, in a word.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum Word {
    /// You have the parcel from now on.
    Created,
    /// You had it already.
    Exists,
    /// It is as you said.
    Edited,
    /// You have it no more.
    Removed,
    /// You have no such parcel.
    Unknown,
    /// Nothing was done.
    Refused,
}

impl Line {
    /// The line at `index`, of the tracking with this id.
    pub fn done(index: usize, result: Word, id: i64) -> Self {
        Self {
            index,
            result,
            id: Some(id.to_string()),
            errors: Vec::new(),
        }
    }

    /// The tracking's id.
    pub fn id(&self) -> Option<i64> {
        self.id.as_ref()?.parse().ok()
    }

    /// The line at `index`, which is wrong.
    pub fn refused(index: usize, errors: Vec<FieldError>) -> Self {
        Self {
            index,
            result: Word::Refused,
            id: None,
            errors,
        }
    }
}
