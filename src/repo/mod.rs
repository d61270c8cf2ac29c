//! The facade: one file per verb. It owns the order in which things become durable and the way layers work together.
//!
//! - [`Repo`] is one initialised Git repository with its store and catalog; [`Workspace`] is a place on the machine
//!   from which specifications are resolved, in a repository or not.
//! - Publication goes pack, recipe, record, catalog; remotely chunks, snapshot, tag. Nothing names what is not durable.
//! - Nothing here prints or reads the environment: front ends hand in an [`Environment`].

mod addnb;
mod ancestry;
mod batch;
mod bind;
mod branches;
mod carry;
mod collect;
mod conflicts;
mod diff;
mod directory;
mod disputes;
mod export;
mod facts;
mod files;
mod gc;
mod hold;
mod hooks;
mod init;
mod inspect;
mod learn;
mod log;
mod materialise;
mod notebooks;
mod pins;
mod pull;
mod push;
mod quiet;
mod read;
mod receipts;
mod registry;
mod reindex;
mod remote;
mod repack;
mod repair;
mod resolve;
mod restore;
mod roots;
mod settings;
mod snapshot;
mod stat_cache;
mod stats;
mod status;
mod types;
mod verify;
mod verify_remote;
mod working;
mod workspace;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

pub use batch::{BatchOutcome, ExportBatch};
pub use collect::{RemoteGcOptions, RemoteGcReport};
pub use directory::{DirectoryOutcome, MemberRow, restored_name};
pub use export::ExportWriter;
pub use files::FileOutcome;
pub use gc::{LocalGcOptions, LocalGcReport};
pub use inspect::{hash_reader, inspect_pack};
pub use read::ExportReader;
pub use repack::{RepackOptions, RepackReport};
pub use settings::ExportVersions;
pub use types::*;
pub use workspace::Workspace;

use crate::catalog::{Catalog, CatalogError, OpenOptions, ReadTransaction};
use crate::error::{Error, ErrorKind, Result};
use crate::format::config::{CONFIG_PATH, MAX_CONFIG_LEN, RepoConfig};
use crate::fs;
use crate::git::{self, GitRepo};
use crate::id::ContentDigest;
use crate::store::{Store, StoreOptions};
use registry::Registry;

/// Folder of the store below Git's common directory.
const STORE_DIR: &str = "onenb";
/// Git configuration key that points several repositories at one store.
const STORE_KEY: &str = "onenb.store";
/// How long a process waits for the catalog that has something better to do, in milliseconds.
const IMPATIENT_TIMEOUT_MS: u64 = 2_000;
/// Name of the catalog below the store's directory.
const CATALOG_FILE: &str = "catalog.sqlite";

/// One initialised Git repository with its store. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Repo(Arc<State>);

struct State {
    git: GitRepo,
    config: RepoConfig,
    unknown_keys: Vec<String>,
    environment: Environment,
    registry: Registry,
    store_dir: PathBuf,
    store: OnceLock<Store>,
    catalog: OnceLock<Catalog>,
    heard: facts::Heard,
    /// Whether the catalog, where it is not open yet, is to be waited for only shortly.
    is_impatient: AtomicBool,
}

impl std::fmt::Debug for Repo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Repo").field("name", &self.name()).finish_non_exhaustive()
    }
}

impl Repo {
    /// Opens the repository that holds `dir`, with no user configuration.
    ///
    /// # Errors
    /// `NotARepository`, `NotInitialised` (hint: `onenb init`), or a damaged or newer configuration.
    pub fn open(dir: &Path) -> Result<Self> {
        Self::open_with(dir, &Environment::default())
    }

    /// Opens the repository that holds `dir`.
    ///
    /// # Errors
    /// As [`Repo::open`].
    pub fn open_with(dir: &Path, environment: &Environment) -> Result<Self> {
        let git = discover(dir, environment)?;
        let text = read_config_text(&git)?.ok_or_else(|| {
            Error::new(ErrorKind::NotInitialised, format!("`{}` is not set up for onenb", shown_root(&git).display()))
                .with_hint("set it up with `onenb init`, or with `onenb init dir PATH` to share its data")
        })?;
        let (config, unknown_keys) = RepoConfig::from_text(&text)?;
        let store_dir = store_dir(&git);
        let repo = Self(Arc::new(State {
            git,
            config,
            unknown_keys,
            registry: Registry::new(environment),
            environment: environment.clone(),
            store_dir,
            store: OnceLock::new(),
            catalog: OnceLock::new(),
            heard: facts::Heard::default(),
            is_impatient: AtomicBool::new(false),
        }));
        // What cannot be finished in a place that cannot be written is finished by somebody who can.
        let _ = repo.finish_batches();
        Ok(repo)
    }

    /// Returns the repository's name, as in `from OneNB.i.<name>`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.config.name
    }

    /// Returns the root of the work tree; `None` in a bare repository.
    #[must_use]
    pub fn work_dir(&self) -> Option<&Path> {
        self.0.git.work_dir()
    }

    /// Returns the directory of the store, shared by all worktrees.
    #[must_use]
    pub fn store_dir(&self) -> &Path {
        &self.0.store_dir
    }

    /// Returns keys of the tracked configuration that this program does not know.
    #[must_use]
    pub fn unknown_keys(&self) -> &[String] {
        &self.0.unknown_keys
    }

    /// Returns whether this is the repository of that very directory, and not one around it.
    fn is_at(&self, path: &Path) -> bool {
        let root = self.work_dir().unwrap_or_else(|| self.0.git.git_dir());
        matches!((root.canonicalize(), path.canonicalize()), (Ok(root), Ok(path)) if root == path)
    }

    fn git(&self) -> &GitRepo {
        &self.0.git
    }

    fn registry(&self) -> &Registry {
        &self.0.registry
    }

    /// Returns the store, creating it where it is missing and the place can be written.
    fn store(&self) -> Result<&Store> {
        if let Some(store) = self.0.store.get() {
            return Ok(store);
        }
        let store = Store::open(&self.0.store_dir, &StoreOptions::default())?;
        Ok(self.0.store.get_or_init(|| store))
    }

    /// Returns the store unless there is none yet: a fresh clone has no reason to make one for reading.
    fn store_if_present(&self) -> Result<Option<&Store>> {
        if self.0.store.get().is_none() && !self.0.store_dir.join("format").is_file() {
            return Ok(None);
        }
        self.store().map(Some)
    }

    /// Waits for other processes only shortly from now on: in a hook that may as well leave its work undone.
    fn be_impatient(&self) {
        self.0.is_impatient.store(true, Ordering::Relaxed);
    }

    fn catalog(&self) -> Result<&Catalog> {
        if let Some(catalog) = self.0.catalog.get() {
            return Ok(catalog);
        }
        // The directory may be missing in a fresh clone and impossible to make in a read-only one.
        let _ = fs::create_dir_all(&self.0.store_dir);
        let catalog = if self.git().is_shallow()? {
            // What a cut history says changes with its depth; it is short, so each process reads it for itself.
            Catalog::in_memory()?
        } else {
            let mut options = OpenOptions::default();
            if self.0.is_impatient.load(Ordering::Relaxed) {
                options.busy_timeout_ms = IMPATIENT_TIMEOUT_MS;
            }
            Catalog::open(&self.0.store_dir.join(CATALOG_FILE), options)?
        };
        let history = self.history();
        if !catalog.read::<_, CatalogError>(|view| view.is_of_history(&history))? {
            catalog.write::<_, CatalogError>(|tx| tx.claim_history(&history))?;
        }
        Ok(self.0.catalog.get_or_init(|| catalog))
    }

    /// Returns what the graph of commits depends on besides their ids: what `git replace` shows for them, and grafts.
    fn history(&self) -> Vec<u8> {
        let (replaced, grafted) = (self.git().replacements(), self.git().grafts());
        if replaced.is_empty() && grafted.is_empty() {
            return vec![];
        }
        let mut lines: Vec<String> = replaced.iter().map(|(old, new)| format!("{old} {new}\n")).collect();
        for (commit, parents) in grafted {
            let parents: Vec<String> = parents.iter().map(ToString::to_string).collect();
            lines.push(format!("graft {commit} {}\n", parents.join(" ")));
        }
        ContentDigest::of(lines.concat().as_bytes()).as_bytes().to_vec()
    }

    /// Asks the catalog several questions in one view.
    fn view<T>(&self, questions: impl FnOnce(&ReadTransaction) -> Result<T, CatalogError>) -> Result<T> {
        Ok(self.catalog()?.read(questions)?)
    }

    /// As [`Repo::view`], once the catalog has heard of every new metadata object.
    fn facts<T>(&self, questions: impl FnOnce(&ReadTransaction) -> Result<T, CatalogError>) -> Result<T> {
        let mut questions = Some(questions);
        if let Some(cursor) = self.heard_of_all() {
            let answer = self.view(|view| {
                let is_current = view.cursor()?.unwrap_or_default() == cursor;
                questions.take_if(|_| is_current).map(|questions| questions(view)).transpose()
            })?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
        }
        self.catch_up()?;
        self.view(questions.expect("taken only to be answered"))
    }

    fn check_writable(&self) -> Result<()> {
        if self.0.config.is_writable() {
            return Ok(());
        }
        let message = format!("this repository asks for format {} to write", self.0.config.min_writer);
        Err(Error::new(ErrorKind::TooNew, message).with_hint("upgrade with `pip install --upgrade onenb`"))
    }
}

fn discover(dir: &Path, environment: &Environment) -> Result<GitRepo> {
    let mode = if environment.in_hook { git::Environment::Hook } else { git::Environment::Ignored };
    Ok(GitRepo::discover(dir, mode)?)
}

/// Returns the tracked configuration: from the work tree, else from HEAD (bare repositories).
fn read_config_text(git: &GitRepo) -> Result<Option<String>> {
    if let Some(root) = git.work_dir()
        && let Ok(bytes) = fs::read_bounded(&root.join(CONFIG_PATH), MAX_CONFIG_LEN)
    {
        return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
    }
    let Some(head) = git.head()? else { return Ok(None) };
    let bytes = git.read_file_at(head, CONFIG_PATH, MAX_CONFIG_LEN)?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

fn store_dir(git: &GitRepo) -> PathBuf {
    let configured = git.config_string(STORE_KEY).map(PathBuf::from).filter(|path| path.is_absolute());
    configured.unwrap_or_else(|| git.common_dir().join(STORE_DIR))
}

fn shown_root(git: &GitRepo) -> &Path {
    git.work_dir().unwrap_or_else(|| git.git_dir())
}
