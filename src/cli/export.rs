//! `onenb export`: puts a file or a stream into the store under a name.

use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use super::args::ParamArgs;
use super::command::usage;
use super::errors::{Exit, Failure};
use super::json::{Export, Exported, document};
use super::output::Context;
use super::{input, render};
use crate::error::{Error, Result};
use crate::format::directory::DIRECTORY_SUFFIX;
use crate::format::name::{ExportName, Suffix};
use crate::format::params::Params;
use crate::{ExportOptions, ExportOutcome, FileOutcome, Progress, ProgressFn};

const EXAMPLES: &str = "\
Examples:
  onenb export Report report.parquet -p year=2023 -p foo=bar
  onenb export Model checkpoints/last
  onenb export --batch exports.tsv";

/// Export a file, a directory, or stdin, under a name
///
/// The data is durable in the local store when the command ends, and readable as `working:NAME`. Commit .1nb to bind it
/// to a commit. Files on a local disk that look as they did the last time are not read again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Name of the export: an identifier, or letters, digits, `_` and `-`
    #[arg(required_unless_present = "batch")]
    name: Option<String>,
    /// File or directory to read; `-` is stdin
    #[arg(default_value = "-", value_name = "FILE|DIR")]
    file: PathBuf,
    /// Export many files at once, from lines `NAME<TAB>FILE` of LIST (`-` is stdin): all of them, or none
    #[arg(long, value_name = "LIST", conflicts_with_all = ["name", "file"])]
    batch: Option<PathBuf>,
    /// File name suffix such as .csv; taken from FILE if absent
    #[arg(long)]
    suffix: Option<String>,
    #[command(flatten)]
    params: ParamArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    if let Some(list) = &args.batch {
        return super::export_batch::run(list, args.suffix.as_deref(), &args.params, ctx);
    }
    let name = ExportName::parse(args.name.as_deref().unwrap_or_default()).map_err(Error::from)?;
    let is_directory = args.file.is_dir();
    let suffix = if is_directory { folder_suffix(args)? } else { suffix(args)? };
    let options = options(name, args.params.parse()?, suffix);
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    ctx.tell_settings(repo);
    if is_directory {
        let mut progress = ctx.progress();
        let outcome = repo.export_directory(options, &args.file, &mut |news| progress.update(news))?;
        drop(progress);
        let read = format!("{} of {} read", outcome.files_read, render::count(outcome.members as u64, "member"));
        return conclude(&outcome.export, Some(&read), ctx);
    }
    if args.file.as_os_str() == "-" && io::stdin().is_terminal() {
        return Err(usage("nothing to export: name a file, or pipe the data in", "export").into());
    }
    let mut progress = ctx.progress();
    let FileOutcome { export, was_read } = if input::known_len(&args.file).is_some_and(|len| len > 0) {
        repo.export_file(options, &args.file, &mut |news| progress.update(news))?
    } else {
        let (mut from, mut writer) = (input::open(&args.file)?, repo.export(options)?);
        let start = Progress { doing: "exporting", done: 0, total: None };
        let of_write = |error: io::Error| Failure::from(Error::from(error));
        let ask: ProgressFn<'_> = &mut |news| progress.update(news);
        input::copy(from.as_mut(), &mut writer, &mut input::buffer(), start, of_write, ask)?;
        FileOutcome { export: writer.finish()?, was_read: true }
    };
    drop(progress);
    conclude(&export, (!was_read).then_some("not read again"), ctx)
}

/// What the shell knows of an export.
pub(super) fn options(name: ExportName, params: Params, suffix: Suffix) -> ExportOptions {
    ExportOptions { name, params, suffix, producer: None, inputs: Vec::new(), run: None, cell_source: None }
}

/// Returns the suffix that a folder has, as far as it has one.
fn folder_suffix(args: &Args) -> Result<Suffix> {
    if let Some(text) = &args.suffix {
        return Ok(Suffix::parse(text)?.into_directory());
    }
    let path = args.file.canonicalize().unwrap_or_else(|_| args.file.clone());
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let own = Suffix::of_file_name(&name).map(Suffix::into_directory);
    own.map_or_else(|| Ok(Suffix::parse(DIRECTORY_SUFFIX)?), Ok)
}

fn suffix(args: &Args) -> Result<Suffix> {
    if let Some(text) = &args.suffix {
        return Ok(Suffix::parse(text)?);
    }
    if args.file.as_os_str() == "-" {
        return Err(usage("data from stdin needs `--suffix`, as in `--suffix .csv`", "export"));
    }
    suffix_of(&args.file)
}

/// Takes the suffix of a file's name.
pub(super) fn suffix_of(file: &Path) -> Result<Suffix> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    Suffix::of_file_name(&name)
        .ok_or_else(|| usage(format!("`{name}` has no usable suffix; give one, as in `--suffix .csv`"), "export"))
}

fn conclude(outcome: &ExportOutcome, more: Option<&str>, ctx: &Context) -> Result<Exit, Failure> {
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
        let more = more.map(|more| format!(", {more}")).unwrap_or_default();
        format!("exported {}: {}, {change}{more}", outcome.record.label(), render::size(outcome.record.size))
    })?;
    Ok(Exit::Success)
}
