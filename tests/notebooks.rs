//! Every notebook is read or refused with a reason. The notebooks below `tests/data/notebooks` were written for this
//! test; `ONENB_CORPUS` names a folder with a larger collection in `notebooks/`.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use onenb::notebook::{self, Document, NotebookError};

fn own_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/notebooks")
}

fn notebooks_in(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "ipynb"))
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

fn own(name: &str) -> Result<Document, NotebookError> {
    Document::parse(&std::fs::read(own_folder().join(format!("{name}.ipynb"))).unwrap())
}

/// What a notebook says, in one line.
fn summary(document: &Document) -> String {
    let report = notebook::parameters(document);
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|problem| format!("{}:{}", problem.name.as_deref().unwrap_or("*"), problem.line))
        .collect();
    format!(
        "{} cells, params {}, problems {problems:?}, {} receipts, {} imports",
        document.cells().len(),
        report.params.to_json(),
        document.latest_receipts().len(),
        notebook::declared_exports(document).len(),
    )
}

#[test]
fn the_notebooks_of_this_repository_say_what_they_should() {
    for (name, expected) in [
        ("v3", "2 cells, params {}, problems [], 0 receipts, 0 imports"),
        ("v4", "2 cells, params {}, problems [], 0 receipts, 0 imports"),
        ("v4_5", "3 cells, params {}, problems [], 0 receipts, 0 imports"),
        ("executed", r#"4 cells, params {"foo":"bar","year":2023}, problems [], 1 receipts, 1 imports"#),
        (
            "magics",
            r#"3 cells, params {"limit":10,"ratio":0.5,"text":"\n%kept\n"}, problems ["docs:4"], 0 receipts, 1 imports"#,
        ),
        (
            "problems",
            r#"1 cells, params {"k":18446744073709551616}, problems ["a:1", "b:1", "c:2", "d:2", "e:4", "f:5", "g:6", "h:7", "i:9", "j:11"], 0 receipts, 0 imports"#,
        ),
        ("syntax_error", r#"1 cells, params {"a":1}, problems ["*:3"], 0 receipts, 0 imports"#),
        ("no_parameters", "1 cells, params {}, problems [], 0 receipts, 0 imports"),
        ("r_kernel", r#"2 cells, params {}, problems ["*:1"], 0 receipts, 0 imports"#),
        ("julia_kernel", r#"2 cells, params {}, problems ["*:1"], 0 receipts, 0 imports"#),
        ("odd_metadata", "3 cells, params {}, problems [], 0 receipts, 0 imports"),
        ("no_metadata", "0 cells, params {}, problems [], 0 receipts, 0 imports"),
    ] {
        let document = own(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(summary(&document), expected, "{name}");
    }
}

#[test]
fn what_is_no_notebook_is_refused_with_its_reason() {
    for (name, expected) in [
        ("v2", "nbformat 2"),
        ("blank", "it is empty"),
        ("truncated", "EOF"),
        ("list", "not an object"),
        ("no_nbformat", "no usable `nbformat`"),
        ("too_new", "nbformat 5"),
        ("cells_no_list", "`cells` is not a list"),
        ("conflict", "conflict markers"),
    ] {
        let error = own(name).expect_err(name).to_string();
        assert!(error.contains(expected), "{name}: {error}");
    }
}

#[test]
fn a_run_through_papermill_has_the_code_identity_of_its_original() {
    let executed = own("executed").unwrap();
    assert_eq!(executed.papermill_input_path(), Some("report.ipynb"));
    let text = std::fs::read_to_string(own_folder().join("executed.ipynb")).unwrap();
    let other_values = text.replace("year = 2020", "year = 1999").replace("year = 2023", "year = None");
    assert_ne!(text, other_values);
    let other_values = Document::parse(other_values.as_bytes()).unwrap();
    assert_eq!(notebook::code_identity(&executed), notebook::code_identity(&other_values));
    let other_code = text.replace("f.write('abc')", "f.write('abd')");
    assert_ne!(
        notebook::code_identity(&executed),
        notebook::code_identity(&Document::parse(other_code.as_bytes()).unwrap())
    );
}

#[test]
fn every_notebook_at_hand_is_read_or_refused_and_none_panics() {
    let mut folders = vec![own_folder()];
    match std::env::var_os("ONENB_CORPUS") {
        Some(corpus) => folders.push(Path::new(&corpus).join("notebooks")),
        None => println!("ONENB_CORPUS is not set: only the notebooks of this repository are read"),
    }
    for folder in folders {
        let notebooks = notebooks_in(&folder);
        assert!(!notebooks.is_empty(), "{} has no notebooks", folder.display());
        let mut refused = 0;
        for (name, bytes) in &notebooks {
            match Document::parse(bytes) {
                Ok(document) => {
                    println!("{name}: {}", summary(&document));
                    let again = Document::parse(bytes).unwrap();
                    assert_eq!(notebook::code_identity(&document), notebook::code_identity(&again), "{name}");
                }
                Err(error) => {
                    refused += 1;
                    println!("{name}: refused: {error}");
                    assert!(!error.to_string().is_empty());
                }
            }
        }
        println!("{}: {} notebooks, {refused} refused", folder.display(), notebooks.len());
    }
}
