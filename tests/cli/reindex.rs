//! `onenb reindex`: the catalog is only an index.

use crate::support::{Sandbox, notebook};

fn answers(sandbox: &Sandbox) -> Vec<String> {
    [&["ls", "v1", "--json"][..], &["log", "--json"], &["show", "v1:Report?year=2023", "--json"]]
        .iter()
        .map(|words| sandbox.onenb(words).ok().text())
        .collect()
}

#[test]
fn a_deleted_catalog_is_rebuilt_to_the_same_answers() {
    let sandbox = Sandbox::tagged();
    let before = answers(&sandbox);
    for file in sandbox.store_files("catalog.sqlite") {
        onenb::fs::remove_file(&file).expect("the catalog can be removed");
    }
    sandbox.onenb(&["reindex"]).ok();
    assert_eq!(answers(&sandbox), before);
}

#[test]
fn a_garbage_catalog_is_rebuilt_by_itself() {
    let sandbox = Sandbox::tagged();
    let before = answers(&sandbox);
    let catalogs = sandbox.store_files("catalog.sqlite");
    assert_eq!(catalogs.len(), 1);
    for file in catalogs {
        onenb::fs::write_atomic(&file, &[0xaa; 5000]).expect("the catalog can be replaced");
    }
    assert_eq!(answers(&sandbox), before);
}

/// Returns what every command says of every tag.
fn all_answers(sandbox: &Sandbox) -> Vec<(String, String)> {
    let mut answers = vec![("log".to_owned(), sandbox.onenb(&["log", "--json"]).ok().text())];
    for tag in sandbox.git(&["tag", "--list"]).ok().text().lines() {
        let listed = sandbox.onenb(&["ls", tag, "--json"]).ok();
        let exports = listed.json()["exports"].as_array().cloned().unwrap_or_default();
        answers.push((format!("ls {tag}"), listed.text()));
        for export in exports {
            let name = export["name"].as_str().expect("a name");
            let params = export["params"].as_object().expect("parameters");
            let pairs: Vec<String> = params.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let mut words = vec!["show".to_owned(), format!("{tag}:{name}"), "--json".to_owned()];
            words.extend(pairs.into_iter().flat_map(|pair| ["-p".to_owned(), pair]));
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            answers.push((words.join(" "), sandbox.onenb(&words).ok().text()));
        }
    }
    answers
}

/// Makes a history with merges, late bindings, notebooks with and without hooks, repairs and removals; all tagged.
fn rich_history() -> Sandbox {
    let sandbox = Sandbox::tagged();
    let commit = |message: &str| {
        sandbox.git(&["add", "--all"]).ok();
        sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", message]).ok();
        sandbox.git(&["tag", message]).ok();
    };
    sandbox.git(&["checkout", "--quiet", "-b", "side"]).ok();
    sandbox.write("side.ipynb", notebook(&sandbox, "Side", b"side", "01JCWZ4Z8Q4X2V5D9E7T1R3K6M").as_bytes());
    commit("with-notebook");
    sandbox.export("Late", b"late", &[]);
    sandbox.git(&["commit", "--quiet", "--allow-empty", "--message", "late"]).ok();
    sandbox.git(&["tag", "late"]).ok();
    sandbox.git(&["clean", "--quiet", "-fd", ".1nb"]).ok();
    sandbox.git(&["checkout", "--quiet", "main"]).ok();
    sandbox.export("Sales", b"main", &[]);
    commit("changed");
    sandbox.git(&["merge", "--quiet", "--no-edit", "side"]).ok();
    sandbox.git(&["tag", "merged"]).ok();
    sandbox.onenb(&["rm", "HEAD:Report", "-p", "year=2024"]).ok();
    commit("removed");
    sandbox.git(&["config", "core.hooksPath", "/dev/null"]).ok();
    sandbox.write("bare.ipynb", notebook(&sandbox, "Bare", b"bare", "01JCWZ4Z8Q4X2V5D9E7T1R3K6N").as_bytes());
    commit("receipt-only");
    sandbox.write("x.txt", b"x");
    commit("unchanged");
    sandbox.onenb(&["bind", "changed", "v1:Sales"]).ok();
    sandbox.onenb(&["unbind", "receipt-only", "Side"]).ok();
    sandbox
}

#[test]
fn every_answer_about_a_rich_history_is_the_same_after_a_reindex() {
    let sandbox = rich_history();
    let before = all_answers(&sandbox);
    assert!(before.len() > 30, "the history is too poor: {before:?}");
    let read = |spec: &str| sandbox.onenb(&["cat", spec]).ok().text();
    assert_eq!((read("merged:Late"), read("merged:Side")), ("late".to_owned(), "side".to_owned()));
    assert_eq!((read("changed:Sales"), read("unchanged:Bare")), ("a,b\n1,2\n".to_owned(), "bare".to_owned()));
    sandbox.onenb(&["cat", "unchanged:Side"]).fails(3, &[]);
    for ending in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        for file in sandbox.store_files(ending) {
            onenb::fs::remove_file(&file).expect("the catalog can be removed");
        }
    }
    sandbox.onenb(&["reindex"]).ok();
    assert_eq!(all_answers(&sandbox), before);
}
