//! Remotes as the facade sees them: which one is in force, whether the user approved it, and how it is opened.

use std::fmt::Write as _;
use std::sync::Arc;

use super::registry::Registry;
use super::types::{Check, Environment};
use super::{Repo, Workspace};
use crate::backend::{RemoteUrl, check_endpoint};
use crate::error::{Error, ErrorKind, Result};
use crate::format::config::{CONFIG_PATH, MAX_CONFIG_LEN, RepoConfig, StorageConfig, check_region};
use crate::fs;
use crate::id::ContentDigest;
use crate::sync::{ReadCache, Remote, RemoteOptions};

/// Git configuration keys (never part of a clone) that override the tracked remote on one machine.
const LOCAL_KEY: &str = "onenb.remote";
const LOCAL_ENDPOINT_KEY: &str = "onenb.remoteEndpoint";
const LOCAL_REGION_KEY: &str = "onenb.remoteRegion";

/// Shows where data goes, for people.
pub(super) fn describe(storage: Option<&StorageConfig>) -> String {
    storage.map_or_else(|| "local only".to_owned(), StorageConfig::place)
}

/// Refuses a remote that the user did not approve.
///
/// # Errors
/// Auth for such a one.
pub(super) fn check_approved(registry: &Registry, storage: &StorageConfig) -> Result<()> {
    if registry.is_approved(storage)? { Ok(()) } else { Err(not_approved(storage)) }
}

/// Opens a remote without asking whether it is approved: the caller knows, or the user typed its URL.
pub(super) fn open(registry: &Registry, storage: &StorageConfig, environment: &Environment) -> Result<Remote> {
    storage.region.as_deref().map_or(Ok(()), check_region)?;
    let options = registry.cloud_options(storage, &environment.cloud)?;
    let url = RemoteUrl::parse(&storage.url)?;
    let backend = url.open(&options)?;
    let mut place = storage.place();
    if !url.is_directory() {
        // The same bucket at another endpoint or account is another one.
        let _ =
            write!(place, "\n{}\n{}", options.profile.as_deref().unwrap_or_default(), options.context.whereabouts());
    }
    let name = ContentDigest::of(place.as_bytes()).short();
    let of_user = environment.cache_dir.as_ref();
    let limit = registry.cache_limit()?;
    let reads = of_user.map(|dir| ReadCache::new(dir.join("reads"), limit, &name)).map(Arc::new);
    let cache_dir = of_user.map(|dir| dir.join("remotes").join(name));
    let offline = environment.offline.clone();
    Ok(Remote::open(backend, RemoteOptions { cache_dir, reads, offline, ..RemoteOptions::default() }))
}

/// Refuses a place that could never be opened. Nothing is requested.
///
/// # Errors
/// Usage with the rule that its URL or endpoint breaks.
pub(super) fn check_usable(storage: &StorageConfig, registry: &Registry, environment: &Environment) -> Result<()> {
    storage.region.as_deref().map_or(Ok(()), check_region)?;
    let options = registry.cloud_options(storage, &environment.cloud)?;
    RemoteUrl::parse(&storage.url)?.open(&options)?;
    Ok(())
}

fn not_approved(storage: &StorageConfig) -> Error {
    Error::new(
        ErrorKind::Auth,
        format!("the remote {} is known only from this repository's configuration", described(storage)),
    )
    .with_hint(format!("if you trust it, approve it once with `{}`", approve_command(storage)))
}

/// Names everything about a remote that an approval covers.
fn described(storage: &StorageConfig) -> String {
    let mut text = format!("`{}`", storage.url);
    if let Some(endpoint) = &storage.endpoint_url {
        let _ = write!(text, " at endpoint `{endpoint}`");
    }
    if let Some(region) = &storage.region {
        let _ = write!(text, " in region `{region}`");
    }
    text
}

/// Writes the command that approves a remote, safe to paste: its words come from a file that strangers may have
/// written.
fn approve_command(storage: &StorageConfig) -> String {
    let mut command = format!("onenb remote approve {}", shell_word(&storage.url));
    for (option, value) in [("--endpoint-url", &storage.endpoint_url), ("--region", &storage.region)] {
        if let Some(value) = value {
            let _ = write!(command, " {option} {}", shell_word(value));
        }
    }
    command
}

fn shell_word(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/:._-@%+=,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) && !text.starts_with('-') {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Makes the storage that a URL or absolute directory names.
///
/// # Errors
/// Usage for anything else.
pub(super) fn storage_of_url(url: &str) -> Result<StorageConfig> {
    RemoteUrl::parse(url)?;
    Ok(StorageConfig::new(url))
}

impl Repo {
    /// Returns the remote in force: this machine's override, else the tracked one.
    pub(super) fn storage(&self) -> Result<Option<StorageConfig>> {
        match self.git().config_string(LOCAL_KEY) {
            Some(url) => {
                let option = |key| self.git().config_string(key).filter(|value| !value.is_empty());
                let (endpoint_url, region) = (option(LOCAL_ENDPOINT_KEY), option(LOCAL_REGION_KEY));
                // It is shown, so it holds no secret; whether it may be asked is known when it is.
                endpoint_url.as_deref().map_or(Ok(()), |endpoint| check_endpoint(endpoint, true))?;
                Ok(Some(StorageConfig { endpoint_url, region, ..storage_of_url(&url)? }))
            }
            None => Ok(self.0.config.storage.clone()),
        }
    }

    /// Returns the remote in force, where it comes from (`local` or `tracked`), and whether it is approved.
    ///
    /// # Errors
    /// Usage for a malformed URL in Git's configuration.
    pub fn remote_show(&self) -> Result<Option<(StorageConfig, &'static str, bool)>> {
        let Some(storage) = self.storage()? else { return Ok(None) };
        let local = self.git().config_string(LOCAL_KEY).is_some();
        let approved = local || self.registry().is_approved(&storage)?;
        Ok(Some((storage, if local { "local" } else { "tracked" }, approved)))
    }

    /// Sets the tracked remote, staging the configuration, or with `local` this machine's override. Typing it approves
    /// it.
    ///
    /// # Errors
    /// Usage for a malformed URL.
    pub fn remote_set(&self, storage: &StorageConfig, profile: Option<&str>, local: bool) -> Result<()> {
        check_usable(storage, self.registry(), &self.0.environment)?;
        self.registry().choose_profile(storage, profile)?;
        if local {
            let or_empty = |value: &Option<String>| value.clone().unwrap_or_default();
            self.git().set_config(LOCAL_ENDPOINT_KEY, &or_empty(&storage.endpoint_url))?;
            self.git().set_config(LOCAL_REGION_KEY, &or_empty(&storage.region))?;
            self.git().set_config(LOCAL_KEY, &storage.url)?;
            return Ok(());
        }
        self.check_writable()?;
        let root = self.work_dir().ok_or_else(super::working::bare)?;
        fs::refuse_links(root, CONFIG_PATH)?;
        let path = root.join(CONFIG_PATH);
        let text = String::from_utf8_lossy(&fs::read_bounded(&path, MAX_CONFIG_LEN)?).into_owned();
        let (mut config, _) = RepoConfig::from_text(&text)?;
        config.storage = Some(storage.clone());
        self.registry().approve(storage)?;
        fs::write_atomic(&path, config.to_text_over(&text).as_bytes())?;
        self.git().stage(&[CONFIG_PATH])?;
        Ok(())
    }

    fn open_storage(&self, storage: &StorageConfig) -> Result<Remote> {
        open(self.registry(), storage, &self.0.environment)
    }

    /// Opens the remote in force; `None` when storage is local.
    pub(super) fn remote(&self) -> Result<Option<(Remote, StorageConfig)>> {
        let Some((storage, _, approved)) = self.remote_show()? else { return Ok(None) };
        if !approved {
            return Err(not_approved(&storage));
        }
        Ok(Some((self.open_storage(&storage)?, storage)))
    }

    /// Asks the remote whether it is there and what it holds.
    ///
    /// # Errors
    /// Usage for a malformed URL; everything else becomes a check that failed.
    pub fn remote_check(&self) -> Result<Vec<Check>> {
        let check = |name: &str, ok: bool, message: String, hint: Option<String>| Check {
            name: name.to_owned(),
            ok,
            message,
            hint,
        };
        let Some((storage, origin, approved)) = self.remote_show()? else {
            return Ok(vec![check(
                "remote",
                true,
                "storage is local".to_owned(),
                Some("`onenb remote set URL`".to_owned()),
            )]);
        };
        let approval = (!approved).then(|| format!("`{}`", approve_command(&storage)));
        let mut checks = vec![check("approved", approved, format!("{} ({origin})", described(&storage)), approval)];
        if approved {
            checks.push(match self.open_storage(&storage).and_then(|remote| Ok(remote.tags()?.len())) {
                Ok(tags) => check("reachable", true, format!("{tags} tags"), None),
                Err(error) => check("reachable", false, error.to_string(), error.hint().map(str::to_owned)),
            });
        }
        Ok(checks)
    }
}

impl Workspace {
    /// Registers a repository by hand under a name, with the remote its data is read from.
    ///
    /// # Errors
    /// Usage for a bad name or URL, Conflict for a name that another repository has.
    pub fn remote_add(&self, name: &str, storage: &StorageConfig, profile: Option<&str>) -> Result<()> {
        check_usable(storage, self.registry(), self.environment())?;
        self.registry().add_remote(name, storage)?;
        self.registry().choose_profile(storage, profile)
    }

    /// Approves a remote, or without one the tracked remote of the repository we stand in. Returns what was approved.
    ///
    /// # Errors
    /// Usage for a malformed URL, `Failed` where there is no remote to approve.
    pub fn remote_approve(&self, storage: Option<&StorageConfig>) -> Result<StorageConfig> {
        let tracked = || self.repo().ok().and_then(|repo| repo.0.config.storage.clone());
        let storage = storage.cloned().or_else(tracked).ok_or_else(|| {
            Error::new(ErrorKind::Failed, "there is no tracked remote here to approve")
                .with_hint("name it: `onenb remote approve URL`")
        })?;
        check_usable(&storage, self.registry(), self.environment())?;
        self.registry().approve(&storage)?;
        Ok(storage)
    }

    /// Approves every remote below a prefix, as long as it names no endpoint of its own.
    ///
    /// # Errors
    /// Usage for a prefix that is no part of a URL or covers everything.
    pub fn remote_approve_prefix(&self, prefix: &str) -> Result<()> {
        self.registry().approve_prefix(prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_endpoint_and_a_command_that_is_safe_to_paste() {
        let storage = StorageConfig {
            url: "s3://data/$(id)".to_owned(),
            endpoint_url: Some("https://evil.example".to_owned()),
            region: None,
        };
        let refusal = not_approved(&storage);
        assert!(refusal.to_string().contains("https://evil.example"), "{refusal}");
        let hint = refusal.hint().expect("a command");
        assert!(hint.contains("approve 's3://data/$(id)' --endpoint-url https://evil.example`"), "{hint}");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
