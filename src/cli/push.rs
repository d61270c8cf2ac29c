//! `onenb push`: sends data to the remote.

use super::errors::{Exit, Failure};
use super::json::{Pushed, document};
use super::output::Context;
use super::render;
use crate::{PushOptions, PushOutcome, PushSummary};

const EXAMPLES: &str = "\
Examples:
  onenb push
  onenb push v1
  onenb push --all --dry-run";

/// Send the data of tags to the remote
///
/// Without a revision: every tag that is not there yet. Never runs `git push`.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Tags, branches or commits
    #[arg(value_name = "REV", conflicts_with_all = ["all", "delete"])]
    revs: Vec<String>,
    /// Every tag, also those confirmed before
    #[arg(long, conflicts_with = "delete")]
    all: bool,
    /// Create the remote if it does not exist
    #[arg(long)]
    create: bool,
    /// Only say what would be sent
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Let a tag that moved move on the remote too, and send again what is lost or damaged there
    #[arg(long)]
    force: bool,
    /// Delete a tag on the remote, or what a branch or commit uploaded there; `gc --remote` frees the room
    #[arg(long, value_name = "REV")]
    delete: Option<String>,
    /// Let `gc --remote` take what a tag named there before it was moved
    #[arg(long, value_name = "TAG", conflicts_with_all = ["revs", "all", "delete"])]
    forget_history: Option<String>,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let options = PushOptions {
        revs: args.revs.clone(),
        all: args.all,
        create: args.create,
        dry_run: args.dry_run,
        force: args.force,
        delete: args.delete.clone(),
        forget_history: args.forget_history.clone(),
    };
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    let mut progress = ctx.progress();
    let summary = repo.push(&options, &mut |news| progress.update(news))?;
    drop(progress);
    for warning in &summary.warnings {
        ctx.talk.warn(warning);
    }
    ctx.conclude(&document(Pushed::from(&summary)), || note(&summary, args))?;
    let is_refused = |(_, outcome): &(String, PushOutcome)| matches!(outcome, PushOutcome::Refused { .. });
    Ok(if summary.revs.iter().any(is_refused) { Exit::Findings } else { Exit::Success })
}

fn note(summary: &PushSummary, args: &Args) -> String {
    if summary.remote.is_empty() {
        return "storage is local: nothing to send\nhint: choose a remote with `onenb remote set`".to_owned();
    }
    if let Some(tag) = &args.delete {
        if summary.revs.iter().any(|(_, outcome)| *outcome == PushOutcome::AlreadyDeleted) {
            return format!("`{tag}` was deleted on {} before", summary.remote);
        }
        let verb = if args.dry_run { "would delete" } else { "deleted" };
        return format!("{verb} `{tag}` on {}; `onenb push {tag}` brings it back", summary.remote);
    }
    if let Some(tag) = &args.forget_history {
        let verb = if args.dry_run { "would forget" } else { "forgot" };
        return format!("{verb} what `{tag}` named before on {}; `onenb gc --remote` frees the room", summary.remote);
    }
    if summary.revs.is_empty() && summary.is_created {
        return format!("{} is a remote now; no tag here has exports to push", summary.remote);
    }
    if summary.revs.is_empty() && summary.is_absent {
        return format!("nothing to push: no tag here has exports, and {} is no remote yet", summary.remote);
    }
    if summary.revs.is_empty() {
        let all = if summary.warnings.is_empty() { "every tag" } else { "every other tag" };
        return format!("{all} is on {} already", summary.remote);
    }
    let mut lines: Vec<String> =
        summary.revs.iter().map(|(rev, outcome)| outcome_line(rev, outcome, args.dry_run)).collect();
    lines.push(format!(
        "{} {} ({} in {}) to {}",
        if args.dry_run { "would send" } else { "sent" },
        render::size(summary.bytes_sent),
        render::count(summary.exports as u64, "export"),
        render::count(summary.packs, "pack"),
        summary.remote
    ));
    lines.join("\n")
}

fn outcome_line(rev: &str, outcome: &PushOutcome, dry_run: bool) -> String {
    match outcome {
        PushOutcome::Pushed if dry_run => format!("{rev}: would be pushed"),
        PushOutcome::Pushed => format!("{rev}: pushed"),
        PushOutcome::AlreadyThere => format!("{rev}: already there"),
        PushOutcome::Deleted => format!("{rev}: deleted"),
        PushOutcome::AlreadyDeleted => format!("{rev}: deleted before"),
        PushOutcome::Skipped(missing) => {
            format!("{rev}: skipped, its data is neither here nor there: {}", missing.join(", "))
        }
        PushOutcome::Refused { reason, hint } => format!("{rev}: refused: {reason}\nhint: {hint}"),
    }
}
