//! What Git integration costs in a large repository, made with `git fast-import`.
//!
//! 100,000 commits on `main`, a tag on every tenth, 1,000 branches of one commit each, every tenth of them merged back,
//! and two of 2,000 export records changed by each commit. `ONENB_BENCH_COMMITS` makes it smaller. Prints medians.
#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::indexing_slicing, clippy::cast_precision_loss)]

use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use onenb::format::name::{ExportName, Suffix};
use onenb::format::params::Params;
use onenb::format::record::{ExportRecord, Producer};
use onenb::id::ContentDigest;
use onenb::{Environment, ExportOptions, InitOptions, Repo, Workspace};

/// Names of exports, and parameter sets of each.
const NAMES: usize = 100;
const SETS: usize = 20;
/// Commits from one tag, branch and merge to the next.
const TAG_EVERY: usize = 10;
const BRANCH_EVERY: usize = 100;
const MERGE_EVERY: usize = 1_000;

fn main() {
    let commits = std::env::var("ONENB_BENCH_COMMITS").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("repo");
    onenb::fs::create_dir_all(&dir).unwrap();
    let made = Instant::now();
    generate(&dir, commits);
    println!("repository: {commits} commits, {} records changed, made in {:.1?}", 2 * commits, made.elapsed());

    let repo = Repo::open(&dir).unwrap();
    let start = Instant::now();
    let indexed = repo.reindex().unwrap().commits;
    println!("first index: {:.2?} for {indexed} commits (goal 30 s)", start.elapsed());
    incremental(&dir);
    look_ups(&dir, &repo, commits);
    processes(&dir, commits);
    hooks(&dir, root.path());
}

fn git(dir: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(dir).env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "B").env(format!("GIT_{who}_EMAIL"), "b@example.org");
    }
    command
}

fn run(dir: &Path, args: &[&str]) -> Duration {
    let start = Instant::now();
    let output = git(dir).args(args).output().unwrap();
    let taken = start.elapsed();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    taken
}

fn key(number: usize) -> (ExportName, Params) {
    let name = ExportName::parse(&format!("Export{}", number % NAMES)).unwrap();
    let params = Params::from_assignments([format!("set={}", number / NAMES % SETS).as_str()]).unwrap();
    (name, params)
}

fn record(number: usize, version: usize) -> ExportRecord {
    let (name, params) = key(number);
    let suffix = Suffix::parse(".csv").unwrap();
    ExportRecord {
        name,
        params,
        digest: ContentDigest::of(format!("{number} {version}").as_bytes()),
        size: 1000,
        media_type: suffix.media_type().to_owned(),
        suffix,
        producer: Producer { path: Some(format!("make{}.py", number % NAMES)), code_identity: None },
        inputs: vec![],
        value: None,
    }
}

fn generate(dir: &Path, commits: usize) {
    run(dir, &["init", "--quiet", "--initial-branch=main"]);
    let program = Path::new(env!("CARGO_BIN_EXE_onenb"));
    let environment = Environment { program: Some(program.to_path_buf()), ..Environment::default() };
    Repo::init(dir, &environment, &InitOptions::default()).unwrap();
    run(dir, &["commit", "--quiet", "--no-verify", "--message=start"]);
    let mut child = git(dir).args(["fast-import", "--quiet"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut out = BufWriter::new(child.stdin.take().unwrap());
    let change = |out: &mut BufWriter<_>,
                  reference: &str,
                  from: Option<&str>,
                  merge: Option<&str>,
                  at: usize,
                  keys: &[usize]| {
        write!(out, "commit {reference}\ncommitter B <b@example.org> {} +0000\ndata 1\nx\n", 1_700_000_000 + at)
            .unwrap();
        for (word, parent) in [("from", from), ("merge", merge)] {
            if let Some(parent) = parent {
                writeln!(out, "{word} {parent}").unwrap();
            }
        }
        for number in keys {
            let record = record(*number, at);
            let bytes = record.to_bytes();
            write!(out, "M 100644 inline {}\ndata {}\n", record.key().record_path(), bytes.len()).unwrap();
            out.write_all(&bytes).unwrap();
        }
        out.write_all(b"\n").unwrap();
    };
    for at in 0..commits {
        let from = (at == 0).then_some("refs/heads/main^0");
        let keys = [at * 2 % (NAMES * SETS), (at * 2 + 1) % (NAMES * SETS)];
        let merged = (at % MERGE_EVERY == MERGE_EVERY - 1).then(|| format!("refs/heads/b{}", at - BRANCH_EVERY + 1));
        change(&mut out, "refs/heads/main", from, merged.as_deref(), at, &keys);
        if at % TAG_EVERY == 0 {
            write!(out, "reset refs/tags/v{at}\nfrom refs/heads/main\n\n").unwrap();
        }
        if at % BRANCH_EVERY == 0 {
            let branch = format!("refs/heads/b{at}");
            change(&mut out, &branch, Some("refs/heads/main"), None, at, &[at * 7 % (NAMES * SETS)]);
        }
    }
    drop(out);
    assert!(child.wait().unwrap().success());
    run(dir, &["reset", "--quiet", "--hard"]);
    run(dir, &["pack-refs", "--all"]);
    run(dir, &["commit-graph", "write", "--reachable"]);
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn incremental(dir: &Path) {
    let repo = Repo::open(dir).unwrap();
    let times = (0..11).map(|number| {
        let record = record(number, usize::MAX);
        onenb::fs::write_atomic(&dir.join(record.key().record_path()), &record.to_bytes()).unwrap();
        run(dir, &["add", ".1nb"]);
        run(dir, &["-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--message=more"]);
        let workspace = Workspace::open(dir, Environment::default());
        let (name, params) = key(number);
        let head = repo.commit_of("HEAD").unwrap().to_string();
        let spec = onenb::Spec { repo: None, rev: head, name, params };
        let start = Instant::now();
        workspace.resolve(&spec).unwrap();
        start.elapsed()
    });
    println!("index of one new commit, with opening and a look-up: {:.2?} (goal 5 ms)", median(times.collect()));
}

fn look_ups(dir: &Path, repo: &Repo, commits: usize) {
    let workspace = Workspace::open(dir, Environment::default());
    let tags = commits / TAG_EVERY;
    let resolve = |number: usize| {
        let at = number * 7919 % tags * TAG_EVERY;
        // Any export, so that most were last changed long before the tag.
        let (name, params) = key((number * 104_729) % (NAMES * SETS).min(at.max(1) * 2));
        let spec = onenb::Spec { repo: None, rev: format!("v{at}"), name, params };
        let start = Instant::now();
        workspace.resolve(&spec).unwrap();
        start.elapsed()
    };
    for which in ["for the first time in this process", "again"] {
        let taken = median((0..1_000).map(resolve).collect());
        println!("resolve 1,000 tags with name and parameters, library, {which}: {taken:.1?} (goal 50 µs)");
    }
    let name = ExportName::parse("Export7").unwrap();
    let times: Vec<_> = (0..5)
        .map(|_| {
            let start = Instant::now();
            assert!(!repo.log(Some(&name), None).unwrap().is_empty());
            start.elapsed()
        })
        .collect();
    println!("history of one export over {tags} tags: {:.1?} (goal 100 ms)", median(times));
    let times = (0..200).map(|number: usize| {
        let (early, late) = (number * 31 % tags * TAG_EVERY, number * 7919 % tags * TAG_EVERY);
        let start = Instant::now();
        let answer = repo.is_ancestor(&format!("v{early}"), &format!("v{late}")).unwrap();
        assert_eq!(answer, Some(early <= late));
        start.elapsed()
    });
    println!("is-ancestor of two tags: {:.1?}", median(times.collect()));
}

fn processes(dir: &Path, commits: usize) {
    let tags = commits / TAG_EVERY;
    let times = (0..21).map(|number: usize| {
        let at = number * 7919 % tags * TAG_EVERY;
        let (name, params) = key(at * 2);
        let set = params.iter().next().map(|(name, value)| format!("{name}={value}")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_onenb"));
        command.current_dir(dir).args(["resolve", &format!("v{at}:{name}"), "-p", &set]);
        let start = Instant::now();
        assert!(command.output().unwrap().status.success());
        start.elapsed()
    });
    println!("resolve as a process: {:.2?} (goal 10 ms)", median(times.collect()));
}

/// Executes a notebook, as far as Git and onenb see: four exports, and the file with their receipts.
fn notebook(dir: &Path, number: usize) {
    let repo = Repo::open(dir).unwrap();
    let mut outputs = Vec::new();
    for name in ["One", "Two", "Three", "Four"] {
        let options = ExportOptions {
            name: ExportName::parse(name).unwrap(),
            params: Params::empty(),
            suffix: Suffix::parse(".csv").unwrap(),
            producer: Some(dir.join("report.ipynb")),
            inputs: vec![],
            run: None,
            cell_source: None,
        };
        let mut writer = repo.export(options).unwrap();
        writer.write_all(format!("{name} {number}\n").repeat(1_000).as_bytes()).unwrap();
        let record = writer.finish().unwrap().record;
        let receipt = serde_json::json!({
            "v": 1, "run": format!("01JCWZ4Z8Q4X2V5D9E7T{number:06}"), "export": name, "params": {},
            "digest": record.digest.to_string(), "size": record.size, "suffix": ".csv", "cell_source_digest": null,
            "inputs": []
        });
        outputs.push(serde_json::json!({
            "output_type": "display_data", "metadata": {}, "data": {"application/vnd.onenb.receipt+json": receipt}
        }));
    }
    let notebook = serde_json::json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [
        {"cell_type": "code", "id": "a", "execution_count": 1, "metadata": {}, "outputs": outputs, "source": ["x"]}]});
    onenb::fs::write_atomic(&dir.join("report.ipynb"), notebook.to_string().as_bytes()).unwrap();
}

/// Compares hooks with hooks that call `/bin/true`, in pairs.
fn hooks(dir: &Path, root: &Path) {
    let plain = root.join("plain");
    for event in ["pre-commit", "post-commit", "pre-push"] {
        let hook = plain.join(event);
        onenb::fs::write_atomic(&hook, b"#!/bin/sh\nexec /bin/true\n").unwrap();
        onenb::fs::set_executable(&hook).unwrap();
    }
    let setting = format!("core.hooksPath={}", plain.display());
    // What was generated is written back by now, not beside what is timed.
    assert!(Command::new("sync").status().unwrap().success());
    let commit = ["commit", "--quiet", "--allow-empty", "--message=nothing"];
    pairs("git commit with nothing to record", "5 ms", 101, |ours| {
        if ours { run(dir, &commit) } else { run(dir, &[&["-c", setting.as_str()][..], &commit].concat()) }
    });
    let mut number = 0;
    pairs("git commit of one notebook with four exports", "60 ms", 21, |ours| {
        number += 1;
        notebook(dir, number);
        run(dir, &["add", "report.ipynb"]);
        let commit = ["commit", "--quiet", "--message=report"];
        if ours { run(dir, &commit) } else { run(dir, &[&["-c", setting.as_str()][..], &commit].concat()) }
    });
    run(dir, &["add", ".1nb"]);
    run(dir, &["-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--allow-empty", "--message=tidy"]);
    let origin = root.join("origin.git").display().to_string();
    run(dir, &["init", "--quiet", "--bare", &origin]);
    // A push to a place of our own, so that the hook has something to compare with.
    let remote = root.join("remote");
    Repo::open(dir)
        .unwrap()
        .remote_set(
            &onenb::format::config::StorageConfig {
                url: remote.display().to_string(),
                endpoint_url: None,
                region: None,
            },
            None,
            true,
        )
        .unwrap();
    run(dir, &["remote", "add", "origin", &origin]);
    run(dir, &["push", "--quiet", "--no-verify", "origin", "main"]);
    let mut number = 0;
    let mut push = |ours: bool| {
        number += 1;
        run(dir, &["-c", "core.hooksPath=/dev/null", "commit", "--quiet", "--allow-empty", "--message=push"]);
        let refspec = format!("HEAD:refs/heads/p{number}");
        let args = ["push", "--quiet", "origin", &refspec];
        if ours { run(dir, &args) } else { run(dir, &[&["-c", setting.as_str()][..], &args].concat()) }
    };
    push(true);
    pairs("git push of a branch without data here", "2.5 ms", 21, push);
}

fn pairs(what: &str, goal: &str, count: usize, mut time: impl FnMut(bool) -> Duration) {
    let (mut over, mut ours, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let (with, without) = (time(true), time(false));
        over.push((with.as_secs_f64() - without.as_secs_f64()) * 1e3);
        ours.push(with);
        plain.push(without);
    }
    over.sort_unstable_by(f64::total_cmp);
    println!(
        "{what}: {:.2} ms over /bin/true ({:.1?} against {:.1?}; goal {goal})",
        over[count / 2],
        median(ours),
        median(plain)
    );
}
