//! `verify --remote`: whether everything that a revision names, or that stays there, can be read from the remote.

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
use crate::sync::{Finding, Remote, RootOwner, verify_contents};

/// What mends that which needs no data of this clone.
const REPAIR: &str = "`onenb verify --remote --repair`";

/// The exports and notebooks that have a content, as people write them.
type Labels = BTreeMap<ContentDigest, Vec<String>>;

/// Contents of a revision, and where the remote has them.
struct Part {
    rev: String,
    /// What is to be done about damage; `None` means that it can be sent again.
    remedy: Option<String>,
    /// `None` for contents that it has nowhere.
    data: Option<DataTables>,
    labels: Labels,
}

/// Something that cannot even be looked up.
struct Broken {
    object: String,
    /// The exports that are unreadable for that, or the tag.
    exports: Vec<String>,
    rev: String,
    /// As that of a part.
    remedy: Option<String>,
}

/// What was found.
pub(super) struct Checked {
    pub(super) summary: VerifySummary,
    /// Revisions that are to be sent again.
    pub(super) ailing: BTreeSet<String>,
}

/// What is to be verified.
#[derive(Default)]
struct Subject {
    parts: Vec<Part>,
    broken: Vec<Broken>,
    /// Contents that are read in any case: manifests that could not be understood.
    suspects: BTreeSet<ContentDigest>,
}

impl Subject {
    /// Takes a look at a snapshot; damage there is a finding about what it was needed for, not the end of verifying.
    fn look<T>(
        &mut self,
        rev: &str,
        remedy: Option<&String>,
        needed_for: impl FnOnce() -> Vec<String>,
        found: Result<Option<T>>,
    ) -> Result<Option<T>> {
        match found {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                let (object, remedy) = (error.to_string(), remedy.cloned());
                self.broken.push(Broken { object, exports: needed_for(), rev: rev.to_owned(), remedy });
                Ok(None)
            }
            other => other,
        }
    }

    /// Takes note of a tag that readers do not find though it was pushed.
    fn lacks_record(&mut self, tag: &str) {
        self.broken.push(Broken {
            object: format!("the record of tag `{tag}` is missing, so readers do not find what it names"),
            exports: vec![tag.to_owned()],
            rev: tag.to_owned(),
            remedy: Some(REPAIR.to_owned()),
        });
    }
}

impl Repo {
    /// Reads contents back from the remote: those of a revision, else those of everything that stays there (tags, what
    /// they named before, uploads), with the notebooks and the members of directories. With `sample` so many of them,
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
        let named = rev.map(|rev| format!(" {rev}")).unwrap_or_default();
        let fix = format!("from a clone that has the data, `onenb verify --remote --repair{named}`");
        let Subject { parts, broken, suspects } = match rev {
            Some(rev) => self.parts_of_rev(remote, rev)?,
            None => parts_of_roots(remote)?,
        };
        let mut checked = Checked { summary: VerifySummary::default(), ailing: BTreeSet::new() };
        let damaged = &mut checked.summary.damaged;
        for Broken { object, exports, rev, remedy } in broken {
            if remedy.is_none() {
                checked.ailing.insert(rev);
            }
            let fix = remedy.unwrap_or_else(|| fix.clone());
            damaged.push(Damaged { object: format!("{object} ({place})"), exports, fix });
        }
        if rev.is_none() {
            for (key, error) in remote.bad_segments()? {
                let object = format!("{key} at {place}: {error}");
                damaged.push(Damaged { object, exports: vec![], fix: REPAIR.to_owned() });
            }
        }
        let all: BTreeSet<ContentDigest> = parts.iter().flat_map(|part| part.labels.keys().copied()).collect();
        let read = sample.map(|count| pick(&all, count));
        checked.summary.contents = all.len() as u64;
        for Part { rev, remedy, data, labels } in &parts {
            let is_read = |digest: &ContentDigest| {
                suspects.contains(digest) || read.as_ref().is_none_or(|picked| picked.contains(digest))
            };
            let findings = match data {
                Some(data) => verify_contents(remote, data, labels, &is_read)?,
                None => labels.iter().map(|(digest, labels)| Finding::missing(*digest, labels.clone())).collect(),
            };
            for finding in findings {
                if remedy.is_none() {
                    checked.ailing.insert(rev.clone());
                }
                damaged.push(Damaged {
                    object: format!("{} at {place}", finding.object),
                    exports: finding.labels,
                    fix: remedy.clone().unwrap_or_else(|| fix.clone()),
                });
            }
        }
        if let Some(rev) = rev.filter(|_| !checked.ailing.is_empty())
            && let Some(tag) = self.unpushed_tag(remote, rev)?
        {
            // Nothing is damaged that was never there, and a repair would upload the commit without its name.
            checked.ailing.clear();
            checked.summary.damaged.iter_mut().for_each(|damaged| damaged.fix = format!("`onenb push {tag}`"));
        }
        Ok(checked)
    }

    /// Returns the tag of Git that a revision is, if the remote does not have it.
    fn unpushed_tag<'a>(&self, remote: &Remote, rev: &'a str) -> Result<Option<&'a str>> {
        let tag = rev.strip_prefix("refs/tags/").unwrap_or(rev);
        if self.git().tag_commit(tag)?.is_none() {
            return Ok(None);
        }
        let named = unless_never_pushed(remote.tag_words().map(|words| words.get(tag).copied().flatten()))?;
        Ok(named.is_none().then_some(tag))
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
        let nameless = matches!(by_tag, Ok(None));
        if let Some(snapshot) = subject.look(rev, None, || labels(&left), by_tag)? {
            subject.parts.push(take(rev, &mut left, snapshot.data));
        }
        if let Some(commit) = commit.filter(|_| subject.broken.is_empty() && !left.is_empty()) {
            let by_commit = unless_never_pushed(remote.snapshot_of_commit(&commit));
            if let Some(snapshot) = subject.look(rev, None, || labels(&left), by_commit)? {
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
        subject.parts.push(Part { rev: rev.to_owned(), remedy: None, data: None, labels: nowhere });
        let word = || unless_never_pushed(remote.tag_words().map(|words| words.get(rev).copied().flatten()));
        if nameless && word()?.is_some() {
            subject.lacks_record(rev);
        }
        Ok(subject)
    }
}

/// Takes the contents that some tables have: where one is, others usually are as well.
fn take(rev: &str, left: &mut Labels, data: DataTables) -> Part {
    let (labels, rest) = std::mem::take(left).into_iter().partition(|(digest, _)| data.content_len(digest).is_some());
    *left = rest;
    Part { rev: rev.to_owned(), remedy: None, data: Some(data), labels }
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

/// Finds everything that stays on a remote: what garbage collection must be able to read.
fn parts_of_roots(remote: &Remote) -> Result<Subject> {
    let mut subject = Subject::default();
    for tag in remote.tags_without_record()? {
        subject.lacks_record(&tag);
    }
    for root in remote.roots()? {
        let (rev, remedy) = match &root.owner {
            RootOwner::Tag(tag) => (tag.clone(), None),
            // What no tag names any more cannot be sent again.
            RootOwner::Before(tag) => (format!("{tag} before, at {}", root.commit.short()), Some(root.owner.remedy())),
            RootOwner::Upload(commit) => (commit.to_string(), None),
        };
        let by_name = match &root.owner {
            RootOwner::Tag(tag) => remote.snapshot_of_tag(tag).map(|found| found.map(|(_, snapshot)| snapshot)),
            _ => Ok(None),
        };
        let found = match by_name {
            Ok(None) => remote.snapshot_of_root(&root),
            other => other,
        };
        let needed_for = || vec![rev.clone()];
        if let Some(snapshot) = subject.look(&rev, remedy.as_ref(), needed_for, found.map_err(Error::from))? {
            subject.parts.push(Part { remedy, ..part_of_snapshot(&rev, snapshot) });
        }
    }
    Ok(subject)
}

fn part_of_snapshot(rev: &str, snapshot: Snapshot) -> Part {
    let labels = labels_of_snapshot(rev, &snapshot);
    Part { rev: rev.to_owned(), remedy: None, data: Some(snapshot.data), labels }
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
