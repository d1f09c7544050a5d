//! The meaning of tracking texts, as Russian Post, CDEK and the aggregators that repeat them write them, in Russian and a
//! little English.
//!
//! The words are data: a [`map`] of phrases to meanings. A phrase is compared with the whole text, word by word and
//! ignoring case, so a word is never found inside another. A text that fits no phrase has no meaning: none is guessed.

mod map;
mod markup;
mod phrase;
#[cfg(test)]
mod tests;

use std::iter;
use std::sync::LazyLock;

use moka::sync::Cache;

use crate::model::status::{Direction, Status, SubStatus};

use map::MAP;
use markup::without_markup;
use phrase::Phrase;

/// The most words of a status; a longer text is not one.
const WORDS_MAX: usize = 40;

/// Words before a phrase that do not change its meaning: "Ваша посылка вручена" means "вручена", and a second attempt is
/// an attempt.
const SUBJECTS: &[&str] = &[
    "item",
    "package",
    "parcel",
    "shipment",
    "the",
    "your",
    "бандероль",
    "ваш",
    "ваша",
    "ваше",
    "вторая",
    "груз",
    "заказ",
    "заказное",
    "отправление",
    "письмо",
    "повторная",
    "посылка",
    "почтовое",
    "третья",
];

/// Operations too general to have a meaning beside an unknown text: a "Вручение" may be to the sender.
const WIDE: &[&str] = &["вручение", "доставка", "обработка", "регистрация"];

/// Beginnings of words beside which a delivery is not a delivery to the addressee, or not yet.
const NO_DELIVERY: &[&str] = &[
    "attempt",
    "await",
    "cancel",
    "fail",
    "pick",
    "refus",
    "return",
    "sender",
    "unable",
    "undeliver",
    "аннул",
    "будет",
    "возвр",
    "задерж",
    "заплан",
    "назнач",
    "невозм",
    "невруч",
    "недостав",
    "неудач",
    "обратно",
    "ожида",
    "отказ",
    "отлож",
    "отмен",
    "отправител",
    "ошиб",
    "перенес",
    "перенос",
    "планир",
    "попыт",
    "предварит",
    "приостан",
    "частичн",
];

/// Words beside which nothing has come to its end.
const NO_END: &[&str] = &["error", "not", "не", "нет", "ошибка", "ошибочно"];

/// Words of a way back. A phrase of a way to the addressee that leaves them to its `..` has not read them.
const BACK: &[&str] = &[
    "возврат",
    "возврата",
    "возврату",
    "обратно",
    "отправителю",
    "продавцу",
];

/// Separators of a text of two parts: "Вручение. Вручение отправителю".
const CUTS: &[&str] = &[
    ". ", ", ", ": ", "; ", " (", " - ", " – ", " — ", " // ", " / ",
];

/// The separators of a text that are looked at.
const CUTS_MAX: usize = 3;

/// What a text means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub status: Status,
    pub sub_status: Option<SubStatus>,
    pub direction: Direction,
    /// The text revokes the event before it and says nothing else.
    pub takes_back: bool,
}

impl Meaning {
    /// A status without further detail, on the way to the addressee.
    pub const fn of(status: Status) -> Self {
        Self {
            status,
            sub_status: None,
            direction: Direction::Forward,
            takes_back: false,
        }
    }

    fn is_back(&self) -> bool {
        self.direction == Direction::Return
    }
}

/// What a text means; `None` if it is not in the map.
///
/// Of a text of several parts, the last ones may be only a place: it is read with them and without.
pub fn meaning(text: &str) -> Option<Meaning> {
    let text = &*without_markup(text);
    let mut cuts: Vec<(usize, &str)> = CUTS
        .iter()
        .flat_map(|mark| text.match_indices(mark))
        .collect();
    cuts.sort_unstable();
    cuts.truncate(CUTS_MAX);
    // One mark may begin within another.
    let first_ends = cuts.first().map_or(0, |(at, mark)| at + mark.len());
    let ends = cuts.iter().skip(1).rev().map(|(at, _)| *at);
    let ends = ends.filter(|end| *end >= first_ends);
    iter::once(text.len()).chain(ends).find_map(|end| {
        meaning_in_two(&text[..end], cuts.first())
            .filter(|meaning| !is_denied(meaning, &Words::of(&text[end..])))
    })
}

/// What a text means whole, or cut in two parts.
fn meaning_in_two(text: &str, cut: Option<&(usize, &str)>) -> Option<Meaning> {
    let Some((at, mark)) = cut else {
        return find(&Words::of(text));
    };
    let (first, second) = (Words::of(&text[..*at]), Words::of(&text[at + mark.len()..]));
    let (whole, part) = (find(&Words::of(text)), one_of(&second, &first));
    find_pair(&first, &second)
        .or(whole.filter(Meaning::is_back))
        .or(part.filter(Meaning::is_back))
        .or(whole)
        .or(part)
}

/// What an operation of two texts means, such as Russian Post's type and attribute.
///
/// Sources disagree on which of the two is the type, so both orders are tried. If the pair is not in the map, one text
/// counts alone, unless the other contradicts it.
pub fn meaning_of_two(main: &str, other: &str) -> Option<Meaning> {
    if main.len() + other.len() > KNOWN_BYTES_MAX {
        return look_up(main, other);
    }
    let texts = [main, other].join("\0");
    if let Some(known) = KNOWN.get(texts.as_str()) {
        return known;
    }
    let meaning = look_up(main, other);
    KNOWN.insert(texts, meaning);
    meaning
}

/// The most bytes of two texts whose meaning is remembered.
const KNOWN_BYTES_MAX: usize = 400;

/// Meanings that were looked up: carriers say the same of thousands of parcels.
static KNOWN: LazyLock<Cache<String, Option<Meaning>>> = LazyLock::new(|| Cache::new(10_000));

fn look_up(main: &str, other: &str) -> Option<Meaning> {
    let (main, other) = (&*without_markup(main), &*without_markup(other));
    let (main_words, other_words) = (Words::of(main), Words::of(other));
    if other_words.all.is_empty() || main_words.said() == other_words.said() {
        return meaning(main);
    }
    if main_words.all.is_empty() {
        return meaning(other);
    }
    find_pair(&other_words, &main_words)
        .or_else(|| one_of(&main_words, &other_words))
        .or_else(|| {
            meaning(main)
                .filter(|meaning| main_words.said().len() > 1 && !is_denied(meaning, &other_words))
        })
}

/// What an operation of two texts means whose carrier says more than its words.
///
/// The hint counts where the words leave something open, unless they deny it.
pub fn meaning_with_hint(main: &str, other: &str, hint: Option<Meaning>) -> Option<Meaning> {
    let is_denied = |hint: &Meaning| {
        let beside = [main, other].map(Words::of);
        beside.iter().any(|words| is_denied(hint, words))
    };
    refined(
        meaning_of_two(main, other),
        hint.filter(|hint| !is_denied(hint)),
    )
}

/// A meaning, or what a hint makes of it: where there is none, or where a parcel has only arrived at the place of its
/// delivery.
pub fn refined(meaning: Option<Meaning>, hint: Option<Meaning>) -> Option<Meaning> {
    let is_open = meaning
        .is_none_or(|meaning| meaning.sub_status == Some(SubStatus::InTransitArrivedAtDestination));
    if is_open { hint.or(meaning) } else { meaning }
}

/// What one of two texts means by itself; what is said of a way back counts first, so that it is never missed.
fn one_of(main: &Words, other: &Words) -> Option<Meaning> {
    let (main, other) = (alone(main, other), alone(other, main));
    main.filter(Meaning::is_back)
        .or(other.filter(Meaning::is_back))
        .or(main)
        .or(other)
}

/// What a text means beside an unknown one.
fn alone(text: &Words, beside: &Words) -> Option<Meaning> {
    let is_wide = matches!(text.said(), [word] if WIDE.contains(&word.as_str()));
    find(text).filter(|meaning| !is_wide && !is_denied(meaning, beside))
}

/// Whether the words beside it take an end back, or are too many to be sure that they do not.
fn is_denied(meaning: &Meaning, beside: &Words) -> bool {
    let denies = |word: &String| {
        let begins = |start: &&str| word.starts_with(start);
        NO_END.contains(&word.as_str())
            || (meaning.status == Status::Delivered && NO_DELIVERY.iter().any(begins))
    };
    meaning.status.is_terminal() && (beside.all.len() > WORDS_MAX || beside.all.iter().any(denies))
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
            .take_while(|word| SUBJECTS.contains(&word.as_str()) || is_number(word))
            .count()
            .min(all.len().saturating_sub(1));
        Self { all, subject }
    }

    /// What is said of the parcel.
    fn said(&self) -> &[String] {
        &self.all[self.subject..]
    }

    /// Whether a phrase of this meaning fits them, with or without those before what is said.
    fn are(&self, phrase: &Phrase, meaning: &Meaning) -> bool {
        let fits = || phrase.fits(self.said()) || (self.subject > 0 && phrase.fits(&self.all));
        let says_back = |word: &&String| BACK.contains(&word.as_str());
        let is_read = || {
            let mut back = self.all.iter().filter(says_back);
            meaning.is_back() || back.all(|word| phrase.names(word))
        };
        self.all.len() <= WORDS_MAX && fits() && is_read()
    }
}

/// Whether a word is a parcel's number.
fn is_number(word: &str) -> bool {
    word.is_ascii() && word.contains(|c: char| c.is_ascii_digit())
}

fn find(text: &Words) -> Option<Meaning> {
    let fitting = MAP
        .single
        .iter()
        .find(|([phrase], meaning)| text.are(phrase, meaning));
    fitting.map(|(_, meaning)| *meaning)
}

fn find_pair(one: &Words, other: &Words) -> Option<Meaning> {
    let fitting = MAP.pairs.iter().find(|([kind, attribute], meaning)| {
        (one.are(kind, meaning) && other.are(attribute, meaning))
            || (other.are(kind, meaning) && one.are(attribute, meaning))
    });
    fitting.map(|(_, meaning)| *meaning)
}
