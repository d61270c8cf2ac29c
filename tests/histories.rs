//! Random histories against a plain model: whatever people do with Git, every commit has what it should.
//!
//! A seed makes a history of commits, late bindings, amends, rebases, merges, cherry-picks, reverts, squashes, stashes,
//! branches, tags, work trees and rebuilt catalogs, with the real `git` and its hooks. The model knows only maps. `R*`
//! are exports whose record is committed, `L*` are bound late. Set `ONENB_SEED` to run one seed again,
//! `--features slow` for 2,000.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onenb::format::name::{ExportName, Suffix};
use onenb::format::params::Params;
use onenb::id::ContentDigest;
use onenb::{Environment, ExportOptions, Repo, Side, Workspace};

const SEEDS: u64 = if cfg!(feature = "slow") { 2_000 } else { 24 };
const STEPS: usize = 14;

type Exports = BTreeMap<String, u64>;

/// What the model knows of a commit.
#[derive(Debug, Clone, Default)]
struct Commit {
    has: Exports,
    parents: Vec<String>,
    /// What was bound to it late: a content, or that it has none.
    late: BTreeMap<String, Option<u64>>,
}

struct World {
    root: tempfile::TempDir,
    random: u64,
    next_content: u64,
    next_name: u64,
    commits: BTreeMap<String, Commit>,
    done: Vec<String>,
}

/// Returns parameters that make the records of two exports so unlike that Git never sees a rename where one was removed
/// and the other added: the model knows no renames.
fn params_of(name: &str) -> Params {
    Params::from_assignments([format!("of={}", name.repeat(400)).as_str()]).unwrap()
}

impl World {
    fn new(seed: u64) -> Self {
        let root = tempfile::tempdir().unwrap();
        onenb::fs::create_dir_all(&root.path().join("repo")).unwrap();
        let random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut world =
            Self { root, random, next_content: 0, next_name: 0, commits: BTreeMap::new(), done: Vec::new() };
        world.git(&["init", "--quiet", "--initial-branch=main"]);
        world.git(&["config", "rerere.enabled", "false"]);
        let mut init = world.command(env!("CARGO_BIN_EXE_onenb"));
        let output = init.args(["init", "--name", "demo", "local"]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        world.git(&["commit", "--quiet", "--message=start"]);
        let head = world.id("HEAD");
        world.commits.insert(head, Commit::default());
        world
    }

    fn dir(&self) -> PathBuf {
        self.root.path().join("repo")
    }

    /// Returns a number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        // xorshift64*
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let high = self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(high).unwrap() % bound.max(1)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.current_dir(self.dir()).env_clear().env("PATH", path).env("HOME", self.root.path().join("home"));
        command.env("XDG_CONFIG_HOME", self.root.path().join("home")).env("GIT_CONFIG_NOSYSTEM", "1");
        command.env("LC_ALL", "C").env("GIT_EDITOR", "true");
        // Git orders commits by their dates, so those come from the seed as well: steps are a minute apart.
        let date = format!("{} +0000", 1_700_000_000 + 60 * self.done.len());
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "T").env(format!("GIT_{who}_EMAIL"), "t@example.org");
            command.env(format!("GIT_{who}_DATE"), &date);
        }
        command
    }

    fn try_git(&self, args: &[&str]) -> Output {
        self.command("git").args(args).output().unwrap()
    }

    fn git(&self, args: &[&str]) -> String {
        let output = self.try_git(args);
        let told = || format!("git {args:?}: {}\n{:#?}", String::from_utf8_lossy(&output.stderr), self.done);
        assert!(output.status.success(), "{}", told());
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }

    fn id(&self, rev: &str) -> String {
        self.git(&["rev-parse", "--verify", &format!("{rev}^{{commit}}")])
    }

    /// Commits under a message of its own: two commits of one second that say the same would be one.
    fn commit(&mut self, more: &[&str]) {
        self.next_name += 1;
        let message = format!("--message={}", self.next_name);
        self.git(&[&["commit", "--quiet", &message], more].concat());
    }

    fn head(&self) -> (String, Commit) {
        let id = self.id("HEAD");
        let commit = self.commits[&id].clone();
        (id, commit)
    }

    fn know(&mut self, rev: &str, commit: Commit) {
        let id = self.id(rev);
        self.commits.insert(id, commit);
    }

    fn branches(&self) -> Vec<String> {
        self.git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"]).lines().map(str::to_owned).collect()
    }

    fn other_branch(&mut self) -> Option<String> {
        let current = self.git(&["branch", "--show-current"]);
        let others: Vec<String> = self.branches().into_iter().filter(|name| *name != current).collect();
        let at = self.below(others.len());
        others.get(at).cloned()
    }

    /// Returns a commit of HEAD's or another history that is no merge and not the first.
    fn some_commit(&mut self, tips: &str) -> Option<String> {
        let listed = self.git(&["rev-list", "--no-merges", "--max-count=12", tips]);
        let ids: Vec<String> =
            listed.lines().filter(|id| !self.commits[*id].parents.is_empty()).map(str::to_owned).collect();
        let at = self.below(ids.len());
        ids.get(at).cloned()
    }

    fn export_in(&mut self, dir: &Path, name: &str) -> u64 {
        self.next_content += 1;
        let content = self.next_content;
        let repo = Repo::open(dir).unwrap();
        let options = ExportOptions {
            name: ExportName::parse(name).unwrap(),
            params: params_of(name),
            suffix: Suffix::parse(".txt").unwrap(),
            producer: None,
            inputs: vec![],
            run: None,
            cell_source: None,
        };
        let mut writer = repo.export(options).unwrap();
        std::io::Write::write_all(&mut writer, content.to_string().as_bytes()).unwrap();
        writer.finish().unwrap();
        content
    }

    fn step(&mut self) {
        let what = self.below(17);
        let name = [
            "record", "late", "amend", "switch", "branch", "merge", "pick", "revert", "rebase", "squash", "tag",
            "stash", "worktree", "reindex", "file", "fixup", "reset",
        ][what];
        self.done.push(format!("{name} on {} {}", self.git(&["branch", "--show-current"]), self.id("HEAD")));
        match name {
            "record" => self.record(),
            "late" => self.late(),
            "amend" => self.amend(),
            "switch" => drop(self.other_branch().map(|branch| self.git(&["switch", "--quiet", &branch]))),
            "branch" => self.branch(),
            "merge" => self.merge(),
            "pick" => self.pick(),
            "revert" => self.revert(),
            "rebase" => self.rebase(),
            "squash" => self.squash(),
            "stash" => self.stash(),
            "worktree" => self.worktree(),
            "fixup" => self.fixup(),
            "tag" => {
                self.next_name += 1;
                let tag = format!("t{}", self.next_name);
                self.git(&["tag", &tag]);
            }
            "reindex" => drop(Repo::open(&self.dir()).unwrap().reindex().unwrap()),
            "reset" => {
                if let Some(commit) = self.some_commit("HEAD") {
                    self.git(&["reset", "--quiet", "--hard", &commit]);
                }
            }
            _ => {
                let (head, commit) = self.head();
                self.commit(&["--allow-empty"]);
                self.know("HEAD", Commit { parents: vec![head], late: BTreeMap::new(), ..commit });
            }
        }
    }

    fn record(&mut self) {
        let (head, mut commit) = self.head();
        for _ in 0..=self.below(2) {
            let name = format!("R{}", self.below(3));
            let content = self.export_in(&self.dir(), &name);
            commit.has.insert(name, content);
        }
        self.git(&["add", ".1nb"]);
        self.commit(&[]);
        self.know("HEAD", Commit { parents: vec![head], late: BTreeMap::new(), ..commit });
    }

    fn late(&mut self) {
        let (head, mut commit) = self.head();
        let name = format!("L{}", self.below(2));
        let content = self.export_in(&self.dir(), &name);
        self.commit(&["--allow-empty"]);
        self.git(&["clean", "--quiet", "-fd", ".1nb"]);
        commit.has.insert(name.clone(), content);
        let late = BTreeMap::from([(name, Some(content))]);
        self.know("HEAD", Commit { parents: vec![head], late, ..commit });
    }

    fn amend(&mut self) {
        let (_, mut commit) = self.head();
        if commit.parents.len() != 1 {
            return;
        }
        let name = format!("R{}", self.below(3));
        let content = self.export_in(&self.dir(), &name);
        self.git(&["add", ".1nb"]);
        self.git(&["commit", "--quiet", "--amend", "--no-edit"]);
        commit.has.insert(name, content);
        self.know("HEAD", commit);
    }

    fn branch(&mut self) {
        self.next_name += 1;
        let name = format!("b{}", self.next_name);
        self.git(&["switch", "--quiet", "--create", &name]);
    }

    /// Says what a merge of two commits has; the second value lists records in conflict.
    fn merged(&self, ours: &str, theirs: &str) -> Option<(Exports, Vec<String>)> {
        let bases = self.git(&["merge-base", "--all", ours, theirs]);
        // With several bases Git merges those first, which is more than the model knows.
        let base = if bases.lines().count() == 1 { &self.commits[&bases] } else { return None };
        let (left, right) = (&self.commits[ours].has, &self.commits[theirs].has);
        let (mut has, mut conflicts) = (Exports::new(), Vec::new());
        for name in left.keys().chain(right.keys()) {
            let (old, ours, theirs) = (base.has.get(name), left.get(name), right.get(name));
            let chosen = if ours == theirs || theirs == old {
                ours
            } else if ours == old {
                theirs
            } else {
                if name.starts_with('R') && !conflicts.contains(name) {
                    conflicts.push(name.clone());
                }
                ours
            };
            if let Some(content) = chosen {
                has.insert(name.clone(), *content);
            }
        }
        Some((has, conflicts))
    }

    fn merge(&mut self) {
        let Some(branch) = self.other_branch() else { return };
        let (head, other) = (self.id("HEAD"), self.id(&branch));
        let base = self.git(&["merge-base", &head, &other]);
        if base == other || base == head {
            self.git(&["merge", "--quiet", "--ff-only", &branch]);
            return;
        }
        let Some((mut has, conflicts)) = self.merged(&head, &other) else { return };
        let merged = self.try_git(&["merge", "--quiet", "--no-edit", &branch]);
        assert_eq!(merged.status.success(), conflicts.is_empty(), "{merged:?} {conflicts:?} {:#?}", self.done);
        if !conflicts.is_empty() {
            let repo = Repo::open(&self.dir()).unwrap();
            for name in conflicts {
                let side = if self.below(2) == 0 { Side::Ours } else { Side::Theirs };
                repo.take(side, &ExportName::parse(&name).unwrap(), &params_of(&name)).unwrap();
                if side == Side::Theirs {
                    match self.commits[&other].has.get(&name) {
                        Some(content) => has.insert(name.clone(), *content),
                        None => has.remove(&name),
                    };
                }
            }
            self.git(&["commit", "--quiet", "--no-edit"]);
        }
        self.know("HEAD", Commit { has, parents: vec![head, other], late: BTreeMap::new() });
    }

    /// Says what a commit's changes make of another state; `None` where its records conflict.
    fn applied(onto: &Exports, from: Option<&Exports>, commit: &Commit) -> Option<Exports> {
        let empty = Exports::new();
        let (before, mut has) = (from.unwrap_or(&empty), onto.clone());
        let names: Vec<&String> = before.keys().chain(commit.has.keys()).filter(|name| name.starts_with('R')).collect();
        for name in names {
            let (old, new, now) = (before.get(name), commit.has.get(name), onto.get(name));
            if old == new || now == new {
                continue;
            }
            if now != old {
                return None;
            }
            match new {
                Some(content) => has.insert(name.clone(), *content),
                None => has.remove(name),
            };
        }
        Some(has)
    }

    fn with_late(mut has: Exports, late: &BTreeMap<String, Option<u64>>) -> Exports {
        for (name, content) in late {
            match content {
                Some(content) => has.insert(name.clone(), *content),
                None => has.remove(name),
            };
        }
        has
    }

    fn pick(&mut self) {
        let Some(picked) = self.some_commit("--all") else { return };
        let (head, onto) = self.head();
        let commit = self.commits[&picked].clone();
        let parent = self.commits[&commit.parents[0]].has.clone();
        let expected = Self::applied(&onto.has, Some(&parent), &commit);
        let run = self.try_git(&["cherry-pick", "--allow-empty", "--keep-redundant-commits", &picked]);
        assert_eq!(run.status.success(), expected.is_some(), "{run:?} {:#?}", self.done);
        let Some(has) = expected else {
            self.git(&["cherry-pick", "--abort"]);
            return;
        };
        if self.id("HEAD") != picked {
            let late = commit.late;
            self.know("HEAD", Commit { has: Self::with_late(has, &late), parents: vec![head], late });
        }
    }

    fn revert(&mut self) {
        let Some(reverted) = self.some_commit("HEAD") else { return };
        let (head, onto) = self.head();
        let commit = self.commits[&reverted].clone();
        let parent = self.commits[&commit.parents[0]].clone();
        let Some(has) = Self::applied(&onto.has, Some(&commit.has), &parent) else {
            let run = self.try_git(&["revert", "--no-edit", &reverted]);
            assert!(!run.status.success(), "{run:?} {:#?}", self.done);
            self.git(&["revert", "--abort"]);
            return;
        };
        if has == onto.has {
            return; // Git refuses to make an empty commit.
        }
        self.git(&["revert", "--no-edit", &reverted]);
        let mut late = BTreeMap::new();
        for (name, content) in &commit.late {
            if onto.has.get(name).copied() == *content {
                late.insert(name.clone(), parent.has.get(name).copied());
            }
        }
        self.know("HEAD", Commit { has: Self::with_late(has, &late), parents: vec![head], late });
    }

    fn rebase(&mut self) {
        let Some(onto) = self.other_branch() else { return };
        let (head, base) = (self.id("HEAD"), self.id(&onto));
        let listed = self.git(&["rev-list", "--reverse", &format!("{base}..{head}")]);
        let old: Vec<String> = listed.lines().map(str::to_owned).collect();
        let bases = self.git(&["merge-base", "--all", &head, &base]);
        if old.is_empty() || bases == base || old.iter().any(|id| self.commits[id].parents.len() != 1) {
            return;
        }
        let mut states = Vec::new();
        let mut has = self.commits[&base].has.clone();
        for id in &old {
            let commit = &self.commits[id];
            let Some(next) = Self::applied(&has, Some(&self.commits[&commit.parents[0]].has), commit) else { break };
            has = Self::with_late(next, &commit.late);
            states.push(has.clone());
        }
        let args = ["rebase", "--quiet", "--keep-empty", "--empty=keep", "--reapply-cherry-picks", &onto];
        let run = self.try_git(&args);
        assert_eq!(run.status.success(), states.len() == old.len(), "{run:?} {:#?}", self.done);
        if states.len() < old.len() {
            self.git(&["rebase", "--abort"]);
            return;
        }
        let listed = self.git(&["rev-list", "--reverse", &format!("{base}..HEAD")]);
        let new: Vec<String> = listed.lines().map(str::to_owned).collect();
        assert_eq!(new.len(), old.len(), "{:#?}", self.done);
        let mut parent = base;
        for ((id, old), has) in new.into_iter().zip(old).zip(states) {
            let late = self.commits[&old].late.clone();
            self.commits.insert(id.clone(), Commit { has, parents: vec![parent], late });
            parent = id;
        }
    }

    fn squash(&mut self) {
        let Some(branch) = self.other_branch() else { return };
        let (head, other) = (self.id("HEAD"), self.id(&branch));
        let base = self.git(&["merge-base", &head, &other]);
        let listed = self.git(&["rev-list", "--reverse", &format!("{head}..{other}")]);
        let old: Vec<String> = listed.lines().map(str::to_owned).collect();
        let Some((merged, conflicts)) = self.merged(&head, &other) else { return };
        let is_linear = old.iter().all(|id| self.commits[id].parents.len() == 1);
        if base == other || base == head || !conflicts.is_empty() || !is_linear {
            return;
        }
        self.git(&["merge", "--quiet", "--squash", &branch]);
        self.commit(&["--allow-empty"]);
        let mut late = BTreeMap::new();
        for id in &old {
            late.extend(self.commits[id].late.clone());
        }
        let (_, ours) = (head.clone(), &self.commits[&head]);
        // The tree brings the records; only late bindings bring the rest.
        let mut has: Exports = merged.into_iter().filter(|(name, _)| name.starts_with('R')).collect();
        has.extend(ours.has.iter().filter(|(name, _)| name.starts_with('L')).map(|(name, it)| (name.clone(), *it)));
        self.know("HEAD", Commit { has: Self::with_late(has, &late), parents: vec![head], late });
    }

    fn stash(&mut self) {
        let name = format!("R{}", self.below(3));
        if !self.head().1.has.contains_key(&name) {
            return;
        }
        let content = self.export_in(&self.dir(), &name);
        self.git(&["stash", "push", "--quiet"]);
        self.git(&["stash", "pop", "--quiet"]);
        self.git(&["add", ".1nb"]);
        let (head, mut commit) = self.head();
        self.commit(&[]);
        commit.has.insert(name, content);
        self.know("HEAD", Commit { parents: vec![head], late: BTreeMap::new(), ..commit });
    }

    fn worktree(&mut self) {
        self.next_name += 1;
        let (branch, tree) = (format!("w{}", self.next_name), self.root.path().join(format!("w{}", self.next_name)));
        let shown = tree.display().to_string();
        self.git(&["worktree", "add", "--quiet", "-b", &branch, &shown]);
        let (head, mut commit) = self.head();
        let name = format!("R{}", self.below(3));
        let content = self.export_in(&tree, &name);
        self.git(&["-C", &shown, "add", ".1nb"]);
        self.git(&["-C", &shown, "commit", "--quiet", "--message=there"]);
        self.git(&["worktree", "remove", "--force", &shown]);
        commit.has.insert(name, content);
        self.know(&branch, Commit { parents: vec![head], late: BTreeMap::new(), ..commit });
    }

    /// Makes one of the last two commits by `git rebase -i` with `fixup`.
    fn fixup(&mut self) {
        let (head, commit) = self.head();
        let [parent] = commit.parents.as_slice() else { return };
        let before = self.commits[parent].clone();
        let [base] = before.parents.as_slice() else { return };
        let editor = "sequence.editor=sed -i -e '2s/^pick/fixup/'";
        let run = self.try_git(&["-c", editor, "rebase", "--quiet", "--keep-empty", "--empty=keep", "-i", base]);
        if !run.status.success() {
            // The two take each other back, and Git asks what to do with a commit that changes nothing.
            self.git(&["rebase", "--abort"]);
        }
        if self.id("HEAD") == head {
            return;
        }
        let mut late = before.late.clone();
        late.extend(commit.late.clone());
        self.know("HEAD", Commit { has: commit.has, parents: vec![base.clone()], late });
    }

    /// Compares every commit that a reference names, and one in three others, with the model.
    fn check(&self) {
        let workspace = Workspace::open(&self.dir(), Environment::default());
        let named = self.git(&["for-each-ref", "--format=%(objectname)", "refs/heads", "refs/tags"]);
        let all = self.git(&["rev-list", "--all"]);
        let others = all.lines().step_by(3);
        for id in named.lines().chain(others) {
            let found: BTreeMap<String, ContentDigest> = workspace
                .list(None, id)
                .unwrap()
                .into_iter()
                .map(|export| (export.record.name.as_str().to_owned(), export.record.digest))
                .collect();
            let digest = |content: &u64| ContentDigest::of(content.to_string().as_bytes());
            let expected: BTreeMap<String, ContentDigest> =
                self.commits[id].has.iter().map(|(name, content)| (name.clone(), digest(content))).collect();
            assert_eq!(found, expected, "commit {id} should have {:?}\n{:#?}", self.commits[id], self.done);
        }
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for _ in 0..STEPS {
            world.step();
        }
        world.check();
        Repo::open(&world.dir()).unwrap().reindex().unwrap();
        world.check();
        let status = world.git(&["status", "--porcelain"]);
        assert_eq!(status, "", "{:#?}", world.done);
        world.git(&["fsck", "--strict"]);
    }));
    if let Err(panic) = result {
        eprintln!("the history of seed {seed} failed; run it again with ONENB_SEED={seed}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn random_histories_have_what_a_plain_model_says() {
    if let Some(seed) = std::env::var("ONENB_SEED").ok().and_then(|text| text.parse().ok()) {
        return run(seed);
    }
    let threads = std::thread::available_parallelism().map_or(2, usize::from) as u64;
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || (first..SEEDS).step_by(usize::try_from(threads).unwrap()).for_each(run)))
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
}
