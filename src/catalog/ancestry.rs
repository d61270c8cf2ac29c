//! Ancestry: which commits a commit can reach, without walking them.
//!
//! Every commit lies on one chain: it continues its first parent's chain if that parent was the chain's end, else it
//! starts a new one. What else leads from a commit to a parent (the start of a chain, the other parents of a merge) is
//! an edge. A walk goes from edge to edge, so its cost is the number of forks and merges, not of commits.
//!
//! ```text
//! chain 1   0 ── 1 ── 2 ── 3        commit (1, 3) is a merge: edge (1, 3) → (2, 1)
//!                 \       /         chain 2 starts at (1, 1):  edge (2, 0) → (1, 1)
//! chain 2          0 ── 1
//! ```
//!
//! Positions count from 0 without gaps, and generations grow along a chain, so what is forgotten is always an end.

use std::collections::{BTreeMap, HashMap};

use rusqlite::params;

use super::commits::generation_column;
use super::error::CatalogError;
use super::transaction::{ReadTransaction, WriteTransaction, column, commit_column};
use crate::id::CommitId;

/// Where a commit lies. Means nothing outside of one catalog file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    chain: i64,
    position: i64,
}

impl Place {
    pub(super) fn to_columns(self) -> (i64, i64) {
        (self.chain, self.position)
    }
}

/// The commits that some commits can reach, themselves included: of each chain everything up to a position.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    upto: HashMap<i64, i64>,
}

impl Reach {
    /// Returns whether a commit at this place can be reached.
    #[must_use]
    pub fn contains(&self, place: Place) -> bool {
        self.upto.get(&place.chain).is_some_and(|upto| place.position <= *upto)
    }

    /// Returns for each chain the positions that `other` does not reach: greater than the first, up to the second.
    fn without(&self, other: &Self) -> BTreeMap<i64, (i64, i64)> {
        let beyond = |(chain, upto): (&i64, &i64)| {
            let from = other.upto.get(chain).copied().unwrap_or(-1);
            (from < *upto).then_some((*chain, (from, *upto)))
        };
        self.upto.iter().filter_map(beyond).collect()
    }
}

/// A commit's place and how far it is from the roots.
#[derive(Debug, Clone, Copy)]
struct Placed {
    place: Place,
    generation: u64,
}

/// The newest commits of a part of a chain that meet a condition.
macro_rules! select_beyond {
    ($condition:literal) => {
        concat!(
            "SELECT generation, time_unix, id FROM commits AS c WHERE chain = ?1 AND position > ?2 AND position <= ?3 AND ",
            $condition,
            " ORDER BY position DESC LIMIT ?4"
        )
    };
}

impl ReadTransaction {
    /// Returns whether `ancestor` is `descendant` or can be reached from it; `None` if one of them is not indexed.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn is_ancestor(&self, ancestor: &CommitId, descendant: &CommitId) -> Result<Option<bool>, CatalogError> {
        let (Some(wanted), Some(from)) = (self.placed(ancestor)?, self.placed(descendant)?) else { return Ok(None) };
        let reach = self.walk(&[from.place], wanted.generation, Some(wanted.place))?;
        Ok(Some(reach.contains(wanted.place)))
    }

    /// Returns what commits can reach; those that are not indexed reach nothing.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn reach(&self, tips: &[CommitId]) -> Result<Reach, CatalogError> {
        let mut places = Vec::new();
        for tip in tips {
            places.extend(self.placed(tip)?.map(|placed| placed.place));
        }
        self.walk(&places, 0, None)
    }

    /// Returns the commits that bound something and that `reach` has and `other` has not: children before parents, then
    /// newest first, at most `limit`.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn bound_beyond(&self, reach: &Reach, other: &Reach, limit: usize) -> Result<Vec<CommitId>, CatalogError> {
        let that_bound = select_beyond!("EXISTS (SELECT 1 FROM bindings AS b WHERE b.commit_id = c.id)");
        self.beyond(reach, other, limit, that_bound)
    }

    /// As [`ReadTransaction::bound_beyond`], of the merges.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn merges_beyond(&self, reach: &Reach, other: &Reach, limit: usize) -> Result<Vec<CommitId>, CatalogError> {
        self.beyond(reach, other, limit, select_beyond!("length(parents) > length(id)"))
    }

    fn beyond(&self, reach: &Reach, other: &Reach, limit: usize, sql: &str) -> Result<Vec<CommitId>, CatalogError> {
        let most = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut found = Vec::new();
        for (chain, (from, upto)) in reach.without(other) {
            found.extend(self.all(sql, [chain, from, upto, most], |row| {
                Ok((generation_column(row, 0)?, column::<i64>(row, 1)?, commit_column(row, 2)?))
            })?);
        }
        found.sort_unstable_by(|a, b| b.cmp(a));
        Ok(found.into_iter().take(limit).map(|(_, _, id)| id).collect())
    }

    /// Returns whether some indexed commit has a parent that was not indexed when the commit was.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn has_cut_history(&self) -> Result<bool, CatalogError> {
        self.any("SELECT 1 FROM meta WHERE key = 'cut'", [])
    }

    /// Follows edges to commits of at least a generation; with `wanted`, only until that is reached.
    fn walk(&self, from: &[Place], generation: u64, wanted: Option<Place>) -> Result<Reach, CatalogError> {
        let mut reach = Reach::default();
        let mut pending = from.to_vec();
        while let Some(Place { chain, position }) = pending.pop() {
            let known = reach.upto.get(&chain).copied().unwrap_or(-1);
            if position <= known {
                continue;
            }
            reach.upto.insert(chain, position);
            if wanted.is_some_and(|wanted| reach.contains(wanted)) {
                break;
            }
            let sql = "SELECT to_chain, to_position FROM chain_edges \
                       WHERE chain = ?1 AND position > ?2 AND position <= ?3 AND to_generation >= ?4";
            let least = i64::try_from(generation).unwrap_or(i64::MAX);
            pending.extend(self.all(sql, [chain, known, position, least], |row| {
                Ok(Place { chain: column(row, 0)?, position: column(row, 1)? })
            })?);
        }
        Ok(reach)
    }

    fn placed(&self, commit: &CommitId) -> Result<Option<Placed>, CatalogError> {
        self.one("SELECT chain, position, generation FROM commits WHERE id = ?1", [commit.as_slice()], |row| {
            let place = Place { chain: column(row, 0)?, position: column(row, 1)? };
            Ok(Placed { place, generation: generation_column(row, 2)? })
        })
    }

    fn is_end(&self, place: Place) -> Result<bool, CatalogError> {
        let sql = "SELECT 1 FROM commits WHERE chain = ?1 AND position > ?2 LIMIT 1";
        Ok(!self.any(sql, [place.chain, place.position])?)
    }
}

impl WriteTransaction {
    /// Finds the place of a commit and puts its edges. Parents that are not indexed lead nowhere.
    pub(super) fn place_commit(&self, commit: &CommitId, parents: &[CommitId]) -> Result<Place, CatalogError> {
        if let Some(known) = self.placed(commit)? {
            return Ok(known.place);
        }
        let mut known = Vec::new();
        for parent in parents {
            known.push(self.placed(parent)?);
        }
        if known.iter().any(Option::is_none) {
            self.change("INSERT OR REPLACE INTO meta (key, value) VALUES ('cut', x'01')", [])?;
        }
        let first = known.first().copied().flatten();
        let (place, continued) = match first {
            Some(first) if self.is_end(first.place)? => {
                (Place { position: first.place.position + 1, ..first.place }, true)
            }
            _ => {
                let last = self.one("SELECT max(chain) FROM commits", [], |row| column::<Option<i64>>(row, 0))?;
                (Place { chain: last.flatten().unwrap_or(0) + 1, position: 0 }, false)
            }
        };
        for to in known.into_iter().skip(usize::from(continued)).flatten() {
            let sql = "INSERT OR IGNORE INTO chain_edges (chain, position, to_chain, to_position, to_generation) \
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let generation = i64::try_from(to.generation).unwrap_or(i64::MAX);
            let to = to.place;
            self.change(sql, params![place.chain, place.position, to.chain, to.position, generation])?;
        }
        Ok(place)
    }

    /// Forgets a commit's generation and all later ones, with what they bound and ran: the end of every chain.
    ///
    /// Snapshots stay: earlier commits may share them.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn forget_commits_from(&self, generation: u64) -> Result<(), CatalogError> {
        let from = i64::try_from(generation).unwrap_or(i64::MAX);
        for sql in [
            "DELETE FROM runs WHERE commit_id IN (SELECT id FROM commits WHERE generation >= ?1)",
            "DELETE FROM bindings WHERE commit_id IN (SELECT id FROM commits WHERE generation >= ?1)",
            "DELETE FROM chain_edges WHERE (chain, position) IN \
             (SELECT chain, position FROM commits WHERE generation >= ?1)",
            "DELETE FROM commits WHERE generation >= ?1",
        ] {
            self.change(sql, [from])?;
        }
        Ok(())
    }
}

/// Reads a place from two neighbouring columns.
pub(super) fn place_columns(row: &rusqlite::Row<'_>, index: usize) -> Result<Place, CatalogError> {
    Ok(Place { chain: column(row, index)?, position: column(row, index + 1)? })
}
