//! `abide config`

use std::process::ExitCode;

use serde_json::{Map, Value, json};

use super::serve::SettingFlags;
use crate::output;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide config                          a TOML file that says the same, but for secrets
  abide config --speed 60 --json
  abide config > abide.toml && abide serve --config abide.toml";

/// Shows the configuration, and where each value comes from.
pub(crate) fn run(flags: &SettingFlags, as_json: bool) -> anyhow::Result<ExitCode> {
    let resolved = flags.resolve()?;
    if as_json {
        let settings: Map<String, Value> = resolved
            .entries()
            .map(|(setting, value)| {
                let source = resolved.source(setting.name).to_string();
                let entry = json!({"value": value, "source": source});
                (setting.name.to_owned(), entry)
            })
            .collect();
        output::json(&settings)?;
    } else {
        output::line(resolved.to_string().trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
