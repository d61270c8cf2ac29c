//! `verify --remote`: whether everything that a revision, or every tag, names can be read from the remote.

use std::collections::{BTreeMap, BTreeSet};

use super::Repo;
use super::read::remote_data_with;
use super::types::{Damaged, VerifySummary};
use crate::error::{Error, ErrorKind, Result};
use crate::format::config::StorageConfig;
use crate::format::snapshot::{Snapshot, needs_of};
use crate::format::tables::DataTables;
use crate::id::{ContentDigest, fresh_ulid};
use crate::sync::{Finding, Remote, verify_contents};

/// The exports and notebooks that have a content, as people write them.
type Labels = BTreeMap<ContentDigest, Vec<String>>;

/// Something whose contents are looked for on the remote.
pub(super) struct Part {
    /// The tag that it is about, if it is a tag of the remote.
    tag: Option<String>,
    /// The tag's snapshot.
    snapshot: Option<Snapshot>,
    data: Option<DataTables>,
    labels: Labels,
    /// Why the snapshot cannot be read.
    broken: Option<String>,
}

/// A tag of the remote that cannot be read in full.
pub(super) struct Ailing {
    pub(super) tag: String,
    /// What it names, as far as that can be read.
    pub(super) snapshot: Option<Snapshot>,
}

/// What a check of the remote came to.
pub(super) struct Checked {
    pub(super) summary: VerifySummary,
    pub(super) ailing: Vec<Ailing>,
    /// Packs that cannot be relied on any more.
    pub(super) packs: BTreeSet<String>,
}

impl Repo {
    /// Reads contents back from the remote: those of a revision, else those of every tag there. With `sample` so many of them,
    /// picked at random, are read, and of the others only whether their packs are there and long enough is asked.
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
        let parts = match rev {
            Some(rev) => self.parts_of_rev(remote, rev)?,
            None => parts_of_tags(remote)?,
        };
        let all: BTreeSet<ContentDigest> = parts.iter().flat_map(|part| part.labels.keys().copied()).collect();
        let read = sample.map(|count| pick(&all, count));
        let is_read = |digest: &ContentDigest| read.as_ref().is_none_or(|picked| picked.contains(digest));
        let summary = VerifySummary { contents: all.len() as u64, ..VerifySummary::default() };
        let mut checked = Checked { summary, ailing: vec![], packs: BTreeSet::new() };
        for Part { tag, snapshot, data, labels, broken } in parts {
            let findings = match &data {
                Some(data) => verify_contents(remote, data, &labels, &is_read)?,
                None => labels.iter().map(|(digest, labels)| Finding::missing(*digest, labels.clone())).collect(),
            };
            let damaged = |object: String, exports| Damaged {
                object: format!("{object} at {place}"),
                exports,
                fix: "from a clone that has the data, `onenb verify --remote --repair`".to_owned(),
            };
            let is_ailing = broken.is_some() || !findings.is_empty();
            checked.summary.damaged.extend(broken.map(|broken| damaged(broken, tag.iter().cloned().collect())));
            for Finding { labels, object, packs, .. } in findings {
                checked.packs.extend(packs);
                checked.summary.damaged.push(damaged(object, labels));
            }
            checked.ailing.extend(tag.filter(|_| is_ailing).map(|tag| Ailing { tag, snapshot }));
        }
        Ok(checked)
    }

    /// Finds what a revision needs, and where the remote has it.
    fn parts_of_rev(&self, remote: &Remote, rev: &str) -> Result<Vec<Part>> {
        let commit = match self.commit_of(rev) {
            Ok(commit) => commit,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(vec![part_of_tag(remote, rev)?.ok_or(error)?]);
            }
            Err(error) => return Err(error),
        };
        if remote.named_tags()?.get(rev) == Some(&commit)
            && let Some(part) = part_of_tag(remote, rev)?
        {
            return Ok(vec![part]);
        }
        let exports: Vec<_> = self.bound_at(commit)?.into_iter().map(|bound| bound.record).collect();
        let runs = self.runs_behind(commit, &exports)?;
        let members = self.members_of(&exports, rev, commit)?;
        let mut left = labels_of(rev, needs_of(&exports, &runs).chain(members));
        let mut parts = vec![];
        while let Some(digest) = left.keys().next().copied() {
            let data = remote_data_with(remote, &digest, Some(commit), rev)?.data;
            // Where one content is, others usually are as well.
            let here = |digest: &ContentDigest| data.as_ref().is_some_and(|data| data.content_len(digest).is_some());
            let (labels, without): (Labels, Labels) =
                left.into_iter().partition(|(other, _)| *other == digest || here(other));
            left = without;
            parts.push(Part { tag: None, snapshot: None, data, labels, broken: None });
        }
        Ok(parts)
    }
}

fn parts_of_tags(remote: &Remote) -> Result<Vec<Part>> {
    let tags = remote.tags()?;
    tags.iter().filter_map(|tag| part_of_tag(remote, &tag.tag).transpose()).collect()
}

fn part_of_tag(remote: &Remote, tag: &str) -> Result<Option<Part>> {
    let part = |labels, snapshot: Option<Snapshot>, broken| {
        let data = snapshot.as_ref().map(|snapshot| snapshot.data.clone());
        Part { tag: Some(tag.to_owned()), snapshot, data, labels, broken }
    };
    match remote.snapshot_of_tag(tag).map_err(Error::from) {
        Ok(None) => Ok(None),
        Ok(Some((_, snapshot))) => Ok(Some(part(labels_of_snapshot(tag, &snapshot), Some(snapshot), None))),
        Err(error) if error.kind() == ErrorKind::Damaged => {
            Ok(Some(part(Labels::new(), None, Some(error.to_string()))))
        }
        Err(error) => Err(error),
    }
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
