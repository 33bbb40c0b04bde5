//! `abide deliveries` and `abide delivery`

use std::process::ExitCode;
use std::time::Duration;

use abide::webhook::{self, Secret, seconds_of, sign};
use abide::webhooks::{Attempt, Delivery};
use abide::{Client, Timestamp};
use abide_wire::headers;
use clap::Args;

use crate::columns::{Columns, ID_COLUMNS, Output};
use crate::connect::{Common, block_on};
use crate::exit::{Failure, USAGE};
use crate::{output, secret, show};

/// What the id of an endpoint begins with.
const ENDPOINT_PREFIX: &str = "wh_";

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide deliveries job_...                 the webhooks of a job
  abide deliveries wh_... --limit 20       those of an endpoint, the newest first
  abide deliveries wh_... --replay         send again what failed or was held";

/// What `abide deliveries` takes.
#[derive(Debug, Args)]
pub(crate) struct DeliveriesArgs {
    /// The job, or the endpoint (wh_…)
    #[arg(value_name = "ID")]
    id: String,
    /// Maximum number of deliveries
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    /// Send again what failed or was held
    #[arg(long)]
    replay: bool,
    /// Replay only what happened since this instant
    #[arg(long, value_name = "INSTANT", requires = "replay")]
    since: Option<Timestamp>,
    /// Replay also what was delivered
    #[arg(long, requires = "replay")]
    delivered: bool,
    #[command(flatten)]
    output: Output,
}

/// Examples, below the flags.
pub(crate) const ONE_HELP: &str = "\
Examples:
  abide delivery msg_...                   what was sent, and what each attempt was answered
  abide delivery msg_... --retry           send it again now
  abide delivery msg_... --curl | sh       send it by curl, signed with ABIDE_WEBHOOK_SECRET";

/// What `abide delivery` takes.
#[derive(Debug, Args)]
pub(crate) struct DeliveryArgs {
    /// The delivery, msg_…
    #[arg(value_name = "ID")]
    id: String,
    /// Send it again now
    #[arg(long, conflicts_with = "curl")]
    retry: bool,
    /// Print it as a curl command
    #[arg(long)]
    curl: bool,
    /// Sign the curl command with this secret, `whsec_…`
    #[arg(
        long,
        env = "ABIDE_WEBHOOK_SECRET",
        hide_env_values = true,
        value_name = "SECRET"
    )]
    secret: Option<String>,
}

/// Lists deliveries, or sends them again.
pub(crate) fn run(common: &Common, args: &DeliveriesArgs) -> anyhow::Result<ExitCode> {
    let is_endpoint = args.id.starts_with(ENDPOINT_PREFIX);
    if args.replay && !is_endpoint {
        let said = "--replay needs an endpoint, wh_…; `abide delivery ID --retry` sends one delivery again";
        return Err(Failure::new(USAGE, said).into());
    }
    block_on(async {
        common.check_listening().await?;
        let client = common.client()?;
        let failure = |error: abide::Error| common.failure(&error);
        if args.replay {
            let webhooks = client.webhooks();
            let started = webhooks.replay(&args.id, args.since, args.delivered);
            let started = started.await.map_err(failure)?;
            if common.json {
                output::json(&started)?;
            } else {
                output::line(&format!("{} on their way again", started.replayed))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut deliveries = if is_endpoint {
            of_endpoint(&client, &args.id, args.limit)
                .await
                .map_err(failure)?
        } else {
            let job = common.job(&client, &args.id).await?;
            let page = client.webhooks().deliveries_of_job(job.id().as_str()).await;
            page.map_err(failure)?.deliveries
        };
        deliveries.truncate(args.limit);
        let mut columns = Columns::new(&args.output, common.json, COLUMNS);
        for delivery in &deliveries {
            columns.write(delivery, || cells(delivery))?;
        }
        columns.end("abide: nothing was to be delivered");
        Ok(ExitCode::SUCCESS)
    })
}

/// The columns.
const COLUMNS: &[(&str, usize)] = &[
    ("ID", ID_COLUMNS),
    ("EVENT", 13),
    ("STATUS", 9),
    ("LAST ANSWER", 16),
    ("ATTEMPTS", 8),
    ("URL", 0),
];

fn cells(delivery: &Delivery) -> Vec<String> {
    let last = delivery.attempts.last();
    let plain = |text: &str| show::plain(text).into_owned();
    vec![
        plain(&delivery.id),
        plain(&delivery.kind),
        plain(&delivery.status),
        last.map(answered).unwrap_or_else(|| "-".to_owned()),
        delivery.attempts.len().to_string(),
        plain(&delivery.url),
    ]
}

async fn of_endpoint(
    client: &Client,
    id: &str,
    limit: usize,
) -> Result<Vec<Delivery>, abide::Error> {
    let (mut found, mut next) = (Vec::new(), None);
    loop {
        let page = client.webhooks().deliveries(id, next.as_deref()).await?;
        found.extend(page.deliveries);
        // A token that doesn't move would be a list without end.
        let moved = page
            .next_page_token
            .filter(|token| next.as_ref() != Some(token));
        next = moved;
        if next.is_none() || found.len() >= limit {
            return Ok(found);
        }
    }
}

/// What came of an attempt, in a few words.
fn answered(attempt: &Attempt) -> String {
    let took = show::duration(Duration::from_millis(attempt.duration_ms));
    match attempt.status {
        Some(status) => format!("{status} in {took}"),
        None => format!("none in {took}"),
    }
}

/// Shows a delivery, or sends it again.
pub(crate) fn one(common: &Common, args: &DeliveryArgs) -> anyhow::Result<ExitCode> {
    let secret = args.secret.as_deref().map(secret::read).transpose()?;
    let delivery = block_on(async {
        common.check_listening().await?;
        let webhooks = common.client()?.webhooks();
        let delivery = if args.retry {
            webhooks.retry(&args.id).await
        } else {
            webhooks.delivery(&args.id).await
        };
        Ok(delivery.map_err(|error| common.failure(&error))?)
    })?;
    if args.curl {
        output::line(&curl(&delivery, secret.as_ref())?)?;
    } else if common.json {
        output::json(&delivery)?;
    } else {
        for line in lines(&delivery) {
            output::line(&line)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(delivery: &Delivery) -> Vec<String> {
    let dim = |text: &str| show::styled(show::DIM, format!("{text:<10}"));
    let mut lines = vec![format!(
        "{}  {}  {}",
        show::plain(&delivery.id),
        show::plain(&delivery.kind),
        show::plain(&delivery.status)
    )];
    let mut more =
        |name: &str, value: &str| lines.push(format!("  {} {}", dim(name), show::plain(value)));
    more("to", &delivery.url);
    if let Some(job) = &delivery.job_id {
        more("job", job.as_str());
    }
    if let Some(next) = delivery.next_attempt_at {
        more("next", &next.to_string());
    }
    if let Some(fault) = &delivery.sim_decision {
        more("simulated", fault);
    }
    more(
        "sent",
        delivery.body.as_deref().unwrap_or("(no longer kept)"),
    );
    for attempt in &delivery.attempts {
        let what = format!("attempt {}", attempt.number);
        let why = attempt.error.as_deref().map(|error| format!(": {error}"));
        more(
            &what,
            &format!(
                "{}  {}{}",
                attempt.at,
                answered(attempt),
                why.unwrap_or_default()
            ),
        );
        if let Some(answer) = attempt
            .answer
            .as_deref()
            .filter(|answer| !answer.is_empty())
        {
            let end = if attempt.answer_truncated { " …" } else { "" };
            more("", &format!("{answer}{end}"));
        }
    }
    lines
}

/// The delivery as a shell's command that sends it as it is, signed now if a secret is at hand.
fn curl(delivery: &Delivery, secret: Option<&Secret>) -> Result<String, Failure> {
    let body = delivery.body.as_deref().ok_or_else(|| {
        Failure::new(
            USAGE,
            "what was sent is no longer kept; only deliveries that may be sent again have it",
        )
    })?;
    let now = webhook::now();
    let mut command = format!(
        "curl -i {} \\\n  -H 'content-type: application/json' \\\n  -H {} \\\n  -H {}",
        quoted(&delivery.url),
        quoted(&format!("{}: {}", headers::WEBHOOK_ID, delivery.id)),
        quoted(&format!(
            "{}: {}",
            headers::WEBHOOK_TIMESTAMP,
            seconds_of(now)
        )),
    );
    if let Some(secret) = secret {
        let signature = sign([secret], &delivery.id, now, body.as_bytes());
        let header = format!("{}: {signature}", headers::WEBHOOK_SIGNATURE);
        command.push_str(&format!(" \\\n  -H {}", quoted(&header)));
    } else {
        output::say("abide: without --secret or ABIDE_WEBHOOK_SECRET the command has no signature");
    }
    command.push_str(&format!(" \\\n  --data-raw {}", quoted(body)));
    Ok(command)
}

/// A text as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_one_word_whatever_is_in_it() {
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $(x)"), r"'it'\''s $(x)'");
    }
}
