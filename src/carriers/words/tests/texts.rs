//! Texts that carriers sent, in `tests/words`: one file a source, each line a normalised code, a tab and a text. ` // `
//! stands between an operation's two texts, ` <` behind the code of a way back, and `-` is for a text without a meaning.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::proptest;

use super::super::{meaning, meaning_of_two};
use super::{code, code_of_two};

/// The lines of each file.
fn files() -> BTreeMap<String, Vec<(String, String)>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/words");
    let files = fs::read_dir(folder).expect("the folder of texts");
    let read = files.map(|file| {
        let path = file.expect("a folder that can be read").path();
        let text = fs::read_to_string(&path).expect("a text file");
        let name = path.file_stem().expect("a name").to_string_lossy();
        let (source, lines) = text.split_once('\n').expect("has lines");
        assert!(
            source.starts_with("# Invented: ") || source.contains("; read 20"),
            "{name}"
        );
        let lines = lines.lines().map(|line| {
            let (code, text) = line.split_once('\t').expect("a code and a text");
            (code.to_owned(), text.to_owned())
        });
        (name.into_owned(), lines.collect())
    });
    read.collect()
}

#[test]
fn what_carriers_sent_means_what_it_says() {
    for (file, lines) in files() {
        for (expected, text) in lines {
            let found = match text.split_once(" // ") {
                Some((main, other)) => code_of_two(main, other),
                None => code(&text),
            };
            assert_eq!(found, expected, "{file}: {text}");
        }
    }
}

#[test]
fn no_step_of_a_whole_journey_is_unknown() {
    let journey = &files()["journey"];
    assert_eq!(journey.len(), 29);
    assert!(journey.iter().all(|(code, _)| code != "-"));
}

#[test]
fn how_a_text_is_written_does_not_matter() {
    for (expected, text) in &files()["reported"] {
        if !text.contains(" // ") {
            let (upper, quoted) = (text.to_uppercase(), format!("«{text}»"));
            for text in [upper, quoted, format!(" {text}. "), format!("\u{a0}{text}")] {
                assert_eq!(&code(&text), expected, "{text}");
            }
        }
    }
}

#[test]
fn separators_that_overlap_are_read() {
    for text in [". (", ".&(", "а. (б, в", "a: (b) - // c"] {
        assert_eq!(meaning(text), meaning_of_two(text, ""), "{text}");
    }
}

proptest! {
    #[test]
    fn every_text_is_read(main in "([а-яё.,:;() /-]|\\PC){0,90}", other in "\\PC{0,40}") {
        let read = meaning(&main);
        assert_eq!(read, meaning_of_two(&main, ""));
        meaning_of_two(&main, &other);
    }
}
