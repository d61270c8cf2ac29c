//! `onenb hooks`: installs, removes and shows Git's hooks.

use clap::Subcommand;

use super::errors::{Exit, Failure};
use super::json::{Hooks, HooksReport, document};
use super::output::Context;
use super::render;
use crate::error::{Error, ErrorKind};
use crate::{HookReport, host};

const EXAMPLES: &str = "\
Examples:
  onenb hooks install
  onenb hooks status";

/// Install, remove or show Git's hooks
///
/// Hooks stage records, bind exports to commits and check tags before they are pushed. They never block a commit, and
/// onenb works without them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
enum Action {
    /// Put our block into the files that Git runs, in front of what is there
    Install,
    /// Take our block out again and leave everything else as it was
    Uninstall,
    /// Show what is installed; exit code 1 if anything is missing or outdated
    Status,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    let report = match args.action {
        Action::Install => repo.hooks_install(&program()?)?,
        Action::Uninstall => repo.hooks_uninstall()?,
        Action::Status => repo.hooks_status()?,
    };
    let body = document(HooksReport { hooks: Hooks::from(&report) });
    if args.action != Action::Status {
        ctx.conclude(&body, || summary(&report).trim().to_owned())?;
        return Ok(Exit::Success);
    }
    ctx.print(&body, || format!("{}{}", table(&report), summary(&report)))?;
    Ok(if report.is_current() { Exit::Success } else { Exit::Findings })
}

fn program() -> Result<std::path::PathBuf, Error> {
    host::environment()
        .program
        .ok_or_else(|| Error::new(ErrorKind::Failed, "the system does not tell where this program is"))
}

fn table(report: &HookReport) -> String {
    let rows: Vec<Vec<String>> =
        report.events.iter().map(|(event, state)| vec![event.clone(), state.clone()]).collect();
    render::table(&rows, &[])
}

/// Says in one line how the hooks are, for `hooks` and `status`.
pub(super) fn summary(report: &HookReport) -> String {
    let not_installed: Vec<&str> =
        report.events.iter().filter(|(_, state)| state != "installed").map(|(event, _)| event.as_str()).collect();
    if let Some(path) = &report.dead_path {
        return format!(
            "hooks: {} is gone; `onenb hooks install` repairs them\n",
            render::one_line(&path.to_string_lossy())
        );
    }
    if report.is_current() {
        return "hooks: installed\n".to_owned();
    }
    format!("hooks: not installed or outdated: {}; `onenb hooks install` adds them\n", not_installed.join(", "))
}
