//! `push`: puts tags' data on the remote, the tag last. Never runs `git push`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::Repo;
use super::directory::read_manifest;
use super::facts::now_us;
use super::types::{Progress, ProgressFn, PushOptions, PushOutcome, PushSummary};
use crate::backend::RemoteUrl;
use crate::error::{Error, ErrorKind, Result};
use crate::format::binding::PushLog;
use crate::format::recipe::{RecipeBody, RecipeNode};
use crate::format::record::{ExportKey, ExportRecord, MAX_RECORD_LEN};
use crate::format::remote_log::RepoIdentity;
use crate::format::run::{RUNS_DIR, RunExport, RunRecord};
use crate::id::{ChunkId, CommitId, ContentDigest};
use crate::store::{ObjectKind, Store};
use crate::sync::{self, ChunkSource, LocalContent, PushReport, PushRequest, Remote, SyncError, TagOutcome, TagToPush};

/// Confirmed pushes whose contents are looked at to estimate what another one sends.
const MAX_PUSHES_READ: usize = 16;

impl Repo {
    /// Pushes tags, branches or commits.
    ///
    /// # Errors
    /// `NotFound` for an unknown revision, Conflict for a tag that the remote has for another commit, `Failed` for runs
    /// with parameters that their exports do not declare, Auth for a remote that is not approved.
    pub fn push(&self, options: &PushOptions, progress: ProgressFn<'_>) -> Result<PushSummary> {
        if self.storage()?.is_none() {
            return Ok(PushSummary::default());
        }
        if let Some(tag) = &options.delete {
            return self.delete_remote_tag(tag, options.dry_run);
        }
        if let Some(tag) = &options.forget_history {
            return self.forget_remote_history(tag, options.dry_run);
        }
        self.check_writable()?;
        let commits = self.commits_to_push(options)?;
        self.push_commits(&commits, options, progress)
    }

    fn commits_to_push(&self, options: &PushOptions) -> Result<BTreeMap<String, CommitId>> {
        if !options.revs.is_empty() {
            return options.revs.iter().map(|rev| Ok((rev.clone(), self.commit_of(rev)?))).collect();
        }
        let tags = self.git().tags()?;
        if options.all {
            return Ok(tags.into_iter().collect());
        }
        let Some((remote, storage)) = self.remote()? else { return Ok(BTreeMap::new()) };
        let there = match remote.named_tags() {
            Err(SyncError::NotCreated) => BTreeMap::new(),
            other => other?,
        };
        self.correct_push_log(&tags, &there, &storage.place())?;
        let mut wanted = BTreeMap::new();
        for (tag, commit) in tags {
            let known = there.get(&tag) == Some(&commit)
                && self.facts(|view| view.is_confirmed(&tag, &commit, &storage.place()))?;
            if !known && !self.bound_at(commit)?.is_empty() {
                wanted.insert(tag, commit);
            }
        }
        Ok(wanted)
    }

    /// Writes down where the remote says something else than this machine last heard: tags deleted there, moved there, or
    /// lost with the whole place.
    fn correct_push_log(
        &self,
        tags: &[(String, CommitId)],
        there: &BTreeMap<String, CommitId>,
        place: &str,
    ) -> Result<()> {
        let heard: BTreeMap<String, Option<CommitId>> =
            self.facts(|view| view.pushes_of(place))?.into_iter().map(|push| (push.tag, push.commit)).collect();
        let mut news = BTreeMap::new();
        for (tag, commit) in &heard {
            let now = there.get(tag).copied();
            if now != *commit {
                news.insert(tag, now);
            }
        }
        for (tag, local) in tags {
            // What agrees with Git is written down once a push has seen to it that the tag is complete.
            if let Some(now) = there.get(tag).filter(|now| *now != local && !heard.contains_key(tag)) {
                news.insert(tag, Some(*now));
            }
        }
        let objects: Vec<_> = news.into_iter().map(|(tag, now)| push_word(tag, now, place)).collect();
        if objects.is_empty() { Ok(()) } else { self.remember(&objects) }
    }

    /// Writes down what a remote has for a tag, unless that is what was last heard.
    pub(super) fn note_remote_tag(&self, tag: &str, commit: Option<CommitId>, place: &str) -> Result<()> {
        let pushes = self.facts(|view| view.pushes_of(place))?;
        if pushes.iter().find(|push| push.tag == tag).map_or(commit.is_none(), |push| push.commit == commit) {
            return Ok(());
        }
        self.remember(&[push_word(tag, commit, place)])
    }

    /// Pushes revisions that are resolved already. Named tags become readable by name, other revisions by commit.
    pub(super) fn push_commits(
        &self,
        commits: &BTreeMap<String, CommitId>,
        options: &PushOptions,
        progress: ProgressFn<'_>,
    ) -> Result<PushSummary> {
        let Some((remote, storage)) = self.remote()? else { return Ok(PushSummary::default()) };
        let mut summary = PushSummary { remote: storage.place(), ..PushSummary::default() };
        let confirmed =
            |tag: &str, commit: &CommitId| self.facts(|view| view.is_confirmed(tag, commit, &storage.place()));
        let named = !options.revs.is_empty();
        let (mut tags, mut refused) = (Vec::new(), Vec::new());
        for (rev, commit) in commits {
            let tag = self.tag_name(rev)?;
            if let Some(tag) = &tag
                && !options.force
                && confirmed(tag, commit)?
                && remote.is_current(tag, commit)?
            {
                summary.revs.push((rev.clone(), PushOutcome::AlreadyThere));
                continue;
            }
            let exports: Vec<ExportRecord> = self.bound_at(*commit)?.into_iter().map(|bound| bound.record).collect();
            let runs = self.runs_behind(*commit, &exports)?;
            if let Err(error) = check_declared(rev, &runs) {
                refused.push((rev.clone(), error));
                continue;
            }
            summary.exports += exports.len();
            self.warn_of_newer(rev, &exports, &mut summary.warnings)?;
            let members = self.members_of(&exports, rev, *commit)?;
            tags.push((rev.clone(), TagToPush { tag, commit: *commit, exports, runs, members, force: options.force }));
        }
        if tags.is_empty() {
            summary.requests = remote.requests();
            return settle(summary, refused, named);
        }
        let request = PushRequest {
            repo: RepoIdentity { name: self.name().to_owned(), root: self.git().root_commit()? },
            tags: tags.iter().map(|(_, tag)| tag.clone()).collect(),
            distrusted: BTreeSet::new(),
            dry_run: options.dry_run,
        };
        // A directory costs nothing and is plain to see; a bucket is made only when the user says so.
        if !options.dry_run && (options.create || RemoteUrl::parse(&storage.url)?.is_directory()) {
            remote.create()?;
        }
        let report = self.send(&remote, &request, progress)?;
        summary.packs = report.packs;
        summary.bytes_sent = report.bytes_sent;
        // A dry run reports more than it made.
        summary.requests = report.requests.max(remote.requests());
        for ((rev, tag), outcome) in tags.iter().zip(report.outcomes) {
            if let (Some(name), Some(there), false) = (&tag.tag, commit_there(&outcome, tag.commit), options.dry_run) {
                self.note_remote_tag(name, Some(there), &storage.place())?;
            }
            let outcome = match outcome {
                TagOutcome::Pushed => PushOutcome::Pushed,
                TagOutcome::AlreadyThere => PushOutcome::AlreadyThere,
                TagOutcome::MissingLocally(missing) if named => {
                    refused.push((rev.clone(), missing_data(rev, &missing)));
                    continue;
                }
                TagOutcome::MissingLocally(missing) => PushOutcome::Skipped(missing),
                TagOutcome::Conflict { remote_commit } => {
                    refused.push((rev.clone(), conflict(rev, tag.commit, remote_commit)));
                    continue;
                }
            };
            summary.revs.push((rev.clone(), outcome));
        }
        // The others are on the remote by now, and written down.
        settle(summary, refused, named)
    }

    pub(super) fn send(&self, remote: &Remote, request: &PushRequest, progress: ProgressFn<'_>) -> Result<PushReport> {
        let source = StoreSource { store: self.store()?, interrupted: Cell::new(false) };
        let mut report_progress = |at: sync::Progress| {
            let at = Progress { doing: "pushing", done: at.done_bytes, total: Some(at.total_bytes) };
            source.interrupted.set(source.interrupted.get() || !progress(at));
        };
        sync::push(remote, request, &source, &mut report_progress)
    }

    /// Returns the tag that a revision names, without `refs/tags/`; `None` for branches and commits.
    fn tag_name(&self, rev: &str) -> Result<Option<String>> {
        let name = rev.strip_prefix("refs/tags/").unwrap_or(rev);
        Ok(self.git().tag_commit(name)?.map(|_| name.to_owned()))
    }

    fn delete_remote_tag(&self, tag: &str, dry_run: bool) -> Result<PushSummary> {
        let Some((remote, storage)) = self.remote()? else { return Ok(PushSummary::default()) };
        if dry_run {
            let warnings = vec![format!("would delete `{tag}` on the remote")];
            return Ok(PushSummary { remote: storage.place(), warnings, ..PushSummary::default() });
        }
        remote.delete_tag(tag)?;
        self.note_remote_tag(tag, None, &storage.place())?;
        Ok(PushSummary {
            remote: storage.place(),
            warnings: vec![format!("deleted `{tag}` on the remote")],
            ..PushSummary::default()
        })
    }

    fn forget_remote_history(&self, tag: &str, dry_run: bool) -> Result<PushSummary> {
        let Some((remote, storage)) = self.remote()? else { return Ok(PushSummary::default()) };
        if !dry_run {
            remote.forget_history(tag)?;
        }
        Ok(PushSummary { remote: storage.place(), ..PushSummary::default() })
    }

    /// Returns the runs that made what a commit has: the run records of its tree whose exports it has as they say.
    pub(super) fn runs_behind(&self, commit: CommitId, exports: &[ExportRecord]) -> Result<Vec<RunRecord>> {
        let have: BTreeSet<(ExportKey, ContentDigest)> =
            exports.iter().map(|record| (record.key(), record.digest)).collect();
        let key = |export: &RunExport| ExportKey { name: export.name.clone(), params_hash: export.params.hash() };
        let mut runs = Vec::new();
        for file in self.git().files_under(commit, RUNS_DIR)? {
            // A damaged record is no run.
            let Ok(bytes) = self.git().read_blob(file.blob, MAX_RECORD_LEN) else { continue };
            let Ok(run) = RunRecord::from_bytes(&bytes) else { continue };
            // A run that exported nothing was recorded for its own sake.
            let made = run.exports.is_empty() || run.exports.iter().any(|it| have.contains(&(key(it), it.digest)));
            if made && run.record_path() == file.path {
                runs.push(run);
            }
        }
        runs.sort_by_cached_key(|run| (run.path.clone(), run.params.hash()));
        Ok(runs)
    }

    /// Returns the contents that the directories among some exports name. A manifest that nobody has is reported as missing
    /// itself.
    pub(super) fn members_of(
        &self,
        exports: &[ExportRecord],
        rev: &str,
        commit: CommitId,
    ) -> Result<Vec<(ContentDigest, String)>> {
        let mut members = vec![];
        for record in exports.iter().filter(|record| record.suffix.is_directory()) {
            let Ok(reader) = self.read_content(record, Some(commit), rev) else { continue };
            let manifest = read_manifest(reader)?;
            let label = record.label();
            members.extend(manifest.contents().map(|(path, digest)| (digest, format!("{label}/{path}"))));
        }
        Ok(members)
    }

    fn warn_of_newer(&self, rev: &str, exports: &[ExportRecord], warnings: &mut Vec<String>) -> Result<()> {
        for export in exports {
            if let Ok(Some(now)) = self.working_record(&export.key())
                && now.digest != export.digest
                && Some(self.commit_of(rev)?) == self.git().head()?
            {
                warnings.push(format!("`{}` was re-exported after {rev} and is not in it", export.label()));
            }
        }
        Ok(())
    }

    /// Returns the contents of the tags that the remote confirmed last: nearly all, since tags inherit from one another.
    pub(super) fn pushed_contents(&self) -> Result<BTreeSet<ContentDigest>> {
        let Some(storage) = self.storage()? else { return Ok(BTreeSet::new()) };
        let mut contents = BTreeSet::new();
        let pushes = self.facts(|view| view.pushes_of(&storage.place()))?;
        let mut seen = BTreeSet::new();
        let commits = pushes.into_iter().rev().filter_map(|push| push.commit).filter(|commit| seen.insert(*commit));
        for commit in commits.take(MAX_PUSHES_READ) {
            // A confirmed commit may be gone from Git since.
            if let Ok(bound) = self.bound_at(commit) {
                contents.extend(bound.into_iter().map(|bound| bound.record.digest));
            }
        }
        Ok(contents)
    }

    /// Returns the raw length of everything that these tags have and no pushed one; an upper bound of what a push sends.
    pub(super) fn raw_len_of(&self, tags: &[(String, CommitId)]) -> Result<u64> {
        let mut contents = std::collections::BTreeMap::new();
        for (_, commit) in tags {
            for bound in self.bound_at(*commit)? {
                contents.insert(bound.record.digest, bound.record.size);
            }
        }
        for known in self.pushed_contents()? {
            contents.remove(&known);
        }
        // Sizes come from records, which may say anything.
        Ok(contents.into_values().fold(0, u64::saturating_add))
    }
}

/// Ends a push of which some revisions were refused, after all others were sent and logged: what the user named is an
/// error, and so is a push that did nothing else; the others are told.
fn settle(mut summary: PushSummary, refused: Vec<(String, Error)>, named: bool) -> Result<PushSummary> {
    let is_all = summary.revs.is_empty();
    for (rev, error) in refused {
        if named || is_all {
            return Err(error);
        }
        let hint = error.hint().unwrap_or_default().to_owned();
        summary.revs.push((rev, PushOutcome::Refused { reason: error.to_string(), hint }));
    }
    Ok(summary)
}

/// Refuses runs whose exports do not say which parameters they depend on: another run would overwrite them unseen.
fn check_declared(rev: &str, runs: &[RunRecord]) -> Result<()> {
    for run in runs {
        for export in run.exports.iter().filter(|export| !export.params.is_empty()) {
            let missing: Vec<_> = run
                .params
                .iter()
                .filter(|(name, _)| export.params.get(name).is_none())
                .map(|(name, _)| format!("`{name}`"))
                .collect();
            if !missing.is_empty() {
                let message = format!(
                    "`{}` at `{rev}`: parameters {} of `{}` are not in the dict of `{}`",
                    run.path,
                    missing.join(", "),
                    run.path,
                    export.name
                );
                return Err(Error::new(ErrorKind::Failed, message).with_hint(
                    "add them to the dict that the import names (`from OneNB.exports._p1 import ..`), rerun and commit",
                ));
            }
        }
    }
    Ok(())
}

/// Returns the commit that the remote has for a tag by now, if it has the tag.
fn commit_there(outcome: &TagOutcome, pushed: CommitId) -> Option<CommitId> {
    match outcome {
        TagOutcome::Pushed | TagOutcome::AlreadyThere => Some(pushed),
        TagOutcome::Conflict { remote_commit } => Some(*remote_commit),
        TagOutcome::MissingLocally(_) => None,
    }
}

fn push_word(tag: &str, commit: Option<CommitId>, place: &str) -> (ObjectKind, Vec<u8>) {
    let word = PushLog { tag: tag.to_owned(), commit, remote: place.to_owned(), time_us: now_us() };
    (ObjectKind::PUSH_LOG, word.to_bytes())
}

fn missing_data(rev: &str, missing: &[String]) -> Error {
    let message =
        format!("the data of {} at `{rev}` is neither in the local store nor on the remote", missing.join(", "));
    Error::new(ErrorKind::NotFound, message).with_hint("push from the clone that made it, or rerun the notebook")
}

fn conflict(rev: &str, local: CommitId, remote: CommitId) -> Error {
    let message =
        format!("tag `{rev}` is on the remote for commit {}, and names {} here", remote.short(), local.short());
    Error::new(ErrorKind::Conflict, message)
        .with_hint(format!("move it with `onenb push --force {rev}`; the old mapping stays in the log"))
}

/// The local store as `sync` reads it.
struct StoreSource<'a> {
    store: &'a Store,
    interrupted: Cell<bool>,
}

impl ChunkSource for StoreSource<'_> {
    fn content(&self, digest: &ContentDigest) -> Result<Option<LocalContent>> {
        if self.store.contains(digest)?.is_none() {
            return Ok(None);
        }
        let (recipe, nodes) = self.store.recipe_of(digest)?;
        let chunker = recipe.chunker();
        Ok(Some(match recipe.body() {
            RecipeBody::Inline(bytes) => LocalContent::Inline(bytes.clone()),
            RecipeBody::Flat(chunks) => LocalContent::Chunks { chunker, chunks: chunks.clone() },
            RecipeBody::Tree(_) => {
                LocalContent::Chunks { chunker, chunks: nodes.into_iter().flat_map(RecipeNode::into_chunks).collect() }
            }
        }))
    }

    fn frame_with(&self, chunk: &ChunkId) -> Result<crate::format::pack::Frame> {
        if self.interrupted.get() {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted").with_hint("run the push again"));
        }
        Ok(self.store.frame_with(chunk)?)
    }
}
