//! Declared imports: which exports a notebook names in `from OneNB... import X`. For messages; nothing is run.

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Alias, Expr, Stmt};

use super::document::Document;
use super::python::PythonCell;

/// What an import names besides the export.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeclaredModule {
    /// `OneNB.exports`: the notebook writes it.
    Exports,
    /// `OneNB.working`: the notebook reads the newest local one.
    Working,
    /// `OneNB.i.REPO.TAG`: the notebook reads it as of a tag.
    Tagged {
        /// The repository as the import spells it.
        repo: String,
        /// The tag as the import spells it.
        tag: String,
    },
}

/// One name of one import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// Where the export is imported from.
    pub module: DeclaredModule,
    /// The variable that holds its parameters: `p1` in `from OneNB.exports._p1 import Report`.
    pub variable: Option<String>,
    /// The export's name as the import spells it.
    pub name: String,
    /// Index of the cell, from 0.
    pub cell: usize,
    /// Line within the cell, from 1.
    pub line: u32,
}

/// Finds the exports that a Python notebook imports, in order; cells that are not Python hold none.
#[must_use]
pub fn declared_exports(document: &Document) -> Vec<Declared> {
    let mut declared = Vec::new();
    if !document.is_python() {
        return declared;
    }
    for (index, cell) in document.code_cells().filter(|(_, cell)| cell.source.contains("OneNB")) {
        let Ok(python) = PythonCell::parse(&cell.source) else { continue };
        let mut finder = Finder { cell: index, python: &python, declared: &mut declared };
        for stmt in python.statements() {
            finder.visit_stmt(stmt);
        }
    }
    declared
}

struct Finder<'a> {
    cell: usize,
    python: &'a PythonCell,
    declared: &'a mut Vec<Declared>,
}

impl Visitor<'_> for Finder<'_> {
    fn visit_stmt(&mut self, stmt: &Stmt) {
        if let Stmt::ImportFrom(import) = stmt {
            let path = import.module.as_ref().filter(|_| import.level == 0);
            if let Some((module, variable)) = path.and_then(|path| parse_module_path(path.as_str())) {
                let names = import.names.iter().filter(|alias| alias.name.as_str() != "*");
                self.declared.extend(names.map(|alias: &Alias| Declared {
                    module: module.clone(),
                    variable: variable.clone(),
                    name: alias.name.to_string(),
                    cell: self.cell,
                    line: self.python.line(alias),
                }));
            }
        }
        visitor::walk_stmt(self, stmt);
    }

    /// No expression holds an import.
    fn visit_expr(&mut self, _: &Expr) {}
}

fn parse_module_path(path: &str) -> Option<(DeclaredModule, Option<String>)> {
    let parts: Vec<_> = path.split('.').collect();
    let (module, rest) = match parts.as_slice() {
        ["OneNB", "exports", rest @ ..] => (DeclaredModule::Exports, rest),
        ["OneNB", "working", rest @ ..] => (DeclaredModule::Working, rest),
        ["OneNB", "i", repo, tag, rest @ ..] => {
            (DeclaredModule::Tagged { repo: (*repo).to_owned(), tag: (*tag).to_owned() }, rest)
        }
        _ => return None,
    };
    match rest {
        [] => Some((module, None)),
        [part] => {
            let variable = part.strip_prefix('_').filter(|variable| !variable.is_empty())?;
            Some((module, Some(variable.to_owned())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn document(sources: &[&str]) -> Document {
        let cells: Vec<_> =
            sources.iter().map(|source| json!({"cell_type": "code", "source": source, "outputs": []})).collect();
        let bytes = serde_json::to_vec(&json!({"nbformat": 4, "cells": cells})).unwrap();
        Document::parse(&bytes).unwrap()
    }

    #[test]
    fn imports_are_found_with_module_variable_cell_and_line() {
        let source = "%matplotlib inline\nfrom OneNB.exports import Sales, Costs as C\n\
                      def f():\n    from OneNB.exports._p1 import Report as R\n";
        let other = "if x:\n  from OneNB.working import Sales\nfrom OneNB.i.repo.v1._p import Sales\n\
                     from OneNB.i.repo.v1 import Sales";
        let found = declared_exports(&document(&["x = 1", source, other]));
        let tagged = DeclaredModule::Tagged { repo: "repo".to_owned(), tag: "v1".to_owned() };
        let expected = [
            (DeclaredModule::Exports, None, "Sales", 1, 2),
            (DeclaredModule::Exports, None, "Costs", 1, 2),
            (DeclaredModule::Exports, Some("p1"), "Report", 1, 4),
            (DeclaredModule::Working, None, "Sales", 2, 2),
            (tagged.clone(), Some("p"), "Sales", 2, 3),
            (tagged, None, "Sales", 2, 4),
        ];
        let expected = expected.map(|(module, variable, name, cell, line)| Declared {
            module,
            variable: variable.map(str::to_owned),
            name: name.to_owned(),
            cell,
            line,
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn texts_comments_relative_imports_and_other_packages_declare_nothing() {
        let source = "# from OneNB.exports import A\ns = '''\nfrom OneNB.exports import B\n'''\n\
                      from .OneNB.exports import C\nfrom OneNBx.exports import D\nfrom OneNB import E\n\
                      from OneNB.exports.p1 import F\nfrom OneNB.i.repo import G\nfrom OneNB.exports import *";
        assert_eq!(declared_exports(&document(&[source, "%%bash\nfrom OneNB.exports import H"])), []);
    }
}
