//! Another system's API instead of abide's own.

use std::path::Path;

use abide::Remote;
use clap::Args;

use crate::connect::Common;
use crate::exit::{Failure, USAGE};

/// The flags.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Other systems")]
pub(crate) struct Vendor {
    /// Speak another system's API: a preset such as `replicate`, or a TOML file that describes it
    #[arg(long, value_name = "NAME|FILE.toml")]
    remote: Option<String>,
    /// The key to show to it
    #[arg(
        long,
        env = "ABIDE_REMOTE_KEY",
        value_name = "KEY",
        hide_env_values = true
    )]
    remote_key: Option<String>,
}

impl Vendor {
    /// The common flags, for that system if one is named: its own address if none was given, never the key of abide's
    /// own server, and the kind of the jobs.
    ///
    /// # Errors
    ///
    /// A name that is no preset, a file that can't be read, or no address.
    pub(crate) fn applied(&self, common: &Common, kind: Option<&str>) -> Result<Common, Failure> {
        let Some(name) = &self.remote else {
            return Ok(common.clone());
        };
        let remote = read(name)?;
        let server = match (&remote.base, common.has_default_server()) {
            (_, false) => common.server.clone(),
            (Some(base), true) => base.clone(),
            (None, true) => {
                return Err(Failure::new(
                    USAGE,
                    format!("--remote {name} needs --server with the address of that system"),
                ));
            }
        };
        Ok(Common {
            server,
            api_key: self.remote_key.iter().cloned().collect(),
            json: common.json,
            remote: Some((name.clone(), remote)),
            kind: kind.map(str::to_owned),
        })
    }
}

/// The description with that name, or in that file.
fn read(name: &str) -> Result<Remote, Failure> {
    let is_file = Path::new(name)
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("toml"));
    if !is_file {
        return Remote::preset(name)
            .map_err(|error| Failure::new(USAGE, format!("--remote: {error}")));
    }
    let wrong = |why: String| Failure::new(USAGE, format!("--remote {name}: {why}"));
    let text = std::fs::read_to_string(name).map_err(|error| wrong(error.to_string()))?;
    toml::from_str(&text).map_err(|error| wrong(error.to_string()))
}
