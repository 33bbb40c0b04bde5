//! `abide serve`

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Write as _};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::builder::{PossibleValue, StringValueParser, TypedValueParser};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches};
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;

use abide_server::config::{Config, Layers, Resolved, SETTINGS, Setting};
use abide_server::http::dialects;
use abide_server::scenario::Scenario;
use abide_server::{Reload, Server};

use crate::announce;
use crate::exit::{Failure, USAGE};
use crate::interrupt::Signals;
use crate::telemetry::Telemetry;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide serve --data jobs                          keep jobs in ./jobs
  abide serve --ephemeral --listen :0 --speed 60   keep nothing; any free port; a minute a second
  abide serve --clock manual --seed 7              time stands still until you advance it";

/// How long a hangup waits for the files that it has read again. A pipe may have nothing to say.
const RELOAD_MAX: Duration = Duration::from_secs(10);
/// The most reads that may be left hanging, each with its thread.
const RELOADS_HANGING_MAX: usize = 4;

/// The setting that `--json` stands for.
const LOG_FORMAT: &str = "log-format";

/// The settings that were given as flags. Made from the server's own table, so that there is one list of them.
#[derive(Clone, Debug)]
pub(crate) struct SettingFlags {
    file: Option<PathBuf>,
    flags: Vec<(String, String)>,
}

impl SettingFlags {
    /// The configuration of flags, environment, `.env`, file and defaults.
    pub(crate) fn resolve(&self) -> anyhow::Result<Resolved> {
        let usage =
            |error: abide_server::config::ConfigError| Failure::new(USAGE, error.to_string());
        let mut layers = Layers::of_process(self.file.as_deref()).map_err(usage)?;
        for (name, value) in &self.flags {
            layers = layers.flag(name, value);
        }
        Ok(layers.resolve().map_err(usage)?)
    }
}

/// A setting as a flag, with its help and what follows it.
pub(crate) fn flag(setting: &Setting, more: &str) -> Arg {
    // A paragraph of the settings' documentation, which has its own line ends.
    let mut help = setting
        .help
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ");
    let default = (setting.default)();
    if !default.is_empty() {
        help = format!("{help} [default: {default}]");
    }
    let arg = Arg::new(setting.name)
        .long(setting.name)
        .value_name(setting.value_name)
        .help_heading(setting.heading)
        .value_parser(Words::of(setting))
        .hide_possible_values(true)
        .help(format!("{help}{more}"));
    match (setting.is_switch, setting.is_list) {
        (true, _) => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        (_, true) => arg.action(ArgAction::Append),
        _ => arg,
    }
}

/// The words that a shell completes a setting with. Whether others will do is the server's to say.
#[derive(Clone, Debug)]
struct Words(Vec<&'static str>);

impl Words {
    fn of(setting: &Setting) -> Self {
        Self(match setting.name {
            "scenario" => Scenario::names().collect(),
            "dialects" => ["all", "none"].into_iter().chain(dialects()).collect(),
            // As help shows them: `real|manual`, while `CIDR` stands for something.
            _ => {
                let words = setting.value_name.split('|');
                let is_word = |word: &&str| {
                    word.bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
                };
                words.filter(is_word).collect()
            }
        })
    }
}

impl TypedValueParser for Words {
    type Value = String;

    fn parse_ref(
        &self,
        command: &clap::Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        let words = (!self.0.is_empty()).then_some(&self.0)?;
        Some(Box::new(words.iter().copied().map(PossibleValue::new)))
    }
}

/// The settings that were given as flags of the command line itself, name and value.
pub(crate) fn given(matches: &ArgMatches) -> Vec<(String, String)> {
    let mut flags = Vec::new();
    for setting in SETTINGS {
        // What comes from the environment is the configuration's own to read.
        let is_known = matches.try_contains_id(setting.name).unwrap_or(false);
        if !is_known || matches.value_source(setting.name) != Some(ValueSource::CommandLine) {
            continue;
        }
        let values = matches.get_many::<String>(setting.name);
        let named = |value: &String| (setting.name.to_owned(), value.clone());
        flags.extend(values.into_iter().flatten().map(named));
    }
    flags
}

impl clap::Args for SettingFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = Arg::new("config-file")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("A TOML file of settings, under the names of these flags; without it ./abide.toml is read if it is there [env: ABIDE_CONFIG]");
        let variables = |setting: &Setting| {
            let variables: Vec<_> = setting.variables().collect();
            format!(" [env: {}]", variables.join(", "))
        };
        command.arg(file).args(
            SETTINGS
                .iter()
                .map(|setting| flag(setting, &variables(setting))),
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            file: matches.get_one::<PathBuf>("config-file").cloned(),
            flags: given(matches),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Runs the server until it is told to stop. `json` asks for its log as JSON, unless a flag says otherwise.
pub(crate) fn run(flags: &SettingFlags, json: bool) -> anyhow::Result<ExitCode> {
    let mut flags = flags.clone();
    if json && !flags.flags.iter().any(|(name, _)| name == LOG_FORMAT) {
        flags.flags.push((LOG_FORMAT.to_owned(), "json".to_owned()));
    }
    let resolved = flags.resolve()?;
    let files = resolved.files();
    let config = resolved.config;
    let _telemetry = Telemetry::begin(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let ended = runtime.block_on(serve(config, &files, flags));
    // Where a disk hangs, a call to it is still under way and would be waited for.
    runtime.shutdown_background();
    ended
}

async fn serve(
    config: Config,
    files: &BTreeSet<PathBuf>,
    flags: SettingFlags,
) -> anyhow::Result<ExitCode> {
    // Before the address is told, so that a signal sent from then on is heard.
    let mut signals = Signals::listen()?;
    let ready = config
        .ready_file
        .clone()
        .map(ReadyFile::absent)
        .transpose()?;
    let server = Server::start(config, fresh_seed()).await?;
    let config = server.state().config.clone();
    // Never let go of: the system takes the memory of a process back at once, and a million jobs would go one by one.
    let _jobs = ManuallyDrop::new(server.state().board.clone());
    if let Some(ready) = &ready {
        ready.write(&announce::url(&server))?;
    }
    announce::started(&server);
    announce::settings(&config, files);
    let stop = CancellationToken::new();
    tokio::spawn({
        let (stop, config) = (stop.clone(), config.clone());
        let hangups = Arc::new(Notify::new());
        tokio::spawn(reload_files(hangups.clone(), flags, server.reloader()));
        async move {
            // Without files that can be read again a hangup ends the server as SIGTERM does.
            let has_files = config.api_key_file.is_some() || config.tls_cert.is_some();
            while signals.is_hangup().await && has_files {
                hangups.notify_one();
            }
            announce::stopping(&config);
            stop.cancel();
        }
    });
    server.run(stop).await?;
    announce::stopped(config.log_format);
    Ok(ExitCode::SUCCESS)
}

/// Reads keys and certificate again after each hangup, once at a time. If anything is wrong with them, those before
/// stay.
async fn reload_files(hangups: Arc<Notify>, flags: SettingFlags, reload: Reload) {
    let places = Arc::new(Semaphore::new(RELOADS_HANGING_MAX));
    loop {
        hangups.notified().await;
        match read_files(&places, &flags, &reload).await {
            Ok(()) => tracing::info!("keys and certificate were read again"),
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "keys and certificate could not be read again; those before stay"
            ),
        }
    }
}

/// Reads the files on a thread of their own, and takes what they say if that came in time.
async fn read_files(
    places: &Arc<Semaphore>,
    flags: &SettingFlags,
    reload: &Reload,
) -> anyhow::Result<()> {
    let place = places.clone().try_acquire_owned();
    let place = place.context("earlier reads of them still hang")?;
    let (flags, reading) = (flags.clone(), reload.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let _place = place;
        let resolved = flags.resolve()?;
        anyhow::Ok(reading.read(&resolved.config)?)
    });
    let read = tokio::time::timeout(RELOAD_MAX, reading).await;
    let read = read.with_context(|| format!("reading them took longer than {RELOAD_MAX:?}"))?;
    reload.take(read??);
    Ok(())
}

/// The file that says where a server listens, for as long as it does.
#[derive(Debug)]
struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Removes what an earlier server may have left, which would be taken for the new one's.
    fn absent(path: PathBuf) -> anyhow::Result<Self> {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("failed to remove {}", path.display()))
            }
            _ => Ok(Self(path)),
        }
    }

    /// Writes it under its name only when it is whole.
    fn write(&self, url: &str) -> anyhow::Result<()> {
        let path = &self.0;
        let directory = path
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty());
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(directory.unwrap_or(Path::new(".")))?;
            writeln!(file, "{url}")?;
            file.persist(path)?;
            anyhow::Ok(())
        };
        write().with_context(|| format!("failed to write {}", path.display()))
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Where it is gone already, nothing is left to do.
        let _gone = std::fs::remove_file(&self.0);
    }
}

/// The one source of randomness: the system's, as the standard library seeds its hash maps with it.
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().hash_one("abide")
}
