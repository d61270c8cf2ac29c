//! `onenb doctor`: checks the surroundings.

use super::errors::{Exit, Failure};
use super::json::{CheckRow, Checks, document};
use super::output::Context;
use super::render;
use crate::Check;

const EXAMPLES: &str = "\
Examples:
  onenb doctor
  onenb doctor --json";

/// Check repository, store, hooks and configuration
///
/// Exit code 1 if a check fails. Changes nothing.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {}

pub(super) fn run(_: &Args, ctx: &Context) -> Result<Exit, Failure> {
    report(&ctx.workspace().doctor(), ctx)
}

/// Prints checks, for `doctor` and `remote check`.
pub(super) fn report(checks: &[Check], ctx: &Context) -> Result<Exit, Failure> {
    let body = Checks { checks: checks.iter().map(CheckRow::from).collect() };
    ctx.print(&document(body), || text(checks))?;
    Ok(if checks.iter().all(|check| check.ok) { Exit::Success } else { Exit::Findings })
}

fn text(checks: &[Check]) -> String {
    let mut rows = Vec::new();
    for check in checks {
        let verdict = if check.ok { "ok" } else { "bad" };
        rows.push(vec![verdict.to_owned(), check.name.clone(), check.message.clone()]);
        if let Some(hint) = &check.hint {
            rows.push(vec![String::new(), String::new(), format!("hint: {hint}")]);
        }
    }
    render::table(&rows, &[])
}
