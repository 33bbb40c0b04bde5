//! `abide completions` and `abide man`

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;

use crate::output;

/// Examples, below the flags.
pub(crate) const HELP: &str = "\
Examples:
  abide completions bash > ~/.local/share/bash-completion/completions/abide
  abide completions zsh > ~/.zfunc/_abide
  abide completions fish > ~/.config/fish/completions/abide.fish";

/// What `abide completions` takes.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Examples, below the flags.
pub(crate) const MAN_HELP: &str = "\
Examples:
  abide man ~/.local/share/man/man1 && man abide
  abide man man1 && man ./man1/abide-wait.1";

/// What `abide man` takes.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Directory for the pages (created if missing)
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes what a shell needs to complete our commands.
pub(crate) fn completions(
    args: &CompletionsArgs,
    mut program: Command,
) -> anyhow::Result<ExitCode> {
    // Made in memory, because the generator panics where the pipe is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "abide", &mut script);
    let mut out = std::io::stdout().lock();
    output::written(out.write_all(&script).and_then(|()| out.flush()))?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a manual page for the program and for each command.
pub(crate) fn man(args: &ManArgs, program: Command) -> anyhow::Result<ExitCode> {
    let directory = &args.directory;
    std::fs::create_dir_all(directory)
        .with_context(|| format!("failed to make {}", directory.display()))?;
    clap_mangen::generate_to(program, directory)
        .with_context(|| format!("failed to write to {}", directory.display()))?;
    output::say(&format!(
        "abide: wrote the manual; try `man {}/abide.1`",
        directory.display()
    ));
    Ok(ExitCode::SUCCESS)
}
