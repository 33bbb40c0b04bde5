//! `abide completions` and `abide man`

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Command};
use clap_complete::Shell;
use clap_mangen::Man;

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
    let mut program = program.disable_help_subcommand(true);
    program.build();
    std::fs::create_dir_all(directory)
        .with_context(|| format!("failed to make {}", directory.display()))?;
    write_pages(&program, directory)
        .with_context(|| format!("failed to write to {}", directory.display()))?;
    output::say(&format!(
        "abide: wrote the manual; try `man {}/abide.1`",
        directory.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages of the command and of those below it.
fn write_pages(command: &Command, directory: &Path) -> io::Result<()> {
    for below in command.get_subcommands() {
        write_pages(below, directory)?;
    }
    let man = Man::new(command.clone());
    std::fs::write(directory.join(man.get_filename()), page(&man, command)?)
}

/// A page whose synopsis is the usage line, not all flags, and whose examples stand before the flags and in lines of
/// their own, as in the help.
fn page(man: &Man, command: &Command) -> io::Result<Vec<u8>> {
    let usage = command.clone().render_usage().to_string();
    let commands = command.get_before_help().map(ToString::to_string);
    let examples = command.get_after_help().map(ToString::to_string);
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend(verbatim("SYNOPSIS", usage.trim_start_matches("Usage: ")));
    man.render_description_section(&mut page)?;
    match (commands, examples) {
        (Some(commands), codes) => {
            page.extend(verbatim("COMMANDS", &commands));
            page.extend(verbatim("EXIT STATUS", &codes.unwrap_or_default()));
        }
        (None, Some(examples)) => {
            let examples = examples.trim_start_matches("Examples:\n");
            page.extend(verbatim("EXAMPLES", examples));
        }
        (None, None) => {}
    }
    man.render_options_section(&mut page)?;
    if command.has_subcommands() && command.get_before_help().is_none() {
        man.render_subcommands_section(&mut page)?;
    }
    man.render_version_section(&mut page)?;
    Ok(page)
}

/// A section whose lines stay as they are.
fn verbatim(name: &str, text: &str) -> Vec<u8> {
    let mut section = format!(".SH {name}\n.nf\n");
    for line in text.trim_end().lines() {
        // What is no text to roff: a backslash, signs that it sets as others, and a dot at the beginning.
        let line = line.replace('\\', "\\e").replace('-', "\\-");
        let line = line.replace('\'', "\\(aq").replace('`', "\\(ga");
        section.push_str(&format!("\\&{line}\n"));
    }
    section.push_str(".fi\n");
    section.into_bytes()
}
