//! Whether contents can be read from a remote, by the presence and length of their packs: one request a pack.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::SyncError;
use super::remote::Remote;
use crate::backend::Key;
use crate::format::tables::{DataTables, TableContent};
use crate::id::ContentDigest;

/// Looks at packs, each once.
pub struct Presence<'a> {
    remote: &'a Remote,
    /// Lengths of the packs that were asked for; `None` for one that is not there.
    packs: BTreeMap<Arc<str>, Option<u64>>,
}

impl<'a> Presence<'a> {
    /// Starts with a remote that nothing was asked of.
    #[must_use]
    pub fn new(remote: &'a Remote) -> Self {
        Self { remote, packs: BTreeMap::new() }
    }

    /// Returns why a content cannot be read, in words; `None` if all that it needs is there.
    ///
    /// # Errors
    /// [`SyncError`] from asking.
    pub fn fault(&mut self, data: &DataTables, digest: &ContentDigest) -> Result<Option<String>, SyncError> {
        let chunks = match data.content(digest) {
            None => return Ok(Some("its snapshot does not name its data".to_owned())),
            Some(TableContent::Inline(_)) => return Ok(None),
            Some(TableContent::Chunks { chunks, .. }) => chunks,
        };
        let ends: BTreeSet<(Arc<str>, u64)> =
            chunks.into_iter().map(|(chunk, _)| (chunk.pack, chunk.offset + u64::from(chunk.stored_len))).collect();
        for (pack, end) in ends {
            if !self.packs.contains_key(&pack) {
                let len = self.remote.backend().head(&Key::parse(&pack)?)?;
                self.packs.insert(pack.clone(), len);
            }
            match self.packs.get(&pack).copied().flatten() {
                None => return Ok(Some(format!("`{pack}` is missing"))),
                Some(len) if len < end => return Ok(Some(format!("`{pack}` is cut off"))),
                Some(_) => {}
            }
        }
        Ok(None)
    }
}
