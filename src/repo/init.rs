//! `init`: sets a Git repository up, once; run again, it repairs what is missing and changes nothing else.

use std::path::Path;

use super::remote::{check_usable, describe};
use super::types::{Environment, HookReport, InitOptions, InitReport};
use super::{Repo, read_config_text, registry::Registry, store_dir};
use crate::error::{Error, ErrorKind, Result};
use crate::format::config::{CONFIG_PATH, RegisteredRepo, RepoConfig, check_repo_name};
use crate::fs;
use crate::git::{ATTRIBUTES_TEXT, Environment as GitEnvironment, EventState, GitError, GitRepo, HookEvent};
use crate::store::{Store, StoreOptions};

const ATTRIBUTES_PATH: &str = ".1nb/.gitattributes";

impl Repo {
    /// Sets up the repository that holds `dir`: configuration, attributes, store, hooks, and its name in the user's
    /// list.
    ///
    /// # Errors
    /// `NotARepository`, Usage for a bad name, Conflict for a name that another repository has.
    pub fn init(dir: &Path, environment: &Environment, options: &InitOptions) -> Result<InitReport> {
        let git = super::discover(dir, environment)?;
        let root = git.work_dir().ok_or_else(super::working::bare)?.to_path_buf();
        let existing = read_config_text(&git)?;
        let config = new_config(existing.as_deref(), &root, options)?;
        let registry = Registry::new(environment);
        if let Some(storage) = &options.storage {
            check_usable(storage, &registry, environment)?;
        }
        let path = root.canonicalize()?.display().to_string();
        let root_commit = git.root_commit()?.map(|commit| commit.to_string());
        let clone = RegisteredRepo { paths: vec![path], root_commit, remote: config.storage.clone() };
        if environment.config_dir.is_some() {
            registry.register(&config.name, &clone, &root_of)?;
            if let Some(storage) = &options.storage {
                registry.approve(storage)?;
                registry.choose_profile(storage, options.profile.as_deref())?;
            }
        }
        Store::open(&store_dir(&git), &StoreOptions::default())?;
        fs::refuse_links(&root, CONFIG_PATH)?;
        let text = existing.map_or_else(|| config.to_text(), |existing| config.to_text_over(&existing));
        fs::write_atomic(&root.join(CONFIG_PATH), text.as_bytes())?;
        fs::write_atomic(&root.join(ATTRIBUTES_PATH), ATTRIBUTES_TEXT.as_bytes())?;
        let staged = vec![ATTRIBUTES_PATH.to_owned(), CONFIG_PATH.to_owned()];
        git.stage(&[ATTRIBUTES_PATH, CONFIG_PATH])?;
        let mut hooks = vec![];
        if let Some(program) = environment.program.as_ref().filter(|_| !options.no_hooks) {
            match git.install_hooks(program) {
                Ok(_) => hooks.extend(HookEvent::ALL.map(|event| event.as_str().to_owned())),
                // Switched off by `core.hooksPath`, or files of theirs stand in the way; hooks are never needed, and
                // the report and `status` show which there are.
                Err(GitError::HookPlace { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(InitReport { name: config.name, staged, hooks, storage: describe(config.storage.as_ref()) })
    }

    /// Installs the hooks, which will call `program`.
    ///
    /// # Errors
    /// What writing the hook files can meet.
    pub fn hooks_install(&self, program: &Path) -> Result<HookReport> {
        self.git().install_hooks(program)?;
        self.hooks_status()
    }

    /// Removes our block from every hook and restores what was there before.
    ///
    /// # Errors
    /// What writing the hook files can meet.
    pub fn hooks_uninstall(&self) -> Result<HookReport> {
        self.git().uninstall_hooks()?;
        self.hooks_status()
    }

    /// Says which hooks are installed and current.
    ///
    /// # Errors
    /// What reading the hook files can meet.
    pub fn hooks_status(&self) -> Result<HookReport> {
        let status = self.git().hook_status()?;
        let state_of = |state: &EventState| match state {
            EventState::Current => "installed",
            EventState::Outdated => "outdated",
            EventState::Missing => "missing",
        };
        let events = status
            .events
            .iter()
            .map(|(event, state)| (event.as_str().to_owned(), state_of(state).to_owned()))
            .collect();
        Ok(HookReport { events, dead_path: status.dead_path })
    }
}

/// Returns the root commit that the clone at a path has by now.
fn root_of(path: &Path) -> Option<String> {
    let git = GitRepo::discover(path, GitEnvironment::Ignored).ok()?;
    git.root_commit().ok().flatten().map(|commit| commit.to_string())
}

/// Takes the existing configuration with the changes asked for, or makes a new one.
fn new_config(existing: Option<&str>, root: &Path, options: &InitOptions) -> Result<RepoConfig> {
    let existing = existing.map(RepoConfig::from_text).transpose()?;
    let folder = || root.canonicalize().ok().and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
    let mut config = match existing {
        Some((config, _)) => config,
        None => RepoConfig::new(options.name.clone().or_else(folder).unwrap_or_default(), None),
    };
    if let Some(name) = &options.name {
        config.name.clone_from(name);
    }
    if options.storage.is_some() {
        config.storage.clone_from(&options.storage);
    }
    check_repo_name(&config.name).map_err(|error| {
        let hinted = Error::from(error);
        if options.name.is_none() { hinted.with_hint("name it yourself with `onenb init --name NAME`") } else { hinted }
    })?;
    if !config.is_writable() {
        return Err(Error::new(ErrorKind::TooNew, "a newer onenb set this repository up")
            .with_hint("upgrade with `pip install --upgrade onenb`"));
    }
    Ok(config)
}
