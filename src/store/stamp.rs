//! What the packs of metadata objects look like from outside, so that who has read them all need not open the store
//! again.

use std::fmt::Write as _;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::StoreError;
use super::layout::{Layout, Stage};
use crate::format::pack::PackClass;
use crate::id::{ContentDigest, PackId};

/// Coarsest time stamps that file systems keep. A directory that changed less than this before it was listed may change
/// again without looking different (Git's rule against races).
const GRANULARITY: Duration = Duration::from_secs(2);

/// The names of the packs, and length and time of those that are still written. While it is the same, no object came
/// in: sealed packs never change, and the others are only appended to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectsStamp {
    dir: PathBuf,
    /// When the directory last changed, if that is so long ago that it would show.
    settled: Option<SystemTime>,
    sealed: Vec<PackId>,
    open: Vec<(PackId, Looks)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Looks {
    len: u64,
    modified: Option<SystemTime>,
}

impl Looks {
    fn of(metadata: &Metadata) -> Self {
        Self { len: metadata.len(), modified: metadata.modified().ok() }
    }
}

impl ObjectsStamp {
    /// Looks at the store below `root`, which need not exist. Take the stamp first and read the objects then.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn take(root: &Path) -> Result<Self, StoreError> {
        let layout = Layout::at(root);
        let dir = layout.packs_dir(PackClass::Meta);
        let modified = std::fs::metadata(&dir).and_then(|metadata| metadata.modified()).ok();
        let settled = modified.filter(|time| time.elapsed().is_ok_and(|age| age >= GRANULARITY));
        let (mut sealed, mut open) = (vec![], vec![]);
        for (pack, stage) in layout.list_packs(PackClass::Meta)? {
            match (stage, std::fs::metadata(layout.pack_path(PackClass::Meta, pack, stage))) {
                (Stage::Open, Ok(metadata)) => open.push((pack, Looks::of(&metadata))),
                // Sealed since it was listed, which the next look will find.
                (Stage::Open, Err(_)) | (Stage::Sealed, _) => sealed.push(pack),
            }
        }
        Ok(Self { dir, settled, sealed, open })
    }

    /// Returns whether nothing changed since, as far as that shows without listing the directory again.
    #[must_use]
    pub fn still_holds(&self) -> bool {
        let modified = std::fs::metadata(&self.dir).and_then(|metadata| metadata.modified()).ok();
        self.settled.is_some()
            && modified == self.settled
            && self.open.iter().all(|(pack, looks)| {
                let path = self.dir.join(format!("{pack}.{}", Stage::Open.suffix()));
                std::fs::metadata(path).is_ok_and(|metadata| Looks::of(&metadata) == *looks)
            })
    }

    /// Returns a digest that is the same as long as no object came in, in any process.
    #[must_use]
    pub fn digest(&self) -> ContentDigest {
        let mut text = String::new();
        for pack in &self.sealed {
            let _ = writeln!(text, "{pack}");
        }
        for (pack, Looks { len, modified }) in &self.open {
            let since = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok()).unwrap_or_default();
            let _ = writeln!(text, "{pack} {len} {}", since.as_nanos());
        }
        ContentDigest::of(text.as_bytes())
    }
}
