//! `verify --remote`: whether everything that a revision, or every tag, names can be read from the remote.

use std::collections::{BTreeMap, BTreeSet};

use super::Repo;
use super::read::{remote_rev, unless_never_pushed};
use super::types::{BoundExport, Damaged, VerifySummary};
use crate::error::{Error, ErrorKind, Result};
use crate::format::snapshot::{Snapshot, needs_of};
use crate::format::spec::WORKING;
use crate::format::tables::DataTables;
use crate::id::{ContentDigest, fresh_ulid};
use crate::sync::{Finding, Remote, verify_contents};

/// The exports and notebooks that have a content, as people write them.
type Labels = BTreeMap<ContentDigest, Vec<String>>;

/// Contents, and where the remote has them; `None` for those that it has nowhere.
type Part = (Option<DataTables>, Labels);

impl Repo {
    /// Reads contents back from the remote: those of a revision, else those of every tag there, with the notebooks and the
    /// members of directories. With `sample` so many of them, picked at random, are read, and of the others only whether their
    /// packs are there and long enough is asked.
    ///
    /// # Errors
    /// `NotFound` for an unknown revision, `Failed` without a remote, Auth for one that is not approved.
    pub fn verify_remote_data(&self, rev: Option<&str>, sample: Option<usize>) -> Result<VerifySummary> {
        let Some((remote, storage)) = self.remote()? else {
            return Err(Error::new(ErrorKind::Failed, "storage is local: there is no remote to verify")
                .with_hint("verify the local store with `onenb verify`"));
        };
        let fix = format!("from a clone that has the data, `onenb push --force {}`", rev.unwrap_or("TAG"));
        let parts = match rev {
            Some(rev) => self.parts_of_rev(&remote, rev)?,
            None => parts_of_tags(&remote)?,
        };
        let mut summary = VerifySummary::default();
        if rev.is_none() {
            let fix = "from a clone that has the data, `onenb push --all --force`, then `onenb gc --remote`";
            for (key, error) in remote.bad_segments()? {
                let object = format!("{key} at {}: {error}", storage.place());
                summary.damaged.push(Damaged { object, exports: vec![], fix: fix.to_owned() });
            }
        }
        let all: BTreeSet<ContentDigest> = parts.iter().flat_map(|(_, labels)| labels.keys().copied()).collect();
        let read = sample.map(|count| pick(&all, count));
        summary.contents = all.len() as u64;
        for (data, labels) in &parts {
            let is_read = |digest: &ContentDigest| read.as_ref().is_none_or(|picked| picked.contains(digest));
            let findings = match data {
                Some(data) => verify_contents(&remote, data, labels, &is_read)?,
                None => labels.iter().map(|(digest, labels)| Finding::missing(*digest, labels.clone())).collect(),
            };
            for finding in findings {
                summary.damaged.push(Damaged {
                    object: format!("{} at {}", finding.object, storage.place()),
                    exports: finding.labels,
                    fix: fix.clone(),
                });
            }
        }
        Ok(summary)
    }

    /// Finds what a revision needs, and where the remote has it.
    fn parts_of_rev(&self, remote: &Remote, rev: &str) -> Result<Vec<Part>> {
        let exports = match self.list_local(rev) {
            Err(error) if error.kind() == ErrorKind::NotFound => match remote_rev(remote, rev) {
                Ok(snapshot) => return Ok(vec![part_of_snapshot(rev, snapshot)]),
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
        let mut parts: Vec<Part> = vec![];
        let mut take = |left: &mut Labels, data: DataTables| {
            // Where one content is, others usually are as well.
            let (here, rest) =
                std::mem::take(left).into_iter().partition(|(digest, _)| data.content_len(digest).is_some());
            *left = rest;
            parts.push((Some(data), here));
        };
        if let Some((_, snapshot)) = unless_never_pushed(remote.snapshot_of_tag(rev))? {
            take(&mut left, snapshot.data);
        }
        if let Some(commit) = commit.filter(|_| !left.is_empty())
            && let Some(snapshot) = unless_never_pushed(remote.snapshot_of_commit(&commit))?
        {
            take(&mut left, snapshot.data);
        }
        let mut nowhere = Labels::new();
        while let Some(digest) = left.keys().next().copied() {
            match data_of(remote, &digest, &exports)? {
                Some(data) => take(&mut left, data),
                None => nowhere.extend(left.remove_entry(&digest)),
            }
        }
        parts.push((None, nowhere));
        Ok(parts)
    }
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

fn parts_of_tags(remote: &Remote) -> Result<Vec<Part>> {
    let mut parts = vec![];
    for tag in remote.tags()? {
        if let Some((_, snapshot)) = remote.snapshot_of_tag(&tag.tag)? {
            parts.push(part_of_snapshot(&tag.tag, snapshot));
        }
    }
    Ok(parts)
}

fn part_of_snapshot(rev: &str, snapshot: Snapshot) -> Part {
    let labels = labels_of_snapshot(rev, &snapshot);
    (Some(snapshot.data), labels)
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
