//! The meaning of Russian tracking texts, as Russian Post, CDEK and the aggregators that repeat them write them.
//!
//! A table of phrases ([`rules`]); the first that fits wins. A phrase is compared with the whole text, word by word and
//! ignoring case, so a word is never found inside another. A text that fits no phrase has no meaning: none is guessed.

mod rules;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use crate::model::status::{Direction, Status, SubStatus};

/// The most words of a status; a longer text is not one.
const WORDS_MAX: usize = 40;

/// Words before a phrase that do not change its meaning: "Ваша посылка вручена" means "вручена".
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

impl Meaning {
    /// A status without further detail.
    pub fn of(status: Status) -> Self {
        let direction = match status {
            Status::Returning | Status::Returned => Direction::Return,
            _ => Direction::Forward,
        };
        Self {
            status,
            sub_status: None,
            direction,
        }
    }

    /// A sub-status, with the status that it refines.
    pub fn refined(sub_status: SubStatus) -> Self {
        Self {
            sub_status: Some(sub_status),
            ..Self::of(sub_status.status())
        }
    }
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
        .map(|(cut, mark)| (words(&text[..cut]), words(&text[cut + mark.len()..])));
    let pair = parts
        .as_ref()
        .and_then(|(first, second)| find_pair(first, second));
    pair.or_else(|| find(&words(text))).or_else(|| {
        let (first, second) = parts.as_ref()?;
        alone(second, first).or_else(|| alone(first, second))
    })
}

/// What an operation of two texts means, such as Russian Post's type and attribute.
///
/// Sources disagree on which of the two is the type, so both orders are tried. If the pair is not in the table, one
/// text counts alone, unless the other contradicts it.
pub fn meaning_of_two(main: &str, other: &str) -> Option<Meaning> {
    if !is_russian(main) && !is_russian(other) {
        return None;
    }
    let (main_words, other_words) = (words(main), words(other));
    if other_words.is_empty() || main_words == other_words {
        return meaning(main);
    }
    if main_words.is_empty() {
        return meaning(other);
    }
    find_pair(&other_words, &main_words)
        .or_else(|| alone(&main_words, &other_words))
        .or_else(|| alone(&other_words, &main_words))
        .or_else(|| {
            meaning(main)
                .filter(|meaning| main_words.len() > 1 && !is_denied(meaning, &other_words))
        })
}

fn is_russian(text: &str) -> bool {
    text.contains(|c: char| matches!(c, 'а'..='я' | 'А'..='Я' | 'ё' | 'Ё'))
}

/// What a text means beside an unknown one.
fn alone(text: &[String], beside: &[String]) -> Option<Meaning> {
    let is_wide = matches!(text, [word] if WIDE.contains(&word.as_str()));
    find(text).filter(|meaning| !is_wide && !is_denied(meaning, beside))
}

fn is_denied(meaning: &Meaning, beside: &[String]) -> bool {
    let denies = |word: &String| {
        matches!(word.as_str(), "не" | "нет")
            || NO_DELIVERY.iter().any(|start| word.starts_with(start))
    };
    meaning.status == Status::Delivered && beside.iter().any(denies)
}

/// The words of a text, in lower case, with "е" for "ё" and without the subject; of a text that is too long, one word
/// more than [`WORDS_MAX`].
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX + 1)
        .map(|word| word.to_lowercase().replace('ё', "е"))
        .collect();
    if words.len() <= WORDS_MAX {
        let subjects = words
            .iter()
            .take_while(|word| SUBJECTS.contains(&word.as_str()))
            .count();
        words.drain(..subjects.min(words.len().saturating_sub(1)));
    }
    words
}

/// One word of a phrase.
#[derive(Clone, Debug)]
enum Token {
    /// Any words, or none.
    Any,
    /// One word, in one of these forms.
    Word(Vec<Form>),
}

#[derive(Clone, Debug)]
enum Form {
    Exact(&'static str),
    /// Every word that begins with this.
    Start(&'static str),
    /// A short participle or a verb in the past, in any gender and number: "вручен", "прибыл".
    Past(&'static str),
}

impl Form {
    fn fits(&self, word: &str) -> bool {
        match self {
            Self::Exact(text) => word == *text,
            Self::Start(start) => word.starts_with(start),
            Self::Past(stem) => word
                .strip_prefix(stem)
                .is_some_and(|ending| matches!(ending, "" | "а" | "о" | "ы" | "и")),
        }
    }
}

impl Token {
    fn fits(&self, word: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Word(forms) => forms.iter().any(|form| form.fits(word)),
        }
    }
}

type Phrase = Vec<Token>;

/// The table, compiled.
struct Rules {
    single: Vec<(Phrase, Meaning)>,
    pairs: Vec<((Phrase, Phrase), Meaning)>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut rules = Rules {
        single: Vec::new(),
        pairs: Vec::new(),
    };
    for (means, phrases) in rules::all() {
        let meaning = match *means {
            rules::Means::Plain(status) => Meaning::of(status),
            rules::Means::Sub(sub_status) => Meaning::refined(sub_status),
        };
        for phrase in *phrases {
            match phrase.split_once(" / ") {
                Some((first, second)) => rules
                    .pairs
                    .push(((compile(first), compile(second)), meaning)),
                None => rules.single.push((compile(phrase), meaning)),
            }
        }
    }
    rules
});

fn compile(phrase: &'static str) -> Phrase {
    phrase
        .split(' ')
        .map(|word| match word {
            ".." => Token::Any,
            _ => Token::Word(word.split('|').map(form).collect()),
        })
        .collect()
}

fn form(text: &'static str) -> Form {
    if let Some(start) = text.strip_suffix('*') {
        Form::Start(start)
    } else if let Some(stem) = text.strip_suffix('~') {
        Form::Past(stem)
    } else {
        Form::Exact(text)
    }
}

fn find(words: &[String]) -> Option<Meaning> {
    if words.len() > WORDS_MAX {
        return None;
    }
    let fitting = RULES.single.iter().find(|(phrase, _)| fits(phrase, words));
    fitting.map(|(_, meaning)| *meaning)
}

fn find_pair(one: &[String], other: &[String]) -> Option<Meaning> {
    if one.len() > WORDS_MAX || other.len() > WORDS_MAX {
        return None;
    }
    let fitting = RULES.pairs.iter().find(|((first, second), _)| {
        (fits(first, one) && fits(second, other)) || (fits(first, other) && fits(second, one))
    });
    fitting.map(|(_, meaning)| *meaning)
}

/// Whether a phrase fits all the words, from the first to the last.
///
/// If it fails after a [`Token::Any`], the last such token takes one more word and the rest is tried again.
fn fits(phrase: &[Token], words: &[String]) -> bool {
    let (mut at, mut word) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while word < words.len() {
        match phrase.get(at) {
            Some(Token::Any) => {
                retry = Some((at, word));
                at += 1;
            }
            Some(token) if token.fits(&words[word]) => {
                at += 1;
                word += 1;
            }
            _ => {
                let Some((any, taken)) = retry else {
                    return false;
                };
                retry = Some((any, taken + 1));
                at = any + 1;
                word = taken + 1;
            }
        }
    }
    phrase[at..].iter().all(|token| matches!(token, Token::Any))
}
