//! Commits and snapshots: what every export was at a commit.
//!
//! A snapshot is a chain of overlays, newest first; `None` in an overlay says that the key was removed. The snapshot at
//! position `p` of its chain holds the changes of the positions `p - lowbit(p) + 1 ..= p` and its base is the one at
//! `p - lowbit(p)`, as in a Fenwick tree. So a look-up passes at most `1 + log2(p)` overlays, a change is copied at
//! most `log2(p)` times, and neither depends on how many exports there are.

use std::collections::BTreeMap;

use rusqlite::{Row, params};

use super::ancestry::{Place, place_columns};
use super::error::CatalogError;
use super::transaction::{ReadTransaction, WriteTransaction, column, commit_column, params_hash_column};
use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::format::record::{ExportKey, ExportRecord};
use crate::id::CommitId;

/// The number of a snapshot within one catalog file. Means nothing elsewhere and is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotNo(i64);

/// The number of a binding within one catalog file: equal numbers, equal bindings. Means nothing elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindingNo(i64);

/// An export as a snapshot has it: its record and the commit that bound it.
#[derive(Debug, Clone, PartialEq)]
pub struct Bound {
    /// What the export is.
    pub record: ExportRecord,
    /// The commit that bound it.
    pub commit: CommitId,
}

/// What a commit bound itself, and where that commit is in history.
#[derive(Debug, Clone, PartialEq)]
pub struct CommittedBinding {
    /// The export and the commit.
    pub bound: Bound,
    /// When that was committed, in seconds since 1970, UTC.
    pub time_unix: i64,
    /// The commit's generation.
    pub generation: u64,
    /// The commit's place, for [`Reach::contains`](super::Reach::contains).
    pub place: Place,
}

/// Which bindings are asked for.
#[derive(Debug, Clone, Copy)]
pub enum BindingsOf<'a> {
    /// All of them.
    All,
    /// Those of one export, whatever its parameters.
    Name(&'a ExportName),
    /// Those of one commit.
    Commit(&'a CommitId),
}

/// Bindings that a merge copied from one side to the other are there twice, with the same text.
macro_rules! select_bindings {
    ($condition:literal) => {
        concat!(
            "SELECT DISTINCT b.record, b.commit_id, c.time_unix, c.generation, c.chain, c.position ",
            "FROM bindings AS b JOIN commits AS c ON c.id = b.commit_id ",
            $condition,
            " ORDER BY c.generation DESC, c.time_unix DESC, b.commit_id, b.name, b.record"
        )
    };
}

/// One change of a snapshot against its base; `None` removes the key.
pub type Change = (ExportKey, Option<Bound>);

/// A commit as the catalog keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitRow {
    /// The commit.
    pub id: CommitId,
    /// When it was committed, in seconds since 1970, UTC.
    pub time_unix: i64,
    /// Length of the longest way to a root commit; greater than that of every parent.
    pub generation: u64,
    /// Its parents in Git's order; all ids have the same length.
    pub parents: Vec<CommitId>,
}

/// The chain of a snapshot, itself included. Numbers only grow along derivation, so the newest overlay of a key is the
/// one with the greatest number.
macro_rules! over_chain {
    ($query:literal) => {
        concat!(
            "WITH RECURSIVE chain (id, base) AS (SELECT id, base FROM snapshots WHERE id = ?1 ",
            "UNION ALL SELECT s.id, s.base FROM chain JOIN snapshots AS s ON s.id = chain.base) ",
            $query
        )
    };
}

impl ReadTransaction {
    /// Returns the snapshot of a commit, or `None` if the commit is not in the catalog.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn snapshot_of(&self, commit: &CommitId) -> Result<Option<SnapshotNo>, CatalogError> {
        self.one("SELECT snapshot FROM commits WHERE id = ?1", [commit.as_slice()], |row| {
            column(row, 0).map(SnapshotNo)
        })
    }

    /// Returns what is known of a commit.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn commit(&self, commit: &CommitId) -> Result<Option<CommitRow>, CatalogError> {
        let sql = "SELECT id, time_unix, generation, parents FROM commits WHERE id = ?1";
        self.one(sql, [commit.as_slice()], |row| {
            let id = commit_column(row, 0)?;
            let parents = column::<Vec<u8>>(row, 3)?;
            let parents = parents.chunks(id.as_slice().len()).map(CommitId::from_slice).collect::<Option<_>>();
            Ok(CommitRow {
                id,
                time_unix: column(row, 1)?,
                generation: generation_column(row, 2)?,
                parents: parents.ok_or_else(|| CatalogError::bad_row("parent list"))?,
            })
        })
    }

    /// Returns every export of a snapshot, sorted by the bytes of the name, then of the parameter hash.
    ///
    /// # Errors
    /// [`CatalogError::StaleSnapshot`] and others.
    pub fn entries(&self, snapshot: SnapshotNo) -> Result<Vec<Bound>, CatalogError> {
        let overlay = self.overlay(snapshot, None)?;
        overlay.into_values().map(|binding| self.binding(binding)).collect()
    }

    /// Returns the binding of every export of a snapshot, not read: for comparing snapshots that have most in common.
    ///
    /// # Errors
    /// [`CatalogError::StaleSnapshot`] and others.
    pub fn binding_numbers(&self, snapshot: SnapshotNo) -> Result<BTreeMap<ExportKey, BindingNo>, CatalogError> {
        let overlay = self.overlay(snapshot, None)?;
        Ok(overlay.into_iter().map(|(key, binding)| (key, BindingNo(binding))).collect())
    }

    /// Reads a binding.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn bound(&self, binding: BindingNo) -> Result<Bound, CatalogError> {
        self.binding(binding.0)
    }

    /// Returns one export of a snapshot, or `None` if the snapshot does not have it.
    ///
    /// # Errors
    /// [`CatalogError::StaleSnapshot`] and others.
    pub fn entry(&self, snapshot: SnapshotNo, key: &ExportKey) -> Result<Option<Bound>, CatalogError> {
        // Step by step, because SQL would walk the whole chain and sort it before it knew the newest.
        let sql = "SELECT s.base, e.snapshot, e.binding FROM snapshots AS s LEFT JOIN entries AS e \
                   ON e.snapshot = s.id AND e.name = ?2 AND e.params_hash = ?3 WHERE s.id = ?1";
        let mut at = Some(snapshot.0);
        while let Some(number) = at {
            let overlay = self.one(sql, params![number, key.name.as_str(), key.params_hash.as_bytes()], |row| {
                Ok((column(row, 0)?, column::<Option<i64>>(row, 1)?, column::<Option<i64>>(row, 2)?))
            })?;
            let (base, changed, binding) = overlay.ok_or(CatalogError::StaleSnapshot { number })?;
            if changed.is_some() {
                return binding.map(|binding| self.binding(binding)).transpose();
            }
            at = base;
        }
        Ok(None)
    }

    /// Returns the parameter sets that a snapshot has of one export, in the order of [`ReadTransaction::entries`].
    ///
    /// # Errors
    /// [`CatalogError::StaleSnapshot`] and others.
    pub fn parameter_sets(&self, snapshot: SnapshotNo, name: &ExportName) -> Result<Vec<Params>, CatalogError> {
        let overlay = self.overlay(snapshot, Some(name))?;
        overlay.into_values().map(|binding| Ok(self.binding(binding)?.record.params)).collect()
    }

    /// Returns the names of the exports that a snapshot has, sorted by their bytes.
    ///
    /// # Errors
    /// [`CatalogError::StaleSnapshot`] and others.
    pub fn names(&self, snapshot: SnapshotNo) -> Result<Vec<ExportName>, CatalogError> {
        let mut names: Vec<_> = self.overlay(snapshot, None)?.into_keys().map(|key| key.name).collect();
        names.dedup();
        Ok(names)
    }

    /// Lays the overlays of a chain on each other, oldest first, and returns the binding of each key that is left.
    fn overlay(
        &self,
        snapshot: SnapshotNo,
        name: Option<&ExportName>,
    ) -> Result<BTreeMap<ExportKey, i64>, CatalogError> {
        let all = over_chain!(
            "SELECT e.name, e.params_hash, e.binding FROM chain CROSS JOIN entries AS e ON e.snapshot = chain.id \
             ORDER BY e.snapshot"
        );
        let of_name = over_chain!(
            "SELECT e.name, e.params_hash, e.binding FROM chain CROSS JOIN entries AS e ON e.snapshot = chain.id \
             WHERE e.name = ?2 ORDER BY e.snapshot"
        );
        let decode = |row: &Row<'_>| Ok((key_columns(row, 0)?, column::<Option<i64>>(row, 2)?));
        let rows = match name {
            None => self.all(all, [snapshot.0], decode)?,
            Some(name) => self.all(of_name, params![snapshot.0, name.as_str()], decode)?,
        };
        if rows.is_empty() {
            self.position(snapshot)?;
        }
        let mut overlay = BTreeMap::new();
        for (key, binding) in rows {
            match binding {
                Some(binding) => overlay.insert(key, binding),
                None => overlay.remove(&key),
            };
        }
        Ok(overlay)
    }

    /// Returns what commits bound themselves, in the order of runs ([`ReadTransaction::runs_with_export`]): of one
    /// export, or of one commit.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn bindings(&self, of: BindingsOf<'_>) -> Result<Vec<CommittedBinding>, CatalogError> {
        let decode = |row: &Row<'_>| {
            Ok(CommittedBinding {
                bound: Bound { record: record_column(row, 0)?, commit: commit_column(row, 1)? },
                time_unix: column(row, 2)?,
                generation: generation_column(row, 3)?,
                place: place_columns(row, 4)?,
            })
        };
        match of {
            BindingsOf::All => self.all(select_bindings!(""), [], decode),
            BindingsOf::Name(name) => self.all(select_bindings!("WHERE b.name = ?1"), [name.as_str()], decode),
            BindingsOf::Commit(commit) => {
                self.all(select_bindings!("WHERE b.commit_id = ?1"), [commit.as_slice()], decode)
            }
        }
    }

    fn binding(&self, id: i64) -> Result<Bound, CatalogError> {
        self.one("SELECT record, commit_id FROM bindings WHERE id = ?1", [id], |row| {
            Ok(Bound { record: record_column(row, 0)?, commit: commit_column(row, 1)? })
        })?
        .ok_or_else(|| CatalogError::bad_row("binding number"))
    }

    /// Returns how many derivations lie between the root of the chain and this snapshot.
    fn position(&self, snapshot: SnapshotNo) -> Result<i64, CatalogError> {
        self.one("SELECT position FROM snapshots WHERE id = ?1", [snapshot.0], |row| column(row, 0))?
            .ok_or(CatalogError::StaleSnapshot { number: snapshot.0 })
    }

    /// Walks from `base` to the snapshot at `position`; returns it and those passed on the way, newest first.
    fn ancestor_at(&self, base: SnapshotNo, position: i64) -> Result<(SnapshotNo, Vec<SnapshotNo>), CatalogError> {
        let (mut at, mut passed) = (base, Vec::new());
        while self.position(at)? > position {
            passed.push(at);
            let next = self.one("SELECT base FROM snapshots WHERE id = ?1", [at.0], |row| column(row, 0))?;
            at = next.flatten().map(SnapshotNo).ok_or_else(|| CatalogError::bad_row("snapshot chain"))?;
        }
        Ok((at, passed))
    }
}

impl WriteTransaction {
    /// Puts a commit and says which snapshot it has; a commit that is there already is replaced.
    ///
    /// # Errors
    /// [`CatalogError`].
    pub fn put_commit(&self, commit: &CommitRow, snapshot: SnapshotNo) -> Result<(), CatalogError> {
        let parents: Vec<u8> = commit.parents.iter().flat_map(CommitId::as_slice).copied().collect();
        let generation = i64::try_from(commit.generation).unwrap_or(i64::MAX);
        let place = self.place_commit(&commit.id, &commit.parents)?;
        let sql = "INSERT INTO commits (id, snapshot, time_unix, generation, parents, chain, position) \
                   VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
                   ON CONFLICT (id) DO UPDATE SET snapshot = excluded.snapshot, time_unix = excluded.time_unix, \
                   generation = excluded.generation, parents = excluded.parents";
        let (chain, position) = place.to_columns();
        let id = commit.id.as_slice();
        self.change(sql, params![id, snapshot.0, commit.time_unix, generation, parents, chain, position]).map(drop)
    }

    /// Returns the snapshot that differs from `base` by `changes`: `base` itself if there are none. Without a base it
    /// starts a chain from nothing. Of two changes of one key the later counts.
    ///
    /// # Errors
    /// [`CatalogError::StaleSnapshot`] and others.
    pub fn derive(&self, base: Option<SnapshotNo>, changes: &[Change]) -> Result<SnapshotNo, CatalogError> {
        let (position, base, absorbed) = match base {
            Some(base) if changes.is_empty() => return Ok(base),
            Some(base) => {
                let position = self.position(base)? + 1;
                // Clearing the lowest bit of the position gives the position of the base (module documentation).
                let (base, absorbed) = self.ancestor_at(base, position & (position - 1))?;
                (position, Some(base.0), absorbed)
            }
            None => (0, None, Vec::new()),
        };
        let number = self.insert("INSERT INTO snapshots (base, position) VALUES (?1, ?2)", params![base, position])?;
        for (key, bound) in changes {
            self.put_entry(number, key, bound.as_ref())?;
        }
        for older in absorbed {
            let sql = "INSERT OR IGNORE INTO entries (snapshot, name, params_hash, binding) \
                       SELECT ?1, name, params_hash, binding FROM entries WHERE snapshot = ?2";
            self.change(sql, [number, older.0])?;
        }
        Ok(SnapshotNo(number))
    }

    fn put_entry(&self, snapshot: i64, key: &ExportKey, bound: Option<&Bound>) -> Result<(), CatalogError> {
        let binding = bound
            .map(|bound| {
                let sql = "INSERT INTO bindings (name, record, commit_id) VALUES (?1, ?2, ?3)";
                self.insert(sql, params![key.name.as_str(), record_text(&bound.record), bound.commit.as_slice()])
            })
            .transpose()?;
        let sql = "INSERT OR REPLACE INTO entries (snapshot, name, params_hash, binding) VALUES (?1, ?2, ?3, ?4)";
        self.change(sql, params![snapshot, key.name.as_str(), key.params_hash.as_bytes(), binding]).map(drop)
    }
}

/// Reads a key from two neighbouring columns.
pub(super) fn key_columns(row: &Row<'_>, index: usize) -> Result<ExportKey, CatalogError> {
    let name = ExportName::parse(&column::<String>(row, index)?)?;
    Ok(ExportKey { name, params_hash: params_hash_column(row, index + 1)? })
}

/// Writes a record as its column has it: the canonical file.
pub(super) fn record_text(record: &ExportRecord) -> String {
    String::from_utf8(record.to_bytes()).expect("JSON is UTF-8")
}

/// Reads what [`record_text`] wrote.
pub(super) fn record_column(row: &Row<'_>, index: usize) -> Result<ExportRecord, CatalogError> {
    Ok(ExportRecord::from_bytes(column::<String>(row, index)?.as_bytes())?)
}

/// Reads a generation.
pub(super) fn generation_column(row: &Row<'_>, index: usize) -> Result<u64, CatalogError> {
    u64::try_from(column::<i64>(row, index)?).map_err(|_| CatalogError::bad_row("generation"))
}
