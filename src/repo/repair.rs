//! `verify --repair`: stores again what is damaged on one side and sound on the other.
//!
//! - Nothing is overwritten: a sound copy is added, durable like any export or push, and what is read from then on is
//!   that.
//! - What is fetched is verified before it is stored, what is sent before it is named; a repair that stops half way is
//!   completed by the next.

use std::collections::BTreeSet;

use super::Repo;
use super::pull::fetch;
use super::types::{Damaged, ProgressFn, VerifySummary};
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::ExportRecord;
use crate::id::{CommitId, ContentDigest};
use crate::sync::{PushRequest, Remote, SyncError, TagOutcome, TagToPush};

impl Repo {
    /// Verifies the local store and fetches from the remote what is damaged or missing. The summary tells what was
    /// repaired and what is damaged still.
    ///
    /// # Errors
    /// As [`Repo::verify`]; Auth for a remote that is not approved, and what the remote answers besides damage.
    pub fn verify_and_repair(&self, progress: ProgressFn<'_>) -> Result<VerifySummary> {
        let (mut summary, mut broken) = self.survey(progress)?;
        let before = std::mem::take(&mut summary.damaged);
        let mut after = before.clone();
        let mut tried = BTreeSet::new();
        // A directory names its members only when its manifest is sound again.
        loop {
            let fresh: Vec<ContentDigest> = broken.difference(&tried).copied().collect();
            if fresh.is_empty() || !self.fetch_again(&fresh, progress)? {
                break;
            }
            tried.extend(fresh);
            (summary, broken) = self.survey(progress)?;
            after = std::mem::take(&mut summary.damaged);
        }
        Ok(with_repaired(summary, &before, after))
    }

    /// Fetches contents that cannot be read here; `false` if no remote has any of them.
    fn fetch_again(&self, digests: &[ContentDigest], progress: ProgressFn<'_>) -> Result<bool> {
        let Some((remote, _)) = self.remote()? else { return Ok(false) };
        let store = self.store()?;
        store.settle()?;
        let mut found = false;
        for digest in digests {
            let data = match remote.data_with(digest) {
                Err(SyncError::NotCreated) => return Ok(false),
                other => other?,
            };
            let Some(data) = data else { continue };
            match fetch(&remote, &data, &[*digest], store, progress) {
                Ok(_) => found = true,
                // What is damaged there as well stays damaged, and the others are repaired.
                Err(error) if error.kind() == ErrorKind::Damaged => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    /// Verifies the remote, writes records of tags and index segments again that were lost, and sends again what is
    /// damaged or missing there and sound here.
    ///
    /// # Errors
    /// As [`Repo::verify_remote_data`], and what a push can meet besides data that this clone does not have.
    pub fn verify_remote_and_repair(
        &self,
        rev: Option<&str>,
        sample: Option<usize>,
        progress: ProgressFn<'_>,
    ) -> Result<VerifySummary> {
        self.check_writable()?;
        let (remote, storage) = self.remote_to_verify()?;
        let checked = self.check_remote(&remote, &storage.place(), rev, sample)?;
        let before = checked.summary.damaged.clone();
        if before.is_empty() {
            return Ok(checked.summary);
        }
        if remote.exists()? {
            remote.complete_tag_records()?;
            remote.repair_segments()?;
        }
        for rev in &checked.ailing {
            if let Some(tag) = self.tag_to_send(&remote, rev)? {
                self.send_again(&remote, tag, progress)?;
            }
        }
        let mut summary = self.check_remote(&remote, &storage.place(), rev, sample)?.summary;
        let after = std::mem::take(&mut summary.damaged);
        Ok(with_repaired(summary, &before, after))
    }

    /// Returns what a revision of the remote names: by its snapshot, else by Git; `None` if neither tells.
    fn tag_to_send(&self, remote: &Remote, rev: &str) -> Result<Option<TagToPush>> {
        let snapshot = match remote.snapshot_of_tag(rev).map_err(Error::from) {
            Err(error) if error.kind() == ErrorKind::Damaged => None,
            other => other?,
        };
        if let Some((_, snapshot)) = snapshot {
            let named: BTreeSet<ContentDigest> = snapshot.needs().map(|(digest, _)| digest).collect();
            let members = snapshot.data.digests().filter(|digest| !named.contains(*digest));
            let members = members.map(|digest| (*digest, format!("a directory's member {}", digest.short()))).collect();
            let (commit, exports, runs) = (snapshot.commit, snapshot.exports, snapshot.runs);
            return Ok(Some(TagToPush { tag: Some(rev.to_owned()), commit, exports, runs, members, force: true }));
        }
        let tagged = remote.tag_words()?.get(rev).copied().flatten();
        let from_git = || {
            let commit = tagged.map_or_else(|| self.commit_of(rev), Ok)?;
            self.tag_of_git(rev, tagged.is_some(), commit)
        };
        match from_git() {
            // This clone does not know the commit.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    fn tag_of_git(&self, rev: &str, is_tag: bool, commit: CommitId) -> Result<TagToPush> {
        let exports: Vec<ExportRecord> = self.bound_at(commit)?.into_iter().map(|bound| bound.record).collect();
        let runs = self.runs_behind(commit, &exports)?;
        let members = self.members_of(&exports, rev, Some(commit))?.contents;
        Ok(TagToPush { tag: is_tag.then(|| rev.to_owned()), commit, exports, runs, members, force: true })
    }

    fn send_again(&self, remote: &Remote, tag: TagToPush, progress: ProgressFn<'_>) -> Result<()> {
        let request = PushRequest { repo: self.identity(Some(tag.commit))?, tags: vec![tag], dry_run: false };
        match self.send(remote, &request, progress).map(|report| report.outcomes) {
            Ok(outcomes) => {
                let lacking = outcomes.iter().any(|outcome| matches!(outcome, TagOutcome::MissingLocally(_)));
                debug_assert!(lacking || outcomes == [TagOutcome::Pushed], "a forced push does not conflict");
                Ok(())
            }
            // What is damaged here as well stays damaged there.
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// Says of what was damaged before whether it is now.
fn with_repaired(summary: VerifySummary, before: &[Damaged], after: Vec<Damaged>) -> VerifySummary {
    let still: BTreeSet<&str> = after.iter().map(|damaged| damaged.object.as_str()).collect();
    let gone = before.iter().map(|damaged| &damaged.object).filter(|object| !still.contains(object.as_str()));
    let repaired = gone.cloned().collect();
    VerifySummary { damaged: after, repaired, ..summary }
}
