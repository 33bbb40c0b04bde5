//! Where values come from, and which one wins.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};

use super::key::ApiKey;
use super::settings::{Config, SETTINGS, Setting};
use super::value::Value as _;

/// Variables that begin like ours and belong to the command line's client side.
const FOREIGN_VARIABLES: &[&str] = &[
    "ABIDE_SERVER",
    "ABIDE_CONFIG",
    "ABIDE_STATE_DIR",
    "ABIDE_WEBHOOK_SECRET",
    "ABIDE_JOB_ID",
    "ABIDE_JOB_KIND",
    "ABIDE_JOB_ATTEMPT",
    "ABIDE_LEASE_TOKEN",
];
/// Variables that tests read begin so.
const TEST_PREFIX: &str = "ABIDE_TEST_";
/// How alike two names must be for one to be offered for the other, 0 to 1.
const ALIKE: f64 = 0.7;

/// A variable, a setting, and how the one's value is read as the other's.
type Alias = (&'static str, &'static str, fn(&str) -> String);

/// Environment variables of the systems whose clients the classic routes serve, the setting each one stands for, and
/// how its value is read, and the one under which a client knows its key. A setting's own variable wins over them.
const ALIASES: &[Alias] = &[
    ("ABIDE_API_KEY", "api-key", str::to_owned),
    ("PORT", "listen", |port| format!(":{}", port.trim())),
    ("STATUS_DELAY", "default-job-delay", |millis| {
        format!("{}ms", millis.trim())
    }),
    ("TOTAL_DELAY_SECONDS", "default-job-delay", str::to_owned),
    ("RESET_INTERVAL_SECONDS", "default-job-reset", str::to_owned),
    ("ERROR_CHANCE", "error-chance", str::to_owned),
    ("MIN_DELAY", "min-delay", str::to_owned),
    ("MAX_DELAY", "max-delay", str::to_owned),
];

/// What each layer says. Nothing is read from the process but by [`of_process`](Self::of_process), so tests have the
/// environment they write down.
#[derive(Clone, Debug, Default)]
pub struct Layers {
    flags: Vec<(String, String)>,
    environment: Vec<(String, String)>,
    dotenv: Option<(PathBuf, String)>,
    file: Option<(PathBuf, String)>,
}

/// The configuration, and where each value came from. Shown as a TOML file that says the same.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// The configuration.
    pub config: Config,
    sources: BTreeMap<&'static str, Source>,
}

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The default.
    Default,
    /// The file.
    File(PathBuf),
    /// That variable in the `.env` file.
    DotEnv(String),
    /// That environment variable.
    Environment(String),
    /// A flag.
    Flag,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// There is no such setting.
    #[error("there is no setting `{key}` ({place}){}", nearest.as_ref().map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    Unknown {
        /// What was written.
        key: String,
        /// Where.
        place: String,
        /// The nearest name that there is.
        nearest: Option<String>,
    },
    /// A setting has a value it can't have.
    #[error("`{key}` ({place}): {detail}")]
    Invalid {
        /// The setting.
        key: String,
        /// Where the value came from.
        place: String,
        /// What is wrong with it.
        detail: String,
    },
    /// A file can't be read.
    #[error("{} can't be read: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl Layers {
    /// The layers of this process: its environment, `.env` in the working directory if it exists, and the file, by
    /// default `abide.toml` in the working directory if it exists.
    ///
    /// # Errors
    ///
    /// A file is there and can't be read.
    pub fn of_process(file: Option<&Path>) -> Result<Self, ConfigError> {
        let named = file
            .map(Path::to_owned)
            .or_else(|| std::env::var_os("ABIDE_CONFIG").map(Into::into));
        let file = match named {
            Some(path) => {
                let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
                Some((path, text))
            }
            None => optional("abide.toml")?,
        };
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        Ok(Self {
            flags: Vec::new(),
            environment: environment.collect(),
            dotenv: optional(".env")?,
            file,
        })
    }

    /// Adds a flag. A list's values add up; of anything else the last one wins.
    #[must_use]
    pub fn flag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.flags.push((name.into(), value.into()));
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// The text of the `.env` file.
    #[must_use]
    pub fn dotenv(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.dotenv = Some((path.into(), text.into()));
        self
    }

    /// The text of the TOML file.
    #[must_use]
    pub fn file(mut self, path: impl Into<PathBuf>, text: impl Into<String>) -> Self {
        self.file = Some((path.into(), text.into()));
        self
    }

    /// Puts the layers together.
    ///
    /// # Errors
    ///
    /// A key that there isn't, a value that can't be, values that don't go together, a file that can't be read.
    pub fn resolve(&self) -> Result<Resolved, ConfigError> {
        let mut said: BTreeMap<&'static str, (Source, String)> = BTreeMap::new();
        if let Some((path, text)) = &self.file {
            said.extend(of_toml(path, text)?);
        }
        if let Some((path, text)) = &self.dotenv {
            let pairs: Result<Vec<_>, _> = dotenvy::from_read_iter(text.as_bytes()).collect();
            let pairs = pairs.map_err(|error| ConfigError::File {
                path: path.clone(),
                source: error.into(),
            })?;
            said.extend(of_variables(&pairs, Source::DotEnv)?);
        }
        said.extend(of_variables(&self.environment, Source::Environment)?);
        said.extend(of_flags(&self.flags)?);
        // Images set the directory for those that want one.
        if said.contains_key("database")
            && let Some((Source::Environment(_), _)) = said.get("data")
        {
            said.remove("data");
        }

        let mut config = Config::default();
        let mut sources = BTreeMap::new();
        for setting in SETTINGS {
            let Some((source, text)) = said.remove(setting.name) else {
                continue;
            };
            (setting.set)(&mut config, &text).map_err(|detail| ConfigError::Invalid {
                key: setting.name.to_owned(),
                place: source.to_string(),
                detail,
            })?;
            sources.insert(setting.name, source);
        }
        if let Some(path) = &config.api_key_file {
            let keys = read_keys(path)?;
            config.api_keys.extend(keys);
        }
        config
            .check()
            .map_err(|(key, detail)| ConfigError::Invalid {
                key: key.to_owned(),
                place: sources.get(key).unwrap_or(&Source::Default).to_string(),
                detail,
            })?;
        Ok(Resolved { config, sources })
    }
}

impl Setting {
    /// The environment variables of ours that it is read from, the one that wins first.
    pub fn variables(&self) -> impl Iterator<Item = &'static str> {
        let aliases = ALIASES
            .iter()
            .filter(|(_, setting, _)| *setting == self.name);
        let ours = aliases
            .map(|(alias, ..)| *alias)
            .filter(|alias| alias.starts_with("ABIDE_"));
        std::iter::once(self.variable).chain(ours)
    }
}

impl Resolved {
    /// Where the value of that setting came from.
    #[must_use]
    pub fn source(&self, name: &str) -> &Source {
        self.sources.get(name).unwrap_or(&Source::Default)
    }

    /// The files that settings came from, also those that were found in the working directory.
    #[must_use]
    pub fn files(&self) -> BTreeSet<PathBuf> {
        let files = self.sources.values().filter_map(|source| match source {
            Source::File(path) => Some(path.clone()),
            Source::DotEnv(_) => Some(".env".into()),
            Source::Default | Source::Environment(_) | Source::Flag => None,
        });
        files.collect()
    }

    /// Every setting with its value as it would be written, secrets redacted, in the order of the table.
    pub fn entries(&self) -> impl Iterator<Item = (&'static Setting, String)> {
        SETTINGS
            .iter()
            .map(|setting| (setting, (setting.show)(&self.config)))
    }
}

impl fmt::Display for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (setting, text) in self.entries() {
            let bare = text.parse::<bool>().is_ok() || text.parse::<u64>().is_ok();
            let value = if bare {
                text
            } else {
                toml::Value::String(text).to_string()
            };
            writeln!(
                f,
                "{} = {value}  # {}",
                setting.name,
                self.source(setting.name)
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::DotEnv(name) => write!(f, ".env {name}"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag => f.write_str("flag"),
        }
    }
}

type Said = Vec<(&'static str, (Source, String))>;

fn of_toml(path: &Path, text: &str) -> Result<Said, ConfigError> {
    let table: toml::Table = text
        .parse()
        .map_err(|error: toml::de::Error| ConfigError::File {
            path: path.to_owned(),
            source: error.into(),
        })?;
    let source = Source::File(path.to_owned());
    table
        .iter()
        .map(|(key, value)| {
            let setting = find(&key.replace('_', "-"))
                .ok_or_else(|| unknown(key, &source, SETTINGS.iter().map(|s| s.name)))?;
            Ok((setting.name, (source.clone(), text_of(value))))
        })
        .collect()
}

/// Every form of a value in the file as the text that the other layers would have.
fn text_of(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(","),
        // A duration law, in the JSON that it has in the API.
        toml::Value::Table(table) => serde_json::to_string(table).unwrap_or_default(),
        other => other.to_string(),
    }
}

fn of_variables(
    pairs: &[(String, String)],
    source: fn(String) -> Source,
) -> Result<Said, ConfigError> {
    let mut said = Said::new();
    for (name, value) in pairs {
        let alias = ALIASES.iter().find(|(alias, ..)| alias == name);
        let own = SETTINGS.iter().find(|s| s.variable == name);
        if let Some(setting) = alias.map(|alias| alias.1).or(own.map(|own| own.name)) {
            let value = alias.map_or_else(|| value.clone(), |(.., read)| read(value));
            let said_before = said.iter_mut().find(|(known, _)| *known == setting);
            match said_before.filter(|_| find(setting).is_some_and(|setting| setting.is_list)) {
                Some((_, (Source::Environment(names) | Source::DotEnv(names), text))) => {
                    *names = format!("{names} and {name}");
                    // Aliases before the others, so that they lose where the last one counts.
                    *text = match alias {
                        Some(_) => format!("{value},{text}"),
                        None => format!("{text},{value}"),
                    };
                }
                // Aliases before the others, so that they lose.
                _ if alias.is_some() => said.insert(0, (setting, (source(name.clone()), value))),
                _ => said.push((setting, (source(name.clone()), value))),
            }
        } else if name.starts_with("ABIDE_")
            && !name.starts_with(TEST_PREFIX)
            && !FOREIGN_VARIABLES.contains(&name.as_str())
        {
            let known = SETTINGS.iter().map(|s| s.variable);
            return Err(unknown(name, &source(name.clone()), known));
        }
    }
    Ok(said)
}

fn of_flags(flags: &[(String, String)]) -> Result<Said, ConfigError> {
    let mut said = Said::new();
    for (name, value) in flags {
        let setting = find(name)
            .ok_or_else(|| unknown(name, &Source::Flag, SETTINGS.iter().map(|s| s.name)))?;
        match said.iter_mut().find(|(name, _)| *name == setting.name) {
            Some((_, (_, text))) if setting.is_list => {
                text.push(',');
                text.push_str(value);
            }
            Some((_, (_, text))) => text.clone_from(value),
            None => said.push((setting.name, (Source::Flag, value.clone()))),
        }
    }
    Ok(said)
}

fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.name == name)
}

fn unknown<'a>(key: &str, source: &Source, known: impl Iterator<Item = &'a str>) -> ConfigError {
    let nearest = known
        .map(|name| (strsim::jaro_winkler(key, name), name))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|(a, _), (b, _)| a.total_cmp(b));
    ConfigError::Unknown {
        key: key.to_owned(),
        place: source.to_string(),
        nearest: nearest.map(|(_, name)| name.to_owned()),
    }
}

fn read_keys(path: &Path) -> Result<Vec<ApiKey>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(unreadable(path))?;
    let lines = text.strip_prefix('\u{feff}').unwrap_or(&text).lines();
    let is_comment = |(at, _): &(usize, &str), line: &str| {
        line[..*at]
            .chars()
            .next_back()
            .is_none_or(char::is_whitespace)
    };
    lines
        .map(|line| {
            let comment = line
                .match_indices('#')
                .find(|found| is_comment(found, line));
            comment.map_or(line, |(at, _)| &line[..at]).trim()
        })
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            ApiKey::parse(line).map_err(|detail| ConfigError::Invalid {
                key: "api-key-file".to_owned(),
                place: format!("{} line {}", path.display(), index + 1),
                detail,
            })
        })
        .collect()
}

fn optional(name: &str) -> Result<Option<(PathBuf, String)>, ConfigError> {
    let path = PathBuf::from(name);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some((path, text))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unreadable(&path)(error)),
    }
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> ConfigError {
    let path = path.to_owned();
    move |error| ConfigError::File {
        path,
        source: error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_layer_wins_over_the_ones_below() {
        let mut layers = Layers::default();
        let seen = |layers: &Layers| {
            let resolved = layers.resolve().unwrap();
            (
                resolved.config.drain.to_string(),
                resolved.source("drain").clone(),
            )
        };
        assert_eq!(seen(&layers), ("10s".to_owned(), Source::Default));
        layers = layers.file("a.toml", "drain = 1");
        assert_eq!(
            seen(&layers),
            ("1s".to_owned(), Source::File("a.toml".into()))
        );
        layers = layers.dotenv(".env", "# talk\nABIDE_DRAIN=2s\nOTHER=x\n");
        assert_eq!(
            seen(&layers),
            ("2s".to_owned(), Source::DotEnv("ABIDE_DRAIN".to_owned()))
        );
        let both = layers.clone().file("a.toml", "retention = \"1h\"");
        let files: Vec<_> = both.resolve().unwrap().files().into_iter().collect();
        assert_eq!(files, [PathBuf::from(".env"), "a.toml".into()]);
        layers = layers.variable("ABIDE_DRAIN", "3");
        assert_eq!(
            seen(&layers),
            (
                "3s".to_owned(),
                Source::Environment("ABIDE_DRAIN".to_owned())
            )
        );
        layers = layers.flag("drain", "4s");
        assert_eq!(seen(&layers), ("4s".to_owned(), Source::Flag));
    }

    #[test]
    fn an_unknown_key_is_refused_and_the_nearest_named() {
        let table = [
            (
                Layers::default().flag("rate-limt", "1/s"),
                "did you mean `rate-limit`?",
            ),
            (
                Layers::default().variable("ABIDE_RATELIMIT", "1/s"),
                "did you mean `ABIDE_RATE_LIMIT`?",
            ),
            (
                Layers::default().file("a.toml", "holdmax = 3"),
                "did you mean `hold-max`?",
            ),
            (
                Layers::default().file("a.toml", "zzzz = 3"),
                "no setting `zzzz` (file a.toml)",
            ),
            (
                Layers::default().dotenv(".env", "ABIDE_SPED=3"),
                "(.env ABIDE_SPED); did you mean `ABIDE_SPEED`?",
            ),
        ];
        for (layers, said) in table {
            let error = layers.resolve().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
        let foreign = Layers::default()
            .variable("ABIDE_SERVER", "http://x")
            .variable("ABIDE_TEST_SEED", "1")
            .variable("ABIDE_WEBHOOK_SECRET", "whsec_x")
            .variable("HOME", "/");
        foreign.resolve().unwrap();
    }

    #[test]
    fn a_wrong_value_says_where_it_came_from() {
        let table = [
            (
                Layers::default().flag("hold-max", "2h"),
                "`hold-max` (flag): must be 1s to 10m, but is 2h",
            ),
            (
                Layers::default().variable("ERROR_CHANCE", "7"),
                "`error-chance` (environment ERROR_CHANCE): must be between",
            ),
            (
                Layers::default().variable("PORT", "http"),
                "`listen` (environment PORT)",
            ),
            (
                Layers::default().file("a.toml", "speed = 0"),
                "`speed` (file a.toml)",
            ),
            (
                Layers::default().file("a.toml", "drain = "),
                "a.toml can't be read",
            ),
            (
                Layers::default().variable("MIN_DELAY", "40"),
                "must not be more than",
            ),
            (
                Layers::default().flag("clock", "manual").flag("speed", "2"),
                "does nothing with --clock manual",
            ),
            (
                Layers::default().flag("listen", "0.0.0.0:80"),
                "--allow-anonymous",
            ),
            (
                Layers::default()
                    .flag("webhook-allow", "none")
                    .flag("webhook-allow", "10.0.0.0/8"),
                "either none",
            ),
        ];
        for (layers, said) in table {
            let error = layers.resolve().unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn the_variables_of_the_classic_servers_are_known() {
        let config = |pairs: &[(&str, &str)]| {
            let layers = pairs
                .iter()
                .fold(Layers::default(), |layers, (name, value)| {
                    layers.variable(*name, *value)
                });
            layers.resolve().unwrap().config
        };
        let one = config(&[("PORT", "9001"), ("STATUS_DELAY", "1500")]);
        assert_eq!(one.listen.main.to_string(), "127.0.0.1:9001");
        assert_eq!(one.default_job_delay.unwrap().show(), "1s 500ms");
        let two = config(&[
            ("TOTAL_DELAY_SECONDS", "30"),
            ("ERROR_CHANCE", "0.1"),
            ("RESET_INTERVAL_SECONDS", "20"),
        ]);
        assert_eq!(two.default_job_reset.unwrap().to_string(), "20s");
        assert_eq!(two.simulate_default_job().duration.unwrap().show(), "30s");
        assert_eq!(two.simulate().outcome.unwrap().error_chance, Some(0.1));
        let three = config(&[("MIN_DELAY", "1"), ("MAX_DELAY", "2.5")]);
        assert_eq!(
            three.simulate().duration.unwrap().show(),
            "uniform:1s:2s 500ms"
        );
        let ours_wins = config(&[("ABIDE_LISTEN", "127.0.0.1:1"), ("PORT", "2")]);
        assert_eq!(ours_wins.listen.main.port(), 1);
    }

    #[test]
    fn what_is_shown_is_a_file_that_says_the_same_but_for_secrets() {
        let resolved = Layers::default()
            .flag("api-key", "swordfish-swordfish-1")
            .flag("api-key", "tunafish-tunafish-tunafish")
            .flag("webhook-allow", "10.0.0.0/8")
            .file("a.toml", "duration = { lognormal = { median = '20s', sigma = 0.5 } }\nwebhook_retry = ['0s', 5]")
            .resolve()
            .unwrap();
        assert_eq!(resolved.config.api_keys.len(), 2);
        let shown = resolved.to_string();
        assert!(
            shown.contains("listen = \"127.0.0.1:8080\"  # default"),
            "{shown}"
        );
        assert!(
            shown.contains("duration = \"lognormal:20s:0.5\"  # file a.toml"),
            "{shown}"
        );
        assert!(!shown.contains("fish"), "{shown}");
        assert!(!format!("{resolved:?}").contains("fish"));
        // A secret that isn't there is no key.
        assert!(Layers::default().file("b.toml", &shown).resolve().is_err());
        let shown = shown.replace("api-key =", "# api-key =");
        let again = Layers::default().file("b.toml", &shown).resolve().unwrap();
        let mut expected = resolved.config;
        expected.api_keys = again.config.api_keys.clone();
        assert_eq!(again.config, expected);
    }

    #[test]
    fn keys_come_from_a_file_too() {
        const FILE: &str = "\u{feff}# ours\r\nann:admin:alpha-0123456789-#-alpha\r\n\r\nbeta-0123456789-beta # the other\r\n";
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("keys");
        std::fs::write(&path, FILE).unwrap();
        let layers = Layers::default()
            .flag("listen", "0.0.0.0:80")
            .flag("api-key-file", path.to_str().unwrap());
        let keys = layers.resolve().unwrap().config.api_keys;
        let keys: Vec<_> = keys.iter().map(|key| key.secret.reveal()).collect();
        assert_eq!(keys, ["alpha-0123456789-#-alpha", "beta-0123456789-beta"]);
        std::fs::write(&path, "alpha-0123456789 beta\n").unwrap();
        let error = layers.resolve().unwrap_err().to_string();
        assert!(
            error.contains("line 1") && !error.contains("alpha"),
            "{error}"
        );
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_database_wins_over_the_directory_of_the_environment_and_excludes_that_of_a_flag() {
        let layers = Layers::default()
            .variable("ABIDE_DATABASE", "postgres://ann@x/jobs")
            .variable("ABIDE_DATA", "/data");
        let config = layers.resolve().unwrap().config;
        assert_eq!(config.data, Config::default().data);
        let error = layers.flag("data", "jobs").resolve().unwrap_err();
        assert!(error.to_string().contains("--database"), "{error}");
    }

    #[test]
    fn both_variables_of_keys_count_and_a_wrong_one_is_named() {
        let keys = "ann:admin:alpha-0123456789-alpha";
        let layers = Layers::default()
            .variable("ABIDE_API_KEYS", keys)
            .variable("ABIDE_API_KEY", "beta-0123456789-beta");
        let resolved = layers.resolve().unwrap();
        assert_eq!(resolved.config.api_keys.len(), 2);
        let place = resolved.source("api-key").to_string();
        assert_eq!(place, "environment ABIDE_API_KEYS and ABIDE_API_KEY");
        for (name, key) in [
            ("ABIDE_API_KEY", "short"),
            ("ABIDE_API_KEYS", "ann:user:short"),
        ] {
            let error = Layers::default().variable(name, key).resolve().unwrap_err();
            let error = error.to_string();
            assert!(
                error.contains(name) && error.contains("20 to 256"),
                "{error}"
            );
        }
        let twice = format!("{keys},bob:user:alpha-0123456789-alpha");
        let error = Layers::default()
            .flag("api-key", twice)
            .resolve()
            .unwrap_err();
        assert!(error.to_string().contains("under two names"), "{error}");
    }
}
