//! `onenb export --batch`: many files at once, durable together.

use std::path::{Path, PathBuf};

use super::args::ParamArgs;
use super::command::usage;
use super::errors::{Exit, Failure};
use super::export::{options, suffix_of};
use super::json::{Export, Exported, document};
use super::output::Context;
use super::{args, input, render};
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::Suffix;
use crate::{ExportOptions, Progress};

/// One line of a list.
struct Item {
    options: ExportOptions,
    file: PathBuf,
    len: u64,
}

pub(super) fn run(list: &Path, suffix: Option<&str>, params: &ParamArgs, ctx: &Context) -> Result<Exit, Failure> {
    let suffix = suffix.map(Suffix::parse).transpose().map_err(Error::from)?;
    // All lines are looked at before anything is written.
    let items = input::read_list(list, "export", |line| parse(line, suffix.as_ref(), params))?;
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    ctx.tell_settings(repo);
    let batch = repo.batch()?;
    let mut progress = ctx.progress();
    let total = items.iter().map(|item| item.len).sum();
    let mut start = Progress { doing: "exporting", done: 0, total: Some(total) };
    let mut buffer = input::buffer();
    for item in items {
        let of_write = |error: std::io::Error| Failure::from(Error::from(error));
        let mut from = input::open(&item.file)?;
        let mut writer = batch.export(item.options)?;
        let before = start.done;
        start.done += input::copy(from.as_mut(), &mut writer, &mut buffer, start, of_write, &mut |news| {
            progress.update(Progress { done: before + news.done, ..news })
        })?;
        writer.finish()?;
    }
    let outcome = batch.commit()?;
    drop(progress);
    let exports = outcome.records.iter().map(|record| Export::new(record, None)).collect();
    ctx.conclude(&document(Exported { exports, stored: outcome.stored_len, unchanged_since: None }), || {
        let size = outcome.records.iter().fold(0_u64, |sum, record| sum.saturating_add(record.size));
        format!(
            "exported {} at once: {}, {} new in the store",
            render::count(outcome.records.len() as u64, "export"),
            render::size(size),
            render::size(outcome.stored_len)
        )
    })?;
    Ok(Exit::Success)
}

/// Parses `NAME[?k=v]<TAB>FILE`.
fn parse(line: &str, suffix: Option<&Suffix>, params: &ParamArgs) -> Result<Item> {
    let (name, file) = line.split_once('\t').ok_or_else(|| usage("it is not a name, a tab and a file", "export"))?;
    let file = PathBuf::from(file);
    let (name, params) = args::parse_name(name, params)?;
    let suffix = suffix.cloned().map_or_else(|| suffix_of(&file), Ok)?;
    let len = input::known_len(&file).ok_or_else(|| {
        Error::new(ErrorKind::NotFound, format!("`{}` is no file that can be read", file.display()))
            .with_hint("a batch takes files; export a directory by itself")
    })?;
    Ok(Item { options: options(name, params, suffix), file, len })
}
