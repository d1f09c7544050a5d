//! The files of words: how they are written, and that their order counts for nothing.

use std::collections::BTreeSet;

use super::super::map::{FILES, File, MAP, TAKES_BACK, meaning_of};
use super::super::phrase::{Form, PAST_ENDINGS, Phrase, Token, weight};
use super::super::{Meaning, meaning, meaning_of_two};
use crate::model::status::{Direction, Status, SubStatus};

/// Every line of the files: file, phrase, name of the meaning.
fn lines() -> Vec<(&'static str, String, String)> {
    let mut lines = Vec::new();
    for (name, text) in FILES {
        let file: File = toml::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let both = file.map.single.into_iter().chain(file.map.pair);
        lines.extend(both.map(|(phrase, meaning)| (*name, phrase, meaning)));
    }
    lines
}

#[test]
fn every_file_has_a_source_with_a_date_and_sorted_lines() {
    for (name, text) in FILES {
        let table: toml::Table = toml::from_str(text).expect("is TOML");
        let source = table["source"].as_str().unwrap_or_default();
        assert!(source.contains("; read 20"), "{name}: {source}");
        for table in text.split("\n[").skip(1) {
            let phrases: Vec<&str> = table.lines().filter(|line| line.starts_with('"')).collect();
            assert!(!phrases.is_empty(), "{name}: an empty table");
            assert!(
                phrases.is_sorted_by_key(|line| line.split('"').nth(1)),
                "{name}: not sorted: {:?}",
                phrases
                    .windows(2)
                    .find(|two| two[0].split('"').nth(1) > two[1].split('"').nth(1))
            );
        }
    }
}

#[test]
fn every_line_is_written_as_the_parser_expects_and_means_a_word_of_ours() {
    let mut known = BTreeSet::new();
    for (file, phrase, name) in lines() {
        assert!(
            known.insert(phrase.clone()),
            "{file}: {phrase} stands twice"
        );
        assert_eq!(phrase.to_lowercase(), phrase, "{file}");
        assert!(
            !phrase.contains('ё') && phrase.split(' ').all(|word| !word.is_empty()),
            "{file}: {phrase}"
        );
        assert!(
            phrase.matches(" / ").count() <= 1 && !phrase.contains(".. .."),
            "{file}: {phrase}"
        );
        let word = name.strip_suffix(" <").unwrap_or(&name);
        assert!(
            SubStatus::parse(word).is_some() || Status::parse(word).is_some() || word == TAKES_BACK,
            "{file}: {phrase}: {name} is no word of ours"
        );
        let meaning = meaning_of(&name);
        let is_back = matches!(meaning.status, Status::Returning | Status::Returned);
        assert!(
            !is_back || meaning.direction == Direction::Return,
            "{file}: {phrase}: {name} lacks the mark of the way back"
        );
        assert!(
            !meaning.status.is_terminal() || !phrase.contains(".."),
            "{file}: {phrase} could match a denial"
        );
    }
}

#[test]
fn no_line_is_hidden_by_another() {
    for (file, phrase, name) in lines() {
        let text = example(&phrase);
        let found = match text.split_once(" / ") {
            Some((kind, attribute)) => meaning_of_two(attribute, kind),
            None => meaning(&text),
        };
        assert_eq!(found, Some(meaning_of(&name)), "{file}: {phrase}");
    }
}

#[test]
fn no_denial_of_an_end_is_an_end() {
    for (file, phrase, name) in lines() {
        let meaning = meaning_of(&name);
        if !meaning.status.is_terminal() || phrase.contains(" / ") {
            continue;
        }
        let text = example(&phrase);
        for denied in [
            format!("не {text}"),
            format!("{text} не состоялось"),
            format!("{text} ошибочно"),
            format!("{text}, не состоялось"),
            format!("{text} (ошибочно)"),
            format!("{text}. Ошибка оператора. Омск"),
        ] {
            assert_ends_nothing(file, &denied);
        }
        if meaning.status == Status::Delivered {
            for denied in [
                format!("{text} отложено"),
                format!("{text}, отложено по просьбе адресата"),
                format!("{text}: перенесено на завтра"),
                format!("{text} (отмена)"),
                format!("{text}, ожидает в ячейке"),
            ] {
                assert_ends_nothing(file, &denied);
            }
        }
    }
}

#[test]
fn no_open_phrase_hides_a_way_back() {
    for (file, phrase, name) in lines() {
        let meaning = meaning_of(&name);
        let is_open = phrase.ends_with(" ..") && !phrase.contains(" / ");
        let is_back = meaning.direction == Direction::Return;
        if !is_open || is_back || meaning.status == Status::Unknown {
            continue;
        }
        for back in [
            "для возврата",
            "на возврат отправителю",
            "обратно",
            "продавцу",
        ] {
            let text = format!("{} {back}", example(&phrase));
            let found = super::super::meaning(&text);
            assert!(
                found.is_none_or(|found| found.direction == Direction::Return),
                "{file}: {text}: {found:?}"
            );
        }
    }
}

#[track_caller]
fn assert_ends_nothing(file: &str, text: &str) {
    let found = super::super::meaning(text);
    assert!(
        found.is_none_or(|meaning| !meaning.status.is_terminal()),
        "{file}: {text}: {found:?}"
    );
}

/// The shortest text that a phrase fits.
fn example(phrase: &str) -> String {
    let words = phrase.split(' ').filter(|word| *word != "..");
    let first_forms = words.map(|word| {
        let form = word.split('|').next().unwrap_or_default();
        form.trim_end_matches('*').replace('~', "о")
    });
    first_forms.collect::<Vec<_>>().join(" ")
}

#[test]
fn of_two_lines_that_fit_the_same_text_the_heavier_counts_wherever_they_stand() {
    let meet = |one: &[Phrase], other: &[Phrase]| {
        one.iter()
            .zip(other)
            .all(|(one, other)| have_a_text_in_common(&one.0, &other.0))
    };
    fn check<const N: usize>(
        lines: &[([Phrase; N], Meaning)],
        meet: impl Fn(&[Phrase], &[Phrase]) -> bool,
    ) {
        for (at, (one, meaning)) in lines.iter().enumerate() {
            for (other, other_meaning) in &lines[at + 1..] {
                if weight(one) != weight(other) {
                    break;
                }
                assert!(
                    meaning == other_meaning || !meet(one, other),
                    "{one:?} and {other:?} are as exact as each other"
                );
            }
        }
    }
    check(&MAP.single, meet);
    check(&MAP.pairs, meet);
}

fn have_a_text_in_common(one: &[Token], other: &[Token]) -> bool {
    match (one, other) {
        ([], rest) | (rest, []) => rest.iter().all(|token| matches!(token, Token::Any)),
        ([Token::Any, after @ ..], rest) | (rest, [Token::Any, after @ ..]) => {
            have_a_text_in_common(after, rest)
                || have_a_text_in_common(&[&[Token::Any], after].concat(), &rest[1..])
        }
        ([Token::Word(one), after @ ..], [Token::Word(other), rest @ ..]) => {
            one.iter()
                .any(|one| other.iter().any(|other| have_a_word_in_common(one, other)))
                && have_a_text_in_common(after, rest)
        }
    }
}

fn have_a_word_in_common(one: &Form, other: &Form) -> bool {
    let words = |form: &Form| match form {
        Form::Exact(text) | Form::Start(text) => vec![text.clone()],
        Form::Past(stem) => PAST_ENDINGS
            .iter()
            .map(|ending| format!("{stem}{ending}"))
            .collect(),
    };
    let goes_on = |form: &Form| matches!(form, Form::Start(_));
    words(one).iter().any(|word| {
        words(other).iter().any(|text| {
            word == text
                || (goes_on(one) && text.starts_with(word.as_str()))
                || (goes_on(other) && word.starts_with(text.as_str()))
        })
    })
}
