//! How track numbers and carriers' codes are spelt, and which spellings mean the same.
//!
//! Numbers are copied from mails and web pages, which add blanks, invisible characters and small letters. No carrier gives
//! these a meaning unless its adapter says so. So the *folded* form, without them and in capitals, tells parcels apart, and
//! it is what a carrier is asked for. Letters beyond ASCII and digits of other widths stay as they are.

/// What a carrier minds in the spelling of its numbers: nothing, unless its adapter says so.
///
/// Invisible characters never matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spelling {
    pub blanks_matter: bool,
    pub case_matters: bool,
}

impl Spelling {
    /// The form that all spellings with one meaning share.
    pub fn fold(self, text: &str) -> String {
        let visible = text.chars().filter(|c| !is_invisible(*c));
        let blanks = visible.filter_map(|c| match (is_blank(c), self.blanks_matter) {
            (true, true) => Some(' '),
            (true, false) => None,
            (false, _) => Some(c),
        });
        if self.case_matters {
            blanks.collect()
        } else {
            blanks.map(|c| c.to_ascii_uppercase()).collect()
        }
    }
}

/// The form that all spellings of a carrier's code share, and those of a number whose carrier minds nothing.
pub fn fold(text: &str) -> String {
    Spelling::default().fold(text)
}

/// Letters of another alphabet in a text, each of which looks like a Latin one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookAlikes {
    /// Each letter once, in the text's order.
    pub letters: String,
    /// The text with Latin letters in their place, folded.
    pub latin: String,
}

impl LookAlikes {
    /// The look-alikes of a text that has Latin letters too, or that would be plain ASCII without the look-alikes: one
    /// that was probably meant to be all Latin.
    pub fn in_text(text: &str) -> Option<Self> {
        if text.is_ascii() {
            return None;
        }
        let latin = skeleton(text);
        let mut letters = String::new();
        for c in text.chars() {
            if latin_like(c).is_some() && !letters.contains(c) {
                letters.push(c);
            }
        }
        let mixed = text.chars().any(|c| c.is_ascii_alphabetic()) || latin.is_ascii();
        (mixed && !letters.is_empty()).then_some(Self { letters, latin })
    }
}

/// The folded text with Latin capitals for all letters that look like them: equal for texts that look alike.
pub fn skeleton(text: &str) -> String {
    let folded = fold(text);
    folded.chars().map(|c| latin_like(c).unwrap_or(c)).collect()
}

/// The Latin capital that a Cyrillic or Greek letter looks like. A small letter counts as its capital.
fn latin_like(c: char) -> Option<char> {
    Some(match c {
        'А' | 'а' | 'Α' | 'α' => 'A',
        'В' | 'в' | 'Β' | 'β' => 'B',
        'С' | 'с' | 'Ϲ' | 'ϲ' => 'C',
        'Е' | 'е' | 'Ε' | 'ε' => 'E',
        'Н' | 'н' | 'Һ' | 'һ' | 'Η' | 'η' => 'H',
        'І' | 'і' | 'Ӏ' | 'ӏ' | 'Ι' | 'ι' => 'I',
        'Ј' | 'ј' => 'J',
        'К' | 'к' | 'Κ' | 'κ' => 'K',
        'М' | 'м' | 'Μ' | 'μ' => 'M',
        'Ν' | 'ν' => 'N',
        'О' | 'о' | 'Ο' | 'ο' => 'O',
        'Р' | 'р' | 'Ρ' | 'ρ' => 'P',
        'Ԛ' | 'ԛ' => 'Q',
        'Ѕ' | 'ѕ' => 'S',
        'Т' | 'т' | 'Τ' | 'τ' => 'T',
        'Ԝ' | 'ԝ' => 'W',
        'Х' | 'х' | 'Χ' | 'χ' => 'X',
        'У' | 'у' | 'Ү' | 'ү' | 'Υ' | 'υ' => 'Y',
        'Ζ' | 'ζ' => 'Z',
        _ => return None,
    })
}

/// Blank space of any width. Some blanks are letters to Unicode: the fillers of Hangul, and Braille without dots.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{2800}' | '\u{3164}' | '\u{ffa0}')
}

/// What takes no room on a screen: Unicode's Default_Ignorable_Code_Point (DerivedCoreProperties.txt as public copies have
/// it, read 2026-11-30) without the fillers that are blank, and the marks of annotations.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests;
