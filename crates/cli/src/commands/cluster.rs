//! `abide cluster`

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;

use abide_engine::entry::LEVEL;
use abide_server::config::{Config, Layers, SETTINGS, SHARED_SETTINGS};
use abide_server::database::{init, of_config};
use abide_server::journal::{
    Admin, Health, Journal as _, JournalError, Member, PostgresJournal, Standing,
};
use abide_server::transfer::{self, State};

use super::serve::{flag, fresh_seed, given};
use crate::exit::{FAILED, Failure, USAGE};
use crate::output;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  export ABIDE_DATABASE=postgres://abide:SECRET@db/abide
  abide cluster init && abide serve
  abide cluster status
  abide cluster move --to node2
  abide cluster set retention=30d
  abide cluster import --data jobs
  abide cluster export --data jobs

Exit codes: 0 done, 1 the log is damaged or no other node can lead, 2 usage, 3 the database can't be
reached or refuses.";

/// What `abide cluster` takes.
#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    #[command(flatten)]
    database: DatabaseFlags,
    #[command(subcommand)]
    command: ClusterCommand,
}

#[derive(Debug, Subcommand)]
enum ClusterCommand {
    /// Make the tables; a cluster that is there stays as it is
    Init,
    /// Show who leads, the nodes, and how far the log is
    Status,
    /// Have another node lead; the present leader follows, without a restart
    Move {
        /// The node; by default the one that has applied the most
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
    },
    /// Share a setting among all nodes, from their next start on; without a value each has its own again
    Set {
        /// The setting: duration, error-chance, jobs-max, max-delay, min-delay, retention, seed, stored-bytes-max,
        /// stored-bytes-per-owner or webhook-retry
        #[arg(value_name = "KEY=VALUE", required = true)]
        settings: Vec<String>,
    },
    /// Print the entries of the log, a JSON object a line
    Log {
        /// The entry after which to begin; the oldest one that is kept by default
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
    },
    /// Read the whole log and the state, and check every checksum
    Check,
    /// Bring the jobs of a data directory into a new cluster
    Import {
        /// The directory; no server may be using it
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Take the jobs of the cluster to a new data directory
    Export {
        /// The directory, which is made
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
    },
    /// Let all nodes write the newest stored forms that every one of them reads, from the next leader on
    Upgrade,
    /// Continue without what the database has lost
    AcceptLoss,
}

/// The settings that say which database.
const DATABASE: [&str; 3] = ["database", "schema", "seal-key-file"];

/// Those settings as flags.
#[derive(Clone, Debug)]
struct DatabaseFlags(Vec<(String, String)>);

impl DatabaseFlags {
    fn resolve(&self) -> anyhow::Result<Config> {
        let usage =
            |error: abide_server::config::ConfigError| Failure::new(USAGE, error.to_string());
        let mut layers = Layers::of_process(None).map_err(usage)?;
        for (name, value) in &self.0 {
            layers = layers.flag(name, value);
        }
        Ok(layers.resolve().map_err(usage)?.config)
    }
}

impl Args for DatabaseFlags {
    fn augment_args(command: clap::Command) -> clap::Command {
        let settings = SETTINGS
            .iter()
            .filter(|setting| DATABASE.contains(&setting.name));
        command.args(
            settings.map(|setting| {
                flag(setting, &format!(" [env: {}]", setting.variable)).global(true)
            }),
        )
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for DatabaseFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(given(matches)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Does what the command says.
pub(crate) fn run(args: &ClusterArgs, json: bool) -> anyhow::Result<ExitCode> {
    let config = args.database.resolve()?;
    of_config(&config).map_err(|error| Failure::new(USAGE, error.to_string()))?;
    let admin = || Ok::<_, anyhow::Error>(Admin::new(of_config(&config)?));
    match &args.command {
        ClusterCommand::Init => make(&config, json)?,
        ClusterCommand::Status => status(&mut admin()?, json)?,
        ClusterCommand::Move { to } => move_to(&config, to.as_deref(), json)?,
        ClusterCommand::Set { settings } => set(&mut admin()?, settings, json)?,
        ClusterCommand::Log { after } => log(&config, *after)?,
        ClusterCommand::Check => return check(&config, json),
        ClusterCommand::Import { data } => {
            let state = transfer::import(&config, data)?;
            carried(
                &state,
                &format!("the cluster has the jobs of {}", data.display()),
                json,
            )?;
        }
        ClusterCommand::Export { data } => {
            let state = transfer::export(&config, data)?;
            carried(
                &state,
                &format!("{} has the cluster's jobs", data.display()),
                json,
            )?;
        }
        ClusterCommand::Upgrade => upgrade(&config, json)?,
        ClusterCommand::AcceptLoss => {
            // Below 2^63, as the database keeps it.
            let lost = admin()?.accept_loss(fresh_seed() >> 1)?;
            if json {
                output::json(&json!({"lost": lost}))?;
                return Ok(ExitCode::SUCCESS);
            }
            output::line(&lost.map_or_else(
                || "nothing was lost, as far as a node has noticed".to_owned(),
                |lost| format!("continuing without what was lost: {lost}"),
            ))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn make(config: &Config, json: bool) -> anyhow::Result<()> {
    let is_new = init(config)?;
    let database = of_config(config)?;
    let place = database.place().to_owned();
    let health = Admin::new(database).health()?;
    if !health.fsync || !health.full_page_writes {
        output::say(
            "abide: fsync or full_page_writes is off: a crash of the database's machine loses jobs",
        );
    }
    if health.synchronous_standby_names.is_empty() {
        output::say(
            "abide: synchronous_standby_names is empty: without a synchronous standby a failover may lose what was acknowledged; abide notices that",
        );
    }
    if json {
        output::json(&json!({"made": is_new, "place": place, "version": health.version}))?;
    } else {
        let what = if is_new { "made" } else { "is there already" };
        output::line(&format!("{place} {what} (PostgreSQL {})", health.version))?;
    }
    Ok(())
}

/// Gives the lead to a node that lives: its beat changes while this looks.
#[expect(
    clippy::disallowed_methods,
    reason = "the command is one blocking call of the database after another, and has no clock"
)]
fn move_to(config: &Config, to: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut journal = PostgresJournal::open(of_config(config)?, fresh_seed())?;
    let shared = journal.shared();
    let mut lease = shared
        .map(|shared| shared.lease())
        .context("a shared log")?;
    let before = lease.members()?;
    let leading = lease.leading()?;
    std::thread::sleep(config.lease.get());
    let lives = |member: &Member| {
        let then = before.iter().find(|it| it.node == member.node);
        then.is_some_and(|then| then.beat != member.beat)
    };
    let members = lease.members()?.into_iter().filter(lives);
    let others = members.filter(|member| leading.node.as_ref() != Some(&member.node));
    let wanted = others.filter(|member| to.is_none_or(|to| member.node == to));
    let Some(next) = wanted.max_by_key(|member| member.applied) else {
        let which = to.map_or_else(
            || "no other node".to_owned(),
            |to| format!("no other node {to}"),
        );
        return Err(Failure::new(
            FAILED,
            format!("{which} lives; `abide cluster status` lists all"),
        )
        .into());
    };
    if !lease.take(&next.node, next.run, leading.term)? {
        return Err(Failure::new(
            FAILED,
            "another node has just taken the lead; look again".to_owned(),
        )
        .into());
    }
    let (node, term) = (next.node, leading.term + 1);
    if json {
        output::json(&json!({"node": node, "term": term}))?;
    } else {
        output::line(&format!("{node} leads now, term {term}"))?;
    }
    Ok(())
}

/// Raises the level to the newest that all nodes read which live: their beats change while this looks.
#[expect(
    clippy::disallowed_methods,
    reason = "the command is one blocking call of the database after another, and has no clock"
)]
fn upgrade(config: &Config, json: bool) -> anyhow::Result<()> {
    let mut admin = Admin::new(of_config(config)?);
    let before = admin.standing()?;
    std::thread::sleep(config.lease.get());
    let Standing { members, level, .. } = admin.standing()?;
    let lives = |member: &&Member| {
        let then = before.members.iter().find(|it| it.node == member.node);
        then.is_none_or(|then| (then.run, then.beat) != (member.run, member.beat))
    };
    let (live, stopped): (Vec<_>, Vec<_>) = members.iter().partition(lives);
    let newest = live.iter().map(|member| member.reads_to).min();
    let raised = newest.unwrap_or(LEVEL).min(LEVEL).max(level);
    admin.raise_level(raised)?;
    let behind = |of: &[&Member], level: u32| {
        let behind = of.iter().filter(|member| member.reads_to < level);
        behind.map(|member| member.node.clone()).collect::<Vec<_>>()
    };
    let (hold, left) = (behind(&live, LEVEL), behind(&stopped, raised));
    if json {
        let said = json!({"level": raised, "before": level, "held_by": hold, "left_behind": left});
        output::json(&said)?;
        return Ok(());
    }
    output::line(&match raised == level {
        true => format!("forms of level {level} are written, as before"),
        false => format!(
            "forms of level {raised} are written from the next leader on; `abide cluster move` makes one"
        ),
    })?;
    if !hold.is_empty() {
        output::line(&format!(
            "not yet read by {}: forms of level {LEVEL}; upgrade and run this again",
            hold.join(", ")
        ))?;
    }
    if !left.is_empty() {
        output::line(&format!(
            "not running, and refused until upgraded: {}",
            left.join(", ")
        ))?;
    }
    Ok(())
}

fn status(admin: &mut Admin, json: bool) -> anyhow::Result<()> {
    let standing = admin.standing()?;
    let health = admin.health()?;
    let settings = admin.settings()?;
    if json {
        let shown = as_json(&standing, &health, &settings.into_iter().collect());
        output::json(&shown)?;
        return Ok(());
    }
    let Standing {
        level,
        lost,
        leading,
        members,
        batch,
        seq,
        oldest_batch,
        checkpoint_seq,
        parts,
        ..
    } = standing;
    let leader = leading.node.as_deref().unwrap_or("none");
    output::line(&format!("leader      {leader}, term {}", leading.term))?;
    for member in &members {
        output::line(&format!(
            "node        {}, applied batch {} ({} behind), version {}, levels {} to {}",
            member.node,
            member.applied,
            batch.saturating_sub(member.applied),
            member.version,
            member.reads_from,
            member.reads_to
        ))?;
    }
    output::line(&format!(
        "log         entry {seq}, batches {oldest_batch} to {batch}, level {level}"
    ))?;
    output::line(&format!(
        "checkpoint  entry {checkpoint_seq}, {parts} parts"
    ))?;
    for (name, value) in settings {
        output::line(&format!("setting     {name} = {value}"))?;
    }
    let standbys = match health.synchronous_standby_names.as_str() {
        "" => "none: a failover may lose what was acknowledged",
        names => names,
    };
    output::line(&format!(
        "database    PostgreSQL {}, synchronous standbys: {standbys}",
        health.version
    ))?;
    if let Some(lost) = lost {
        output::line(&format!(
            "lost        {lost}; nodes start again after `abide cluster accept-loss`"
        ))?;
    }
    Ok(())
}

fn as_json(
    standing: &Standing,
    health: &Health,
    settings: &BTreeMap<String, String>,
) -> serde_json::Value {
    let leading = &standing.leading;
    let nodes = standing.members.iter().map(|member| {
        json!({
            "name": member.node, "address": member.address, "applied": member.applied,
            "behind": standing.batch.saturating_sub(member.applied), "beat": member.beat,
            "version": member.version, "reads_from": member.reads_from, "reads_to": member.reads_to,
        })
    });
    json!({
        "life": standing.life, "level": standing.level, "lost": standing.lost,
        "leader": {"node": leading.node, "term": leading.term},
        "nodes": nodes.collect::<Vec<_>>(),
        "log": {
            "batch": standing.batch, "term": standing.term, "entry": standing.seq,
            "oldest_batch": standing.oldest_batch,
        },
        "checkpoint": {
            "batch": standing.checkpoint_batch, "entry": standing.checkpoint_seq, "parts": standing.parts,
        },
        "settings": settings,
        "database": {
            "version": health.version, "fsync": health.fsync, "full_page_writes": health.full_page_writes,
            "synchronous_standby_names": health.synchronous_standby_names,
        },
    })
}

fn set(admin: &mut Admin, settings: &[String], json: bool) -> anyhow::Result<()> {
    let mut checked = Config::default();
    let mut pairs = Vec::new();
    for setting in settings {
        let usage = |detail: String| Failure::new(USAGE, detail);
        let (name, value) = setting
            .split_once('=')
            .ok_or_else(|| usage(format!("{setting:?} is not KEY=VALUE")))?;
        if !SHARED_SETTINGS.contains(&name) {
            let all = SHARED_SETTINGS.join(", ");
            let text = format!("{name:?} is no setting that nodes share; those are {all}");
            return Err(usage(text).into());
        }
        if !value.is_empty() {
            let refused = |detail| usage(format!("{name}: {detail}"));
            checked.share(name, value).map_err(refused)?;
        }
        pairs.push((name, value));
    }
    for (name, value) in pairs {
        admin.set(name, Some(value).filter(|value| !value.is_empty()))?;
        if !json {
            output::line(&match value {
                "" => format!("{name}: each node has its own, from its next start on"),
                value => format!("{name} = {value} on all nodes, each from its next start on"),
            })?;
        }
    }
    if json {
        let all: BTreeMap<_, _> = admin.settings()?.into_iter().collect();
        output::json(&json!({"settings": all}))?;
    }
    Ok(())
}

/// An entry of the log, as it is written.
#[derive(Serialize)]
struct Logged<'a> {
    entry: Option<&'a RawValue>,
    seq: u64,
}

fn log(config: &Config, after: Option<u64>) -> anyhow::Result<()> {
    let mut journal = PostgresJournal::open(of_config(config)?, 0)?;
    let mut written = Ok(());
    let mut print = |seq: u64, bytes: &[u8]| {
        let entry = std::str::from_utf8(bytes).ok();
        let entry = entry.and_then(|text| serde_json::from_str::<&RawValue>(text).ok());
        written = output::json(&Logged { entry, seq });
        match &written {
            Ok(()) => Ok(()),
            // Only ends the reading; what is told is the error of writing.
            Err(_) => Err(JournalError::Unreadable {
                what: String::new(),
                detail: String::new(),
            }),
        }
    };
    let mut read = journal.replay(after.unwrap_or(0), &mut print);
    if let (None, Err(JournalError::Missing { through, .. })) = (after, &read) {
        read = journal.replay(*through, &mut print);
    }
    written?;
    Ok(read?)
}

fn check(config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let (state, damage) = match transfer::read_cluster(config) {
        Ok(state) => (Some(state), None),
        Err(transfer::TransferError::Journal(
            error @ (JournalError::Damaged { .. }
            | JournalError::Missing { .. }
            | JournalError::LostByDatabase { .. }
            | JournalError::Unreadable { .. }),
        )) => (None, Some(error.to_string())),
        Err(error) => return Err(error.into()),
    };
    let code = ExitCode::from(if damage.is_some() { FAILED } else { 0 });
    if let Some(state) = state {
        carried(&state, "the cluster is whole", json)?;
    } else if json {
        output::json(&json!({"damage": damage}))?;
    } else {
        output::line(&damage.unwrap_or_default())?;
    }
    Ok(code)
}

fn carried(state: &State, what: &str, json: bool) -> anyhow::Result<()> {
    let State { seq, parts, digest } = state;
    if json {
        output::json(&json!({"entry": seq, "parts": parts, "digest": digest}))?;
    } else {
        output::line(&format!(
            "{what}: {parts} parts up to entry {seq}, digest {digest}"
        ))?;
    }
    Ok(())
}
