//! `push`: puts tags' data on the remote, the tag last. Never runs `git push`.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use super::Repo;
use super::directory::read_manifest;
use super::facts::now_us;
use super::learn::pushed_commits;
use super::types::{Progress, ProgressFn, PushOptions, PushOutcome, PushSummary};
use crate::backend::RemoteUrl;
use crate::catalog::ReadTransaction;
use crate::error::{Error, ErrorKind, Result};
use crate::format::binding::PushLog;
use crate::format::config::StorageConfig;
use crate::format::recipe::{RecipeBody, RecipeNode};
use crate::format::record::{ExportKey, ExportRecord, MAX_RECORD_LEN};
use crate::format::remote_log::RepoIdentity;
use crate::format::run::{RUNS_DIR, RunExport, RunRecord};
use crate::git::{GitError, GitRepo};
use crate::id::{ChunkId, CommitId, ContentDigest};
use crate::store::{ObjectKind, Store};
use crate::sync::{self, ChunkSource, LocalContent, PushReport, PushRequest, Remote, SyncError, TagOutcome, TagToPush};

/// Confirmed pushes whose contents are looked at to estimate what another one sends.
const MAX_PUSHES_READ: usize = 16;

/// One revision to push.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PushItem {
    /// What people call it.
    pub(super) label: String,
    /// The tag that the remote shall have; `None` uploads the commit without naming it. A branch has none, even where a
    /// tag is called alike.
    pub(super) tag: Option<String>,
    /// The commit.
    pub(super) commit: CommitId,
}

/// What the directories among some exports name.
#[derive(Debug, Default)]
pub(super) struct Members {
    /// The contents, with what people call them.
    pub(super) contents: Vec<(ContentDigest, String)>,
    /// Directories whose manifests cannot be understood.
    pub(super) broken: Vec<BrokenManifest>,
}

/// A directory whose manifest cannot be understood.
#[derive(Debug)]
pub(super) struct BrokenManifest {
    pub(super) digest: ContentDigest,
    pub(super) label: String,
    pub(super) error: Error,
}

impl PushItem {
    fn of_tag((tag, commit): (String, CommitId)) -> Self {
        Self { label: tag.clone(), tag: Some(tag), commit }
    }
}

impl Repo {
    /// Pushes tags, branches or commits.
    ///
    /// # Errors
    /// `NotFound` for an unknown revision, Conflict for a tag that the remote has for another commit, `Failed` for runs
    /// with parameters that their exports do not declare, Auth for a remote that is not approved.
    pub fn push(&self, options: &PushOptions, progress: ProgressFn<'_>) -> Result<PushSummary> {
        if self.storage()?.is_none() {
            // A typing error is one with or without a remote.
            options.revs.iter().try_for_each(|rev| self.commit_of(rev).map(drop))?;
            return Ok(PushSummary::default());
        }
        if let Some(tag) = &options.delete {
            return self.delete_on_remote(tag, options.dry_run);
        }
        if let Some(tag) = &options.forget_history {
            return self.forget_remote_history(tag, options.dry_run);
        }
        self.check_writable()?;
        if !options.revs.is_empty() {
            let items: Result<_> = options.revs.iter().map(|rev| self.item_of(rev)).collect();
            return self.push_items(items?, options, progress);
        }
        if options.force && !options.all {
            return Err(Error::new(ErrorKind::Usage, "`--force` wants to know what to send again").with_hint(
                "name it, as in `onenb push --force TAG`, or mean every tag by `onenb push --all --force`",
            ));
        }
        let Some((remote, storage)) = self.remote()? else { return Ok(PushSummary::default()) };
        let there = match remote.tag_words() {
            Err(SyncError::NotCreated) => {
                self.check_may_create(&storage, options)?;
                None
            }
            other => Some(other?),
        };
        let is_absent = there.is_none();
        let (items, warnings) = self.tags_to_push(&there.unwrap_or_default(), &storage, options)?;
        let mut summary = self.push_to((&remote, &storage), items, options, progress)?;
        summary.is_absent = is_absent && !summary.is_created;
        summary.warnings.splice(0..0, warnings);
        Ok(summary)
    }

    /// Returns the tags that are to be pushed, given what the remote has, and what people should know about the rest.
    fn tags_to_push(
        &self,
        there: &BTreeMap<String, Option<CommitId>>,
        storage: &StorageConfig,
        options: &PushOptions,
    ) -> Result<(Vec<PushItem>, Vec<String>)> {
        let tags = self.git().tags()?;
        self.correct_push_log(&tags, there, &storage.place())?;
        let (mut wanted, mut warnings) = (vec![], vec![]);
        for (tag, commit) in tags {
            let word = there.get(&tag);
            let known =
                word == Some(&Some(commit)) && !options.all && self.is_settled(&tag, commit, &storage.place())?;
            if known || !options.all && self.bound_at(commit)?.is_empty() {
                continue;
            }
            if word == Some(&None) {
                warnings.push(format!("`{tag}` was deleted on the remote; `onenb push {tag}` brings it back"));
            } else {
                wanted.push(PushItem::of_tag((tag, commit)));
            }
        }
        Ok((wanted, warnings))
    }

    /// Refuses to make a directory a new remote where this machine has pushed before: then it is likely not mounted.
    fn check_may_create(&self, storage: &StorageConfig, options: &PushOptions) -> Result<()> {
        let was_there = || self.facts(|view| Ok(!view.pushes_of(&storage.place())?.is_empty()));
        if options.create || !RemoteUrl::parse(&storage.url)?.is_directory() || !was_there()? {
            return Ok(());
        }
        let message = format!("the remote `{}` is not there, though this machine has pushed to it", storage.place());
        Err(Error::new(ErrorKind::NotFound, message)
            .with_hint("mount it again, or make a new one in its place with `onenb push --create`"))
    }

    /// Says what a revision is on the remote: the tag that it names here, else no more than its commit.
    fn item_of(&self, rev: &str) -> Result<PushItem> {
        let commit = self.commit_of(rev)?;
        let name = rev.strip_prefix("refs/tags/").unwrap_or(rev);
        let tag = self.git().tag_commit(name)?.filter(|tagged| *tagged == commit).map(|_| name.to_owned());
        Ok(PushItem { label: rev.to_owned(), tag, commit })
    }

    /// Writes down where the remote says something else than this machine last heard: tags deleted there, moved there,
    /// or lost with the whole place.
    fn correct_push_log(
        &self,
        tags: &[(String, CommitId)],
        there: &BTreeMap<String, Option<CommitId>>,
        place: &str,
    ) -> Result<()> {
        let heard: BTreeMap<String, Option<CommitId>> =
            self.facts(|view| view.pushes_of(place))?.into_iter().map(|push| (push.tag, push.commit)).collect();
        let mut news = BTreeMap::new();
        for (tag, commit) in &heard {
            let now = there.get(tag).copied().flatten();
            if now != *commit {
                news.insert(tag, now);
            }
        }
        for (tag, local) in tags {
            // What agrees with Git is written down once a push has seen to it that the tag is complete.
            let now = there.get(tag).copied().flatten();
            if now.is_some_and(|now| now != *local && !heard.contains_key(tag)) {
                news.insert(tag, now);
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
    pub(super) fn push_items(
        &self,
        items: Vec<PushItem>,
        options: &PushOptions,
        progress: ProgressFn<'_>,
    ) -> Result<PushSummary> {
        let Some((remote, storage)) = self.remote()? else { return Ok(PushSummary::default()) };
        self.push_to((&remote, &storage), items, options, progress)
    }

    fn push_to(
        &self,
        (remote, storage): (&Remote, &StorageConfig),
        mut items: Vec<PushItem>,
        options: &PushOptions,
        progress: ProgressFn<'_>,
    ) -> Result<PushSummary> {
        let mut summary = PushSummary { remote: storage.place(), ..PushSummary::default() };
        let named = !options.revs.is_empty();
        // Without late bindings Git alone says what a commit has here, and a remote that has the commit has no less.
        let compares = named || self.facts(ReadTransaction::has_late_bindings)?;
        let mut seen = BTreeSet::new();
        items.retain(|item| seen.insert((item.tag.clone(), item.commit)));
        items.sort();
        let open = self.unsettled(remote, items, options, &mut summary)?;
        self.take_in_late_bindings(remote, &open, named, &mut summary.warnings)?;
        let mut refused = vec![];
        let tags = self.prepare(open, options, &mut summary, &mut refused)?;
        summary.is_created = self.make_place((remote, storage), options, !tags.is_empty())?;
        if tags.is_empty() {
            summary.requests = remote.requests();
            return settle(summary, refused, named);
        }
        let request = PushRequest {
            repo: self.identity(tags.first().map(|(_, tag)| tag.commit))?,
            tags: tags.iter().map(|(_, tag)| tag.clone()).collect(),
            dry_run: options.dry_run,
        };
        let before = remote.requests();
        let report = self.send(remote, &request, progress)?;
        // A dry run reports more than it made.
        let spared = report.requests.saturating_sub(remote.requests() - before);
        summary.packs = report.packs;
        summary.bytes_sent = report.bytes_sent;
        for ((rev, tag), outcome) in tags.iter().zip(report.outcomes) {
            if outcome == TagOutcome::AlreadyThere
                && compares
                && let Err(error) = self.check_same(remote, rev, tag)
            {
                refused.push((rev.clone(), error));
                continue;
            }
            if let (Some(name), Some(there), false) = (&tag.tag, commit_there(&outcome, tag.commit), options.dry_run) {
                // Also what was heard before is written down anew: it holds for late bindings up to now.
                self.remember(&[push_word(name, Some(there), &storage.place())])?;
            }
            match told(rev, tag, outcome, named) {
                Ok(outcome) => summary.revs.push((rev.clone(), outcome)),
                Err(error) => refused.push((rev.clone(), error)),
            }
        }
        summary.requests = remote.requests() + spared;
        // The others are on the remote by now, and written down.
        settle(summary, refused, named)
    }

    /// Makes a place a remote: a directory costs nothing and is plain to see, a bucket only when the user says so.
    /// Returns whether it did.
    fn make_place(
        &self,
        (remote, storage): (&Remote, &StorageConfig),
        options: &PushOptions,
        is_needed: bool,
    ) -> Result<bool> {
        let is_asked = options.create || is_needed && RemoteUrl::parse(&storage.url)?.is_directory();
        if !is_asked || remote.exists()? {
            return Ok(false);
        }
        self.check_may_create(storage, options)?;
        if !options.dry_run {
            remote.create()?;
        }
        Ok(!options.dry_run)
    }

    /// Returns the revisions that this machine does not know to be on the remote as they are here.
    fn unsettled(
        &self,
        remote: &Remote,
        items: Vec<PushItem>,
        options: &PushOptions,
        summary: &mut PushSummary,
    ) -> Result<Vec<PushItem>> {
        let mut open = vec![];
        for item in items {
            if let Some(tag) = &item.tag
                && !options.force
                && self.is_settled(tag, item.commit, &summary.remote)?
                && remote.is_current(tag, &item.commit)?
            {
                summary.revs.push((item.label, PushOutcome::AlreadyThere));
            } else {
                open.push(item);
            }
        }
        Ok(open)
    }

    /// Collects what each revision has; one that must not be pushed is refused and does not keep the others back.
    fn prepare(
        &self,
        items: Vec<PushItem>,
        options: &PushOptions,
        summary: &mut PushSummary,
        refused: &mut Vec<(String, Error)>,
    ) -> Result<Vec<(String, TagToPush)>> {
        let mut tags = vec![];
        for PushItem { label: rev, tag, commit } in items {
            let exports: Vec<ExportRecord> = self.bound_at(commit)?.into_iter().map(|bound| bound.record).collect();
            let runs = self.runs_behind(commit, &exports)?;
            if let Err(error) = check_declared(&rev, &runs) {
                refused.push((rev, error));
                continue;
            }
            if let Some((path, error)) = self.unreadable_records(commit)?.into_iter().next() {
                refused.push((rev, error.context(format!("`{path}` cannot be read"))));
                continue;
            }
            summary.exports += exports.len();
            self.warn_of_newer((&rev, commit), &exports, &mut summary.warnings)?;
            let Members { contents: members, broken } = self.members_of(&exports, &rev, Some(commit))?;
            for BrokenManifest { label, error, .. } in broken {
                summary.warnings.push(format!("no members of `{label}` at {rev} are sent: {error}"));
            }
            tags.push((rev, TagToPush { tag, commit, exports, runs, members, force: options.force }));
        }
        Ok(tags)
    }

    /// Learns what others bound late to what these inherit from; without that a push would drop it.
    fn take_in_late_bindings(
        &self,
        remote: &Remote,
        items: &[PushItem],
        named: bool,
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        if items.is_empty() {
            return Ok(());
        }
        let pushed = pushed_commits(remote)?;
        // A plain push hands on nothing of what is there already, and there may be many such tags.
        let is_asked = |item: &&PushItem| named || !pushed.contains(&item.commit);
        let tips: Vec<CommitId> = items.iter().filter(is_asked).map(|item| item.commit).collect();
        let learned = self.learn_late_bindings(remote, &tips, &pushed)?;
        if let Some((commit, error)) = learned.damaged {
            warnings.push(format!("what others bound late to {} cannot be read: {error}", commit.short()));
        }
        if let Some(cut) = learned.cut_off {
            warnings.push(format!(
                "history is cut off at {}, so exports that others bound late before it may be left out; complete it with \
                 `git fetch --unshallow`",
                cut.short()
            ));
        }
        Ok(())
    }

    /// Refuses to call a revision "already there" where the remote's snapshot of it is another than ours.
    fn check_same(&self, remote: &Remote, rev: &str, ours: &TagToPush) -> Result<()> {
        let theirs = match &ours.tag {
            Some(tag) => remote.snapshot_of_tag(tag)?.map(|(_, snapshot)| snapshot),
            None => remote.snapshot_of_commit(&ours.commit)?,
        };
        // In a history that is cut off, what was taken away from a commit may still seem to be there.
        let Some(theirs) = theirs.filter(|theirs| theirs.commit == ours.commit) else { return Ok(()) };
        if self.git().is_shallow()? {
            return Ok(());
        }
        let by_key = |exports: &[ExportRecord]| -> BTreeMap<ExportKey, (String, ContentDigest)> {
            exports.iter().map(|record| (record.key(), (record.label(), record.digest))).collect()
        };
        let (here, there) = (by_key(&ours.exports), by_key(&theirs.exports));
        let mut differing = vec![];
        for (key, (label, digest)) in &here {
            match there.get(key) {
                None => differing.push(format!("lacks `{label}`")),
                Some((_, other)) if other != digest => differing.push(format!("has another `{label}`")),
                Some(_) => {}
            }
        }
        let more = there.iter().filter(|(key, _)| !here.contains_key(*key));
        differing.extend(more.map(|(_, (label, _))| format!("still has `{label}`")));
        if differing.is_empty() {
            return Ok(());
        }
        let message = format!("`{rev}` is on the remote already, which {}", differing.join(", "));
        Err(Error::new(ErrorKind::Conflict, message)
            .with_hint(format!("send it as it is here with `onenb push --force {rev}`")))
    }

    /// Returns whether the remote, as last heard, has a tag as it is here: nothing it inherits was bound late since.
    pub(super) fn is_settled(&self, tag: &str, commit: CommitId, place: &str) -> Result<bool> {
        let heard = self.facts(|view| view.last_push_of(place, tag))?;
        let Some(heard) = heard.filter(|heard| heard.commit == Some(commit)) else { return Ok(false) };
        let since = self.facts(|view| view.late_bound_since(heard.time_us))?;
        Ok(!since.into_iter().any(|bound| self.git().is_ancestor(bound, commit).unwrap_or(false)))
    }

    /// Says what this repository is to a remote that is new: the beginning of what is pushed tells, whatever is checked
    /// out.
    pub(super) fn identity(&self, pushed: Option<CommitId>) -> Result<RepoIdentity> {
        let root = match pushed.map(|commit| self.git().root_of(commit)) {
            // Of a commit that only the remote has.
            None | Some(Err(GitError::MissingObject { .. })) => self.git().root_commit()?,
            Some(root) => root?,
        };
        Ok(RepoIdentity { name: self.name().to_owned(), root })
    }

    pub(super) fn send(&self, remote: &Remote, request: &PushRequest, progress: ProgressFn<'_>) -> Result<PushReport> {
        let source = StoreSource { store: self.store()?, git: self.git(), interrupted: Cell::new(false) };
        let mut report_progress = |at: sync::Progress| {
            let at = Progress { doing: "pushing", done: at.done_bytes, total: Some(at.total_bytes) };
            source.interrupted.set(source.interrupted.get() || !progress(at));
        };
        sync::push(remote, request, &source, &mut report_progress)
    }

    /// Deletes a tag on the remote, or else what was uploaded of a revision without a tag.
    fn delete_on_remote(&self, rev: &str, dry_run: bool) -> Result<PushSummary> {
        let Some((remote, storage)) = self.remote()? else { return Ok(PushSummary::default()) };
        let mut summary = PushSummary { remote: storage.place(), ..PushSummary::default() };
        let tag = rev.strip_prefix("refs/tags/").unwrap_or(rev);
        let done = match remote.tag_words()?.get(tag) {
            Some(None) if dry_run => false,
            Some(_) if dry_run => true,
            Some(_) => {
                let done = remote.delete_tag(tag)?;
                self.note_remote_tag(tag, None, &storage.place())?;
                done
            }
            None => {
                let no_tag = || Error::from(SyncError::NoTag { tag: tag.to_owned() });
                let commit = self.commit_of(rev).or_else(|_| rev.parse().map_err(|_| no_tag()))?;
                if !remote.is_uploaded(&commit)? {
                    return Err(no_tag().with_hint("see what is there with `onenb remote check`"));
                }
                dry_run || remote.delete_upload(&commit)?
            }
        };
        let outcome = if done { PushOutcome::Deleted } else { PushOutcome::AlreadyDeleted };
        summary.requests = remote.requests();
        summary.revs.push((rev.to_owned(), outcome));
        Ok(summary)
    }

    fn forget_remote_history(&self, tag: &str, dry_run: bool) -> Result<PushSummary> {
        let Some((remote, storage)) = self.remote()? else { return Ok(PushSummary::default()) };
        if !dry_run {
            remote.forget_history(tag)?;
        } else if !remote.tag_words()?.contains_key(tag) {
            return Err(SyncError::NoTag { tag: tag.to_owned() }.into());
        }
        Ok(PushSummary { remote: storage.place(), requests: remote.requests(), ..PushSummary::default() })
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

    /// Returns the contents that the directories among some exports name. A manifest that nobody has is missing itself;
    /// one that is none, or is damaged, does not keep the other exports back.
    pub(super) fn members_of(&self, exports: &[ExportRecord], rev: &str, commit: Option<CommitId>) -> Result<Members> {
        let mut members = Members::default();
        for record in exports.iter().filter(|record| record.suffix.is_directory()) {
            let label = record.label();
            match self.read_content(record, commit, rev).and_then(read_manifest) {
                Ok(manifest) => {
                    let contents = manifest.contents().map(|(path, digest)| (digest, format!("{label}/{path}")));
                    members.contents.extend(contents);
                }
                Err(error) => match error.kind() {
                    ErrorKind::NotFound => {}
                    ErrorKind::Damaged | ErrorKind::TooNew | ErrorKind::Usage => {
                        members.broken.push(BrokenManifest { digest: record.digest, label, error });
                    }
                    _ => return Err(error.context(format!("could not read the members of `{label}` at `{rev}`"))),
                },
            }
        }
        Ok(members)
    }

    fn warn_of_newer(
        &self,
        (rev, commit): (&str, CommitId),
        exports: &[ExportRecord],
        warnings: &mut Vec<String>,
    ) -> Result<()> {
        for export in exports {
            if let Ok(Some(now)) = self.working_record(&export.key())
                && now.digest != export.digest
                && Some(commit) == self.git().head()?
            {
                warnings.push(format!("`{}` was re-exported after {rev} and is not in it", export.label()));
            }
        }
        Ok(())
    }

    /// Returns the contents of the tags that the remote confirmed last: nearly all, since tags inherit from one
    /// another.
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

    /// Returns the raw length of everything that these revisions have and no pushed one; an upper bound of what a push
    /// sends.
    pub(super) fn raw_len_of(&self, items: &[PushItem]) -> Result<u64> {
        let mut contents = BTreeMap::new();
        for item in items {
            for bound in self.bound_at(item.commit)? {
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

/// Says how a revision ended in the words of this layer; what was named and could not be pushed is an error.
fn told(rev: &str, tag: &TagToPush, outcome: TagOutcome, named: bool) -> Result<PushOutcome> {
    match outcome {
        TagOutcome::Pushed => Ok(PushOutcome::Pushed),
        TagOutcome::AlreadyThere => Ok(PushOutcome::AlreadyThere),
        TagOutcome::MissingLocally(missing) if named => Err(missing_data(rev, &missing)),
        TagOutcome::MissingLocally(missing) => Ok(PushOutcome::Skipped(missing)),
        TagOutcome::Conflict { remote_commit } => Err(conflict(rev, tag.commit, remote_commit)),
    }
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
    git: &'a GitRepo,
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

    fn begins_with(&self, commit: &CommitId) -> Result<bool> {
        Ok(self.git.beginnings()?.contains(commit))
    }
}
