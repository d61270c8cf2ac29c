//! `onenb get --batch`: many exports into files, by one process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::args::{ParamArgs, warn_of_move};
use super::command::usage;
use super::errors::{Exit, Failure};
use super::get::could_not_write;
use super::json::{Files, WrittenFile, document};
use super::output::Context;
use super::{input, render};
use crate::error::{Error, ErrorKind, Result};
use crate::fs::{PendingFile, publish_many};
use crate::{MovedTag, Progress, ResolvedExport, Workspace};

/// Files that get their names together; each is open until then.
const GROUP_LEN: usize = 64;

/// One line of a list.
struct Item {
    export: ResolvedExport,
    output: PathBuf,
}

pub(super) fn run(list: &Path, params: &ParamArgs, force: bool, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    // All lines are looked at before anything is written.
    let items = read_list(list, params, force, &workspace)?;
    warn_once(items.iter().filter_map(|item| item.export.moved.as_ref()), ctx);
    let mut done = 0;
    write(&items, &workspace, force, ctx, &mut done).map_err(|failure| match failure {
        Failure::Error(error) if done > 0 => {
            let what = format!("{done} of {} were written before", render::count(items.len() as u64, "export"));
            Failure::Error(error.context(what))
        }
        failure => failure,
    })?;
    warn_once(items.iter().filter_map(|item| item.export.noticed()), ctx);
    let written = |item: &Item| WrittenFile {
        path: item.output.to_string_lossy().into_owned(),
        size: item.export.export.record.size,
    };
    ctx.conclude(&document(Files { files: items.iter().map(written).collect() }), || {
        format!("wrote {}, {}", render::count(items.len() as u64, "export"), render::size(total_len(&items)))
    })?;
    Ok(Exit::Success)
}

fn write(items: &[Item], workspace: &Workspace, force: bool, ctx: &Context, done: &mut usize) -> Result<(), Failure> {
    let mut progress = ctx.progress();
    let mut at = Progress { doing: "writing", done: 0, total: Some(total_len(items)) };
    let mut buffer = input::buffer();
    for group in items.chunks(GROUP_LEN) {
        let mut files = vec![];
        for Item { export, output } in group {
            let before = at.done;
            let mut tell =
                |news: Progress| progress.update(Progress { done: before + news.done, total: at.total, ..news });
            if export.export.record.suffix.is_directory() {
                workspace.restore_directory(export, output, &mut tell)?;
            } else {
                let of_write = |cause| Failure::from(could_not_write(output, cause));
                let mut file = PendingFile::create(output).map_err(of_write)?;
                let start = Progress { done: 0, ..at };
                input::copy(&mut workspace.read(export)?, &mut file, &mut buffer, start, of_write, &mut tell)?;
                files.push(file);
            }
            at.done += export.export.record.size;
        }
        let refused = publish_many(&files, force).map_err(|cause| Error::from(cause).context("could not write"))?;
        if let Some(output) = refused.first() {
            return Err(exists(output, force).into());
        }
        *done += group.len();
    }
    Ok(())
}

fn total_len(items: &[Item]) -> u64 {
    items.iter().map(|item| item.export.export.record.size).sum()
}

fn read_list(list: &Path, params: &ParamArgs, force: bool, workspace: &Workspace) -> Result<Vec<Item>> {
    let params = params.parse()?;
    let mut places = Places::default();
    let item = |line: &str| -> Result<Item> {
        let (spec, output) = line.split_once('\t').map_or((line, None), |(spec, file)| (spec, Some(file)));
        let export = workspace.resolve(&workspace.parse_spec(spec, &params)?)?;
        let own_name = crate::restored_name(&export.export.record);
        let mut output = output.map_or_else(|| own_name.clone(), PathBuf::from);
        if output.is_dir() {
            output.push(own_name);
        }
        places.take(&output)?;
        let may_replace = force && !export.export.record.suffix.is_directory() && !output.is_dir();
        if !may_replace && output.symlink_metadata().is_ok() {
            return Err(exists(&output, may_replace || !force));
        }
        Ok(Item { export, output })
    };
    input::read_list(list, "get", item)
}

/// Where a list writes, however it is spelled.
#[derive(Default)]
struct Places(BTreeSet<PathBuf>);

impl Places {
    /// Refuses what another line writes, and what would lie in it or hold it.
    fn take(&mut self, output: &Path) -> Result<()> {
        let shown = output.display();
        let refuse = |message: String| Err(usage(message, "get"));
        let Some(place) = place_of(output).filter(|_| output.as_os_str() != "-") else {
            return refuse(format!("`{shown}` is no name of a file"));
        };
        let is_within = place.ancestors().skip(1).any(|above| self.0.contains(above));
        // What starts with a path follows it.
        let holds = self.0.range(place.clone()..).next().is_some_and(|next| next.starts_with(&place));
        if is_within || holds {
            return refuse(format!("another line of the list writes `{shown}`, above it or below it"));
        }
        self.0.insert(place);
        Ok(())
    }
}

/// Returns the path without links and detours, as far as it exists; `None` for what names no file.
fn place_of(output: &Path) -> Option<PathBuf> {
    let name = output.file_name()?;
    let parent = output.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match parent.canonicalize() {
        Ok(parent) => Some(parent.join(name)),
        Err(_) => Some(place_of(parent)?.join(name)),
    }
}

fn exists(output: &Path, may_force: bool) -> Error {
    let hint = if may_force && !output.is_dir() {
        "replace files with `--force`, or put another name behind the tab"
    } else {
        "a folder is never replaced: remove it, or put another name behind the tab"
    };
    Error::new(ErrorKind::Conflict, format!("`{}` exists", output.display())).with_hint(hint)
}

/// Warns of each tag that names another commit on the remote, once.
fn warn_once<'a>(moved: impl Iterator<Item = &'a MovedTag>, ctx: &Context) {
    let mut seen = BTreeSet::new();
    moved.filter(|moved| seen.insert(moved.tag.as_str())).for_each(|moved| warn_of_move(Some(moved), ctx));
}
