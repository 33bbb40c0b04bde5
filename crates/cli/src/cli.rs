//! The command line as a whole: its commands, and how one is found and run.

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgAction, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::commands::attack::{self, AttackArgs};
use crate::commands::backup::{self, BackupArgs};
use crate::commands::cancel::{self, CancelArgs};
use crate::commands::check::{self, CheckArgs};
#[cfg(feature = "postgres")]
use crate::commands::cluster::{self, ClusterArgs};
use crate::commands::completions::{self, CompletionsArgs, ManArgs};
use crate::commands::config;
use crate::commands::create::{self, CreateArgs};
use crate::commands::deliveries::{self, DeliveriesArgs, DeliveryArgs};
use crate::commands::demo::{self, DemoArgs};
use crate::commands::dialects;
use crate::commands::healthcheck::{self, HealthcheckArgs};
use crate::commands::list::{self, ListArgs};
use crate::commands::listen::{self, ListenArgs};
use crate::commands::serve::{self, SettingFlags};
use crate::commands::simulate::{self, SimulateArgs};
use crate::commands::status::{self, StatusArgs};
use crate::commands::test::{self, TestArgs};
use crate::commands::trigger::{self, TriggerArgs};
use crate::commands::wait::{self, WaitArgs};
use crate::commands::watch::{self, WatchArgs};
use crate::commands::work::{self, WorkArgs};
use crate::connect::Common;
use crate::{exit, output};

/// The flags for all commands that do nothing in some of them, where they aren't shown.
const HIDDEN: &[(&str, &[&str])] = &[
    ("serve", &["server"]),
    ("test", &["server", "api-key", "json"]),
    ("config", &["server"]),
    ("demo", &["server", "api-key"]),
    ("simulate", &["server", "api-key"]),
    ("attack", &["server", "api-key"]),
    ("trigger", &["server", "api-key"]),
    ("healthcheck", &["api-key", "json"]),
    ("check", &["server", "api-key"]),
    ("backup", &["server", "api-key"]),
    #[cfg(feature = "postgres")]
    ("cluster", &["server", "api-key"]),
    ("dialects", &["api-key"]),
    ("completions", &["server", "api-key", "json"]),
    ("man", &["server", "api-key", "json"]),
];

/// The commands in groups, as the help shows them.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "Jobs",
        &[
            "create", "status", "list", "wait", "watch", "cancel", "work",
        ],
    ),
    (
        "Webhooks",
        &["listen", "trigger", "deliveries", "delivery", "attack"],
    ),
    (
        "Server",
        &[
            "serve",
            "config",
            "healthcheck",
            "check",
            "backup",
            "cluster",
            "dialects",
        ],
    ),
    ("Testing and learning", &["test", "demo", "simulate"]),
    ("Shell", &["completions", "man"]),
];
/// Examples, below the groups.
const EXAMPLES: &str = "\
Examples:
  abide demo                                what each way of waiting costs
  abide serve &                             a server that simulates jobs
  abide wait \"$(abide create)\"              create a job and wait for it
  abide test -- pytest                      your test suite beside a server of its own

`abide COMMAND --help` has the flags and examples of a command.";
/// The widest line of help, in columns.
const HELP_COLUMNS_MAX: usize = 100;
/// The program's help: its commands in groups, made by [`grouped`].
const TEMPLATE: &str =
    "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}Options:\n{options}{after-help}";
/// A command's help, with its examples before its flags.
const COMMAND_TEMPLATE: &str =
    "{about-with-newline}\n{usage-heading} {usage}{after-help}\n\n{all-args}";

/// Wait for long-running jobs without wasting a request or a second
#[derive(Debug, Parser)]
#[command(
    name = "abide",
    version,
    max_term_width = HELP_COLUMNS_MAX,
    propagate_version = true
)]
#[command(
    help_template = TEMPLATE,
    after_help = "Exit codes: 0 completed, 1 failed or canceled, 2 usage, 3 refused or unreachable,\n\
                        4 still running at the deadline, 130 interrupted."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the server
    #[command(after_help = serve::HELP)]
    Serve(SettingFlags),
    /// Run a test suite against a server of its own, and report how its clients waited
    #[command(after_help = test::HELP)]
    Test(TestArgs),
    /// Compare thirteen ways of waiting for the same jobs, side by side
    #[command(after_help = demo::HELP)]
    Demo(DemoArgs),
    /// Create a job and print its id
    #[command(after_help = create::HELP)]
    Create(CreateArgs),
    /// Show a job's status
    #[command(after_help = status::HELP)]
    Status(StatusArgs),
    /// List jobs, the newest first
    #[command(after_help = list::HELP)]
    List(ListArgs),
    /// Wait for jobs to finish and report each one
    #[command(after_help = wait::HELP)]
    Wait(WaitArgs),
    /// Show every change of a job, or of all jobs, as it happens
    #[command(after_help = watch::HELP)]
    Watch(WatchArgs),
    /// Cancel a job
    #[command(after_help = cancel::HELP)]
    Cancel(CancelArgs),
    /// Run a command for each job that is left to external workers
    #[command(after_help = work::HELP)]
    Work(WorkArgs),
    /// Compare polling schedules on a virtual clock, for your own job durations
    #[command(after_help = simulate::HELP)]
    Simulate(SimulateArgs),
    /// Receive webhooks, verify them, print or forward them
    #[command(after_help = listen::HELP)]
    Listen(ListenArgs),
    /// Send a webhook receiver a signed event
    #[command(after_help = trigger::HELP)]
    Trigger(TriggerArgs),
    /// List webhook deliveries of a job or an endpoint, or send them again
    #[command(after_help = deliveries::HELP)]
    Deliveries(DeliveriesArgs),
    /// Show what a webhook delivery sent and what came back
    #[command(after_help = deliveries::ONE_HELP)]
    Delivery(DeliveryArgs),
    /// Test a webhook receiver with valid and malicious deliveries
    #[command(after_help = attack::HELP)]
    Attack(AttackArgs),
    /// List the vendors' interfaces that a server speaks, and where
    #[command(after_help = dialects::HELP)]
    Dialects,
    /// Show the configuration that `serve` would use, and where each value comes from
    #[command(after_help = config::HELP)]
    Config(SettingFlags),
    /// Ask a server whether it is well, for containers and scripts
    #[command(after_help = healthcheck::HELP)]
    Healthcheck(HealthcheckArgs),
    /// Check a data directory for damage
    #[command(after_help = check::HELP)]
    Check(CheckArgs),
    /// Copy a data directory, also while a server uses it
    #[command(after_help = backup::HELP)]
    Backup(BackupArgs),
    /// Make, look at and move a cluster on PostgreSQL
    #[cfg(feature = "postgres")]
    #[command(after_help = cluster::HELP)]
    Cluster(ClusterArgs),
    /// Generate shell completions
    #[command(after_help = completions::HELP)]
    Completions(CompletionsArgs),
    /// Write manual pages
    #[command(after_help = completions::MAN_HELP)]
    Man(ManArgs),
}

/// Runs the command that the arguments of this process name.
pub(crate) fn run() -> anyhow::Result<ExitCode> {
    let parsed = command()
        .try_get_matches()
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let Cli {
        command: given,
        common,
    } = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            // An argument needn't be text.
            let args = std::env::args_os().skip(1);
            let error = with_plain_usage(error, args.filter_map(|arg| arg.into_string().ok()));
            // Help is data, and a full disk is no success.
            output::written(error.print())?;
            let code = if error.use_stderr() {
                exit::USAGE
            } else {
                exit::COMPLETED
            };
            return Ok(ExitCode::from(code));
        }
    };
    match given {
        Command::Serve(flags) => serve::run(&flags, common.json),
        Command::Test(args) => test::run(&args),
        Command::Demo(args) => demo::run(&args, common.json),
        Command::Create(args) => create::run(&common, &args),
        Command::Status(args) => status::run(&common, &args),
        Command::List(args) => list::run(&common, &args),
        Command::Wait(args) => wait::run(&common, &args),
        Command::Watch(args) => watch::run(&common, &args),
        Command::Cancel(args) => cancel::run(&common, &args),
        Command::Work(args) => work::run(&common, &args),
        Command::Simulate(args) => simulate::run(&args, common.json),
        Command::Listen(args) => listen::run(&common, &args),
        Command::Trigger(args) => trigger::run(&common, &args),
        Command::Deliveries(args) => deliveries::run(&common, &args),
        Command::Delivery(args) => deliveries::one(&common, &args),
        Command::Attack(args) => attack::run(&common, &args),
        Command::Dialects => dialects::run(&common),
        Command::Config(flags) => config::run(&flags, common.json),
        Command::Healthcheck(args) => healthcheck::run(&common, &args),
        Command::Check(args) => check::run(&args, common.json),
        Command::Backup(args) => backup::run(&args, common.json),
        #[cfg(feature = "postgres")]
        Command::Cluster(args) => cluster::run(&args, common.json),
        Command::Completions(args) => completions::completions(&args, command()),
        Command::Man(args) => completions::man(&args, command()),
    }
}

/// The error with the usage that the command's help shows. clap's own usage lists each flag whose variable is set in
/// the environment as required.
fn with_plain_usage(mut error: clap::Error, args: impl Iterator<Item = String>) -> clap::Error {
    if error.get(ContextKind::Usage).is_some() {
        let mut named = command();
        named.build();
        for arg in args {
            if let Some(subcommand) = named.find_subcommand(&arg) {
                named = subcommand.clone();
            }
        }
        error.insert(
            ContextKind::Usage,
            ContextValue::StyledStr(named.render_usage()),
        );
    }
    error
}

/// The commands with their flags, each without those that do nothing in it.
fn command() -> clap::Command {
    let all = Cli::command();
    let flags: Vec<_> = all.get_arguments().cloned().collect();
    let all = HIDDEN.iter().fold(all, |all, (name, hidden)| {
        let hidden = flags
            .iter()
            .filter(|flag| hidden.contains(&flag.get_id().as_str()));
        let hidden: Vec<_> = hidden.map(|flag| flag.clone().hide(true)).collect();
        all.mut_subcommand(name, |command| command.args(hidden))
    });
    let groups = grouped(&all);
    let all = all
        .mut_subcommands(|command| command.help_template(COMMAND_TEMPLATE))
        .before_help(groups);
    with_short_help(all)
}

/// The command and those below it with one form of help, whose flags take a line or two. The manual has what is left
/// out.
fn with_short_help(command: clap::Command) -> clap::Command {
    let help = Arg::new("help")
        .short('h')
        .long("help")
        .action(ArgAction::HelpShort)
        .display_order(999)
        // Not that of the flags before it.
        .help_heading(None)
        .help("Print help");
    command
        .disable_help_flag(true)
        .arg(help)
        .mut_subcommands(with_short_help)
}

/// The commands in their groups, a line each.
fn grouped(all: &clap::Command) -> String {
    let mut text = String::new();
    for (group, names) in GROUPS {
        text.push_str(&format!("{group}:\n"));
        for name in *names {
            let about = all.find_subcommand(name).and_then(clap::Command::get_about);
            // A build may lack a command.
            if let Some(about) = about {
                text.push_str(&format!("  {name:<12} {about}\n"));
            }
        }
        text.push('\n');
    }
    text + EXAMPLES + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_in_one_group() {
        let all = command();
        for command in all.get_subcommands() {
            let name = command.get_name();
            let groups = GROUPS.iter().filter(|(_, names)| names.contains(&name));
            assert_eq!(groups.count(), 1, "{name}");
        }
        all.debug_assert();
    }

    #[test]
    fn the_help_of_a_flag_is_one_paragraph() {
        for command in command().get_subcommands() {
            for flag in command.get_arguments() {
                let help = flag.get_help().map(ToString::to_string);
                let help = help.unwrap_or_else(|| panic!("{} has no help", flag.get_id()));
                assert!(!help.contains('\n'), "{}: {help}", flag.get_id());
            }
        }
    }

    #[test]
    fn no_line_of_examples_is_broken() {
        let all = command();
        for command in all.get_subcommands() {
            let name = command.get_name();
            let text = command.get_after_help().map(ToString::to_string);
            let text = text.unwrap_or_else(|| panic!("{name} has no examples"));
            for line in text.lines() {
                assert!(line.chars().count() <= HELP_COLUMNS_MAX, "{name}: {line}");
            }
        }
    }
}
