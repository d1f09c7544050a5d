//! The adapters: carriers' files, those that are compiled in and the user's own.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;

use crate::carriers::declared::Declared;
use crate::carriers::declared::file::{FILE_BYTES_MAX, File};
use crate::carriers::{Access, Carrier};
use crate::config::format::shown;
use crate::config::mistakes::Mistake;

/// The built-in files of `carriers/`, with their names.
pub const FILES: &[(&str, &str)] = &[
    ("17track", include_str!("../../carriers/17track.toml")),
    ("aftership", include_str!("../../carriers/aftership.toml")),
    (
        "australia-post",
        include_str!("../../carriers/australia-post.toml"),
    ),
    ("bring", include_str!("../../carriers/bring.toml")),
    (
        "canada-post",
        include_str!("../../carriers/canada-post.toml"),
    ),
    ("cdek", include_str!("../../carriers/cdek.toml")),
    ("dhl", include_str!("../../carriers/dhl.toml")),
    (
        "dhl-express",
        include_str!("../../carriers/dhl-express.toml"),
    ),
    ("dpd", include_str!("../../carriers/dpd.toml")),
    ("easypost", include_str!("../../carriers/easypost.toml")),
    ("emulator", include_str!("../../carriers/emulator.toml")),
    (
        "emulator-batch",
        include_str!("../../carriers/emulator-batch.toml"),
    ),
    (
        "emulator-ticket",
        include_str!("../../carriers/emulator-ticket.toml"),
    ),
    ("fedex", include_str!("../../carriers/fedex.toml")),
    ("gdeposylka", include_str!("../../carriers/gdeposylka.toml")),
    ("gls", include_str!("../../carriers/gls.toml")),
    ("hermes-de", include_str!("../../carriers/hermes-de.toml")),
    ("inpost", include_str!("../../carriers/inpost.toml")),
    ("la-poste", include_str!("../../carriers/la-poste.toml")),
    ("postnl", include_str!("../../carriers/postnl.toml")),
    ("royal-mail", include_str!("../../carriers/royal-mail.toml")),
    (
        "russian-post",
        include_str!("../../carriers/russian-post.toml"),
    ),
    (
        "russian-post-batch",
        include_str!("../../carriers/russian-post-batch.toml"),
    ),
    ("track24", include_str!("../../carriers/track24.toml")),
    ("ups", include_str!("../../carriers/ups.toml")),
    ("usps", include_str!("../../carriers/usps.toml")),
];

/// The most files of a user.
const FILES_MAX: usize = 1_000;

/// A way to ask a carrier.
#[derive(Clone)]
pub struct Adapter {
    /// Its name in the configuration, in messages and in metrics.
    pub name: &'static str,
    pub file: Arc<File>,
    /// The keys of a carrier's section that must be set.
    pub needs: Vec<&'static str>,
    /// The path segments that its requests add to `base_url`, as far as they are the same for all numbers.
    pub path: Vec<String>,
    /// Whether a user brought it.
    pub is_users: bool,
}

/// Every built-in adapter.
pub static BUILT_IN: LazyLock<Vec<Adapter>> = LazyLock::new(|| {
    let adapter = |(name, text): &(&str, &str)| {
        let file = parse(&format!("carriers/{name}.toml"), text);
        let file = file.unwrap_or_else(|mistakes| {
            let mistakes: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            panic!(
                "a built-in file, which tests read:\n{}",
                mistakes.join("\n")
            )
        });
        Adapter::new(file, false)
    };
    FILES.iter().map(adapter).collect()
});

impl Adapter {
    pub fn new(file: File, is_users: bool) -> Self {
        Self {
            name: interned(&file.about.name),
            needs: file.needs(),
            path: file.request.fixed_path(),
            file: Arc::new(file),
            is_users,
        }
    }

    /// The adapter of an account.
    pub fn make(&self, access: Access) -> Arc<dyn Carrier> {
        Arc::new(Declared::new(self.name, Arc::clone(&self.file), access))
    }
}

/// Reads a carrier's file whose name is `name`. Its codes may be those of a built-in one.
///
/// # Errors
/// Every mistake in it.
pub fn parse(name: &str, text: &str) -> Result<File, Vec<Mistake>> {
    let mut file = File::parse(name, text)?;
    let Some(other) = file.map_of.clone() else {
        return Ok(file);
    };
    let text = FILES.iter().find(|(known, _)| *known == other);
    let theirs = text.map(|(known, text)| File::parse(known, text));
    match theirs {
        Some(Ok(theirs)) if theirs.map_of.is_none() => file.item.with_codes_of(&theirs.item),
        _ => {
            let what = format!(
                "map_of is {}, which is no built-in file with a map",
                shown(&other)
            );
            let advice = "give the name of one, such as russian-post, or write a [map]";
            return Err(vec![Mistake::new(what, name, advice)]);
        }
    }
    Ok(file)
}

/// The built-in adapter of this name.
pub fn built_in(name: &str) -> Option<&'static Adapter> {
    BUILT_IN.iter().find(|adapter| adapter.name == name)
}

/// Every adapter there is: the built-in ones, and those of the user's folder, if it is not empty.
///
/// # Errors
/// Every mistake in the user's files; and the adapters of those that are right.
pub fn all(folder: &str) -> (Vec<Adapter>, Vec<Mistake>) {
    let mut adapters = BUILT_IN.clone();
    let mut mistakes = Vec::new();
    if folder.is_empty() {
        return (adapters, mistakes);
    }
    let files = match files(Path::new(folder)) {
        Ok(files) => files,
        Err(what) => {
            let advice = "give a folder of carriers' files, or leave it out";
            mistakes.push(Mistake::new(what, "key adapters.folder", advice));
            return (adapters, mistakes);
        }
    };
    let mut seen = BTreeSet::new();
    for place in files {
        let name = place.display().to_string();
        let file = read(&place).and_then(|text| parse(&name, &text));
        let file = match file {
            Ok(file) => file,
            Err(more) => {
                mistakes.extend(more);
                continue;
            }
        };
        let about = &file.about;
        let known = adapters.iter().position(|it| it.name == about.name);
        let what = match known {
            _ if !seen.insert(about.name.clone()) => "is the name of another file too",
            Some(_) if !about.replaces => "is the name of a built-in carrier",
            _ => {
                let adapter = Adapter::new(file, true);
                match known {
                    Some(known) => adapters[known] = adapter,
                    None => adapters.push(adapter),
                }
                continue;
            }
        };
        let advice =
            "give it another name, or write replaces = true to use it instead of the built-in one";
        mistakes.push(Mistake::new(
            format!("name, \"{}\", {what}", about.name),
            name,
            advice,
        ));
    }
    adapters.sort_by_key(|adapter| adapter.name);
    (adapters, mistakes)
}

/// The TOML files of a folder, by name.
fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let cannot =
        |error: std::io::Error| format!("cannot read the folder of carriers' files: {error}");
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(cannot)?.take(FILES_MAX * 10) {
        let path = entry.map_err(cannot)?.path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.push(path);
        }
    }
    if files.len() > FILES_MAX {
        return Err(format!(
            "the folder of carriers' files has more than {FILES_MAX} files"
        ));
    }
    files.sort();
    Ok(files)
}

/// The text of a carrier's file.
///
/// # Errors
/// If it cannot be read, or is too long.
pub fn read(place: &Path) -> Result<String, Vec<Mistake>> {
    let wrong = |what: String| {
        let advice = "make it a text file that this user may read";
        vec![Mistake::new(what, place.display().to_string(), advice)]
    };
    let file = fs::File::open(place).map_err(|error| wrong(format!("cannot open it: {error}")))?;
    let mut text = String::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
    read.map_err(|error| wrong(format!("cannot read it: {error}")))?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(wrong(format!("it is longer than {FILE_BYTES_MAX} bytes"))),
        false => Ok(text),
    }
}

/// The name as long as the process lives: the configuration is read once or twice, so there are few.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());
    let mut names = NAMES.lock();
    if let Some(known) = names.get(name) {
        return known;
    }
    let name: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(name);
    name
}
