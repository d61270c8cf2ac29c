//! Choices on planted figures, samples of planted exports, and whole runs whose answer no clock decides.

use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::choice::{Pair, choose};
use super::sample::{KindSample, Series};
use super::search::{Axes, Bench, Trial, search};
use super::*;
use crate::format::recipe::ChunkRef;
use crate::id::{ChunkId, ContentDigest};
use crate::store::{Rest, Store, StoreOptions, next_cut};
use crate::testing::random;

const ALL_AXES: Axes = Axes { shuffle: true, delta: true };

/// What the present setting did.
const PRESENT: Measured = Measured {
    raw_bytes: 10_000_000,
    stored_bytes: 1_000_000,
    pushed_bytes: 1_000_000,
    write_seconds: 0.1,
    read_seconds: 0.02,
    random_seconds: 0.001,
    fetched_bytes: 100_000,
};

/// Measures by a formula instead of a clock.
struct Planted<F> {
    rule: F,
    budget: usize,
    asked: Vec<Encoding>,
}

impl<F: Fn(&Encoding) -> Measured> Bench for Planted<F> {
    fn measure(&mut self, encoding: &Encoding) -> Result<Trial> {
        self.asked.push(*encoding);
        if self.asked.len() > self.budget {
            return Ok(Trial::NoTime);
        }
        let pair = Pair { present: (self.rule)(&self.asked[0]), other: (self.rule)(encoding) };
        Ok(Trial::Pairs(vec![pair]))
    }
}

fn planted<F: Fn(&Encoding) -> Measured>(rule: F) -> Planted<F> {
    Planted { rule, budget: usize::MAX, asked: vec![] }
}

fn find(objective: Objective, rule: impl Fn(&Encoding) -> Measured) -> Encoding {
    let found = search(objective, Encoding::default(), ALL_AXES, &mut planted(rule)).unwrap();
    found.rows[found.chosen].encoding
}

/// A machine on which higher levels are smaller and slower, and short frames are larger and faster anywhere.
fn usual(encoding: &Encoding) -> Measured {
    let level = f64::from(encoding.level);
    let frames = f64::from(1024 * 1024 / encoding.frame_len);
    let stored = 1_000_000.0 * (1.0 - (level - 3.0) * 0.012) * frames.powf(0.02);
    let bytes = |value: f64| format!("{value:.0}").parse().unwrap();
    Measured {
        stored_bytes: bytes(if encoding.delta { stored } else { stored * 1.5 }),
        pushed_bytes: bytes(stored),
        write_seconds: 0.02 + 0.0025 * level * level,
        random_seconds: 0.001 / frames,
        fetched_bytes: bytes(100_000.0 / frames),
        ..PRESENT
    }
}

#[test]
fn each_objective_finds_what_was_planted_for_it() {
    let chosen = Objective::ALL.map(|objective| {
        let Encoding { level, frame_len, shuffle, delta } = find(objective, usual);
        (objective, level, frame_len / 1024, shuffle, delta)
    });
    assert_eq!(chosen[0], (Objective::Size, 19, 1024, true, true));
    assert_eq!(chosen[1], (Objective::Speed, 1, 64, true, true));
    assert_eq!(chosen[2], (Objective::Balanced, 1, 64, true, true));
    // What is read anywhere is paid by the byte, and so is what is kept.
    assert_eq!((chosen[3].1, chosen[3].2), (19, 64));
}

#[test]
fn a_filter_or_a_delta_that_only_costs_is_left_out() {
    let rule = |encoding: &Encoding| {
        let times = u64::from(encoding.shuffle) + 2 * u64::from(encoding.delta) + 1;
        Measured { stored_bytes: 100_000 * times, ..PRESENT }
    };
    let best = find(Objective::Size, rule);
    assert_eq!(best, Encoding { shuffle: false, delta: false, ..best });
}

#[test]
fn what_makes_no_difference_stays_as_it_is() {
    let rule = |encoding: &Encoding| Measured {
        stored_bytes: 1_000_000 - u64::from(encoding.level.unsigned_abs()),
        ..PRESENT
    };
    for objective in Objective::ALL {
        assert_eq!(find(objective, rule), Encoding::default());
    }
}

#[test]
fn of_what_is_as_good_the_fastest_to_write_is_chosen() {
    let row = |level: i32, stored_bytes: u64, write_seconds: f64| {
        let measured = Measured { stored_bytes, write_seconds, ..PRESENT };
        let score = Objective::Size.score(&measured, &PRESENT);
        Row { encoding: Encoding { level, ..Encoding::default() }, measured, score, spread: None, runs: 1 }
    };
    let rows = [row(3, 1_000_000, 0.1), row(12, 803_000, 0.5), row(15, 801_000, 1.0), row(19, 800_000, 9.0)];
    assert_eq!(choose(Objective::Size, &rows), 1);
    assert_eq!(choose(Objective::Size, &rows[..1]), 0);
    // One percent less is no gain worth a setting.
    assert_eq!(choose(Objective::Size, &[row(3, 1_000_000, 0.1), row(6, 985_000, 0.01)]), 0);
}

#[test]
fn balanced_takes_no_setting_that_needs_a_quarter_more_bytes() {
    let rule = |encoding: &Encoding| Measured {
        stored_bytes: if encoding.delta { 1_000_000 } else { 1_260_000 },
        write_seconds: if encoding.delta { 0.1 } else { 0.001 },
        ..PRESENT
    };
    assert!(find(Objective::Balanced, rule).delta);
    assert!(!find(Objective::Speed, rule).delta);
    let pairs =
        [Pair { present: rule(&Encoding::default()), other: rule(&Encoding { delta: false, ..Encoding::default() }) }];
    assert_eq!(decide(Objective::Balanced, &pairs, &[]), Checked::NotBetter);
    assert_eq!(decide(Objective::Speed, &pairs, &[]), Checked::Better);
}

/// Runs of which the other setting writes this much slower than the present one.
fn runs(ratios: &[f64]) -> Vec<Pair> {
    // What else the machine does meets both alike.
    let pair = |(turn, ratio): (usize, &f64)| {
        let present = Measured { write_seconds: if turn % 2 == 0 { 0.1 } else { 0.9 }, ..PRESENT };
        Pair { present, other: Measured { write_seconds: present.write_seconds * ratio * ratio, ..present } }
    };
    ratios.iter().enumerate().map(pair).collect()
}

#[test]
fn nearly_all_runs_must_agree_and_gain_more_than_the_clock_is_off() {
    let quiet = runs(&[1.0, 1.01, 0.99, 1.0, 1.02, 1.0, 0.98, 1.0, 3.0]);
    let busy = runs(&[1.0, 1.2, 0.8, 1.1, 0.9, 1.0, 1.3, 0.7, 1.0]);
    let clear = [0.8, 0.82, 0.81, 0.79, 0.8, 0.8, 0.83, 0.8, 2.0];
    let decide = |ratios: &[f64], twice: &[Pair]| super::decide(Objective::Speed, &runs(ratios), twice);
    assert_eq!(decide(&clear, &quiet), Checked::Better);
    assert_eq!(decide(&clear, &busy), Checked::TooNoisy);
    assert_eq!(decide(&[0.8, 0.82, 0.81, 0.79, 0.8, 0.8, 0.83, 1.1, 2.0], &quiet), Checked::TooNoisy);
    assert_eq!(decide(&[0.97; 9], &quiet), Checked::NotBetter);
    assert_eq!(decide(&[1.0; 9], &busy), Checked::NotBetter);
    let scores = Scores::of(Objective::Speed, &quiet);
    assert_eq!((scores.runs, scores.wins), (9, 2));
    assert!((scores.middle - 1.0).abs() < 1e-9 && (scores.spread.unwrap() - 0.02).abs() < 1e-9, "{scores:?}");
}

#[test]
fn a_setting_that_makes_the_same_frames_is_no_candidate() {
    struct SameFrames(Planted<fn(&Encoding) -> Measured>);
    impl Bench for SameFrames {
        fn measure(&mut self, encoding: &Encoding) -> Result<Trial> {
            let trial = self.0.measure(encoding)?;
            Ok(if self.0.asked.len() > 1 { Trial::Same } else { trial })
        }
    }
    let mut bench = SameFrames(planted(usual as fn(&Encoding) -> Measured));
    let found = search(Objective::Speed, Encoding::default(), ALL_AXES, &mut bench).unwrap();
    assert_eq!((found.rows.len(), found.chosen, found.is_complete), (1, 0, true));
    assert!(bench.0.asked.len() > 8);
}

#[test]
fn where_times_count_no_setting_has_a_single_run_however_short_the_time_is() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = Store::open(dir.path(), &StoreOptions::default()).unwrap().scratch().unwrap().unwrap();
    let sample = [Series { before: None, versions: vec![table(1, 0, 3000)] }];
    for (objective, runs) in Objective::ALL.into_iter().zip([1, 2, 2, 1]) {
        let options = TuneOptions { objective, ..TuneOptions::default() };
        let (mut written, mut progress, present) = (0, |_| true, Encoding::default());
        let mut bench = StoreBench::new(&scratch, (&sample, present), &options, &mut written, &mut progress);
        bench.limit(Duration::ZERO);
        let Trial::Pairs(pairs) = bench.measure(&present).unwrap() else { panic!("{objective:?}") };
        let scores = Scores::of(objective, &pairs);
        assert_eq!((scores.runs, scores.spread.is_some()), (runs, runs > 1), "{objective:?}");
        assert_eq!(bench.measure(&Encoding { level: 9, ..present }).unwrap(), Trial::NoTime);
    }
}

#[test]
fn the_default_is_tried_however_short_the_time_is() {
    let dir = tempfile::tempdir().unwrap();
    let scratch = Store::open(dir.path(), &StoreOptions::default()).unwrap().scratch().unwrap().unwrap();
    let sample = [Series { before: None, versions: vec![table(1, 0, 3000)] }];
    let (mut written, mut progress) = (0, |_| true);
    let present = Encoding { level: 12, ..Encoding::default() };
    let options = TuneOptions { objective: Objective::Size, ..TuneOptions::default() };
    let mut bench = StoreBench::new(&scratch, (&sample, present), &options, &mut written, &mut progress);
    bench.limit(Duration::ZERO);
    let found = search(Objective::Size, present, ALL_AXES, &mut bench).unwrap();
    let tried: Vec<Encoding> = found.rows.iter().map(|row| row.encoding).collect();
    assert_eq!((tried, found.is_complete), (vec![present, Encoding::default()], false));
}

#[test]
fn scores_are_what_the_help_says() {
    let quarter = Measured { stored_bytes: 250_000, ..PRESENT };
    let slow = Measured { stored_bytes: 250_000, write_seconds: 0.8, ..PRESENT };
    let near = |score: f64, wanted: f64| assert!((score - wanted).abs() < 1e-3, "{score} is not {wanted}");
    near(Objective::Size.score(&slow, &PRESENT), 0.25);
    near(Objective::Speed.score(&slow, &PRESENT), 8_f64.sqrt());
    near(Objective::Balanced.score(&quarter, &PRESENT), 0.5);
    near(Objective::Balanced.score(&slow, &PRESENT), 0.5 * 8_f64.powf(1.0 / 6.0));
    for objective in Objective::ALL {
        near(objective.score(&PRESENT, &PRESENT), 1.0);
        near(objective.score(&Measured::default(), &Measured::default()), 1.0);
    }
    // A gigabyte that stays a gigabyte: 12 months, 12 reads of all and 12 000 reads of 100 kB, an hour of work.
    let gigabyte = 1_000_000_000;
    let measured = Measured {
        raw_bytes: gigabyte,
        stored_bytes: 7,
        pushed_bytes: gigabyte,
        write_seconds: 3600.0,
        read_seconds: 0.0,
        random_seconds: 9.0,
        fetched_bytes: 100_000,
    };
    near(Prices::USUAL.of_a_year(&measured), 0.276 + 1.08 + 0.108 + 0.0048 + 0.04);
}

#[test]
fn without_time_the_dearer_settings_are_left_out_and_that_is_said() {
    let mut bench = Planted { rule: usual, budget: 7, asked: vec![] };
    let found = search(Objective::Size, Encoding::default(), ALL_AXES, &mut bench).unwrap();
    assert!(!found.is_complete);
    assert_eq!(found.rows.iter().map(|row| row.encoding.level).collect::<Vec<_>>(), [3, 3, 3, 3, 3, 1, 6]);
    assert_eq!(found.rows[found.chosen].encoding.level, 6);
    let found = search(Objective::Size, Encoding::default(), ALL_AXES, &mut planted(usual)).unwrap();
    assert!(found.is_complete);
}

#[test]
fn the_present_setting_is_what_others_are_compared_with() {
    let present = Encoding { level: 19, frame_len: 65_536, ..Encoding::default() };
    let found = search(Objective::Speed, present, ALL_AXES, &mut planted(usual)).unwrap();
    assert_eq!(found.rows[0].encoding, present);
    assert!((found.rows[0].score - 1.0).abs() < 1e-9);
    // A single run differs from nothing.
    assert_eq!((found.rows[0].runs, found.rows[0].spread), (1, None));
    assert_eq!(found.rows[1].encoding, Encoding::default());
    assert_eq!(found.rows[found.chosen].encoding.level, 1);
}

#[test]
fn axes_that_cannot_matter_are_not_measured_and_nothing_twice() {
    let axes = Axes { shuffle: false, delta: false };
    let mut bench = planted(usual);
    search(Objective::Balanced, Encoding::default(), axes, &mut bench).unwrap();
    assert!(bench.asked.iter().all(|encoding| encoding.shuffle && encoding.delta));
    let mut unique = bench.asked.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), bench.asked.len());
}

proptest! {
    #[test]
    fn what_is_chosen_is_never_worse_than_the_present_setting(
        seed in any::<u64>(), level in 1..=19_i32, objective in 0..4_usize,
    ) {
        let rule = |encoding: &Encoding| {
            let noise = random(seed ^ u64::from(encoding.level.unsigned_abs()) << 32 ^ u64::from(encoding.frame_len), 8);
            let value = |at: usize| f64::from(noise[at]) + 1.0;
            Measured {
                stored_bytes: 1000 + u64::from(noise[0]) * 100,
                pushed_bytes: 1000 + u64::from(noise[1]) * 100,
                write_seconds: value(2) / 100.0,
                read_seconds: value(3) / 100.0,
                random_seconds: value(4) / 1e5,
                fetched_bytes: u64::from(noise[5]) * 100,
                raw_bytes: 100_000,
            }
        };
        let (objective, present) = (Objective::ALL[objective], Encoding { level, ..Encoding::default() });
        let found = search(objective, present, ALL_AXES, &mut planted(rule)).unwrap();
        let best = found.rows[found.chosen];
        prop_assert!(found.chosen == 0 || objective.is_better(best.score));
        let is_allowed = |row: &&Row| objective.allows(&row.measured, &found.rows[0].measured);
        prop_assert!(is_allowed(&&best));
        let least = found.rows.iter().filter(is_allowed).map(|row| row.score).fold(f64::INFINITY, f64::min);
        prop_assert!(best.score <= 1.0 && (found.chosen == 0 || best.score <= least * 1.0101));
    }
}

/// Contents in memory.
#[derive(Default)]
struct World {
    sources: Vec<Source>,
    contents: BTreeMap<ContentDigest, Vec<u8>>,
}

impl World {
    fn add(&mut self, name: &str, group: &str, versions: &[Vec<u8>]) {
        let versions = versions.iter().map(|bytes| {
            let digest = ContentDigest::of(bytes);
            self.contents.insert(digest, bytes.clone());
            digest
        });
        let versions = versions.collect();
        self.sources.push(Source { name: name.to_owned(), group: group.to_owned(), versions });
    }

    fn open(&self, digest: &ContentDigest) -> Result<Content> {
        let absent = || Error::new(ErrorKind::NotFound, "not here");
        let bytes = self.contents.get(digest).cloned().ok_or_else(absent)?;
        let chunks = if bytes.len() > 1024 { chunks_of(&bytes) } else { vec![] };
        Ok(Content { chunks, reader: Box::new(std::io::Cursor::new(bytes)) })
    }

    fn take(&self, limit: u64) -> Vec<KindSample> {
        sample::take(&self.sources, &|digest| self.open(digest), limit, None, &mut || true).unwrap().kinds
    }

    fn tune(&self, present: &Encodings, options: &TuneOptions) -> Result<TuneReport> {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), &StoreOptions::default()).unwrap();
        let scratch = store.scratch().unwrap().unwrap();
        tune(&self.sources, &|digest| self.open(digest), &scratch, present, options, &mut |_| true)
    }
}

/// Cuts a content as the store does.
fn chunks_of(bytes: &[u8]) -> Vec<ChunkRef> {
    let mut rest = bytes;
    let mut chunks = vec![];
    while let Some((len, cut)) = next_cut(rest, Rest::End) {
        let (chunk, later) = rest.split_at(len);
        chunks.push(ChunkRef { id: ChunkId::of(chunk), len: u32::try_from(len).unwrap(), cut });
        rest = later;
    }
    chunks
}

/// Makes the rows of a table, some of which differ from version to version.
fn table(seed: u64, version: u64, rows: u64) -> Vec<u8> {
    let row = |number: u64| {
        let changed = if number % 40 == version % 40 { version } else { 0 };
        let noise = random(seed * 1_000_003 + number * 101 + changed, 6);
        format!("{number},team {},{},{}\n", noise[0] % 20, noise[1], u32::from(noise[2]) * 1000 + u32::from(noise[3]))
    };
    (0..rows).flat_map(|number| row(number).into_bytes()).collect()
}

#[test]
fn earlier_versions_are_chosen_on_and_later_ones_held_out() {
    let versions: Vec<Vec<u8>> = (0..5).map(|version| table(1, version, 500)).collect();
    let mut world = World::default();
    world.add("Sales", ".csv", &versions);
    let sample = world.take(1 << 20);
    let [sample] = sample.as_slice() else { panic!("{sample:?}") };
    assert_eq!((sample.kind, sample.exports), (ContentKind::Csv, 1));
    assert_eq!(sample.chosen_on, [Series { before: None, versions: versions[..3].to_vec() }]);
    assert_eq!(sample.held_out, [Series { before: Some(versions[2].clone()), versions: versions[3..].to_vec() }]);
}

#[test]
fn exports_of_one_version_go_to_either_side_and_kinds_are_told_by_content() {
    let mut world = World::default();
    for seed in 0..6 {
        world.add(&format!("T{seed}"), ".csv", &[table(seed, 0, 300)]);
    }
    world.add("Model", ".csv", &[[b"PAR1".to_vec(), random(7, 9000)].concat()]);
    let samples = world.take(1 << 20);
    let kinds: Vec<_> = samples.iter().map(|sample| (sample.kind, sample.exports)).collect();
    assert_eq!(kinds, [(ContentKind::Csv, 6), (ContentKind::Parquet, 1)]);
    assert_eq!((samples[0].chosen_on.len(), samples[0].held_out.len()), (3, 3));
    assert!(!samples[0].has_versions());
}

#[test]
fn the_sample_is_bounded_always_the_same_and_passes_over_what_is_not_here() {
    let mut world = World::default();
    for seed in 0..40 {
        let versions: Vec<Vec<u8>> = (0..12).map(|version| table(seed, version, 900)).collect();
        world.add(&format!("T{seed}"), [".csv", ".txt"][usize::from(seed % 2 == 0)], &versions);
    }
    world.add("Gone", ".npy", &[random(1, 100)]);
    world.contents.remove(&ContentDigest::of(&random(1, 100)));
    world.add("Empty", ".bin", &[vec![]]);
    world.add("Never", ".csv", &[]);
    let describe = |world: &World, limit| {
        let samples = world.take(limit);
        let total: u64 = samples.iter().map(|sample| sample.chosen_on_len() + sample.held_out_len()).sum();
        let sides = samples.into_iter().map(|sample| (sample.chosen_on, sample.held_out));
        (total, sides.collect::<Vec<_>>())
    };
    let limit = 400_000;
    let (total, sides) = describe(&world, limit);
    assert!(total > limit / 4 && total <= limit, "{total}");
    world.sources.reverse();
    assert_eq!(describe(&world, limit), (total, sides));
}

#[test]
fn of_a_growing_content_what_is_new_is_sampled() {
    // All versions began with the same bytes, so that a sample of their beginnings measured nothing at all.
    let mut world = World::default();
    let all = random(1, 6 << 20);
    let versions: Vec<Vec<u8>> = [5, 6].map(|len| all[..len << 20].to_vec()).to_vec();
    world.add("Growing", ".bin", &versions);
    let samples = world.take(16 << 20);
    let [sample] = samples.as_slice() else { panic!("{samples:?}") };
    let first = |series: &[Series]| series[0].versions[0].clone();
    let (earlier, later) = (first(&sample.chosen_on), first(&sample.held_out));
    assert!(earlier.starts_with(&all[..1000]) && earlier.ends_with(&versions[0][(5 << 20) - 1000..]));
    assert!(later.starts_with(&all[..1000]) && later.ends_with(&versions[1][(6 << 20) - 1000..]));
    assert!(earlier.len() < 2 << 20 && later.len() < 2 << 20);
    assert_eq!(sample.chosen_on_new, earlier.len() as u64);
    // What was added, and no chunk that only the sample of the earlier one lacks.
    let added = 1 << 20;
    let new = sample.held_out_new;
    assert!(new > added / 2 && new < added + 300_000, "{new}");
    // Whole chunks in a row are cut where they were.
    let real: std::collections::HashSet<_> = chunks_of(&versions[1]).iter().map(|chunk| chunk.id).collect();
    assert!(chunks_of(&later).iter().all(|chunk| real.contains(&chunk.id)));
}

#[test]
fn what_did_not_change_is_nothing_to_measure() {
    let mut world = World::default();
    let all = random(2, 300_000);
    let grown = |by: usize| [all.clone(), random(3, 900)[..by].to_vec()].concat();
    world.add("Hardly", ".bin", &[grown(0), grown(300), grown(600), grown(900)]);
    let sample = &world.take(16 << 20)[0];
    assert!(sample.held_out_len() > 500_000 && sample.is_enough());
    // The last chunk of either version, at most.
    assert!(sample.held_out_new <= 2 * 262_144, "{}", sample.held_out_new);
}

#[test]
fn a_copy_of_what_is_chosen_on_is_not_held_out() {
    // Two names, one content but for a remark: a choice was checked on what it was made on.
    let mut world = World::default();
    let whole = random(4, 1 << 20);
    world.add("One", ".bin", std::slice::from_ref(&whole));
    world.add("Other", ".bin", &[[whole.clone(), b"changed".to_vec()].concat()]);
    let sample = &world.take(32 << 20)[0];
    assert_eq!((sample.exports, sample.chosen_on.len(), sample.held_out.len()), (2, 1, 0));
    assert!(sample.is_enough() && sample.held_out_new < u64::from(Objective::Size.least_held_out()));
    world.add("Third", ".bin", &[random(5, 1 << 20)]);
    assert!(world.take(32 << 20)[0].exports == 3);
}

#[test]
fn one_folder_of_many_files_leaves_turns_to_others_and_a_full_kind_takes_none() {
    let mut world = World::default();
    for number in 0..1100 {
        world.add(&format!("Checks/ck-1.0/{number}"), "Checks", &[random(1000 + number, 4000)]);
    }
    world.add("Sales", ".csv", &[table(1, 0, 4000)]);
    let kinds: Vec<_> = world.take(1 << 20).iter().map(|sample| (sample.kind, sample.exports > 0)).collect();
    assert_eq!(kinds, [(ContentKind::Csv, true), (ContentKind::Other, true)]);
    // More sources than are taken, of a kind that is full.
    let read = std::cell::Cell::new(0);
    let open = |digest: &ContentDigest| {
        read.set(read.get() + 1);
        world.open(digest)
    };
    let sampled = sample::take(&world.sources, &open, 256 * 1024, None, &mut || true).unwrap();
    let taken: usize = sampled.kinds.iter().map(|sample| sample.exports).sum();
    assert!(taken < 60 && read.get() <= 1101 + taken, "{taken} {}", read.get());
}

#[test]
fn where_everything_is_damaged_that_is_said() {
    let mut world = World::default();
    world.add("One", ".csv", &[table(5, 0, 900)]);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreOptions::default()).unwrap();
    let scratch = store.scratch().unwrap().unwrap();
    let open = |_: &ContentDigest| -> Result<Content> { Err(Error::new(ErrorKind::Damaged, "a pack is damaged")) };
    let refusal = tune(&world.sources, &open, &scratch, &Encodings::default(), &by_size(), &mut |_| true).unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Damaged);
    assert!(refusal.hint().unwrap().contains("`onenb verify`"));
}

/// Options under which no clock decides: all settings are measured, and only bytes count.
fn by_size() -> TuneOptions {
    TuneOptions {
        objective: Objective::Size,
        sample_len: 8 << 20,
        time_limit: Duration::from_hours(10),
        remote_latency: None,
    }
}

#[test]
fn levels_that_make_the_same_deltas_are_one_candidate() {
    // Deltas have level 9 at least, so that four levels stored the very same bytes and one of them won by the clock
    // alone.
    let sample = [Series { before: Some(table(1, 0, 4000)), versions: vec![table(1, 1, 4000), table(1, 2, 4000)] }];
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreOptions::default()).unwrap();
    let scratch = store.scratch().unwrap().unwrap();
    let (mut written, mut go_on) = (0, |_| true);
    let options = by_size();
    let mut bench = StoreBench::new(&scratch, (&sample, Encoding::default()), &options, &mut written, &mut go_on);
    let mut at = |level| bench.measure(&Encoding { level, ..Encoding::default() }).unwrap();
    assert!(matches!(at(3), Trial::Pairs(pairs) if pairs.len() == 2));
    assert_eq!(at(1), Trial::Same);
    assert_eq!(at(9), Trial::Same);
    assert!(matches!(at(19), Trial::Pairs(pairs) if pairs[0].other.stored_bytes < pairs[0].present.stored_bytes));
    let compared = bench.compare(Encoding { level: 6, ..Encoding::default() }).unwrap();
    assert_eq!(decide(Objective::Speed, &compared.pairs, &compared.present_twice), Checked::NotBetter);
    let pair = compared.pairs[0];
    assert!(compared.pairs.len() == 1 && pair.present == pair.other, "{pair:?}");
}

#[test]
fn a_run_finds_smaller_settings_checks_them_and_measures_what_is_real() {
    let mut world = World::default();
    for seed in 0..2 {
        let versions: Vec<Vec<u8>> = (0..4).map(|version| table(seed, version, 2600)).collect();
        world.add(&format!("T{seed}"), ".csv", &versions);
    }
    world.add("Note", ".txt", &[b"a few words\n".to_vec()]);
    let report = world.tune(&Encodings::default(), &by_size()).unwrap();
    let [csv, text] = report.kinds.as_slice() else { panic!("{report:?}") };
    assert_eq!((csv.kind, csv.verdict, csv.is_complete), (ContentKind::Csv, Verdict::Better, true));
    let best = csv.best().unwrap();
    assert!(best.encoding.level > 3, "{best:?}");
    assert!(best.measured.stored_bytes < csv.rows[0].measured.stored_bytes);
    let held = csv.held_out.unwrap();
    assert!(held.score <= 0.98 && held.chosen.stored_bytes < held.present.stored_bytes);
    assert!(csv.rows.iter().any(|row| !row.encoding.delta) && csv.rows.iter().all(|row| row.encoding.shuffle));
    for row in &csv.rows {
        let Measured { raw_bytes, stored_bytes, pushed_bytes, .. } = row.measured;
        assert_eq!(raw_bytes, csv.sample_len);
        assert!(stored_bytes > 0 && pushed_bytes > 0 && row.measured.fetched_bytes > 0);
        assert!(stored_bytes < raw_bytes && pushed_bytes < raw_bytes);
        assert!(row.encoding.delta || stored_bytes == pushed_bytes, "{row:?}");
    }
    assert_eq!(text.verdict, Verdict::TooLittle);
    let settings = report.settings(&Encodings::default()).unwrap().unwrap();
    assert_eq!(settings.iter().collect::<Vec<_>>(), [(ContentKind::Csv, best.encoding)]);
    // Once these are the present ones, there is nothing left to gain.
    let again = world.tune(&settings, &by_size()).unwrap();
    assert_eq!(again.kinds[0].verdict, Verdict::PresentIsBest);
    assert_eq!(again.settings(&settings).unwrap(), None);
}

#[test]
fn what_was_not_checked_or_did_not_hold_is_not_offered() {
    // Nothing held out: one export of one version.
    let mut world = World::default();
    world.add("One", ".csv", &[table(5, 0, 9000)]);
    let report = world.tune(&Encodings::default(), &by_size()).unwrap();
    assert_eq!(report.kinds[0].verdict, Verdict::NothingHeldOut);
    assert_eq!(report.settings(&Encodings::default()).unwrap(), None);
    // Later versions are noise that no level makes smaller: what helps the earlier ones does nothing for these.
    let letter =
        |byte: &u8| b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"[usize::from(byte % 64)];
    let noise = |seed| random(seed, 200_000).iter().map(letter).collect::<Vec<u8>>();
    let mut world = World::default();
    world.add("Turns", ".csv", &[table(6, 0, 6000), table(6, 1, 6000), noise(1), noise(2)]);
    let report = world.tune(&Encodings::default(), &by_size()).unwrap();
    assert_eq!(report.kinds[0].verdict, Verdict::NotOnHeldOut, "{report:?}");
    let score = report.kinds[0].held_out.unwrap().score;
    assert!((0.99..1.01).contains(&score), "{score}");
    assert_eq!(report.settings(&Encodings::default()).unwrap(), None);
}

#[test]
fn nothing_to_measure_and_an_interruption_are_said() {
    let refusal = World::default().tune(&Encodings::default(), &by_size()).unwrap_err();
    assert!(refusal.hint().unwrap().contains("`onenb export NAME FILE`"));
    let mut world = World::default();
    world.add("One", ".csv", &[table(5, 0, 9000)]);
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), &StoreOptions::default()).unwrap();
    let scratch = store.scratch().unwrap().unwrap();
    let open = |digest: &_| world.open(digest);
    let stop = &mut |done| done < 300_000;
    let refusal = tune(&world.sources, &open, &scratch, &Encodings::default(), &by_size(), stop).unwrap_err();
    assert_eq!(refusal.kind(), ErrorKind::Interrupted);
}
