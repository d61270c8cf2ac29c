//! `verify --remote`: whether everything that a revision, or every tag, names can be read from the remote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Repo;
use super::read::{remote_rev, unless_never_pushed};
use super::types::{BoundExport, Damaged, VerifySummary};
use crate::error::{Error, ErrorKind, Result};
use crate::format::config::StorageConfig;
use crate::format::snapshot::{Snapshot, needs_of};
use crate::format::spec::WORKING;
use crate::format::tables::DataTables;
use crate::id::{ContentDigest, fresh_ulid};
use crate::sync::{Finding, Remote, verify_contents};

/// The exports and notebooks that have a content, as people write them.
type Labels = BTreeMap<ContentDigest, Vec<String>>;

/// Contents of a revision, and where the remote has them.
struct Part {
    rev: String,
    /// `None` for contents that it has nowhere.
    data: Option<DataTables>,
    labels: Labels,
}

/// What was found.
pub(super) struct Checked {
    pub(super) summary: VerifySummary,
    /// Revisions that something is wrong with.
    pub(super) ailing: BTreeSet<String>,
}

/// What is to be verified.
#[derive(Default)]
struct Subject {
    parts: Vec<Part>,
    /// Revisions that cannot even be looked up, because a snapshot is damaged: what is needed of them, and the reason.
    broken: Vec<(String, Vec<String>, Error)>,
    /// Contents that are read in any case: manifests that could not be understood.
    suspects: BTreeSet<ContentDigest>,
}

impl Subject {
    /// Takes a look at a snapshot; damage there is a finding about what it was needed for, not the end of verifying.
    fn look<T>(
        &mut self,
        rev: &str,
        needed_for: impl FnOnce() -> Vec<String>,
        found: Result<Option<T>>,
    ) -> Result<Option<T>> {
        match found {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.broken.push((rev.to_owned(), needed_for(), error));
                Ok(None)
            }
            other => other,
        }
    }
}

impl Repo {
    /// Reads contents back from the remote: those of a revision, else those of every tag there, with the notebooks and the
    /// members of directories. With `sample` so many of them, picked at random, are read, and of the others only whether their
    /// packs are there and long enough is asked.
    ///
    /// # Errors
    /// `NotFound` for an unknown revision, `Failed` without a remote, Auth for one that is not approved.
    pub fn verify_remote_data(&self, rev: Option<&str>, sample: Option<usize>) -> Result<VerifySummary> {
        let (remote, storage) = self.remote_to_verify()?;
        Ok(self.check_remote(&remote, &storage.place(), rev, sample)?.summary)
    }

    pub(super) fn remote_to_verify(&self) -> Result<(Remote, StorageConfig)> {
        self.remote()?.ok_or_else(|| {
            Error::new(ErrorKind::Failed, "storage is local: there is no remote to verify")
                .with_hint("verify the local store with `onenb verify`")
        })
    }

    pub(super) fn check_remote(
        &self,
        remote: &Remote,
        place: &str,
        rev: Option<&str>,
        sample: Option<usize>,
    ) -> Result<Checked> {
        let named = rev.map(|rev| format!(" {rev}")).unwrap_or_default();
        let fix = format!("from a clone that has the data, `onenb verify --remote --repair{named}`");
        let Subject { parts, broken, suspects } = match rev {
            Some(rev) => self.parts_of_rev(remote, rev)?,
            None => parts_of_tags(remote)?,
        };
        let mut checked = Checked { summary: VerifySummary::default(), ailing: BTreeSet::new() };
        let damaged = &mut checked.summary.damaged;
        for (rev, exports, error) in broken {
            damaged.push(Damaged { object: format!("{error} ({place})"), exports, fix: fix.clone() });
            checked.ailing.insert(rev);
        }
        if rev.is_none() {
            let fix = "from a clone that has the data, `onenb push --all --force`, then `onenb gc --remote`";
            for (key, error) in remote.bad_segments()? {
                let object = format!("{key} at {place}: {error}");
                damaged.push(Damaged { object, exports: vec![], fix: fix.to_owned() });
            }
        }
        let all: BTreeSet<ContentDigest> = parts.iter().flat_map(|part| part.labels.keys().copied()).collect();
        let read = sample.map(|count| pick(&all, count));
        checked.summary.contents = all.len() as u64;
        for Part { rev, data, labels } in &parts {
            let is_read = |digest: &ContentDigest| {
                suspects.contains(digest) || read.as_ref().is_none_or(|picked| picked.contains(digest))
            };
            let findings = match data {
                Some(data) => verify_contents(remote, data, labels, &is_read)?,
                None => labels.iter().map(|(digest, labels)| Finding::missing(*digest, labels.clone())).collect(),
            };
            for finding in findings {
                checked.ailing.insert(rev.clone());
                damaged.push(Damaged {
                    object: format!("{} at {place}", finding.object),
                    exports: finding.labels,
                    fix: fix.clone(),
                });
            }
        }
        Ok(checked)
    }

    /// Finds what a revision needs, and where the remote has it.
    fn parts_of_rev(&self, remote: &Remote, rev: &str) -> Result<Subject> {
        let mut subject = Subject::default();
        let exports = match self.list_local(rev) {
            Err(error) if error.kind() == ErrorKind::NotFound => match remote_rev(&remote.uncached(), rev) {
                Ok(snapshot) => {
                    subject.parts.push(part_of_snapshot(rev, Arc::unwrap_or_clone(snapshot)));
                    return Ok(subject);
                }
                Err(there) if there.kind() == ErrorKind::NotFound => return Err(error),
                Err(there) => return Err(there),
            },
            other => other?,
        };
        let commit = if rev == WORKING { None } else { Some(self.commit_of(rev)?) };
        let records: Vec<_> = exports.iter().map(|export| export.record.clone()).collect();
        let runs = commit.map(|commit| self.runs_behind(commit, &records)).transpose()?.unwrap_or_default();
        let members = self.members_of(&records, rev, commit)?;
        let mut left = labels_of(rev, needs_of(&records, &runs).chain(members.contents));
        subject.suspects = members.broken.iter().map(|broken| broken.digest).collect();
        // As a read does: by tag, by commit, by the index.
        let labels = |left: &Labels| left.values().flatten().cloned().collect::<Vec<_>>();
        let by_tag = unless_never_pushed(remote.snapshot_of_tag(rev)).map(|found| found.map(|(_, snapshot)| snapshot));
        if let Some(snapshot) = subject.look(rev, || labels(&left), by_tag)? {
            subject.parts.push(take(rev, &mut left, snapshot.data));
        }
        if let Some(commit) = commit.filter(|_| subject.broken.is_empty() && !left.is_empty()) {
            let by_commit = unless_never_pushed(remote.snapshot_of_commit(&commit));
            if let Some(snapshot) = subject.look(rev, || labels(&left), by_commit)? {
                subject.parts.push(take(rev, &mut left, snapshot.data));
            }
        }
        if !subject.broken.is_empty() {
            return Ok(subject);
        }
        let mut nowhere = Labels::new();
        while let Some(digest) = left.keys().next().copied() {
            match data_of(remote, &digest, &exports)? {
                Some(data) => subject.parts.push(take(rev, &mut left, data)),
                None => nowhere.extend(left.remove_entry(&digest)),
            }
        }
        subject.parts.push(Part { rev: rev.to_owned(), data: None, labels: nowhere });
        Ok(subject)
    }
}

/// Takes the contents that some tables have: where one is, others usually are as well.
fn take(rev: &str, left: &mut Labels, data: DataTables) -> Part {
    let (labels, rest) = std::mem::take(left).into_iter().partition(|(digest, _)| data.content_len(digest).is_some());
    *left = rest;
    Part { rev: rev.to_owned(), data: Some(data), labels }
}

/// Finds a content by the index, else by the commit that bound it, as a read does.
fn data_of(remote: &Remote, digest: &ContentDigest, exports: &[BoundExport]) -> Result<Option<DataTables>> {
    if let Some(data) = unless_never_pushed(remote.data_with(digest))? {
        return Ok(Some(data));
    }
    let bound = exports.iter().find(|export| export.record.digest == *digest).and_then(|export| export.commit);
    let Some(commit) = bound else { return Ok(None) };
    let snapshot = unless_never_pushed(remote.snapshot_of_commit(&commit))?;
    Ok(snapshot.map(|snapshot| snapshot.data).filter(|data| data.content_len(digest).is_some()))
}

fn parts_of_tags(remote: &Remote) -> Result<Subject> {
    let mut subject = Subject::default();
    for tag in remote.tags()? {
        let found = remote.snapshot_of_tag(&tag.tag).map_err(Error::from);
        if let Some((_, snapshot)) = subject.look(&tag.tag, || vec![tag.tag.clone()], found)? {
            subject.parts.push(part_of_snapshot(&tag.tag, snapshot));
        }
    }
    Ok(subject)
}

fn part_of_snapshot(rev: &str, snapshot: Snapshot) -> Part {
    let labels = labels_of_snapshot(rev, &snapshot);
    Part { rev: rev.to_owned(), data: Some(snapshot.data), labels }
}

/// Members of directories are named by manifests, which are contents themselves.
fn labels_of_snapshot(rev: &str, snapshot: &Snapshot) -> Labels {
    let mut labels = labels_of(rev, snapshot.needs());
    for digest in snapshot.data.digests() {
        labels.entry(*digest).or_insert_with(|| vec![format!("{rev}: a directory's member {}", digest.short())]);
    }
    labels
}

fn labels_of(rev: &str, needs: impl Iterator<Item = (ContentDigest, String)>) -> Labels {
    let mut labels = Labels::new();
    needs.for_each(|(digest, label)| labels.entry(digest).or_default().push(format!("{rev}:{label}")));
    labels
}

/// Picks contents at random, others each time.
fn pick(all: &BTreeSet<ContentDigest>, count: usize) -> BTreeSet<ContentDigest> {
    let salt = fresh_ulid().to_string();
    let mut shuffled: Vec<_> = all.iter().copied().collect();
    shuffled.sort_by_cached_key(|digest| ContentDigest::of(format!("{salt}{digest}").as_bytes()));
    shuffled.into_iter().take(count).collect()
}
