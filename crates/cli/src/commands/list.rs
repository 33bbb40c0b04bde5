//! `abide list`

use std::process::ExitCode;

use abide::{Job, Status, Timestamp};
use abide_wire::limits::PAGE_JOBS_MAX;
use clap::Args;

use super::create::pair;
use crate::columns::{Columns, ID_COLUMNS, Output};
use crate::connect::{Common, block_on};
use crate::{exit, output, show};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide list
  abide list -o wide                               with metadata and the time of creation
  abide list --status failed --kind dub --limit 10
  abide list --metadata user=42 --json | jq -r .id
  abide wait $(abide list --status running --json | jq -r .id)";

/// The words for how a job stands.
const STATUSES: [&str; 5] = ["pending", "running", "completed", "failed", "canceled"];

/// What `abide list` takes.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Filter by status (repeatable, matches any)
    #[arg(long, value_name = "STATUS", value_parser = STATUSES, ignore_case = true)]
    status: Vec<String>,
    /// Filter by kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Filter by metadata (repeatable, matches all)
    #[arg(long, value_name = "NAME=TEXT", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// Maximum number of jobs [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    #[command(flatten)]
    output: Output,
}

/// The columns; those after the first [`NARROW`] are shown with `-o wide` alone.
const COLUMNS: &[(&str, usize)] = &[
    ("ID", ID_COLUMNS),
    ("STATUS", 9),
    ("KIND", 17),
    ("AGE", 11),
    ("PROGRESS", 40),
    ("CREATED", 24),
    ("METADATA", 0),
];
const NARROW: usize = 5;

fn cells(job: &Job, now: Timestamp) -> Vec<String> {
    let metadata = job.metadata.as_ref().map(|metadata| metadata.get());
    vec![
        show::plain(job.id.as_str()).into_owned(),
        show::status(&job.status),
        show::plain(&job.kind).into_owned(),
        show::duration(now.since(job.created_at)),
        show::remark(job).unwrap_or_default(),
        job.created_at.to_string(),
        show::plain(metadata.unwrap_or_default()).into_owned(),
    ]
}

/// Writes jobs, a line each, the newest first.
pub(crate) fn run(common: &Common, args: &ListArgs) -> anyhow::Result<ExitCode> {
    block_on(async {
        common.check_listening().await?;
        let mut left = args.limit.unwrap_or(usize::MAX);
        let (client, reach) = common.client_with_memory(None)?;
        let mut list = client.list().page_size(left.min(PAGE_JOBS_MAX));
        for status in &args.status {
            list = list.status(Status::from(status.to_lowercase()));
        }
        if let Some(kind) = &args.kind {
            list = list.kind(kind.as_str());
        }
        for (name, text) in &args.metadata {
            list = list.metadata(name, text.as_str());
        }
        let mut columns = Columns::new(&args.output, common.json, COLUMNS).narrow(NARROW);
        // Written as they come: the reader may want only the first few.
        while left > 0
            && let Some(page) = list
                .next_page()
                .await
                .map_err(|error| common.failure(&error))?
        {
            // By the server's clock, which may be fast, or stand still.
            let now = reach.server_now();
            for job in page.into_iter().take(left) {
                left -= 1;
                columns.write(&job, || cells(&job, now))?;
            }
        }
        columns.end("abide: no job matches");
        for id in list.unreadable() {
            output::say(&format!("{id} can't be read and is left out"));
        }
        Ok(match list.unreadable() {
            [] => ExitCode::SUCCESS,
            _ => ExitCode::from(exit::UNREACHABLE),
        })
    })
}
