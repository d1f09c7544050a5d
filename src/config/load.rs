//! Reads the layers, puts them over each other, and has the result checked.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use figment::Figment;

use crate::config::check;
use crate::config::keys::KeyPath;
use crate::config::layers::{FILE_VARIABLE, Layer, PREFIX, Source};
use crate::config::{Config, ConfigError, Preset, Problem};

/// The defaults. What a preset sets stands in it commented out.
pub const SHIPPED: &str = include_str!("../../config.toml");

/// The file that is read where none is named.
const IMPLIED: &str = "config.toml";

/// The most bytes of a file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

const NORMAL: &str = r#"
[work]
cadence = "normal"
poll_interval = "2s"
lease = "2m"
next_check_in_transit_min = "1m"
next_check_in_transit_max = "1m"
next_check_unknown = "1m"
backoff = ["5m", "15m", "30m", "1h"]
carrier_timeout = "10s"
"#;

const DEMO: &str = r#"
[work]
cadence = "demo"
poll_interval = "1s"
lease = "10s"
next_check_in_transit_min = "3s"
next_check_in_transit_max = "8s"
next_check_unknown = "10s"
backoff = ["2s", "5s", "10s", "20s"]
carrier_timeout = "4s"
"#;

/// What [`Config::load`] does.
pub fn load(
    file: Option<&Path>,
    variables: Vec<(String, String)>,
    preset: Option<Preset>,
) -> Result<Config, ConfigError> {
    load_in(Path::new(""), file, &variables, preset)
}

/// As [`load`], with the directory that is looked in for a file that nobody named.
pub fn load_in(
    directory: &Path,
    file: Option<&Path>,
    variables: &[(String, String)],
    preset: Option<Preset>,
) -> Result<Config, ConfigError> {
    let file = read_file(directory, file, variables)?;
    let file = file
        .as_ref()
        .map(|(source, text)| (source.clone(), text.as_str()));
    from_layers(file, variables, preset)
}

/// What [`Config::variables`] gives.
pub fn variables() -> Vec<(String, String)> {
    let text = |text: OsString| text.to_string_lossy().into_owned();
    let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
    all.filter(|(name, _)| name.starts_with(PREFIX)).collect()
}

/// The defaults alone.
pub fn shipped() -> Config {
    from_layers(None, &[], None).expect("a test loads the defaults")
}

/// Reads the configuration of a file's text and variables.
pub fn from_layers(
    file: Option<(Source, &str)>,
    variables: &[(String, String)],
    preset: Option<Preset>,
) -> Result<Config, ConfigError> {
    let mut problems = Vec::new();
    let variables = Layer::from_variables(variables, &mut problems);
    let file = file.map(|(source, text)| Layer::from_toml(source, text, &mut problems));
    let cadence = [Some(&variables), file.as_ref()]
        .into_iter()
        .flatten()
        .find_map(cadence_of)
        .or(preset)
        .unwrap_or_default();
    let mut layers = vec![
        Layer::from_toml(Source::Shipped, SHIPPED, &mut problems),
        Layer::from_toml(Source::Preset(cadence), preset_of(cadence), &mut problems),
    ];
    layers.extend(file);
    layers.push(variables);
    if !problems.is_empty() {
        return Err(ConfigError { problems });
    }
    let merged = layers.iter().fold(Figment::new(), Figment::merge);
    let config: Config = merged.extract().map_err(|error| ConfigError {
        problems: error.into_iter().map(|error| unforeseen(&error)).collect(),
    })?;
    let problems = check::check(&config, &layers);
    if problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError { problems })
    }
}

/// What a preset sets, as TOML.
pub fn preset_of(cadence: Preset) -> &'static str {
    match cadence {
        Preset::Normal => NORMAL,
        Preset::Demo => DEMO,
    }
}

fn cadence_of(layer: &Layer) -> Option<Preset> {
    let value = layer.get(&KeyPath::of(&["work", "cadence"]))?;
    value.deserialize().ok()
}

/// The file to read and its text; `None` where none is named and none lies in `directory`.
fn read_file(
    directory: &Path,
    named: Option<&Path>,
    variables: &[(String, String)],
) -> Result<Option<(Source, String)>, ConfigError> {
    let by_variable = variables
        .iter()
        .find(|(name, path)| name == FILE_VARIABLE && !path.is_empty());
    let named = named
        .map(Path::to_path_buf)
        .or_else(|| by_variable.map(|(_, path)| PathBuf::from(path)));
    let implied = named.is_none();
    let path = named.unwrap_or_else(|| directory.join(IMPLIED));
    match text_of(&path) {
        Ok(text) => Ok(Some((Source::File { path, implied }, text))),
        Err(error) if implied && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(ConfigError::one(Problem {
            what: format!("the configuration file cannot be read: {error}"),
            place: Source::File { path, implied }.to_string(),
            advice: format!(
                "name a file that exists with --config or {FILE_VARIABLE}; without either, config.toml in the working \
                 directory is read where there is one"
            ),
        })),
    }
}

fn text_of(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        let reason = format!("it is longer than {FILE_BYTES_MAX} bytes");
        return Err(std::io::Error::new(ErrorKind::FileTooLarge, reason));
    }
    Ok(text)
}

/// A mistake that the kinds of the keys let through; the types are the last word.
fn unforeseen(error: &figment::Error) -> Problem {
    let place = error
        .metadata
        .as_ref()
        .map_or("an unknown place", |metadata| metadata.name.as_ref());
    Problem {
        what: format!("{} cannot be used", KeyPath(error.path.clone())),
        place: place.to_owned(),
        advice: "give a value of the kind that config.toml shows for this key".to_owned(),
    }
}
