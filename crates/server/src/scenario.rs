//! Scenarios: the simulator's defaults under a name.
//!
//! A scenario is a TOML file with the members that `simulate` has on a job, and a `description`. Some are built in:
//!
//! ```
//! use abide_server::scenario::Scenario;
//!
//! let flaky = Scenario::open("flaky")?;
//! assert!(flaky.simulate.faults.is_some_and(|faults| faults.len() > 3));
//! assert!(Scenario::open("flakey").unwrap_err().contains("did you mean `flaky`?"));
//! # Ok::<(), String>(())
//! ```

use std::path::Path;

use abide_wire::Simulate;
use serde::Deserialize as _;

/// The largest file that is read as a scenario, in bytes.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Those that are built in, by name.
const BUILT_IN: &[(&str, &str)] = &[
    ("flaky", include_str!("../scenarios/flaky.toml")),
    (
        "lost-webhooks",
        include_str!("../scenarios/lost-webhooks.toml"),
    ),
    (
        "mute-streams",
        include_str!("../scenarios/mute-streams.toml"),
    ),
    (
        "rate-limited",
        include_str!("../scenarios/rate-limited.toml"),
    ),
    ("slow-start", include_str!("../scenarios/slow-start.toml")),
    ("stale-reads", include_str!("../scenarios/stale-reads.toml")),
    ("stuck", include_str!("../scenarios/stuck.toml")),
];

/// The simulator's defaults under a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    /// What it is called: a built-in name, or the file's without its ending.
    pub name: String,
    /// What it is for, in a sentence.
    pub description: String,
    /// What it says; the rest is as without it.
    pub simulate: Simulate,
    /// What was written to get it.
    source: String,
}

impl Scenario {
    /// The names of those that are built in.
    pub fn names() -> impl Iterator<Item = &'static str> + Clone {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// Those that are built in.
    pub fn built_in() -> impl Iterator<Item = Self> {
        BUILT_IN
            .iter()
            .map(|(name, text)| Self::read(name, name, text).expect("the built-in ones are tested"))
    }

    /// The built-in one of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::built_in().find(|scenario| scenario.name == name)
    }

    /// The built-in one of that name, else that of the file at that path. Reads the file.
    ///
    /// # Errors
    ///
    /// There is no such file, or it isn't a scenario: what is wrong, naming the member.
    pub fn open(source: &str) -> Result<Self, String> {
        if let Some(scenario) = Self::named(source) {
            return Ok(scenario);
        }
        let path = Path::new(source);
        let text = read_bounded(path).map_err(|error| {
            let nearest = Self::names()
                .map(|name| (strsim::jaro_winkler(source, name), name))
                .filter(|(alike, _)| *alike > 0.8)
                .max_by(|(a, _), (b, _)| a.total_cmp(b));
            let hint = match nearest {
                Some((_, name)) => format!("did you mean `{name}`?"),
                None => format!("built in are {}", Self::names().collect::<Vec<_>>().join(", ")),
            };
            format!(
                "`{source}` is neither a built-in scenario nor a file that can be read: {error}; {hint}"
            )
        })?;
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        Self::read(&name, source, &text).map_err(|error| format!("{source}: {error}"))
    }

    fn read(name: &str, source: &str, text: &str) -> Result<Self, String> {
        let mut table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
        let description = match table.remove("description") {
            None => String::new(),
            Some(toml::Value::String(text)) => text,
            Some(_) => return Err("`description` must be text".to_owned()),
        };
        let simulate = Simulate::deserialize(table).map_err(|error| error.to_string())?;
        simulate.validate()?;
        if simulate.key.is_some() {
            return Err("`key` would have every job run alike; set it on a job".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            description,
            simulate,
            source: source.to_owned(),
        })
    }

    /// What was written to get it: [`Scenario::open`] reads it.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }
}

fn read_bounded(path: &Path) -> std::io::Result<String> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(std::io::Error::other("it is larger than a scenario can be"));
    }
    std::fs::read_to_string(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_ones_are_what_their_files_say() {
        let all: Vec<_> = Scenario::built_in().collect();
        assert!(all.is_sorted_by_key(|scenario| scenario.name.clone()));
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let files = std::fs::read_dir(&here).unwrap().count();
        assert_eq!(all.len(), files, "a file that is not built in");
        for scenario in all {
            assert!(scenario.description.len() > 20, "{}", scenario.name);
            assert_eq!(Scenario::named(&scenario.name), Some(scenario));
        }
    }

    #[test]
    fn a_file_is_read_and_its_faults_are_named() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("mine.toml");
        let open = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Scenario::open(path.to_str().unwrap())
        };
        let mine = open(
            "description = 'Mine'\nduration = { uniform = { min = '1s', max = 2 } }\n\
             [outcome]\nerror_chance = 0.5\n[[stages]]\nname = 'a'\nshare = 1\n[[faults]]\nfault = 'error'\nfirst = 2\n",
        )
        .unwrap();
        assert_eq!(mine.name, "mine");
        assert_eq!(mine.simulate.faults.as_ref().unwrap()[0].first, Some(2));
        for (text, said) in [
            ("durations = '2s'", "unknown field `durations`"),
            ("[[faults]]\nfault = 'odd'", "unknown variant `odd`"),
            ("[outcome]\nerror_chance = 7", "between 0 and 1"),
            ("key = 'x'", "set it on a job"),
            ("faults = 3", "expected a sequence"),
            ("x = ", "expected"),
        ] {
            let error = open(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
