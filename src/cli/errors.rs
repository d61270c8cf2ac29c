//! How a command ends: exit codes, and the rendering of errors.

use std::error::Error as _;
use std::io;
use std::process::ExitCode;

use super::output::{Label, Talk};
use crate::error::{Error, ErrorKind};

/// How a command that ran to its end went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Everything is fine.
    Success,
    /// The command worked and found something that is not fine.
    Findings,
    /// The command worked and found that something is not there.
    Missing,
    /// The command worked and found damaged data.
    Damage,
}

impl Exit {
    pub(super) fn code(self) -> ExitCode {
        match self {
            Self::Success => ExitCode::SUCCESS,
            Self::Findings => ExitCode::from(1),
            Self::Missing => ExitCode::from(3),
            Self::Damage => ExitCode::from(5),
        }
    }
}

/// Why a command did not run to its end.
///
/// There is no conversion from `io::Error`: whether stdout or something else failed decides how the command ends.
#[derive(Debug)]
pub(super) enum Failure {
    /// An error to be shown.
    Error(Error),
    /// The reader of stdout has seen enough, as in `onenb ls | head -1`; nothing is said.
    ClosedPipe,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Failure {
    /// Classifies a failed write to stdout.
    pub(super) fn of_stdout(cause: io::Error) -> Self {
        if cause.kind() == io::ErrorKind::BrokenPipe {
            return Self::ClosedPipe;
        }
        Self::Error(Error::from(cause).context("could not write to standard output"))
    }

    /// Makes the failure of work that Ctrl-C ended.
    pub(super) fn interrupted() -> Self {
        Self::Error(Error::new(ErrorKind::Interrupted, "interrupted"))
    }

    /// Shows the error and returns its exit code.
    pub(super) fn report(&self, talk: Talk) -> ExitCode {
        match self {
            Self::ClosedPipe => ExitCode::SUCCESS,
            Self::Error(error) => {
                show(error, talk);
                ExitCode::from(exit_code(error.kind()))
            }
        }
    }
}

/// The one map from kinds of errors to exit codes.
fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Failed
        | ErrorKind::NotARepository
        | ErrorKind::NotInitialised
        | ErrorKind::Conflict
        | ErrorKind::DiskFull
        | ErrorKind::ReadOnly
        | ErrorKind::TooNew => 1,
        ErrorKind::Usage => 2,
        ErrorKind::NotFound => 3,
        ErrorKind::Auth => 4,
        ErrorKind::Damaged => 5,
        ErrorKind::Interrupted => 130,
    }
}

/// Writes `error: …`, its causes and its hint to stderr.
fn show(error: &Error, talk: Talk) {
    talk.say(Label::Error, &error.to_string());
    for cause in causes(error) {
        Talk::line(&format!("  caused by: {cause}"));
    }
    if let Some(hint) = error.hint() {
        talk.say(Label::Hint, hint);
    }
}

/// Returns the texts of the causes, without those that only repeat the one above.
pub(super) fn causes(error: &Error) -> Vec<String> {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if texts.last() != Some(&text) {
            texts.push(text);
        }
        cause = error.source();
    }
    texts.remove(0);
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_the_exit_codes_that_scripts_rely_on() {
        let table = [
            (ErrorKind::Failed, 1),
            (ErrorKind::Usage, 2),
            (ErrorKind::NotFound, 3),
            (ErrorKind::NotARepository, 1),
            (ErrorKind::NotInitialised, 1),
            (ErrorKind::Auth, 4),
            (ErrorKind::Damaged, 5),
            (ErrorKind::Conflict, 1),
            (ErrorKind::DiskFull, 1),
            (ErrorKind::ReadOnly, 1),
            (ErrorKind::TooNew, 1),
            (ErrorKind::Interrupted, 130),
        ];
        for (kind, code) in table {
            assert_eq!(exit_code(kind), code, "{kind:?}");
        }
    }

    #[test]
    fn causes_come_in_order_and_none_twice() {
        let error = Error::new(ErrorKind::Failed, "c").context("b").context("b").context("a");
        assert_eq!(causes(&error), ["b", "c"]);
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is_one() {
        let closed = Failure::of_stdout(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(closed, Failure::ClosedPipe));
        let full = Failure::of_stdout(io::Error::from(io::ErrorKind::StorageFull));
        assert!(matches!(full, Failure::Error(error) if error.kind() == ErrorKind::DiskFull));
    }
}
