//! `abide work`

use std::io::ErrorKind;
use std::pin::pin;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use abide::{Client, Code, Error, Json, Lease, Problem, RetryPolicy};
use abide_wire::Span;
use abide_wire::limits::{BODY_BYTES_MAX, LEASE_DEFAULT};
use anyhow::Context as _;
use clap::Args;
use futures_util::future::FutureExt as _;
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::pool::Pool;
use crate::connect::{Common, block_on};
use crate::exit::{Failure, USAGE};
use crate::interrupt::Signals;
use crate::reach::Reach;
use crate::{output, show};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide work -- ./dub.sh                                  every job, one at a time
  abide work --kind dub --at-once 4 -- python3 dub.py
  abide work --kind dub --count 1 -- jq '{twice: (.talk * 2)}'

The command gets the job's input on its stdin. Exit code 0 completes the job with what the command
wrote to stdout, as JSON or else as text; any other fails it with the last line of stderr.

Its environment has ABIDE_SERVER, ABIDE_JOB_ID, ABIDE_JOB_KIND, ABIDE_JOB_ATTEMPT and
ABIDE_LEASE_TOKEN. If its job is canceled it gets SIGTERM, and SIGKILL after --grace. Ctrl-C or
SIGTERM lets the running commands finish; a second one ends them and gives their jobs back. A server
that is away is waited for, and one that refuses a claim lets the running commands finish too.

Exit codes: 0 ended as asked, 2 the command can't be started, 3 refused or unreachable.";

/// How long the output of a command that has ended may take: what it left running may keep it open.
const OUTPUT_WAIT: Duration = Duration::from_secs(1);
/// The pause before the next claim after answers that no server of ours gave.
const GARBLED_PAUSE: Duration = Duration::from_secs(10);
/// How much of a command's errors is kept, for the last line of them, in bytes.
const ERRORS_BYTES_MAX: usize = 4 << 10;
/// The longest line of errors that a failed job tells, in characters.
const ERROR_CHARS_MAX: usize = 500;

/// What `abide work` takes.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// Claim jobs of this kind only (repeatable) [default: any kind]
    #[arg(long, value_name = "KIND")]
    kind: Vec<String>,
    /// Maximum number of commands at the same time
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    at_once: u16,
    /// How long this worker may be silent before the server gives its jobs up
    #[arg(long, value_name = "DURATION", default_value_t = Span::new(LEASE_DEFAULT))]
    lease: Span,
    /// Time between SIGTERM and SIGKILL for a command whose job is canceled
    #[arg(long, value_name = "DURATION", default_value = "10s")]
    grace: Span,
    /// Exit after this many jobs
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// Exit if the server doesn't answer for this long [default: never]
    #[arg(long, value_name = "DURATION")]
    give_up: Option<Span>,
    /// The command to run for each job, with its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// How a command ended.
enum Ended {
    /// By itself, with what it wrote.
    Itself(ExitStatus, Output),
    /// Its job was over before.
    Over(Error),
    /// The worker is to stop.
    Stopped,
}

#[derive(Debug, Default)]
struct Output {
    result: Vec<u8>,
    errors: Vec<u8>,
}

/// Runs a command for each job that it claims, until it is interrupted.
pub(crate) fn run(common: &Common, args: &WorkArgs) -> anyhow::Result<ExitCode> {
    block_on(async {
        let mut signals = Signals::listen()?;
        common.check_listening().await?;
        let patience = args.give_up.map_or(Duration::MAX, Span::get);
        let retry = RetryPolicy::default().patience(patience);
        let (client, reach) = common.client_with_retry(retry)?;
        let worker = Worker {
            common,
            args,
            reach: &reach,
            stop: CancellationToken::new(),
        };
        let pool = Pool {
            at_once: args.at_once.into(),
            count: args.count.unwrap_or(u64::MAX),
            stop: worker.stop.clone(),
        };
        let say = |text: &str| output::say(&format!("abide: {text}"));
        let all = pool.run(
            async || worker.claim(&client).await,
            async |lease| worker.work(lease).await,
            async || signals.heard().await,
            say,
        );
        tokio::select! {
            ended = all => ended?,
            never = reach.tell(common, true, output::say) => return Err(never.into()),
        }
        Ok(ExitCode::SUCCESS)
    })
}

struct Worker<'a> {
    common: &'a Common,
    args: &'a WorkArgs,
    reach: &'a Reach,
    /// The commands are to end, and their jobs to be given back.
    stop: CancellationToken,
}

impl Worker<'_> {
    /// Claims a job, however long that takes.
    async fn claim(&self, client: &Client) -> anyhow::Result<Option<Lease>> {
        loop {
            let claim = client.claim().lease(self.args.lease.get());
            let kinds = self.args.kind.iter();
            match kinds.fold(claim, |claim, kind| claim.kind(kind)).await {
                Err(error) if self.may_heal(&error) => sleep(GARBLED_PAUSE).await,
                claimed => return Ok(claimed.map_err(|error| self.common.failure(&error))?),
            }
        }
    }

    /// Whether a server stands behind what answers now in its place, as a page of a proxy does while it is deployed.
    fn may_heal(&self, error: &Error) -> bool {
        error.is_garbled() && self.args.give_up.is_none() && self.reach.has_answered()
    }

    /// Runs the command for one job and ends the job as the command ended.
    async fn work(&self, lease: Lease) -> anyhow::Result<()> {
        let id = lease.id().clone();
        let ended = match self.start(&lease) {
            Ok(child) => self.attend(child, &lease).await?,
            Err(error) => {
                // Another worker may have the program.
                let _unknown = lease.release().await;
                return Err(error);
            }
        };
        let told = match ended {
            Ended::Itself(status, output) if status.success() => match result(&output.result) {
                Ok(result) => match lease.complete(&result).await {
                    Err(error) if is_about_the_result(&error) => lease.fail(&refused(&error)).await,
                    told => told,
                },
                Err(problem) => lease.fail(&problem).await,
            },
            Ended::Itself(status, output) => lease.fail(&failure(status, &output.errors)).await,
            Ended::Over(error) => Err(error),
            Ended::Stopped => {
                output::say(&format!("abide: {id} was given back"));
                return Ok(lease
                    .release()
                    .await
                    .map_err(|error| self.common.failure(&error))?);
            }
        };
        match told {
            Ok(job) if self.common.json => output::json(&job)?,
            Ok(job) => output::line(&show::line(&job))?,
            Err(error) if error.is_canceled() || error.is_failed() || error.is_lease_lost() => {
                output::say(&format!("abide: {error}"));
            }
            Err(error) => return Err(self.common.failure(&error).into()),
        }
        Ok(())
    }

    fn start(&self, lease: &Lease) -> anyhow::Result<Child> {
        let (program, args) = self
            .args
            .command
            .split_first()
            .expect("clap requires a command");
        let job = lease.job();
        let mut command = Command::new(program);
        command
            .args(args)
            .env("ABIDE_SERVER", self.common.first_server())
            .env("ABIDE_JOB_ID", job.id.as_str())
            .env("ABIDE_JOB_KIND", &job.kind)
            .env("ABIDE_JOB_ATTEMPT", job.attempts.unwrap_or(1).to_string())
            .env("ABIDE_LEASE_TOKEN", lease.token())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // What it starts ends with it, and Ctrl-C is for the worker alone.
        #[cfg(unix)]
        command.process_group(0);
        command.spawn().map_err(|error| {
            let why = match error.kind() {
                ErrorKind::NotFound => "there is no such program".to_owned(),
                _ => error.to_string(),
            };
            Failure::new(USAGE, format!("failed to start {program}: {why}")).into()
        })
    }

    /// Feeds the command and waits for its end, or ends it when its job is over.
    async fn attend(&self, mut child: Child, lease: &Lease) -> anyhow::Result<Ended> {
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let input = lease.job().input.as_ref().map_or("null", Json::get);
        let mut output = Output::default();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A command may leave its input unread.
                let _unread = stdin.write_all(input.as_bytes()).await;
            }
        };
        let pipes = async {
            tokio::join!(
                feed,
                read(stdout, &mut output.result, keep_first, false),
                read(stderr, &mut output.errors, keep_last, true),
            )
        };
        let mut pipes = Box::pin(pipes.fuse());
        let ended = {
            let whole = async {
                tokio::select! {
                    // Without an end of its output it hasn't ended, unless its process has.
                    _ = &mut pipes => child.wait().await,
                    status = child.wait() => {
                        let _left = timeout(OUTPUT_WAIT, &mut pipes).await;
                        status
                    }
                }
            };
            tokio::select! {
                status = whole => Ok(status.context("failed to wait for the command")?),
                over = lease.over() => Err(Some(over)),
                () = self.stop.cancelled() => Err(None),
            }
        };
        if ended.is_err() {
            // Its output is read to the last: what writes to a closed pipe dies of that.
            let mut end = pin!(self.end(&mut child));
            loop {
                tokio::select! {
                    () = &mut end => break,
                    _ = &mut pipes => {}
                }
            }
        }
        drop(pipes);
        Ok(match ended {
            Ok(status) => Ended::Itself(status, output),
            Err(over) => over.map_or(Ended::Stopped, Ended::Over),
        })
    }

    /// Ends a command, kindly at first.
    async fn end(&self, child: &mut Child) {
        signal(child, false);
        if timeout(self.args.grace.get(), child.wait()).await.is_err() {
            signal(child, true);
            let _killed = child.wait().await;
        }
    }
}

/// Signals the command and all that it started.
#[cfg(unix)]
fn signal(child: &mut Child, kill: bool) {
    use rustix::process::{Pid, Signal, kill_process_group};
    let id = child.id().and_then(|id| i32::try_from(id).ok());
    if let Some(id) = id.and_then(Pid::from_raw) {
        let signal = if kill { Signal::KILL } else { Signal::TERM };
        // It may just have ended.
        let _gone = kill_process_group(id, signal);
    }
}

#[cfg(not(unix))]
fn signal(child: &mut Child, _: bool) {
    let _gone = child.start_kill();
}

/// Reads a command's output to its end. `shows` repeats it on our stderr.
async fn read(
    from: Option<impl AsyncRead + Unpin>,
    into: &mut Vec<u8>,
    keep: fn(&mut Vec<u8>, &[u8]),
    shows: bool,
) {
    let Some(mut from) = from else {
        return;
    };
    let mut bytes = [0; 8 << 10];
    while let Ok(length @ 1..) = from.read(&mut bytes).await {
        keep(into, &bytes[..length]);
        if shows {
            use std::io::Write as _;
            // A closed stderr is fine.
            let _closed = std::io::stderr().write_all(&bytes[..length]);
        }
    }
}

/// One byte more than a result may have, which tells that it is too large.
fn keep_first(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = (BODY_BYTES_MAX + 1).saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

fn keep_last(kept: &mut Vec<u8>, bytes: &[u8]) {
    kept.extend_from_slice(bytes);
    let more = kept.len().saturating_sub(ERRORS_BYTES_MAX);
    kept.drain(..more);
}

/// What a command wrote, as a result: JSON if it is some, nothing as `null`, and else a text.
fn result(written: &[u8]) -> Result<Json, Box<Problem>> {
    if written.len() > BODY_BYTES_MAX {
        let title = "The command wrote more than a result may have";
        let problem = Problem::new(500, Code::TOO_LARGE, title);
        let detail = format!("a result has at most {BODY_BYTES_MAX} bytes");
        return Err(Box::new(problem.detail(detail)));
    }
    let text = String::from_utf8_lossy(written);
    Ok(match text.trim() {
        "" => Json::from(serde_json::Value::Null),
        text => match RawValue::from_string(text.to_owned()) {
            Ok(json) => json.into(),
            Err(_) => Json::from(serde_json::Value::from(text)),
        },
    })
}

/// Whether the server refuses what the command wrote: it is too large once it is written as JSON, too deep, or has in
/// it what JSON can't say everywhere. Another worker's would be refused as well.
fn is_about_the_result(error: &Error) -> bool {
    matches!(error.status(), Some(400 | 413 | 422))
}

/// Why a job failed whose result the server refused.
fn refused(error: &Error) -> Problem {
    let title = "The server refused the command's result";
    let problem = Problem::new(500, Code::new("result_refused"), title);
    let said = error.problem().and_then(|said| said.detail.clone());
    problem.detail(said.unwrap_or_else(|| error.to_string()))
}

/// Why a command's job failed: how it ended, and the last line that it complained with.
fn failure(status: ExitStatus, errors: &[u8]) -> Problem {
    let errors = String::from_utf8_lossy(errors);
    let last = errors.lines().rev().find(|line| !line.trim().is_empty());
    let last = last.map(|line| {
        line.trim()
            .chars()
            .take(ERROR_CHARS_MAX)
            .collect::<String>()
    });
    let detail = match last {
        Some(last) => format!("{status}: {last}"),
        None => status.to_string(),
    };
    let problem = Problem::new(
        500,
        Code::new("command_failed"),
        "The worker's command failed",
    );
    problem.detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_writes_is_json_or_text() {
        for (written, expected) in [
            ("", "null"),
            (" \n", "null"),
            ("{\"a\": 1}\n", "{\"a\": 1}"),
            ("12", "12"),
            ("done\n", "\"done\""),
            ("{\"a\": 1} {}", "\"{\\\"a\\\": 1} {}\""),
        ] {
            assert_eq!(
                result(written.as_bytes()).unwrap().get(),
                expected,
                "{written:?}"
            );
        }
        let large = vec![b'a'; BODY_BYTES_MAX + 1];
        assert_eq!(result(&large).unwrap_err().code, Code::TOO_LARGE);
    }
}
