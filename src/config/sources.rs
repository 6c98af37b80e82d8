//! Where configuration comes from, and reading all of it.

use super::error::ConfigError;
use super::layer::Layer;
use super::resolved::{Config, config_of};
use super::step;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// Configuration files larger than this are refused; a real one has some kilobytes.
const MAX_FILE: u64 = 1 << 20;

/// Variables with this prefix are configuration. The two underscores keep clear of
/// variables that clusters set for a service that happens to be called "agent".
const PREFIX: &str = "AGENT__";

/// What is read, lowest first.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The main file; it may be missing unless `explicit`.
    pub main: PathBuf,
    /// The directory of further files; it may be missing.
    pub directory: Option<PathBuf>,
    /// Variables by name and value.
    pub environment: Vec<(String, String)>,
    /// The main file was named by a person, so it must be there.
    pub explicit: bool,
    /// Where nobody says otherwise this is an EC2 machine, not a container.
    pub machine: bool,
}

impl Sources {
    /// The standard places, and this process's environment.
    pub fn standard() -> Self {
        Self {
            main: "/etc/agent/agent.toml".into(),
            directory: Some("/etc/agent/conf.d".into()),
            environment: agent_variables(std::env::vars_os()),
            explicit: false,
            machine: false,
        }
    }

    /// Nothing: the defaults stand alone.
    pub fn nothing() -> Self {
        Self {
            main: PathBuf::new(),
            directory: None,
            environment: Vec::new(),
            explicit: false,
            machine: false,
        }
    }

    /// One named file in place of the standard ones, and this process's environment.
    pub fn file(path: &Path) -> Self {
        Self { main: path.into(), directory: None, explicit: true, ..Self::standard() }
    }

    /// The files to read, in order, each with whether it must be there. A directory that
    /// is there but cannot be listed stands for itself.
    pub fn files(&self) -> Vec<(PathBuf, bool)> {
        let mut all = vec![(self.main.clone(), self.explicit)];
        let Some(directory) = &self.directory else { return all };
        match fs::read_dir(directory) {
            Ok(entries) => {
                let mut more: Vec<PathBuf> = entries
                    .flatten()
                    .map(|e| e.path())
                    .filter(|p| p.extension().is_some_and(|x| x == "toml"))
                    .collect();
                more.sort();
                all.extend(more.into_iter().map(|p| (p, true)));
            }
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(_) => all.push((directory.clone(), true)),
        }
        all
    }
}

fn agent_variables(
    all: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
) -> Vec<(String, String)> {
    let mut found: Vec<_> = all
        .filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            name.starts_with(PREFIX).then(|| (name, value.to_string_lossy().into_owned()))
        })
        .collect();
    found.sort();
    found
}

/// Why the configuration cannot be used.
#[derive(Clone, Debug)]
pub struct LoadError {
    /// All errors of all sources, the first of each file.
    pub errors: Vec<ConfigError>,
    /// What the sources without an error say: `boot.on_failure` holds although another
    /// file is broken.
    pub usable: Box<Config>,
}

/// Reads every source and resolves them to one checked [`Config`].
///
/// # Errors
/// Any source has an error.
pub fn load(sources: &Sources) -> Result<Config, LoadError> {
    let mut lowest = Layer::default();
    lowest.ec2.enabled = sources.machine.then_some(true);
    let mut layers = Vec::new();
    let mut errors = Vec::new();
    let mut read = Vec::new();
    let mut take = |origin: String, result: Result<Layer, ConfigError>| match result {
        Ok(layer) => {
            layers.push(layer);
            read.push(origin);
        }
        Err(e) => errors.push(e),
    };
    for (path, required) in sources.files() {
        let origin = path.display().to_string();
        match read_file(&path) {
            Ok(text) => take(origin.clone(), check_text(&origin, &text)),
            Err(e) if e.kind() == ErrorKind::NotFound && !required => {}
            Err(e) => {
                let message = format!("cannot be read: {e}");
                let hint = "make it readable, or remove it";
                take(origin.clone(), Err(ConfigError::of(&origin, message, hint)));
            }
        }
    }
    for (name, value) in &sources.environment {
        take(format!("${name}"), from_variable(name, value));
    }
    let merged = layers.into_iter().fold(lowest, |lower, upper| upper.over(lower));
    let origin = read.last().cloned().unwrap_or_else(|| "defaults".into());
    // A broken file may be the one that says what is missing here.
    let whole = match errors.as_slice() {
        [] => step::check_whole(merged.step.as_deref().unwrap_or_default()),
        _ => Ok(()),
    };
    let mut config = config_of(merged, &origin).unwrap_or_else(|e| {
        errors.push(e);
        Config::default()
    });
    errors.extend(whole.err());
    config.sources = read;
    if errors.is_empty() { Ok(config) } else { Err(LoadError { errors, usable: config.into() }) }
}

fn read_file(path: &Path) -> std::io::Result<String> {
    // Asked before the open, which would wait for a writer of a FIFO.
    if !fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let file = fs::File::open(path)?;
    let mut text = String::new();
    file.take(MAX_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_FILE {
        return Err(std::io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// Checks one file's text by itself.
///
/// # Errors
/// The first error in it, with line and column.
pub fn check_text(origin: &str, text: &str) -> Result<Layer, ConfigError> {
    let mut layer: Layer =
        toml::from_str(text).map_err(|e| ConfigError::in_text(origin, text, &e))?;
    step::locate(layer.step.as_deref_mut().unwrap_or_default(), origin, text);
    // What only makes sense as a whole (a volume without a target) is found here too.
    config_of(layer.clone(), origin)?;
    Ok(layer)
}

/// `AGENT__BOOT__ON_FAILURE=hold` says what `[boot] on_failure = "hold"` says. The
/// value is read as TOML where it is a number, a truth value or a list, else as text.
fn from_variable(name: &str, value: &str) -> Result<Layer, ConfigError> {
    let path = name.strip_prefix(PREFIX).unwrap_or(name).to_lowercase();
    let mut keys = path.split("__");
    if path.starts_with("volume") {
        return Err(ConfigError::of(
            &format!("environment variable {name}"),
            "volumes cannot be set by a variable",
            "write a [[volume]] in a file in /etc/agent/conf.d",
        ));
    }
    if path.starts_with("step") {
        return Err(ConfigError::of(
            &format!("environment variable {name}"),
            "steps cannot be set by a variable",
            "write a [[step]] in a file in /etc/agent/conf.d",
        ));
    }
    let (Some(section), Some(key), None) = (keys.next(), keys.next(), keys.next()) else {
        return Err(ConfigError::of(
            &format!("environment variable {name}"),
            "is not of the form AGENT__SECTION__KEY",
            "such as AGENT__BOOT__ON_FAILURE=hold",
        ));
    };
    let written = toml::from_str::<toml::Table>(&format!("x = {value}"))
        .ok()
        .and_then(|mut t| t.remove("x"))
        .filter(|v| !matches!(v, toml::Value::Datetime(_)));
    let as_text = toml::Value::String(value.to_owned());
    let parse = |v: toml::Value| {
        let section_table = toml::Table::from_iter([(key.to_owned(), v)]);
        let table =
            toml::Table::from_iter([(section.to_owned(), toml::Value::Table(section_table))]);
        Layer::deserialize_table(table)
    };
    // A user called "1000" is text in spite of its looks.
    written
        .map_or_else(|| parse(as_text.clone()), |v| parse(v).or_else(|_| parse(as_text.clone())))
        .map_err(|e| ConfigError::in_variable(name, &e))
}

impl Layer {
    fn deserialize_table(table: toml::Table) -> Result<Self, toml::de::Error> {
        serde::Deserialize::deserialize(table)
    }
}

#[cfg(test)]
mod tests {
    use super::super::value::{OnBootFailure, Span};
    use super::*;

    fn sources(dir: &Path, environment: &[(&str, &str)]) -> Sources {
        Sources {
            main: dir.join("agent.toml"),
            directory: Some(dir.join("conf.d")),
            environment: environment.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            explicit: false,
            machine: false,
        }
    }

    #[test]
    fn nothing_written_gives_the_defaults() {
        let tmp = tempfile::tempdir().unwrap();
        let config = load(&sources(tmp.path(), &[])).unwrap();
        assert_eq!(config.boot.on_failure, OnBootFailure::Exit);
        assert_eq!(config.volumes.len(), 1);
    }

    #[test]
    fn later_layers_replace_single_keys_and_amend_volumes_by_target() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir(tmp.path().join("conf.d")).unwrap();
        let put = |name: &str, text: &str| fs::write(tmp.path().join(name), text).unwrap();
        put(
            "agent.toml",
            "[boot]\ndeadline='5m'\non_failure='exit'\n[[volume]]\ntarget='/data'\nmin_inodes=5\n",
        );
        put("conf.d/20-b.toml", "[boot]\ndeadline='7m'\n");
        put(
            "conf.d/10-a.toml",
            "[boot]\ndeadline='6m'\n[[volume]]\ntarget='/data'\nrequired=false\n[[volume]]\ntarget='/more'\n",
        );
        put("conf.d/ignored.txt", "not toml");
        let config = load(&sources(tmp.path(), &[("AGENT__BOOT__ON_FAILURE", "hold")])).unwrap();
        assert_eq!(config.boot.deadline, Span::seconds(420));
        assert_eq!(config.boot.on_failure, OnBootFailure::Hold);
        assert_eq!(config.volumes.len(), 2);
        assert_eq!((config.volumes[0].min_inodes, config.volumes[0].required), (5, false));
    }

    #[test]
    fn a_variable_is_checked_like_a_file() {
        let tmp = tempfile::tempdir().unwrap();
        let errors = load(&sources(
            tmp.path(),
            &[
                ("AGENT__BOOT__DEADLIN", "5m"),
                ("AGENT__TOOLS__ATTEMPTS", "many"),
                ("AGENT__X", "1"),
            ],
        ))
        .unwrap_err()
        .errors;
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(
            text[0].contains("AGENT__BOOT__DEADLIN")
                && text[0].contains("did you mean `deadline`?"),
            "{text:?}"
        );
        assert!(text[1].contains("AGENT__TOOLS__ATTEMPTS"), "{text:?}");
        assert!(text[2].contains("AGENT__SECTION__KEY"), "{text:?}");
    }

    #[test]
    fn every_broken_file_is_reported() {
        let tmp = tempfile::tempdir().unwrap();
        fs::create_dir(tmp.path().join("conf.d")).unwrap();
        fs::write(tmp.path().join("agent.toml"), "[boot]\n\n  deadlin = '5m'\n").unwrap();
        fs::write(tmp.path().join("conf.d/a.toml"), "[boot\n").unwrap();
        let hold = [("AGENT__BOOT__ON_FAILURE", "hold")];
        let e = load(&sources(tmp.path(), &hold)).unwrap_err();
        assert_eq!(e.errors.len(), 2);
        assert_eq!(e.errors[0].place, Some((3, 3)));
        assert_eq!(e.usable.boot.on_failure, OnBootFailure::Hold, "what is whole still holds");
    }
}
