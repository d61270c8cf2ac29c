//! Arguments that several commands share.

use std::path::Path;

use super::command::usage;
use super::output::Context;
use crate::error::{Error, Result};
use crate::format::config::StorageConfig;
use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::{MovedTag, ResolvedExport, Spec, Workspace};

/// `-p NAME=VALUE`, as often as needed.
#[derive(Debug, clap::Args)]
pub(super) struct ParamArgs {
    /// Parameter: a JSON literal if VALUE parses as one, else a text; repeatable
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE")]
    param: Vec<String>,
}

impl ParamArgs {
    /// Returns the parameter set.
    pub(super) fn parse(&self) -> Result<Params> {
        Ok(Params::from_assignments(self.param.iter().map(String::as_str))?)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.param.is_empty()
    }
}

/// One export: a specification, and parameters outside of it for those who dislike quoting.
#[derive(Debug, clap::Args)]
pub(super) struct SpecArgs {
    /// The export, [REPO@]REV:NAME[?k=v&k2=v2]
    spec: String,
    #[command(flatten)]
    params: ParamArgs,
}

impl SpecArgs {
    /// Parses the specification.
    pub(super) fn parse(&self, workspace: &Workspace) -> Result<Spec> {
        workspace.parse_spec(&self.spec, &self.params.parse()?)
    }

    /// Finds the export, and warns if its tag moved.
    pub(super) fn resolve(&self, workspace: &Workspace, ctx: &Context) -> Result<ResolvedExport> {
        resolve(&self.spec, &self.params, workspace, ctx)
    }
}

/// Finds the export of a specification, and warns if its tag moved.
pub(super) fn resolve(spec: &str, params: &ParamArgs, workspace: &Workspace, ctx: &Context) -> Result<ResolvedExport> {
    let resolved = workspace.resolve(&workspace.parse_spec(spec, &params.parse()?)?)?;
    warn_of_move(resolved.moved.as_ref(), ctx);
    Ok(resolved)
}

/// Says that a tag names another commit on the remote; what the local one names was read.
pub(super) fn warn_of_move(moved: Option<&MovedTag>, ctx: &Context) {
    if let Some(moved) = moved {
        ctx.talk.warn(&format!(
            "tag `{}` is {} here and {} on the remote; read the one here",
            moved.tag,
            moved.local.short(),
            moved.remote.short()
        ));
    }
}

/// Where data is pushed, as `remote add` and `remote set` take it.
#[derive(Debug, clap::Args)]
pub(super) struct StorageArgs {
    /// A directory, or a URL such as `s3://bucket/prefix`
    url: String,
    /// Endpoint of an S3 look-alike or of an Azure account
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Region of the bucket
    #[arg(long)]
    region: Option<String>,
    /// Credential profile, kept in your own configuration; an empty one goes back to the usual one
    #[arg(long)]
    profile: Option<String>,
}

impl StorageArgs {
    pub(super) fn parse(&self) -> Result<StorageConfig> {
        storage_of(&self.url, (self.endpoint_url.as_ref(), self.region.as_ref()))
    }

    pub(super) fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }
}

/// Makes the storage of a URL or directory, an endpoint and a region.
pub(super) fn storage_of(url: &str, (endpoint, region): (Option<&String>, Option<&String>)) -> Result<StorageConfig> {
    let url = if url.contains("://") { url.to_owned() } else { directory_url(url)? };
    Ok(StorageConfig { url, endpoint_url: endpoint.cloned(), region: region.cloned() })
}

/// Makes a directory absolute, because the tracked configuration is read from other directories.
///
/// # Errors
/// Usage for what looks like a mistyped URL.
pub(super) fn directory_url(directory: &str) -> Result<String> {
    if ["s3:", "gs:", "az:", "http:", "https:"].iter().any(|scheme| directory.starts_with(scheme)) {
        return Err(usage("a URL has `//` behind its scheme", "remote"));
    }
    let absolute = std::path::absolute(Path::new(directory))
        .map_err(|cause| Error::from(cause).context(format!("`{directory}` cannot be a directory")))?;
    absolute.into_os_string().into_string().map_err(|_| usage("the directory's path is not Unicode", "remote"))
}

/// Splits `NAME[?k=v]` and adds the parameters of `-p`.
pub(super) fn parse_name(text: &str, params: &ParamArgs) -> Result<(ExportName, Params)> {
    let (name, query) = text.split_once('?').unwrap_or((text, ""));
    Ok((ExportName::parse(name)?, merge(&Params::from_query(query)?, &params.parse()?)?))
}

/// Splits `REV:PATH[?k=v]` at the first `?` behind the last `:`, then at that `:`.
pub(super) fn split_at_path(text: &str) -> Option<(&str, &str, &str)> {
    let (rev, rest) = text.rsplit_once(':')?;
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    (!rev.is_empty() && !path.is_empty()).then_some((rev, path, query))
}

/// Returns whether a text that may be a specification or a revision is a specification.
///
/// Revisions may hold a `:` too, as in `main@{2024-01-01 10:00}`, but what follows it is no export name then.
pub(super) fn is_spec(text: &str) -> bool {
    split_at_path(text).is_some_and(|(_, name, query)| !query.is_empty() || ExportName::parse(name).is_ok())
}

/// Joins two parameter sets; a name in both is refused, whatever the values are.
pub(super) fn merge(first: &Params, second: &Params) -> Result<Params> {
    if let Some((name, _)) = second.iter().find(|(name, _)| first.get(name).is_some()) {
        return Err(Error::new(crate::ErrorKind::Usage, format!("parameter `{name}` is given twice")));
    }
    let entries = first.iter().chain(second.iter()).map(|(name, value)| (name.to_owned(), value.clone()));
    Ok(Params::new(entries.collect())?)
}

/// Splits the repository off `REPO@REV`. A `@` belongs to the revision, as in `pkg@1.0` or `main@{1}`, unless a
/// registered name or a URL precedes it.
pub(super) fn split_repo(text: &str, registered: impl FnOnce() -> Vec<String>) -> (Option<&str>, &str) {
    let cuts: Vec<(&str, &str)> = text
        .match_indices('@')
        .filter_map(|(at, _)| text.split_at_checked(at).and_then(|(repo, rest)| Some((repo, rest.strip_prefix('@')?))))
        .filter(|(repo, rev)| !repo.is_empty() && !rev.is_empty() && !rev.starts_with('{'))
        .collect();
    let cut = if text.contains("://") {
        cuts.iter().rfind(|(repo, _)| repo.contains("://")).copied()
    } else if cuts.is_empty() {
        None
    } else {
        let registered = registered();
        cuts.into_iter().find(|(repo, _)| registered.iter().any(|name| name == repo))
    };
    cut.map_or((None, text), |(repo, rev)| (Some(repo), rev))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_what_is_registered_or_a_url() {
        let split = |text| split_repo(text, || vec!["data".to_owned()]);
        assert_eq!(split("v1"), (None, "v1"));
        assert_eq!(split("data@v1"), (Some("data"), "v1"));
        assert_eq!(split("data@pkg@1.0"), (Some("data"), "pkg@1.0"));
        assert_eq!(split("pkg@1.0"), (None, "pkg@1.0"));
        assert_eq!(split("main@{1}"), (None, "main@{1}"));
        assert_eq!(split("data@main@{1}"), (Some("data"), "main@{1}"));
        assert_eq!(split("s3://bucket/a@b@v1"), (Some("s3://bucket/a@b"), "v1"));
        assert_eq!(split("@"), (None, "@"));
    }

    #[test]
    fn a_colon_makes_a_specification_only_before_a_name() {
        for spec in ["v1:Sales", "a@v1:Sales?year=1", "v1:bad name?x=1"] {
            assert!(is_spec(spec), "{spec}");
        }
        for rev in ["v1", "main@{10:00}", ":/fix bug", "s3://bucket/prefix", ":Sales", "v1:"] {
            assert!(!is_spec(rev), "{rev}");
        }
    }

    #[test]
    fn a_parameter_is_given_once() {
        let set = |text: &str| Params::from_query(text).expect("the test's own parameters are good");
        assert_eq!(merge(&set("a=1"), &set("b=2")).expect("disjoint"), set("a=1&b=2"));
        let error = merge(&set("a=1"), &set("a=1")).expect_err("twice");
        assert_eq!(
            (error.kind(), error.to_string().as_str()),
            (crate::ErrorKind::Usage, "parameter `a` is given twice")
        );
    }
}
