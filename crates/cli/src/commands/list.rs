//! `abide list`

use std::process::ExitCode;

use abide::Status;
use abide_wire::limits::PAGE_JOBS_MAX;
use clap::Args;

use super::create::pair;
use crate::connect::{Common, block_on};
use crate::{exit, output, show};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide list
  abide list --status failed --kind dub --limit 10
  abide list --metadata user=42 --json | jq -r .id
  abide wait $(abide list --status running --json | jq -r .id)";

/// What `abide list` takes.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only jobs that stand so; may be repeated, for any of these
    #[arg(long, value_name = "STATUS")]
    status: Vec<String>,
    /// Only jobs of that kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Only jobs on which that was noted; may be repeated
    #[arg(long, value_name = "NAME=TEXT", value_parser = pair)]
    metadata: Vec<(String, String)>,
    /// At most so many [default: all]
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

/// Writes how jobs stand, a line each, the newest first.
pub(crate) fn run(common: &Common, args: &ListArgs) -> anyhow::Result<ExitCode> {
    block_on(async {
        common.check_listening().await?;
        let mut left = args.limit.unwrap_or(usize::MAX);
        let mut list = common.client()?.list().page_size(left.min(PAGE_JOBS_MAX));
        for status in &args.status {
            list = list.status(Status::from(status.clone()));
        }
        if let Some(kind) = &args.kind {
            list = list.kind(kind.as_str());
        }
        for (name, text) in &args.metadata {
            list = list.metadata(name, text.as_str());
        }
        // Written as they come: the reader may want only the first few.
        while left > 0
            && let Some(page) = list
                .next_page()
                .await
                .map_err(|error| common.failure(&error))?
        {
            for job in page.into_iter().take(left) {
                left -= 1;
                if common.json {
                    output::json(&job)?;
                } else {
                    output::line(&show::line(&job))?;
                }
            }
        }
        for id in list.unreadable() {
            output::say(&format!("{id} can't be read and is left out"));
        }
        Ok(match list.unreadable() {
            [] => ExitCode::SUCCESS,
            _ => ExitCode::from(exit::UNREACHABLE),
        })
    })
}
