//! Measuring a setting: a scratch store, the writer that exports use, the reader that reads use.

use std::collections::HashSet;
use std::io::{Read, Seek as _, SeekFrom};
use std::time::{Duration, Instant};

use super::TuneOptions;
use super::choice::{Measured, Objective};
use super::sample::{Series, number_of};
use super::search::Bench;
use crate::error::{Error, ErrorKind, Result};
use crate::format::encoding::Encoding;
use crate::id::{ChunkId, ContentDigest};
use crate::store::{Scratch, Store, WriteOptions};

/// How often a setting is measured at most where times count. Of each content and each read the best time counts, because
/// other processes only ever disturb.
const RUNS: u32 = 9;
/// The same where bytes do, which are the same in every run: the time decides only between settings that are as small.
const FEW_RUNS: u32 = 2;
/// About how long a setting is measured without a limit.
const SLICE: Duration = Duration::from_secs(2);
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
    remote_latency: Duration,
    runs: u32,
    slice: Duration,
    deadline: Option<Instant>,
    /// The level of the last setting and how long one run of it took.
    last: Option<(i32, Duration)>,
    /// Bytes written by all benches of this run.
    written: &'a mut u64,
    progress: &'a mut dyn FnMut(u64) -> bool,
}

/// What one run stored.
struct Stored {
    store: Store,
    before: Vec<ContentDigest>,
    digests: Vec<ContentDigest>,
    raw_len: u64,
    grown: u64,
}

/// How long one run took, for each content and each small read.
#[derive(Default)]
struct Times {
    write: Vec<Duration>,
    read: Vec<Duration>,
    random: Vec<Duration>,
}

impl<'a> StoreBench<'a> {
    pub(super) fn new(
        scratch: &'a Scratch,
        sample: &'a [Series],
        options: &TuneOptions,
        written: &'a mut u64,
        progress: &'a mut dyn FnMut(u64) -> bool,
    ) -> Self {
        let remote_latency = options.remote_latency.unwrap_or_default();
        let runs = match options.objective {
            Objective::Size | Objective::Cost => FEW_RUNS,
            Objective::Speed | Objective::Balanced => RUNS,
        };
        let (slice, deadline, last) = (SLICE, None, None);
        Self { scratch, sample, remote_latency, runs, slice, deadline, last, written, progress }
    }

    /// Measures nothing more once this much time has passed, and nothing that is likely to take longer.
    pub(super) fn limit(&mut self, time: Duration) {
        self.deadline = Instant::now().checked_add(time);
        self.slice = time / SLICES;
    }

    fn has_time_for(&self, level: i32) -> bool {
        let (Some(deadline), Some((last_level, took))) = (self.deadline, self.last) else { return true };
        // From one level that is tried to the next the time about doubles.
        let expected = if level > last_level { took * 2 } else { Duration::ZERO };
        Instant::now() + expected < deadline
    }

    /// Writes the sample into a store, timing all but what was there before.
    fn write(&mut self, store: Store, encoding: Encoding, times: &mut Times) -> Result<Stored> {
        let mut stored = Stored { store, before: vec![], digests: vec![], raw_len: 0, grown: 0 };
        for series in self.sample {
            let mut parents = vec![];
            if let Some(before) = &series.before {
                parents = vec![self.put(&stored.store, before, encoding, parents)?.0];
                stored.before.extend(&parents);
            }
            for bytes in &series.versions {
                let started = Instant::now();
                let (digest, stored_bytes) = self.put(&stored.store, bytes, encoding, parents)?;
                times.write.push(started.elapsed());
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

    /// Writes and reads the sample once. The first run of a setting counts bytes too.
    fn run(&mut self, encoding: Encoding, bytes: Option<&mut Measured>) -> Result<Times> {
        let (root, store) = self.scratch.store()?;
        let mut times = Times::default();
        let stored = self.write(store, encoding, &mut times)?;
        stored.read_all(&mut times)?;
        let probes = stored.probes()?;
        stored.read_anywhere(&probes, &mut times)?;
        if let Some(measured) = bytes {
            measured.raw_bytes = stored.raw_len;
            measured.stored_bytes = stored.grown;
            measured.pushed_bytes = stored.pushed_bytes()?;
            measured.fetched_bytes = stored.fetched_bytes(&probes)?;
        }
        drop(stored);
        self.scratch.remove(&root);
        Ok(times)
    }
}

impl StoreBench<'_> {
    /// Measures two settings in turn, run by run, so that whatever else the machine does meets both alike.
    pub(super) fn compare(&mut self, one: Encoding, other: Encoding) -> Result<(Measured, Measured)> {
        let started = Instant::now();
        let (mut of_one, mut of_other) = (Measured::default(), Measured::default());
        let mut times_of_one = self.run(one, Some(&mut of_one))?;
        let mut times_of_other = self.run(other, Some(&mut of_other))?;
        let took = started.elapsed();
        for _ in 1..self.runs {
            if started.elapsed() + took > self.slice * 2 {
                break;
            }
            times_of_one.keep_best(&self.run(one, None)?);
            times_of_other.keep_best(&self.run(other, None)?);
        }
        times_of_one.tell(&mut of_one, self.remote_latency);
        times_of_other.tell(&mut of_other, self.remote_latency);
        Ok((of_one, of_other))
    }
}

impl Bench for StoreBench<'_> {
    fn measure(&mut self, encoding: &Encoding) -> Result<Option<Measured>> {
        if !self.has_time_for(encoding.level) {
            return Ok(None);
        }
        let started = Instant::now();
        let mut measured = Measured::default();
        let mut times = self.run(*encoding, Some(&mut measured))?;
        let took = started.elapsed();
        self.last = Some((encoding.level, took));
        for _ in 1..self.runs {
            if started.elapsed() + took > self.slice {
                break;
            }
            times.keep_best(&self.run(*encoding, None)?);
        }
        times.tell(&mut measured, self.remote_latency);
        Ok(Some(measured))
    }
}

impl Times {
    /// Keeps, of each thing that was timed in two runs, the shorter time.
    fn keep_best(&mut self, again: &Self) {
        for (times, again) in
            [(&mut self.write, &again.write), (&mut self.read, &again.read), (&mut self.random, &again.random)]
        {
            times.iter_mut().zip(again).for_each(|(time, again)| *time = (*time).min(*again));
        }
    }

    /// Adds up what was timed.
    fn tell(&self, measured: &mut Measured, remote_latency: Duration) {
        measured.write_seconds = seconds(&self.write);
        measured.read_seconds = seconds(&self.read);
        let count = u32::try_from(self.random.len()).unwrap_or(1).max(1);
        measured.random_seconds = seconds(&self.random) / f64::from(count) + remote_latency.as_secs_f64();
    }
}

fn seconds(times: &[Duration]) -> f64 {
    times.iter().sum::<Duration>().as_secs_f64()
}

impl Stored {
    fn read_all(&self, times: &mut Times) -> Result<()> {
        let mut buffer = vec![0; BUFFER_LEN];
        for digest in &self.digests {
            let started = Instant::now();
            let mut reader = self.store.open_content(digest)?;
            while reader.pull(&mut buffer)? > 0 {}
            times.read.push(started.elapsed());
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
    fn read_anywhere(&self, probes: &[(ContentDigest, u64)], times: &mut Times) -> Result<()> {
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
            times.random.push(started.elapsed());
        }
        Ok(())
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
