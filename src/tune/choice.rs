//! From measured rows to a choice. Pure.

use crate::format::encoding::Encoding;

/// Scores this close to the best one are as good: what is left is noise of the clock.
const TIE: f64 = 0.01;

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
    /// Its score, where the present setting has 1; smaller is better.
    pub score: f64,
}

/// What is to be good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    /// Stored bytes, whatever it takes.
    Size,
    /// Time: of writing for a half, of reading all and of reading anywhere for a quarter each.
    Speed,
    /// Stored bytes for a half, the three times for a sixth each.
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

    /// Returns the share by which a setting has to be better than the present one on data held out. Bytes are exact; clocks are not.
    #[must_use]
    pub fn least_gain(self) -> f64 {
        match self {
            Self::Size | Self::Cost => 0.02,
            Self::Speed | Self::Balanced => 0.05,
        }
    }

    /// Returns whether a score is clearly better than the present setting's.
    #[must_use]
    pub fn is_better(self, score: f64) -> bool {
        score <= 1.0 - self.least_gain()
    }
}

/// Returns the number of the best row, the first of which is the present setting.
///
/// Of rows as good as the best one the present setting is chosen, and else the one that writes fastest. So is the present
/// setting where the best one is not clearly better.
pub(super) fn choose(objective: Objective, rows: &[Row]) -> usize {
    let best = rows.iter().map(|row| row.score).fold(f64::INFINITY, f64::min);
    if !objective.is_better(best) {
        return 0;
    }
    let good = rows.iter().enumerate().filter(|(_, row)| row.score <= best * (1.0 + TIE));
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
