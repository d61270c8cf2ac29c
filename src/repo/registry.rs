//! The user's configuration: registered repositories, and the remotes this user approved on this machine.
//!
//! - A remote known only from a tracked file is neither read nor written until its URL, endpoint and region are
//!   approved.
//! - The file is rewritten whole under a lock, so that two processes registering at once both stay registered.
//! - Without a configuration directory nothing is registered and nothing is approved.

use std::io;
use std::path::{Path, PathBuf};

use super::types::Environment;
use crate::backend::{CloudContext, CloudOptions, RemoteUrl, UrlPrefix};
use crate::error::{Error, ErrorKind, Result};
use crate::format::config::{MAX_CONFIG_LEN, RegisteredRepo, StorageConfig, UserConfig, parse_size};
use crate::fs::{self, FileLock, Sharing};

/// What is kept of remotes' data for readers unless the user says otherwise.
const DEFAULT_CACHE_LIMIT: u64 = 2 << 30;

/// Reads and changes the user's configuration.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    file: Option<PathBuf>,
    system: Option<PathBuf>,
    approved_now: Option<String>,
    /// The region that the user's own environment names.
    region: Option<String>,
}

impl Registry {
    pub(crate) fn new(environment: &Environment) -> Self {
        Self {
            file: environment.config_dir.as_ref().map(|dir| dir.join("config.toml")),
            system: environment.system_config.clone(),
            approved_now: environment.approved_remote.clone(),
            region: ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .iter()
                .find_map(|name| environment.cloud.vars.get(*name))
                .cloned(),
        }
    }

    /// Returns the user's configuration; a missing file is an empty one.
    pub(crate) fn load(&self) -> Result<UserConfig> {
        self.file.as_deref().map_or_else(|| Ok(UserConfig::default()), read_config)
    }

    fn system(&self) -> UserConfig {
        // The machine's file only ever adds approvals; one that cannot be read adds none.
        self.system.as_deref().and_then(|path| read_config(path).ok()).unwrap_or_default()
    }

    fn change(&self, change: impl FnOnce(&mut UserConfig) -> Result<()>) -> Result<()> {
        let file = self.file.as_deref().ok_or_else(|| {
            Error::new(ErrorKind::Failed, "there is no home directory to keep the user configuration in")
                .with_hint("set `HOME` or `XDG_CONFIG_HOME`")
        })?;
        if let Some(parent) = file.parent() {
            fs::create_dir_all(parent)?;
        }
        let _lock = FileLock::acquire(&file.with_extension("lock"), Sharing::Exclusive)?;
        let mut config = read_config(file)?;
        let before = config.clone();
        change(&mut config)?;
        if config != before {
            fs::write_atomic(file, config.to_text().as_bytes())?;
        }
        Ok(())
    }

    /// Registers a clone: the same remote or root commit is the same repository, anything else under a taken name is
    /// refused.
    ///
    /// A clone that was registered before its first commit is asked for its root commit through `root_of`.
    pub(crate) fn register(
        &self,
        name: &str,
        clone: &RegisteredRepo,
        root_of: &dyn Fn(&Path) -> Option<String>,
    ) -> Result<()> {
        self.change(|config| {
            let Some(known) = config.repos.get_mut(name) else {
                config.repos.insert(name.to_owned(), clone.clone());
                return Ok(());
            };
            known.paths.retain(|path| Path::new(path).exists());
            if known.root_commit.is_none() {
                known.root_commit = known.paths.iter().find_map(|path| root_of(Path::new(path)));
            }
            let same_root = known.root_commit.is_some() && known.root_commit == clone.root_commit;
            let same_remote = known.remote.is_some() && known.remote == clone.remote;
            let same_path = known.paths.iter().any(|path| clone.paths.contains(path));
            if !same_root && !same_remote && !same_path && !known.is_dead() {
                let other =
                    known.paths.first().cloned().or_else(|| known.remote.as_ref().map(|remote| remote.url.clone()));
                return Err(taken(name, &other.unwrap_or_default(), clone.paths.first().map_or("", String::as_str)));
            }
            for path in &clone.paths {
                known.paths.retain(|other| other != path);
                known.paths.insert(0, path.clone());
            }
            known.root_commit = clone.root_commit.clone().or(known.root_commit.take());
            known.remote = clone.remote.clone().or(known.remote.take());
            Ok(())
        })
    }

    /// Sets the remote under which a repository's data can be read, and approves it.
    pub(crate) fn add_remote(&self, name: &str, storage: &StorageConfig) -> Result<()> {
        crate::format::config::check_repo_name(name)?;
        self.change(|config| {
            let known = config.repos.entry(name.to_owned()).or_default();
            known.paths.retain(|path| Path::new(path).exists());
            if let (Some(path), Some(remote)) = (known.paths.first(), &known.remote)
                && remote != storage
            {
                return Err(taken(name, path, &storage.url));
            }
            known.remote = Some(storage.clone());
            approve(config, storage);
            Ok(())
        })
    }

    /// Chooses the credential profile for a place; an empty one goes back to the usual one, and `None` leaves it as it
    /// is.
    pub(crate) fn choose_profile(&self, storage: &StorageConfig, profile: Option<&str>) -> Result<()> {
        let Some(profile) = profile else { return Ok(()) };
        self.change(|config| {
            match profile {
                "" => drop(config.profiles.remove(&storage.place())),
                profile => drop(config.profiles.insert(storage.place(), profile.to_owned())),
            }
            Ok(())
        })
    }

    /// Says how a place is opened: what its configuration names, and what this user chose for it.
    pub(crate) fn cloud_options(&self, storage: &StorageConfig, context: &CloudContext) -> Result<CloudOptions> {
        let config = self.load()?;
        let allow_http = storage.endpoint_url.as_ref().is_some_and(|endpoint| config.allow_http.contains(endpoint));
        Ok(CloudOptions {
            endpoint_url: storage.endpoint_url.clone(),
            region: storage.region.clone(),
            profile: config.profiles.get(&storage.place()).cloned(),
            allow_http,
            context: context.clone(),
        })
    }

    /// Returns how many bytes of remotes' data are kept for readers.
    ///
    /// # Errors
    /// Usage for a setting that is no size.
    pub(crate) fn cache_limit(&self) -> Result<u64> {
        let Some(text) = self.load().ok().and_then(|config| config.cache_max_size) else {
            return Ok(DEFAULT_CACHE_LIMIT);
        };
        parse_size(&text).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("`cache_max_size` is no size: {text}"))
                .with_hint("write it like \"2g\" or \"500m\" in the user's configuration (`onenb config --help`)")
        })
    }

    /// Approves one remote for good.
    pub(crate) fn approve(&self, storage: &StorageConfig) -> Result<()> {
        self.change(|config| {
            approve(config, storage);
            Ok(())
        })
    }

    /// Approves every URL below a prefix.
    pub(crate) fn approve_prefix(&self, prefix: &str) -> Result<()> {
        UrlPrefix::parse(prefix)?;
        self.change(|config| {
            if !config.approved_prefixes.iter().any(|known| known == prefix) {
                config.approved_prefixes.push(prefix.to_owned());
            }
            Ok(())
        })
    }

    /// Returns whether data may be sent to or read from a remote.
    pub(crate) fn is_approved(&self, storage: &StorageConfig) -> Result<bool> {
        let configs = [self.load()?, self.system()];
        if configs.iter().any(|config| config.approved.contains(storage)) {
            return Ok(true);
        }
        // A URL or a prefix says nothing about where an endpoint or region of the repository's own choice leads.
        let is_plain = storage.endpoint_url.is_none() && (storage.region.is_none() || storage.region == self.region);
        let here = || self.approved_now.as_deref() == Some(storage.url.as_str());
        Ok(is_plain && (here() || configs.iter().any(|config| allows_by_prefix(config, storage))))
    }
}

impl RegisteredRepo {
    fn is_dead(&self) -> bool {
        self.paths.is_empty() && self.remote.is_none()
    }
}

fn approve(config: &mut UserConfig, storage: &StorageConfig) {
    if !config.approved.contains(storage) {
        config.approved.push(storage.clone());
    }
}

fn allows_by_prefix(config: &UserConfig, storage: &StorageConfig) -> bool {
    let mut prefixes = config.approved_prefixes.iter().filter_map(|prefix| UrlPrefix::parse(prefix).ok());
    RemoteUrl::parse(&storage.url).is_ok_and(|url| prefixes.any(|prefix| prefix.covers(&url)))
}

fn taken(name: &str, known: &str, new: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("the repository name `{name}` belongs to `{known}`, not to `{new}`"))
        .with_hint("choose another name with `onenb init --name NAME`")
}

fn read_config(path: &Path) -> Result<UserConfig> {
    match fs::read_bounded(path, MAX_CONFIG_LEN) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            UserConfig::from_text(&text)
                .map_err(|error| Error::from(error).context(format!("could not read `{}`", path.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(UserConfig::default()),
        Err(error) => Err(Error::from(error).context(format!("could not read `{}`", path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(dir: &Path) -> Registry {
        Registry::new(&Environment { config_dir: Some(dir.to_path_buf()), ..Environment::default() })
    }

    fn storage(url: &str) -> StorageConfig {
        StorageConfig::new(url)
    }

    fn clone_at(path: &Path, root: &str) -> RegisteredRepo {
        RegisteredRepo { paths: vec![path.display().to_string()], root_commit: Some(root.to_owned()), remote: None }
    }

    #[test]
    fn clones_of_one_repository_share_a_name_and_strangers_are_refused() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let registry = registry(dir.path());
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        fs::create_dir_all(&one)?;
        fs::create_dir_all(&two)?;
        registry.register("sales", &clone_at(&one, "aa"), &|_| None)?;
        registry.register("sales", &clone_at(&two, "aa"), &|_| None)?;
        assert_eq!(registry.load()?.repos["sales"].paths.len(), 2);
        let stranger =
            registry.register("sales", &clone_at(dir.path(), "bb"), &|_| None).expect_err("another root commit");
        assert_eq!(stranger.kind(), ErrorKind::Conflict);
        Ok(())
    }

    #[test]
    fn a_changed_endpoint_needs_a_new_approval() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let registry = registry(dir.path());
        let plain = storage("s3://bucket");
        registry.approve(&plain)?;
        assert!(registry.is_approved(&plain)?);
        let elsewhere = StorageConfig { endpoint_url: Some("https://evil.example".to_owned()), ..plain };
        assert!(!registry.is_approved(&elsewhere)?);
        Ok(())
    }

    #[test]
    fn a_prefix_approves_what_is_below_it_but_no_other_endpoint() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let registry = registry(dir.path());
        registry.approve_prefix("s3://acme-")?;
        assert!(registry.is_approved(&storage("s3://acme-data/x"))?);
        assert!(!registry.is_approved(&storage("s3://other"))?);
        assert!(!registry.is_approved(&storage("s3://acme-data/../../x"))?);
        assert!(registry.approve_prefix("s3://").is_err());
        let elsewhere =
            StorageConfig { endpoint_url: Some("https://evil.example".to_owned()), ..storage("s3://acme-data") };
        assert!(!registry.is_approved(&elsewhere)?);
        Ok(())
    }

    /// A tracked region became part of the host's name, while only the URL and the endpoint were compared.
    #[test]
    fn a_url_or_a_prefix_approves_no_region_but_the_users_own() -> Result<()> {
        let dir = tempfile::tempdir()?;
        let url = "s3://acme-data/x";
        let in_region = |region: &str| StorageConfig { region: Some(region.to_owned()), ..storage(url) };
        let mut environment = Environment {
            config_dir: Some(dir.path().to_path_buf()),
            approved_remote: Some(url.to_owned()),
            ..Environment::default()
        };
        let registry = Registry::new(&environment);
        assert!(registry.is_approved(&storage(url))?);
        assert!(!registry.is_approved(&in_region("eu-west-1"))?);
        environment.approved_remote = None;
        let registry = Registry::new(&environment);
        registry.approve_prefix("s3://acme-")?;
        assert!(!registry.is_approved(&in_region("eu-west-1"))?);
        environment.cloud.vars.insert("AWS_REGION".to_owned(), "eu-west-1".to_owned());
        let registry = Registry::new(&environment);
        assert!(registry.is_approved(&in_region("eu-west-1"))?);
        assert!(!registry.is_approved(&in_region("us-east-1"))?);
        registry.approve(&in_region("us-east-1"))?;
        assert!(registry.is_approved(&in_region("us-east-1"))?);
        Ok(())
    }
}
