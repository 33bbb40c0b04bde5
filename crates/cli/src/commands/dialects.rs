//! `abide dialects`

use std::process::ExitCode;

use serde_json::json;

use crate::connect::Common;
use crate::{output, url};

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide dialects
  abide dialects --json | jq -r .url";

/// Writes which vendors' interfaces a server speaks, and the URL that stands for each vendor's host.
pub(crate) fn run(common: &Common) -> anyhow::Result<ExitCode> {
    let server = url::read_server(common.first_server())?;
    let width = abide_server::http::dialects().map(str::len).max();
    for name in abide_server::http::dialects() {
        let address = format!("{server}/dialects/{name}");
        if common.json {
            output::json(&json!({"name": name, "url": address}))?;
        } else {
            output::line(&format!("{name:0$}  {address}", width.unwrap_or_default()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
