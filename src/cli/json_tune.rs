//! The documents of `tune`. Described in `docs/json.md`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::tune::{explain, mb_per_s};
use crate::format::encoding::{Encoding, Encodings};
use crate::tune::{KindReport, Measured, Objective, TuneReport};

/// `tune`.
#[derive(Debug, Serialize)]
pub(super) struct Tuned {
    objective: &'static str,
    applied: bool,
    remote_latency_ms: Option<f64>,
    kinds: Vec<KindRow>,
}

/// `tune --show`.
#[derive(Debug, Serialize)]
pub(super) struct InForce {
    settings: BTreeMap<&'static str, Encoding>,
}

impl InForce {
    pub(super) fn new(encodings: &Encodings) -> Self {
        Self { settings: settings_of(encodings) }
    }
}

/// Lists the kinds that have an encoding of their own.
pub(super) fn settings_of(encodings: &Encodings) -> BTreeMap<&'static str, Encoding> {
    encodings.iter().map(|(kind, encoding)| (kind.name(), encoding)).collect()
}

/// `tune --undo`.
#[derive(Debug, Serialize)]
pub(super) struct Restored {
    pub(super) had_settings: bool,
}

#[derive(Debug, Serialize)]
struct KindRow {
    kind: &'static str,
    exports: usize,
    sample_bytes: u64,
    held_out_bytes: u64,
    held_out_new_bytes: u64,
    verdict: &'static str,
    explanation: String,
    complete: bool,
    present: Encoding,
    chosen: Option<Encoding>,
    settings: Vec<SettingRow>,
    held_out: Option<HeldOutRow>,
}

#[derive(Debug, Serialize)]
struct SettingRow {
    encoding: Encoding,
    #[serde(flatten)]
    measured: MeasuredRow,
    score: f64,
    spread: Option<f64>,
    runs: usize,
}

#[derive(Debug, Serialize)]
struct HeldOutRow {
    present: MeasuredRow,
    chosen: MeasuredRow,
    score: f64,
    runs: usize,
    wins: usize,
    noise: Option<f64>,
}

#[derive(Debug, Serialize)]
struct MeasuredRow {
    raw_bytes: u64,
    stored_bytes: u64,
    pushed_bytes: u64,
    write_mb_s: f64,
    read_mb_s: f64,
    random_read_ms: f64,
    fetched_bytes: u64,
}

impl Tuned {
    pub(super) fn new(report: &TuneReport, applied: bool) -> Self {
        Self {
            objective: report.objective.name(),
            applied,
            remote_latency_ms: report.remote_latency.map(|latency| rounded(latency.as_secs_f64() * 1e3)),
            kinds: report.kinds.iter().map(|kind| KindRow::new(kind, report.objective)).collect(),
        }
    }
}

impl KindRow {
    fn new(report: &KindReport, objective: Objective) -> Self {
        let to_row = |row: &crate::tune::Row| SettingRow {
            encoding: row.encoding,
            measured: MeasuredRow::from(&row.measured),
            score: rounded(row.score),
            spread: row.spread.map(rounded),
            runs: row.runs,
        };
        Self {
            kind: report.kind.name(),
            exports: report.exports,
            sample_bytes: report.sample_len,
            held_out_bytes: report.held_out_len,
            held_out_new_bytes: report.held_out_new_len,
            verdict: report.verdict.name(),
            explanation: explain(report, objective),
            complete: report.is_complete,
            present: report.present,
            chosen: report.best().map(|row| row.encoding),
            settings: report.rows.iter().map(to_row).collect(),
            held_out: report.held_out.as_ref().map(|held| HeldOutRow {
                present: MeasuredRow::from(&held.present),
                chosen: MeasuredRow::from(&held.chosen),
                score: rounded(held.score),
                runs: held.runs,
                wins: held.wins,
                noise: held.noise.map(rounded),
            }),
        }
    }
}

impl From<&Measured> for MeasuredRow {
    fn from(measured: &Measured) -> Self {
        Self {
            raw_bytes: measured.raw_bytes,
            stored_bytes: measured.stored_bytes,
            pushed_bytes: measured.pushed_bytes,
            write_mb_s: rounded(mb_per_s(measured.raw_bytes, measured.write_seconds)),
            read_mb_s: rounded(mb_per_s(measured.raw_bytes, measured.read_seconds)),
            random_read_ms: rounded(measured.random_seconds * 1e3),
            fetched_bytes: measured.fetched_bytes,
        }
    }
}

/// Keeps four decimals: what is behind them was not measured.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}
