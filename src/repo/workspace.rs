//! A place on the machine from which specifications are resolved, in a repository or not.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::Repo;
use super::registry::Registry;
use super::remote::{check_approved, open, storage_of_url};
use super::types::{BoundExport, Check, Environment};
use crate::error::{Error, ErrorKind, Result};
use crate::format::config::{StorageConfig, mangle};
use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::format::spec::{Spec, WORKING, is_url, split, split_rev};
use crate::git::nearest;
use crate::sync::Remote;

/// How long an opened remote is used: credentials are renewed, and settings change.
const MAX_OPEN: Duration = Duration::from_mins(1);

/// A directory and the user's registered repositories. Safe to keep for the life of a process, also across a fork.
pub struct Workspace {
    dir: PathBuf,
    environment: Environment,
    registry: Registry,
    here: OnceLock<Repo>,
    /// Remotes that were opened, with their connections and what was read of them last.
    remotes: Mutex<Vec<Opened>>,
}

/// A remote that programs go on asking.
struct Opened {
    storage: StorageConfig,
    remote: Remote,
    since: Instant,
}

/// Where a repository's data can be found: a clone on this machine, or its remote alone.
pub(super) enum Source {
    Clone(Repo),
    Remote { name: String, storage: StorageConfig },
}

impl Workspace {
    /// Looks at a directory. Never fails for want of a repository; [`Workspace::repo`] reports that.
    #[must_use]
    pub fn open(dir: &Path, environment: Environment) -> Self {
        let registry = Registry::new(&environment);
        Self { dir: dir.to_path_buf(), environment, registry, here: OnceLock::new(), remotes: Mutex::default() }
    }

    /// Returns the repository we stand in.
    ///
    /// # Errors
    /// `NotARepository` or `NotInitialised` (hint: `onenb init`).
    pub fn repo(&self) -> Result<&Repo> {
        if let Some(repo) = self.here.get() {
            return Ok(repo);
        }
        let repo = Repo::open_with(&self.dir, &self.environment)?;
        Ok(self.here.get_or_init(|| repo))
    }

    pub(super) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(super) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Parses `[REPO@]REV:NAME[?k=v]` and adds parameters given beside it.
    ///
    /// # Errors
    /// Usage for a malformed text or a parameter given twice.
    pub fn parse_spec(&self, text: &str, params: &Params) -> Result<Spec> {
        let known = self.repos();
        let mut spec = Spec::parse(text, &|name| known.iter().any(|known| known == name))?;
        if !params.is_empty() {
            let mut all: std::collections::BTreeMap<_, _> =
                spec.params.iter().map(|(key, value)| (key.to_owned(), value.clone())).collect();
            for (key, value) in params.iter() {
                if all.insert(key.to_owned(), value.clone()).is_some() {
                    return Err(Error::new(ErrorKind::Usage, format!("parameter `{key}` is given twice")));
                }
            }
            spec.params = Params::new(all)?;
        }
        Ok(spec)
    }

    /// Splits `[REPO@]REV`.
    #[must_use]
    pub fn parse_rev(&self, text: &str) -> (Option<String>, String) {
        let known = self.repos();
        let (repo, rev) = split_rev(text, &|name| known.iter().any(|known| known == name));
        (repo.map(str::to_owned), rev.to_owned())
    }

    /// Splits `[REPO@]REV:PATH[?k=v]` for notebooks.
    ///
    /// # Errors
    /// Usage for a malformed text.
    pub fn parse_notebook_spec(&self, text: &str) -> Result<(Option<String>, String, String, Params)> {
        let known = self.repos();
        let parts = split(text, &|name| known.iter().any(|known| known == name))?;
        let params = Params::from_query(parts.query)?;
        Ok((parts.repo.map(str::to_owned), parts.rev.to_owned(), parts.rest.to_owned(), params))
    }

    /// Returns the names of the known repositories, the one we stand in first.
    #[must_use]
    pub fn repos(&self) -> Vec<String> {
        let mut names: Vec<String> = self.repo().ok().map(|repo| repo.name().to_owned()).into_iter().collect();
        for name in self.registry.load().unwrap_or_default().repos.into_keys() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// Finds a repository by name or URL; `None` is the one we stand in.
    pub(super) fn source(&self, repo: Option<&str>) -> Result<Source> {
        let Some(name) = repo else { return self.repo().cloned().map(Source::Clone) };
        if let Ok(here) = self.repo()
            && here.name() == name
        {
            return Ok(Source::Clone(here.clone()));
        }
        if is_url(name) {
            return Ok(Source::Remote { name: name.to_owned(), storage: storage_of_url(name)? });
        }
        let config = self.registry.load()?;
        let Some(known) = config.repos.get(name) else {
            let error = Error::new(ErrorKind::NotFound, format!("no repository is called `{name}` on this machine"));
            let hint = match nearest(name, config.repos.keys().map(String::as_str)).first() {
                Some(near) => format!("did you mean `{near}`? register another with `onenb remote add {name} URL`"),
                None => format!("register it with `onenb remote add {name} URL`, or run `onenb init` in a clone"),
            };
            return Err(error.with_hint(hint));
        };
        for path in &known.paths {
            let environment = Environment { in_hook: false, ..self.environment.clone() };
            if let Ok(clone) = Repo::open_with(Path::new(path), &environment)
                && clone.is_at(Path::new(path))
            {
                return Ok(Source::Clone(clone));
            }
        }
        let storage = known.remote.clone().ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("the clones of `{name}` are gone and it has no remote"))
                .with_hint(format!("name its remote with `onenb remote add {name} URL`"))
        })?;
        Ok(Source::Remote { name: name.to_owned(), storage })
    }

    /// Returns, once, the note that a remote could not be reached and the cache answered instead.
    #[must_use]
    pub fn offline_note(&self) -> Option<String> {
        self.environment.offline.take()
    }

    /// Opens a remote that was named by URL (which approves it) or registered.
    pub(super) fn open_remote(&self, name: &str, storage: &StorageConfig) -> Result<Remote> {
        if !is_url(name) {
            check_approved(&self.registry, storage)?;
        }
        let mut opened = self.remotes.lock().unwrap_or_else(PoisonError::into_inner);
        opened.retain(|remote| remote.since.elapsed() < MAX_OPEN);
        if let Some(known) = opened.iter().find(|known| known.storage == *storage) {
            return Ok(known.remote.clone());
        }
        let remote = open(&self.registry, storage, &self.environment)?;
        opened.push(Opened { storage: storage.clone(), remote: remote.clone(), since: Instant::now() });
        Ok(remote)
    }

    /// Lists the exports of a revision, sorted by name, then parameters. `rev` may be `working`.
    ///
    /// # Errors
    /// `NotFound` for an unknown repository or revision.
    pub fn list(&self, repo: Option<&str>, rev: &str) -> Result<Vec<BoundExport>> {
        match self.source(repo)? {
            Source::Clone(clone) => clone.list(rev),
            Source::Remote { name, storage } => super::read::list_remote(&self.open_remote(&name, &storage)?, rev),
        }
    }

    /// Returns the tags of a repository, those of Git and those of the remote, sorted.
    ///
    /// # Errors
    /// `NotFound` for an unknown repository.
    pub fn tags(&self, repo: Option<&str>) -> Result<Vec<String>> {
        let mut tags: Vec<String> = match self.source(repo)? {
            Source::Clone(clone) => clone.git().tags()?.into_iter().map(|(tag, _)| tag).collect(),
            Source::Remote { name, storage } => {
                self.open_remote(&name, &storage)?.tags()?.into_iter().map(|tag| tag.tag).collect()
            }
        };
        tags.sort();
        tags.dedup();
        Ok(tags)
    }

    /// Returns the branches of a repository, sorted; none for a remote alone.
    ///
    /// # Errors
    /// `NotFound` for an unknown repository.
    pub fn branches(&self, repo: Option<&str>) -> Result<Vec<String>> {
        match self.source(repo)? {
            Source::Clone(clone) => Ok(clone.git().branches()?.into_iter().map(|(branch, _)| branch).collect()),
            Source::Remote { .. } => Ok(vec![]),
        }
    }

    /// Finds the repository that an import names.
    ///
    /// # Errors
    /// `NotFound` with candidates, Conflict if several match.
    pub fn demangle_repo(&self, name: &str) -> Result<String> {
        demangle("repository", name, &self.repos())
    }

    /// Finds the tag, branch or commit that an import names: tags first, then branches, then `_<commit>`.
    ///
    /// # Errors
    /// `NotFound` with candidates, Conflict if several match.
    pub fn demangle_rev(&self, repo: Option<&str>, name: &str) -> Result<String> {
        if name == WORKING {
            return Ok(name.to_owned());
        }
        let tags = match self.tags(repo) {
            // A remote that cannot be reached lists nothing, but a tag that was read before still reads.
            Err(_) if self.reads_as_tag(repo, name) => return Ok(name.to_owned()),
            other => other?,
        };
        match demangle("tag", name, &tags) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
        match demangle("branch", name, &self.branches(repo)?) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => return other,
        }
        let hex = name.strip_prefix('_').unwrap_or(name);
        if hex.len() >= 7 && hex.chars().all(|c| c.is_ascii_hexdigit()) {
            return Ok(hex.to_owned());
        }
        // A tag that Git does not know yet may be on the remote.
        if let Ok(Source::Clone(clone)) = self.source(repo)
            && let Ok(Some((remote, _))) = clone.remote()
        {
            let tags: Vec<String> = remote.tags()?.into_iter().map(|tag| tag.tag).collect();
            return demangle("tag", name, &tags);
        }
        demangle("tag", name, &tags)
    }

    /// Returns whether a repository that is known by its remote alone has, as far as is known, a tag of this very name.
    fn reads_as_tag(&self, repo: Option<&str>, tag: &str) -> bool {
        let Ok(Source::Remote { name, storage }) = self.source(repo) else { return false };
        self.open_remote(&name, &storage).is_ok_and(|remote| remote.read_tag(tag).is_ok_and(|found| found.is_some()))
    }

    /// Finds the export that an import names.
    ///
    /// # Errors
    /// `NotFound` with candidates, Conflict if several match.
    pub fn demangle_export(&self, repo: Option<&str>, rev: &str, name: &str) -> Result<ExportName> {
        let mut names: Vec<String> =
            self.list(repo, rev)?.into_iter().map(|export| export.record.name.as_str().to_owned()).collect();
        names.dedup();
        Ok(ExportName::parse(&demangle("export", name, &names)?)?)
    }

    /// Looks at everything that could be wrong with the set-up.
    #[must_use]
    pub fn doctor(&self) -> Vec<Check> {
        let failed = |name: &str, error: &Error| Check {
            name: name.to_owned(),
            ok: false,
            message: error.to_string(),
            hint: error.hint().map(str::to_owned),
        };
        let mut checks = Vec::new();
        let repo = match self.repo() {
            Ok(repo) => repo,
            Err(error) => return vec![failed("repository", &error)],
        };
        let fine = |name: &str, message: String| Check { name: name.to_owned(), ok: true, message, hint: None };
        checks.push(fine("repository", format!("`{}`", repo.name())));
        for key in repo.unknown_keys() {
            checks.push(Check {
                name: "configuration".to_owned(),
                ok: false,
                message: format!("unknown key `{key}`"),
                hint: None,
            });
        }
        checks.push(match repo.store_if_present() {
            Ok(Some(store)) => match store.stats() {
                Ok((stats, _)) => fine("store", format!("{} contents in {} packs", stats.contents, stats.packs)),
                Err(error) => failed("store", &error.into()),
            },
            Ok(None) => fine("store", "empty".to_owned()),
            Err(error) => failed("store", &error),
        });
        checks.push(match repo.catalog() {
            Ok(_) => fine("catalog", "readable".to_owned()),
            Err(error) => failed("catalog", &error),
        });
        checks.push(match repo.hooks_status() {
            Ok(report) if report.is_current() => fine("hooks", "installed".to_owned()),
            Ok(_) => Check {
                name: "hooks".to_owned(),
                ok: false,
                message: "not installed, outdated, or their program is gone".to_owned(),
                hint: Some("`onenb hooks install`".to_owned()),
            },
            Err(error) => failed("hooks", &error),
        });
        match repo.remote_check() {
            Ok(remote) => checks.extend(remote),
            Err(error) => checks.push(failed("remote", &error)),
        }
        checks
    }
}

/// Finds the real name behind an import: an exact match first, then a unique mangled one.
fn demangle(what: &str, wanted: &str, candidates: &[String]) -> Result<String> {
    if candidates.iter().any(|name| name == wanted) {
        return Ok(wanted.to_owned());
    }
    let matching: Vec<&String> = candidates.iter().filter(|name| mangle(name) == wanted).collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => {
            let error = Error::new(ErrorKind::NotFound, format!("no {what} imports as `{wanted}`"));
            let mangled: Vec<String> = candidates.iter().map(|name| mangle(name)).collect();
            let near = nearest(wanted, mangled.iter().map(String::as_str));
            Err(match (near.as_slice(), mangled.as_slice()) {
                ([], []) => error.with_hint(format!("there is no {what} at all")),
                ([], all) => error.with_hint(format!("there is {}", quoted(all.iter().take(8)))),
                (near, _) => error.with_hint(format!("did you mean {}?", quoted(near.iter()))),
            })
        }
        several => {
            let names = quoted(several.iter().copied());
            Err(Error::new(ErrorKind::Conflict, format!("`{wanted}` could be {names}"))
                .with_hint("name the one you mean with `OneNB.load(repo, tag, name)`"))
        }
    }
}

fn quoted<'a>(names: impl Iterator<Item = &'a String>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn an_exact_name_beats_a_mangled_one_and_ambiguity_is_told() -> Result<()> {
        assert_eq!(demangle("tag", "v1_0", &names(&["v1.0", "v1_0"]))?, "v1_0");
        assert_eq!(demangle("tag", "v1_0", &names(&["v1.0", "v2"]))?, "v1.0");
        let error = demangle("tag", "v1_0", &names(&["v1.0", "v1-0"])).expect_err("ambiguous");
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("`v1.0`, `v1-0`"));
        assert_eq!(demangle("tag", "v9", &names(&["v1"])).expect_err("absent").kind(), ErrorKind::NotFound);
        Ok(())
    }
}
