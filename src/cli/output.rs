//! Where words go: data to stdout, talk and progress to stderr.

use std::env;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::errors::Failure;
use super::render::visible;
use crate::host;
use crate::{Environment, OfflineNote, Progress, Repo, Workspace};

/// Work shorter than this shows no progress.
const PROGRESS_DELAY: Duration = Duration::from_millis(500);
/// Exit code of a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// When to colour the talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ColorWhen {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Even into a file
    Always,
    /// Never
    Never,
}

/// The word in front of a line of talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Label {
    Error,
    Warning,
    Hint,
}

impl Label {
    fn word(self) -> &'static str {
        match self {
            Self::Error => "error:",
            Self::Warning => "warning:",
            Self::Hint => "hint:",
        }
    }

    fn ansi(self) -> &'static str {
        match self {
            Self::Error => "\x1b[1;31m",
            Self::Warning => "\x1b[1;33m",
            Self::Hint => "\x1b[1;36m",
        }
    }
}

/// How much is said on stderr, and how it looks. A failed write to stderr is ignored: there is nowhere to report it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Talk {
    quiet: bool,
    verbose: bool,
    coloured: bool,
}

impl Talk {
    pub(super) fn new(quiet: bool, verbose: bool, color: ColorWhen) -> Self {
        let coloured = match color {
            ColorWhen::Always => true,
            ColorWhen::Never => false,
            ColorWhen::Auto => io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|set| set.is_empty()),
        };
        Self { quiet, verbose, coloured }
    }

    pub(super) fn is_verbose(self) -> bool {
        self.verbose
    }

    /// Says what was done or what to do next; `-q` hides it.
    pub(super) fn note(self, text: &str) {
        if !self.quiet {
            Self::line(text);
        }
    }

    /// Says what only `-v` wants to hear.
    pub(super) fn detail(self, text: &str) {
        if self.verbose {
            Self::line(text);
        }
    }

    /// Says what may surprise later; not even `-q` hides it.
    pub(super) fn warn(self, text: &str) {
        self.say(Label::Warning, text);
    }

    /// Writes a labelled line.
    pub(super) fn say(self, label: Label, text: &str) {
        let (on, off) = if self.coloured { (label.ansi(), "\x1b[0m") } else { ("", "") };
        let _ = writeln!(io::stderr().lock(), "{on}{}{off} {}", label.word(), visible(text));
    }

    /// Writes a line as it is.
    pub(super) fn line(text: &str) {
        let _ = writeln!(io::stderr().lock(), "{}", visible(text));
    }
}

/// What every command gets: where it runs and how it may speak.
pub(super) struct Context {
    dir: PathBuf,
    json: bool,
    may_show_progress: bool,
    interrupt: OnceLock<Arc<AtomicBool>>,
    offline: OfflineNote,
    /// Talk on stderr.
    pub(super) talk: Talk,
}

impl Context {
    pub(super) fn new(dir: PathBuf, talk: Talk, json: bool, may_show_progress: bool) -> Self {
        Self { dir, json, may_show_progress, interrupt: OnceLock::new(), offline: OfflineNote::default(), talk }
    }

    /// Returns the directory the program runs in.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Opens the place that specifications are resolved from.
    pub(super) fn workspace(&self) -> Workspace {
        let environment = Environment { offline: self.offline.clone(), ..host::environment() };
        Workspace::open(&self.dir, environment)
    }

    /// As [`Context::workspace`] for a command that Git runs as a hook. In the main work tree it need not say so by
    /// `GIT_DIR`, but it may name another index.
    pub(super) fn workspace_of_hook(&self) -> Workspace {
        Workspace::open(&self.dir, Environment { in_hook: true, ..host::environment() })
    }

    /// Says, once, that a remote could not be reached and the cache answered.
    pub(super) fn tell_offline(&self) {
        if let Some(note) = self.offline.take() {
            self.talk.warn(&note);
        }
    }

    /// Says that new data is written with the defaults because the settings cannot be used.
    pub(super) fn tell_settings(&self, repo: &Repo) {
        if let Some(note) = repo.settings_note() {
            self.talk.warn(&note);
        }
    }

    /// Prints data: the document with `--json`, else the text.
    pub(super) fn print(&self, document: &impl Serialize, text: impl FnOnce() -> String) -> Result<(), Failure> {
        let mut stdout = stdout();
        if self.json {
            let written = serde_json::to_writer_pretty(&mut stdout, document).map_err(io::Error::from);
            written.and_then(|()| stdout.write_all(b"\n")).map_err(Failure::of_stdout)?;
        } else {
            stdout.write_all(text().as_bytes()).map_err(Failure::of_stdout)?;
        }
        finish(stdout)
    }

    /// Ends a command that has no data: the document with `--json`, else a line of talk.
    pub(super) fn conclude(&self, document: &impl Serialize, note: impl FnOnce() -> String) -> Result<(), Failure> {
        if self.json {
            return self.print(document, String::new);
        }
        self.talk.note(&note());
        Ok(())
    }

    /// Starts progress on stderr. From here on the first Ctrl-C asks the work to stop and the second ends the program.
    pub(super) fn progress(&self) -> ProgressLine {
        self.progress_line(self.may_show_progress && io::stderr().is_terminal())
    }

    /// As [`Context::progress`], but only listening to Ctrl-C, for commands whose stdout may be the same terminal.
    pub(super) fn quiet_progress(&self) -> ProgressLine {
        self.progress_line(false)
    }

    fn progress_line(&self, is_shown: bool) -> ProgressLine {
        let interrupt = Arc::clone(self.interrupt.get_or_init(listen));
        ProgressLine { is_shown, interrupt, started: Instant::now(), bar: None }
    }
}

/// Locks stdout. The caller flushes, through [`finish`].
pub(super) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(64 * 1024, io::stdout().lock())
}

/// Flushes stdout, so that a full disk or a closed pipe behind it is noticed.
pub(super) fn finish(mut stdout: BufWriter<StdoutLock<'static>>) -> Result<(), Failure> {
    stdout.flush().and_then(|()| stdout.get_mut().flush()).map_err(Failure::of_stdout)
}

/// Turns the first Ctrl-C into a flag and lets the second one end the process.
fn listen() -> Arc<AtomicBool> {
    let flag = Arc::new(AtomicBool::new(false));
    // Order matters: the first signal finds the flag unset here and is caught by the line below. Where no handler can
    // be installed Ctrl-C keeps its default, which is safe too: nothing half done is ever visible.
    let _ =
        signal_hook::flag::register_conditional_shutdown(signal_hook::consts::SIGINT, INTERRUPTED, Arc::clone(&flag));
    let _ = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::clone(&flag));
    flag
}

/// One line of progress on a terminal; it appears late, and vanishes when dropped.
pub(super) struct ProgressLine {
    is_shown: bool,
    interrupt: Arc<AtomicBool>,
    started: Instant,
    bar: Option<ProgressBar>,
}

impl ProgressLine {
    /// Takes news of the work; `false` asks it to stop.
    pub(super) fn update(&mut self, news: Progress) -> bool {
        if self.is_shown && (self.bar.is_some() || self.started.elapsed() >= PROGRESS_DELAY) {
            let bar = self.bar.get_or_insert_with(new_bar);
            bar.set_message(news.doing);
            match news.total {
                Some(total) => bar.set_length(total),
                None => bar.unset_length(),
            }
            bar.set_position(news.done);
        }
        !self.interrupt.load(Ordering::Relaxed)
    }
}

impl Drop for ProgressLine {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn new_bar() -> ProgressBar {
    let style = ProgressStyle::with_template("{msg} {decimal_bytes}/{decimal_total_bytes} ({decimal_bytes_per_sec})")
        .expect("the template is a constant and right");
    ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style)
}
