//! `onenb get`: writes an export into a file; `nb get` does the same for a notebook.

use std::io;
use std::path::{Path, PathBuf};

use super::args::{ParamArgs, resolve, warn_of_move};
use super::errors::{Exit, Failure};
use super::json::{Files, WrittenFile, document};
use super::output::{Context, finish, stdout};
use super::{input, render};
use crate::error::{Error, ErrorKind};
use crate::fs::PendingFile;
use crate::{ExportReader, Progress, ResolvedExport, Workspace};

const EXAMPLES: &str = "\
Examples:
  onenb get v1:Report -p year=2023 -o report-2023.csv
  onenb get working:Sales --force
  onenb get v1:Model -o restored
  onenb get --batch files.tsv";

/// Write an export into a file
///
/// Without -o the file is NAME and its suffix, here. The file appears whole or not at all. A directory is written as a
/// folder, and never replaces one.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The export, [REPO@]REV:NAME[?k=v&k2=v2]
    #[arg(required_unless_present = "batch")]
    spec: Option<String>,
    /// Write many exports at once, from lines `SPEC[<TAB>FILE]` of LIST (`-` is stdin)
    #[arg(long, value_name = "LIST", conflicts_with_all = ["spec", "output"])]
    batch: Option<PathBuf>,
    #[command(flatten)]
    params: ParamArgs,
    #[command(flatten)]
    out: OutArgs,
}

/// Where to write, as `get` and `nb get` take it.
#[derive(Debug, clap::Args)]
pub(super) struct OutArgs {
    /// File or directory to write to; `-` is stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(short, long)]
    force: bool,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    if let Some(list) = &args.batch {
        return super::get_batch::run(list, &args.params, args.out.force, ctx);
    }
    let workspace = ctx.workspace();
    let resolved = resolve(args.spec.as_deref().unwrap_or_default(), &args.params, &workspace, ctx)?;
    let name = crate::restored_name(&resolved.export.record).to_string_lossy().into_owned();
    if resolved.export.record.suffix.is_directory() {
        args.out.write_folder(&name, ctx, &workspace, &resolved)?;
    } else {
        args.out.write(&name, ctx, || workspace.read(&resolved))?;
    }
    warn_of_move(resolved.noticed(), ctx);
    Ok(Exit::Success)
}

impl OutArgs {
    /// Writes what `open` gives under `default_name` or where the user said.
    pub(super) fn write(
        &self,
        default_name: &str,
        ctx: &Context,
        open: impl FnOnce() -> crate::Result<ExportReader>,
    ) -> Result<Exit, Failure> {
        let output = match self.output.as_deref() {
            Some(output) if output.as_os_str() == "-" => return to_stdout(&mut open()?, ctx),
            Some(output) if output.is_dir() => output.join(default_name),
            Some(output) => output.to_path_buf(),
            None => PathBuf::from(default_name),
        };
        // Asked first so that no data is fetched for nothing; publishing asks again, for good.
        if !self.force && output.symlink_metadata().is_ok() {
            return Err(exists(&output).into());
        }
        let size = self.to_file(&output, &mut open()?, ctx)?;
        let path = output.to_string_lossy().into_owned();
        let note = format!("wrote {path}, {}", render::size(size));
        ctx.conclude(&document(Files { files: vec![WrittenFile { path, size }] }), || note)?;
        Ok(Exit::Success)
    }

    /// Restores a directory under `default_name` or where the user said.
    fn write_folder(
        &self,
        default_name: &str,
        ctx: &Context,
        workspace: &Workspace,
        export: &ResolvedExport,
    ) -> Result<Exit, Failure> {
        let output = match self.output.as_deref() {
            Some(output) if output.as_os_str() == "-" => {
                return Err(Error::new(ErrorKind::Usage, "a directory cannot be written to stdout")
                    .with_hint("write one file of it with `onenb cat SPEC --member PATH`")
                    .into());
            }
            Some(output) if output.is_dir() => output.join(default_name),
            Some(output) => output.to_path_buf(),
            None => PathBuf::from(default_name),
        };
        let mut progress = ctx.progress();
        let members = workspace.restore_directory(export, &output, &mut |news| progress.update(news))?;
        drop(progress);
        let (path, size) = (output.to_string_lossy().into_owned(), export.export.record.size);
        let note = format!("wrote {path}, {}, {}", render::count(members as u64, "member"), render::size(size));
        ctx.conclude(&document(Files { files: vec![WrittenFile { path, size }] }), || note)?;
        Ok(Exit::Success)
    }

    fn to_file(&self, output: &Path, reader: &mut ExportReader, ctx: &Context) -> Result<u64, Failure> {
        let could_not = |cause| could_not_write(output, cause);
        let mut file = PendingFile::create(output).map_err(could_not)?;
        let start = Progress { doing: "writing", done: 0, total: Some(reader.len()) };
        let mut progress = ctx.progress();
        let of_write = |cause| Failure::from(could_not(cause));
        let size =
            input::copy(reader, &mut file, &mut input::buffer(), start, of_write, &mut |news| progress.update(news))?;
        if self.force {
            file.publish().map_err(could_not)?;
        } else if !file.publish_new().map_err(could_not)? {
            return Err(exists(output).into());
        }
        Ok(size)
    }
}

/// Copies everything to stdout.
fn to_stdout(reader: &mut ExportReader, ctx: &Context) -> Result<Exit, Failure> {
    let start = Progress { doing: "writing", done: 0, total: Some(reader.len()) };
    let (mut out, mut progress) = (stdout(), ctx.progress());
    input::copy(reader, &mut out, &mut input::buffer(), start, Failure::of_stdout, &mut |news| progress.update(news))?;
    finish(out)?;
    Ok(Exit::Success)
}

pub(super) fn could_not_write(output: &Path, cause: io::Error) -> Error {
    Error::from(cause).context(format!("could not write `{}`", output.display()))
}

fn exists(output: &Path) -> Error {
    Error::new(ErrorKind::Conflict, format!("`{}` exists", output.display()))
        .with_hint("replace it with `--force`, or choose another name with `-o FILE`")
}
