//! Measuring a setting: a scratch store, the writer that exports use, the reader that reads use.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{Read, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use super::TuneOptions;
use super::choice::{Measured, Objective, Pair};
use super::sample::{Series, number_of};
use super::search::{Bench, Trial};
use crate::error::{Error, ErrorKind, Result};
use crate::format::encoding::Encoding;
use crate::id::{ChunkId, ContentDigest};
use crate::store::{Scratch, Store, WriteOptions};

/// How often a setting is measured at most where times count, each time beside the present one.
const RUNS: u32 = 9;
/// The same where bytes do, which are the same in every run: the time decides only between settings that are as small.
const FEW_RUNS: u32 = 2;
/// How often it is measured at least where times count: one pair says nothing of how far it is off.
const LEAST_RUNS: u32 = 2;
/// Settings among which a limit is shared: about as many as there are.
const SLICES: u32 = 13;
/// Reads anywhere in the sample.
const PROBES: u64 = 48;
/// Bytes that one of them wants.
const PROBE_LEN: usize = 4096;
/// Bytes that are read at once.
const BUFFER_LEN: usize = 1024 * 1024;

/// Measures settings on some versions of some contents.
pub(super) struct StoreBench<'a> {
    scratch: &'a Scratch,
    sample: &'a [Series],
    present: Encoding,
    remote_latency: Duration,
    least_runs: u32,
    runs: u32,
    slice: Duration,
    deadline: Option<Instant>,
    /// How long one run of the present setting took.
    present_took: Duration,
    /// How long one run of the last setting of each level took.
    took: BTreeMap<i32, Duration>,
    /// What does not depend on a clock, for each setting that was run.
    known: HashMap<Encoding, Known>,
    /// Bytes written by all benches of this run.
    written: &'a mut u64,
    progress: &'a mut dyn FnMut(u64) -> bool,
}

/// What a setting does in every run.
#[derive(Clone, Copy)]
struct Known {
    /// The bytes; no times.
    bytes: Measured,
    /// The digest of all frames.
    frames: blake3::Hash,
}

/// What one run stored.
struct Stored {
    store: Store,
    before: Vec<ContentDigest>,
    digests: Vec<ContentDigest>,
    raw_len: u64,
    grown: u64,
}

/// What the held-out data says.
pub(super) struct Comparison {
    /// The present setting and the other one.
    pub(super) pairs: Vec<Pair>,
    /// The present setting and itself.
    pub(super) present_twice: Vec<Pair>,
}

impl<'a> StoreBench<'a> {
    pub(super) fn new(
        scratch: &'a Scratch,
        (sample, present): (&'a [Series], Encoding),
        options: &TuneOptions,
        written: &'a mut u64,
        progress: &'a mut dyn FnMut(u64) -> bool,
    ) -> Self {
        let remote_latency = options.remote_latency.unwrap_or_default();
        let (least_runs, runs) = match options.objective {
            Objective::Size | Objective::Cost => (1, FEW_RUNS),
            Objective::Speed | Objective::Balanced => (LEAST_RUNS, RUNS),
        };
        Self {
            scratch,
            sample,
            present,
            remote_latency,
            least_runs,
            runs,
            slice: Duration::MAX,
            deadline: None,
            present_took: Duration::ZERO,
            took: BTreeMap::new(),
            known: HashMap::new(),
            written,
            progress,
        }
    }

    /// Measures nothing more once this much time has passed, and nothing that is likely to take longer.
    pub(super) fn limit(&mut self, time: Duration) {
        self.deadline = Instant::now().checked_add(time);
        self.slice = time / SLICES;
    }

    fn has_time_for(&self, level: i32) -> bool {
        let Some(deadline) = self.deadline else { return true };
        // From one level that is tried to the next the time about doubles; a lower one takes no longer than a higher
        // one.
        let higher = self.took.range(level..).map(|(_, took)| *took).min();
        let lower = self.took.range(..level).next_back().map(|(_, took)| *took * 2);
        let run = higher.into_iter().chain(lower).min().unwrap_or_default();
        Instant::now() + (run + self.present_took) * self.least_runs < deadline
    }

    /// Writes the sample into a store, timing all but what was there before.
    fn write(&mut self, store: Store, encoding: Encoding, time: &mut Duration) -> Result<Stored> {
        let mut stored = Stored { store, before: vec![], digests: vec![], raw_len: 0, grown: 0 };
        for series in self.sample {
            let mut parents = vec![];
            if let Some(before) = &series.before {
                // It is there already, as the present setting has it.
                parents = vec![self.put(&stored.store, before, self.present, parents)?.0];
                stored.before.extend(&parents);
            }
            for bytes in &series.versions {
                let started = Instant::now();
                let (digest, stored_bytes) = self.put(&stored.store, bytes, encoding, parents)?;
                *time += started.elapsed();
                stored.raw_len += bytes.len() as u64;
                stored.grown += stored_bytes;
                stored.digests.push(digest);
                parents = vec![digest];
            }
        }
        Ok(stored)
    }

    fn put(
        &mut self,
        store: &Store,
        bytes: &[u8],
        encoding: Encoding,
        parents: Vec<ContentDigest>,
    ) -> Result<(ContentDigest, u64)> {
        *self.written += bytes.len() as u64;
        if !(self.progress)(*self.written) {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        let stored = store.put_content(bytes, &WriteOptions { encoding: Some(encoding), parents })?;
        Ok((stored.digest, stored.stored_bytes))
    }

    /// Writes and reads the sample once.
    fn run(&mut self, encoding: Encoding) -> Result<(Measured, blake3::Hash)> {
        let (root, store) = self.scratch.store()?;
        let (mut write, mut read, mut random) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let stored = self.write(store, encoding, &mut write)?;
        stored.read_all(&mut read)?;
        let probes = stored.probes()?;
        stored.read_anywhere(&probes, &mut random)?;
        let known = match self.known.get(&encoding) {
            Some(known) => *known,
            None => stored.known(&probes)?,
        };
        self.known.insert(encoding, known);
        drop(stored);
        self.scratch.remove(&root);
        let count = u32::try_from(probes.len()).unwrap_or(1).max(1);
        let measured = Measured {
            write_seconds: write.as_secs_f64(),
            read_seconds: read.as_secs_f64(),
            random_seconds: (random / count + self.remote_latency).as_secs_f64(),
            ..known.bytes
        };
        Ok((measured, known.frames))
    }

    /// Runs two settings right after each other, by turns in either order: whatever else the machine does meets both
    /// alike.
    fn pair(&mut self, other: Encoding, turn: u32) -> Result<Pair> {
        if turn.is_multiple_of(2) {
            let present = self.run(self.present)?.0;
            Ok(Pair { present, other: self.run(other)?.0 })
        } else {
            let other = self.run(other)?.0;
            Ok(Pair { present: self.run(self.present)?.0, other })
        }
    }

    /// Compares a setting with the present one, and that with itself. Settings that make the same frames are the same.
    pub(super) fn compare(&mut self, other: Encoding) -> Result<Comparison> {
        let mut comparison = Comparison { pairs: vec![], present_twice: vec![] };
        for turn in 0..self.runs {
            let pair = self.pair(other, turn)?;
            if self.known.get(&other).map(|known| known.frames)
                == self.known.get(&self.present).map(|known| known.frames)
            {
                comparison.pairs = vec![Pair { other: pair.present, ..pair }];
                break;
            }
            comparison.pairs.push(pair);
            let present = self.present;
            comparison.present_twice.push(self.pair(present, turn)?);
        }
        Ok(comparison)
    }
}

impl Bench for StoreBench<'_> {
    fn measure(&mut self, encoding: &Encoding) -> Result<Trial> {
        // The way back is a candidate whatever it takes.
        if *encoding != self.present && *encoding != Encoding::default() && !self.has_time_for(encoding.level) {
            return Ok(Trial::NoTime);
        }
        let started = Instant::now();
        let seen: Vec<blake3::Hash> = self.known.values().map(|known| known.frames).collect();
        let (other, frames) = self.run(*encoding)?;
        self.took.insert(encoding.level, started.elapsed());
        if *encoding == self.present {
            self.present_took = started.elapsed();
        }
        if seen.contains(&frames) {
            return Ok(Trial::Same);
        }
        let mut pairs = vec![Pair { present: self.run(self.present)?.0, other }];
        let took = started.elapsed();
        for turn in 1..self.runs {
            if turn >= self.least_runs && started.elapsed() + took > self.slice {
                break;
            }
            pairs.push(self.pair(*encoding, turn + 1)?);
        }
        Ok(Trial::Pairs(pairs))
    }
}

impl Stored {
    fn read_all(&self, time: &mut Duration) -> Result<()> {
        let mut buffer = vec![0; BUFFER_LEN];
        for digest in &self.digests {
            let started = Instant::now();
            let mut reader = self.store.open_content(digest)?;
            while reader.pull(&mut buffer)? > 0 {}
            *time += started.elapsed();
        }
        Ok(())
    }

    /// Returns places in the contents, the same at every run: long contents have more of them.
    fn probes(&self) -> Result<Vec<(ContentDigest, u64)>> {
        let mut ends = vec![];
        let mut total = 0;
        for digest in &self.digests {
            let start = total;
            total += self.store.open_content(digest)?.len();
            ends.push((total, start, *digest));
        }
        let probe = |number: u64| {
            let at = number_of(&number.to_string()) % total.max(1);
            let content = ends.partition_point(|(end, ..)| *end <= at);
            ends.get(content).map(|(_, start, digest)| (*digest, at - start))
        };
        Ok((0..PROBES).filter_map(probe).collect())
    }

    /// Reads a little at each place, each time as if for the first time.
    fn read_anywhere(&self, probes: &[(ContentDigest, u64)], time: &mut Duration) -> Result<()> {
        let mut buffer = [0; PROBE_LEN];
        for (digest, offset) in probes {
            let started = Instant::now();
            let mut reader = self.store.open_content(digest)?;
            reader.seek(SeekFrom::Start(*offset))?;
            let mut left = buffer.as_mut_slice();
            while !left.is_empty() {
                match reader.read(left)? {
                    0 => break,
                    count => left = left.get_mut(count..).unwrap_or_default(),
                }
            }
            *time += started.elapsed();
        }
        Ok(())
    }

    /// Counts bytes and takes the digest of all frames, as they are stored.
    fn known(&self, probes: &[(ContentDigest, u64)]) -> Result<Known> {
        let mut frames = blake3::Hasher::new();
        let mut seen: HashSet<ChunkId> = HashSet::new();
        for digest in &self.digests {
            for chunk in self.store.chunks_of(digest)? {
                if !seen.contains(&chunk.id) {
                    let frame = self.store.stored_frame(&chunk.id)?;
                    seen.extend(frame.header().keys().iter().map(|key| ChunkId::from_bytes(key.id)));
                    frames.update(&frame.to_bytes());
                }
            }
        }
        let bytes = Measured {
            raw_bytes: self.raw_len,
            stored_bytes: self.grown,
            pushed_bytes: self.pushed_bytes()?,
            fetched_bytes: self.fetched_bytes(probes)?,
            ..Measured::default()
        };
        Ok(Known { bytes, frames: frames.finalize() })
    }

    /// Returns how many bytes a push of the contents sends to a remote that has what was there before.
    fn pushed_bytes(&self) -> Result<u64> {
        let mut there: HashSet<ChunkId> = HashSet::new();
        for digest in &self.before {
            there.extend(self.store.chunks_of(digest)?.iter().map(|chunk| chunk.id));
        }
        let mut bytes = 0;
        for digest in &self.digests {
            for chunk in self.store.chunks_of(digest)? {
                if there.contains(&chunk.id) {
                    continue;
                }
                let header = self.store.frame_with(&chunk.id)?.header().clone();
                bytes += header.frame_len();
                there.extend(header.keys().iter().map(|key| ChunkId::from_bytes(key.id)));
            }
        }
        Ok(bytes)
    }

    /// Returns how many bytes a remote sends on average for a little at each place: the frame that holds it.
    fn fetched_bytes(&self, probes: &[(ContentDigest, u64)]) -> Result<u64> {
        let mut bytes = 0;
        for (digest, offset) in probes {
            let mut end = 0;
            let chunks = self.store.chunks_of(digest)?;
            let chunk = chunks.iter().find(|chunk| {
                end += u64::from(chunk.len);
                end > *offset
            });
            if let Some(chunk) = chunk {
                bytes += self.store.frame_with(&chunk.id)?.header().frame_len();
            }
        }
        Ok(bytes / (probes.len() as u64).max(1))
    }
}
