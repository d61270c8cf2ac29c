//! The picture of `onenb tune --svg`: what each setting stores against how fast it writes, one panel for each kind.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::tune::{frame, mb_per_s};
use crate::error::{Error, ErrorKind, Result};
use crate::tune::{KindReport, Row, TuneReport};
use crate::{Repo, fs};

const WIDTH: f64 = 720.0;
const PANEL: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 44.0;

const STYLE: &str = "svg{background:#fff}text{font:11px sans-serif;fill:#222}.head{font-size:13px;font-weight:bold}\
.axis{stroke:#b9c0c7;stroke-width:1}.end{text-anchor:end}.middle{text-anchor:middle}.point{fill:#b9c0c7}\
.now{fill:#445}.best{fill:#1b7a5a}";

/// How each picture starts, so that a later one may replace it.
const START: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" data-of=\"onenb tune\"";

/// A file that may be drawn into.
#[derive(Debug)]
pub(super) struct Picture {
    path: PathBuf,
}

impl Picture {
    /// Refuses a place that a picture must not take, before anything is measured.
    pub(super) fn at(path: &Path, force: bool, repo: &Repo) -> Result<Self> {
        Self::outside(path, force, &|path| repo.is_within_git(path))
    }

    fn outside(path: &Path, force: bool, is_within_git: &dyn Fn(&Path) -> bool) -> Result<Self> {
        let refused = |kind, reason: &str, hint: &str| {
            Err(Error::new(kind, format!("cannot draw into `{}`: {reason}", path.display())).with_hint(hint))
        };
        let is_named_as_folder =
            path.as_os_str().as_encoded_bytes().last().is_some_and(|last| std::path::is_separator(char::from(*last)));
        if is_named_as_folder || path.is_dir() {
            return refused(ErrorKind::Failed, "it is a folder", "name a file with `--svg FILE`");
        }
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let (Ok(folder), Some(name)) = (folder.canonicalize(), path.file_name()) else {
            return refused(ErrorKind::Failed, "there is no such folder", "name a file with `--svg FILE`");
        };
        // A link is as good as where it leads.
        let target = folder.join(name);
        let target = target.canonicalize().unwrap_or(target);
        if is_within_git(&target) || target.components().any(|part| part.as_os_str().eq_ignore_ascii_case(".git")) {
            return refused(ErrorKind::Failed, "Git keeps its data there", "name a file with `--svg FILE`");
        }
        if target.metadata().is_ok_and(|known| !known.is_file()) {
            // A device would be replaced for everybody, and a pipe be waited for.
            return refused(ErrorKind::Failed, "it is no regular file", "name a file with `--svg FILE`");
        }
        if !force && target.symlink_metadata().is_ok() && !is_ours(&target) {
            let reason = "it is there and not a picture of `onenb tune`";
            return refused(ErrorKind::Conflict, reason, "name another file, or replace it with `--force`");
        }
        Ok(Self { path: target })
    }

    /// Draws a report.
    pub(super) fn draw(&self, report: &TuneReport) -> Result<()> {
        let wrap = |error| Error::from(error).context(format!("could not write `{}`", self.path.display()));
        fs::write_atomic(&self.path, draw(report).as_bytes()).map_err(wrap)
    }
}

fn is_ours(path: &Path) -> bool {
    let mut start = vec![];
    let read = std::fs::File::open(path).and_then(|file| file.take(START.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == START.as_bytes()
}

/// Where values lie on an axis.
struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    /// Makes an axis that holds all values with some room.
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values.fold((f64::INFINITY, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
        Self { low: low * 0.9, high: (high * 1.1).max(low * 0.9 + 1e-6), from, to }
    }

    fn at(&self, value: f64) -> f64 {
        self.from + (value - self.low) / (self.high - self.low) * (self.to - self.from)
    }

    /// As [`Scale::at`], each doubling as wide as the next.
    fn at_log(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + share * (self.to - self.from)
    }
}

/// Draws a report.
fn draw(report: &TuneReport) -> String {
    let panels: Vec<&KindReport> = report.kinds.iter().filter(|kind| !kind.rows.is_empty()).collect();
    let count = u32::try_from(panels.len().max(1)).unwrap_or(1);
    let height = PANEL * f64::from(count);
    let mut svg = format!(
        "{START} width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\">\n\
         <title>onenb tune --for {}: bytes stored against speed of writing</title>\n<style>{STYLE}</style>\n",
        report.objective.name()
    );
    if panels.is_empty() {
        let _ = writeln!(svg, "<text x=\"{LEFT}\" y=\"{TOP}\">There was too little data to measure.</text>");
    }
    let mut top = 0.0;
    for kind in panels {
        panel(&mut svg, kind, top);
        top += PANEL;
    }
    svg.push_str("</svg>\n");
    svg
}

/// Draws one kind below `top`.
fn panel(svg: &mut String, kind: &KindReport, top: f64) {
    let stored =
        |row: &Row| mb_per_s(row.measured.stored_bytes, 1.0) / mb_per_s(row.measured.raw_bytes, 1.0).max(1e-9) * 100.0;
    let speed = |row: &Row| mb_per_s(row.measured.raw_bytes, row.measured.write_seconds).max(1e-3);
    let (bottom, right) = (top + PANEL - BOTTOM, WIDTH - RIGHT);
    let x = Scale::over(kind.rows.iter().map(speed), LEFT, right);
    let y = Scale::over(kind.rows.iter().map(stored), bottom, top + TOP);
    let _ = write!(
        svg,
        "<text x=\"{LEFT}\" y=\"{:.0}\" class=\"head\">{}: percent stored, MB/s written (to the right and below is better)</text>\n\
         <path d=\"M{LEFT} {:.0}V{bottom:.0}H{right:.0}\" class=\"axis\" fill=\"none\"/>\n",
        top + 24.0,
        kind.kind,
        top + TOP,
    );
    for share in [0.0, 0.5, 1.0] {
        let value = y.low + (y.high - y.low) * share;
        let _ = writeln!(
            svg,
            "<text x=\"{:.0}\" y=\"{:.1}\" class=\"end\">{value:.1} %</text>",
            LEFT - 6.0,
            y.at(value) + 4.0
        );
        let value = x.low * (x.high / x.low).powf(share);
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.0}\" class=\"middle\">{value:.0}</text>",
            x.at_log(value),
            bottom + 18.0
        );
    }
    for (number, row) in kind.rows.iter().enumerate() {
        let class = match number {
            _ if number == kind.chosen => "best",
            0 => "now",
            _ => "point",
        };
        let radius = if class == "point" { 4 } else { 6 };
        let (x, y) = (x.at_log(speed(row)), y.at(stored(row)));
        let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" class=\"{class}\"/>");
        let mark = match (number == 0, number == kind.chosen) {
            (true, true) => " (now, best)",
            (true, false) => " (now)",
            (false, true) => " (best)",
            (false, false) => "",
        };
        // Labels of points on the right stand on their left.
        let (place, class) = if x > WIDTH * 0.75 { (x - 9.0, " class=\"end\"") } else { (x + 9.0, "") };
        let _ = writeln!(svg, "<text x=\"{place:.1}\" y=\"{:.1}\"{class}>{}{mark}</text>", y - 5.0, label(row));
    }
}

/// Names a setting by what is not as usual.
fn label(row: &Row) -> String {
    let encoding = row.encoding;
    let mut text = format!("{}", encoding.level);
    if encoding.frame_len != crate::format::encoding::MAX_FRAME_LEN {
        let _ = write!(text, ", {}", frame(encoding.frame_len));
    }
    if !encoding.shuffle {
        text.push_str(", no shuffle");
    }
    if !encoding.delta {
        text.push_str(", no delta");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tune::tests::planted;
    use super::*;
    use crate::tune::{Objective, Verdict};

    #[test]
    fn the_picture_has_a_point_for_every_setting_within_its_frame() {
        let kinds = vec![planted(Verdict::Better), planted(Verdict::PresentIsBest)];
        let svg = draw(&TuneReport { objective: Objective::Cost, remote_latency: None, kinds });
        assert_eq!(svg.matches("<circle").count(), 4);
        assert_eq!(svg.matches("class=\"best\"/>").count(), 2);
        assert!(svg.contains(">12, 64 KiB, no delta (best)</text>") && svg.contains(">3 (now)</text>"), "{svg}");
        for place in svg.split("cx=\"").skip(1) {
            let x: f64 = place.split('"').next().unwrap().parse().unwrap();
            assert!((LEFT..WIDTH - RIGHT).contains(&x), "{svg}");
        }
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }

    #[test]
    fn a_picture_replaces_nothing_but_pictures_and_never_what_git_keeps() {
        let dir = tempfile::tempdir().unwrap();
        let (git, plain, ours) = (dir.path().join("bare"), dir.path().join("notes"), dir.path().join("tune.svg"));
        fs::create_dir_all(&git).unwrap();
        fs::create_dir_all(&dir.path().join("x/.Git")).unwrap();
        fs::write_atomic(&plain, b"mine").unwrap();
        let at =
            |path: &Path, force| Picture::outside(path, force, &|path| path.starts_with(git.canonicalize().unwrap()));
        let report = TuneReport { objective: Objective::Cost, remote_latency: None, kinds: vec![] };
        at(&ours, false).unwrap().draw(&report).unwrap();
        at(&ours, false).unwrap();
        assert_eq!(at(&plain, false).unwrap_err().kind(), ErrorKind::Conflict);
        at(&plain, true).unwrap();
        for (refused, reason) in [
            (git.join("HEAD"), "Git keeps"),
            (dir.path().join("x/.Git/HEAD"), "Git keeps"),
            (git.clone(), "a folder"),
            (dir.path().join("none/a.svg"), "no such folder"),
            (dir.path().join("none/"), "a folder"),
            (".".into(), "a folder"),
            // Replacing one would take it from the whole machine; opening a pipe would wait for ever.
            #[cfg(unix)]
            ("/dev/null".into(), "no regular file"),
        ] {
            for force in [false, true] {
                let refusal = at(&refused, force).unwrap_err();
                assert!(refusal.to_string().contains(reason) && refusal.hint().is_some(), "{refusal}");
            }
        }
        assert_eq!(std::fs::read(&plain).unwrap(), b"mine");
    }

    #[test]
    fn a_single_setting_and_no_data_can_be_drawn_too() {
        let mut kind = planted(Verdict::PresentIsBest);
        kind.rows.truncate(1);
        kind.chosen = 0;
        let draw = |kinds| draw(&TuneReport { objective: Objective::Size, remote_latency: None, kinds });
        assert!(draw(vec![kind.clone()]).contains("3 (now, best)"));
        kind.rows.clear();
        assert!(draw(vec![kind]).contains("too little data"));
        assert!(!draw(vec![]).contains("NaN"));
    }
}
