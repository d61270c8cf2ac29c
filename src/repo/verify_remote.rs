//! `verify --remote`: whether everything that a revision, or every tag, names can be read from the remote.

use std::collections::{BTreeMap, BTreeSet};

use super::Repo;
use super::read::remote_data_with;
use super::types::{Damaged, VerifySummary};
use crate::error::{Error, ErrorKind, Result};
use crate::format::snapshot::{Snapshot, needs_of};
use crate::format::tables::DataTables;
use crate::id::{ContentDigest, fresh_ulid};
use crate::sync::{Finding, Remote, verify_contents};

/// The exports and notebooks that have a content, as people write them.
type Labels = BTreeMap<ContentDigest, Vec<String>>;

impl Repo {
    /// Reads contents back from the remote: those of a revision, else those of every tag there. With `sample` so many of them,
    /// picked at random, are read, and of the others only whether their packs are there and long enough is asked.
    ///
    /// # Errors
    /// `NotFound` for an unknown revision, `Failed` without a remote, Auth for one that is not approved.
    pub fn verify_remote_data(&self, rev: Option<&str>, sample: Option<usize>) -> Result<VerifySummary> {
        let Some((remote, storage)) = self.remote()? else {
            return Err(Error::new(ErrorKind::Failed, "storage is local: there is no remote to verify")
                .with_hint("verify the local store with `onenb verify`"));
        };
        let parts = match rev {
            Some(rev) => self.parts_of_rev(&remote, rev)?,
            None => parts_of_tags(&remote)?,
        };
        let all: BTreeSet<ContentDigest> = parts.iter().flat_map(|(_, labels)| labels.keys().copied()).collect();
        let read = sample.map(|count| pick(&all, count));
        let mut summary = VerifySummary { contents: all.len() as u64, ..VerifySummary::default() };
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
                    fix: "from a clone that has the data, `onenb push --force TAG`".to_owned(),
                });
            }
        }
        Ok(summary)
    }

    /// Finds what a revision of this clone needs, and where the remote has it.
    fn parts_of_rev(&self, remote: &Remote, rev: &str) -> Result<Vec<(Option<DataTables>, Labels)>> {
        let commit = match self.commit_of(rev) {
            Ok(commit) => commit,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let Some((_, snapshot)) = remote.snapshot_of_tag(rev)? else { return Err(error) };
                let labels = labels_of_snapshot(rev, &snapshot);
                return Ok(vec![(Some(snapshot.data), labels)]);
            }
            Err(error) => return Err(error),
        };
        let exports: Vec<_> = self.bound_at(commit)?.into_iter().map(|bound| bound.record).collect();
        let runs = self.runs_behind(commit, &exports)?;
        let members = self.members_of(&exports, rev, commit)?;
        let mut left = labels_of(rev, needs_of(&exports, &runs).chain(members));
        let mut parts = vec![];
        while let Some(digest) = left.keys().next().copied() {
            let data = remote_data_with(remote, &digest, Some(commit), rev)?.data;
            // Where one content is, others usually are as well.
            let here = |digest: &ContentDigest| data.as_ref().is_some_and(|data| data.content_len(digest).is_some());
            let (with, without): (Labels, Labels) =
                left.into_iter().partition(|(other, _)| *other == digest || here(other));
            left = without;
            parts.push((data, with));
        }
        Ok(parts)
    }
}

fn parts_of_tags(remote: &Remote) -> Result<Vec<(Option<DataTables>, Labels)>> {
    let mut parts = vec![];
    for tag in remote.tags()? {
        if let Some((_, snapshot)) = remote.snapshot_of_tag(&tag.tag)? {
            let labels = labels_of_snapshot(&tag.tag, &snapshot);
            parts.push((Some(snapshot.data), labels));
        }
    }
    Ok(parts)
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
