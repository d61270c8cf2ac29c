//! From measured rows to a choice. Pure.

use crate::format::encoding::Encoding;

/// Scores this close to the best one are as good: what is left is noise of the clock.
const TIE: f64 = 0.01;
/// Bytes that a balanced setting may need, where the present one needs 1: whoever wants speed at any price asks for
/// speed.
const MOST_GROWTH: f64 = 1.25;

/// What one setting did to one sample.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Bytes of the contents that were written.
    pub raw_bytes: u64,
    /// Bytes that the store grew by.
    pub stored_bytes: u64,
    /// Bytes that a push of these contents would send: frames that lean on others go alone.
    pub pushed_bytes: u64,
    /// Seconds that writing all of it took, durable.
    pub write_seconds: f64,
    /// Seconds that reading all of it took, verified.
    pub read_seconds: f64,
    /// Seconds until 4 KiB anywhere were there, on average, with one request to the remote if there is one.
    pub random_seconds: f64,
    /// Bytes that such a read fetches from a remote, on average.
    pub fetched_bytes: u64,
}

/// A setting and what it did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// The setting.
    pub encoding: Encoding,
    /// What it did.
    pub measured: Measured,
    /// Its score, where the present setting has 1; smaller is better. The middle one of all runs.
    pub score: f64,
    /// How far the score was off in a run, but for the worst one; `None` of a single run.
    pub spread: Option<f64>,
    /// How often it was measured, each time beside the present setting.
    pub runs: usize,
}

/// What the present setting and another one did, one right after the other.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pair {
    pub(super) present: Measured,
    pub(super) other: Measured,
}

/// What some pairs say.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scores {
    /// The middle score.
    pub(super) middle: f64,
    /// How far scores were off the middle one, but for the worst; `None` of a single one.
    pub(super) spread: Option<f64>,
    /// How far scores were off 1, but for the worst; `None` without any.
    pub(super) spread_about_one: Option<f64>,
    pub(super) runs: usize,
    /// Runs in which the other setting was the better one.
    pub(super) wins: usize,
}

impl Scores {
    pub(super) fn of(objective: Objective, pairs: &[Pair]) -> Self {
        let mut scores: Vec<f64> = pairs.iter().map(|pair| objective.score(&pair.other, &pair.present)).collect();
        scores.sort_by(f64::total_cmp);
        let middle = scores.get(scores.len() / 2).copied().unwrap_or(1.0);
        let wins = scores.iter().filter(|score| **score < 1.0).count();
        let spread_about_one = spread(&scores, 1.0);
        let spread = spread(&scores, middle).filter(|_| scores.len() > 1);
        Self { middle, spread, spread_about_one, runs: scores.len(), wins }
    }
}

/// Returns how far values are off a centre. Of many the worst one does not count: something else ran just then.
fn spread(values: &[f64], centre: f64) -> Option<f64> {
    let mut off: Vec<f64> = values.iter().map(|value| (value - centre).abs()).collect();
    off.sort_by(f64::total_cmp);
    let spared = if off.len() < 4 { 1 } else { 2 };
    off.len().checked_sub(spared).and_then(|at| off.get(at)).copied()
}

/// Returns what a setting did in the middle of some runs. Bytes are the same in all of them.
pub(super) fn middle_of<'a>(runs: impl Iterator<Item = &'a Measured>) -> Measured {
    let runs: Vec<Measured> = runs.copied().collect();
    let middle = |of: fn(&Measured) -> f64| {
        let mut values: Vec<f64> = runs.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or_default()
    };
    Measured {
        write_seconds: middle(|run| run.write_seconds),
        read_seconds: middle(|run| run.read_seconds),
        random_seconds: middle(|run| run.random_seconds),
        ..runs.first().copied().unwrap_or_default()
    }
}

/// How a check on held-out data ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Checked {
    Better,
    NotBetter,
    TooNoisy,
}

/// Decides by what another setting did beside the present one, and what that did beside itself: eight of nine runs must
/// agree, and the gain must be more than what the clock makes of no change at all.
pub(super) fn decide(objective: Objective, pairs: &[Pair], present_twice: &[Pair]) -> Checked {
    let scores = Scores::of(objective, pairs);
    // Settings that make the same frames are not run beside themselves, and gain nothing.
    let noise = Scores::of(objective, present_twice).spread_about_one.unwrap_or(0.0);
    if !objective.is_better(scores.middle) || pairs.iter().any(|pair| !objective.allows(&pair.other, &pair.present)) {
        Checked::NotBetter
    } else if scores.wins * 9 < scores.runs * 8 || 1.0 - scores.middle <= noise {
        Checked::TooNoisy
    } else {
        Checked::Better
    }
}

/// What is to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// Stored bytes, whatever it takes.
    Size,
    /// Time: of writing for a half, of reading all and of reading anywhere for a quarter each.
    Speed,
    /// Stored bytes for a half, the three times for a sixth each, and never a quarter more bytes.
    Balanced,
    /// Dollars a year for data in a cloud, at [`Prices`].
    Cost,
}

/// What a cloud takes in dollars, and how much is read in a year.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Prices {
    /// A gigabyte kept for a month.
    pub storage: f64,
    /// A gigabyte sent out of the cloud.
    pub transfer: f64,
    /// One read request.
    pub request: f64,
    /// One hour of one processor.
    pub processor: f64,
    /// How often all of it is read in a year.
    pub reads: f64,
    /// How many small reads a gigabyte of contents gets in a year.
    pub random_reads: f64,
}

impl Prices {
    /// What large providers roughly ask, and a year in which all data is read once a month and each gigabyte a thousand
    /// times a month in a few places.
    pub const USUAL: Self = Self {
        storage: 0.023,
        transfer: 0.09,
        request: 0.000_000_4,
        processor: 0.04,
        reads: 12.0,
        random_reads: 12_000.0,
    };

    /// Returns what a year costs in dollars.
    #[must_use]
    pub fn of_a_year(&self, measured: &Measured) -> f64 {
        let gigabytes = |bytes: u64| float(bytes) / 1e9;
        let pushed = gigabytes(measured.pushed_bytes);
        let random_reads = gigabytes(measured.raw_bytes) * self.random_reads;
        let storage = pushed * self.storage * 12.0;
        let transfer = (pushed * self.reads + gigabytes(measured.fetched_bytes) * random_reads) * self.transfer;
        let requests = random_reads * self.request;
        let seconds = measured.write_seconds + measured.read_seconds * self.reads;
        storage + transfer + requests + seconds / 3600.0 * self.processor
    }
}

impl Objective {
    /// All objectives.
    pub const ALL: [Self; 4] = [Self::Size, Self::Speed, Self::Balanced, Self::Cost];

    /// Returns the name of the objective in options and documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Speed => "speed",
            Self::Balanced => "balanced",
            Self::Cost => "cost",
        }
    }

    /// Scores a setting: 1 is as good as the present one, a half is twice as good.
    ///
    /// Ratios to the present setting are multiplied, each to the power of its weight, so that no unit counts for more
    /// than another.
    #[must_use]
    pub fn score(self, measured: &Measured, present: &Measured) -> f64 {
        let stored = ratio(float(measured.stored_bytes), float(present.stored_bytes));
        let write = ratio(measured.write_seconds, present.write_seconds);
        let read = ratio(measured.read_seconds, present.read_seconds);
        let random = ratio(measured.random_seconds, present.random_seconds);
        match self {
            Self::Size => stored,
            Self::Speed => write.powf(0.5) * (read * random).powf(0.25),
            Self::Balanced => stored.powf(0.5) * (write * read * random).powf(1.0 / 6.0),
            Self::Cost => ratio(Prices::USUAL.of_a_year(measured), Prices::USUAL.of_a_year(present)),
        }
    }

    /// Returns the share by which a setting has to be better than the present one on data held out. Bytes are exact;
    /// clocks are not.
    #[must_use]
    pub fn least_gain(self) -> f64 {
        match self {
            Self::Size | Self::Cost => 0.02,
            Self::Speed | Self::Balanced => 0.05,
        }
    }

    /// Returns how many new bytes have to be held out: the time to write a few of them is that of a sync, whatever the
    /// setting.
    #[must_use]
    pub fn least_held_out(self) -> u32 {
        match self {
            Self::Size | Self::Cost => 64 * 1024,
            Self::Speed | Self::Balanced => 1024 * 1024,
        }
    }

    /// Returns whether this objective takes a setting at all, however fast it is.
    #[must_use]
    pub fn allows(self, measured: &Measured, present: &Measured) -> bool {
        self != Self::Balanced || ratio(float(measured.stored_bytes), float(present.stored_bytes)) <= MOST_GROWTH
    }

    /// Returns whether it matters how long a request to the remote takes.
    #[must_use]
    pub fn counts_requests(self) -> bool {
        matches!(self, Self::Speed | Self::Balanced)
    }

    /// Returns whether a score is clearly better than the present setting's.
    #[must_use]
    pub fn is_better(self, score: f64) -> bool {
        score <= 1.0 - self.least_gain()
    }
}

/// Returns the number of the best row, the first of which is the present setting.
///
/// Of rows as good as the best one the present setting is chosen, and else the one that writes fastest. So is the
/// present setting where the best one is not clearly better.
pub(super) fn choose(objective: Objective, rows: &[Row]) -> usize {
    let present = rows.first().map(|row| row.measured).unwrap_or_default();
    let allowed = || rows.iter().enumerate().filter(|(_, row)| objective.allows(&row.measured, &present));
    let best = allowed().map(|(_, row)| row.score).fold(f64::INFINITY, f64::min);
    if !objective.is_better(best) {
        return 0;
    }
    let good = allowed().filter(|(_, row)| row.score <= best * (1.0 + TIE));
    let chosen = good.min_by(|(_, a), (_, b)| a.measured.write_seconds.total_cmp(&b.measured.write_seconds));
    chosen.map_or(0, |(number, _)| number)
}

/// Divides; nothing in place of nothing is as good.
fn ratio(measured: f64, present: f64) -> f64 {
    const LEAST: f64 = 1e-9;
    measured.max(LEAST) / present.max(LEAST)
}

/// Lengths of samples are far below 2^52.
#[expect(clippy::cast_precision_loss, reason = "a score needs no more than 52 bits of a length")]
fn float(bytes: u64) -> f64 {
    bytes as f64
}
