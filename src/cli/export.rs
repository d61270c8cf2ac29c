//! `onenb export`: puts a file or a stream into the store under a name.

use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use super::args::ParamArgs;
use super::command::usage;
use super::errors::{Exit, Failure};
use super::json::{Export, Exported, document};
use super::output::Context;
use super::{input, render};
use crate::error::{Error, Result};
use crate::format::name::{ExportName, Suffix};
use crate::{ExportOptions, ExportOutcome, Progress};

const EXAMPLES: &str = "\
Examples:
  onenb export Sales sales.csv
  onenb export Report report.parquet -p year=2023 -p foo=bar
  psql -c 'copy sales to stdout csv' | onenb export Sales --suffix .csv";

/// Export a file, or stdin, under a name
///
/// The data is durable in the local store when the command ends, and readable as `working:NAME`. Commit .1nb to bind it
/// to a commit.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Name of the export: an identifier, or letters, digits, `_` and `-`
    name: String,
    /// File to read; `-` is stdin
    #[arg(default_value = "-")]
    file: PathBuf,
    /// File name suffix such as .csv; taken from FILE if absent
    #[arg(long)]
    suffix: Option<String>,
    #[command(flatten)]
    params: ParamArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let options = ExportOptions {
        name: ExportName::parse(&args.name).map_err(Error::from)?,
        params: args.params.parse()?,
        suffix: suffix(args)?,
        producer: None,
        inputs: Vec::new(),
        run: None,
        cell_source: None,
    };
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    if args.file.as_os_str() == "-" && io::stdin().is_terminal() {
        return Err(usage("nothing to export: name a file, or pipe the data in", "export").into());
    }
    let mut from = input::open(&args.file)?;
    let mut writer = repo.export(options)?;
    let mut progress = ctx.progress();
    let start = Progress { doing: "exporting", done: 0, total: input::known_len(&args.file) };
    let of_write = |error: io::Error| Failure::from(Error::from(error));
    input::copy(from.as_mut(), &mut writer, start, of_write, &mut |news| progress.update(news))?;
    let outcome = writer.finish()?;
    drop(progress);
    conclude(&outcome, ctx)
}

fn suffix(args: &Args) -> Result<Suffix> {
    if let Some(text) = &args.suffix {
        return Ok(Suffix::parse(text)?);
    }
    if args.file.as_os_str() == "-" {
        return Err(usage("data from stdin needs `--suffix`, as in `--suffix .csv`", "export"));
    }
    let name = args.file.file_name().unwrap_or_default().to_string_lossy();
    Suffix::of_file_name(&name)
        .ok_or_else(|| usage(format!("`{name}` has no usable suffix; give one, as in `--suffix .csv`"), "export"))
}

fn conclude(outcome: &ExportOutcome, ctx: &Context) -> Result<Exit, Failure> {
    let body = Exported {
        exports: vec![Export::new(&outcome.record, None)],
        stored: outcome.stored_len,
        unchanged_since: outcome.unchanged_since.as_deref(),
    };
    ctx.conclude(&document(body), || {
        let change = match &outcome.unchanged_since {
            Some(since) => format!("unchanged since {since}"),
            None => format!("{} new in the store", render::size(outcome.stored_len)),
        };
        format!("exported {}: {}, {change}", outcome.record.label(), render::size(outcome.record.size))
    })?;
    Ok(Exit::Success)
}
