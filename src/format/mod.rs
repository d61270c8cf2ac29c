//! Pure codecs: bytes and texts to values and back. No input or output, no clock, no machine.
//!
//! - Encoders are deterministic: equal values give equal bytes on every machine.
//! - Decoders take hostile input: every length is bounded before memory is taken, and every fault is a [`FormatError`].
//! - Each format carries its version from the first byte; what is newer than we know is refused by name.

pub mod binding;
pub(crate) mod bytes;
pub mod config;
pub mod directory;
pub mod encoding;
pub mod kind;
pub mod name;
pub mod pack;
pub mod params;
pub mod recipe;
pub mod record;
pub mod remote_log;
pub mod run;
pub mod snapshot;
pub mod spec;
pub mod table;
pub mod tables;

use thiserror::Error;

use crate::error::{Classify, ErrorKind};

/// Input that is not what its format says.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FormatError {
    /// A name, suffix, parameter or specification that a user typed is not allowed.
    #[error("{what} `{text}` is not allowed: {reason}")]
    Refused {
        /// What was being read.
        what: &'static str,
        /// The text, shortened.
        text: String,
        /// Why it is refused.
        reason: String,
    },
    /// Stored bytes do not follow the format.
    #[error("{what} is malformed: {reason}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The format is newer than this program.
    #[error("{what} has version {found}, and this program knows versions up to {known}")]
    TooNew {
        /// What was being read.
        what: &'static str,
        /// The version found.
        found: u32,
        /// The newest version known here.
        known: u32,
    },
    /// The bytes are sound, and reading them takes a feature that this program lacks.
    #[error("{what} needs {feature}, which this program does not know")]
    Unsupported {
        /// What was being read.
        what: &'static str,
        /// The missing feature.
        feature: String,
    },
}

impl FormatError {
    pub(crate) fn refused(what: &'static str, text: &str, reason: impl Into<String>) -> Self {
        let text = text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        Self::Refused { what, text, reason: reason.into() }
    }

    pub(crate) fn malformed(what: &'static str, reason: impl Into<String>) -> Self {
        Self::Malformed { what, reason: reason.into() }
    }
}

impl Classify for FormatError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Refused { .. } => ErrorKind::Usage,
            Self::Malformed { .. } => ErrorKind::Damaged,
            Self::TooNew { .. } | Self::Unsupported { .. } => ErrorKind::TooNew,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::TooNew { .. } | Self::Unsupported { .. } => {
                Some("a newer onenb wrote this; upgrade with `pip install --upgrade onenb`".to_owned())
            }
            _ => None,
        }
    }
}
