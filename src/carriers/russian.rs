//! Russian texts of parcels: what Russian Post, CDEK and the aggregators that repeat them mean by a phrase.
//!
//! A table of phrases ([`rules`]), the first that fits wins. A phrase is compared word by word, whole and without case,
//! so no word is found inside another one; a text that no phrase fits means nothing here, never something likely.

mod rules;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use crate::model::status::{Direction, Status, SubStatus};

/// The most words of a text that is still a status; a longer one is a letter.
const WORDS_MAX: usize = 40;

/// What stands before the phrase and changes nothing: "Ваша посылка вручена" says "вручена".
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

/// Operations so wide that beside a text nobody knows they mean nothing: a "Вручение" may be to the sender.
const WIDE: &[&str] = &["вручение", "доставка", "обработка", "регистрация", "получено", "вручено"];

/// Beside one of these a delivery is none, or not one to the addressee; a word stands for all that begin with it.
const NO_DELIVERY: &[&str] = &["отправител", "возвр", "неудач", "невруч", "недостав", "отказ", "отмен", "ошиб"];

/// Where a text of two parts is cut: "Вручение. Вручение отправителю".
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

/// What a text means; `None` where nobody has mapped it.
pub fn meaning(text: &str) -> Option<Meaning> {
    let whole = words(text);
    if whole.is_empty() {
        return None;
    }
    let rules = &*RULES;
    find(&rules.single, &whole).or_else(|| {
        let (cut, mark) = CUTS
            .iter()
            .filter_map(|mark| Some((text.find(mark)?, mark)))
            .min_by_key(|(cut, _)| *cut)?;
        both(rules, &words(&text[..cut]), &words(&text[cut + mark.len()..]))
    })
}

/// What an operation means that comes in two texts, as Russian Post's type and attribute do.
///
/// Sources disagree on which of the two is the type, so both orders are tried.
pub fn meaning_of_two(main: &str, other: &str) -> Option<Meaning> {
    let (main_words, other_words) = (words(main), words(other));
    if other_words.is_empty() || main_words == other_words {
        return meaning(main);
    }
    if main_words.is_empty() {
        return meaning(other);
    }
    both(&RULES, &other_words, &main_words)
}

/// The pair first, in both orders; then either text alone, where the other one does not deny it.
fn both(rules: &Rules, first: &[String], second: &[String]) -> Option<Meaning> {
    find_pair(&rules.pairs, first, second)
        .or_else(|| find_pair(&rules.pairs, second, first))
        .or_else(|| alone(rules, second, first))
        .or_else(|| alone(rules, first, second))
}

fn alone(rules: &Rules, text: &[String], beside: &[String]) -> Option<Meaning> {
    let is_wide = matches!(text, [word] if WIDE.contains(&word.as_str()));
    let meaning = find(&rules.single, text)?;
    let denies = |word: &String| {
        matches!(word.as_str(), "не" | "нет") || NO_DELIVERY.iter().any(|start| word.starts_with(start))
    };
    let is_denied = meaning.status == Status::Delivered && beside.iter().any(denies);
    let is_known = find(&rules.single, beside).is_some();
    (!is_denied && (!is_wide || is_known)).then_some(meaning)
}

/// The words of a text, in lower case, with "е" for "ё" and without the subject; none where there is no Russian word.
fn words(text: &str) -> Vec<String> {
    let is_russian = |c: char| matches!(c, 'а'..='я' | 'А'..='Я' | 'ё' | 'Ё');
    if !text.contains(is_russian) {
        return Vec::new();
    }
    let mut words: Vec<String> = text
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .take(WORDS_MAX + 1)
        .map(|word| word.to_lowercase().replace('ё', "е"))
        .collect();
    if words.len() > WORDS_MAX {
        return Vec::new();
    }
    let subjects = words.iter().take_while(|word| SUBJECTS.contains(&word.as_str())).count();
    words.drain(..subjects.min(words.len().saturating_sub(1)));
    words
}

/// One word of a phrase.
#[derive(Clone, Debug)]
enum Token {
    /// Any words, also none.
    Any,
    /// One word, in one of these forms.
    Word(Vec<Form>),
}

#[derive(Clone, Debug)]
enum Form {
    Exact(&'static str),
    /// Every word that begins so.
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

/// The table, ready to be compared with.
struct Rules {
    single: Vec<(Phrase, Meaning)>,
    pairs: Vec<((Phrase, Phrase), Meaning)>,
}

static RULES: LazyLock<Rules> = LazyLock::new(|| {
    let mut rules = Rules {
        single: Vec::new(),
        pairs: Vec::new(),
    };
    for (means, phrases) in rules::RULES {
        let meaning = match *means {
            rules::Means::Status(status) => Meaning::of(status),
            rules::Means::Sub(sub_status) => Meaning::refined(sub_status),
        };
        for phrase in *phrases {
            match phrase.split_once(" / ") {
                Some((first, second)) => rules.pairs.push(((compile(first), compile(second)), meaning)),
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

fn find(rules: &[(Phrase, Meaning)], words: &[String]) -> Option<Meaning> {
    rules
        .iter()
        .find(|(phrase, _)| fits(phrase, words))
        .map(|(_, meaning)| *meaning)
}

fn find_pair(rules: &[((Phrase, Phrase), Meaning)], first: &[String], second: &[String]) -> Option<Meaning> {
    rules
        .iter()
        .find(|((one, other), _)| fits(one, first) && fits(other, second))
        .map(|(_, meaning)| *meaning)
}

/// Whether a phrase fits all the words, from the first to the last.
///
/// Where it fails after an [`Token::Any`], that one takes a word more; only the last such needs trying again.
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
