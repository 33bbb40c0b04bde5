//! `abide attack`

use std::process::ExitCode;
use std::time::Duration;

use abide_attack::{Attack, AttackError, Grade, Verdict};
use abide_wire::Span;
use clap::Args;
use serde::Serialize;

use crate::connect::{Common, block_on};
use crate::exit::{self, Failure, UNREACHABLE, USAGE};
use crate::interrupt::unless_interrupted;
use crate::{output, secret, show, url};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide attack http://127.0.0.1:3000/hook --secret whsec_...
  abide attack http://127.0.0.1:3000/hook --only old_timestamp --only forged_signature
  abide attack $URL --strict --json | jq 'select(.grade == \"fail\")'

Exit codes: 0 every check passed, 1 one failed (with --strict, or has a warning), 3 the receiver
can't be reached.";

/// What `abide attack` takes.
#[derive(Debug, Args)]
pub(crate) struct AttackArgs {
    /// The receiver's URL; attack only your own
    #[arg(value_name = "URL")]
    url: String,
    /// The receiver's secret, `whsec_…`
    #[arg(
        long,
        env = "ABIDE_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    secret: String,
    /// Run only this check (repeatable)
    #[arg(long, value_name = "CHECK", value_parser = clap::builder::PossibleValuesParser::new(Attack::checks()))]
    only: Vec<String>,
    /// Skip this check, one of the same (repeatable)
    #[arg(long, value_name = "CHECK", hide_possible_values = true)]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(Attack::checks()))]
    skip: Vec<String>,
    /// Response timeout
    #[arg(long, value_name = "DURATION", default_value = "15s")]
    timeout: Span,
    /// How long to drip a slow body before the receiver fails that check
    #[arg(long, value_name = "DURATION", default_value = "20s")]
    patience: Span,
    /// Body of a valid delivery: JSON or `@FILE` [default: a job.completed event]
    #[arg(long, value_name = "JSON")]
    payload: Option<String>,
    /// Fail on warnings too
    #[arg(long)]
    strict: bool,
}

/// How it went, in a line of JSON after those of the checks.
#[derive(Debug, Serialize)]
struct Summary {
    passed: usize,
    warned: usize,
    failed: usize,
    ok: bool,
}

/// Attacks a receiver and says how it stood each check.
pub(crate) fn run(common: &Common, args: &AttackArgs) -> anyhow::Result<ExitCode> {
    let secret = secret::read(&args.secret)?;
    let mut attack = Attack::new(url::read("URL", &args.url)?.as_str(), secret)
        .map_err(|error| failure(&error))?
        .timeout(at_least_a_moment(args.timeout))
        .patience(at_least_a_moment(args.patience));
    if let Some(payload) = &args.payload {
        attack = attack.payload(read_payload(payload)?);
    }
    let wanted = |name: &str| {
        (args.only.is_empty() || args.only.iter().any(|only| only == name))
            && !args.skip.iter().any(|skip| skip == name)
    };
    block_on(async {
        let mut unwritten = None;
        let tell = |verdict: &Verdict| {
            let written = if common.json {
                output::json(verdict)
            } else {
                output::line(&line(verdict))
            };
            if let Err(error) = written {
                unwritten.get_or_insert(error);
            }
        };
        let Some(result) = unless_interrupted(attack.run(wanted, tell)).await? else {
            return Ok(ExitCode::from(exit::INTERRUPTED));
        };
        let verdicts = result.map_err(|error| failure(&error))?;
        if let Some(error) = unwritten {
            return Err(error.into());
        }
        let summary = sum_up(&verdicts, args.strict);
        if common.json {
            output::json(&summary)?;
        } else {
            output::say(&format!(
                "abide: {} passed, {} with a warning, {} failed",
                summary.passed, summary.warned, summary.failed
            ));
        }
        Ok(if summary.ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(exit::FAILED)
        })
    })
}

fn sum_up(verdicts: &[Verdict], is_strict: bool) -> Summary {
    let count = |grade| {
        verdicts
            .iter()
            .filter(|verdict| verdict.grade == grade)
            .count()
    };
    let (warned, failed) = (count(Grade::Warn), count(Grade::Fail));
    Summary {
        passed: count(Grade::Pass),
        warned,
        failed,
        ok: failed == 0 && (warned == 0 || !is_strict),
    }
}

fn line(verdict: &Verdict) -> String {
    let style = match verdict.grade {
        Grade::Pass => show::GOOD,
        Grade::Warn => show::ENDED,
        Grade::Fail => show::BAD,
    };
    let grade = show::styled(style, verdict.grade);
    let mut text = format!(
        "{grade}  {:<17} {}",
        verdict.check,
        show::plain(&verdict.seen)
    );
    if verdict.grade != Grade::Pass {
        text.push_str(&show::styled(
            show::DIM,
            format!("; expected: {}", verdict.expected),
        ));
    }
    text
}

fn read_payload(text: &str) -> anyhow::Result<String> {
    let payload = match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| {
            let why = format!("--payload: failed to read {path}: {error}");
            Failure::new(USAGE, why)
        })?,
        None => text.to_owned(),
    };
    serde_json::from_str::<serde::de::IgnoredAny>(&payload)
        .map_err(|error| Failure::new(USAGE, format!("--payload is not JSON: {error}")))?;
    Ok(payload)
}

fn at_least_a_moment(span: Span) -> Duration {
    span.get().max(Duration::from_millis(100))
}

fn failure(error: &AttackError) -> Failure {
    let code = match error {
        AttackError::Url(_) => USAGE,
        _ => UNREACHABLE,
    };
    Failure::new(code, error.to_string())
}
