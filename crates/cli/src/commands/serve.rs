//! `abide serve`

use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, FromArgMatches};
use tokio_util::sync::CancellationToken;

use abide_server::Server;
use abide_server::config::{Config, Layers, Resolved, SETTINGS};

use crate::exit::{Failure, USAGE};
use crate::interrupt::Signals;
use crate::output;
use crate::telemetry::Telemetry;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide serve --data jobs                          keeps its jobs in ./jobs
  abide serve --ephemeral --listen :0 --speed 60   forgets them; any free port; a minute a second
  abide serve --clock manual --seed 7              time that you advance yourself";

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

impl clap::Args for SettingFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let file = Arg::new("config-file")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .help("A TOML file of settings, under the names of these flags [env: ABIDE_CONFIG]");
        command.arg(file).args(SETTINGS.iter().map(|setting| {
            let mut help = setting.help.trim().to_owned();
            let default = (setting.default)();
            if !default.is_empty() {
                help = format!("{help} [default: {default}]");
            }
            let variables: Vec<_> = setting.variables().collect();
            let arg = Arg::new(setting.name)
                .long(setting.name)
                .value_name(setting.value_name)
                .help(format!("{help} [env: {}]", variables.join(", ")));
            match (setting.is_switch, setting.is_list) {
                (true, _) => arg
                    .num_args(0..=1)
                    .require_equals(true)
                    .default_missing_value("true"),
                (_, true) => arg.action(ArgAction::Append),
                _ => arg,
            }
        }))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Vec::new();
        for setting in SETTINGS {
            // What comes from the environment is the configuration's own to read.
            let is_given = matches.value_source(setting.name) == Some(ValueSource::CommandLine);
            let given = matches.try_get_many::<String>(setting.name).ok();
            let given = given.flatten().filter(|_| is_given);
            flags.extend(
                given
                    .into_iter()
                    .flatten()
                    .map(|value| (setting.name.to_owned(), value.clone())),
            );
        }
        Ok(Self {
            file: matches.get_one::<PathBuf>("config-file").cloned(),
            flags,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Runs the server until it is told to stop.
pub(crate) fn run(flags: &SettingFlags) -> anyhow::Result<ExitCode> {
    let config = flags.resolve()?.config;
    let _telemetry = Telemetry::begin(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    let ended = runtime.block_on(serve(config));
    // Where a disk hangs, a call to it is still under way and would be waited for.
    runtime.shutdown_background();
    ended
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    // Before anybody can know that we are here, so that whoever stops us finds us listening for that too.
    let mut signals = Signals::listen()?;
    let server = Server::start(config, fresh_seed()).await?;
    output::say(&format!("abide: listening on http://{}", server.address()));
    let stop = CancellationToken::new();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            signals.heard().await;
            stop.cancel();
        }
    });
    server.run(stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// The one place where luck begins: the system's, as the standard library seeds its hash maps with it.
pub(crate) fn fresh_seed() -> u64 {
    RandomState::new().hash_one("abide")
}
