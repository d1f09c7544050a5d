//! The meaning of Russian tracking texts, as Russian Post, CDEK and the aggregators that repeat them write them.
//!
//! The words are data: a [`map`] of phrases to meanings. A phrase is compared with the whole text, word by word and
//! ignoring case, so a word is never found inside another. A text that fits no phrase has no meaning: none is guessed.

mod map;
mod phrase;
#[cfg(test)]
mod tests;

use crate::model::status::{Direction, Status, SubStatus};

use map::MAP;
use phrase::Phrase;

/// The most words of a status; a longer text is not one.
const WORDS_MAX: usize = 40;

/// Words before a phrase that do not change its meaning: "Ваша посылка вручена" means "вручена", and a second attempt is
/// an attempt.
const SUBJECTS: &[&str] = &[
    "ваш",
    "ваша",
    "ваше",
    "почтовое",
    "отправление",
    "посылка",
    "письмо",
    "заказ",
    "груз",
    "вторая",
    "повторная",
    "третья",
];

/// Operations too general to have a meaning beside an unknown text: a "Вручение" may be to the sender.
const WIDE: &[&str] = &["вручение", "доставка", "обработка", "регистрация"];

/// Beginnings of words beside which a delivery is not a delivery to the addressee.
const NO_DELIVERY: &[&str] = &[
    "отправител",
    "возвр",
    "неудач",
    "невруч",
    "недостав",
    "отказ",
    "отмен",
    "ошиб",
];

/// Separators of a text of two parts: "Вручение. Вручение отправителю".
const CUTS: &[&str] = &[". ", ": ", " - ", " – ", " — ", " // ", " / ", "; "];

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    pub direction: Direction,
}

/// What a text means; `None` if it is not in the table.
pub fn meaning(text: &str) -> Option<Meaning> {
    if !is_russian(text) {
        return None;
    }
    let parts = CUTS
        .iter()
        .filter_map(|mark| Some((text.find(mark)?, mark)))
        .min_by_key(|(cut, _)| *cut)
        .map(|(cut, mark)| {
            (
                Words::of(&text[..cut]),
                Words::of(&text[cut + mark.len()..]),
            )
        });
    let pair = parts
        .as_ref()
        .and_then(|(first, second)| find_pair(first, second));
    pair.or_else(|| find(&Words::of(text))).or_else(|| {
        let (first, second) = parts.as_ref()?;
        alone(second, first).or_else(|| alone(first, second))
    })
}

/// What an operation of two texts means, such as Russian Post's type and attribute.
///
/// Sources disagree on which of the two is the type, so both orders are tried. If the pair is not in the map, one text
/// counts alone, unless the other contradicts it.
pub fn meaning_of_two(main: &str, other: &str) -> Option<Meaning> {
    if !is_russian(main) && !is_russian(other) {
        return None;
    }
    let (main_words, other_words) = (Words::of(main), Words::of(other));
    if other_words.all.is_empty() || main_words.said() == other_words.said() {
        return meaning(main);
    }
    if main_words.all.is_empty() {
        return meaning(other);
    }
    find_pair(&other_words, &main_words)
        .or_else(|| alone(&main_words, &other_words))
        .or_else(|| alone(&other_words, &main_words))
        .or_else(|| {
            meaning(main)
                .filter(|meaning| main_words.said().len() > 1 && !is_denied(meaning, &other_words))
        })
}

fn is_russian(text: &str) -> bool {
    text.contains(|c: char| matches!(c, 'а'..='я' | 'А'..='Я' | 'ё' | 'Ё'))
}

/// What a text means beside an unknown one.
fn alone(text: &Words, beside: &Words) -> Option<Meaning> {
    let is_wide = matches!(text.said(), [word] if WIDE.contains(&word.as_str()));
    find(text).filter(|meaning| !is_wide && !is_denied(meaning, beside))
}

fn is_denied(meaning: &Meaning, beside: &Words) -> bool {
    let denies = |word: &String| {
        matches!(word.as_str(), "не" | "нет")
            || NO_DELIVERY.iter().any(|start| word.starts_with(start))
    };
    meaning.status == Status::Delivered && beside.all.iter().any(denies)
}

/// The words of a text, in lower case, with "е" for "ё"; of a text that is too long, one word more than [`WORDS_MAX`].
struct Words {
    all: Vec<String>,
    /// How many of them stand before what is said of the parcel.
    subject: usize,
}

impl Words {
    fn of(text: &str) -> Self {
        let all: Vec<String> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .take(WORDS_MAX + 1)
            .map(|word| word.to_lowercase().replace('ё', "е"))
            .collect();
        let subject = all
            .iter()
            .take_while(|word| SUBJECTS.contains(&word.as_str()))
            .count()
            .min(all.len().saturating_sub(1));
        Self { all, subject }
    }

    /// What is said of the parcel.
    fn said(&self) -> &[String] {
        &self.all[self.subject..]
    }

    /// Whether a phrase fits them, with or without those before what is said.
    fn are(&self, phrase: &Phrase) -> bool {
        self.all.len() <= WORDS_MAX && (phrase.fits(&self.all) || phrase.fits(self.said()))
    }
}

fn find(text: &Words) -> Option<Meaning> {
    let fitting = MAP.single.iter().find(|([phrase], _)| text.are(phrase));
    fitting.map(|(_, meaning)| *meaning)
}

fn find_pair(one: &Words, other: &Words) -> Option<Meaning> {
    let fitting = MAP.pairs.iter().find(|([kind, attribute], _)| {
        (one.are(kind) && other.are(attribute)) || (other.are(kind) && one.are(attribute))
    });
    fitting.map(|(_, meaning)| *meaning)
}
