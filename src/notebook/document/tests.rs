//! Tests of documents: formats 3 and 4, tolerance, hostile input.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::error::{Classify as _, ErrorKind};

fn parse(json: &Json) -> Result<Document, NotebookError> {
    Document::parse(&serde_json::to_vec(json).unwrap())
}

#[test]
fn a_notebook_of_nbformat_4_5_shows_its_parts() {
    let document = parse(&json!({
        "nbformat": 4, "nbformat_minor": 5,
        "metadata": {"kernelspec": {"language": "python", "name": "x"}, "language_info": {"name": "other"},
                     "papermill": {"input_path": "in.ipynb"}},
        "cells": [
            {"cell_type": "markdown", "id": "m", "source": ["# a\n", "b"], "metadata": {}},
            {"cell_type": "code", "id": "c", "source": "x", "metadata": {"tags": ["a", 1, "b"]}, "execution_count": 3,
             "outputs": [{"output_type": "stream", "text": "y"}, {"data": 5}, 7]},
            {"cell_type": "raw", "source": null},
            {"cell_type": "code", "source": [], "execution_count": null, "outputs": {}},
            {"cell_type": "code", "source": "z", "execution_count": 1}
        ]
    }))
    .unwrap();
    assert_eq!(document.nbformat(), (4, 5));
    assert_eq!((document.language(), document.is_python()), (Some("python"), true));
    assert_eq!(document.papermill_input_path(), Some("in.ipynb"));
    assert_eq!(document.execution_summary(), ExecutionSummary { executed: 2, first_count: Some(3) });
    let kinds: Vec<_> = document.cells().iter().map(|cell| (cell.kind, cell.source.as_str())).collect();
    let expected = [
        (CellKind::Markdown, "# a\nb"),
        (CellKind::Code, "x"),
        (CellKind::Raw, ""),
        (CellKind::Code, ""),
        (CellKind::Code, "z"),
    ];
    assert_eq!(kinds, expected);
    let cell = &document.cells()[1];
    assert_eq!((cell.id.as_deref(), cell.tags.as_slice()), (Some("c"), ["a".to_owned(), "b".to_owned()].as_slice()));
    let types: Vec<_> = cell.outputs.iter().map(|output| output.output_type.as_str()).collect();
    assert_eq!(types, ["stream", "", ""]);
}

#[test]
fn nbformat_3_reads_worksheets_inputs_prompts_and_languages() {
    let document = parse(&json!({
        "nbformat": 3, "nbformat_minor": 0, "metadata": {"name": ""},
        "worksheets": [
            {"cells": [{"cell_type": "heading", "level": 1, "source": ["Title"]}]},
            {"metadata": {}},
            {"cells": [{"cell_type": "code", "input": ["a\n", "b"], "language": "python", "prompt_number": 2,
                        "outputs": [{"output_type": "pyout", "text": "1"}]}]}
        ]
    }))
    .unwrap();
    let seen: Vec<_> = document.cells().iter().map(|cell| (cell.kind, cell.source.as_str())).collect();
    assert_eq!(seen, [(CellKind::Markdown, "Title"), (CellKind::Code, "a\nb")]);
    assert_eq!(document.language(), Some("python"));
    assert_eq!(document.execution_summary().first_count, Some(2));
    assert_eq!(parse(&json!({"nbformat": 3})).unwrap().cells(), []);
}

#[test]
fn what_is_no_notebook_is_refused_by_its_reason() {
    let reason = |bytes: &[u8]| {
        let error = Document::parse(bytes).expect_err("it is no notebook");
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(error.hint().is_some_and(|hint| !hint.is_empty()));
        error.to_string()
    };
    assert_eq!(reason(b" \n"), "the notebook is not JSON: it is empty");
    assert!(reason(b"{\"nbformat\": 4").starts_with("the notebook is not JSON: EOF"));
    assert!(reason(b"\x89PNG\r\n").starts_with("the notebook is not JSON: "));
    assert!(reason(b"{\n<<<<<<< HEAD\n1\n=======\n2\n>>>>>>> x\n}").contains("Git conflict markers"));
    for other in ["[]", "5", "\"text\"", "null"] {
        assert_eq!(reason(other.as_bytes()), "the file is JSON but no notebook: it is not an object", "{other}");
    }
    for version in ["{}", "{\"nbformat\": \"4\"}", "{\"nbformat\": -1}", "{\"nbformat\": 4.5}", "{\"nbformat\": 0}"] {
        assert!(reason(version.as_bytes()).contains("no usable `nbformat`"), "{version}");
    }
    assert_eq!(
        reason(b"{\"nbformat\": 2, \"worksheets\": []}"),
        "the notebook has nbformat 2, and 3 is the oldest that is read"
    );
    assert_eq!(reason(b"{\"nbformat\": 5}"), "the notebook has nbformat 5, and 4 is the newest that is known");
    assert!(reason(b"{\"nbformat\": 4, \"cells\": 1}").contains("`cells` is not a list"));
    assert!(reason(b"{\"nbformat\": 3, \"worksheets\": {}}").contains("`worksheets` is not a list"));
    assert!(reason(b"{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"raw\"}, 5]}").contains("cell 1 has no"));
    let source = "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"code\", \"source\": [1]}]}";
    assert!(reason(source.as_bytes()).contains("cell 0 has a source that is no text"));
}

#[test]
fn nbformat_2_says_how_to_convert_it() {
    let hint = Document::parse(b"{\"nbformat\": 2}").unwrap_err().hint();
    assert!(hint.is_some_and(|hint| hint.contains("`jupyter nbconvert --to notebook`")));
}

#[test]
fn a_notebook_beyond_the_limit_is_refused_before_it_is_parsed() {
    let len = MAX_NOTEBOOK_LEN + 1;
    // Zeroed pages that are never touched: the refusal reads none of them.
    let bytes = vec![0; usize::try_from(len).unwrap()];
    assert_eq!(Document::parse(&bytes), Err(NotebookError::TooLarge { len, limit: MAX_NOTEBOOK_LEN }));
}

#[test]
fn metadata_of_any_shape_are_tolerated() {
    for metadata in
        [json!(null), json!("x"), json!([]), json!({"kernelspec": "x", "language_info": 1, "papermill": []})]
    {
        let cell = json!({"cell_type": "code", "id": 5, "source": "", "metadata": "x", "outputs": "y"});
        let document = parse(&json!({"nbformat": 4, "metadata": metadata, "cells": [cell]})).unwrap();
        assert_eq!((document.language(), document.is_python()), (None, true));
        assert_eq!((document.cells()[0].id.as_deref(), document.cells()[0].outputs.len()), (None, 0));
    }
    assert!(Document::parse(b"\xef\xbb\xbf{\"nbformat\": 4}").is_ok());
}

#[test]
fn languages_are_told_apart() {
    for (language, python) in
        [("python", true), ("Python 3", true), ("ipython3", true), ("R", false), ("julia", false), ("plaintext", false)]
    {
        let document = parse(&json!({"nbformat": 4, "metadata": {"language_info": {"name": language}}})).unwrap();
        assert_eq!(document.is_python(), python, "{language}");
    }
}

#[test]
fn deep_nesting_is_refused_or_skipped_without_a_stack_overflow() {
    let deep = "[".repeat(1_000_000);
    assert!(matches!(Document::parse(deep.as_bytes()), Err(NotebookError::NotJson { .. })));
    let deep = format!("{}{}", "{\"a\":[".repeat(200_000), "]}".repeat(200_000));
    let source = format!("{{\"nbformat\": 4, \"cells\": [{{\"cell_type\": \"code\", \"source\": {deep}}}]}}");
    let refused = Document::parse(source.as_bytes());
    assert!(matches!(&refused, Err(NotebookError::NotJson { reason }) if reason.contains("recursion")), "{refused:?}");
    let output = format!("{{\"nbformat\": 4, \"cells\": [{{\"cell_type\": \"code\", \"outputs\": [{deep}]}}]}}");
    assert!(Document::parse(output.as_bytes()).is_ok());
}

/// Everything that this module answers, so that a hostile notebook meets all of it.
fn ask_everything(bytes: &[u8]) {
    let _ = crate::notebook::may_hold_receipts(bytes);
    if let Ok(document) = Document::parse(bytes) {
        let _ = crate::notebook::parameters(&document);
        let _ = crate::notebook::code_identity(&document);
        let _ = crate::notebook::declared_exports(&document);
        let _ = document.latest_receipts();
        let _ = document.execution_summary();
    }
}

const SEED: &str = r#"{"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"language": "python"}}, "cells": [
    {"cell_type": "code", "source": ["%matplotlib inline\n", "x = [1, -2.5e3, 'a']\n", "y = {'k': (None, True)}"],
     "metadata": {"tags": ["parameters"]}, "outputs": [], "execution_count": 1},
    {"cell_type": "code", "source": "x = 2", "metadata": {"tags": ["injected-parameters"]}, "outputs": []},
    {"cell_type": "code", "source": "from OneNB.exports._p1 import Sales", "outputs": [{"output_type": "display_data",
     "data": {"application/vnd.onenb.receipt+json": {"v": 1, "run": "01JCWZ4Z8Q4X2V5D9E7T1R3K6M", "export": "Sales",
     "params": {"x": 1}, "digest": "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85", "size": 3,
     "suffix": ".csv", "cell_source_digest": null, "inputs": []}}}]}]}"#;

proptest! {
    #[test]
    fn mutated_notebooks_never_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..12),
    ) {
        let mut bytes = SEED.as_bytes().to_vec();
        for (at, byte, what) in edits {
            let at = at.index(bytes.len());
            match what {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        ask_everything(&bytes);
    }

    #[test]
    fn truncated_notebooks_are_refused(at in any::<prop::sample::Index>()) {
        let bytes = SEED.as_bytes().split_at(at.index(SEED.len())).0;
        prop_assert!(Document::parse(bytes).is_err());
    }

    #[test]
    fn hostile_cell_sources_never_panic(source in "([\\[({'\"\\\\%!?#=:,x1 \n\t]|lambda|f'|%%time|é|\u{0}){0,120}") {
        let json = json!({"nbformat": 4, "cells": [
            {"cell_type": "code", "metadata": {"tags": ["parameters"]}, "source": format!("{source} # OneNB")}]});
        ask_everything(&serde_json::to_vec(&json).unwrap());
    }
}
