//! The one error type that leaves the library, and the kinds that front ends map to exit codes and exceptions.
//!
//! - Each module has an error enum of its own; it says its kind and hint once, through [`Classify`], and `?` wraps it.
//! - `Display` is the module's lower-case fragment; causes hang on `source()`.
//! - This module knows no other module, so that every layer may use it.

use std::error::Error as StdError;
use std::fmt;
use std::io;

/// What went wrong, as far as a program needs to tell cases apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Anything without a kind of its own.
    Failed,
    /// Wrong usage: a bad name, suffix, URL, specification or option.
    Usage,
    /// No such revision, export, parameter set, tag or object.
    NotFound,
    /// The directory is in no Git repository.
    NotARepository,
    /// The repository was never set up with `onenb init`.
    NotInitialised,
    /// Credentials are missing or refused, or the remote was not approved.
    Auth,
    /// Stored bytes are not what was written.
    Damaged,
    /// Two changes exclude each other: a tag already pushed, a name already taken.
    Conflict,
    /// No space left where the bytes should go.
    DiskFull,
    /// The place may be read but not written.
    ReadOnly,
    /// The format is newer than this program knows.
    TooNew,
    /// The user interrupted the work.
    Interrupted,
}

/// What each module's error enum tells about its values.
pub trait Classify: StdError + Send + Sync + Sized + 'static {
    /// Returns the kind of this value.
    fn kind(&self) -> ErrorKind;

    /// Returns the next command to try, or other advice, without the leading `hint:`.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// An error of this library: a kind, a message with causes, and often a hint.
pub struct Error {
    kind: ErrorKind,
    hint: Option<String>,
    source: Box<dyn StdError + Send + Sync>,
}

impl Error {
    /// Makes an error from plain words, where no module's enum has a case worth naming.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, hint: None, source: message.into().into() }
    }

    /// Replaces the hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts what was being done in front of what went wrong; the old error becomes the cause.
    #[must_use]
    pub fn context(self, doing: impl Into<String>) -> Self {
        let (kind, hint) = (self.kind, self.hint.clone());
        Self { kind, hint, source: Box::new(Context { doing: doing.into(), cause: self }) }
    }

    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the hint, without the leading `hint:`.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.source)?;
        let mut cause = self.source.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.source, f)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.source()
    }
}

impl<E: Classify> From<E> for Error {
    fn from(error: E) -> Self {
        Self { kind: error.kind(), hint: error.hint(), source: Box::new(error) }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        // A typed error that had to travel through `io::Read` or `io::Write` comes out as itself.
        if error.get_ref().is_some_and(<dyn StdError + Send + Sync>::is::<Self>) {
            if let Some(inner) = error.into_inner().and_then(|inner| inner.downcast::<Self>().ok()) {
                return *inner;
            }
            return Self::new(ErrorKind::Failed, "a read or write failed");
        }
        Self { kind: kind_of_io(&error), hint: None, source: Box::new(error) }
    }
}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        let kind = match error.kind {
            ErrorKind::NotFound => io::ErrorKind::NotFound,
            ErrorKind::Damaged => io::ErrorKind::InvalidData,
            ErrorKind::DiskFull => io::ErrorKind::StorageFull,
            ErrorKind::ReadOnly => io::ErrorKind::ReadOnlyFilesystem,
            _ => io::ErrorKind::Other,
        };
        Self::new(kind, error)
    }
}

#[derive(Debug)]
struct Context {
    doing: String,
    cause: Error,
}

impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.doing)
    }
}

impl StdError for Context {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&self.cause)
    }
}

/// Returns the kind that an operating system's error stands for.
#[must_use]
pub fn kind_of_io(error: &io::Error) -> ErrorKind {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => ErrorKind::DiskFull,
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => ErrorKind::ReadOnly,
        io::ErrorKind::Interrupted => ErrorKind::Interrupted,
        _ => ErrorKind::Failed,
    }
}

/// A result with this library's error.
pub type Result<T, E = Error> = std::result::Result<T, E>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_error_survives_the_way_through_io() {
        let error = Error::new(ErrorKind::Damaged, "chunk is damaged").with_hint("`onenb verify`");
        let back = Error::from(io::Error::from(error));
        assert_eq!(back.kind(), ErrorKind::Damaged);
        assert_eq!(back.hint(), Some("`onenb verify`"));
        assert_eq!(back.to_string(), "chunk is damaged");
    }

    #[test]
    fn context_keeps_kind_and_hint_and_hangs_the_cause_below() {
        let error =
            Error::new(ErrorKind::NotFound, "no tag `v9`").with_hint("`git tag`").context("could not read `Sales`");
        assert_eq!(error.to_string(), "could not read `Sales`");
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(error.hint(), Some("`git tag`"));
        assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("no tag `v9`"));
    }

    #[test]
    fn full_disks_and_read_only_places_have_kinds() {
        assert_eq!(Error::from(io::Error::from(io::ErrorKind::StorageFull)).kind(), ErrorKind::DiskFull);
        assert_eq!(Error::from(io::Error::from(io::ErrorKind::ReadOnlyFilesystem)).kind(), ErrorKind::ReadOnly);
    }
}
