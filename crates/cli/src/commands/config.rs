//! `abide config`

use std::process::ExitCode;

use super::serve::SettingFlags;
use crate::output;

/// Shows the configuration, and where each value comes from.
pub(crate) fn run(flags: &SettingFlags, _json: bool) -> anyhow::Result<ExitCode> {
    let resolved = flags.resolve()?;
    output::line(resolved.to_string().trim_end())?;
    Ok(ExitCode::SUCCESS)
}
