//! `onenb tune`: measures how data is best stored here, and writes that down.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use super::errors::{Exit, Failure};
use super::json::document;
use super::json_tune::{InForce, Restored, Tuned};
use super::output::Context;
use super::render::{self, Align, size};
use super::tune_chart::Picture;
use crate::error::Result;
use crate::format::encoding::{Encoding, Encodings};
use crate::tune::{self, Content, HeldOut, KindReport, Objective, Row, Source, TuneOptions, TuneReport, Verdict};
use crate::{Progress, Repo};

const MIB: u64 = 1024 * 1024;
/// The present setting beside itself: from here on it is said that the machine was busy.
const MUCH_NOISE: f64 = 0.1;

const EXAMPLES: &str = "\
Examples:
  onenb tune
  onenb tune --for size --svg tune.svg
  onenb tune --for speed --apply
  onenb tune --show
  onenb tune --undo";

/// Measure how your data is best stored here; --apply writes with that from now on
///
/// Samples the exports of this repository, by kind of content, and writes and reads the sample with other settings:
/// level of compression, length of frames, byte shuffle, deltas. The best setting counts only if it also wins on data
/// that it was not chosen on. Settings change how new data is encoded and nothing else: what is stored stays as it is,
/// identities stay the same, and anybody can read both.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Args {
    /// What is to be good: balanced, size, speed or cost
    ///
    /// Each setting is compared with the present one on the same data, as ratios to the power of their weights,
    /// multiplied; smaller is better. balanced: stored bytes 1/2, the times of writing, of reading all and of reading 4
    /// KiB anywhere 1/6 each, and never a quarter more bytes. size: stored bytes alone, however long it takes. speed:
    /// writing 1/2, reading all 1/4, reading anywhere 1/4. cost: dollars a year in a cloud, at the prices of
    /// `docs/tune.md`.
    #[arg(long = "for", value_name = "GOAL", value_enum, default_value_t = Goal::Balanced)]
    #[arg(hide_possible_values = true)]
    goal: Goal,
    /// Write new data with the settings that proved better, until `--undo`
    #[arg(long)]
    apply: bool,
    /// Forget all settings: write new data with the defaults again
    #[arg(long, visible_alias = "reset", conflicts_with_all = ["apply", "svg", "goal", "sample", "time"])]
    undo: bool,
    /// Show how new data is written now, and measure nothing
    #[arg(long, conflicts_with_all = ["apply", "undo", "svg", "goal", "sample", "time"])]
    show: bool,
    /// Draw what was measured into FILE
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Let `--svg` replace a file that is not a picture of `onenb tune`
    #[arg(long, requires = "svg")]
    force: bool,
    /// Sample at most this many MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=4096))]
    sample: u64,
    /// Sample and try settings for about this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    time: u64,
}

/// What is to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Goal {
    Balanced,
    Size,
    Speed,
    Cost,
}

impl Goal {
    fn objective(self) -> Objective {
        match self {
            Self::Balanced => Objective::Balanced,
            Self::Size => Objective::Size,
            Self::Speed => Objective::Speed,
            Self::Cost => Objective::Cost,
        }
    }
}

pub(super) fn run(args: &Args, ctx: &Context) -> std::result::Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    if args.undo {
        return undo(repo, ctx);
    }
    let present = repo.encodings()?;
    if args.show {
        ctx.print(&document(InForce::new(&present)), || in_force(&present))?;
        return Ok(Exit::Success);
    }
    let picture = args.svg.as_deref().map(|path| Picture::at(path, args.force, repo)).transpose()?;
    let objective = args.goal.objective();
    let options = TuneOptions {
        objective,
        sample_len: args.sample * MIB,
        time_limit: Duration::from_secs(args.time),
        remote_latency: if objective.counts_requests() { latency(repo, ctx) } else { None },
    };
    let report = measure(repo, &present, &options, ctx)?;
    let better = report.settings(&present)?.filter(|_| args.apply);
    // What was measured is shown whatever happens then, and nothing is applied by a command that fails.
    let drawn = picture.map_or(Ok(()), |picture| picture.draw(&report));
    let applied = drawn.and_then(|()| better.map(|settings| repo.set_encodings(&settings)).transpose());
    let is_applied = matches!(applied, Ok(Some(())));
    ctx.print(&document(Tuned::new(&report, is_applied)), || text(&report))?;
    applied?;
    tell(&report, args, is_applied, ctx);
    Ok(Exit::Success)
}

/// Writes the settings, a line for each kind.
fn in_force(encodings: &Encodings) -> String {
    encodings.to_string().replace("; ", "\n") + "\n"
}

fn undo(repo: &Repo, ctx: &Context) -> std::result::Result<Exit, Failure> {
    // A file that cannot be used is taken away too.
    let had_settings = repo.encodings().map_or(true, |encodings| !encodings.is_empty());
    repo.set_encodings(&Encodings::default())?;
    ctx.conclude(&document(Restored { had_settings }), || {
        let note =
            if had_settings { "new data is written with the defaults again" } else { "there are no settings to undo" };
        note.to_owned()
    })?;
    Ok(Exit::Success)
}

/// Asks the remote; where it does not answer, reads are measured without it.
fn latency(repo: &Repo, ctx: &Context) -> Option<Duration> {
    if !matches!(repo.remote_show(), Ok(None)) {
        ctx.talk.note("asking the remote how far away it is");
    }
    repo.remote_latency().unwrap_or_else(|error| {
        ctx.talk.warn(&format!("reads are measured without the remote: {error}"));
        None
    })
}

fn measure(repo: &Repo, present: &Encodings, options: &TuneOptions, ctx: &Context) -> Result<TuneReport> {
    let versions = repo.export_versions()?.into_iter();
    let to_source = |of: crate::ExportVersions| Source { name: of.name, group: of.group, versions: of.contents };
    let sources: Vec<Source> = versions.map(to_source).collect();
    let open = |digest: &_| -> Result<Content> {
        let (chunks, reader) = repo.open_chunked(digest)?;
        Ok(Content { chunks, reader: Box::new(reader) })
    };
    let scratch = repo.scratch()?;
    let mut line = ctx.progress();
    let mut progress = |done| line.update(Progress { doing: "measuring", done, total: None });
    tune::tune(&sources, &open, &scratch, present, options, &mut progress)
}

/// Says what came of it and what to do next.
fn tell(report: &TuneReport, args: &Args, applied: bool, ctx: &Context) {
    if let Some(path) = &args.svg {
        ctx.talk.note(&format!("drew `{}`", path.display()));
    }
    let is_better = report.kinds.iter().any(|kind| kind.verdict == Verdict::Better);
    let is_measured = report.kinds.iter().any(|kind| kind.best().is_some());
    let goal = report.objective.name();
    ctx.talk.note(&match (applied, is_better) {
        (true, _) => {
            "applied: new data is written so from now on; `onenb tune --undo` goes back to the defaults".to_owned()
        }
        (false, true) => {
            format!("nothing was changed; `onenb tune --for {goal} --apply` measures again and applies what wins")
        }
        (false, false) if !is_measured => {
            "there is too little data to measure, so there is nothing to apply".to_owned()
        }
        (false, false) if report.kinds.iter().all(|kind| kind.verdict != Verdict::PresentIsBest) => {
            "nothing was shown to be better, so there is nothing to apply".to_owned()
        }
        (false, false) => format!("nothing beats the present settings for {goal}, so there is nothing to apply"),
    });
}

fn text(report: &TuneReport) -> String {
    let mut text = String::new();
    if let Some(latency) = report.remote_latency {
        let _ = writeln!(
            text,
            "random reads include {:.1} ms for one request to the remote\n",
            latency.as_secs_f64() * 1e3
        );
    }
    let kinds: Vec<String> = report.kinds.iter().map(|kind| text_of(kind, report.objective)).collect();
    text.push_str(&kinds.join("\n"));
    text
}

fn text_of(kind: &KindReport, objective: Objective) -> String {
    let exports = render::count(kind.exports as u64, "export");
    let sampled = format!("{} to choose on, {} held out", size(kind.sample_len), size(kind.held_out_len));
    let mut text = format!("{}: {exports}, {sampled}\n", kind.kind);
    if !kind.rows.is_empty() {
        let head = ["level", "frame", "shuffle", "delta", "stored", "write", "read", "anywhere", "score", "runs"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(kind.rows.iter().enumerate().map(|(number, row)| {
            let mut cells = cells(row);
            let marks = [(number == 0, "now"), (number == kind.chosen, "best")];
            cells.push(marks.iter().filter(|(is, _)| *is).map(|(_, mark)| *mark).collect::<Vec<_>>().join(", "));
            cells
        }));
        text.push_str(&render::indent(&render::table(&rows, &[Align::Right; 10])));
    }
    let _ = writeln!(text, "  {}", explain(kind, objective));
    text
}

fn cells(row: &Row) -> Vec<String> {
    let Row { encoding, measured, score, spread, runs } = row;
    vec![
        encoding.level.to_string(),
        frame(encoding.frame_len),
        on_off(encoding.shuffle).to_owned(),
        on_off(encoding.delta).to_owned(),
        size(measured.stored_bytes),
        rate(measured.raw_bytes, measured.write_seconds),
        rate(measured.raw_bytes, measured.read_seconds),
        format!("{:.2} ms", measured.random_seconds * 1e3),
        // The dash of a single run stands where others have their spread.
        format!("{score:.3} {}", spread.map_or_else(|| "     -".to_owned(), |spread| format!("±{spread:.3}"))),
        runs.to_string(),
    ]
}

/// Writes a length that is a power of two, as those of frames are.
pub(super) fn frame(len: u32) -> String {
    if u64::from(len).is_multiple_of(MIB) {
        format!("{} MiB", u64::from(len) / MIB)
    } else {
        format!("{} KiB", len / 1024)
    }
}

fn on_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

fn rate(bytes: u64, seconds: f64) -> String {
    format!("{:.0} MB/s", mb_per_s(bytes, seconds))
}

/// Returns a rate in megabytes a second.
#[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits of a length")]
pub(super) fn mb_per_s(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / seconds.max(1e-9) / 1e6
}

/// Says in one or two sentences what was chosen and why, or why nothing was.
pub(super) fn explain(kind: &KindReport, objective: Objective) -> String {
    let (goal, least) = (objective.name(), objective.least_gain() * 100.0);
    let cut = if kind.is_complete { "" } else { " Some settings were left out for want of time; `--time` gives more." };
    let text = match (kind.verdict, kind.rows.first(), kind.best()) {
        (Verdict::TooLittle, ..) | (_, None, _) | (_, _, None) => {
            "Too little data to measure: at least 64 KiB of new data to choose on are needed, so the present setting stays."
                .to_owned()
        }
        (Verdict::NoTime, ..) => "There was no time to measure any other setting, so the present one stays.".to_owned(),
        (Verdict::PresentIsBest, Some(first), _) => {
            let off = first.spread.filter(|off| *off > MUCH_NOISE).map_or_else(String::new, |off| {
                format!(" It differs from itself by {:.0} %: measure again when nothing else runs.", off * 100.0)
            });
            format!("No setting is better by {least:.0} % or more for {goal}, so the present one stays.{off}")
        }
        (Verdict::NothingHeldOut, _, Some(best)) => format!(
            "{} looks better for {goal}, but of what was held out to check that on, {} is new, and {} are needed: other exports of this kind, or versions that differ more. The present one stays.",
            named(&best.encoding),
            size(kind.held_out_new_len),
            frame(objective.least_held_out())
        ),
        (Verdict::NotOnHeldOut, _, Some(best)) => {
            let held = match &kind.held_out {
                Some(HeldOut { noise: None, .. }) => ", of which it stores the very same frames".to_owned(),
                Some(held) => format!(": {}", compare(held)),
                None => String::new(),
            };
            format!(
                "{} looked better for {goal}, but not by {least:.0} % or more on the data held out{held}. The present one stays.",
                named(&best.encoding)
            )
        }
        (Verdict::TooNoisy, _, Some(best)) => {
            let held = kind.held_out.map_or_else(String::new, |held| {
                format!(
                    ": better in {} of {} runs, and the present setting differs from itself by {:.0} %",
                    held.wins,
                    held.runs,
                    held.noise.unwrap_or(0.0) * 100.0
                )
            });
            format!(
                "{} looked better for {goal}, but this machine is too busy to be sure{held}. The present one stays; measure again when nothing else runs.",
                named(&best.encoding)
            )
        }
        (Verdict::Better, _, Some(best)) => {
            let held = kind.held_out.map_or_else(String::new, |held| compare(&held));
            format!(
                "{} is best for {goal}. On the data held out, against the present setting: {held}.",
                named(&best.encoding)
            )
        }
    };
    text + cut
}

/// Names a setting in words.
fn named(encoding: &Encoding) -> String {
    let mut text = format!("Level {} in frames of {}", encoding.level, frame(encoding.frame_len));
    if !encoding.shuffle {
        text.push_str(", without byte shuffle");
    }
    if !encoding.delta {
        text.push_str(", without deltas");
    }
    text
}

/// Compares what was measured on the data held out.
fn compare(held: &HeldOut) -> String {
    let HeldOut { present, chosen, score, runs, wins, .. } = held;
    #[expect(clippy::cast_precision_loss, reason = "a percentage needs no more than 52 bits of a length")]
    let stored = if (chosen.stored_bytes, present.stored_bytes) == (0, 0) {
        "no new".to_owned()
    } else {
        change(chosen.stored_bytes as f64, present.stored_bytes as f64)
    };
    let write = change(chosen.write_seconds, present.write_seconds);
    let read = change(chosen.read_seconds, present.read_seconds);
    let random = change(chosen.random_seconds, present.random_seconds);
    format!(
        "{stored} bytes, {write} time to write, {read} to read all, {random} to read anywhere; score {score:.3}, better in {wins} of {runs} runs"
    )
}

/// Writes a change as a signed percentage.
fn change(now: f64, before: f64) -> String {
    format!("{:+.0} %", (now / before.max(1e-9) - 1.0) * 100.0)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::format::kind::ContentKind;
    use crate::tune::Measured;

    /// Makes a report with planted figures.
    pub(in crate::cli) fn planted(verdict: Verdict) -> KindReport {
        let present = Measured {
            raw_bytes: 8_000_000,
            stored_bytes: 1_000_000,
            pushed_bytes: 1_200_000,
            write_seconds: 0.08,
            read_seconds: 0.02,
            random_seconds: 0.001,
            fetched_bytes: 90_000,
        };
        let other = Measured { stored_bytes: 800_000, write_seconds: 0.4, ..present };
        let small = Encoding { level: 12, frame_len: 65_536, shuffle: true, delta: false };
        let row = |encoding, measured, score, spread: Option<f64>| Row {
            encoding,
            measured,
            score,
            spread,
            runs: spread.map_or(1, |_| 9),
        };
        KindReport {
            kind: ContentKind::Csv,
            exports: 2,
            sample_len: 8_000_000,
            held_out_len: 7_000_000,
            held_out_new_len: 12_000,
            present: Encoding::default(),
            rows: vec![row(Encoding::default(), present, 1.0, Some(0.031)), row(small, other, 0.8, None)],
            chosen: 1,
            held_out: Some(HeldOut { present, chosen: other, score: 0.81, runs: 9, wins: 7, noise: Some(0.124) }),
            verdict,
            is_complete: true,
        }
    }

    #[test]
    fn the_table_shows_what_was_measured_and_why_it_was_chosen() {
        let report = TuneReport {
            objective: Objective::Size,
            remote_latency: Some(Duration::from_micros(34_250)),
            kinds: vec![planted(Verdict::Better)],
        };
        insta::assert_snapshot!(text(&report), @r"
        random reads include 34.2 ms for one request to the remote

        csv: 2 exports, 8.0 MB to choose on, 7.0 MB held out
          level   frame  shuffle  delta    stored     write      read  anywhere         score  runs
              3   1 MiB       on     on    1.0 MB  100 MB/s  400 MB/s   1.00 ms  1.000 ±0.031     9  now
             12  64 KiB       on    off  800.0 kB   20 MB/s  400 MB/s   1.00 ms  0.800      -     1  best
          Level 12 in frames of 64 KiB, without deltas is best for size. On the data held out, against the present setting: -20 % bytes, +400 % time to write, +0 % to read all, +0 % to read anywhere; score 0.810, better in 7 of 9 runs.
        ");
        let json = serde_json::to_value(Tuned::new(&report, false)).unwrap();
        let spreads = [0, 1].map(|row| json["kinds"][0]["settings"][row]["spread"].clone());
        assert_eq!(spreads, [serde_json::json!(0.031), serde_json::Value::Null]);
    }

    #[test]
    fn nothing_against_nothing_is_no_gain() {
        let mut held = planted(Verdict::NotOnHeldOut).held_out.unwrap();
        held.present.stored_bytes = 0;
        held.chosen.stored_bytes = 0;
        assert!(compare(&held).starts_with("no new bytes, +400 % time to write"), "{}", compare(&held));
    }

    #[test]
    fn settings_that_store_the_same_are_not_said_to_have_been_run() {
        let mut report = planted(Verdict::NotOnHeldOut);
        report.held_out = report.held_out.map(|held| HeldOut { noise: None, runs: 1, wins: 0, ..held });
        let said = explain(&report, Objective::Speed);
        assert!(
            said.contains("of which it stores the very same frames. The present one") && !said.contains("runs"),
            "{said}"
        );
    }

    #[test]
    fn every_verdict_is_explained() {
        for (verdict, words) in [
            (Verdict::Better, "Level 12 in frames of 64 KiB, without deltas is best for size. On the data held out"),
            (Verdict::NotOnHeldOut, "but not by 2 % or more on the data held out: -20 % bytes"),
            (Verdict::NothingHeldOut, "12.0 kB is new, and 64 KiB are needed"),
            (
                Verdict::TooNoisy,
                "too busy to be sure: better in 7 of 9 runs, and the present setting differs from itself by 12 %",
            ),
            (Verdict::PresentIsBest, "No setting is better by 2 % or more for size"),
            (Verdict::NoTime, "There was no time to measure any other setting"),
            (Verdict::TooLittle, "Too little data"),
        ] {
            let report = planted(verdict);
            assert!(explain(&report, Objective::Size).contains(words), "{}", explain(&report, Objective::Size));
            let cut = KindReport { is_complete: false, ..report };
            assert!(explain(&cut, Objective::Size).ends_with("`--time` gives more."));
        }
    }
}
