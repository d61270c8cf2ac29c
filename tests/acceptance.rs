//! Acceptance runs that take minutes: many processes, kills, large streams, real data. `make test-slow` runs them.
//!
//! Real data comes from the folder that `ONENB_CORPUS` names; what needs it is skipped, and says so, where it is unset.
#![allow(missing_docs, dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout)]

#[path = "cli/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, Hasher as _};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;

use support::{Sandbox, finish};

const ONENB: &str = env!("CARGO_BIN_EXE_onenb");
const BIG_LEN: u64 = 5_000_000_000;
const MAX_PEAK: u64 = 200_000_000;

/// A small generator, so that a printed seed repeats a run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    /// Fills half of the bytes with noise; the rest is left as it is.
    fn half_fill(&mut self, bytes: &mut [u8]) {
        let half = bytes.len() / 2;
        for word in bytes[..half].chunks_exact_mut(8) {
            word.copy_from_slice(&self.next().to_le_bytes());
        }
    }
}

fn corpus(folder: &str) -> Option<PathBuf> {
    let found = std::env::var_os("ONENB_CORPUS").map(|corpus| PathBuf::from(corpus).join(folder));
    if found.is_none() {
        println!("skipped 1 test: ONENB_CORPUS is not set, {folder} is needed");
    }
    found
}

/// Returns the files of a folder, sorted by name.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn eight_processes_export_two_hundred_times_each_at_once() {
    let sandbox = Sandbox::ready();
    let content = |worker: usize, round: usize| format!("worker {worker}, round {round}\n").repeat(200 + round);
    let started = Instant::now();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for round in 0..200 {
                    let (name, param) = (format!("Worker{}", worker % 4), format!("at={}", worker * 1000 + round));
                    let bytes = content(worker, round);
                    let run = sandbox
                        .onenb_with(&["export", &name, "-", "--suffix", ".csv", "-p", &param], bytes.as_bytes())
                        .ok();
                    assert!(!run.stderr.contains("database is locked"), "{run}");
                }
            });
        }
    });
    println!("8 x 200 exports at once: {:.1} s", started.elapsed().as_secs_f64());
    sandbox.onenb(&["verify"]).ok();
    std::thread::scope(|scope| {
        for half in 0..2 {
            let sandbox = &sandbox;
            scope.spawn(move || {
                for worker in (half..8).step_by(2) {
                    for round in 0..200 {
                        let spec = format!("working:Worker{}?at={}", worker % 4, worker * 1000 + round);
                        assert!(sandbox.onenb(&["cat", &spec]).ok().text() == content(worker, round), "{spec}");
                    }
                }
            });
        }
    });
    let rows = sandbox.onenb(&["ls", "working", "--json"]).ok().json();
    assert_eq!(rows["exports"].as_array().map(Vec::len), Some(1600));
}

/// What one key may hold: the last version that was acknowledged, or any whole one that died after it.
#[derive(Default)]
struct Allowed {
    acknowledged: Option<Vec<u8>>,
    unknown: Vec<Vec<u8>>,
}

#[test]
fn exports_killed_at_random_moments_are_whole_or_absent() {
    let seed = std::env::var("ONENB_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(|| std::hash::RandomState::new().build_hasher().finish() | 1);
    println!("seed: repeat with ONENB_SEED={seed}");
    let sandbox = Sandbox::ready();
    let mut random = Random(seed);
    let mut keys: BTreeMap<String, Allowed> = BTreeMap::new();
    let mut killed = 0;
    for _ in 0..300 {
        let name = format!("Key{}", random.below(40));
        let len = 1 << random.below(23);
        let mut bytes = vec![b'x'; len + usize::try_from(random.below(1000)).unwrap()];
        random.half_fill(&mut bytes);
        let acknowledged = export_and_maybe_kill(&sandbox, &mut random, &name, &bytes);
        let allowed = keys.entry(name).or_default();
        if acknowledged {
            *allowed = Allowed { acknowledged: Some(bytes), unknown: vec![] };
        } else {
            killed += 1;
            allowed.unknown.push(bytes);
        }
    }
    println!("{killed} of 300 exports were killed before they were acknowledged");
    assert!((10..290).contains(&killed), "the kills hit nothing, or everything: {killed}");
    sandbox.onenb(&["verify"]).ok();
    for (name, allowed) in keys {
        let run = sandbox.onenb(&["cat", &format!("working:{name}")]);
        let whole = allowed.acknowledged.iter().chain(&allowed.unknown).any(|bytes| *bytes == run.stdout);
        let absent = run.code == 3 && allowed.acknowledged.is_none();
        assert!(absent || (run.code == 0 && whole), "{name}: exit {}: {}", run.code, run.stderr);
    }
}

/// Feeds an export; two times in three the program is killed, somewhere between its start and long after the last byte.
fn export_and_maybe_kill(sandbox: &Sandbox, random: &mut Random, name: &str, bytes: &[u8]) -> bool {
    let mut command = sandbox.command(ONENB);
    command.args(["export", name, "-", "--suffix", ".bin"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let kill = random.below(3) > 0;
    let fed = if kill && random.below(3) == 0 { random.below(bytes.len() as u64) } else { bytes.len() as u64 };
    pipe.write_all(&bytes[..usize::try_from(fed).unwrap()]).unwrap();
    if kill {
        // Cut off input must not look like its end, so the pipe stays open until the program is dead.
        let open = (fed < bytes.len() as u64).then_some(pipe);
        for _ in 0..1_u64 << random.below(23) {
            std::hint::spin_loop();
        }
        // It may be done already; then its exit code counts.
        let _ = child.kill();
        let code = child.wait().unwrap().code();
        drop(open);
        return code == Some(0);
    }
    drop(pipe);
    child.wait().unwrap().success()
}

#[test]
fn every_step_of_real_data_comes_back_by_its_tag() {
    let Some(root) = corpus("versions") else { return };
    let sandbox = Sandbox::ready();
    for folder in files_of(&root).into_iter().filter(|path| path.is_dir()) {
        let label = folder.file_name().unwrap().to_string_lossy().into_owned();
        let name = format!("Set_{label}");
        let (mut raw, mut seconds, mut slowest) = (0, 0.0, 0.0_f64);
        let before = stored(&sandbox);
        let steps = files_of(&folder);
        for step in &steps {
            raw += step.metadata().unwrap().len();
            let started = Instant::now();
            sandbox.onenb(&["export", &name, &step.to_string_lossy()]).ok();
            let took = started.elapsed().as_secs_f64();
            seconds += took;
            slowest = slowest.max(took);
            sandbox.commit_and_tag(&tag_of(&label, step));
        }
        for step in &steps {
            let spec = format!("{}:{name}", tag_of(&label, step));
            let read = sandbox.onenb(&["cat", &spec]).ok().stdout;
            assert!(read == std::fs::read(step).unwrap(), "{spec} differs from {}", step.display());
        }
        let kept = stored(&sandbox) - before;
        println!(
            "{label}: {} steps, raw {raw} bytes, stored {kept} bytes ({:.1} x smaller), {seconds:.2} s to export, slowest step {slowest:.2} s",
            steps.len(),
            ratio(raw, kept),
        );
    }
    sandbox.onenb(&["verify"]).ok();
    println!("pack files of both: {} bytes", pack_bytes(&sandbox));
}

fn tag_of(label: &str, step: &Path) -> String {
    format!("{label}-{}", step.file_stem().unwrap().to_string_lossy())
}

fn stored(sandbox: &Sandbox) -> u64 {
    sandbox.onenb(&["stats", "--json"]).ok().json()["stored"].as_u64().unwrap()
}

fn pack_bytes(sandbox: &Sandbox) -> u64 {
    sandbox
        .store_files("")
        .iter()
        .filter(|path| path.ends_with("packs") || path.parent().unwrap().ends_with("packs"))
        .map(|path| path.metadata().unwrap().len())
        .sum()
}

#[expect(clippy::cast_precision_loss, reason = "shown with one decimal")]
fn ratio(one: u64, other: u64) -> f64 {
    one as f64 / other.max(1) as f64
}

/// A stream that is half noise and half one repeated byte, the same for the same seed.
struct Stream {
    random: Random,
    block: Vec<u8>,
}

impl Stream {
    fn new() -> Self {
        Self { random: Random(0x9e37_79b9_7f4a_7c15), block: vec![b'.'; 1_000_000] }
    }

    fn next_block(&mut self) -> &[u8] {
        self.random.half_fill(&mut self.block);
        &self.block
    }
}

/// Returns the most memory that a running program has had, in bytes; 0 once it is gone.
fn peak_of(child: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<u64>().map_or(0, |kilobytes| kilobytes * 1024)
}

#[test]
fn five_gigabytes_are_exported_and_read_back_in_little_memory() {
    let sandbox = Sandbox::ready();
    let started = Instant::now();
    let mut command = sandbox.command(ONENB);
    command.args(["export", "Big", "-", "--suffix", ".bin"]).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let (mut stream, mut peak) = (Stream::new(), 0);
    for _ in 0..BIG_LEN / 1_000_000 {
        pipe.write_all(stream.next_block()).unwrap();
        peak = peak.max(peak_of(&child));
    }
    drop(pipe);
    // The end of an export counts too: the peak only grows, so the last look before it is gone is the answer.
    while child.try_wait().unwrap().is_none() {
        peak = peak.max(peak_of(&child));
        std::thread::yield_now();
    }
    assert!(child.wait().unwrap().success());
    let (export_seconds, export_peak) = (started.elapsed().as_secs_f64(), peak);

    let started = Instant::now();
    let mut command = sandbox.command(ONENB);
    command.args(["cat", "working:Big"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut pipe = child.stdout.take().unwrap();
    let (mut stream, mut peak, mut block) = (Stream::new(), 0, vec![0; 1_000_000]);
    for at in 0..BIG_LEN / 1_000_000 {
        pipe.read_exact(&mut block).unwrap();
        assert!(block == stream.next_block(), "megabyte {at} differs");
        peak = peak.max(peak_of(&child));
    }
    assert_eq!(pipe.read(&mut block).unwrap(), 0, "there is more than was written");
    assert!(child.wait().unwrap().success());
    println!(
        "5 GB: export {export_seconds:.1} s, peak {export_peak} bytes; read {:.1} s, peak {peak} bytes; stored {} bytes",
        started.elapsed().as_secs_f64(),
        stored(&sandbox)
    );
    assert!(export_peak > 1_000_000 && peak > 1_000_000, "memory was not measured");
    assert!(export_peak < MAX_PEAK && peak < MAX_PEAK);
}

#[test]
fn every_real_notebook_is_added_or_refused_with_a_reason() {
    let Some(root) = corpus("notebooks") else { return };
    let sandbox = Sandbox::ready();
    let (mut added, mut refused) = (BTreeSet::new(), BTreeMap::new());
    for path in files_of(&root) {
        if path.extension().is_none_or(|extension| extension != "ipynb") {
            continue;
        }
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        sandbox.write(&file, &std::fs::read(&path).unwrap());
        let run = sandbox.onenb(&["addnb", &file]);
        match run.code {
            0 => drop(added.insert(file)),
            1 => {
                assert!(run.stderr.starts_with("error: ") && run.stderr.contains(&file), "{run}");
                refused.insert(file, run.stderr);
            }
            _ => panic!("{file}: {run}"),
        }
    }
    println!("{} notebooks added, {} refused: {refused:#?}", added.len(), refused.len());
    assert!(!added.is_empty());
    // What was added commits and is read back as it was.
    sandbox.git(&["add", "--all"]).ok();
    sandbox.git(&["commit", "--quiet", "--message", "notebooks"]).ok();
    sandbox.onenb(&["verify"]).ok();
    for file in added {
        let read = sandbox.onenb(&["nb", "get", &format!("HEAD:{file}"), "-o", "-"]);
        if read.code == 0 && !read.stdout.is_empty() {
            assert!(read.stdout == std::fs::read(root.join(&file)).unwrap(), "{file}");
        }
    }
}

#[test]
fn a_hook_with_nothing_to_do_is_quick() {
    let sandbox = Sandbox::tagged();
    let run = |program: &str, arguments: &[&str]| {
        let mut command = sandbox.command(program);
        command.args(arguments);
        let started = Instant::now();
        finish(command, b"").ok();
        started.elapsed().as_secs_f64() * 1000.0
    };
    let median = |program: &str, arguments: &[&str]| {
        let mut times: Vec<f64> = (0..21).map(|_| run(program, arguments)).collect();
        times.sort_by(f64::total_cmp);
        times[10]
    };
    let floor = median("/bin/true", &[]);
    for arguments in [&["--version"][..], &["hook", "pre-commit"], &["hook", "post-commit"], &["cat", "v1:Sales"]] {
        println!("{arguments:?}: {:.1} ms, /bin/true {floor:.1} ms (medians of 21)", median(ONENB, arguments));
    }
}
