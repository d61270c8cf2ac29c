//! `onenb deps`: what an export was made from.

use super::args::SpecArgs;
use super::errors::{Exit, Failure};
use super::json::{Dependencies, DependencyRow, document};
use super::output::Context;
use super::render;
use crate::Dependency;

const EXAMPLES: &str = "\
Examples:
  onenb deps v1:Report -p year=2023
  onenb deps working:Report --json";

/// Show what an export was made from, and what changed since
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let resolved = args.spec.resolve(&workspace, ctx)?;
    let dependencies = workspace.deps(&resolved)?;
    let body = Dependencies { dependencies: dependencies.iter().map(DependencyRow::from).collect() };
    ctx.print(&document(body), || table(&dependencies))?;
    if dependencies.is_empty() {
        let label = resolved.export.record.label();
        ctx.talk.note(&format!("no input of {label} is known; imports through OneNB are recorded by themselves"));
    }
    Ok(Exit::Success)
}

fn table(dependencies: &[Dependency]) -> String {
    let rows: Vec<Vec<String>> = dependencies
        .iter()
        .map(|Dependency { input, depth, now }| {
            let indent = "  ".repeat(depth.saturating_sub(1));
            let now = now.map_or_else(|| "current".to_owned(), |now| format!("now {}", now.short()));
            vec![
                format!("{indent}{}@{}:{}{}", input.repo, input.rev, input.name, input.params),
                input.digest.short(),
                now,
            ]
        })
        .collect();
    render::table(&rows, &[])
}
