//! Keeping collection of garbage away from what is being stored and is not named yet, and knowing who shares a store.
//!
//! A store that several repositories share keeps a note of each: `users/<hash>`, a file with the path of its work tree,
//! or of its Git directory where it has none. Whoever collects asks all of them what they need.

use std::io;
use std::path::{Path, PathBuf};

use super::{Repo, STORE_DIR};
use crate::error::{Error, ErrorKind, Result};
use crate::fs;
use crate::store::WriteHold;

const USERS_DIR: &str = "users";
const MAX_PATH_LEN: u64 = 64 * 1024;

impl Repo {
    /// Begins something that stores contents and names them afterwards.
    pub(super) fn hold(&self) -> Result<WriteHold> {
        if self.store_dir() != self.git().common_dir().join(STORE_DIR) {
            self.note_use()?;
        }
        Ok(self.store()?.hold()?)
    }

    fn note_use(&self) -> Result<()> {
        let own = self.own_place();
        let name = blake3::hash(self.git().common_dir().as_os_str().as_encoded_bytes()).to_hex();
        let path = self.store_dir().join(USERS_DIR).join(name.get(..16).unwrap_or_default());
        let bytes = own.as_os_str().as_encoded_bytes();
        if fs::read_bounded(&path, MAX_PATH_LEN).ok().as_deref() != Some(bytes) {
            fs::write_atomic(&path, bytes)?;
        }
        Ok(())
    }

    fn own_place(&self) -> PathBuf {
        let trees = self.git().work_trees().unwrap_or_default();
        let main = trees.into_iter().next().and_then(|main| main.dir);
        main.unwrap_or_else(|| self.git().common_dir().to_path_buf())
    }

    /// Opens the other repositories that keep their data in this store.
    pub(super) fn sharing_store(&self) -> Result<Vec<Self>> {
        let dir = self.store_dir().join(USERS_DIR);
        let entries = match std::fs::read_dir(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(error.into()),
        };
        let mut others = vec![];
        for entry in entries {
            let note = entry?.path();
            let place = fs::read_bounded(&note, MAX_PATH_LEN)?;
            let place = String::from_utf8(place).map_err(|_| forgotten(&note, Path::new("?")))?;
            let place = Path::new(&place);
            let other = Self::open_with(place, &self.0.environment).map_err(|_| forgotten(&note, place))?;
            let same_store = other.store_dir().canonicalize().ok() == self.store_dir().canonicalize().ok();
            if same_store && other.git().common_dir() != self.git().common_dir() {
                others.push(other);
            }
        }
        Ok(others)
    }
}

fn forgotten(note: &Path, place: &Path) -> Error {
    let message = format!("the repository in `{}` keeps data in this store too, and cannot be read", place.display());
    Error::new(ErrorKind::Failed, message)
        .with_hint(format!("make it readable; if it is gone for good, run `rm {}`", note.display()))
}
