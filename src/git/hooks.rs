//! Our block in the hooks that Git runs.
//!
//! - The block is marked, comes first, and calls the program recorded at install, else the one on PATH.
//! - Hooks of others keep their bytes, their mode, their stdin and their exit status. One that is no shell script, is a
//!   link, or is switched off is moved beside (`<hook>.onenb-chained`) and called from there.
//! - Tools that move hooks do so with ours: it is also looked for where pre-commit and lefthook put it.
//! - Nothing but a refusal of pre-push, by exit status 1, ever stops Git.
//! - `core.hooksPath` is honoured; in a husky directory, whose `_` husky rewrites, the tracked file beside it is used.

mod block;

use std::path::{Path, PathBuf};

use block::{Block, CHAINED_SUFFIX, Parts, Tail};

use super::{GitError, GitRepo};

/// Longest hook that is edited in place, in bytes; a longer one is moved beside.
const MAX_HOOK_LEN: u64 = 1 << 20;

const SHEBANG: &[u8] = b"#!/bin/sh\n";

/// Interpreters that understand our block.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "ksh", "ksh93", "mksh", "zsh"];

/// An event that Git calls a hook for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HookEvent {
    /// Before a commit is made.
    PreCommit,
    /// After a commit was made.
    PostCommit,
    /// After a merge, or a pull that merged or moved forward.
    PostMerge,
    /// After commits were replaced by amending or rebasing.
    PostRewrite,
    /// After another commit or branch was checked out.
    PostCheckout,
    /// Before references are pushed.
    PrePush,
}

impl HookEvent {
    /// Every event that we have a hook for.
    pub const ALL: [Self; 6] =
        [Self::PreCommit, Self::PostCommit, Self::PostMerge, Self::PostRewrite, Self::PostCheckout, Self::PrePush];

    /// Returns Git's name of the event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PreCommit => "pre-commit",
            Self::PostCommit => "post-commit",
            Self::PostMerge => "post-merge",
            Self::PostRewrite => "post-rewrite",
            Self::PostCheckout => "post-checkout",
            Self::PrePush => "pre-push",
        }
    }

    /// Returns the event with Git's name `name`.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == name)
    }

    fn reads_stdin(self) -> bool {
        matches!(self, Self::PostRewrite | Self::PrePush)
    }

    fn may_refuse(self) -> bool {
        self == Self::PrePush
    }
}

/// Whether Git calls us on an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventState {
    /// Our block is there, as this version writes it.
    Current,
    /// Our block is there, of another version or in a file that Git does not run.
    Outdated,
    /// Our block is not there.
    Missing,
}

/// The state of the hooks of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookStatus {
    /// The directory that was looked at.
    pub dir: PathBuf,
    /// Each event and its state.
    pub events: Vec<(HookEvent, EventState)>,
    /// A recorded program that is no longer there.
    pub dead_path: Option<PathBuf>,
}

impl HookStatus {
    /// Returns whether every hook is installed, up to date, and calls a program that exists.
    pub fn is_current(&self) -> bool {
        self.dead_path.is_none() && self.events.iter().all(|(_, state)| *state == EventState::Current)
    }
}

/// What installing or uninstalling did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookReport {
    /// The directory with the hooks.
    pub dir: PathBuf,
    /// Whether the directory lies outside the repository, so that other repositories use it too.
    pub is_shared: bool,
    /// The events whose files were written or removed; the others were as they should be.
    pub changed: Vec<HookEvent>,
    /// The events whose earlier hook now lies beside ours.
    pub chained: Vec<HookEvent>,
}

/// Where the hooks of a repository are.
struct Place {
    dir: PathBuf,
    is_shared: bool,
    /// Husky runs the files with `sh`, executable or not, and they are tracked: no path of this machine in them.
    is_husky: bool,
}

impl Place {
    fn hook(&self, event: HookEvent) -> PathBuf {
        self.dir.join(event.as_str())
    }

    fn chained(&self, event: HookEvent) -> PathBuf {
        self.dir.join(format!("{}{CHAINED_SUFFIX}", event.as_str()))
    }

    /// The file that Git runs, else the one that pre-commit moved it to and calls, whichever has our block.
    fn ours(&self, event: HookEvent) -> Result<PathBuf, GitError> {
        let [legacy, _] = self.moved(event);
        let is_called = exists(&self.hook(event)) && !has_block(&self.hook(event))? && has_block(&legacy)?;
        Ok(if is_called { legacy } else { self.hook(event) })
    }

    /// Where other tools put a hook that they find: pre-commit, which still calls it, and lefthook, which does not.
    fn moved(&self, event: HookEvent) -> [PathBuf; 2] {
        ["legacy", "old"].map(|suffix| self.dir.join(format!("{}.{suffix}", event.as_str())))
    }

    fn report(self) -> HookReport {
        HookReport { dir: self.dir, is_shared: self.is_shared, changed: Vec::new(), chained: Vec::new() }
    }
}

impl GitRepo {
    /// Puts our block first into each hook that Git runs here; `program` is the absolute path to call.
    ///
    /// Doing it again brings the blocks up to date.
    ///
    /// # Errors
    /// [`GitError::HookPlace`] or [`GitError::File`]; hooks before the failing one are installed.
    pub fn install_hooks(&self, program: &Path) -> Result<HookReport, GitError> {
        let refuse = |reason| GitError::HookPlace { path: program.to_path_buf(), reason };
        let text = program.to_str().ok_or_else(|| refuse("the program's path is not UTF-8"))?;
        if !program.is_absolute() || text.chars().any(char::is_control) {
            return Err(refuse("the program's path is relative or has control characters"));
        }
        let place = self.hook_place()?;
        // Shells want `/` on Windows too.
        let recorded = if cfg!(windows) { text.replace('\\', "/") } else { text.to_owned() };
        let recorded = (!place.is_husky).then_some(recorded);
        crate::fs::create_dir_all(&place.dir).map_err(GitError::file("create", &place.dir))?;
        let (mut changed, mut chained) = (Vec::new(), Vec::new());
        for event in HookEvent::ALL {
            if install(&place, event, recorded.as_deref())? {
                changed.push(event);
            }
            if exists(&place.chained(event)) {
                chained.push(event);
            }
        }
        Ok(HookReport { changed, chained, ..place.report() })
    }

    /// Takes our block out of every hook; what was there before is there again, byte for byte, with its mode.
    ///
    /// # Errors
    /// As [`Self::install_hooks`].
    pub fn uninstall_hooks(&self) -> Result<HookReport, GitError> {
        let place = self.hook_place()?;
        let mut changed = Vec::new();
        for event in HookEvent::ALL {
            if uninstall(&place, event)? {
                changed.push(event);
            }
        }
        Ok(HookReport { changed, ..place.report() })
    }

    /// Looks at the hooks and changes nothing.
    ///
    /// # Errors
    /// As [`Self::install_hooks`].
    pub fn hook_status(&self) -> Result<HookStatus, GitError> {
        let place = match self.hook_place() {
            Ok(place) => place,
            // `core.hooksPath` names no directory: hooks are switched off, which is a state and no failure.
            Err(GitError::HookPlace { path, .. }) => {
                let events = HookEvent::ALL.into_iter().map(|event| (event, EventState::Missing)).collect();
                return Ok(HookStatus { dir: path, events, dead_path: None });
            }
            Err(error) => return Err(error),
        };
        let mut status = HookStatus { dir: place.dir.clone(), events: Vec::new(), dead_path: None };
        for event in HookEvent::ALL {
            let path = place.ours(event)?;
            let file = if is_plain_file(&path) { read(&path)? } else { Vec::new() };
            let state = match find(&path, &file)? {
                // Lying where nobody runs it, it is still to be installed again or taken out.
                None if has_moved_block(&place, event)? => EventState::Outdated,
                None => EventState::Missing,
                Some(parts) => {
                    let program = parts.program();
                    if let Some(program) = program.as_deref().map(Path::new).filter(|program| !program.is_file()) {
                        status.dead_path = Some(program.to_path_buf());
                    }
                    let wanted = Block { event, program, tail: tail_of(&place, event, &parts) };
                    let runs = place.is_husky || is_executable(&path);
                    if runs && parts.block == wanted.to_text().as_bytes() {
                        EventState::Current
                    } else {
                        EventState::Outdated
                    }
                }
            };
            status.events.push((event, state));
        }
        Ok(status)
    }

    fn hook_place(&self) -> Result<Place, GitError> {
        let repo = self.local();
        let configured = repo
            .config_snapshot()
            .trusted_path("core.hooksPath")
            .map_err(GitError::damaged("the setting core.hooksPath"))?;
        // A relative path starts where Git runs hooks.
        let base = self.work_dir().unwrap_or(self.git_dir());
        let dir = configured.map_or_else(|| self.common_dir().join("hooks"), |path| base.join(path));
        if exists(&dir) && !dir.is_dir() {
            let reason = "it is no directory; core.hooksPath may switch hooks off";
            return Err(GitError::HookPlace { path: dir, reason });
        }
        let is_husky = dir.file_name().is_some_and(|name| name == "_")
            && (dir.join("h").is_file() || dir.join("husky.sh").is_file());
        let dir = if is_husky { dir.parent().map_or(dir.clone(), Path::to_path_buf) } else { dir };
        let is_inside = |top: &Path| dir.starts_with(top);
        let is_shared = !is_inside(self.common_dir()) && !self.work_dir().is_some_and(is_inside);
        Ok(Place { dir, is_shared, is_husky })
    }
}

/// Brings the hook of one event up to date; `false` if it was.
fn install(place: &Place, event: HookEvent, program: Option<&str>) -> Result<bool, GitError> {
    let path = place.ours(event)?;
    let block = |tail| Block { event, program: program.map(str::to_owned), tail }.to_text();
    if !exists(&path) {
        let tail = if exists(&place.chained(event)) { Tail::Chained } else { Tail::Nothing };
        create(&path, &block(tail))?;
        return Ok(true);
    }
    let file = if is_plain_file(&path) { read(&path)? } else { Vec::new() };
    if let Some(parts) = find(&path, &file)? {
        let wanted = block(tail_of(place, event, &parts));
        let is_stale = parts.block != wanted.as_bytes();
        if is_stale {
            rewrite(&path, &[parts.before, wanted.as_bytes(), parts.after].concat())?;
        }
        let is_off = !place.is_husky && !is_executable(&path);
        if is_off {
            crate::fs::set_executable(&path).map_err(GitError::file("make executable", &path))?;
        }
        return Ok(is_stale || is_off);
    }
    let runs = place.is_husky || is_executable(&path);
    match insertion_point(&file).filter(|_| runs && is_plain_file(&path)) {
        Some(at) => {
            let (before, after) = file.split_at(at);
            rewrite(&path, &[before, block(Tail::Lines).as_bytes(), after].concat())?;
        }
        None => chain(&path, &place.chained(event), &block(Tail::Chained))?,
    }
    Ok(true)
}

/// Takes our part out of the hook of one event, wherever that was moved to; `false` if there was none.
fn uninstall(place: &Place, event: HookEvent) -> Result<bool, GitError> {
    let (path, chained) = (place.hook(event), place.chained(event));
    let [legacy, old] = place.moved(event);
    let mut was_there = false;
    for path in [&path, &legacy, &old] {
        was_there |= uninstall_from(path, &chained)?;
    }
    // A crash between the two steps of chaining leaves this.
    if !was_there && !exists(&path) && exists(&chained) {
        crate::fs::rename(&chained, &path).map_err(GitError::file("restore", &path))?;
        was_there = true;
    }
    Ok(was_there)
}

fn uninstall_from(path: &Path, chained: &Path) -> Result<bool, GitError> {
    if !is_plain_file(path) {
        return Ok(false);
    }
    let file = read(path)?;
    let Some(parts) = find(path, &file)? else { return Ok(false) };
    let rest = parts.without_block();
    if !parts.is_ours() {
        rewrite(path, &rest)?;
    } else if exists(chained) {
        if rest != SHEBANG {
            let reason = "lines were added to it and an earlier hook lies beside it; merge them by hand";
            return Err(GitError::HookPlace { path: path.to_path_buf(), reason });
        }
        crate::fs::rename(chained, path).map_err(GitError::file("restore", path))?;
    } else if rest == SHEBANG {
        crate::fs::remove_file(path).map_err(GitError::file("remove", path))?;
    } else {
        rewrite(path, &rest)?;
    }
    Ok(true)
}

fn has_block(path: &Path) -> Result<bool, GitError> {
    Ok(is_plain_file(path) && find(path, &read(path)?)?.is_some())
}

fn has_moved_block(place: &Place, event: HookEvent) -> Result<bool, GitError> {
    let [legacy, old] = place.moved(event);
    Ok(has_block(&legacy)? || has_block(&old)?)
}

fn tail_of(place: &Place, event: HookEvent, parts: &Parts<'_>) -> Tail {
    if !parts.is_ours() {
        Tail::Lines
    } else if exists(&place.chained(event)) {
        Tail::Chained
    } else {
        Tail::Nothing
    }
}

/// Moves a hook beside and puts ours in its place.
fn chain(path: &Path, chained: &Path, block: &str) -> Result<(), GitError> {
    if exists(chained) {
        let reason = "another moved hook has this name; remove one of the two";
        return Err(GitError::HookPlace { path: chained.to_path_buf(), reason });
    }
    if path.is_dir() && !path.is_symlink() {
        return Err(GitError::HookPlace { path: path.to_path_buf(), reason: "it is a directory" });
    }
    crate::fs::rename(path, chained).map_err(GitError::file("move", path))?;
    create(path, block).inspect_err(|_| {
        let _ = crate::fs::rename(chained, path);
    })
}

fn create(path: &Path, block: &str) -> Result<(), GitError> {
    crate::fs::write_atomic(path, &[SHEBANG, block.as_bytes()].concat()).map_err(GitError::file("write", path))?;
    crate::fs::set_executable(path).map_err(GitError::file("make executable", path))
}

fn rewrite(path: &Path, bytes: &[u8]) -> Result<(), GitError> {
    crate::fs::write_atomic_keeping_mode(path, bytes).map_err(GitError::file("write", path))
}

/// Reads a hook; one too long to be edited reads as binary.
fn read(path: &Path) -> Result<Vec<u8>, GitError> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > MAX_HOOK_LEN) {
        return Ok(vec![0]);
    }
    crate::fs::read_bounded(path, MAX_HOOK_LEN).map_err(GitError::file("read", path))
}

fn find<'a>(path: &Path, file: &'a [u8]) -> Result<Option<Parts<'a>>, GitError> {
    block::find(file).map_err(|reason| GitError::HookPlace { path: path.to_path_buf(), reason })
}

/// Returns where the block goes in a shell script; `None` if the file is none.
fn insertion_point(file: &[u8]) -> Option<usize> {
    let Some(line) = file.strip_prefix(b"#!") else {
        // Git hands a text without `#!` to `sh`.
        return (!file.contains(&0) && std::str::from_utf8(file).is_ok()).then_some(0);
    };
    let len = line.iter().position(|byte| *byte == b'\n')?;
    let line = std::str::from_utf8(line.get(..len)?).ok()?;
    let mut words = line.split_whitespace();
    let base = |word: &str| word.rsplit(['/', '\\']).next().unwrap_or(word).trim_end_matches(".exe").to_owned();
    let mut interpreter = base(words.next()?);
    if interpreter == "env" {
        interpreter = base(words.find(|word| !word.starts_with('-') && !word.contains('='))?);
    }
    SHELLS.contains(&interpreter.as_str()).then_some(len + 3)
}

/// Returns whether anything has this name, a dangling link too.
fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}

fn is_plain_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(path: &Path) -> bool {
    path.is_file()
}

#[cfg(test)]
mod tests;
