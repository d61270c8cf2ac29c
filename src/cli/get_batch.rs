//! `onenb get --batch`: many exports into files, by one process.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::args::{ParamArgs, warn_of_move};
use super::command::usage;
use super::errors::{Exit, Failure};
use super::get::{could_not_write, exists};
use super::json::{Files, WrittenFile, document};
use super::output::Context;
use super::{input, render};
use crate::error::Result;
use crate::fs::{PendingFile, publish_many};
use crate::{MovedTag, Progress, ResolvedExport, Workspace};

/// Files that get their names together; each is open until then.
const GROUP_LEN: usize = 256;

/// One line of a list.
struct Item {
    export: ResolvedExport,
    output: PathBuf,
}

pub(super) fn run(list: &Path, params: &ParamArgs, force: bool, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    // All lines are looked at before anything is written.
    let items = read_list(list, params, &workspace)?;
    warn_once(items.iter().filter_map(|item| item.export.moved.as_ref()), ctx);
    refuse_conflicts(&items, force)?;
    let mut progress = ctx.progress();
    let total = items.iter().map(|item| item.export.export.record.size).sum();
    let mut at = Progress { doing: "writing", done: 0, total: Some(total) };
    let (mut buffer, mut waiting) = (input::buffer(), vec![]);
    for Item { export, output } in &items {
        let before = at.done;
        let mut tell = |news: Progress| progress.update(Progress { done: before + news.done, total: at.total, ..news });
        if export.export.record.suffix.is_directory() {
            workspace.restore_directory(export, output, &mut tell)?;
        } else {
            let of_write = |cause| Failure::from(could_not_write(output, cause));
            let mut file = PendingFile::create(output).map_err(of_write)?;
            let start = Progress { done: 0, ..at };
            input::copy(&mut workspace.read(export)?, &mut file, &mut buffer, start, of_write, &mut tell)?;
            waiting.push(file);
        }
        at.done += export.export.record.size;
        if waiting.len() == GROUP_LEN {
            publish(&std::mem::take(&mut waiting), force)?;
        }
    }
    publish(&waiting, force)?;
    drop(progress);
    warn_once(items.iter().filter_map(|item| item.export.noticed()), ctx);
    let written = |item: &Item| WrittenFile {
        path: item.output.to_string_lossy().into_owned(),
        size: item.export.export.record.size,
    };
    ctx.conclude(&document(Files { files: items.iter().map(written).collect() }), || {
        format!("wrote {}, {}", render::count(items.len() as u64, "export"), render::size(total))
    })?;
    Ok(Exit::Success)
}

fn read_list(list: &Path, params: &ParamArgs, workspace: &Workspace) -> Result<Vec<Item>> {
    let params = params.parse()?;
    let item = |line: &str| -> Result<Item> {
        let (spec, output) = line.split_once('\t').map_or((line, None), |(spec, file)| (spec, Some(file)));
        let export = workspace.resolve(&workspace.parse_spec(spec, &params)?)?;
        let output = output.map_or_else(|| crate::restored_name(&export.export.record), PathBuf::from);
        Ok(Item { export, output })
    };
    input::read_list(list, "get", item)
}

/// Refuses what would write over a file or a folder, also one of the same list.
fn refuse_conflicts(items: &[Item], force: bool) -> Result<()> {
    let mut outputs = BTreeSet::new();
    for Item { export, output } in items {
        if !outputs.insert(output) {
            return Err(usage(format!("two lines of the list write `{}`", output.display()), "get"));
        }
        let may_replace = force && !export.export.record.suffix.is_directory();
        if !may_replace && output.symlink_metadata().is_ok() {
            return Err(exists(output));
        }
    }
    Ok(())
}

/// Gives files that were written their names.
fn publish(files: &[PendingFile], force: bool) -> Result<()> {
    let Some(first) = files.first() else { return Ok(()) };
    let refused = publish_many(files, force).map_err(|cause| could_not_write(first.target(), cause))?;
    refused.first().map_or(Ok(()), |output| Err(exists(output)))
}

/// Warns of each tag that names another commit on the remote, once.
fn warn_once<'a>(moved: impl Iterator<Item = &'a MovedTag>, ctx: &Context) {
    let mut seen = BTreeSet::new();
    moved.filter(|moved| seen.insert(moved.tag.as_str())).for_each(|moved| warn_of_move(Some(moved), ctx));
}
