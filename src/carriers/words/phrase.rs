//! One phrase of a map, and whether it fits a text.
//!
//! How to write one: words in lower case with "е" for "ё"; `|` between forms of one word; `вручен~` for вручен, вручена,
//! вручено, вручены; `возвра*` for every word that begins with it; `..` for any words or none.

use std::cmp::Reverse;

/// How exactly phrases describe a text: by their words, then by the words written whole, then by how few `..` they have.
pub type Weight = (usize, usize, Reverse<usize>);

#[derive(Clone, Debug)]
pub struct Phrase(pub(super) Vec<Token>);

/// One word of a phrase.
#[derive(Clone, Debug)]
pub(super) enum Token {
    /// Any words, or none.
    Any,
    /// One word, in one of these forms.
    Word(Vec<Form>),
}

#[derive(Clone, Debug)]
pub(super) enum Form {
    Exact(String),
    /// Every word that begins with this.
    Start(String),
    /// A short participle or a verb in the past, in any gender and number: "вручен", "прибыл".
    Past(String),
}

/// What [`Form::Past`] may end with.
pub(super) const PAST_ENDINGS: &[&str] = &["", "а", "о", "ы", "и"];

impl Phrase {
    pub fn parse(text: &str) -> Self {
        let token = |word: &str| match word {
            ".." => Token::Any,
            _ => Token::Word(word.split('|').map(Form::parse).collect()),
        };
        Self(text.split(' ').map(token).collect())
    }

    /// Whether one of its own words is this one.
    pub fn names(&self, word: &str) -> bool {
        self.0.iter().any(|token| match token {
            Token::Any => false,
            Token::Word(forms) => forms.iter().any(|form| form.fits(word)),
        })
    }

    /// Whether it fits all the words, from the first to the last.
    ///
    /// If it fails after a [`Token::Any`], the last such token takes one more word and the rest is tried again.
    pub fn fits(&self, words: &[String]) -> bool {
        let (mut at, mut word) = (0, 0);
        let mut retry: Option<(usize, usize)> = None;
        while word < words.len() {
            match self.0.get(at) {
                Some(Token::Any) => {
                    retry = Some((at, word));
                    at += 1;
                }
                Some(Token::Word(forms)) if forms.iter().any(|form| form.fits(&words[word])) => {
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
        self.0[at..].iter().all(|token| matches!(token, Token::Any))
    }
}

/// The weight of phrases that fit together, one or a pair.
pub fn weight(phrases: &[Phrase]) -> Weight {
    let (mut words, mut whole, mut open) = (0, 0, 0);
    for token in phrases.iter().flat_map(|phrase| &phrase.0) {
        match token {
            Token::Any => open += 1,
            Token::Word(forms) => {
                words += 1;
                whole += usize::from(!forms.iter().any(|form| matches!(form, Form::Start(_))));
            }
        }
    }
    (words, whole, Reverse(open))
}

impl Form {
    fn parse(text: &str) -> Self {
        if let Some(start) = text.strip_suffix('*') {
            Self::Start(start.to_owned())
        } else if let Some(stem) = text.strip_suffix('~') {
            Self::Past(stem.to_owned())
        } else {
            Self::Exact(text.to_owned())
        }
    }

    fn fits(&self, word: &str) -> bool {
        match self {
            Self::Exact(text) => word == text,
            Self::Start(start) => word.starts_with(start),
            Self::Past(stem) => word
                .strip_prefix(stem.as_str())
                .is_some_and(|ending| PAST_ENDINGS.contains(&ending)),
        }
    }
}
