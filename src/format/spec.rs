//! Specifications: `[REPO@]REV:NAME[?k=v&k2=v2]`, how people and programs name one export of one revision.
//!
//! The text is cut at the first `?` after the last `:`, then at that `:`. REPO is what precedes an `@` that no `{`
//! follows, and only if it is a known repository or a URL; everything else belongs to REV, so tags such as `pkg@1.0`
//! work.

use std::fmt;

use super::FormatError;
use super::name::ExportName;
use super::params::Params;

/// Revision that stands for the records of the work tree, committed or not.
pub const WORKING: &str = "working";

/// A parsed specification.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// Repository by registered name or URL; `None` is the one we stand in.
    pub repo: Option<String>,
    /// Revision as Git takes it, or [`WORKING`].
    pub rev: String,
    /// Name of the export.
    pub name: ExportName,
    /// Its parameters.
    pub params: Params,
}

/// The three parts of `[REPO@]REV:REST[?params]` before REST is given a meaning.
#[derive(Debug, Clone, PartialEq)]
pub struct SplitSpec<'a> {
    /// Repository, if one was named.
    pub repo: Option<&'a str>,
    /// Revision; `@` alone has become `HEAD`.
    pub rev: &'a str,
    /// What follows the colon: an export's name or a path.
    pub rest: &'a str,
    /// The query, without its `?`.
    pub query: &'a str,
}

/// Splits `[REPO@]REV:REST[?params]`.
///
/// # Errors
/// [`FormatError::Refused`] if a part is missing.
pub fn split<'a>(text: &'a str, is_repo: &dyn Fn(&str) -> bool) -> Result<SplitSpec<'a>, FormatError> {
    let refuse = |reason: &str| FormatError::refused("specification", text, reason);
    let (before, after) =
        text.rsplit_once(':').ok_or_else(|| refuse("write it as `REV:NAME`, for example `v1:Sales`"))?;
    let (rest, query) = after.split_once('?').unwrap_or((after, ""));
    let (repo, rev) = split_rev(before, is_repo);
    if rest.is_empty() {
        return Err(refuse("the name behind `:` is missing"));
    }
    if rev.is_empty() || rev.starts_with('-') {
        return Err(refuse("the revision before `:` is missing; write `HEAD:NAME` or `working:NAME`"));
    }
    Ok(SplitSpec { repo, rev, rest, query })
}

/// Splits `[REPO@]REV`; `@` alone is `HEAD`.
#[must_use]
pub fn split_rev<'a>(text: &'a str, is_repo: &dyn Fn(&str) -> bool) -> (Option<&'a str>, &'a str) {
    let head = |rev: &'a str| if rev == "@" { "HEAD" } else { rev };
    let found = text.match_indices('@').find_map(|(at, _)| {
        let (repo, rev) = (text.get(..at)?, text.get(at + 1..)?);
        let named = !repo.is_empty() && !rev.starts_with('{') && (is_url(repo) || is_repo(repo));
        named.then_some((repo, rev))
    });
    match found {
        Some((repo, rev)) => (Some(repo), head(rev)),
        None => (None, head(text)),
    }
}

/// Returns whether a text is a URL or an absolute path, which may stand where a repository's name does.
#[must_use]
pub fn is_url(text: &str) -> bool {
    text.starts_with('/')
        || text.split_once("://").is_some_and(|(scheme, rest)| {
            !rest.is_empty() && !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || c == '+')
        })
}

impl Spec {
    /// Parses a specification; `is_repo` knows the registered names.
    ///
    /// # Errors
    /// [`FormatError::Refused`].
    pub fn parse(text: &str, is_repo: &dyn Fn(&str) -> bool) -> Result<Self, FormatError> {
        let parts = split(text, is_repo)?;
        Ok(Self {
            repo: parts.repo.map(str::to_owned),
            rev: parts.rev.to_owned(),
            name: ExportName::parse(parts.rest)?,
            params: Params::from_query(parts.query)?,
        })
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(repo) = &self.repo {
            write!(f, "{repo}@")?;
        }
        write!(f, "{}:{}", self.rev, self.name)?;
        if !self.params.is_empty() {
            write!(f, "?{}", self.params.to_query())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Spec, FormatError> {
        Spec::parse(text, &|name| name == "myrepo")
    }

    #[test]
    fn repositories_are_only_known_names_and_urls() {
        let cases = [
            ("v1:Sales", None, "v1"),
            ("myrepo@v1:Sales", Some("myrepo"), "v1"),
            ("pkg@1.0:Sales", None, "pkg@1.0"),
            ("myrepo@pkg@1.0:Sales", Some("myrepo"), "pkg@1.0"),
            ("main@{1}:Sales", None, "main@{1}"),
            ("@:Sales", None, "HEAD"),
            ("HEAD~1:Sales", None, "HEAD~1"),
            ("s3://bucket/prefix@v1:Sales", Some("s3://bucket/prefix"), "v1"),
            ("/srv/data@v1:Sales", Some("/srv/data"), "v1"),
        ];
        for (text, repo, rev) in cases {
            let spec = parse(text).expect(text);
            assert_eq!((spec.repo.as_deref(), spec.rev.as_str()), (repo, rev), "{text}");
        }
    }

    #[test]
    fn parameters_are_typed_and_written_back() {
        let spec = parse("v1:Report?year=2023&foo=a%3Ab").expect("good");
        assert_eq!(spec.to_string(), "v1:Report?foo=a%3Ab&year=2023");
        assert_eq!(parse(&spec.to_string()), Ok(spec));
    }

    #[test]
    fn broken_specifications_are_refused() {
        for bad in ["", "Sales", ":Sales", "v1:", "v1:a/b", "v1:Sales?x", "-x:Sales", "v1:_p"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
