//! Reading what the user names: files, stdin, and the loop that copies contents.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read, Write};
use std::path::Path;

use super::command::usage;
use super::errors::Failure;
use crate::error::Error;
use crate::{Progress, ProgressFn};

/// Bytes that one step of a copy moves; Ctrl-C is heard between steps.
const STEP: usize = 256 * 1024;
/// Longest line of a list, in bytes.
const MAX_LINE_LEN: u64 = 64 * 1024;

/// Opens a file, or stdin for `-`.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).map_err(|cause| unreadable(path, cause))?;
    if file.metadata().map_err(|cause| unreadable(path, cause))?.is_dir() {
        return Err(unreadable(path, io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(Box::new(file))
}

fn unreadable(path: &Path, cause: io::Error) -> Error {
    Error::from(cause).context(format!("could not read `{}`", path.display()))
}

/// Reads the lines of a list, `-` for stdin; empty ones do not count.
pub(super) fn read_list<T>(
    list: &Path,
    command: &'static str,
    mut parse: impl FnMut(&str) -> Result<T, Error>,
) -> Result<Vec<T>, Error> {
    let mut from = BufReader::new(open(list)?);
    let mut items = vec![];
    for number in 1_usize.. {
        let mut line = String::new();
        let count = from.by_ref().take(MAX_LINE_LEN).read_line(&mut line).map_err(|cause| unreadable(list, cause))?;
        if count == 0 {
            break;
        }
        if count as u64 == MAX_LINE_LEN {
            return Err(usage(format!("line {number} of the list is longer than {MAX_LINE_LEN} bytes"), command));
        }
        let line = line.trim_end_matches(['\n', '\r']);
        if !line.is_empty() {
            items.push(parse(line).map_err(|error| error.context(format!("line {number} of the list")))?);
        }
    }
    Ok(items)
}

/// Returns the length of a file; `None` for stdin and other streams.
pub(super) fn known_len(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// Returns room for [`copy`].
pub(super) fn buffer() -> Vec<u8> {
    vec![0; STEP]
}

/// Copies everything through a buffer and returns the number of bytes; stops when `progress` says so.
///
/// `progress` is asked once more after the end of the input: Ctrl-C also ends the program that writes into our stdin,
/// and what it could not finish must not be taken for the whole.
pub(super) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    buffer: &mut [u8],
    start: Progress,
    of_write: impl Fn(io::Error) -> Failure,
    progress: ProgressFn<'_>,
) -> Result<u64, Failure> {
    let mut done = 0;
    loop {
        let len = match from.read(buffer) {
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::from(error).into()),
        };
        if !progress(Progress { done, ..start }) {
            return Err(Failure::interrupted());
        }
        let Some(piece) = buffer.get(..len).filter(|piece| !piece.is_empty()) else {
            return Ok(done);
        };
        to.write_all(piece).map_err(&of_write)?;
        done += len as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const START: Progress = Progress { doing: "copying", done: 0, total: None };

    fn of_write(error: io::Error) -> Failure {
        Failure::Error(Error::from(error))
    }

    #[test]
    fn everything_is_copied() {
        let bytes: Vec<u8> = (0..=255).cycle().take(3 * STEP + 7).collect();
        let mut out = Vec::new();
        let copied = copy(&mut bytes.as_slice(), &mut out, &mut buffer(), START, of_write, &mut |_| true);
        assert!(matches!(copied, Ok(len) if len == bytes.len() as u64));
        assert_eq!(out, bytes);
    }

    #[test]
    fn an_interrupt_before_the_end_was_reported_is_not_the_end() {
        let mut calls = 0;
        let copied = copy(&mut &b"half"[..], &mut Vec::new(), &mut buffer(), START, of_write, &mut |_| {
            calls += 1;
            calls < 2
        });
        assert!(matches!(copied, Err(Failure::Error(error)) if error.kind() == ErrorKind::Interrupted));
    }

    #[test]
    fn a_typed_error_of_the_reader_keeps_its_kind() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(Error::new(ErrorKind::Damaged, "chunk is damaged").into())
            }
        }
        let copied = copy(&mut Broken, &mut Vec::new(), &mut buffer(), START, of_write, &mut |_| true);
        assert!(matches!(copied, Err(Failure::Error(error)) if error.kind() == ErrorKind::Damaged));
    }
}
