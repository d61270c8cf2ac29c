//! Code identity: what of a notebook or script is code, hashed. Encoding and example: `docs/format/run.md`.
//!
//! - Two runs of the same notebook with other parameters have one identity, however the parameters were set.
//! - Outputs, counts, ids, markdown, raw and empty cells do not count; comments and indentation do.

use ruff_python_ast::{Expr, Stmt};
use ruff_text_size::Ranged as _;

use super::INJECTED_TAG;
use super::document::Document;
use super::params::literal_assignment;
use super::python::PythonCell;
use crate::id::CodeIdentity;

/// Kind bytes of the encoding.
const CODE: u8 = 0;
const PARAMETERS: u8 = 1;
const SCRIPT: u8 = 2;

/// Returns the identity of a notebook's code.
#[must_use]
pub fn code_identity(document: &Document) -> CodeIdentity {
    let mut encoded = Vec::new();
    let declared = document.parameters_cell().map(|(index, _)| index);
    for (index, cell) in document.code_cells() {
        let is_declared = declared == Some(index);
        if cell.source.trim().is_empty() || (cell.is_code_tagged(INJECTED_TAG) && !is_declared) {
            continue;
        }
        let names_only = (is_declared && document.is_python()).then(|| without_values(&cell.source)).flatten();
        match names_only {
            Some(text) => push(&mut encoded, PARAMETERS, text.as_bytes()),
            None => push(&mut encoded, CODE, cell.source.as_bytes()),
        }
    }
    CodeIdentity::of(&encoded)
}

/// Returns the identity of a script's code: of its bytes.
#[must_use]
pub fn script_identity(source: &[u8]) -> CodeIdentity {
    let mut encoded = Vec::new();
    push(&mut encoded, SCRIPT, source);
    CodeIdentity::of(&encoded)
}

fn push(encoded: &mut Vec<u8>, kind: u8, text: &[u8]) {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    encoded.push(kind);
    encoded.extend_from_slice(&(text.len() as u64).to_le_bytes());
    encoded.extend_from_slice(text);
}

/// Cuts ` = value` out of every assignment that gives a parameter its value; `None` if the cell is not wholly Python.
fn without_values(source: &str) -> Option<String> {
    let cell = PythonCell::parse(source).ok().filter(|cell| cell.fault().is_none())?;
    let mut out = String::with_capacity(source.len());
    let mut from = 0;
    for stmt in cell.statements() {
        if literal_assignment(&cell, stmt).is_none() {
            continue;
        }
        let name_end = match stmt {
            Stmt::Assign(assign) => assign.targets.first().map(Expr::end),
            Stmt::AnnAssign(assign) => Some(assign.annotation.end()),
            _ => None,
        };
        out.push_str(cell.text().get(from..name_end?.to_usize())?);
        from = stmt.end().to_usize();
    }
    out.push_str(cell.text().get(from..)?);
    Some(out)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn identity_of(language: &str, cells: &[Json]) -> CodeIdentity {
        let json = json!({"nbformat": 4, "metadata": {"kernelspec": {"language": language}}, "cells": cells});
        code_identity(&Document::parse(&serde_json::to_vec(&json).unwrap()).unwrap())
    }

    fn code(source: &str) -> Json {
        json!({"cell_type": "code", "source": source, "outputs": []})
    }

    fn tagged(tag: &str, source: &str) -> Json {
        json!({"cell_type": "code", "source": source, "metadata": {"tags": [tag]}, "outputs": []})
    }

    fn declared(source: &str) -> CodeIdentity {
        identity_of("python", &[tagged("parameters", source)])
    }

    #[test]
    fn values_of_parameters_do_not_count() {
        let one = declared("year: int = 1  # which\nfoo = ['a', {'b': None}]\nimport os");
        assert_eq!(one, declared("year: int = -20  # which\nfoo = (\n  1,\n  2)\nimport os"));
        assert_eq!(declared("%matplotlib inline\nx = 1\n"), declared("%matplotlib inline\nx = 'y'"));
    }

    #[test]
    fn everything_else_of_the_parameters_cell_counts() {
        let one = declared("year = 1  # which");
        for other in [
            "month = 1  # which",
            "year = 1  # else",
            "year = f()  # which",
            " year = 1  # which",
            "year: int = 1  # which",
        ] {
            let same_but_for_indentation = other.starts_with(' ');
            assert_eq!(one == declared(other), same_but_for_indentation, "{other}");
        }
        assert_ne!(declared("x = f(1)"), declared("x = f(2)"));
        assert_ne!(one, identity_of("python", &[code("year = 1  # which")]));
    }

    #[test]
    fn outputs_counts_ids_prose_and_empty_or_injected_cells_do_not_count() {
        let plain = [code("x = 1\n  # a"), code("y")];
        let dressed = [
            json!({"cell_type": "markdown", "source": "# Title"}),
            json!({"cell_type": "code", "source": ["x = 1\n", "  # a\n"], "id": "a", "execution_count": 7,
                   "outputs": [{"output_type": "stream", "text": "1"}], "metadata": {"tags": ["other"]}}),
            tagged("injected-parameters", "x = 5"),
            code(" \n\t"),
            json!({"cell_type": "raw", "source": "raw"}),
            code("y"),
        ];
        assert_eq!(identity_of("python", &plain), identity_of("python", &dressed));
    }

    #[test]
    fn order_borders_comments_and_indentation_of_code_count() {
        let one = identity_of("python", &[code("a"), code("b")]);
        for other in [vec!["b", "a"], vec!["a\nb"], vec!["a", "b "], vec!["a", " b"], vec!["a # c", "b"], vec!["a"]] {
            let cells: Vec<_> = other.iter().map(|source| code(source)).collect();
            assert_ne!(one, identity_of("python", &cells), "{other:?}");
        }
        assert_ne!(identity_of("python", &[code("a")]), script_identity(b"a"));
        assert_eq!(script_identity(b"a\n"), script_identity(b"a"));
    }

    #[test]
    fn a_parameters_cell_that_is_not_wholly_python_counts_as_it_stands() {
        assert_ne!(declared("x = 1\ny = = 2"), declared("x = 2\ny = = 2"));
        let in_r = |source: &str| identity_of("R", &[tagged("parameters", source)]);
        assert_ne!(in_r("x = 1"), in_r("x = 2"));
        assert_eq!(in_r("x = 1"), identity_of("R", &[code("x = 1")]));
    }

    #[test]
    fn the_page_about_runs_shows_an_encoding_that_hashes_to_its_identity() {
        let page = include_str!("../../docs/format/run.md");
        let section = page.split("## Code identity").nth(1).expect("the page has the section");
        let hex: String = section
            .split("```hex\n")
            .nth(1)
            .and_then(|rest| rest.split("```").next())
            .expect("it has an example")
            .lines()
            .filter_map(|line| line.split("  ").next())
            .flat_map(str::split_whitespace)
            .collect();
        let encoded = crate::id::from_hex(&hex).expect("hex");
        let identity = identity_of(
            "python",
            &[
                tagged("parameters", "year = 2023  # which\n"),
                tagged("injected-parameters", "year = 1"),
                code("print(year)"),
            ],
        );
        assert_eq!(CodeIdentity::of(&encoded), identity);
        assert!(section.contains(&identity.to_string()), "{identity}");
    }
}
