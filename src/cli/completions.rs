//! `onenb completions`: scripts that complete commands in a shell.

use std::io::Write as _;

use clap_complete::Shell;

use super::command::clap_command;
use super::errors::{Exit, Failure};
use super::output::{Context, finish, stdout};

const EXAMPLES: &str = "\
Examples:
  onenb completions bash > ~/.local/share/bash-completion/completions/onenb
  onenb completions zsh > ~/.zfunc/_onenb";

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, _: &Context) -> Result<Exit, Failure> {
    // Into memory first: the generator panics where it cannot write.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut clap_command(None), "onenb", &mut script);
    let mut out = stdout();
    out.write_all(&script).map_err(Failure::of_stdout)?;
    finish(out)?;
    Ok(Exit::Success)
}
