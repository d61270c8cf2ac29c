//! Reading what the user names: files, stdin, and the loop that copies contents.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use super::errors::Failure;
use crate::error::Error;
use crate::{Progress, ProgressFn};

/// Bytes that one step of a copy moves; Ctrl-C is heard between steps.
const STEP: usize = 256 * 1024;

/// Opens a file, or stdin for `-`.
pub(super) fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let could_not = |cause: io::Error| Error::from(cause).context(format!("could not read `{}`", path.display()));
    let file = File::open(path).map_err(could_not)?;
    if file.metadata().map_err(could_not)?.is_dir() {
        return Err(could_not(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    Ok(Box::new(file))
}

/// Returns the length of a file; `None` for stdin and other streams.
pub(super) fn known_len(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|metadata| metadata.len())
}

/// Copies everything and returns the number of bytes; stops when `progress` says so.
///
/// `progress` is asked once more after the end of the input: Ctrl-C also ends the program that writes into our stdin,
/// and what it could not finish must not be taken for the whole.
pub(super) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    start: Progress,
    of_write: impl Fn(io::Error) -> Failure,
    progress: ProgressFn<'_>,
) -> Result<u64, Failure> {
    let mut buffer = vec![0; STEP];
    let mut done = 0;
    loop {
        let len = match from.read(&mut buffer) {
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
        let copied = copy(&mut bytes.as_slice(), &mut out, START, of_write, &mut |_| true);
        assert!(matches!(copied, Ok(len) if len == bytes.len() as u64));
        assert_eq!(out, bytes);
    }

    #[test]
    fn an_interrupt_before_the_end_was_reported_is_not_the_end() {
        let mut calls = 0;
        let copied = copy(&mut &b"half"[..], &mut Vec::new(), START, of_write, &mut |_| {
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
        let copied = copy(&mut Broken, &mut Vec::new(), START, of_write, &mut |_| true);
        assert!(matches!(copied, Err(Failure::Error(error)) if error.kind() == ErrorKind::Damaged));
    }
}
