//! Tests of walks over generated and hand-made histories.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::Stdio;

use super::*;
use crate::git::testing::{TestRepo, open};

/// Makes commits without files, fast: `parents` lists for each commit the numbers of its parents.
fn history(test: &TestRepo, parents: &[Vec<usize>]) -> Vec<CommitId> {
    let mut stream = String::new();
    for (number, parents) in parents.iter().enumerate() {
        let mark = number + 1;
        // A commit without parents begins a branch of its own; else it would continue the last one.
        let branch = if parents.is_empty() { format!("root{number}") } else { "all".to_owned() };
        write!(
            stream,
            "commit refs/heads/{branch}\nmark :{mark}\ncommitter A <a@example.org> 1700000000 +0000\ndata 8\n{number:08}\n"
        )
        .unwrap();
        for (position, parent) in parents.iter().enumerate() {
            let verb = if position == 0 { "from" } else { "merge" };
            writeln!(stream, "{verb} :{}", parent + 1).unwrap();
        }
    }
    let marks = test.outside().join("marks");
    let mut command = test.command_in(&test.path);
    command.args(["fast-import", "--quiet", "--force", &format!("--export-marks={}", marks.display())]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stream.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
    let exported = std::fs::read_to_string(marks).unwrap();
    let by_mark: HashMap<usize, CommitId> = exported
        .lines()
        .map(|line| line.trim_start_matches(':').split_once(' ').unwrap())
        .map(|(mark, id)| (mark.parse().unwrap(), id.parse().unwrap()))
        .collect();
    (0..parents.len()).map(|number| by_mark[&(number + 1)]).collect()
}

#[test]
fn parents_come_before_children_and_each_commit_once() {
    let test = TestRepo::new();
    let shape = vec![vec![], vec![0], vec![0], vec![1, 2], vec![], vec![3, 4], vec![2], vec![6, 5]];
    let ids = history(&test, &shape);
    for graph_file in [false, true] {
        if graph_file {
            test.git(&["commit-graph", "write", "--reachable"]);
        }
        let walked = test.open().walk_topological(&[ids[7], ids[3]], &|_| false).unwrap();
        assert_eq!(walked.len(), 8);
        let place: HashMap<CommitId, usize> = walked.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        for (child, parents) in shape.iter().enumerate() {
            for parent in parents {
                assert!(place[&ids[*parent]] < place[&ids[child]], "{parent} before {child}");
            }
        }
    }
}

#[test]
fn a_walk_ends_where_it_is_told_to() {
    let test = TestRepo::new();
    let ids = history(&test, &[vec![], vec![0], vec![1], vec![2], vec![1, 3]]);
    let repo = test.open();
    assert_eq!(repo.walk_topological(&[ids[4]], &|id| *id == ids[1]).unwrap(), [ids[2], ids[3], ids[4]]);
    assert_eq!(repo.walk_topological(&[ids[4]], &|id| *id == ids[4]).unwrap(), []);
    assert_eq!(repo.walk_topological(&[], &|_| false).unwrap(), []);
}

#[test]
fn ancestry_has_a_root_a_base_and_an_order() {
    let test = TestRepo::new();
    let ids = history(&test, &[vec![], vec![0], vec![1], vec![1], vec![], vec![2, 4]]);
    test.git(&["symbolic-ref", "HEAD", "refs/heads/all"]);
    let repo = test.open();
    assert_eq!(repo.root_commit().unwrap(), Some(ids[0]));
    assert_eq!((repo.root_of(ids[3]).unwrap(), repo.root_of(ids[4]).unwrap()), (Some(ids[0]), Some(ids[4])));
    assert_eq!(repo.merge_base(ids[2], ids[3]).unwrap(), Some(ids[1]));
    assert_eq!(repo.merge_base(ids[0], ids[4]).unwrap(), None);
    assert!(repo.is_ancestor(ids[1], ids[5]).unwrap());
    assert!(repo.is_ancestor(ids[5], ids[5]).unwrap());
    assert!(!repo.is_ancestor(ids[5], ids[1]).unwrap());
    assert!(!repo.is_ancestor(ids[3], ids[5]).unwrap());
    let absent = CommitId::from_slice(&[9; 20]).unwrap();
    assert!(matches!(repo.merge_base(ids[0], absent), Err(GitError::MissingObject { .. })));
}

#[test]
fn a_shallow_clone_ends_at_its_boundary() {
    let test = TestRepo::new();
    test.commit("a", "1");
    test.commit("a", "2");
    let head = test.commit("a", "3");
    let clone = test.outside().join("clone");
    let url = format!("file://{}", test.path.display());
    test.git(&["clone", "--quiet", "--depth", "1", &url, clone.to_str().unwrap()]);
    let repo = open(&clone);
    assert!(repo.is_shallow().unwrap());
    let info = repo.commit_info(head).unwrap();
    assert_eq!((info.parents.len(), info.is_cut_off), (0, true));
    assert_eq!(repo.walk_topological(&[head], &|_| false).unwrap(), [head]);
    assert_eq!(repo.root_commit().unwrap(), None);
    test.git_in(&clone, &["commit", "--quiet", "--allow-empty", "--message", "on top"]);
    let top: CommitId = test.git_in(&clone, &["rev-parse", "HEAD"]).parse().unwrap();
    assert!(!repo.commit_info(top).unwrap().is_cut_off);
    assert_eq!(repo.walk_topological(&[top], &|_| false).unwrap(), [head, top]);
    assert_eq!(repo.merge_base(head, top).unwrap(), Some(head));
    assert!(!repo.is_ancestor(top, head).unwrap());
}

#[test]
fn replaced_commits_are_walked_as_git_walks_them() {
    let test = TestRepo::new();
    let ids = history(&test, &[vec![], vec![], vec![1]]);
    test.git(&["commit-graph", "write", "--reachable"]);
    test.git(&["replace", "--graft", &ids[1].to_string(), &ids[0].to_string()]);
    assert_eq!(test.open().walk_topological(&[ids[2]], &|_| false).unwrap(), [ids[0], ids[1], ids[2]]);
}

#[test]
fn a_missing_parent_is_an_error_that_names_it() {
    let test = TestRepo::new();
    let first = test.commit("a", "1");
    let head = test.commit("a", "2");
    let hex = first.to_string();
    crate::fs::remove_file(&test.path.join(".git/objects").join(&hex[..2]).join(&hex[2..])).unwrap();
    let error = test.open().walk_topological(&[head], &|_| false).unwrap_err();
    assert!(matches!(error, GitError::MissingObject { id } if id == first), "{error:?}");
}

#[test]
fn long_histories_need_no_deep_stack() {
    let test = TestRepo::new();
    let shape: Vec<Vec<usize>> = (0..20_000usize).map(|n| n.checked_sub(1).into_iter().collect()).collect();
    let ids = history(&test, &shape);
    let tip = *ids.last().unwrap();
    let walked = std::thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(move || test.open().walk_topological(&[tip], &|_| false).unwrap())
        .unwrap()
        .join()
        .unwrap();
    assert_eq!(walked, ids);
}
