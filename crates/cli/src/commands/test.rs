//! `abide test`

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus};
use std::time::Duration;

use abide::{Http, Transport as _};
use abide_server::Server;
use abide_server::config::{Config, Layers, SETTINGS};
use anyhow::Context as _;
use clap::{ArgMatches, Args, FromArgMatches};
use http::Request;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::serve;
use crate::announce;
use crate::exit::{COMPLETED, FAILED, Failure, USAGE};
use crate::interrupt::Signals;
use crate::output;
use crate::show;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide test -- pytest -q
  abide test --scenario flaky --seed 7 -- npm test
  abide test --clock manual --fail-on duplicate_creates,requests_per_job=5 -- go test ./...

The command finds the server's URL in ABIDE_SERVER.

Exit codes: the command's own; 1 where it is 0 and a client breaks a rule of --fail-on.";

/// The settings of the server that a test may want to set.
const OFFERED: [&str; 9] = [
    "scenario",
    "seed",
    "clock",
    "speed",
    "duration",
    "error-chance",
    "hold-max",
    "requests-kept",
    "log",
];
/// The server of a test, unless a flag says otherwise: on a free port, in memory, for as many requests as tests make,
/// and without a job that no test has created.
const FIXED: [(&str, &str); 5] = [
    ("listen", "127.0.0.1:0"),
    ("ephemeral", "true"),
    ("rate-limit", "off"),
    ("default-job-start", "first-poll"),
    ("log", "warn"),
];
/// The rules of the report card, and whether each has a limit also if none is asked for.
const RULES: [(&str, bool); 6] = [
    ("cost_ratio", false),
    ("requests_per_job", false),
    ("wasted_per_job", false),
    ("detection_p95_ms", false),
    ("retry_after_ignored", true),
    ("duplicate_creates", true),
];
/// How long the server may take to tell the report card.
const CARD_TIME_MAX: Duration = Duration::from_secs(10);
/// The largest report card, in bytes.
const CARD_BYTES_MAX: usize = 16 << 20;
/// How often it is looked whether the command has ended.
const LOOK: Duration = Duration::from_millis(20);

/// What `abide test` takes.
#[derive(Debug)]
pub(crate) struct TestArgs {
    settings: Vec<(String, String)>,
    own: Own,
}

#[derive(Debug, Args)]
struct Own {
    /// Fail if a client breaks one of these rules of the report card: cost_ratio=LIMIT (how many times the bound its
    /// waiting may cost), requests_per_job=LIMIT, wasted_per_job=LIMIT, detection_p95_ms=LIMIT, retry_after_ignored,
    /// duplicate_creates (repeatable)
    #[arg(long, value_name = "RULE[=LIMIT],…", value_delimiter = ',', value_parser = rule)]
    fail_on: Vec<(String, Option<f64>)>,
    /// Write the report card as JSON to this file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The command to run, with its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Args for TestArgs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let offered = SETTINGS
            .iter()
            .filter(|setting| OFFERED.contains(&setting.name));
        Own::augment_args(command).args(offered.map(|setting| serve::flag(setting, "")))
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for TestArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self {
            settings: serve::given(matches),
            own: Own::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn rule(text: &str) -> Result<(String, Option<f64>), String> {
    let (name, limit) = match text.split_once('=') {
        Some((name, limit)) => (name, Some(limit)),
        None => (text, None),
    };
    let Some((_, has_limit)) = RULES.iter().find(|(rule, _)| *rule == name) else {
        let names: Vec<_> = RULES.iter().map(|(rule, _)| *rule).collect();
        return Err(format!(
            "there is no such rule; there are {}",
            names.join(", ")
        ));
    };
    if limit.is_none() && !has_limit {
        return Err(format!("it needs a limit, such as {name}=3"));
    }
    let limit = limit.map(|limit| limit.parse().map_err(|_| format!("{limit:?} is no number")));
    Ok((name.to_owned(), limit.transpose()?))
}

/// The parts of a report card that are shown.
#[derive(Debug, Deserialize)]
struct Card {
    clients: Vec<ClientCard>,
}

#[derive(Debug, Deserialize)]
struct ClientCard {
    client: String,
    jobs: u64,
    creates: u64,
    requests_per_job: f64,
    optimum_per_job: f64,
    detection_ms: Option<Detection>,
    cost_s: Option<f64>,
    bound_s: Option<f64>,
    grade: Option<String>,
    verdicts: Vec<Verdict>,
}

#[derive(Debug, Deserialize)]
struct Detection {
    mean: u64,
}

#[derive(Debug, Deserialize)]
struct Verdict {
    rule: String,
    value: f64,
    limit: f64,
    pass: bool,
}

/// Runs a command against a server of its own, and says how its clients waited.
pub(crate) fn run(args: &TestArgs) -> anyhow::Result<ExitCode> {
    let flags = FIXED
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let layers = flags
        .chain(args.settings.iter().cloned())
        .fold(Layers::default(), |layers, (name, value)| {
            layers.flag(name, value)
        });
    let config = layers
        .resolve()
        .map_err(|error| Failure::new(USAGE, error.to_string()))?;
    let config = config.config;
    let _telemetry = crate::telemetry::Telemetry::begin(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")?;
    runtime.block_on(test(config, &args.own))
}

async fn test(config: Config, args: &Own) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::listen()?;
    let seed = config.seed.unwrap_or_else(serve::fresh_seed);
    let server = Server::start(config, seed).await?;
    let url = announce::url(&server);
    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.run(stop.clone()));
    let child = start(&args.command, &url)?;
    let status = wait(child, &mut signals).await?;
    let card = read_card(&url, &args.fail_on).await?;
    stop.cancel();
    serving.await.context("the server's task ended badly")??;
    if let Some(path) = &args.report {
        std::fs::write(path, card.get())
            .with_context(|| format!("failed to write {}", path.display()))?;
    }
    let card: Card =
        serde_json::from_str(card.get()).context("the report card isn't as expected")?;
    let broken = tell(&card, seed, &args.fail_on);
    let code = code_of(status);
    Ok(ExitCode::from(match code {
        COMPLETED if broken => FAILED,
        code => code,
    }))
}

/// Starts the command with the server's URL in its environment, and without a key that it would show.
fn start(command: &[String], url: &str) -> anyhow::Result<Child> {
    let (program, args) = command.split_first().expect("clap requires a command");
    let started = Command::new(program)
        .args(args)
        .env("ABIDE_SERVER", url)
        .env_remove("ABIDE_API_KEY")
        .spawn();
    started.map_err(|error| {
        let why = match error.kind() {
            ErrorKind::NotFound => "there is no such program".to_owned(),
            _ => error.to_string(),
        };
        Failure::new(USAGE, format!("failed to start {program}: {why}")).into()
    })
}

/// Waits for the command's end. What tells us to stop is passed on, and its end is awaited all the same.
async fn wait(mut child: Child, signals: &mut Signals) -> anyhow::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait().context("failed to wait for the command")? {
            return Ok(status);
        }
        if signals
            .unless_heard(tokio::time::sleep(LOOK))
            .await
            .is_none()
        {
            terminate(&mut child);
        }
    }
}

#[cfg(unix)]
fn terminate(child: &mut Child) {
    let id = i32::try_from(child.id())
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    if let Some(id) = id {
        // It may just have ended.
        let _gone = rustix::process::kill_process(id, rustix::process::Signal::TERM);
    }
}

#[cfg(not(unix))]
fn terminate(child: &mut Child) {
    let _gone = child.kill();
}

/// The command's exit code; 128 and the signal's number where a signal ended it, as shells say it.
fn code_of(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(FAILED);
    }
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(FAILED)
}

/// The report card as the server tells it, with the limits that were asked for.
async fn read_card(url: &str, rules: &[(String, Option<f64>)]) -> anyhow::Result<Box<RawValue>> {
    let limits = rules
        .iter()
        .filter_map(|(rule, limit)| Some(format!("{rule}={}", (*limit)?)));
    let query: Vec<_> = limits.collect();
    let request =
        Request::get(format!("{url}/v1/report?{}", query.join("&"))).body(bytes::Bytes::new())?;
    let http = Http::new(CARD_TIME_MAX);
    let answer = tokio::time::timeout(CARD_TIME_MAX, http.send(request))
        .await
        .context("the server didn't tell the report card in time")??;
    let status = answer.status();
    let body = answer.into_body().collect(CARD_BYTES_MAX).await?;
    let text = String::from_utf8_lossy(&body).into_owned();
    anyhow::ensure!(
        status.is_success(),
        "the server refused the report card: {text}"
    );
    Ok(RawValue::from_string(text)?)
}

/// Shows the card on stderr, and says whether a rule is broken that the command must not break.
fn tell(card: &Card, seed: u64, rules: &[(String, Option<f64>)]) -> bool {
    let mut broken = false;
    let clients = match card.clients.as_slice() {
        [] => "no client has made or read a job".to_owned(),
        [_] => "1 client".to_owned(),
        clients => format!("{} clients", clients.len()),
    };
    output::say(&format!("abide: report card, seed {seed}: {clients}"));
    for client in &card.clients {
        let jobs = client.jobs.max(client.creates);
        let late = client.detection_ms.as_ref().map(|late| {
            let late = show::duration(Duration::from_millis(late.mean));
            format!(", end seen after {late} on average")
        });
        let costs = client.cost_s.zip(client.bound_s);
        let grade = client.grade.as_ref().zip(costs);
        let grade = grade.map(|(grade, (cost, bound))| {
            format!("; {grade}, at {:.1} times the bound", cost / bound)
        });
        output::say(&format!(
            "  {}: {jobs} {}, {:.1} requests a job (least {:.1}){}{}",
            client.client,
            if jobs == 1 { "job" } else { "jobs" },
            client.requests_per_job,
            client.optimum_per_job,
            late.unwrap_or_default(),
            grade.unwrap_or_default(),
        ));
        for verdict in client.verdicts.iter().filter(|verdict| !verdict.pass) {
            if rules.iter().any(|(rule, _)| *rule == verdict.rule) {
                broken = true;
                let (rule, value, limit) = (&verdict.rule, verdict.value, verdict.limit);
                output::say(&format!(
                    "    FAIL {rule}: {value:.1}, and the limit is {limit:.1}"
                ));
            }
        }
    }
    broken
}
