//! Parameters: what the cell tagged `parameters` declares, and which values a run had.
//!
//! - The statements are followed in order, first the declared defaults, then what papermill injected; the last
//!   assignment of a name counts. A name is good if its value is a literal then; nothing is ever evaluated.
//! - A value that may differ from what stands there is a problem, never a guess: `x += 1`, a value set inside `if`, a
//!   list that a method call may have changed.
//! - Imports and definitions are no parameters and no problems, unless they take a parameter's name.

use std::collections::BTreeMap;

use ruff_python_ast::visitor::{self, Visitor};
use ruff_python_ast::{Comprehension, ExceptHandler, Expr, ExprContext, Pattern, Stmt};

use super::document::Document;
use super::python::{PythonCell, SyntaxFault};
use crate::format::params::{ParamValue, Params};

mod literal;

/// Why a name of the parameters cell is no parameter, or why the cell cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterProblem {
    /// The name; `None` if the problem is the whole cell.
    pub name: Option<String>,
    /// Index of the cell, from 0.
    pub cell: usize,
    /// Line within the cell, from 1.
    pub line: u32,
    /// What is wrong, in words that follow the name: "is a call, not a literal".
    pub reason: String,
}

/// What a notebook says about its parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct ParameterReport {
    /// Names with values that are certain.
    pub params: Params,
    /// Everything else, by cell and line.
    pub problems: Vec<ParameterProblem>,
    /// Index of the cell tagged `parameters`, from 0.
    pub cell: Option<usize>,
}

impl ParameterReport {
    /// Returns whether the notebook has a cell tagged `parameters`.
    #[must_use]
    pub fn has_cell(&self) -> bool {
        self.cell.is_some()
    }
}

/// Reads the parameters of a notebook. What papermill injected counts also where no cell declares it.
#[must_use]
pub fn parameters(document: &Document) -> ParameterReport {
    let declared = document.parameters_cell();
    let cell = declared.map(|(index, _)| index);
    let mut reader = Reader::default();
    for (index, cell) in declared.into_iter().chain(document.injected_cells()) {
        if document.is_python() {
            reader.read(index, &cell.source);
        } else {
            let language = document.language().unwrap_or_default();
            reader.refuse_cell(index, 1, format!("the notebook's language is {language}; only Python is read"));
        }
    }
    let first = cell.or_else(|| document.injected_cells().map(|(index, _)| index).next());
    let (params, problems) = reader.finish(first.unwrap_or(0));
    ParameterReport { params, problems, cell }
}

/// If the statement gives one name a literal value, returns both.
pub(super) fn literal_assignment<'a>(cell: &PythonCell, stmt: &'a Stmt) -> Option<(&'a str, ParamValue)> {
    let (name, value) = plain_assignment(stmt)?;
    literal::read(cell, value).ok().map(|value| (name, value))
}

/// If the statement assigns to one name, `x = 1` or `x: int = 1`, returns it and its value.
fn plain_assignment(stmt: &Stmt) -> Option<(&str, &Expr)> {
    let (target, value) = match stmt {
        Stmt::Assign(assign) => match assign.targets.as_slice() {
            [target] => (target, assign.value.as_ref()),
            _ => return None,
        },
        Stmt::AnnAssign(assign) => (assign.target.as_ref(), assign.value.as_deref()?),
        _ => return None,
    };
    target.as_name_expr().map(|name| (name.id.as_str(), value))
}

enum Binding {
    Value(ParamValue),
    Problem { cell: usize, line: u32, reason: String },
}

#[derive(Default)]
struct Reader {
    names: BTreeMap<String, Binding>,
    problems: Vec<ParameterProblem>,
}

impl Reader {
    fn read(&mut self, index: usize, source: &str) {
        let cell = match PythonCell::parse(source) {
            Ok(cell) => cell,
            Err(reason) => return self.refuse_cell(index, 1, reason.to_string()),
        };
        for stmt in cell.statements() {
            self.follow(index, &cell, stmt);
        }
        if let Some(SyntaxFault { line, message }) = cell.fault() {
            self.refuse_cell(index, line, format!("not Python from here on: {message}"));
        }
    }

    fn follow(&mut self, index: usize, cell: &PythonCell, stmt: &Stmt) {
        let line = cell.line(stmt);
        let problem = |reason: &str| Binding::Problem { cell: index, line, reason: reason.to_owned() };
        let mut touched = Touched::default();
        let reason = match (plain_assignment(stmt), stmt) {
            (Some((name, value)), _) => {
                touched.visit_expr(value);
                let binding = literal::read(cell, value).map_or_else(|reason| problem(&reason), Binding::Value);
                self.names.insert(name.to_owned(), binding);
                "may be changed by what is assigned to another name"
            }
            (None, Stmt::AnnAssign(assign)) if assign.value.is_none() => return,
            (None, _) => {
                touched.visit_stmt(stmt);
                why_uncertain(stmt)
            }
        };
        for (name, touch) in touched.names {
            let affected = match (touch, self.names.get(name)) {
                (Touch::Binds, _) => true,
                (Touch::Rebinds, known) => known.is_some(),
                (Touch::Changes, known) => {
                    matches!(known, Some(Binding::Value(ParamValue::Array(_) | ParamValue::Map(_))))
                }
            };
            if affected {
                self.names.insert(name.to_owned(), problem(reason));
            }
        }
    }

    fn refuse_cell(&mut self, cell: usize, line: u32, reason: String) {
        self.problems.push(ParameterProblem { name: None, cell, line, reason });
    }

    fn finish(mut self, first: usize) -> (Params, Vec<ParameterProblem>) {
        let mut values = BTreeMap::new();
        for (name, binding) in self.names {
            match binding {
                Binding::Value(value) => {
                    values.insert(name, value);
                }
                Binding::Problem { cell, line, reason } => {
                    self.problems.push(ParameterProblem { name: Some(name), cell, line, reason });
                }
            }
        }
        let params = Params::new(values).unwrap_or_else(|error| {
            self.problems.push(ParameterProblem { name: None, cell: first, line: 1, reason: error.to_string() });
            Params::empty()
        });
        self.problems.sort_by(|a, b| (a.cell, a.line, &a.name).cmp(&(b.cell, b.line, &b.name)));
        (params, self.problems)
    }
}

/// Says in words that follow a name why its value is uncertain after this statement.
fn why_uncertain(stmt: &Stmt) -> &'static str {
    match stmt {
        Stmt::Assign(assign) if assign.targets.len() > 1 => "is part of a chained assignment",
        Stmt::Assign(assign) => match assign.targets.first() {
            Some(Expr::Tuple(_) | Expr::List(_)) => "is set by unpacking",
            _ => "is changed in place",
        },
        Stmt::AnnAssign(_) => "is changed in place",
        Stmt::AugAssign(_) => "is changed by an augmented assignment such as `+=`",
        Stmt::Delete(_) => "is deleted",
        Stmt::Import(_) | Stmt::ImportFrom(_) => "is rebound by an import",
        Stmt::FunctionDef(_) | Stmt::ClassDef(_) | Stmt::TypeAlias(_) => "is rebound by a definition",
        Stmt::If(_) => "is set or changed inside `if`",
        Stmt::For(_) => "is set or changed by a `for` loop",
        Stmt::While(_) => "is set or changed inside `while`",
        Stmt::With(_) => "is set or changed by a `with` block",
        Stmt::Try(_) => "is set or changed inside `try`",
        Stmt::Match(_) => "is set or changed inside `match`",
        _ => "may be changed by an expression",
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// Gives the name a value or deletes it.
    Binds,
    /// Gives the name a meaning other than a value: a problem only where it was a parameter.
    Rebinds,
    /// May change a list or dict that the name holds.
    Changes,
}

/// Collects the names that a statement or expression may affect, leaving out scopes of their own.
#[derive(Default)]
struct Touched<'a> {
    names: Vec<(&'a str, Touch)>,
}

impl<'a> Touched<'a> {
    fn changes_root_of(&mut self, mut expr: &'a Expr) {
        loop {
            expr = match expr {
                Expr::Attribute(attribute) => &attribute.value,
                Expr::Subscript(subscript) => &subscript.value,
                Expr::Name(name) => return self.names.push((name.id.as_str(), Touch::Changes)),
                _ => return,
            }
        }
    }
}

impl<'a> Visitor<'a> for Touched<'a> {
    fn visit_stmt(&mut self, stmt: &'a Stmt) {
        match stmt {
            Stmt::FunctionDef(def) => self.names.push((def.name.as_str(), Touch::Rebinds)),
            Stmt::ClassDef(def) => self.names.push((def.name.as_str(), Touch::Rebinds)),
            Stmt::TypeAlias(alias) => {
                self.names.extend(alias.name.as_name_expr().map(|name| (name.id.as_str(), Touch::Rebinds)));
            }
            _ => visitor::walk_stmt(self, stmt),
        }
    }

    fn visit_expr(&mut self, expr: &'a Expr) {
        match expr {
            Expr::Name(name) if matches!(name.ctx, ExprContext::Store | ExprContext::Del) => {
                self.names.push((name.id.as_str(), Touch::Binds));
            }
            Expr::Attribute(attribute) if attribute.ctx != ExprContext::Load => self.changes_root_of(expr),
            Expr::Subscript(subscript) if subscript.ctx != ExprContext::Load => self.changes_root_of(expr),
            Expr::Call(call) if call.func.is_attribute_expr() => self.changes_root_of(&call.func),
            Expr::Lambda(_) => return,
            _ => {}
        }
        visitor::walk_expr(self, expr);
    }

    /// The variables of a comprehension are its own.
    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        self.visit_expr(&comprehension.iter);
        comprehension.ifs.iter().for_each(|test| self.visit_expr(test));
    }

    fn visit_alias(&mut self, alias: &'a ruff_python_ast::Alias) {
        let dotted = alias.asname.as_ref().unwrap_or(&alias.name).as_str();
        let name = dotted.split('.').next().unwrap_or(dotted);
        self.names.push((name, Touch::Rebinds));
    }

    fn visit_except_handler(&mut self, handler: &'a ExceptHandler) {
        let ExceptHandler::ExceptHandler(inner) = handler;
        self.names.extend(inner.name.as_ref().map(|name| (name.as_str(), Touch::Rebinds)));
        visitor::walk_except_handler(self, handler);
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        let name = match pattern {
            Pattern::MatchAs(pattern) => pattern.name.as_ref(),
            Pattern::MatchStar(pattern) => pattern.name.as_ref(),
            Pattern::MatchMapping(pattern) => pattern.rest.as_ref(),
            _ => None,
        };
        self.names.extend(name.map(|name| (name.as_str(), Touch::Rebinds)));
        visitor::walk_pattern(self, pattern);
    }
}

#[cfg(test)]
mod tests;
