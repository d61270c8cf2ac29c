//! `onenb show`: everything known of one export.

use super::args::SpecArgs;
use super::errors::{Exit, Failure};
use super::json::{Export, Exports, Members, document};
use super::output::Context;
use super::render;
use crate::{MemberRow, ResolvedExport};

const EXAMPLES: &str = "\
Examples:
  onenb show v1:Sales
  onenb show working:Report -p year=2023
  onenb show 'myrepo@v1:Report?year=2023' --json
  onenb show v1:Model --members";

/// Show what is known of an export: content, producer, inputs
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    /// List the members of a directory
    #[arg(long)]
    members: bool,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let resolved = args.spec.resolve(&workspace, ctx)?;
    if args.members {
        let members = workspace.members(&resolved)?;
        ctx.print(&document(Members::from(members.as_slice())), || table_of(&members))?;
        return Ok(Exit::Success);
    }
    let body = Exports { exports: vec![Export::from(&resolved.export)] };
    ctx.print(&document(body), || text(&resolved))?;
    Ok(Exit::Success)
}

fn table_of(members: &[MemberRow]) -> String {
    let row = |member: &MemberRow| {
        let what = match (&member.target, member.kind) {
            (Some(target), _) => format!("-> {target}"),
            (None, "file") => render::size(member.size),
            (None, kind) => kind.to_owned(),
        };
        vec![render::one_line(&member.path), render::one_line(&what)]
    };
    render::table(&members.iter().map(row).collect::<Vec<_>>(), &[])
}

fn text(resolved: &ResolvedExport) -> String {
    let record = &resolved.export.record;
    let mut rows = vec![
        ("digest", record.digest.to_string()),
        ("size", format!("{} ({} bytes)", render::size(record.size), record.size)),
        ("suffix", format!("{} ({})", record.suffix, record.media_type)),
        ("commit", resolved.export.commit.map_or_else(|| "none yet".to_owned(), |commit| commit.to_string())),
        ("repository", resolved.repo.clone()),
    ];
    if let Some(path) = &record.producer.path {
        rows.push(("made by", path.clone()));
    }
    if let Some(code) = &record.producer.code_identity {
        rows.push(("code", code.to_string()));
    }
    if let Some(value) = &record.value {
        rows.push(("value", value.to_string()));
    }
    for input in &record.inputs {
        rows.push(("input", format!("{}@{}:{}{}", input.repo, input.rev, input.name, input.params)));
    }
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    format!("{}\n{}", render::one_line(&record.label()), render::indent(&render::table(&rows, &[])))
}
