//! Notes about frames that were read and found damaged, so that writers store their chunks anew.
//!
//! - A note is an empty file `damaged/<ULID>-<position>` named after a frame of a data pack, so any number of processes
//!   can leave and read notes without a lock.
//! - Writers do not rely on a noted frame; readers still try it, after all others. A wrong note costs space, never
//!   data.
//! - Notes are derived like the index: each may be deleted at any time, and `verify` finds what they said again.

use std::collections::HashSet;
use std::path::Path;

use super::StoreError;
use super::layout::{Layout, list_names};
use crate::fs::{self, AppendFile};
use crate::id::PackId;

/// Where a frame lies: its pack and its position in bytes.
pub(super) type FramePosition = (PackId, u64);

/// Lists the frames that somebody found damaged.
pub(super) fn list(layout: &Layout) -> Result<HashSet<FramePosition>, StoreError> {
    Ok(list_names(&layout.notes_dir())?.iter().filter_map(|path| parse(path)).collect())
}

/// Leaves a note where that is possible. Nothing depends on it being there, so it is not synced.
pub(super) fn leave(layout: &Layout, (pack, offset): FramePosition) {
    if layout.require_writable().is_ok() && fs::create_dir_all(&layout.notes_dir()).is_ok() {
        let _ = AppendFile::create(&path_of(layout, (pack, offset)));
    }
}

/// Takes a note back.
pub(super) fn take_back(layout: &Layout, frame: FramePosition) {
    if layout.require_writable().is_ok() {
        let _ = fs::remove_file(&path_of(layout, frame));
    }
}

fn path_of(layout: &Layout, (pack, offset): FramePosition) -> std::path::PathBuf {
    layout.notes_dir().join(format!("{pack}-{offset}"))
}

fn parse(path: &Path) -> Option<FramePosition> {
    let (pack, offset) = path.file_name()?.to_str()?.split_once('-')?;
    Some((pack.parse().ok()?, offset.parse().ok()?))
}
