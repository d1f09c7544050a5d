//! Asks for the options one by one. Enter takes the default, and an invalid value is asked for again.
//!
//! Not by dialoguer: it takes the end of the input for Enter, and reads from a terminal only, so no test could answer it.

use std::io::{self, BufRead, Write};

use crate::options::{
    DEFAULT_API_BASE, DEFAULT_BATCH, DEFAULT_CARRIERS, DEFAULT_COUNT, DEFAULT_EMULATOR_BASE,
    DEFAULT_RPS, Options, parse_base, parse_batch, parse_carriers, parse_count, parse_key,
    parse_rps, parse_seed, parse_switch,
};

/// The answer for "no seed".
const RANDOM: &str = "random";

/// Asks for every option on `output` and reads one line for each from `input`.
///
/// # Errors
/// `input` ends before the last answer or is not UTF-8, or reading or writing fails.
pub fn ask(input: &mut impl BufRead, output: &mut impl Write) -> io::Result<Options> {
    writeln!(output, "Press Enter to take the value in brackets.")?;
    let mut terminal = Terminal { input, output };
    Ok(Options {
        api_base: terminal.ask("Address of the TrackBox API", DEFAULT_API_BASE, parse_base)?,
        // What is typed at a terminal is seen, so a key comes from the variable alone.
        key: match std::env::var("TRACKBOX_KEY") {
            Ok(key) => Some(parse_key(&key).map_err(io::Error::other)?),
            Err(_) => None,
        },
        emulator_base: terminal.ask(
            "Address of the emulator",
            DEFAULT_EMULATOR_BASE,
            parse_base,
        )?,
        count: terminal.ask(
            "How many trackings",
            &DEFAULT_COUNT.to_string(),
            parse_count,
        )?,
        batch: terminal.ask(
            "How many in one request",
            &DEFAULT_BATCH.to_string(),
            parse_batch,
        )?,
        rps: terminal.ask("How many a second", &DEFAULT_RPS.to_string(), parse_rps)?,
        carriers: terminal.ask(
            "Carriers, separated by commas",
            DEFAULT_CARRIERS,
            parse_carriers,
        )?,
        seed_emulator: terminal.ask(
            "Give the emulator a journey for each first (true or false)",
            "true",
            parse_switch,
        )?,
        seed: terminal.ask("Seed of the numbers", RANDOM, parse_seed_or_random)?,
    })
}

fn parse_seed_or_random(text: &str) -> Result<Option<u64>, String> {
    if text == RANDOM {
        return Ok(None);
    }
    parse_seed(text)
        .map(Some)
        .map_err(|reason| format!("{reason}, or {RANDOM}"))
}

struct Terminal<'a, I, O> {
    input: &'a mut I,
    output: &'a mut O,
}

impl<I: BufRead, O: Write> Terminal<'_, I, O> {
    fn ask<T>(
        &mut self,
        question: &str,
        default: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> io::Result<T> {
        loop {
            write!(self.output, "{question} [{default}]: ")?;
            self.output.flush()?;
            let mut line = String::new();
            if self.input.read_line(&mut line)? == 0 {
                return Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    format!("the input ended at the question {question:?}"),
                ));
            }
            let answer = match line.trim() {
                "" => default,
                given => given,
            };
            match parse(answer) {
                Ok(value) => return Ok(value),
                Err(reason) => writeln!(self.output, "  {answer}: {reason}")?,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::ask;
    use crate::options::Options;

    fn answered(mut answers: &[u8]) -> (io::Result<Options>, String) {
        let mut shown = Vec::new();
        let options = ask(&mut answers, &mut shown);
        (
            options,
            String::from_utf8(shown).expect("questions are text"),
        )
    }

    #[test]
    fn enter_takes_every_default() {
        let (options, shown) = answered(&[b'\n'; 8]);
        assert_eq!(options.expect("eight answers"), Options::default());
        assert!(shown.contains("How many trackings [1000]: "), "{shown}");
    }

    #[test]
    fn every_answer_is_taken() {
        let (options, _) = answered(b"http://a:1\nhttp://b:2/\n30\n4\r\n5.5\nDHL,UPS\nno\n99\n");
        let expected = Options {
            api_base: "http://a:1".to_owned(),
            key: None,
            emulator_base: "http://b:2".to_owned(),
            count: 30,
            batch: 4,
            rps: 5.5,
            carriers: vec!["DHL".to_owned(), "UPS".to_owned()],
            seed_emulator: false,
            seed: Some(99),
        };
        assert_eq!(options.expect("eight answers"), expected);
    }

    #[test]
    fn an_invalid_value_is_asked_for_again_with_the_reason() {
        let (options, shown) = answered(b"\n\n\n0\n20000\n50\n\nCDEK,CDEK\nCDEK\n\n\n");
        let options = options.expect("three invalid answers, each corrected");

        assert_eq!(
            (options.batch, options.carriers),
            (50, vec!["CDEK".to_owned()])
        );
        assert_eq!(shown.matches("How many in one request [200]: ").count(), 3);
        assert!(
            shown.contains("  20000: must be from 1 to 10000\n"),
            "{shown}"
        );
        assert!(
            shown.contains("  CDEK,CDEK: CDEK is named twice\n"),
            "{shown}"
        );
    }

    #[test]
    fn an_input_that_ends_is_an_error_not_a_default() {
        let (options, _) = answered(b"\n\n");
        let error = options.expect_err("six answers are missing");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert!(error.to_string().contains("How many trackings"), "{error}");
    }
}
