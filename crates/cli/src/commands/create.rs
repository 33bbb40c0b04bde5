//! `abide create`

use std::hash::{BuildHasher as _, RandomState};
use std::io::Read as _;
use std::process::ExitCode;

use abide::{Json, NewJob};
use abide_wire::{DurationLaw, OutcomePlan, Simulate, Span, WebhookTarget};
use clap::Args;
use serde_json::{Map, Value};

use super::wait::{self, Until};
use crate::connect::{Common, block_on};
use crate::exit::{self, Failure, USAGE};
use crate::how::How;
use crate::interrupt::Signals;
use crate::vendor::Vendor;
use crate::{output, show, url};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide create
  abide create --kind dub --input '{\"language\": \"es\"}' --metadata user=42
  abide create --duration 5s --error-chance 0 --wait
  abide wait $(abide create)
  abide create --remote runway --kind image_to_video --input @video.json --wait";

/// What `abide create` takes.
#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Kind of work [default: the server's, video_translation]
    #[arg(long, value_name = "WORD")]
    kind: Option<String>,
    /// Input: JSON, `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON")]
    input: Option<String>,
    /// Metadata (repeatable)
    #[arg(long, value_name = "NAME=TEXT", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Simulated duration: `20s`, `uniform:10s:30s`, `lognormal:20s:0.5`, … [default: the server's]
    #[arg(long, value_name = "LAW")]
    duration: Option<DurationLaw>,
    /// Simulated chance of failure, 0 to 1 [default: the server's]
    #[arg(long, value_name = "CHANCE")]
    error_chance: Option<f64>,
    /// Leave the work to an external worker, which claims the job or reports by PATCH
    #[arg(long, conflicts_with_all = ["duration", "error_chance"])]
    external: bool,
    /// Give the job to another worker when one is lost, until it has been claimed this often
    #[arg(long, value_name = "N", requires = "external")]
    attempts_max: Option<u32>,
    /// Fail the job if it takes longer than this
    #[arg(long, value_name = "DURATION")]
    deadline: Option<Span>,
    /// Webhook URL to notify when the job ends
    #[arg(long, value_name = "URL")]
    webhook: Option<String>,
    /// Secret that signs the webhook
    #[arg(long, value_name = "SECRET", requires = "webhook")]
    webhook_secret: Option<String>,
    /// Idempotency key: repeating the create with it makes no second job [default: a new key]
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    /// Wait for the job to finish, as `abide wait` does
    #[arg(long)]
    wait: bool,
    #[command(flatten)]
    how: How,
    #[command(flatten)]
    vendor: Vendor,
}

/// Creates a job and writes its id, or the job with `--json`.
pub(crate) fn run(common: &Common, args: &CreateArgs) -> anyhow::Result<ExitCode> {
    let plan = args.how.plan()?;
    let new = args.new_job()?;
    let common = &args.vendor.applied(common, args.kind.as_deref())?;
    let remote = common.remote.as_ref().map(|(_, remote)| remote);
    if remote.is_some() {
        args.check_foreign()?;
    }
    // Without one of its own the library says so.
    let has_key = remote.is_none_or(|remote| remote.idempotency_header.is_some());
    let named = args.idempotency_key.is_some();
    let key = args.idempotency_key.clone().unwrap_or_else(fresh_key);
    block_on(async {
        common.check_listening().await?;
        let (client, reach) =
            common.client_with_memory(args.how.state_dir().filter(|_| args.wait))?;
        let mut create = client.create(new);
        if has_key || named {
            create = create.idempotency_key(&key);
        }
        // One for the create and the wait: a signal between them isn't lost.
        let mut signals = Signals::listen()?;
        let Some(result) = signals.unless_heard(async { create.await }).await else {
            output::say(&format!(
                "abide: interrupted; whether the job was created isn't known. {}",
                match has_key {
                    true => again(&key),
                    false => "Look for it before you create it again.".to_owned(),
                }
            ));
            return Ok(ExitCode::from(exit::INTERRUPTED));
        };
        let job = result.map_err(|error| {
            let mut failure = common.failure(&error);
            if error.is_unreachable() && has_key {
                let end = if failure.message.ends_with('?') {
                    ""
                } else {
                    "."
                };
                failure.message = format!("{}{end} {}", failure.message, again(&key));
            }
            failure
        })?;
        if args.wait {
            let client = (&client, &reach);
            let until = Until::Done;
            return wait::wait_for(common, client, vec![job], &plan, until, &mut signals).await;
        }
        match job.snapshot() {
            Some(snapshot) if common.json => output::json(snapshot)?,
            _ => output::line(&show::plain(job.id().as_str()))?,
        }
        if job.is_replayed() {
            output::say("abide: this job was there already, created under the same key");
        }
        Ok(ExitCode::SUCCESS)
    })
}

impl CreateArgs {
    /// Makes sure that nothing is asked of another system that only abide's own server does.
    fn check_foreign(&self) -> Result<(), Failure> {
        let ours_alone = [
            ("--metadata", !self.metadata.is_empty()),
            ("--duration", self.duration.is_some()),
            ("--error-chance", self.error_chance.is_some()),
            ("--external", self.external),
            ("--deadline", self.deadline.is_some()),
            ("--webhook", self.webhook.is_some()),
        ];
        match ours_alone.into_iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(Failure::new(
                USAGE,
                format!("{flag} is for abide's own server; with --remote all is said by --input"),
            )),
            None => Ok(()),
        }
    }

    fn new_job(&self) -> anyhow::Result<NewJob> {
        let simulate = Simulate {
            duration: self.duration.clone(),
            outcome: self.error_chance.map(|chance| OutcomePlan {
                error_chance: Some(chance),
                error: None,
            }),
            ..Simulate::default()
        };
        let metadata: Map<_, _> = self
            .metadata
            .iter()
            .map(|(name, text)| (name.clone(), Value::from(text.as_str())))
            .collect();
        let webhook = self.webhook.as_deref().map(|text| {
            Ok::<_, Failure>(WebhookTarget {
                url: url::read("--webhook", text)?.into(),
                events: None,
                secret: self.webhook_secret.clone().map(Into::into),
            })
        });
        let mut new = NewJob {
            kind: self.kind.clone(),
            input: self.input.as_deref().map(read_json).transpose()?,
            metadata: (!metadata.is_empty()).then(|| Value::Object(metadata).into()),
            simulate: (simulate != Simulate::default()).then_some(simulate),
            webhook: webhook.transpose()?,
            deadline_s: self.deadline,
            ..NewJob::default()
        };
        if self.external {
            new = new.external();
        }
        if let Some(attempts_max) = self.attempts_max {
            new = new.retried(attempts_max);
        }
        Ok(new)
    }
}

/// How to send a create again without making a second job.
fn again(key: &str) -> String {
    format!("To send it again without making a second job, add:\n  --idempotency-key {key}")
}

/// A fresh key: 128 bits of the randomness that seeds the standard library's hash maps.
fn fresh_key() -> String {
    let half = || RandomState::new().hash_one("idempotency key");
    format!("{:016x}{:016x}", half(), half())
}

fn read_json(given: &str) -> anyhow::Result<Json> {
    let text = match given.strip_prefix('@') {
        None if given == "-" => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|error| exit::unread_stdin(&error))?;
            text
        }
        None => given.to_owned(),
        Some(path) => std::fs::read_to_string(path)
            .map_err(|error| Failure::new(USAGE, format!("{path} can't be read: {error}")))?,
    };
    // Some editors and shells begin a file with a mark of its encoding.
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| Failure::new(USAGE, format!("--input is not JSON: {error}")).into())
}

/// A name and a text, `NAME=TEXT`.
pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be NAME=TEXT".to_owned()),
    }
}
