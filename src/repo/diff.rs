//! `diff`: which exports two revisions have otherwise, how much they share, and what their tables look like.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::{Read, Seek, SeekFrom};

use super::Repo;
use super::read::ExportReader;
use super::types::{DiffRow, DiffSide};
use crate::error::Result;
use crate::format::recipe::{RecipeBody, RecipeNode};
use crate::format::record::{ExportKey, ExportRecord};
use crate::format::table::{
    CsvCounter, MAX_NPY_HEADER, MAX_PARQUET_FOOTER, TableSummary, npy_summary, parquet_summary,
};
use crate::id::{ChunkId, ContentDigest};

/// Tables longer than this are not counted: a difference is to be had at once.
const MAX_COUNTED_LEN: u64 = 256 * 1024 * 1024;
/// Bytes that are counted at once.
const COUNT_LEN: usize = 256 * 1024;

impl Repo {
    /// Returns the exports that differ between two revisions, sorted by name and parameters; either may be `working`.
    ///
    /// # Errors
    /// `NotFound` for an unknown revision.
    pub fn diff(&self, old: &str, new: &str) -> Result<Vec<DiffRow>> {
        let (mut before, mut after) = (self.records_at(old)?, self.records_at(new)?);
        let keys: BTreeSet<ExportKey> = before.keys().chain(after.keys()).cloned().collect();
        let mut rows = Vec::new();
        for key in keys {
            let (old, new) = (before.remove(&key), after.remove(&key));
            if old.as_ref().map(content_of) == new.as_ref().map(content_of) {
                continue;
            }
            let shared = match (&old, &new) {
                (Some(old), Some(new)) => self.shared_bytes(old, new)?,
                _ => None,
            };
            let side = |record: ExportRecord| DiffSide { table: self.table_summary(&record), record };
            rows.push(DiffRow { old: old.map(side), new: new.map(side), shared });
        }
        Ok(rows)
    }

    fn records_at(&self, rev: &str) -> Result<BTreeMap<ExportKey, ExportRecord>> {
        Ok(self.list(rev)?.into_iter().map(|export| (export.record.key(), export.record)).collect())
    }

    /// Returns how many bytes of a content are chunks of another; `None` where one of them is not in this store.
    fn shared_bytes(&self, old: &ExportRecord, new: &ExportRecord) -> Result<Option<u64>> {
        if old.digest == new.digest {
            return Ok(Some(new.size));
        }
        let (Some(old), Some(new)) = (self.chunks_of(&old.digest)?, self.chunks_of(&new.digest)?) else {
            return Ok(None);
        };
        let old: HashSet<ChunkId> = old.into_iter().map(|(id, _)| id).collect();
        Ok(Some(new.into_iter().filter(|(id, _)| old.contains(id)).map(|(_, len)| len).sum()))
    }

    fn chunks_of(&self, digest: &ContentDigest) -> Result<Option<Vec<(ChunkId, u64)>>> {
        let Some(store) = self.store_if_present()? else { return Ok(None) };
        if store.contains(digest)?.is_none() {
            return Ok(None);
        }
        let (recipe, nodes) = store.recipe_of(digest)?;
        let chunks = match recipe.body() {
            RecipeBody::Inline(_) => vec![],
            RecipeBody::Flat(chunks) => chunks.clone(),
            RecipeBody::Tree(_) => nodes.into_iter().flat_map(RecipeNode::into_chunks).collect(),
        };
        Ok(Some(chunks.into_iter().map(|chunk| (chunk.id, u64::from(chunk.len))).collect()))
    }

    /// Looks at a table whose data is here; what cannot be read has no summary, and `verify` says why.
    fn table_summary(&self, record: &ExportRecord) -> Option<TableSummary> {
        let store = self.store_if_present().ok()??;
        store.contains(&record.digest).ok()??;
        let mut reader = ExportReader::local(store.open_content(&record.digest).ok()?);
        match record.suffix.as_str() {
            ".csv" => count_csv(&mut reader, b','),
            ".tsv" => count_csv(&mut reader, b'\t'),
            ".npy" => {
                let mut start = Vec::new();
                reader.take(MAX_NPY_HEADER as u64).read_to_end(&mut start).ok()?;
                npy_summary(&start)
            }
            ".parquet" => parquet_summary(&parquet_footer(&mut reader)?),
            _ => None,
        }
    }
}

/// What makes a difference: another producer alone is none.
fn content_of(record: &ExportRecord) -> (ContentDigest, &str) {
    (record.digest, record.suffix.as_str())
}

fn count_csv(reader: &mut ExportReader, separator: u8) -> Option<TableSummary> {
    if reader.len() > MAX_COUNTED_LEN {
        return None;
    }
    let mut counter = CsvCounter::new(separator);
    let mut buffer = vec![0; COUNT_LEN];
    loop {
        let count = reader.read(&mut buffer).ok()?;
        match buffer.get(..count) {
            None | Some([]) => return counter.finish(),
            Some(bytes) => counter.update(bytes),
        }
    }
}

fn parquet_footer(reader: &mut ExportReader) -> Option<Vec<u8>> {
    let mut tail = [0; 8];
    reader.seek(SeekFrom::End(-8)).ok()?;
    reader.read_exact(&mut tail).ok()?;
    let len = u32::from_le_bytes(tail.get(..4)?.try_into().ok()?);
    let len_usize = usize::try_from(len).ok().filter(|len| *len <= MAX_PARQUET_FOOTER)?;
    if tail.get(4..)? != b"PAR1" {
        return None;
    }
    reader.seek(SeekFrom::End(-8 - i64::from(len))).ok()?;
    let mut footer = vec![0; len_usize];
    reader.read_exact(&mut footer).ok()?;
    Some(footer)
}
