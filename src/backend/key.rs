//! Keys: the names of objects, safe as paths and as parts of URLs.

use std::fmt;

use super::BackendError;

/// Longest key in bytes; S3 takes 1024.
const MAX_KEY_LEN: usize = 900;
/// Longest segment in bytes: file systems take 255, and a temporary name adds 32.
const MAX_SEGMENT_LEN: usize = 220;

/// The name of an object.
///
/// Invariants: 1 to 900 bytes; segments separated by `/`, each 1 to 220 of `A-Z a-z 0-9 - _ . % ~`, none starting with
/// a dot. So a key is never absolute, never climbs, and never is one of the hidden temporary files.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

impl Key {
    /// Checks a key.
    ///
    /// # Errors
    /// [`BackendError::BadKey`] with the rule that the text breaks.
    pub fn parse(text: &str) -> Result<Self, BackendError> {
        let refuse = |reason| {
            let text = text.chars().take(80).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            Err(BackendError::BadKey { text, reason })
        };
        if text.len() > MAX_KEY_LEN {
            return refuse("it is longer than 900 bytes");
        }
        for segment in text.split('/') {
            if segment.is_empty() || segment.len() > MAX_SEGMENT_LEN {
                return refuse("each part needs 1 to 220 bytes");
            }
            if segment.starts_with('.') {
                return refuse("no part may start with a dot");
            }
            if !segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.%~".contains(&byte)) {
                return refuse("letters, digits and `-_.%~` are fine, nothing else");
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the parts between the slashes.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// Returns the last part.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(self.as_str(), |(_, name)| name)
    }

    /// Returns whether the key lies somewhere below `folder`.
    #[must_use]
    pub fn is_below(&self, folder: &Key) -> bool {
        self.0.strip_prefix(&folder.0).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cannot_climb_hide_or_be_absolute() {
        let long = "x".repeat(221);
        for bad in
            ["", "/a", "a/", "a//b", "..", "a/../b", "a/.", ".tmp", "a/.b", "a b", "a\\b", "a\0", "é", "c:x", &long]
        {
            assert!(Key::parse(bad).is_err(), "{bad}");
        }
        for good in ["a", "tags/v1.0/fffffffffffffffe", "tags/a%2Fb/x", "packs/01ARZ3NDEKTSV4RRFFQ69G5FAV/x.pack"] {
            assert!(Key::parse(good).is_ok_and(|key| key.as_str() == good), "{good}");
        }
    }

    #[test]
    fn a_folder_is_not_its_namesake_with_a_longer_name() -> Result<(), BackendError> {
        let folder = Key::parse("tags/v1")?;
        assert!(Key::parse("tags/v1/x")?.is_below(&folder));
        assert!(!Key::parse("tags/v10/x")?.is_below(&folder));
        assert!(!folder.is_below(&folder));
        Ok(())
    }
}
