//! Command `carriers`: which carriers can be asked, and the test of a carrier's file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use clap::Subcommand;
use reqwest::Url;

use crate::carriers::adapters::{Adapter, FILES, all, parse, read};
use crate::carriers::{Access, recorded};
use crate::clock::Clock;
use crate::config::Config;
use crate::config::keys::nearest;
use crate::config::mistakes::{ConfigError, Mistake};
use crate::model::{CarrierCode, TrackNumber};

/// What to do with carriers.
#[derive(Subcommand)]
pub enum Carriers {
    /// Lists the adapters: what each needs, and what its carrier allows.
    List,
    /// Prints the file of a built-in adapter, to begin one of your own with.
    Show {
        /// The adapter's name.
        name: String,
    },
    /// Asks a carrier once, and shows its answer beside what is read from it. Nothing is stored.
    ///
    /// The call is made at once and counted by no limit, so that it also works while an account rests. An account that needs a
    /// token logs in for it.
    Check {
        /// The carrier's code, as requests name it.
        #[arg(value_parser = |code: &str| CarrierCode::parse(code))]
        code: CarrierCode,
        /// The parcel's number.
        #[arg(value_parser = |number: &str| TrackNumber::parse(number))]
        number: TrackNumber,
        /// What the carrier is told beside the number, such as postal_code=10115. May be given several times.
        #[arg(long, value_name = "NAME=VALUE", value_parser = told)]
        told: Vec<(String, String)>,
    },
    /// Asks a carrier once, and keeps its answer without personal data among the recorded answers of its file.
    ///
    /// The call is made as by `check`. What is blanked is printed: read what is left before you hand it on. `trackbox carriers
    /// test --write` then writes what is read from it.
    Record {
        /// The carrier's code, as requests name it.
        #[arg(value_parser = |code: &str| CarrierCode::parse(code))]
        code: CarrierCode,
        /// The parcel's number. It stands in the recorded answer.
        #[arg(value_parser = |number: &str| TrackNumber::parse(number))]
        number: TrackNumber,
        /// As for `check`. The recorded answer says which names were told, without the values.
        #[arg(long, value_name = "NAME=VALUE", value_parser = told)]
        told: Vec<(String, String)>,
        /// The folder beside the carrier's file that has its name.
        folder: PathBuf,
    },
    /// Reads recorded answers with a carrier's file, and compares what it reads with what is expected.
    ///
    /// The answers stand in a folder beside the file that has its name: my-carrier.toml and my-carrier/delivered.json with
    /// my-carrier/delivered.snap.
    Test {
        /// The carrier's file. Without one, every file of adapters.folder is tested.
        file: Option<PathBuf>,
        /// The folder of the recorded answers, if it is another.
        #[arg(long, value_name = "FOLDER", requires = "file")]
        answers: Option<PathBuf>,
        /// Writes what is read as what is expected. Read it before you keep it.
        #[arg(long)]
        write: bool,
    },
}

/// Prints every adapter.
///
/// # Errors
/// Every mistake in the user's files.
pub fn list(config: &Config) -> anyhow::Result<()> {
    for adapter in adapters(config)? {
        let about = &adapter.file.about;
        let origin = if adapter.is_users { " (yours)" } else { "" };
        println!("{}{origin}: {}", adapter.name, about.title);
        let needs = match adapter.needs.is_empty() {
            true => "no key".to_owned(),
            false => adapter.needs.join(", "),
        };
        let numbers = adapter.file.request.numbers;
        let address = adapter.file.defaults.base_url.as_ref();
        let address = address.map_or("set base_url", |url| url.as_str());
        println!("    needs {needs}; numbers in a call: {numbers}; asks {address}");
        let limits = &adapter.file.defaults.limits;
        let limits: Vec<String> = limits
            .iter()
            .map(|it| format!("{} per {}", it.calls, it.per))
            .collect();
        if !limits.is_empty() {
            println!("    limits unless you set others: {}", limits.join(", "));
        }
        println!("    {}", about.terms);
        println!("    source: {}\n", about.source);
    }
    Ok(())
}

/// Prints a built-in adapter's file.
///
/// # Errors
/// If there is none of this name.
pub fn show(name: &str) -> anyhow::Result<()> {
    let known = FILES.iter().find(|(known, _)| *known == name);
    let meant = || nearest(name, FILES.iter().map(|(known, _)| *known));
    let unknown = || match meant() {
        Some(meant) => format!("there is no built-in adapter {name}; did you mean {meant}?"),
        None => format!("there is no built-in adapter {name}: `trackbox carriers list` shows them"),
    };
    let (_, text) = known.with_context(unknown)?;
    print!("{text}");
    Ok(())
}

/// Reads what a carrier is told beside a number.
fn told(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !value.is_empty() => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write a name of the carrier's file and a value, such as postal_code=10115"),
    }
}

fn adapters(config: &Config) -> Result<Vec<Adapter>, ConfigError> {
    let (adapters, mistakes) = all(&config.adapters.folder);
    if mistakes.is_empty() {
        Ok(adapters)
    } else {
        Err(ConfigError { mistakes })
    }
}

/// Tests the files of the user's folder.
///
/// # Errors
/// If one is wrong, or an answer is not read as expected.
pub fn test_all(config: &Config, write: bool) -> anyhow::Result<()> {
    let folder = &config.adapters.folder;
    ensure!(
        !folder.is_empty(),
        "adapters.folder is empty: name a file, or set it"
    );
    let mut wrong = 0;
    for adapter in adapters(config)?.iter().filter(|adapter| adapter.is_users) {
        wrong += answers_of(adapter, &Path::new(folder).join(adapter.name), write)?;
    }
    ended(wrong)
}

/// Tests one file.
///
/// # Errors
/// As [`test_all`].
pub fn test(file: &Path, answers: Option<&Path>, write: bool) -> anyhow::Result<()> {
    let name = file.display().to_string();
    let wrong = |mistakes: Vec<Mistake>| ConfigError { mistakes };
    let text = read(file).map_err(wrong)?;
    let adapter = Adapter::new(parse(&name, &text).map_err(wrong)?, true);
    println!("{name} is right");
    let beside = file.with_extension("");
    ended(answers_of(&adapter, answers.unwrap_or(&beside), write)?)
}

fn ended(wrong: usize) -> anyhow::Result<()> {
    ensure!(wrong == 0, "{wrong} answers are not read as expected");
    Ok(())
}

/// How many of an adapter's recorded answers are not read as expected.
fn answers_of(adapter: &Adapter, folder: &Path, write: bool) -> anyhow::Result<usize> {
    let place = folder.display();
    let cases = recorded::cases(folder)
        .with_context(|| format!("cannot read the recorded answers in {place}"))?;
    let mut wrong = 0;
    for case in &cases {
        let name = case.display();
        let read = recorded::reading(adapter, access()?, case, Clock::system().now());
        let read = read.map_err(|error| anyhow::anyhow!("{name}: {error}"))?;
        if write {
            recorded::expect(case, &read).with_context(|| format!("cannot write beside {name}"))?;
            continue;
        }
        match recorded::expected(case) {
            Some(expected) if expected == read => {}
            Some(expected) => {
                wrong += 1;
                println!("{name} is read otherwise than expected:");
                differences(&expected, &read);
            }
            None => {
                wrong += 1;
                println!("{name} has no .snap beside it: --write writes this one\n{read}");
            }
        }
    }
    println!(
        "{}: {} recorded answers, {wrong} wrong",
        adapter.name,
        cases.len()
    );
    Ok(wrong)
}

/// Prints the lines that are only in one of two texts, from their first difference to their last.
fn differences(expected: &str, read: &str) {
    let (expected, read): (Vec<&str>, Vec<&str>) =
        (expected.lines().collect(), read.lines().collect());
    let pairs = expected.iter().zip(&read);
    let same_begin = pairs.take_while(|(one, other)| one == other).count();
    let left = expected.len().min(read.len()) - same_begin;
    let pairs = expected.iter().rev().zip(read.iter().rev()).take(left);
    let same_end = pairs.take_while(|(one, other)| one == other).count();
    for line in &expected[same_begin..expected.len() - same_end] {
        println!("  - {line}");
    }
    for line in &read[same_begin..read.len() - same_end] {
        println!("  + {line}");
    }
}

/// An account of no carrier: recorded answers are read without calls.
fn access() -> anyhow::Result<Access> {
    Ok(Access {
        base_url: Url::parse("https://carrier.invalid/")?,
        login_url: None,
        api_key: "k3y".to_owned(),
        user: "us3r".to_owned(),
        secret: "s3cret".to_owned(),
        domain: "shop.example".to_owned(),
        zone: chrono_tz::UTC,
        registers: true,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{test, test_all};
    use crate::config::Config;

    /// A folder with a file of its own name and one recorded answer.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("makes a folder");
        let text = include_str!("../../carriers/track24.toml");
        let text = text.replace("name = \"track24\"", "name = \"mine\"");
        fs::write(folder.path().join("mine.toml"), text).expect("writes the file");
        let answers = folder.path().join("mine");
        fs::create_dir(&answers).expect("makes a folder");
        let answer = r#"{"status":"error","message":"Трек-код не найден"}"#;
        fs::write(answers.join("not_found.json"), answer).expect("writes the answer");
        folder
    }

    #[test]
    fn an_answer_is_tested_against_what_was_written_for_it() {
        let folder = folder();
        let file = folder.path().join("mine.toml");
        let said = |write| test(&file, None, write).map_err(|error| error.to_string());
        let wrong = Err("1 answers are not read as expected".to_owned());
        assert_eq!(said(false), wrong);
        assert_eq!(said(true), Ok(()));
        assert_eq!(said(false), Ok(()));
        let answer = folder.path().join("mine/not_found.json");
        fs::write(answer, r#"{"status":"error","message":"Ошибка"}"#).expect("writes the answer");
        assert_eq!(said(false), wrong);
    }

    #[test]
    fn the_users_own_files_are_adapters_and_a_mistake_in_one_is_told_at_the_start() {
        let folder = folder();
        let mut config = Config::default();
        config.adapters.folder = folder.path().display().to_string();
        assert!(test_all(&config, true).is_ok() && test_all(&config, false).is_ok());
        let file = folder.path().join("mine.toml");
        let text = fs::read_to_string(&file).expect("reads the file");
        for (from, to, told) in [
            (
                "name = \"mine\"",
                "name = \"track24\"",
                "is the name of a built-in carrier",
            ),
            ("events = ", "evens = ", "item.evens is not known"),
        ] {
            fs::write(&file, text.replace(from, to)).expect("writes the file");
            let error = test_all(&config, false)
                .expect_err("is refused")
                .to_string();
            assert!(error.contains(told), "{error}");
            let error = crate::carriers::routes::Routes::new(&config)
                .err()
                .expect("is refused");
            assert!(error.to_string().contains(told), "{error}");
        }
        let replaces = text.replace("name = \"mine\"", "name = \"track24\"\nreplaces = true");
        fs::write(&file, replaces).expect("writes the file");
        assert!(crate::carriers::routes::Routes::new(&config).is_ok());
    }
}
