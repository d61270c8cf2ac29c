//! `onenb hook`: what the blocks in Git's hooks call.
//!
//! - Exit code 1 is the refusal of a push and nothing else; every error, also a panic, is one line and exit code 0.
//! - Silent where there is nothing to say, and in repositories that were never set up.

use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::errors::Exit;
use super::output::Context;
use super::render::visible;
use crate::HookOutcome;
use crate::error::ErrorKind;

const EXAMPLES: &str = "\
Examples:
  onenb hook post-commit
  onenb hook pre-push origin ../origin.git < refs";

/// Run what a Git hook asks for
///
/// Takes exactly Git's arguments and stdin. Exits with 1 to stop a push, else with 0.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Name of the hook, such as post-commit
    pub(super) event: String,
    /// Git's arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(super) arguments: Vec<String>,
}

pub(super) fn run(event: &str, arguments: &[String], ctx: &Context) -> Exit {
    // The default report of a panic is many lines; a commit is no place for them.
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = catch_unwind(AssertUnwindSafe(|| outcome(event, arguments, ctx))).unwrap_or_else(|_| {
        let line = format!("the {event} hook failed inside onenb; `onenb status` shows what it left open");
        HookOutcome { lines: vec![line], refuse: false }
    });
    let mut stderr = io::stderr().lock();
    for line in outcome.lines.iter().flat_map(|text| text.lines()) {
        let _ = writeln!(stderr, "onenb: {}", visible(line));
    }
    if outcome.refuse && event == "pre-push" { Exit::Findings } else { Exit::Success }
}

fn outcome(event: &str, arguments: &[String], ctx: &Context) -> HookOutcome {
    let workspace = ctx.workspace_of_hook();
    match workspace.repo() {
        Ok(repo) => repo.run_hook(event, arguments, &mut io::stdin().lock()),
        // Commits from before `onenb init` may be checked out; the hooks are still there then.
        Err(error) if matches!(error.kind(), ErrorKind::NotInitialised | ErrorKind::NotARepository) => {
            HookOutcome::default()
        }
        Err(error) => HookOutcome { lines: vec![format!("{event}: {error}")], refuse: false },
    }
}
