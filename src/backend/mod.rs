//! Backends: bytes under keys, the one thing that a directory and a cloud bucket have in common.
//!
//! - Objects are whole: a reader sees all bytes of a [`Backend::put`] or none. What is acknowledged is durable.
//! - [`Backend::create`] is the only synchronisation: of several creators of one key exactly one wins. Because a lost
//!   answer may be retried below us, [`Created::AlreadyExists`] means "unknown": read back and compare.
//! - [`Backend::list`] answers in the byte order of keys and sees every object acknowledged before it was asked.
//! - A [`Key`] cannot leave its root, whatever a remote wrote; symbolic links below a directory's root are not
//!   followed.
//! - This module knows nothing of packs, tags or snapshots; `backend::conformance` is the contract as tests.

mod cloud;
#[cfg(test)]
mod conformance;
mod faults;
mod key;
mod local;
mod memory;
mod url;

use std::ops::Range;
use std::sync::Arc;

use thiserror::Error;

pub use cloud::{CloudContext, CloudOptions, check_endpoint};
pub use faults::{Fault, FaultBackend};
pub use key::Key;
pub use local::LocalBackend;
pub use memory::MemoryBackend;
pub use url::{RemoteUrl, UrlPrefix};

use crate::error::{Classify, ErrorKind, kind_of_io};

/// How [`Backend::create`] went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// This call made the object.
    Created,
    /// The object exists. It may be ours, if an earlier answer was lost.
    AlreadyExists,
}

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// Its length in bytes.
    pub len: u64,
}

/// A place that keeps bytes under keys. Every call is one request.
pub trait Backend: Send + Sync {
    /// Returns a whole object of at most `max_len` bytes.
    ///
    /// # Errors
    /// [`BackendError::NotFound`], [`BackendError::TooLong`], or what the place answers.
    fn get(&self, key: &Key, max_len: u64) -> Result<Vec<u8>, BackendError>;

    /// Returns exactly the bytes of `range`.
    ///
    /// # Errors
    /// [`BackendError::NotFound`], [`BackendError::Truncated`] if the object ends earlier, or what the place answers.
    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, BackendError>;

    /// Stores an immutable object. Callers overwrite an object only with equal bytes. The bytes are handed over because
    /// a request may have to be repeated from memory, and packs are too long to be copied for it.
    ///
    /// # Errors
    /// What the place answers; the object may or may not be there afterwards.
    fn put(&self, key: &Key, bytes: Vec<u8>) -> Result<(), BackendError>;

    /// Stores an object unless its key is taken.
    ///
    /// # Errors
    /// What the place answers; the object may or may not be there afterwards.
    fn create(&self, key: &Key, bytes: &[u8]) -> Result<Created, BackendError>;

    /// Lists at most `limit` objects anywhere below `folder`, after the key `start_after`, in the byte order of keys.
    ///
    /// # Errors
    /// What the place answers. A folder that does not exist is empty.
    fn list(&self, folder: &Key, start_after: Option<&Key>, limit: usize) -> Result<Vec<Entry>, BackendError>;

    /// Removes an object; one that is already gone is fine.
    ///
    /// # Errors
    /// What the place answers.
    fn delete(&self, key: &Key) -> Result<(), BackendError>;

    /// Returns the length of an object, `None` if there is none.
    ///
    /// # Errors
    /// What the place answers.
    fn head(&self, key: &Key) -> Result<Option<u64>, BackendError>;

    /// Counts, and with `delete` removes, what writers that were killed left behind: temporary files begun before a
    /// time, in milliseconds since 1970. A bucket has none.
    ///
    /// # Errors
    /// What the place answers.
    fn sweep_leftovers(&self, _begun_before_ms: u64, _delete: bool) -> Result<Leftovers, BackendError> {
        Ok(Leftovers::default())
    }
}

/// Temporary files that nobody will finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// How many there are.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl<B: Backend + ?Sized> Backend for Arc<B> {
    fn get(&self, key: &Key, max_len: u64) -> Result<Vec<u8>, BackendError> {
        (**self).get(key, max_len)
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, BackendError> {
        (**self).get_range(key, range)
    }

    fn put(&self, key: &Key, bytes: Vec<u8>) -> Result<(), BackendError> {
        (**self).put(key, bytes)
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<Created, BackendError> {
        (**self).create(key, bytes)
    }

    fn list(&self, folder: &Key, start_after: Option<&Key>, limit: usize) -> Result<Vec<Entry>, BackendError> {
        (**self).list(folder, start_after, limit)
    }

    fn delete(&self, key: &Key) -> Result<(), BackendError> {
        (**self).delete(key)
    }

    fn head(&self, key: &Key) -> Result<Option<u64>, BackendError> {
        (**self).head(key)
    }

    fn sweep_leftovers(&self, begun_before_ms: u64, delete: bool) -> Result<Leftovers, BackendError> {
        (**self).sweep_leftovers(begun_before_ms, delete)
    }
}

/// What a place that keeps bytes can answer instead of them.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackendError {
    /// There is no such object.
    #[error("no object `{key}`")]
    NotFound {
        /// Its key.
        key: Key,
    },
    /// The object is longer than the caller can take.
    #[error("object `{key}` is longer than {max_len} bytes")]
    TooLong {
        /// Its key.
        key: Key,
        /// The most bytes that were expected.
        max_len: u64,
    },
    /// The object ends before the asked range does.
    #[error("object `{key}` ends before byte {end}")]
    Truncated {
        /// Its key.
        key: Key,
        /// End of the asked range, exclusive.
        end: u64,
    },
    /// A text that cannot be a key.
    #[error("`{text}` is not a key: {reason}")]
    BadKey {
        /// The text, shortened.
        text: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// A text that cannot be a remote.
    #[error("`{text}` is not a remote: {reason}")]
    BadUrl {
        /// The text, shortened.
        text: String,
        /// The rule it breaks.
        reason: &'static str,
    },
    /// The asked range starts behind the end of the object.
    #[error("object `{key}` ends before the asked range")]
    OutOfRange {
        /// Its key.
        key: Key,
    },
    /// The bucket or container is not there.
    #[error("there is no bucket `{bucket}`, or these credentials may not see it")]
    NoBucket {
        /// The bucket with its scheme.
        bucket: String,
    },
    /// The machine has no credentials for a provider.
    #[error("{reason}")]
    NoCredentials {
        /// What was looked for.
        reason: String,
    },
    /// A provider answered something else, also after all retries.
    #[error("could not {doing} `{key}`: {reason}")]
    Remote {
        /// What was being done.
        doing: &'static str,
        /// The key.
        key: Key,
        /// The provider's words, shortened, without secrets.
        reason: String,
    },
    /// Nobody answered at all.
    #[error("could not reach the remote to {doing} `{key}`: {reason}")]
    Unreachable {
        /// What was being done.
        doing: &'static str,
        /// The key.
        key: Key,
        /// What the network said, shortened, without secrets.
        reason: String,
    },
    /// Something below a directory's root is neither a plain file nor a plain directory.
    #[error("`{path}` is a symbolic link or a special file, which remotes do not follow")]
    Special {
        /// Its path.
        path: String,
    },
    /// Credentials are missing or refused.
    #[error("access to `{key}` was refused: {reason}")]
    Auth {
        /// The key that was asked for.
        key: Key,
        /// The provider's words, shortened, without secrets.
        reason: String,
    },
    /// The operating system refused a read or write.
    #[error("could not {doing} `{key}`")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The key.
        key: Key,
        /// The system's error.
        source: std::io::Error,
    },
    /// A fault that a test asked for.
    #[error("request {request} on `{key}` failed (simulated)")]
    Injected {
        /// Number of the request, from 0.
        request: u64,
        /// The key.
        key: Key,
    },
}

impl Classify for BackendError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::NoBucket { .. } => ErrorKind::NotFound,
            Self::TooLong { .. } | Self::Truncated { .. } | Self::OutOfRange { .. } | Self::Special { .. } => {
                ErrorKind::Damaged
            }
            Self::BadKey { .. } | Self::BadUrl { .. } => ErrorKind::Usage,
            Self::Remote { .. } | Self::Unreachable { .. } | Self::Injected { .. } => ErrorKind::Failed,
            Self::Auth { .. } | Self::NoCredentials { .. } => ErrorKind::Auth,
            Self::Io { source, .. } => kind_of_io(source),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::BadUrl { .. } => {
                Some("a remote is an absolute directory or a URL, as in `onenb remote set /srv/data`".to_owned())
            }
            Self::NoBucket { .. } => Some("make the bucket with the provider's tools, then `onenb remote check`".to_owned()),
            Self::NoCredentials { .. } => Some(
                "sign in with the provider's tools (`aws sso login`, `gcloud auth application-default login`, `az login`), or \
                 choose a profile with `onenb remote set URL --profile NAME`"
                    .to_owned(),
            ),
            Self::Auth { .. } => Some("see what is allowed with `onenb remote check`".to_owned()),
            Self::Unreachable { .. } => Some("look at the network, and ask again with `onenb remote check`".to_owned()),
            Self::Remote { .. } => Some("repeat the command; what was sent is kept".to_owned()),
            Self::Io { source, .. } if kind_of_io(source) == ErrorKind::ReadOnly => {
                Some("check who may write there with `onenb remote check`".to_owned())
            }
            Self::Io { source, .. } if kind_of_io(source) == ErrorKind::DiskFull => {
                Some("make room there, then repeat the command; what was sent is kept".to_owned())
            }
            _ => None,
        }
    }
}
