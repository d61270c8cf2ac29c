//! What Git's hooks do. They speed things up and are never needed for correctness; a commit is never blocked.

use std::collections::BTreeSet;
use std::io::Read;

use super::Repo;
use super::addnb::Newest;
use super::export::script_identity;
use super::push::PushItem;
use super::receipts::{MAX_INDEXED_NOTEBOOK_LEN, is_notebook_path, unrecorded_notebooks};
use super::snapshot::changed_against_all;
use super::types::{HookOutcome, PushOptions, PushOutcome};
use crate::catalog::{BindingsOf, ReadTransaction};
use crate::error::{Error, Result};
use crate::format::binding::{LateBinding, Pending};
use crate::format::config::{BranchPolicy, parse_size};
use crate::format::record::{ExportRecord, MAX_RECORD_LEN};
use crate::git::Operation;
use crate::id::CommitId;
use crate::notebook;
use crate::store::ObjectKind;

/// Git configuration key of what pre-push does.
const POLICY_KEY: &str = "onenb.prePush";
/// Bytes that pre-push uploads by itself; more is left to a command that shows progress.
const DEFAULT_PUSH_LIMIT: u64 = 64 * 1024 * 1024;
/// Commits that pre-push looks at for exports that were not sent.
const MAX_UNSENT_COMMITS: usize = 100;
/// Most exports that post-commit names.
const MAX_NAMED: usize = 10;
/// Longest standard input of a hook that is read.
const MAX_HOOK_INPUT: u64 = 16 * 1024 * 1024;

impl Repo {
    /// Runs one of Git's hooks with Git's own arguments and standard input. Only pre-push ever refuses.
    pub fn run_hook(&self, event: &str, arguments: &[String], stdin: &mut dyn Read) -> HookOutcome {
        if let Err(error) = self.check_writable() {
            return HookOutcome { lines: vec![format!("{event}: {error}")], refuse: false };
        }
        let result = match event {
            "pre-commit" => self.pre_commit().and_then(|outcome| self.note_origins().map(|()| outcome)),
            "post-commit" => self.post_commit(),
            "post-merge" => self.index_head(),
            "post-rewrite" => self.post_rewrite(arguments, stdin),
            "post-checkout" => self.capture_branch(arguments).map(|()| HookOutcome::default()),
            "pre-push" => return self.pre_push_or_explain(stdin),
            _ => Ok(HookOutcome::default()),
        };
        result.unwrap_or_else(|error| HookOutcome { lines: vec![explained(event, &error)], refuse: false })
    }

    /// Runs pre-push. If it fails, that stops only who sends a tag or wants to be sure of branches.
    fn pre_push_or_explain(&self, stdin: &mut dyn Read) -> HookOutcome {
        // A push must not hang for long on a catalog that another process writes.
        self.be_impatient();
        let (mut updates, mut outcome) = (vec![], HookOutcome::default());
        for line in read_lines(stdin).unwrap_or_default() {
            match std::str::from_utf8(&line) {
                Ok(line) => updates.extend(RefUpdate::parse(line)),
                // Under another name nobody would find it.
                Err(_) => outcome.lines.push(format!(
                    "nothing is looked for in a reference whose name is not UTF-8: {}",
                    String::from_utf8_lossy(&line)
                )),
            }
        }
        let policy = PushPolicy::from_config(self.git().config_string(POLICY_KEY).as_deref(), &mut outcome);
        if let Err(error) = self.pre_push(&updates, policy, &mut outcome) {
            let sends = |kind: &str| updates.iter().any(|it| !it.local.is_null() && it.remote_ref.starts_with(kind));
            outcome.refuse =
                sends("refs/tags/") || (sends("refs/heads/") && self.branch_policy(policy) != BranchPolicy::Warn);
            let way_out = if outcome.refuse {
                "push without the data by `git push --no-verify`"
            } else {
                "no data was looked for, and `git push --no-verify` does not try"
            };
            outcome.lines.push(format!("{}; {way_out}", explained("pre-push", &error)));
        }
        outcome
    }

    /// Stages the records of the notebooks and scripts that are being committed.
    fn pre_commit(&self) -> Result<HookOutcome> {
        let mut outcome = HookOutcome::default();
        if self.git().is_partial_commit() {
            return Ok(outcome);
        }
        let changes = self.git().staged_changes(&|_| true)?;
        outcome.lines.extend(self.with_conflict_markers(&changes));
        if self.git().operation_in_progress().is_some_and(replays_history) {
            return Ok(outcome);
        }
        let staged: Vec<String> =
            changes.into_iter().filter(|change| change.new.is_some()).map(|change| change.path).collect();
        if staged.is_empty() || self.quiet().is_some_and(|quiet| quiet.knows_none_of(&staged)) {
            return Ok(outcome);
        }
        let mut to_stage = Vec::new();
        for path in staged.iter().filter(|path| is_notebook_path(path)) {
            match self.record_staged_notebook(path) {
                Ok(records) => to_stage.extend(records),
                Err(error) => outcome.lines.push(format!("`{path}` is committed without its run: {error}")),
            }
        }
        let scripts: BTreeSet<&str> =
            staged.iter().map(String::as_str).filter(|path| !is_notebook_path(path)).collect();
        for uncommitted in self.uncommitted_of(&scripts)? {
            to_stage.push(uncommitted.key().record_path());
        }
        if !to_stage.is_empty() {
            self.git().stage(&to_stage.iter().map(String::as_str).collect::<Vec<_>>())?;
        }
        Ok(outcome)
    }

    fn record_staged_notebook(&self, path: &str) -> Result<Vec<String>> {
        let Some(blob) = self.git().staged_blob(path)? else { return Ok(vec![]) };
        let bytes = self.git().read_blob(blob, MAX_INDEXED_NOTEBOOK_LEN)?;
        let exports_here = || self.uncommitted_of(&BTreeSet::from([path]));
        if !notebook::may_hold_receipts(&bytes) && exports_here()?.is_empty() {
            return Ok(vec![]);
        }
        Ok(self.record_notebook(path, &bytes, None, Newest::Staged)?.staged)
    }

    /// Returns the records of the work tree that one of these paths produced here and HEAD's tree does not have.
    fn uncommitted_of(&self, producers: &BTreeSet<&str>) -> Result<Vec<ExportRecord>> {
        let worktree = self.git().worktree_id();
        let head = self.git().head()?;
        // Not all records of the work tree: there may be many, and this runs before every commit.
        let rows = self.facts(|view| {
            let rows: Result<Vec<_>, _> = producers.iter().map(|path| view.exported_by(&worktree, path)).collect();
            Ok(rows?.concat())
        })?;
        let mut found = Vec::new();
        for row in rows {
            let Some(record) = self.working_record(&row.record.key())? else { continue };
            let tracked = match head {
                Some(head) => self.git().read_file_at(head, &record.key().record_path(), MAX_RECORD_LEN)?,
                None => None,
            };
            if tracked.as_deref() != Some(record.to_bytes().as_slice()) {
                found.push(record);
            }
        }
        Ok(found)
    }

    /// Indexes the new commit and binds to it what is pending and belongs to it.
    fn post_commit(&self) -> Result<HookOutcome> {
        let mut outcome = HookOutcome::default();
        let Some(head) = self.git().head()? else { return Ok(outcome) };
        if self.is_quiet_commit(head)? {
            return Ok(outcome);
        }
        self.carry_origins(head)?;
        if !self.git().operation_in_progress().is_some_and(replays_history) {
            let late = self.pending_for(head)?;
            if !late.is_empty() {
                let time_us = self.late_time_us()?;
                let objects: Vec<_> = late
                    .into_iter()
                    .map(|record| LateBinding { commit: head, record, explicit: false, time_us })
                    .map(|binding| (ObjectKind::LATE_BINDING, binding.to_bytes()))
                    .collect();
                self.remember(&objects)?;
            }
        }
        let (bound, has_runs) = self.indexed(&[head], |view| {
            Ok((view.bindings(BindingsOf::Commit(&head))?, !view.runs_of(&head)?.is_empty()))
        })?;
        if has_runs || !bound.is_empty() {
            self.note_parent_branch(head)?;
        }
        self.note_quiet();
        let info = self.git().commit_info(head)?;
        let changed = changed_against_all(self.git(), head, &info)?;
        for path in unrecorded_notebooks(self.git(), head, &info, &changed)? {
            outcome.lines.push(format!(
                "`{path}` is committed without the records of its run; `onenb addnb {path}` stages them for the next commit"
            ));
        }
        let mut labels: Vec<String> = bound.iter().map(|binding| binding.bound.record.label()).collect();
        labels.sort();
        if !labels.is_empty() {
            let more = labels.len().saturating_sub(MAX_NAMED);
            labels.truncate(MAX_NAMED);
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            outcome.lines.push(format!("bound {}{more} to {}", labels.join(", "), head.short()));
        }
        Ok(outcome)
    }

    /// Returns the pending exports that a new commit takes along though its tree does not have them.
    fn pending_for(&self, head: CommitId) -> Result<Vec<ExportRecord>> {
        let worktree = self.git().worktree_id();
        let pending = self.facts(|view| view.pending_of(&worktree))?;
        if pending.is_empty() {
            return Ok(vec![]);
        }
        let info = self.git().commit_info(head)?;
        let changed: BTreeSet<String> =
            changed_against_all(self.git(), head, &info)?.into_iter().map(|(path, _)| path).collect();
        let (mut found, mut settled) = (Vec::new(), Vec::new());
        for row in pending {
            let key = row.record.key();
            if self.working_record(&key)?.is_none_or(|now| now.digest != row.record.digest) {
                continue;
            }
            let tracked = self.git().read_file_at(head, &key.record_path(), MAX_RECORD_LEN)?;
            // Not the snapshot of HEAD itself: once that is indexed, a late binding would make it be read again.
            if tracked.is_some() || self.was_bound(&info.parents, &row)? {
                let tracked = tracked.and_then(|bytes| ExportRecord::from_bytes(&bytes).ok());
                if tracked.is_none_or(|tracked| tracked.digest == row.record.digest) {
                    settled.push(key);
                }
            } else if self.belongs(&row, &changed) {
                settled.push(key);
                found.push(row.record);
            }
        }
        if !settled.is_empty() {
            self.catalog()?.write(|tx| tx.settle_pending(&worktree, &settled))?;
        }
        Ok(found)
    }

    /// Returns whether a parent has an export as it is, or some commit was bound it late since it was made.
    fn was_bound(&self, parents: &[CommitId], row: &Pending) -> Result<bool> {
        let record = &row.record;
        let key = record.key();
        for parent in parents {
            let bound = self.at_commit(*parent, |view, snapshot| view.entry(snapshot, &key))?;
            if bound.is_some_and(|bound| bound.record.digest == record.digest) {
                return Ok(true);
            }
        }
        self.facts(|view| view.is_late_bound_since(record, row.time_us))
    }

    /// A notebook's export belongs to the commit that has the notebook; another's only while its script is unchanged.
    fn belongs(&self, row: &Pending, changed: &BTreeSet<String>) -> bool {
        let producer = &row.record.producer;
        match producer.path.as_deref() {
            Some(path) if producer.is_notebook() => changed.contains(path),
            Some(path) => self
                .work_dir()
                .is_some_and(|root| script_identity(&root.join(path)) == row.script && row.script.is_some()),
            None => true,
        }
    }

    fn index_head(&self) -> Result<HookOutcome> {
        if let Some(head) = self.git().head()? {
            self.indexed(&[head], |_| Ok(()))?;
        }
        Ok(HookOutcome::default())
    }

    /// Carries late bindings from the old commits to the new ones that amend and rebase made of them.
    fn post_rewrite(&self, arguments: &[String], stdin: &mut dyn Read) -> Result<HookOutcome> {
        let mut rewritten = Vec::new();
        for line in read_lines(stdin)? {
            let line = String::from_utf8_lossy(&line);
            let mut words = line.split(' ');
            let (Some(old), Some(new)) = (words.next(), words.next()) else { continue };
            let (Ok(old), Ok(new)) = (old.parse::<CommitId>(), new.parse::<CommitId>()) else { continue };
            rewritten.push((old, new));
        }
        // What post-commit just bound to an amended commit is newer than what the old one had.
        let keeps_own = arguments.first().is_some_and(|command| command == "amend");
        self.carry(&rewritten, keeps_own)?;
        self.carry_branches(&rewritten)?;
        self.index_head()
    }

    /// Makes sure that the data of every tag being pushed is on the remote, or stops the push with the command to run.
    fn pre_push(&self, updates: &[RefUpdate], policy: PushPolicy, outcome: &mut HookOutcome) -> Result<()> {
        if policy == PushPolicy::Off {
            return Ok(());
        }
        let storage = match self.storage() {
            // No tag would go without its data, so a remote that cannot be used blocks nothing.
            Err(error) if self.tags_among(updates, None)?.is_empty() => {
                outcome.lines.push(format!("no data was looked for: {error}"));
                return Ok(());
            }
            other => other?,
        };
        let Some(place) = storage.map(|storage| storage.place()) else { return Ok(()) };
        let tags = self.tags_among(updates, Some(&place))?;
        self.push_tags(tags, policy, outcome)?;
        if !outcome.refuse {
            self.check_branches(updates, &place, policy, outcome)?;
        }
        Ok(())
    }

    /// Returns what happens to the data of branches: as the user wants it, else as the repository does.
    fn branch_policy(&self, policy: PushPolicy) -> BranchPolicy {
        match policy {
            PushPolicy::Upload => BranchPolicy::Upload,
            PushPolicy::Verify => BranchPolicy::Verify,
            PushPolicy::Auto | PushPolicy::Off => {
                self.0.config.push.as_ref().map(|push| push.branches).unwrap_or_default()
            }
        }
    }

    /// Returns the tags with exports that Git is about to push, without those whose data is known to be at a place.
    fn tags_among(&self, updates: &[RefUpdate], place: Option<&str>) -> Result<Vec<PushItem>> {
        let mut tags = Vec::new();
        for update in updates.iter().filter(|update| !update.local.is_null()) {
            let Some(tag) = update.remote_ref.strip_prefix("refs/tags/") else { continue };
            // A tag on a blob or tree, or an object we do not have, is nothing of ours.
            let Ok(commit) = self.commit_of(&update.local.to_string()) else { continue };
            let is_there = place.map_or(Ok(false), |place| self.is_settled(tag, commit, place))?;
            if !is_there && !self.at_commit(commit, ReadTransaction::names)?.is_empty() {
                tags.push(PushItem { label: tag.to_owned(), tag: Some(tag.to_owned()), commit });
            }
        }
        Ok(tags)
    }

    fn push_tags(&self, tags: Vec<PushItem>, policy: PushPolicy, outcome: &mut HookOutcome) -> Result<()> {
        if tags.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = tags.iter().map(|item| item.label.clone()).collect();
        let command = self.push_command(&tags)?;
        let mut refuse = |reason: &str| {
            outcome.refuse = true;
            outcome.lines.push(format!("the data of {} is not on the remote yet: {reason}", names.join(", ")));
            outcome.lines.push(format!("run {command}, or push without the data by `git push --no-verify`"));
        };
        let limit = self
            .git()
            .config_string("onenb.prePushLimit")
            .and_then(|text| parse_size(&text))
            .unwrap_or(DEFAULT_PUSH_LIMIT);
        if policy == PushPolicy::Verify {
            refuse("onenb.prePush is `verify`");
            return Ok(());
        }
        if policy != PushPolicy::Upload && self.raw_len_of(&tags)? > limit {
            // That is an upper bound: this clone need not know what others have pushed.
            let dry_run = PushOptions { dry_run: true, ..PushOptions::default() };
            let reason = match self.push_items(tags.clone(), &dry_run, &mut |_| true) {
                Ok(planned) if planned.bytes_sent <= limit => None,
                Ok(_) => Some("it is more than `onenb.prePushLimit`".to_owned()),
                Err(error) => Some(error.to_string()),
            };
            if let Some(reason) = reason {
                refuse(&reason);
                return Ok(());
            }
        }
        match self.push_items(tags, &PushOptions::default(), &mut |_| true) {
            Ok(summary) => {
                let mut sent = Vec::new();
                for (tag, result) in &summary.revs {
                    match result {
                        PushOutcome::Deleted | PushOutcome::AlreadyDeleted => {}
                        PushOutcome::Pushed | PushOutcome::AlreadyThere => sent.push(tag.as_str()),
                        PushOutcome::Skipped(missing) => outcome.lines.push(format!(
                            "`{tag}` is pushed without its data, which is neither here nor there: {}",
                            missing.join(", ")
                        )),
                        PushOutcome::Refused { reason, hint } => {
                            outcome.refuse = true;
                            outcome.lines.push(format!("the data of {tag} was not sent: {reason}"));
                            outcome.lines.push(format!("{hint}; or push without the data by `git push --no-verify`"));
                        }
                    }
                }
                outcome.lines.extend(summary.warnings);
                if !sent.is_empty() {
                    outcome.lines.push(format!("pushed the data of {} to {}", sent.join(", "), summary.remote));
                }
            }
            Err(error) => match error.hint() {
                Some(hint) => {
                    outcome.refuse = true;
                    outcome.lines.push(format!("the data of {} was not sent: {error}", names.join(", ")));
                    outcome.lines.push(format!("{hint}; or push without the data by `git push --no-verify`"));
                }
                None => refuse(&error.to_string()),
            },
        }
        Ok(())
    }

    /// Returns the command that uploads what these tags will name. One that has another name there is made here first.
    fn push_command(&self, tags: &[PushItem]) -> Result<String> {
        let (mut commands, mut names) = (vec![], vec![]);
        for PushItem { label, commit, .. } in tags {
            if self.git().tag_commit(label)? != Some(*commit) {
                commands.push(format!("`git tag {label} {commit}`"));
            }
            names.push(label.as_str());
        }
        commands.push(format!("`onenb push {}`", names.join(" ")));
        Ok(commands.join(" and "))
    }

    fn check_branches(
        &self,
        updates: &[RefUpdate],
        remote: &str,
        policy: PushPolicy,
        outcome: &mut HookOutcome,
    ) -> Result<()> {
        let policy = self.branch_policy(policy);
        for update in updates.iter().filter(|update| !update.local.is_null()) {
            let Some(branch) = update.remote_ref.strip_prefix("refs/heads/") else { continue };
            let Ok(commit) = self.commit_of(&update.local.to_string()) else { continue };
            let sent = self.sent_before(update, policy)?;
            if self.is_quiet_since(commit, &sent) {
                continue;
            }
            let fresh = self.unsent_exports(commit, remote, &sent)?;
            // Commits of a client without hooks leave no note, and the next push need not look as hard.
            self.note_quiet();
            // Uploads without a tag leave no word here.
            if fresh == 0 || (policy != BranchPolicy::Upload && self.is_uploaded(commit)) {
                continue;
            }
            let exports = if fresh == 1 { "1 export".to_owned() } else { format!("{fresh} exports") };
            match policy {
                BranchPolicy::Warn => outcome.lines.push(format!(
                    "`{branch}` has {exports} whose data is not on the remote; send it with `onenb push {branch}`"
                )),
                BranchPolicy::Verify => {
                    outcome.refuse = true;
                    outcome.lines.push(format!(
                        "the data of `{branch}` ({exports}) is not on the remote; run `onenb push {branch}`, or push \
                         without the data by `git push --no-verify`"
                    ));
                }
                BranchPolicy::Upload => {
                    // Without a tag, whatever local tag may be called like the branch.
                    let item = PushItem { label: branch.to_owned(), tag: None, commit };
                    let summary = self.push_items(vec![item], &PushOptions::default(), &mut |_| true)?;
                    for (_, result) in &summary.revs {
                        if let PushOutcome::Skipped(missing) = result {
                            outcome.lines.push(format!(
                                "`{branch}` is pushed without its data, which is neither here nor there: {}",
                                missing.join(", ")
                            ));
                        }
                    }
                    outcome.lines.extend(summary.warnings);
                }
            }
        }
        Ok(())
    }

    /// Returns whether the remote can be asked and has what was uploaded of a commit.
    fn is_uploaded(&self, commit: CommitId) -> bool {
        let there =
            self.remote().and_then(|remote| remote.map_or(Ok(false), |(remote, _)| Ok(remote.is_uploaded(&commit)?)));
        there.unwrap_or(false)
    }

    /// Returns what Git pushed before, for a warning that is given once: what the remote's branch has, else its other
    /// branches. Who wants to be sure is told of everything whose data was not sent.
    fn sent_before(&self, update: &RefUpdate, policy: BranchPolicy) -> Result<Vec<CommitId>> {
        if policy != BranchPolicy::Warn {
            return Ok(vec![]);
        }
        if !update.remote.is_null() {
            return Ok(vec![update.remote]);
        }
        Ok(self.git().remote_tips()?)
    }

    /// Counts the exports that a branch still has, that no confirmed push reaches, and whose data is in this store; it
    /// looks at the newest commits that bound something.
    fn unsent_exports(&self, tip: CommitId, remote: &str, sent: &[CommitId]) -> Result<usize> {
        let bound = self.indexed(&[tip], |view| {
            let known: Vec<CommitId> =
                view.confirmed_commits(remote)?.into_iter().chain(sent.iter().copied()).collect();
            let commits = view.bound_beyond(&view.reach(&[tip])?, &view.reach(&known)?, MAX_UNSENT_COMMITS)?;
            let mut bound = Vec::new();
            for commit in &commits {
                bound.extend(view.bindings(BindingsOf::Commit(commit))?.into_iter().map(|binding| binding.bound));
            }
            let snapshot = view.snapshot_of(&tip)?;
            let mut unsent = BTreeSet::new();
            for candidate in bound {
                let now = snapshot.map(|snapshot| view.entry(snapshot, &candidate.record.key())).transpose()?.flatten();
                if now.is_some_and(|now| now == candidate) {
                    unsent.insert(candidate.record.digest);
                }
            }
            Ok(unsent)
        })?;
        if bound.is_empty() {
            return Ok(0);
        }
        let Some(store) = self.store_if_present()? else { return Ok(0) };
        let sent = self.pushed_contents()?;
        let mut count = 0;
        for digest in bound.difference(&sent) {
            count += usize::from(store.contains(digest)?.is_some());
        }
        Ok(count)
    }
}

/// What the user wants pre-push to do (`onenb.prePush`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PushPolicy {
    /// Upload the data of tags while it is small; branches as the repository says.
    Auto,
    /// Upload the data of tags and branches, however large.
    Upload,
    /// Upload nothing, and stop unless the data is there.
    Verify,
    /// Do nothing.
    Off,
}

impl PushPolicy {
    fn from_config(text: Option<&str>, outcome: &mut HookOutcome) -> Self {
        match text {
            None | Some("" | "auto") => Self::Auto,
            Some("upload") => Self::Upload,
            Some("verify") => Self::Verify,
            Some("off") => Self::Off,
            Some(other) => {
                outcome.lines.push(format!(
                    "`{other}` is no value of {POLICY_KEY}, which counts as `auto`; set it with `git config {POLICY_KEY} auto`"
                ));
                Self::Auto
            }
        }
    }
}

fn explained(event: &str, error: &Error) -> String {
    let hint = error.hint().map(|hint| format!(" ({hint})")).unwrap_or_default();
    format!("{event}: {error}{hint}")
}

/// While history is replayed nothing pending is bound: the replayed commits did not make it.
fn replays_history(operation: Operation) -> bool {
    !matches!(operation, Operation::Merge)
}

/// One line of pre-push's standard input.
struct RefUpdate {
    local: CommitId,
    remote_ref: String,
    /// What the remote has under that name; null for nothing.
    remote: CommitId,
}

impl RefUpdate {
    fn parse(line: &str) -> Option<Self> {
        // `<local ref> <local id> <remote ref> <remote id>`; the local ref may be an expression with spaces.
        let mut words = line.rsplitn(4, ' ');
        let (remote, remote_ref, local) = (words.next()?, words.next()?, words.next()?);
        Some(Self { local: local.parse().ok()?, remote_ref: remote_ref.to_owned(), remote: remote.parse().ok()? })
    }
}

fn read_lines(stdin: &mut dyn Read) -> Result<Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    stdin.take(MAX_HOOK_INPUT).read_to_end(&mut bytes)?;
    Ok(bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn push_lines_are_read_as_git_writes_them() {
        let id = "1111111111111111111111111111111111111111";
        let zero = "0".repeat(40);
        let update = RefUpdate::parse(&format!("refs/tags/v1 {id} refs/tags/v1 {zero}")).expect("a line");
        assert_eq!((update.local.to_string().as_str(), update.remote_ref.as_str()), (id, "refs/tags/v1"));
        assert!(RefUpdate::parse(&format!("HEAD~1 {id} refs/heads/x {zero}")).is_some());
        assert!(RefUpdate::parse("nonsense").is_none());
    }
}
