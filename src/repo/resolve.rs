//! Resolution: from a revision and a key to the one record that Git, the store or the remote has for it.

use std::collections::BTreeSet;

use super::Repo;
use super::snapshot::read_record;
use super::types::BoundExport;
use crate::catalog::Bound;
use crate::error::{Error, ErrorKind, Result};
use crate::format::name::ExportName;
use crate::format::params::{ParamValue, Params};
use crate::format::record::{EXPORTS_DIR, ExportKey};
use crate::format::spec::WORKING;
use crate::git::nearest;
use crate::id::CommitId;

/// Most candidates that a hint names.
const MAX_NAMED: usize = 5;

impl Repo {
    /// Resolves a revision to its commit.
    ///
    /// # Errors
    /// `NotFound` with the nearest names.
    pub fn commit_of(&self, rev: &str) -> Result<CommitId> {
        Ok(self.git().resolve(rev)?.commit)
    }

    /// Returns all exports of a revision, sorted by name and parameters.
    pub(super) fn list_local(&self, rev: &str) -> Result<Vec<BoundExport>> {
        if rev == WORKING {
            return Ok(self.working()?.exports);
        }
        let commit = self.commit_of(rev)?;
        Ok(self.bound_at(commit)?.into_iter().map(from_bound).collect())
    }

    /// Returns one export of the work tree.
    ///
    /// # Errors
    /// `NotFound`, listing names or parameter sets that come near.
    pub(super) fn working_export(&self, name: &ExportName, params: &Params) -> Result<BoundExport> {
        let key = ExportKey { name: name.clone(), params_hash: params.hash() };
        match self.working_record(&key)? {
            Some(record) => Ok(BoundExport { record, commit: None }),
            None => Err(self.not_found_at(WORKING, name, params)?),
        }
    }

    /// Returns one export of a commit that was called `rev`.
    ///
    /// # Errors
    /// As [`Repo::working_export`].
    pub(super) fn export_at(
        &self,
        commit: CommitId,
        rev: &str,
        name: &ExportName,
        params: &Params,
    ) -> Result<BoundExport> {
        let key = ExportKey { name: name.clone(), params_hash: params.hash() };
        match self.at_commit(commit, |view, snapshot| view.entry(snapshot, &key))? {
            Some(bound) => Ok(from_bound(bound)),
            None => match self.unreadable_records(commit)?.into_iter().find(|(path, _)| *path == key.record_path()) {
                Some((path, error)) => Err(error.context(format!("`{path}` at `{rev}` cannot be read"))),
                None => Err(self.not_found_at(rev, name, params)?),
            },
        }
    }

    /// Returns the record files of a commit's tree that say nothing that we understand, each with the reason.
    pub(super) fn unreadable_records(&self, commit: CommitId) -> Result<Vec<(String, Error)>> {
        let bound: BTreeSet<String> =
            self.bound_at(commit)?.into_iter().map(|bound| bound.record.key().record_path()).collect();
        let mut unreadable = vec![];
        // Of those that are not bound some were taken away by hand; only these are read.
        for file in self.git().files_under(commit, EXPORTS_DIR)?.into_iter().filter(|it| !bound.contains(&it.path)) {
            if let Err(error) = read_record(self.git(), file.blob, &file.path)? {
                unreadable.push((file.path, error));
            }
        }
        Ok(unreadable)
    }

    fn not_found_at(&self, rev: &str, name: &ExportName, params: &Params) -> Result<Error> {
        let all = self.list_local(rev)?;
        Ok(not_found(rev, name, params, all.iter().map(|export| (&export.record.name, &export.record.params))))
    }
}

pub(super) fn from_bound(bound: Bound) -> BoundExport {
    BoundExport { record: bound.record, commit: Some(bound.commit) }
}

/// Says what is missing and what comes near: a type that was forgotten, other parameter sets, similar names.
pub(super) fn not_found<'a>(
    rev: &str,
    name: &ExportName,
    params: &Params,
    all: impl Iterator<Item = (&'a ExportName, &'a Params)>,
) -> Error {
    let all: Vec<_> = all.collect();
    let sets: Vec<&Params> = all.iter().filter(|(other, _)| *other == name).map(|(_, params)| *params).collect();
    if sets.is_empty() {
        let names: std::collections::BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        let error = Error::new(ErrorKind::NotFound, format!("`{rev}` has no export `{name}`"));
        return match nearest(name.as_str(), names.iter().copied()).as_slice() {
            [] if names.is_empty() => {
                error.with_hint(format!("`{rev}` has no exports at all; list others with `onenb ls REV`"))
            }
            [] => error.with_hint(format!("list what it has with `onenb ls {rev}`")),
            near => error.with_hint(format!("did you mean {}? list all with `onenb ls {rev}`", quoted(near))),
        };
    }
    let message = if params.is_empty() {
        format!("`{name}` at `{rev}` exists only with parameters")
    } else {
        format!("`{name}` at `{rev}` has no parameter set {params}")
    };
    let loose: Vec<&&Params> = sets.iter().filter(|set| loosely_equal(set, params)).collect();
    let hint = if let [one] = loose.as_slice() {
        format!("did you mean {}?", typed(one))
    } else {
        let mut shown: Vec<String> = sets.iter().take(MAX_NAMED).map(|set| set_text(set)).collect();
        if sets.len() > MAX_NAMED {
            shown.push(format!("and {} more", sets.len() - MAX_NAMED));
        }
        format!("it has {}; list all with `onenb ls {rev}`", shown.join(", "))
    };
    Error::new(ErrorKind::NotFound, message).with_hint(hint)
}

fn set_text(params: &Params) -> String {
    if params.is_empty() { "one without parameters".to_owned() } else { params.to_string() }
}

/// Shows `year=1 (int), foo=bar (str)`.
fn typed(params: &Params) -> String {
    let pairs: Vec<_> = params.iter().map(|(key, value)| format!("{key}={value} ({})", value.type_name())).collect();
    if pairs.is_empty() { "no parameters".to_owned() } else { pairs.join(", ") }
}

fn loosely_equal(a: &Params, b: &Params) -> bool {
    let same = |(name, value): (&str, &ParamValue)| b.get(name).is_some_and(|other| value.loosely_equals(other));
    a.iter().count() == b.iter().count() && a.iter().all(same)
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forgotten_type_is_named() {
        let name = ExportName::parse("R").expect("good");
        let stored = Params::from_assignments(["year=1"]).expect("good");
        let asked = Params::from_assignments(["year=1.0"]).expect("good");
        let error = not_found("v1", &name, &asked, [(&name, &stored)].into_iter());
        assert_eq!(error.hint(), Some("did you mean year=1 (int)?"));
    }
}
