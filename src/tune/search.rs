//! Which settings are measured: one axis after the other, each around the best one so far.
//!
//! All combinations would be 84 settings; what an axis does hardly depends on the others, and the few settings that are
//! measured this way can be read as a table.

use super::choice::{Objective, Pair, Row, Scores, choose, middle_of};
use crate::error::Result;
use crate::format::encoding::Encoding;

/// Levels of zstd that are tried, the cheap ones first.
const LEVELS: [i32; 7] = [1, 3, 6, 9, 12, 15, 19];
/// Lengths of frames that are tried, in raw bytes.
const FRAME_LENS: [u32; 3] = [1024 * 1024, 256 * 1024, 64 * 1024];

/// What came of measuring a setting.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Trial {
    /// What it did beside the present setting, run by run.
    Pairs(Vec<Pair>),
    /// Every frame is the same as with a setting that was measured.
    Same,
    /// There is no time left for it.
    NoTime,
}

/// Measures settings on a sample.
pub(super) trait Bench {
    /// Measures one. The first one is the present one, measured beside itself; that and the default are always
    /// measured.
    fn measure(&mut self, encoding: &Encoding) -> Result<Trial>;
}

/// Which settings could matter for a sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axes {
    /// It may hold numbers.
    pub(super) shuffle: bool,
    /// It holds versions.
    pub(super) delta: bool,
}

/// What was measured.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) rows: Vec<Row>,
    pub(super) chosen: usize,
    pub(super) is_complete: bool,
}

struct Search<'a> {
    objective: Objective,
    bench: &'a mut dyn Bench,
    found: Found,
}

/// Looks for the best setting. The present one is the first row.
pub(super) fn search(objective: Objective, present: Encoding, axes: Axes, bench: &mut dyn Bench) -> Result<Found> {
    let found = Found { rows: vec![], chosen: 0, is_complete: true };
    let mut search = Search { objective, bench, found };
    search.try_one(present)?;
    search.try_one(Encoding::default())?;
    // High levels may take all the time that is left, so they come last.
    search.try_all(FRAME_LENS.map(|frame_len| move |best| Encoding { frame_len, ..best }))?;
    if axes.delta {
        search.try_all([|best: Encoding| Encoding { delta: !best.delta, ..best }])?;
    }
    if axes.shuffle {
        search.try_all([|best: Encoding| Encoding { shuffle: !best.shuffle, ..best }])?;
    }
    search.try_all(LEVELS.map(|level| move |best| Encoding { level, ..best }))?;
    Ok(search.found)
}

impl Search<'_> {
    /// Tries some changes of the best setting so far, the cheap ones first.
    fn try_all<const N: usize>(&mut self, changes: [impl Fn(Encoding) -> Encoding; N]) -> Result<()> {
        let best = self.found.rows.get(self.found.chosen).map(|row| row.encoding).unwrap_or_default();
        for change in changes {
            if !self.try_one(change(best))? {
                // What follows on this axis takes longer still.
                break;
            }
        }
        Ok(())
    }

    /// Measures a setting that was not measured yet; `false` if there is no time left for it.
    fn try_one(&mut self, encoding: Encoding) -> Result<bool> {
        if self.found.rows.iter().any(|row| row.encoding == encoding) {
            return Ok(true);
        }
        let pairs = match self.bench.measure(&encoding)? {
            Trial::Pairs(pairs) => pairs,
            Trial::Same => return Ok(true),
            Trial::NoTime => {
                self.found.is_complete = false;
                return Ok(false);
            }
        };
        let Scores { middle, spread, runs, .. } = Scores::of(self.objective, &pairs);
        let measured = middle_of(pairs.iter().map(|pair| &pair.other));
        // The present setting is what others are compared with, whatever the clock made of it.
        let score = if self.found.rows.is_empty() { 1.0 } else { middle };
        self.found.rows.push(Row { encoding, measured, score, spread, runs });
        self.found.chosen = choose(self.objective, &self.found.rows);
        Ok(true)
    }
}
