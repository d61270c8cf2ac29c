//! Tuning: finds the encoding that suits somebody's own data on their own machine, by measuring.
//!
//! ```text
//! sources ──▶ sample ──▶ bench ──▶ choice ──▶ check on what was held out ──▶ settings
//!  versions    bounded,   real      rows to     present against chosen
//!  of exports  seeded     stores    a score
//! ```
//!
//! - Data comes in as contents that a closure opens; settings go out as a value. This module knows no repository, no
//!   remote and no terminal, and writes nothing but scratch stores.
//! - What is measured is what exports and reads run: the store's writer and its reader, on the same disk.
//! - [`choice`] and [`search`] see only measured rows, so that tests can plant them.
//! - A setting is offered only if it also wins on data that it was not chosen on.

mod bench;
mod choice;
mod sample;
mod search;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

pub use choice::{Measured, Objective, Prices, Row};
pub use sample::{Content, Open, ReadSeek, Source};

use crate::error::{Error, ErrorKind, Result};
use crate::format::encoding::{Encoding, Encodings};
use crate::format::kind::ContentKind;
use crate::store::Scratch;
use bench::StoreBench;
use choice::{Checked, Scores, decide, middle_of};
use sample::KindSample;
use search::Axes;

/// New bytes of a kind, to choose on as well as held out, below which nothing is said: what is stored already is not
/// written again, however long the contents are.
const MIN_SAMPLE_LEN: u64 = 64 * 1024;

/// What is wanted, and how much work may go into it.
#[derive(Debug, Clone)]
pub struct TuneOptions {
    /// What is to be good.
    pub objective: Objective,
    /// Bytes of contents that are sampled at most.
    pub sample_len: u64,
    /// About how long is sampled and measured, all kinds together. Whatever is chosen is then checked without a limit.
    pub time_limit: Duration,
    /// How long one small request to the remote takes, if there is one.
    pub remote_latency: Option<Duration>,
}

impl Default for TuneOptions {
    fn default() -> Self {
        Self {
            objective: Objective::Balanced,
            sample_len: 64 * 1024 * 1024,
            time_limit: Duration::from_secs(20),
            remote_latency: None,
        }
    }
}

/// How the search for one kind ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Another setting is better, also on what was held out.
    Better,
    /// The present setting is as good as any that was measured.
    PresentIsBest,
    /// Another setting looked better, and was not on what was held out.
    NotOnHeldOut,
    /// Another setting looked better on what was held out too, but not by more than the clock is off.
    TooNoisy,
    /// Another setting looks better, and there is too little new data to check it on.
    NothingHeldOut,
    /// There was no time to measure any other setting.
    NoTime,
    /// There is too little data to measure.
    TooLittle,
}

impl Verdict {
    /// Returns the name of the verdict in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Better => "better",
            Self::PresentIsBest => "present-is-best",
            Self::NotOnHeldOut => "not-on-held-out",
            Self::TooNoisy => "too-noisy",
            Self::NothingHeldOut => "nothing-held-out",
            Self::NoTime => "no-time",
            Self::TooLittle => "too-little",
        }
    }
}

/// What the present and the chosen setting did on data that neither was chosen on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HeldOut {
    /// The present setting.
    pub present: Measured,
    /// The chosen one.
    pub chosen: Measured,
    /// The score of the chosen one, where the present one has 1; smaller is better. The middle one of all runs.
    pub score: f64,
    /// How often both were measured, one right after the other.
    pub runs: usize,
    /// In how many runs the chosen one was better.
    pub wins: usize,
    /// How far from 1 the present setting scores beside itself; `None` where both make the same frames, which needs no
    /// runs.
    pub noise: Option<f64>,
}

/// What was measured for one kind of content.
#[derive(Debug, Clone, PartialEq)]
pub struct KindReport {
    /// The kind.
    pub kind: ContentKind,
    /// Exports in the sample, or files of directories.
    pub exports: usize,
    /// Bytes that settings were chosen on.
    pub sample_len: u64,
    /// Bytes that were held out.
    pub held_out_len: u64,
    /// Those of them that neither a version before nor the data to choose on has.
    pub held_out_new_len: u64,
    /// What writers use now.
    pub present: Encoding,
    /// What was measured, in that order; the present setting first.
    pub rows: Vec<Row>,
    /// The number of the best row.
    pub chosen: usize,
    /// The comparison on what was held out, where one was due.
    pub held_out: Option<HeldOut>,
    /// How it ended.
    pub verdict: Verdict,
    /// Whether all candidates were measured, and none left out for want of time.
    pub is_complete: bool,
}

impl KindReport {
    /// Returns the best row; `None` where nothing was measured.
    #[must_use]
    pub fn best(&self) -> Option<&Row> {
        self.rows.get(self.chosen)
    }
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct TuneReport {
    /// What was to be good.
    pub objective: Objective,
    /// One small request to the remote, if there is one.
    pub remote_latency: Option<Duration>,
    /// What was measured for each kind, in the order of [`ContentKind::ALL`].
    pub kinds: Vec<KindReport>,
}

impl TuneReport {
    /// Returns the present settings with those that proved better; `None` if none did.
    ///
    /// # Errors
    /// Never, as long as candidates are in range.
    pub fn settings(&self, present: &Encodings) -> Result<Option<Encodings>> {
        let mut settings = present.clone();
        let better = self.kinds.iter().filter(|kind| kind.verdict == Verdict::Better);
        for (kind, row) in better.filter_map(|report| Some((report.kind, report.best()?))) {
            settings.set(kind, row.encoding)?;
        }
        Ok(Some(settings).filter(|settings| settings != present))
    }
}

/// Samples contents and measures settings on them. `progress` hears of bytes that were written so far and returns
/// `false` to interrupt.
///
/// # Errors
/// `Failed` if there is nothing to measure, Interrupted, or what writing and reading scratch stores can meet.
pub fn tune(
    sources: &[Source],
    open: Open<'_>,
    scratch: &Scratch,
    present: &Encodings,
    options: &TuneOptions,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<TuneReport> {
    let begun = Instant::now();
    let deadline = begun.checked_add(options.time_limit / 2);
    let sampled = sample::take(sources, open, options.sample_len, deadline, &mut || progress(0))?;
    if sampled.kinds.is_empty() {
        return Err(nothing_to_measure(sampled.met_damage));
    }
    let mut due = sampled.kinds.iter().filter(|sample| sample.is_enough()).count();
    let mut time_left = options.time_limit.saturating_sub(begun.elapsed());
    let mut written = 0;
    let mut kinds = vec![];
    for sample in sampled.kinds {
        let started = Instant::now();
        let present = present.of(sample.kind);
        let mut bench = StoreBench::new(scratch, (&sample.chosen_on, present), options, &mut written, progress);
        bench.limit(time_left / u32::try_from(due.max(1)).unwrap_or(1));
        let axes = Axes { shuffle: !sample.kind.is_text(), delta: sample.has_versions() };
        let report = measure_kind(&sample, present, (options.objective, axes), bench)?;
        // What one kind leaves is for the others.
        time_left = time_left.saturating_sub(started.elapsed());
        due -= usize::from(sample.is_enough());
        kinds.push(if report.verdict == Verdict::NotOnHeldOut {
            let bench = StoreBench::new(scratch, (&sample.held_out, present), options, &mut written, progress);
            check(report, options.objective, bench)?
        } else {
            report
        });
    }
    Ok(TuneReport { objective: options.objective, remote_latency: options.remote_latency, kinds })
}

fn nothing_to_measure(met_damage: bool) -> Error {
    if met_damage {
        Error::new(ErrorKind::Damaged, "nothing that settings could be measured on can be read")
            .with_hint("list all damage with `onenb verify`")
    } else {
        Error::new(ErrorKind::Failed, "nothing is stored here that settings could be measured on")
            .with_hint("export something first with `onenb export NAME FILE`, or fetch data with `onenb pull --all`")
    }
}

/// Finds the best setting for a kind. Where that is another than the present one and can be checked, the verdict is
/// [`Verdict::NotOnHeldOut`] until it is.
fn measure_kind(
    sample: &KindSample,
    present: Encoding,
    (objective, axes): (Objective, Axes),
    mut bench: StoreBench<'_>,
) -> Result<KindReport> {
    let mut report = KindReport {
        kind: sample.kind,
        exports: sample.exports,
        sample_len: sample.chosen_on_len(),
        held_out_len: sample.held_out_len(),
        held_out_new_len: sample.held_out_new,
        present,
        rows: vec![],
        chosen: 0,
        held_out: None,
        verdict: Verdict::TooLittle,
        is_complete: true,
    };
    if !sample.is_enough() {
        return Ok(report);
    }
    let found = search::search(objective, present, axes, &mut bench)?;
    report.verdict = match found.chosen {
        0 if found.rows.len() == 1 && !found.is_complete => Verdict::NoTime,
        0 => Verdict::PresentIsBest,
        _ if sample.held_out_new < u64::from(objective.least_held_out()) => Verdict::NothingHeldOut,
        _ => Verdict::NotOnHeldOut,
    };
    Ok(KindReport { rows: found.rows, chosen: found.chosen, is_complete: found.is_complete, ..report })
}

/// Compares what was chosen with the present setting on what was held out.
fn check(report: KindReport, objective: Objective, mut bench: StoreBench<'_>) -> Result<KindReport> {
    let Some(best) = report.best() else { return Ok(report) };
    let comparison = bench.compare(best.encoding)?;
    let verdict = match decide(objective, &comparison.pairs, &comparison.present_twice) {
        Checked::Better => Verdict::Better,
        Checked::NotBetter => Verdict::NotOnHeldOut,
        Checked::TooNoisy => Verdict::TooNoisy,
    };
    let scores = Scores::of(objective, &comparison.pairs);
    let held_out = HeldOut {
        present: middle_of(comparison.pairs.iter().map(|pair| &pair.present)),
        chosen: middle_of(comparison.pairs.iter().map(|pair| &pair.other)),
        score: scores.middle,
        runs: scores.runs,
        wins: scores.wins,
        noise: Scores::of(objective, &comparison.present_twice).spread_about_one,
    };
    Ok(KindReport { held_out: Some(held_out), verdict, ..report })
}
