//! `onenb cat`: writes an export, or a range of it, to stdout.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::str::FromStr;

use super::args::{SpecArgs, warn_of_move};
use super::command::usage;
use super::errors::{Exit, Failure};
use super::input;
use super::output::{Context, finish, stdout};
use crate::error::{Error, ErrorKind, Result};
use crate::{ExportReader, Progress};

const EXAMPLES: &str = "\
Examples:
  onenb cat 'v1:Report?year=2023&foo=bar' > report.csv
  onenb cat v1:Sales --range 0-99
  onenb cat v1:Model --member weights/0.bin > 0.bin";

/// Write an export to stdout
///
/// Prints the exported bytes and nothing else, also with --json.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    spec: SpecArgs,
    /// One file of a directory
    #[arg(long, value_name = "PATH")]
    member: Option<String>,
    #[command(flatten)]
    range: RangeArgs,
}

/// A part of a content, as `cat` and `cat-object` take it.
#[derive(Debug, clap::Args)]
pub(super) struct RangeArgs {
    /// Only these bytes, as in HTTP: A-B with both ends, A- from A on, -N the last N
    #[arg(long, value_name = "A-B", allow_hyphen_values = true)]
    range: Option<ByteRange>,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let resolved = args.spec.resolve(&workspace, ctx)?;
    let reader = match &args.member {
        Some(path) => workspace.read_member(&resolved, path)?,
        None if resolved.export.record.suffix.is_directory() => {
            let label = resolved.export.record.label();
            let error = Error::new(ErrorKind::Usage, format!("`{label}` is a directory"));
            let hint = format!(
                "name a file of it with `--member PATH`; `onenb show {}:{label} --members` lists them",
                resolved.rev
            );
            return Err(error.with_hint(hint).into());
        }
        None => workspace.read(&resolved)?,
    };
    warn_of_move(resolved.noticed(), ctx);
    args.range.write(reader, ctx)
}

impl RangeArgs {
    /// Copies the range, or everything, to stdout.
    pub(super) fn write(&self, mut reader: ExportReader, ctx: &Context) -> Result<Exit, Failure> {
        let whole = reader.len();
        let (start, len) = self.range.map_or(Ok((0, whole)), |range| range.within(whole))?;
        if start > 0 {
            reader.seek(SeekFrom::Start(start)).map_err(Error::from)?;
        }
        // No progress here: stdout is often the same terminal. The line still hears Ctrl-C.
        let (mut out, mut progress) = (stdout(), ctx.quiet_progress());
        let news = Progress { doing: "writing", done: 0, total: Some(len) };
        input::copy(&mut reader.take(len), &mut out, &mut input::buffer(), news, Failure::of_stdout, &mut |news| {
            progress.update(news)
        })?;
        finish(out)?;
        Ok(Exit::Success)
    }
}

/// A range of bytes as HTTP writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ByteRange {
    /// From the first to the second byte, both included.
    Closed(u64, u64),
    /// From a byte to the end.
    From(u64),
    /// The last so many bytes, at least one.
    Last(u64),
}

impl ByteRange {
    /// Returns start and length within a content; a range that ends behind it is cut, one that starts there refused.
    fn within(self, whole: u64) -> Result<(u64, u64)> {
        let start = match self {
            Self::Closed(start, _) | Self::From(start) => start,
            Self::Last(len) => return Ok((whole.saturating_sub(len), len.min(whole))),
        };
        if start >= whole {
            return Err(usage(format!("the range starts at byte {start}, and the content has {whole} bytes"), "cat"));
        }
        let end = match self {
            Self::Closed(_, last) => last.saturating_add(1).min(whole),
            _ => whole,
        };
        Ok((start, end - start))
    }
}

impl FromStr for ByteRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| -> Option<u64> {
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
        };
        let range = text.split_once('-').and_then(|(first, last)| match (first, last) {
            ("", last) => number(last).filter(|len| *len > 0).map(Self::Last),
            (first, "") => number(first).map(Self::From),
            (first, last) => Some(Self::Closed(number(first)?, number(last)?)),
        });
        match range {
            Some(Self::Closed(first, last)) if last < first => Err("it ends before it starts".to_owned()),
            Some(range) => Ok(range),
            None => Err("use `A-B`, `A-` or `-N`".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_http() {
        let part = |text: &str, whole| text.parse::<ByteRange>().expect("a range").within(whole).ok();
        assert_eq!(part("0-0", 10), Some((0, 1)));
        assert_eq!(part("2-5", 10), Some((2, 4)));
        assert_eq!(part("8-99", 10), Some((8, 2)));
        assert_eq!(part("0-18446744073709551615", 10), Some((0, 10)));
        assert_eq!(part("9-", 10), Some((9, 1)));
        assert_eq!(part("-3", 10), Some((7, 3)));
        assert_eq!(part("-30", 10), Some((0, 10)));
        assert_eq!(part("-1", 0), Some((0, 0)));
        assert_eq!(part("10-", 10), None);
        assert_eq!(part("0-", 0), None);
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for bad in ["", "-", "5", "-0", "5-2", "a-b", "1-2-3", "+1-2", "99999999999999999999-"] {
            assert!(bad.parse::<ByteRange>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_range_behind_the_end_is_wrong_usage() {
        let error = ByteRange::From(5).within(5).expect_err("behind the end");
        assert_eq!(error.kind(), ErrorKind::Usage);
    }
}
