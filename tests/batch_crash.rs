//! The machine stops at every write step of a batch in turn: afterwards all of the batch is there, or nothing.
//!
//! The fault switch is one for the whole process, so these tests have a program of their own and take turns.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use onenb::format::name::{ExportName, Suffix};
use onenb::format::params::Params;
use onenb::fs::fault;
use onenb::{Environment, ExportOptions, InitOptions, Repo, Workspace};

const COUNT: usize = 4;
static TURN: Mutex<()> = Mutex::new(());

fn content(round: u8, number: usize) -> Vec<u8> {
    vec![round * 10 + u8::try_from(number).unwrap(); 2_000 + number * 500]
}

fn options(number: usize) -> ExportOptions {
    ExportOptions {
        name: ExportName::parse(&format!("Part{number}")).unwrap(),
        params: Params::default(),
        suffix: Suffix::parse(".bin").unwrap(),
        producer: None,
        inputs: vec![],
        run: None,
        cell_source: None,
    }
}

fn export_all(repo: &Repo, round: u8) -> onenb::Result<()> {
    let batch = repo.batch()?;
    for number in 0..COUNT {
        let mut writer = batch.export(options(number))?;
        writer.write_all(&content(round, number))?;
        writer.finish()?;
    }
    batch.commit()?;
    Ok(())
}

fn repository(root: &Path) {
    let run = |arguments: &[&str]| {
        let done = Command::new("git").args(arguments).current_dir(root).env("HOME", root).output().unwrap();
        assert!(done.status.success(), "{done:?}");
    };
    run(&["init", "--quiet"]);
    let setup = InitOptions { name: Some("demo".to_owned()), no_hooks: true, ..InitOptions::default() };
    Repo::init(root, &Environment::default(), &setup).unwrap();
}

/// Returns which round each export is of, `None` for those that are not there.
fn rounds(root: &Path) -> Vec<Option<u8>> {
    let workspace = Workspace::open(root, Environment::default());
    let rounds = (0..COUNT).map(|number| {
        let spec = workspace.parse_spec(&format!("working:Part{number}"), &Params::default()).unwrap();
        let export = workspace.resolve(&spec).ok()?;
        let mut bytes = vec![];
        workspace.read(&export).unwrap().read_to_end(&mut bytes).unwrap();
        let round = bytes[0] / 10;
        assert_eq!(bytes, content(round, number));
        Some(round)
    });
    rounds.collect()
}

#[test]
fn what_is_exported_after_a_batch_died_is_never_overwritten_by_it() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut left = 0;
    for step in 0..200 {
        let dir = tempfile::tempdir().unwrap();
        repository(dir.path());
        export_all(&Repo::open(dir.path()).unwrap(), 1).unwrap();
        let (lives, dies) = (Repo::open(dir.path()).unwrap(), Repo::open(dir.path()).unwrap());
        fault::crash_after(step);
        let _ = export_all(&dies, 2);
        let stopped = fault::crashed();
        drop(dies);
        fault::heal();
        let entries = std::fs::read_dir(dir.path().join(".git/onenb/batches")).into_iter().flatten();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        left += names.filter(|name| name.ends_with(".json") && !name.starts_with('.')).count();
        // The same bytes as before the batch, so that no record file seems to change.
        let mut writer = lives.export(options(0)).unwrap();
        writer.write_all(&content(1, 0)).unwrap();
        writer.finish().unwrap();
        drop(lives);
        assert_eq!(rounds(dir.path())[0], Some(1), "stopped at step {step}");
        if !stopped {
            break;
        }
    }
    assert!(left > 0, "no journal was ever left behind");
}

#[test]
fn a_batch_is_visible_as_a_whole_or_not_at_all_wherever_the_machine_stops() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let mut seen = [0, 0];
    let mut ended = false;
    for step in 0..200 {
        let dir = tempfile::tempdir().unwrap();
        repository(dir.path());
        export_all(&Repo::open(dir.path()).unwrap(), 1).unwrap();
        let repo = Repo::open(dir.path()).unwrap();
        fault::crash_after(step);
        let acknowledged = export_all(&repo, 2).is_ok();
        let stopped = fault::crashed();
        drop(repo);
        fault::heal();
        let found = rounds(dir.path());
        assert!(found == [Some(1); COUNT] || found == [Some(2); COUNT], "stopped at step {step}: {found:?}");
        assert!(!acknowledged || found == [Some(2); COUNT], "stopped at step {step}");
        seen[usize::from(found[0] == Some(2))] += 1;
        let report = Repo::open(dir.path()).unwrap().verify(&mut |_| true).unwrap();
        assert!(report.damaged.is_empty(), "stopped at step {step}: {:?}", report.damaged);
        if !stopped {
            ended = true;
            break;
        }
    }
    assert!(ended, "the batch has more write steps than were tried");
    assert!(seen[0] > 3 && seen[1] > 3, "{seen:?}");
}

#[test]
fn of_many_files_each_is_the_old_or_the_new_one_wherever_the_machine_stops() {
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let new = |number: usize| format!("new {number} ").repeat(number + 1).into_bytes();
    let mut seen = [0, 0];
    for step in (0..).step_by(13) {
        let dir = tempfile::tempdir().unwrap();
        let path = |number: usize| dir.path().join(format!("a/{}/b{number}/{number}.json", number % 7));
        let files: Vec<_> = (0..200).map(|number| (path(number), new(number))).collect();
        onenb::fs::create_dir_all(files[3].0.parent().unwrap()).unwrap();
        onenb::fs::write_atomic(&files[3].0, b"old").unwrap();
        fault::crash_after(step);
        let written = onenb::fs::write_many(&files);
        let stopped = fault::crashed();
        fault::heal();
        assert_eq!(written.is_err(), stopped, "stopped at step {step}: {written:?}");
        for (number, (path, new)) in files.iter().enumerate() {
            match std::fs::read(path) {
                Ok(bytes) if bytes == *new => seen[1] += 1,
                Ok(bytes) => assert!(number == 3 && bytes == b"old" && stopped, "step {step}, file {number}"),
                Err(_) => {
                    assert!(stopped, "step {step}, file {number}");
                    seen[0] += 1;
                }
            }
        }
        if !stopped {
            break;
        }
    }
    assert!(seen[0] > 1_000 && seen[1] > 1_000, "{seen:?}");
}
