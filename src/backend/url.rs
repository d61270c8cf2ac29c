//! What users write to name a remote.

use std::fmt;
use std::path::{Path, PathBuf};

use super::cloud::{CloudBackend, CloudOptions};
use super::{Backend, BackendError, LocalBackend};

/// A remote as users and configurations name it: parsed, not yet opened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RemoteUrl {
    /// A directory of this machine, absolute.
    Directory(PathBuf),
    /// A bucket or container.
    Cloud {
        /// `s3`, `gs` or `az`.
        scheme: &'static str,
        /// Name of the bucket or container.
        bucket: String,
        /// Key prefix inside it, without slashes at its ends; may be empty.
        prefix: String,
    },
}

impl RemoteUrl {
    /// Reads an absolute directory, `file://`, `s3://`, `gs://` or `az://`.
    ///
    /// # Errors
    /// [`BackendError::BadUrl`].
    pub fn parse(text: &str) -> Result<Self, BackendError> {
        check_public(text)?;
        let refuse = |reason| {
            // What may hold a secret is not repeated.
            let text = if text.contains(['@', '?']) { "…" } else { text };
            let text = text.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
            Err(BackendError::BadUrl { text, reason })
        };
        if text.chars().any(char::is_control) || text.len() > 2048 {
            return refuse("it is too long or has control characters");
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            let path = Path::new(text);
            return if path.is_absolute() {
                Ok(Self::Directory(path.to_path_buf()))
            } else {
                refuse("a directory must be given as an absolute path")
            };
        };
        let scheme = match scheme {
            "file" => return parse_file_url(rest).map_or_else(|| refuse("`file://` needs an absolute path"), Ok),
            "s3" => "s3",
            "gs" | "gcs" => "gs",
            "az" | "azure" => "az",
            _ => return refuse("known schemes are `file`, `s3`, `gs` and `az`"),
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() || !bucket.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            return refuse("the name of the bucket is missing or has odd characters");
        }
        Ok(Self::Cloud { scheme, bucket: bucket.to_owned(), prefix: prefix.trim_matches('/').to_owned() })
    }

    /// Opens the backend. Nothing is touched or asked before its first request.
    ///
    /// # Errors
    /// [`BackendError::BadUrl`] or [`BackendError::BadKey`] for an endpoint or a prefix that cannot be used.
    pub fn open(&self, options: &CloudOptions) -> Result<Box<dyn Backend>, BackendError> {
        match self {
            Self::Directory(path) => Ok(Box::new(LocalBackend::new(path.clone()))),
            Self::Cloud { scheme, bucket, prefix } => Ok(Box::new(CloudBackend::new(scheme, bucket, prefix, options)?)),
        }
    }

    /// Returns whether the remote is a directory, which `push` may create by itself.
    #[must_use]
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Directory(_))
    }
}

/// The beginning of remotes that a user trusts as a whole, as in `s3://acme/team` or `/srv/data`.
///
/// It ends where a part of the URL ends. Only inside the name of a bucket it may stop after a `-`: `s3://acme-` covers
/// `s3://acme-data`. It covers no URL with `..`, `.` or empty parts, whatever those would lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlPrefix {
    text: String,
    /// Whether the name of a bucket goes on behind it.
    open: bool,
}

impl UrlPrefix {
    /// Checks a prefix.
    ///
    /// # Errors
    /// [`BackendError::BadUrl`] for what is no remote, has odd parts, or would cover everything.
    pub fn parse(text: &str) -> Result<Self, BackendError> {
        let url = RemoteUrl::parse(text)?;
        let refuse = |reason| Err(BackendError::BadUrl { text: text.chars().take(200).collect(), reason });
        let Some(canonical) = url.plain_text() else {
            return refuse("a prefix has no `.`, `..` or empty parts");
        };
        if canonical.is_empty() {
            return refuse("a prefix that covers everything approves nothing in particular");
        }
        let open =
            matches!(&url, RemoteUrl::Cloud { bucket, prefix, .. } if prefix.is_empty() && bucket.ends_with('-'));
        Ok(Self { text: canonical, open })
    }

    /// Returns whether a remote lies below the prefix.
    #[must_use]
    pub fn covers(&self, url: &RemoteUrl) -> bool {
        let text = url.plain_text();
        let rest = text.as_deref().and_then(|text| text.strip_prefix(self.text.as_str()));
        rest.is_some_and(|rest| self.open || rest.is_empty() || rest.starts_with('/'))
    }
}

impl RemoteUrl {
    /// Returns the one spelling of the remote without a slash at its end; `None` if a part of it is odd.
    fn plain_text(&self) -> Option<String> {
        let text = self.to_string();
        let text = text.trim_end_matches('/');
        let parts = text.split_once("://").map_or_else(|| text.strip_prefix('/').unwrap_or(text), |(_, rest)| rest);
        let odd = |part: &str| part.is_empty() || part == "." || part == "..";
        (parts.is_empty() || !parts.split(['/', std::path::MAIN_SEPARATOR]).any(odd)).then(|| text.to_owned())
    }
}

/// Refuses a URL that holds a secret, or looks like it, whatever its scheme: it would be stored, shown and sent on.
/// What looks like one is not repeated.
fn check_public(text: &str) -> Result<(), BackendError> {
    let Some((scheme, rest)) = text.split_once("://").filter(|(scheme, _)| *scheme != "file") else { return Ok(()) };
    let refuse = |text: &str, reason| {
        let text = text.chars().take(200).filter(|c| !c.is_control()).collect();
        Err(BackendError::BadUrl { text, reason })
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains(['@', ':']) {
        let scheme = scheme.rsplit(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
        return refuse(
            &format!("{scheme}://…"),
            "a remote has neither credentials nor a port; `--endpoint-url` names a host",
        );
    }
    match text.split_once(['?', '#']) {
        Some((before, _)) => {
            refuse(&format!("{before}?…"), "a remote has no query, and signatures do not belong in it")
        }
        None => Ok(()),
    }
}

/// Reads what follows `file://`: an absolute path, percent-encoded, on no other host.
fn parse_file_url(rest: &str) -> Option<RemoteUrl> {
    let path = rest.strip_prefix("localhost").filter(|path| path.starts_with('/')).unwrap_or(rest);
    let decoded = percent_encoding::percent_decode_str(path).decode_utf8().ok()?;
    // `file:///C:/x` names a drive; elsewhere the slash belongs to the path.
    let decoded = if cfg!(windows) { decoded.trim_start_matches('/') } else { decoded.as_ref() };
    let path = Path::new(decoded);
    (path.is_absolute() && !decoded.contains('\0')).then(|| RemoteUrl::Directory(path.to_path_buf()))
}

impl fmt::Display for RemoteUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Cloud { scheme, bucket, prefix } if prefix.is_empty() => write!(f, "{scheme}://{bucket}"),
            Self::Cloud { scheme, bucket, prefix } => write!(f, "{scheme}://{bucket}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Classify as _, ErrorKind};

    #[cfg(unix)]
    #[test]
    fn directories_are_absolute_in_both_spellings() -> Result<(), BackendError> {
        let expected = RemoteUrl::Directory(PathBuf::from("/srv/my data"));
        assert_eq!(RemoteUrl::parse("/srv/my data")?, expected);
        assert_eq!(RemoteUrl::parse("file:///srv/my%20data")?, expected);
        assert_eq!(RemoteUrl::parse("file://localhost/srv/my data")?, expected);
        for bad in ["srv/data", "", "../x", "file://srv/data", "file://", "http://x/y", "/a\nb"] {
            assert!(RemoteUrl::parse(bad).is_err_and(|error| error.kind() == ErrorKind::Usage), "{bad}");
        }
        Ok(())
    }

    #[cfg(unix)]
    #[test]
    fn a_prefix_ends_where_a_part_ends() -> Result<(), BackendError> {
        let covers = |prefix: &str, url: &str| -> Result<bool, BackendError> {
            Ok(UrlPrefix::parse(prefix)?.covers(&RemoteUrl::parse(url)?))
        };
        for (prefix, url) in [
            ("s3://acme-", "s3://acme-data/x"),
            ("s3://acme", "s3://acme/x"),
            ("s3://acme/team/", "s3://acme/team"),
            ("s3://acme/team-", "s3://acme/team-/x"),
            ("/srv/data", "/srv/data/x"),
            ("file:///srv/data", "/srv/data"),
        ] {
            assert!(covers(prefix, url)?, "{prefix} {url}");
        }
        for (prefix, url) in [
            ("s3://acme", "s3://acme-evil/x"),
            ("s3://acme-", "gs://acme-data"),
            ("s3://acme/team", "s3://acme/team2"),
            ("s3://acme/team", "s3://acme/team/../other"),
            ("s3://acme/team-", "s3://acme/team-b"),
            ("/srv/data", "/srv/database"),
            ("/srv/data", "/srv/data/../../etc"),
            ("/srv/data", "file:///srv/data/%2e%2e/x"),
            ("/srv/data", "/srv/data//x"),
        ] {
            assert!(!covers(prefix, url)?, "{prefix} {url}");
        }
        for bad in ["s3://", "s3", "/", "/srv/../data", "s3://a/../b", "data"] {
            assert!(UrlPrefix::parse(bad).is_err_and(|error| error.kind() == ErrorKind::Usage), "{bad}");
        }
        Ok(())
    }

    #[test]
    fn clouds_parse_and_open_without_a_request() -> Result<(), BackendError> {
        let url = RemoteUrl::parse("s3://acme-data/team/x/")?;
        assert_eq!(url.to_string(), "s3://acme-data/team/x");
        assert!(url.open(&CloudOptions::default()).is_ok());
        assert!(RemoteUrl::parse("s3://acme/../x")?.open(&CloudOptions::default()).is_err());
        for secret in [
            "s3://key:hunter2@bucket/x",
            "s3://key:hunter2",
            "https://user:hunter2@host/x",
            "hunter2://user:hunter2@host",
            "s3://bucket/x?sig=hunter2",
            "s3://bucket#hunter2",
            "\u{1}s3://key:hunter2@bucket/x",
            "file://key:hunter2@host/x",
            "https://h/x@key:hunter2",
            "s3:/key:hunter2@bucket/x",
        ] {
            let refused = RemoteUrl::parse(secret).expect_err("refused");
            let shown = refused.to_string().replacen("hunter2://", "", 1);
            assert!(refused.kind() == ErrorKind::Usage && !shown.contains("hunter2"), "{refused}");
        }
        Ok(())
    }
}
