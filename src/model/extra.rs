//! What a shop tells of a parcel beside its number, because some carriers ask for it: the addressee's postal code, the day it
//! was shipped, a country.
//!
//! It is the shop's. It is shown to that shop alone, and no message, change or log holds it.

use std::collections::BTreeMap;
use std::fmt;

/// The names that every carrier's file calls the usual ones by.
pub const POSTAL_CODE: &str = "postal_code";
pub const SHIP_DATE: &str = "ship_date";
pub const COUNTRY: &str = "country";

/// The most of them that a parcel has, and the most characters of a name and of a value.
pub const EXTRA_MAX: usize = 13;
pub const EXTRA_NAME_CHARS_MAX: usize = 40;
pub const EXTRA_CHARS_MAX: usize = 64;

/// How many different ones of its owners a tracking is asked with, at most: those of the first.
pub const EXTRAS_MAX: usize = 8;

/// What one shop told of a parcel, by name. What is not told is not there.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Extra(BTreeMap<String, String>);

impl fmt::Debug for Extra {
    /// Without the values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Extra {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is told under this name; empty if nothing is.
    pub fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// All that is told, by name.
    pub fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The same with these values; `None` takes one away.
    #[must_use]
    pub fn with(&self, values: &BTreeMap<String, Option<String>>) -> Self {
        let mut all = self.0.clone();
        for (name, value) in values {
            match value {
                Some(value) => drop(all.insert(name.clone(), value.clone())),
                None => drop(all.remove(name)),
            }
        }
        Self(all)
    }

    /// The part of it under these names.
    #[must_use]
    pub fn only(&self, names: &[String]) -> Self {
        let kept = self.0.iter().filter(|(name, _)| names.contains(name));
        let kept = kept.map(|(name, value)| (name.clone(), value.clone()));
        Self(kept.collect())
    }

    /// As a column has it; `None` if nothing is told.
    pub fn json(&self) -> Option<String> {
        // Texts always serialize.
        (!self.is_empty()).then(|| serde_json::to_string(&self.0).unwrap_or_default())
    }

    /// # Errors
    /// If a column's text is none.
    pub fn read(json: Option<&str>) -> Result<Self, serde_json::Error> {
        json.map_or_else(
            || Ok(Self::default()),
            |json| Ok(Self(serde_json::from_str(json)?)),
        )
    }
}

/// What a carrier makes of extras.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The names that its requests may hold.
    pub uses: Vec<String>,
    /// Those of them without which it cannot be asked.
    pub needs: Vec<String>,
}

impl Wants {
    /// The first name that it needs and that is not told.
    pub fn missing(&self, extra: &Extra) -> Option<&str> {
        let mut needs = self.needs.iter();
        let missing = needs.find(|name| extra.get(name).is_empty());
        missing.map(String::as_str)
    }
}

/// What the shops that follow a tracking told beside its number, and whose turn it is.
///
/// Shops may tell different things of one number. Then the tracking is asked with each of them in turn, shortly after one another,
/// until one is answered; from then on with that one alone, until it is refused. So a shop that tells something wrong, or
/// nothing, delays no other: what every shop told is asked for as often as if it were alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// The different ones, each with its place among all; the shop that came first is in front.
    told: Vec<(i16, Extra)>,
    /// The place of the one that is next.
    turn: i16,
}

/// Whose turn it is after a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    pub next: i16,
    /// Whether all of them were refused once since the first one's turn.
    pub is_over: bool,
}

impl Extras {
    /// As the columns have them: a JSON list, empty if no shop told anything.
    ///
    /// # Errors
    /// If a column's text is none.
    pub fn read(json: &str, turn: i16) -> Result<Self, serde_json::Error> {
        let told: Vec<Extra> = match json {
            "" => Vec::new(),
            json => {
                let told: Vec<BTreeMap<String, String>> = serde_json::from_str(json)?;
                told.into_iter().map(Extra).collect()
            }
        };
        let told = (0..).zip(told.into_iter().take(EXTRAS_MAX)).collect();
        Ok(Self { told, turn })
    }

    /// The place of the one that is next.
    pub fn turn(&self) -> i16 {
        self.turn
    }

    /// The same, but another one is next.
    #[must_use]
    pub fn at(self, turn: i16) -> Self {
        Self { turn, ..self }
    }

    /// The same shops' after one of them came, left or told something else: the one that was next stays so, unless it told
    /// nothing and another one tells something now.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        let next = before.next().filter(|extra| !extra.is_empty());
        let mut told = self.told.iter();
        let kept = told.find(|(_, extra)| Some(extra) == next);
        let mut told = self.told.iter();
        let turn = kept.or_else(|| told.find(|(_, extra)| !extra.is_empty()));
        let turn = turn.map_or(0, |(place, _)| *place);
        Self { turn, ..self }
    }

    /// Whether the shops told the same.
    pub fn tells_as(&self, other: &Self) -> bool {
        self.told == other.told
    }

    /// The one that is next.
    pub fn next(&self) -> Option<&Extra> {
        Some(&self.told.get(self.position())?.1)
    }

    fn position(&self) -> usize {
        let position = self.told.iter().position(|(place, _)| *place == self.turn);
        position.unwrap_or(0)
    }

    /// The parts of them that a carrier makes something of, without those that lack what it needs if another one has it.
    #[must_use]
    pub fn for_carrier(self, wants: &Wants) -> Self {
        if self.told.is_empty() {
            return self;
        }
        let next = self.next().map(|extra| extra.only(&wants.uses));
        let mut told: Vec<(i16, Extra)> = Vec::with_capacity(self.told.len());
        for (place, extra) in &self.told {
            let extra = extra.only(&wants.uses);
            if told.iter().all(|(_, known)| *known != extra) {
                told.push((*place, extra));
            }
        }
        if told.iter().any(|(_, extra)| wants.missing(extra).is_none()) {
            told.retain(|(_, extra)| wants.missing(extra).is_none());
        }
        let turn = told.iter().find(|(_, extra)| Some(extra) == next.as_ref());
        let turn = turn.or(told.first()).map_or(0, |(place, _)| *place);
        Self { told, turn }
    }

    /// Whose turn it is once the carrier has answered with news.
    pub fn answered(&self) -> i16 {
        self.told
            .get(self.position())
            .map_or(0, |(place, _)| *place)
    }

    /// Whose turn it is once the carrier has refused the number, or did not know it.
    pub fn refused(&self) -> Turn {
        let following = self.position() + 1;
        match self.told.get(following).or(self.told.first()) {
            Some((next, _)) => Turn {
                next: *next,
                is_over: following >= self.told.len(),
            },
            None => Turn {
                next: 0,
                is_over: true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use proptest::{prop_assert, prop_assert_eq, proptest};

    use super::{Extra, Extras, Wants};

    fn extras(json: &str, turn: i16) -> Extras {
        Extras::read(json, turn).expect("is a list")
    }

    fn wants(uses: &[&str], needs: &[&str]) -> Wants {
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        Wants {
            uses: names(uses),
            needs: names(needs),
        }
    }

    fn code(extras: &Extras) -> Option<&str> {
        extras.next().map(|extra| extra.get("postal_code"))
    }

    const THREE: &str = r#"[{"postal_code":"1"},{"postal_code":"2","country":"DE"},{}]"#;

    #[test]
    fn each_has_its_turn_until_one_is_answered() {
        let mut now = extras(THREE, 0);
        let mut asked = Vec::new();
        for _ in 0..4 {
            asked.push(code(&now).expect("is told").to_owned());
            let turn = now.refused();
            assert_eq!(turn.is_over, turn.next == 0);
            now = now.at(turn.next);
        }
        assert_eq!(asked, ["1", "2", "", "1"]);
        assert_eq!(now.answered(), 1, "the one that was answered stays");
        assert_eq!(Extras::default().refused().next, 0);
        assert!(Extras::default().refused().is_over);
    }

    #[test]
    fn what_a_carrier_makes_nothing_of_costs_no_turn() {
        let one = extras(THREE, 1).for_carrier(&Wants::default());
        assert_eq!((code(&one), one.refused().is_over), (Some(""), true));
        let country = extras(THREE, 2).for_carrier(&wants(&["country"], &[]));
        assert_eq!(country.refused(), country.clone().at(2).refused());
        assert_eq!(
            country.answered(),
            0,
            "the first and the third tell the same"
        );
        let needed = wants(&["postal_code"], &["postal_code"]);
        let needed = extras(THREE, 2).for_carrier(&needed);
        assert_eq!(code(&needed), Some("1"), "the third tells too little");
        assert_eq!(needed.at(1).refused().next, 0);
    }

    #[test]
    fn one_that_comes_or_goes_takes_no_turn_from_another() {
        let before = extras(THREE, 1);
        let joined = extras(
            r#"[{"postal_code":"0"},{"country":"DE","postal_code":"2"}]"#,
            0,
        );
        assert_eq!(code(&joined.clone().after(&before)), Some("2"));
        let left = extras(r#"[{"postal_code":"9"}]"#, 0).after(&before);
        assert_eq!(code(&left), Some("9"));
        assert!(!joined.tells_as(&before));
        let nothing = extras("[{}]", 0);
        let told = extras(r#"[{},{"postal_code":"2"}]"#, 0).after(&nothing);
        assert_eq!((code(&told), told.refused().next), (Some("2"), 0));
    }

    #[test]
    fn no_value_is_shown_in_a_log() {
        let extra = Extra::read(Some(r#"{"postal_code":"10115"}"#)).expect("is one");
        assert_eq!(format!("{extra:?}"), r#"{"postal_code"}"#);
        assert!(!format!("{:?}", extras(r#"[{"country":"DE"}]"#, 0)).contains("DE"));
    }

    proptest! {
        #[test]
        fn in_any_number_of_checks_each_is_asked_as_often(turn in any::<i16>(), rounds in 1..5_usize) {
            let mut now = extras(THREE, turn);
            let mut asked = [0_usize; 3];
            for _ in 0..rounds * 3 {
                asked[usize::try_from(now.answered()).expect("is a place")] += 1;
                now = { let next = now.refused().next; now.at(next) };
            }
            prop_assert_eq!(asked, [rounds; 3]);
        }

        #[test]
        fn any_text_is_read_or_refused(text in any::<String>(), turn in any::<i16>()) {
            if let Ok(extras) = Extras::read(&text, turn) {
                prop_assert!(extras.refused().next < 8);
            }
        }
    }
}
