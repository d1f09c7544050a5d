//! Reads the layers, merges them, and has the result checked.

use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use figment::Figment;
use figment::providers::Serialized;
use figment::value::{Dict, Value};

use crate::config::check::{self, Mistakes};
use crate::config::keys::{KeyPath, PREFIX};
use crate::config::layers::{self, FILE_VARIABLE, Layer};
use crate::config::mistakes::{ConfigError, Mistake};
use crate::config::shipped::{DEMO, NORMAL, SHIPPED};
use crate::config::{Config, Preset};

/// The file that is read if none is named.
const IMPLIED: &str = "config.toml";

/// The most bytes of a file.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Checks what only the carriers' adapters know.
type CheckAdapters = fn(&Config, &mut Mistakes<'_>);

impl Config {
    /// Reads the configuration in force.
    ///
    /// `file` is the one named on the command line. If there is none, `TRACKBOX_CONFIG` may name one; if it does not,
    /// `config.toml` in the working directory is read if it exists. `preset` is the program's own cadence, which the
    /// file and the variables override. `check_adapters` adds the mistakes that only the carriers' adapters can see.
    ///
    /// # Errors
    /// [`ConfigError`] with all mistakes of a kind at once: first those of single keys (unknown key, wrong value); if
    /// there are none, those between keys and those of adapters.
    pub fn load(
        file: Option<&Path>,
        variables: impl IntoIterator<Item = (String, String)>,
        preset: Option<Preset>,
        check_adapters: CheckAdapters,
    ) -> Result<Self, ConfigError> {
        let variables: Vec<(String, String)> = variables.into_iter().collect();
        let file = read_file(Path::new(""), file, &variables)?;
        from_layers(file, &variables, preset, check_adapters)
    }

    /// The process's environment variables that [`Config::load`] reads.
    ///
    /// `std::env::vars` would panic on a variable that is not UTF-8; here such a value is rejected as its key's value.
    pub fn variables() -> Vec<(String, String)> {
        let text = |text: OsString| text.to_string_lossy().into_owned();
        let all = std::env::vars_os().map(|(name, value)| (text(name), text(value)));
        all.filter(|(name, _)| name.starts_with(PREFIX)).collect()
    }

    /// The names of those variables that [`Config::load`] leaves out, since they come near no key.
    pub fn ignored_variables(variables: &[(String, String)]) -> Vec<&str> {
        layers::ignored(variables)
    }
}

impl Default for Config {
    /// The configuration without a file and without variables.
    fn default() -> Self {
        from_layers(None, &[], None, |_, _| {}).expect("a test loads the defaults")
    }
}

/// Reads the configuration from a file's name and text, and variables.
pub fn from_layers(
    file: Option<(String, String)>,
    variables: &[(String, String)],
    preset: Option<Preset>,
    check_adapters: CheckAdapters,
) -> Result<Config, ConfigError> {
    let mut mistakes = Vec::new();
    let variables = Layer::from_variables(variables, &mut mistakes);
    let file = file.map(|(name, text)| Layer::from_toml(&name, &text, &mut mistakes));
    let named = [Some(&variables), file.as_ref()];
    let cadence = named.into_iter().flatten().find_map(cadence_of);
    let (name, preset) = match cadence.or(preset).unwrap_or_default() {
        Preset::Normal => ("the preset of work.cadence = \"normal\"", NORMAL),
        Preset::Demo => ("the preset of work.cadence = \"demo\"", DEMO),
    };
    let mut layers = vec![
        Layer::from_toml("the defaults", SHIPPED, &mut mistakes),
        Layer::from_toml(name, preset, &mut mistakes),
    ];
    layers.extend(file);
    layers.push(variables);
    if !mistakes.is_empty() {
        return Err(ConfigError { mistakes });
    }
    let values = layers.iter().flat_map(|layer| &layer.values);
    let merged = values.fold(Figment::new(), |merged, (path, value)| {
        let names = path.0.iter().rev();
        let within = |value, name: &String| Value::from(Dict::from([(name.clone(), value)]));
        merged.merge(Serialized::defaults(names.fold(value.clone(), within)))
    });
    let config: Config = merged.extract().map_err(|error| ConfigError {
        mistakes: error.into_iter().map(|error| unforeseen(&error)).collect(),
    })?;
    let mut mistakes = Mistakes::of(&layers);
    check::check(&config, &mut mistakes);
    check_adapters(&config, &mut mistakes);
    mistakes.into_result().map(|()| config)
}

fn cadence_of(layer: &Layer) -> Option<Preset> {
    let value = layer.values.get(&KeyPath::of(&["work", "cadence"]))?;
    value.deserialize().ok()
}

/// The name and text of the file to read; `None` if none is named and `directory` has none.
pub fn read_file(
    directory: &Path,
    named: Option<&Path>,
    variables: &[(String, String)],
) -> Result<Option<(String, String)>, ConfigError> {
    let by_variable = variables
        .iter()
        .find(|(name, path)| name == FILE_VARIABLE && !path.is_empty());
    let named = named
        .map(Path::to_path_buf)
        .or_else(|| by_variable.map(|(_, path)| PathBuf::from(path)));
    let implied = named.is_none();
    let path = named.unwrap_or_else(|| directory.join(IMPLIED));
    let mut name = format!("file {}", path.display());
    if implied {
        name.push_str(" (in the working directory; --config names another)");
    }
    match text_of(&path) {
        Ok(text) => Ok(Some((name, text))),
        Err(error) if implied && error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => {
            let what = format!("cannot read the configuration file: {error}");
            let advice = format!(
                "name an existing file with --config or {FILE_VARIABLE}; without either, config.toml in the working \
                 directory is read if there is one"
            );
            let mistakes = vec![Mistake::new(what, name, advice)];
            Err(ConfigError { mistakes })
        }
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

/// A mistake that the reading of the keys did not find; the types have the last word.
fn unforeseen(error: &figment::Error) -> Mistake {
    let path = KeyPath(error.path.clone());
    let advice = "give a value of the kind that config.toml shows for this key";
    Mistake::new(
        format!("{path} cannot be used"),
        format!("key {path}"),
        advice,
    )
}
