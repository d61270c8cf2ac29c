//! Where things lie in a store's directory, and the file that says which version it has.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::StoreError;
use crate::format::FormatError;
use crate::format::encoding::{Encodings, MAX_ENCODING_LEN};
use crate::format::pack::PackClass;
use crate::fs;
use crate::id::PackId;

/// Version of the store that this program writes, and the newest it reads.
const STORE_VERSION: u32 = 1;
const FORMAT_FILE: &str = "format";
const MAX_FORMAT_LEN: u64 = 4096;
const ENCODING_FILE: &str = "encoding.toml";
/// Temporary files of killed processes are removed once they are this old.
const STALE_SECONDS: u64 = 24 * 60 * 60;
/// How often a directory is listed again if it changes while being listed.
const LIST_ATTEMPTS: usize = 8;

/// What the caller wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Read and write, or read where writing is impossible.
    ReadWrite,
    /// Read.
    ReadOnly,
}

/// Whether a pack is still written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// `.open`.
    Open,
    /// `.pack`.
    Sealed,
}

impl Stage {
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Sealed => "pack",
        }
    }
}

/// The paths of one store.
#[derive(Debug)]
pub(super) struct Layout {
    root: PathBuf,
    unwritable: Option<&'static str>,
}

impl Layout {
    /// Names the paths of a store without looking at it; nothing is written through it.
    pub(super) fn at(root: &Path) -> Self {
        Self { root: root.to_path_buf(), unwritable: Some("it was not opened") }
    }

    /// Reads the `format` file, or writes it where it is missing.
    pub(super) fn open(root: &Path, access: Access) -> Result<Self, StoreError> {
        let mut layout = Self { root: root.to_path_buf(), unwritable: None };
        if access == Access::ReadOnly {
            layout.unwritable = Some("it was opened for reading");
        }
        let path = root.join(FORMAT_FILE);
        match fs::read_bounded(&path, MAX_FORMAT_LEN) {
            Ok(bytes) => layout.check_format(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && access == Access::ReadOnly => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => layout.create(&path)?,
            Err(error) => return Err(StoreError::io("read", &path, error)),
        }
        Ok(layout)
    }

    /// Fails if the store may not be written.
    pub(super) fn require_writable(&self) -> Result<(), StoreError> {
        match self.unwritable {
            None => Ok(()),
            Some(reason) => Err(StoreError::ReadOnly { path: self.root.clone(), reason }),
        }
    }

    pub(super) fn packs_dir(&self, class: PackClass) -> PathBuf {
        self.root.join("packs").join(class.name())
    }

    pub(super) fn index_dir(&self, class: PackClass) -> PathBuf {
        self.root.join("index").join(class.name())
    }

    pub(super) fn pack_path(&self, class: PackClass, pack: PackId, stage: Stage) -> PathBuf {
        self.packs_dir(class).join(format!("{pack}.{}", stage.suffix()))
    }

    /// Where notes about damaged frames lie.
    pub(super) fn notes_dir(&self) -> PathBuf {
        self.root.join("damaged")
    }

    /// Where scratch stores lie that settings are measured in.
    pub(super) fn scratch_dir(&self) -> PathBuf {
        self.root.join("scratch")
    }

    /// Reads how new chunks are encoded.
    pub(super) fn encodings(&self) -> Result<Encodings, StoreError> {
        let path = self.root.join(ENCODING_FILE);
        match fs::read_bounded(&path, MAX_ENCODING_LEN) {
            Ok(bytes) => Encodings::from_text(&String::from_utf8_lossy(&bytes))
                .map_err(|source| StoreError::Settings { path, source }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Encodings::default()),
            // Neither of these ever becomes settings by reading it again.
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => {
                let reason = if path.is_dir() { "it is a folder".to_owned() } else { format!("it {error}") };
                Err(StoreError::Settings { path, source: FormatError::malformed(ENCODING_FILE, reason) })
            }
            Err(error) => Err(StoreError::io("read", &path, error)),
        }
    }

    /// Writes how new chunks are encoded; without any setting, removes the file. An empty folder in its place goes.
    pub(super) fn set_encodings(&self, encodings: &Encodings) -> Result<(), StoreError> {
        self.require_writable()?;
        let path = self.root.join(ENCODING_FILE);
        if path.is_dir() {
            fs::remove_dir_if_empty(&path).map_err(|error| StoreError::io("remove", &path, error))?;
        }
        let written = if encodings.is_empty() {
            fs::remove_file(&path)
        } else {
            fs::write_atomic(&path, encodings.to_text().as_bytes())
        };
        written.map_err(|error| StoreError::io("write", &path, error))
    }

    pub(super) fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }

    /// Lists the packs of a class, by id. A listing that runs beside a rename may miss both names, so it is repeated
    /// until two in a row agree.
    pub(super) fn list_packs(&self, class: PackClass) -> Result<BTreeMap<PackId, Stage>, StoreError> {
        let dir = self.packs_dir(class);
        let mut last = list_packs_once(&dir)?;
        for _ in 0..LIST_ATTEMPTS {
            let again = list_packs_once(&dir)?;
            if again == last {
                break;
            }
            last = again;
        }
        Ok(last)
    }

    /// Lists the index segments of a class.
    pub(super) fn list_segments(&self, class: PackClass) -> Result<Vec<PathBuf>, StoreError> {
        let names = list_names(&self.index_dir(class))?;
        Ok(names.into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "seg")).collect())
    }

    /// Removes temporary files that a killed process left in our directories long ago.
    pub(super) fn sweep(&self, class: PackClass) {
        let dirs = [self.packs_dir(class), self.index_dir(class), self.root.clone()];
        for path in dirs.iter().filter_map(|dir| list_names(dir).ok()).flatten() {
            let hidden = path
                .file_name()
                .and_then(|name| name.to_str())
                .is_some_and(|name| name.starts_with('.') && name.ends_with(".tmp"));
            let age =
                std::fs::metadata(&path).and_then(|meta| meta.modified()).ok().and_then(|time| time.elapsed().ok());
            if hidden && age.is_some_and(|age| age.as_secs() > STALE_SECONDS) {
                // Sweeping is a courtesy; a file that cannot go now goes another day.
                let _ = fs::remove_file(&path);
            }
        }
    }

    fn check_format(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        let text = String::from_utf8_lossy(bytes);
        let number = |key: &str| {
            text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')?.trim().parse::<u32>().ok())
        };
        let not_a_store = |reason: &str| StoreError::NotAStore { path: self.root.clone(), reason: reason.to_owned() };
        let version = number("onenb store").ok_or_else(|| not_a_store("its `format` file is not ours"))?;
        let min_reader = number("min_reader").unwrap_or(version);
        let min_writer = number("min_writer").unwrap_or(version);
        if min_reader > STORE_VERSION {
            return Err(StoreError::TooNew { found: min_reader, known: STORE_VERSION });
        }
        if min_writer > STORE_VERSION {
            self.unwritable = Some("a newer onenb wrote it; upgrade with `pip install --upgrade onenb`");
        }
        Ok(())
    }

    fn create(&mut self, path: &Path) -> Result<(), StoreError> {
        let text = format!("onenb store {STORE_VERSION}\nmin_reader {STORE_VERSION}\nmin_writer {STORE_VERSION}\n");
        match fs::create_exclusive(path, text.as_bytes()) {
            Ok(_) => Ok(()),
            Err(error) if is_refusal(&error) => {
                self.unwritable = Some("its directory cannot be written");
                Ok(())
            }
            Err(error) => Err(StoreError::io("create", path, error)),
        }
    }

    /// Makes the directories that writers of a class need.
    pub(super) fn create_dirs(&self, class: PackClass) -> Result<(), StoreError> {
        self.require_writable()?;
        for dir in [self.packs_dir(class), self.index_dir(class), self.root.join("locks")] {
            fs::create_dir_all(&dir).map_err(|error| StoreError::io("create", &dir, error))?;
        }
        Ok(())
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

fn list_packs_once(dir: &Path) -> Result<BTreeMap<PackId, Stage>, StoreError> {
    let mut packs = BTreeMap::new();
    for path in list_names(dir)? {
        let stage = match path.extension().and_then(|ext| ext.to_str()) {
            Some("open") => Stage::Open,
            Some("pack") => Stage::Sealed,
            _ => continue,
        };
        let Some(Ok(pack)) = path.file_stem().and_then(|stem| stem.to_str()).map(str::parse::<PackId>) else {
            continue;
        };
        packs.entry(pack).and_modify(|known: &mut Stage| *known = stage.max(*known)).or_insert(stage);
    }
    Ok(packs)
}

/// Lists a directory; a missing one is empty.
pub(super) fn list_names(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let wrap = |error| StoreError::io("list", dir, error);
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(wrap)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(wrap(error)),
    }
}
