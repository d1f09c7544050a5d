//! What a carrier's codes mean.
//!
//! A meaning is a status or a sub-status of ours. ` <` behind it: the parcel is on its way back. [`KEEP`]: the event stands
//! in the history and changes nothing. Codes are compared without blanks around them and in any case.

use std::collections::HashMap;

use strum::VariantArray as _;

use crate::carriers::words::Meaning;
use crate::config::keys::nearest;
use crate::model::Event;
use crate::model::status::{Direction, Meant, Status, SubStatus};

/// The word for a code that changes nothing.
pub const KEEP: &str = "keep";

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Means {
    Status(Status, Option<SubStatus>),
    /// It says nothing of the parcel's place.
    Keep,
}

impl Means {
    /// What it is to an event.
    pub fn meant(self) -> Meant {
        match self {
            Self::Status(status, sub_status) => (status, sub_status),
            Self::Keep => Event::KEEPS,
        }
    }

    /// What words of ours mean.
    pub fn of(meaning: &Meaning) -> Self {
        Self::Status(meaning.status, meaning.sub_status)
    }

    /// The same for a parcel that goes back to its sender.
    #[must_use]
    pub fn back(self) -> Self {
        match self {
            Self::Status(Status::InTransit, _) => Self::Status(Status::Returning, None),
            Self::Status(Status::Delivered, _) => {
                Self::Status(Status::Returned, Some(SubStatus::ReturnedToSender))
            }
            other => other,
        }
    }

    /// Reads a word of a file.
    ///
    /// # Errors
    /// If it is none of ours, with the nearest one.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == KEEP {
            return Ok(Self::Keep);
        }
        let (word, way) = match text.strip_suffix(" <") {
            Some(word) => (word, Direction::Return),
            None => (text, Direction::Forward),
        };
        let sub_status = SubStatus::parse(word);
        let status = sub_status.map(SubStatus::status).or(Status::parse(word));
        let status = status.ok_or_else(|| unknown(word))?;
        if matches!(status, Status::Pending | Status::Expired) {
            let what = format!(
                "a word that TrackBox says of a parcel by itself, and no event does; write \"{KEEP}\" or UNKNOWN"
            );
            return Err(what);
        }
        let means = Self::Status(status, sub_status);
        Ok(match way {
            Direction::Return => means.back(),
            Direction::Forward => means,
        })
    }
}

fn unknown(word: &str) -> String {
    let statuses = Status::VARIANTS.iter().map(|status| status.as_str());
    let details = SubStatus::VARIANTS.iter().map(|detail| detail.as_str());
    let near = nearest(word, statuses.chain(details).chain([KEEP]));
    let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
    format!("no status of ours, no detail of one, and not \"{KEEP}\"{near}")
}

/// A table of codes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Codes {
    exact: HashMap<String, Means>,
    /// The beginnings of codes, the longest first.
    prefixes: Vec<(String, Means)>,
}

impl Codes {
    /// Adds a line: a code, or with `*` at its end the beginning of codes.
    ///
    /// # Errors
    /// If it has the code already.
    pub fn add(&mut self, code: &str, means: Means) -> Result<(), String> {
        let is_new = match code.strip_suffix('*') {
            Some(prefix) => {
                let prefix = folded(prefix);
                let is_new = self.prefixes.iter().all(|(known, _)| *known != prefix);
                self.prefixes.push((prefix, means));
                self.prefixes
                    .sort_by_key(|(prefix, _)| usize::MAX - prefix.len());
                is_new
            }
            None => self.exact.insert(folded(code), means).is_none(),
        };
        let twice = "is there twice: codes that differ only in case and blanks are one";
        is_new.then_some(()).ok_or_else(|| twice.to_owned())
    }

    /// What a code means; `None` if it is not in the table.
    pub fn get(&self, code: &str) -> Option<Means> {
        let code = folded(code);
        if code.is_empty() {
            return None;
        }
        let by_prefix = || {
            let mut prefixes = self.prefixes.iter();
            prefixes.find(|(prefix, _)| code.starts_with(prefix))
        };
        let exact = self.exact.get(&code).copied();
        exact.or_else(|| by_prefix().map(|(_, means)| *means))
    }

    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }
}

fn folded(code: &str) -> String {
    code.trim().to_uppercase()
}

#[cfg(test)]
mod tests {
    use super::{Codes, Means};
    use crate::model::status::{Status, SubStatus};

    #[test]
    fn a_code_is_found_as_it_is_else_by_its_longest_beginning() {
        let mut codes = Codes::default();
        for (code, means) in [
            ("IN.*", "IN_TRANSIT"),
            ("IN.CUSTOMS.*", "IN_TRANSIT_CUSTOMS_PROCESSING"),
            ("in.x", "keep"),
        ] {
            let means = Means::parse(means).expect("is a meaning");
            codes.add(code, means).expect("is new");
        }
        let status = |code: &str| codes.get(code).map(|means| means.meant().0);
        assert_eq!(codes.get(" In.X "), Some(Means::Keep));
        assert_eq!(status("IN.Y"), Some(Status::InTransit));
        let customs = Some(SubStatus::InTransitCustomsProcessing);
        assert_eq!(
            codes.get("in.customs.z").map(|means| means.meant().1),
            Some(customs)
        );
        assert_eq!((status("OUT"), status("")), (None, None));
        assert!(codes.add("IN.X", Means::Keep).is_err());
    }

    #[test]
    fn a_meaning_on_the_way_back_is_one_of_the_way_back() {
        let parsed = |text| Means::parse(text).map(Means::meant);
        assert_eq!(
            parsed("DELIVERED_TO_ADDRESSEE <"),
            Ok((Status::Returned, Some(SubStatus::ReturnedToSender)))
        );
        assert_eq!(parsed("IN_TRANSIT_SORTED <"), Ok((Status::Returning, None)));
        let refused = Ok((Status::Returning, Some(SubStatus::ReturningRefused)));
        assert_eq!(parsed("RETURNING_REFUSED <"), refused);
        let wrong = Means::parse("IN_TRANSIT_SORTET").expect_err("is none");
        assert!(
            wrong.ends_with("did you mean IN_TRANSIT_SORTED?"),
            "{wrong}"
        );
        for ours in ["PENDING", "PENDING_NOT_FOUND", "EXPIRED", "EXPIRED_NO_NEWS"] {
            assert!(Means::parse(ours).is_err(), "{ours}");
        }
    }
}
