//! The options of a run, their defaults and their limits.
//!
//! The same checks apply to the command line, to answers on a terminal, and to options made in code.

use std::fmt;

use clap::{ArgAction, Args};
use reqwest::Url;

pub const DEFAULT_API_BASE: &str = "http://localhost:8080";
pub const DEFAULT_EMULATOR_BASE: &str = "http://localhost:9000";
pub const DEFAULT_COUNT: usize = 1_000;
pub const DEFAULT_BATCH: usize = 200;
pub const DEFAULT_RPS: f64 = 20.0;
pub const DEFAULT_CARRIERS: &str = "CDEK,POST_RU";

/// Upper limit of the parcels of one run. Their numbers are kept in memory, so that none is used twice.
pub const COUNT_MAX: usize = 1_000_000;

/// Upper limit of the items that the API accepts in one request.
pub const BATCH_MAX: usize = 10_000;

/// The lowest and the highest rate, in trackings a second.
pub const RPS_MIN: f64 = 0.001;
pub const RPS_MAX: f64 = 1_000_000.0;

/// Upper limit of the characters of a carrier code.
pub const CARRIER_CHARS_MAX: usize = 64;

/// An API key, which is never shown.
#[derive(Clone, PartialEq)]
pub struct Key(String);

impl Key {
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The options of a run.
#[derive(Args, Clone, Debug, PartialEq)]
pub struct Options {
    /// Address of the TrackBox API
    #[arg(long, value_name = "URL", default_value = DEFAULT_API_BASE, value_parser = parse_base)]
    pub api_base: String,

    /// API key of scope WRITE, if that TrackBox needs one; best given as the variable
    #[arg(long, value_name = "KEY", env = "TRACKBOX_KEY", hide_env_values = true, value_parser = parse_key)]
    pub key: Option<Key>,

    /// Address of the carrier emulator
    #[arg(long, value_name = "URL", default_value = DEFAULT_EMULATOR_BASE, value_parser = parse_base)]
    pub emulator_base: String,

    /// How many trackings to create
    #[arg(long, value_name = "N", default_value_t = DEFAULT_COUNT, value_parser = parse_count, allow_negative_numbers = true)]
    pub count: usize,

    /// How many trackings to create in one request, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = DEFAULT_BATCH, value_parser = parse_batch, allow_negative_numbers = true)]
    pub batch: usize,

    /// How many trackings to create a second, on average
    #[arg(long, value_name = "RATE", default_value_t = DEFAULT_RPS, value_parser = parse_rps, allow_negative_numbers = true)]
    pub rps: f64,

    /// Codes of the carriers, separated by commas; parcels are spread over them evenly
    #[arg(long, value_name = "CODES", default_value = DEFAULT_CARRIERS, value_delimiter = ',', value_parser = parse_carrier)]
    pub carriers: Vec<String>,

    /// Whether to give the emulator a journey for each parcel first
    #[arg(
        long, value_name = "true|false", action = ArgAction::Set, num_args = 0..=1,
        default_value_t = true, default_missing_value = "true", value_parser = parse_switch
    )]
    pub seed_emulator: bool,

    /// Seed of the numbers: the same seed makes the same numbers [default: a random one, which is printed]
    #[arg(long, value_name = "N", value_parser = parse_seed, allow_negative_numbers = true)]
    pub seed: Option<u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api_base: DEFAULT_API_BASE.to_owned(),
            key: None,
            emulator_base: DEFAULT_EMULATOR_BASE.to_owned(),
            count: DEFAULT_COUNT,
            batch: DEFAULT_BATCH,
            rps: DEFAULT_RPS,
            carriers: DEFAULT_CARRIERS.split(',').map(str::to_owned).collect(),
            seed_emulator: true,
            seed: None,
        }
    }
}

impl Options {
    /// Refuses options that are out of range.
    ///
    /// # Errors
    /// The name of the first invalid option and the reason.
    pub fn check(&self) -> Result<(), String> {
        let named = |name: &'static str| move |reason: String| format!("{name}: {reason}");
        parse_base(&self.api_base).map_err(named("api-base"))?;
        parse_base(&self.emulator_base).map_err(named("emulator-base"))?;
        check_count(self.count).map_err(named("count"))?;
        check_batch(self.batch).map_err(named("batch"))?;
        check_rps(self.rps).map_err(named("rps"))?;
        check_carriers(&self.carriers).map_err(named("carriers"))
    }
}

/// Reads the address of a server, without the slashes at its end.
pub(crate) fn parse_base(text: &str) -> Result<String, String> {
    let url = Url::parse(text.trim())
        .map_err(|error| format!("not a URL such as {DEFAULT_API_BASE}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!(
            "must begin with http:// or https://, not {}:",
            url.scheme()
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("must not have a query or a fragment".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Reads a key. The error does not show it.
pub(crate) fn parse_key(text: &str) -> Result<Key, String> {
    let text = text.trim();
    let plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    plain
        .then(|| Key(text.to_owned()))
        .ok_or_else(|| "must be a key such as tbx_…".to_owned())
}

pub(crate) fn parse_count(text: &str) -> Result<usize, String> {
    check_count(whole_number(text)?)
}

fn check_count(count: usize) -> Result<usize, String> {
    within(count, COUNT_MAX)
}

pub(crate) fn parse_batch(text: &str) -> Result<usize, String> {
    check_batch(whole_number(text)?)
}

fn check_batch(batch: usize) -> Result<usize, String> {
    within(batch, BATCH_MAX)
}

pub(crate) fn parse_rps(text: &str) -> Result<f64, String> {
    let rps = text.trim().parse().map_err(|_| "not a number".to_owned())?;
    check_rps(rps)
}

fn check_rps(rps: f64) -> Result<f64, String> {
    if (RPS_MIN..=RPS_MAX).contains(&rps) {
        Ok(rps)
    } else {
        Err(format!("must be above 0, from {RPS_MIN} to {RPS_MAX}"))
    }
}

/// Reads a list of carrier codes separated by commas.
pub(crate) fn parse_carriers(text: &str) -> Result<Vec<String>, String> {
    let carriers: Vec<String> = text
        .split(',')
        .map(parse_carrier)
        .collect::<Result<_, _>>()?;
    check_carriers(&carriers)?;
    Ok(carriers)
}

fn parse_carrier(text: &str) -> Result<String, String> {
    let carrier = text.trim();
    if carrier.is_empty() {
        return Err("a carrier code must not be empty".to_owned());
    }
    let chars = carrier.chars().count();
    if chars > CARRIER_CHARS_MAX {
        return Err(format!(
            "a carrier code has at most {CARRIER_CHARS_MAX} characters, this one has {chars}"
        ));
    }
    if carrier.chars().any(char::is_control) {
        return Err("a carrier code must not contain control characters".to_owned());
    }
    Ok(carrier.to_owned())
}

fn check_carriers(carriers: &[String]) -> Result<(), String> {
    if carriers.is_empty() {
        return Err("at least one carrier is needed".to_owned());
    }
    for (index, carrier) in carriers.iter().enumerate() {
        parse_carrier(carrier)?;
        if carriers[..index].contains(carrier) {
            return Err(format!("{carrier} is named twice"));
        }
    }
    Ok(())
}

pub(crate) fn parse_switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "on" | "1" => Ok(true),
        "false" | "no" | "n" | "off" | "0" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

pub(crate) fn parse_seed(text: &str) -> Result<u64, String> {
    text.trim()
        .parse()
        .map_err(|_| format!("must be a whole number from 0 to {}", u64::MAX))
}

fn whole_number(text: &str) -> Result<usize, String> {
    text.trim()
        .parse()
        .map_err(|_| "not a whole number".to_owned())
}

fn within(number: usize, max: usize) -> Result<usize, String> {
    if (1..=max).contains(&number) {
        Ok(number)
    } else {
        Err(format!("must be from 1 to {max}"))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{Key, Options};

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        Command::try_parse_from([&["generator"], arguments].concat())
            .map(|command| command.options)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_the_defaults_apply() {
        let options = parse(&[]).expect("nothing is required");
        assert_eq!(options, Options::default());
        assert_eq!(options.check(), Ok(()));
    }

    #[test]
    fn every_option_is_read() {
        let options = parse(&[
            "--api-base",
            "https://box.example/api/",
            "--key",
            "tbx_x",
            "--emulator-base",
            "http://[::1]:9",
            "--count",
            "7",
            "--batch",
            "3",
            "--rps",
            "0.5",
            "--carriers",
            "DHL, CDEK",
            "--seed-emulator",
            "false",
            "--seed",
            "42",
        ]);
        let expected = Options {
            api_base: "https://box.example/api".to_owned(),
            key: Some(Key("tbx_x".to_owned())),
            emulator_base: "http://[::1]:9".to_owned(),
            count: 7,
            batch: 3,
            rps: 0.5,
            carriers: vec!["DHL".to_owned(), "CDEK".to_owned()],
            seed_emulator: false,
            seed: Some(42),
        };
        assert_eq!(options, Ok(expected));
    }

    #[test]
    fn a_key_is_not_shown_with_the_options() {
        let options = parse(&["--key", "tbx_hidden"]).expect("right");
        assert!(!format!("{options:?}").contains("hidden"));
    }

    #[test]
    fn a_bare_seed_emulator_means_true() {
        let options = parse(&["--seed-emulator", "--count", "7"]).expect("right");
        assert!(options.seed_emulator);
        assert_eq!(options.count, 7);
    }

    #[test]
    fn an_invalid_value_is_refused_with_the_reason() {
        for (arguments, reason) in [
            (
                ["--api-base", "ftp://box"],
                "must begin with http:// or https://",
            ),
            (["--api-base", "localhost"], "not a URL"),
            (["--api-base", "http://box/?a=1"], "must not have a query"),
            (["--count", "0"], "must be from 1 to 1000000"),
            (["--count", "many"], "not a whole number"),
            (["--batch", "10001"], "must be from 1 to 10000"),
            (["--rps", "0"], "must be above 0"),
            (["--rps", "-1"], "must be above 0"),
            (["--rps", "NaN"], "must be above 0"),
            (["--carriers", "CDEK,,DHL"], "must not be empty"),
            (["--seed-emulator", "perhaps"], "must be true or false"),
            (["--seed", "-1"], "must be a whole number"),
        ] {
            let error = parse(&arguments).expect_err(reason);
            assert!(error.contains(reason), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn a_carrier_named_twice_is_refused() {
        let options = parse(&["--carriers", "CDEK,DHL,CDEK"]).expect("each code is right");
        assert_eq!(
            options.check(),
            Err("carriers: CDEK is named twice".to_owned())
        );
    }
}
