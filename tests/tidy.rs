//! The house rules that a compiler does not check: layers, doors of foreign crates, sizes, and what must not be said.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom; a module may use its own folder and the layers below, never a neighbour or one above.
const LAYERS: [&[&str]; 7] = [
    &["id", "testing"],
    &["error"],
    &["fs"],
    &["format"],
    &["backend"],
    &["sync", "store", "git", "catalog", "notebook"],
    &["repo", "tune"],
];

/// Foreign crates and the only folders that may name them.
const DOORS: [(&str, &[&str]); 13] = [
    ("gix", &["git"]),
    ("rusqlite", &["catalog"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("indicatif", &["cli"]),
    ("signal_hook", &["cli"]),
    ("ruff_python_parser", &["notebook"]),
    ("zstd", &["format", "store"]),
    ("fs2", &["fs"]),
    ("thread_priority", &["fs"]),
    ("object_store", &["backend"]),
    ("rustls", &["backend"]),
    ("tokio", &["backend"]),
];

const MAX_FILE_LINES: usize = 800;
/// As for code, which rustfmt sees to.
const MAX_COMMENT_LEN: usize = 120;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Returns every source file with its text, by its path below `src`.
fn sources() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    collect(&root().join("src"), &root().join("src"), &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}

fn collect(base: &Path, dir: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(dir).expect("a readable folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(base, &path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(base).expect("below").to_string_lossy().replace('\\', "/");
            found.insert(name, fs::read_to_string(&path).expect("UTF-8"));
        }
    }
}

/// Returns the module that a file belongs to: its top folder or its own name.
fn module_of(file: &str) -> &str {
    file.split('/').next().unwrap_or(file).trim_end_matches(".rs")
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

/// Returns a file's code without comments, so that prose may name anything.
fn code(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the modules that a text names through `crate::`.
fn used_modules(text: &str) -> Vec<String> {
    let ident = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    text.match_indices("crate::").filter_map(|(at, found)| text.get(at + found.len()..)).map(ident).collect()
}

#[test]
fn calls_go_down_only_and_neighbours_do_not_import_each_other() {
    let mut broken = Vec::new();
    for (file, text) in sources() {
        let module = module_of(&file);
        let Some(own) = layer_of(module) else { continue };
        for used in used_modules(&code(&text)) {
            if let Some(layer) = layer_of(&used)
                && used != module
                && layer >= own
            {
                broken.push(format!("{file} uses crate::{used}"));
            }
        }
    }
    assert!(broken.is_empty(), "layers are broken:\n{}", broken.join("\n"));
}

#[test]
fn every_foreign_crate_has_one_door() {
    let mut broken = Vec::new();
    for (file, text) in sources() {
        let module = module_of(&file).to_owned();
        let code = code(&text);
        for (name, doors) in DOORS {
            let named = code.match_indices(&format!("{name}::")).any(|(at, _)| {
                let before = code.get(..at).and_then(|before| before.chars().next_back());
                before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':')
            });
            if named && !doors.contains(&module.as_str()) {
                broken.push(format!("{file} names {name}"));
            }
        }
    }
    assert!(broken.is_empty(), "doors are broken:\n{}", broken.join("\n"));
}

#[test]
fn only_the_host_module_reads_the_environment() {
    // Git tells hooks which repository they run in by variables of its own; `git/` reads those and no others.
    let allowed = ["host.rs", "git/discover.rs", "git/program.rs"];
    let below_front_ends = |file: &str| layer_of(module_of(file)).is_some();
    let mut broken = Vec::new();
    for (file, text) in sources() {
        let outside_tests = code(text.split("#[cfg(test)]").next().unwrap_or(&text));
        let is_test = file.contains("tests");
        if below_front_ends(&file) && !is_test && !allowed.contains(&file.as_str()) {
            for word in ["env::var", "env::home_dir", "env::current_dir", "process::exit", "println!", "eprintln!"] {
                if outside_tests.contains(word) {
                    broken.push(format!("{file} has {word}"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "front ends' business below them:\n{}", broken.join("\n"));
}

#[test]
fn files_stay_below_their_limit_and_start_with_what_they_are() {
    let mut broken = Vec::new();
    for (file, text) in sources() {
        let lines = text.lines().count();
        if lines > MAX_FILE_LINES {
            broken.push(format!("{file} has {lines} lines, more than {MAX_FILE_LINES}"));
        }
        let is_long = |line: &&str| line.trim_start().starts_with("//") && line.chars().count() > MAX_COMMENT_LEN;
        if let Some(line) = text.lines().find(is_long) {
            broken.push(format!("{file} has a comment longer than {MAX_COMMENT_LEN} characters: {line}"));
        }
        if !text.starts_with("//!") {
            broken.push(format!("{file} does not start with its module documentation"));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn every_format_has_a_page_and_every_design_note_a_number() {
    let docs = root().join("docs");
    for page in ["binding", "catalog", "index", "pack", "recipe", "record", "remote", "run", "store"] {
        let text = fs::read_to_string(docs.join(format!("format/{page}.md"))).unwrap_or_default();
        assert!(text.contains("## Versions"), "docs/format/{page}.md has no version history");
    }
    for entry in fs::read_dir(docs.join("design")).expect("design notes") {
        let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let number = name.split('-').next().unwrap_or_default();
        assert!(number.len() == 4 && number.chars().all(|c| c.is_ascii_digit()), "docs/design/{name} has no number");
    }
}

#[test]
fn nothing_unfinished_is_left_in_the_code() {
    let words = ["todo!(", "unimplemented!(", "FIXME", "XXX", "#[ignore"];
    let mut broken = Vec::new();
    for (file, text) in sources() {
        for word in words {
            if text.contains(word) {
                broken.push(format!("{file} has {word}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
