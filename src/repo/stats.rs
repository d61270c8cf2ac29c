//! `stats`: what is stored, and what each export has of it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::Repo;
use super::types::{NameStats, Stats};
use crate::catalog::BindingsOf;
use crate::error::Result;
use crate::format::record::ExportRecord;
use crate::id::{ChunkId, ContentDigest};
use crate::store::Store;

/// What one name has, before its share is known.
#[derive(Default)]
struct Holding {
    stats: NameStats,
    chunks: HashSet<ChunkId>,
}

impl Repo {
    /// Says how many bytes the store's contents have, how few it needs for them, and for which exports it needs them.
    ///
    /// Bytes that several names share are divided among them, so that the names add up to no more than the store.
    ///
    /// # Errors
    /// What reading the store can meet.
    pub fn stats(&self) -> Result<Stats> {
        let Some(store) = self.store_if_present()? else { return Ok(Stats::default()) };
        let (stats, costs) = store.stats()?;
        Ok(Stats {
            raw: stats.raw_bytes,
            // Chunks that only share a frame with something needed are no content's.
            unique: stats.unique_bytes.min(stats.raw_bytes),
            stored: stats.stored_bytes,
            delta_saved: stats.delta_saved_bytes,
            contents: stats.contents,
            chunks: stats.chunks,
            packs: stats.packs,
            names: self.stats_by_name(store, &costs)?,
            settings: store.encodings().unwrap_or_default(),
        })
    }

    fn stats_by_name(&self, store: &Store, costs: &HashMap<ChunkId, u64>) -> Result<Vec<NameStats>> {
        let mut holdings = Vec::new();
        let mut holders: HashMap<ChunkId, u64> = HashMap::new();
        for (name, contents) in self.contents_by_name()? {
            let holding = holding_of(store, name, &contents)?;
            for chunk in &holding.chunks {
                *holders.entry(*chunk).or_default() += 1;
            }
            holdings.push(holding);
        }
        let share = |chunk: &ChunkId| costs.get(chunk).zip(holders.get(chunk)).map_or(0, |(cost, among)| cost / among);
        let mut names: Vec<NameStats> = holdings
            .into_iter()
            .filter(|holding| holding.stats.versions > 0)
            .map(|Holding { stats, chunks }| {
                let stored = stats.stored + chunks.iter().map(share).sum::<u64>();
                NameStats { stored, ..stats }
            })
            .collect();
        names.sort_by(|a, b| b.stored.cmp(&a.stored).then_with(|| a.name.cmp(&b.name)));
        Ok(names)
    }

    /// Returns the contents that each name ever had here, members of directories among them.
    fn contents_by_name(&self) -> Result<BTreeMap<String, BTreeSet<ContentDigest>>> {
        let mut records: Vec<ExportRecord> = Vec::new();
        if let Some(head) = self.git().head()? {
            self.bound_at(head)?;
        }
        let worktree = self.git().worktree_id();
        self.facts(|view| {
            records.extend(view.bindings(BindingsOf::All)?.into_iter().map(|binding| binding.bound.record));
            records.extend(view.exports_of_all(&worktree)?.into_iter().map(|pending| pending.record));
            Ok(())
        })?;
        let mut by_name: BTreeMap<String, BTreeSet<ContentDigest>> = BTreeMap::new();
        let mut by_digest: BTreeMap<ContentDigest, ExportRecord> = BTreeMap::new();
        for record in records {
            by_name.entry(record.name.as_str().to_owned()).or_default().insert(record.digest);
            if record.suffix.is_directory() {
                by_digest.entry(record.digest).or_insert(record);
            }
        }
        for record in by_digest.into_values() {
            let members = self.members_of(std::slice::from_ref(&record), "the store", None)?;
            let of_name = by_name.entry(record.name.as_str().to_owned()).or_default();
            of_name.extend(members.contents.into_iter().map(|(digest, _)| digest));
        }
        Ok(by_name)
    }
}

fn holding_of(store: &Store, name: String, contents: &BTreeSet<ContentDigest>) -> Result<Holding> {
    let mut holding = Holding { stats: NameStats { name, ..NameStats::default() }, ..Holding::default() };
    for digest in contents {
        // What was pushed and dropped, or never fetched, takes no room here.
        let Some(len) = store.contains(digest)? else { continue };
        holding.stats.versions += 1;
        holding.stats.raw += len;
        let chunks = store.chunks_of(digest)?;
        if chunks.is_empty() {
            // It lies in its recipe.
            holding.stats.stored += len;
        }
        holding.chunks.extend(chunks.into_iter().map(|chunk| chunk.id));
    }
    Ok(holding)
}
