//! `onenb export --batch`: many files at once, durable together.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::args::ParamArgs;
use super::command::usage;
use super::errors::{Exit, Failure};
use super::export::{options, suffix_of};
use super::json::{Export, Exported, document};
use super::output::Context;
use super::{args, input, render};
use crate::Progress;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::{ExportName, Suffix};
use crate::format::params::Params;

/// Longest line of a list, in bytes.
const MAX_LINE_LEN: u64 = 64 * 1024;

/// One line of a list.
struct Item {
    name: ExportName,
    params: Params,
    suffix: Suffix,
    file: PathBuf,
}

pub(super) fn run(list: &Path, suffix: Option<&str>, params: &ParamArgs, ctx: &Context) -> Result<Exit, Failure> {
    let suffix = suffix.map(Suffix::parse).transpose().map_err(Error::from)?;
    // All lines are looked at before anything is written.
    let items = read_list(list, suffix.as_ref(), params)?;
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    ctx.tell_settings(repo);
    let batch = repo.batch()?;
    let mut progress = ctx.progress();
    let total = items.iter().map(|item| input::known_len(&item.file)).sum::<Option<u64>>();
    let mut start = Progress { doing: "exporting", done: 0, total };
    for item in items {
        let of_write = |error: std::io::Error| Failure::from(Error::from(error));
        let mut from = input::open(&item.file)?;
        let mut writer = batch.export(options(item.name, item.params, item.suffix))?;
        let before = start.done;
        let copied = input::copy(from.as_mut(), &mut writer, start, of_write, &mut |news| {
            progress.update(Progress { done: before + news.done, ..news })
        })?;
        start.done += copied;
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

fn read_list(list: &Path, suffix: Option<&Suffix>, params: &ParamArgs) -> Result<Vec<Item>> {
    let mut from = BufReader::new(input::open(list)?);
    let mut items = vec![];
    for number in 1_usize.. {
        let mut line = String::new();
        let count = from.by_ref().take(MAX_LINE_LEN).read_line(&mut line).map_err(|error| unreadable(list, error))?;
        if count == 0 {
            break;
        }
        if count as u64 == MAX_LINE_LEN {
            return Err(usage(format!("line {number} of the list is longer than {MAX_LINE_LEN} bytes"), "export"));
        }
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.is_empty() {
            items.push(
                parse(line, suffix, params).map_err(|error| error.context(format!("line {number} of the list")))?,
            );
        }
    }
    Ok(items)
}

/// Parses `NAME[?k=v]<TAB>FILE`.
fn parse(line: &str, suffix: Option<&Suffix>, params: &ParamArgs) -> Result<Item> {
    let (name, file) = line.split_once('\t').ok_or_else(|| usage("it is not a name, a tab and a file", "export"))?;
    let file = PathBuf::from(file);
    let (name, params) = args::parse_name(name, params)?;
    let suffix = suffix.cloned().map_or_else(|| suffix_of(&file), Ok)?;
    if input::known_len(&file).is_none() {
        return Err(Error::new(ErrorKind::NotFound, format!("`{}` is no file that can be read", file.display()))
            .with_hint("a batch takes files; export a directory by itself"));
    }
    Ok(Item { name, params, suffix, file })
}

fn unreadable(list: &Path, error: std::io::Error) -> Error {
    Error::from(error).context(format!("could not read `{}`", list.display()))
}
