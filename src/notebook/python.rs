//! Python cells: from the text of a cell to its syntax tree, and back to line numbers.
//!
//! - Magics, `!` commands and `?` help hide no line: `magics` puts a name in their place before the parser sees them.
//! - The parser is only given what it can hold on a 2 MiB stack: a cell's length and the depth of its tree are bounded
//!   before it is parsed. The parser grows its stack by itself; dropping and walking a deep tree would not.
//! - Of a cell that is not wholly Python the statements before the first faulty line are used.

use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{ModModule, Stmt};
use ruff_python_parser::{Mode, ParseOptions, Parsed, lexer, parse_unchecked};
use ruff_text_size::{Ranged, TextSize};
use thiserror::Error;

use super::magics::{neutralise, prepare};

/// Longest cell that is parsed, in bytes.
const MAX_CELL_LEN: usize = 1024 * 1024;
/// Deepest syntax tree that is built, in the nodes that [`depth_bound`] counts.
const MAX_TREE_DEPTH: usize = 1000;

/// Why a cell is not parsed at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Unreadable {
    #[error("the cell is run by the magic `%%{0}`, not as Python of the notebook")]
    CellMagic(String),
    #[error("the cell is longer than 1 MiB")]
    TooLong,
    #[error("the cell is nested too deep")]
    TooDeep,
}

/// A parsed cell.
#[derive(Debug)]
pub(super) struct PythonCell {
    text: String,
    line_starts: Vec<usize>,
    parsed: Parsed<ModModule>,
}

/// The first line that is not Python.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SyntaxFault {
    /// The line, from 1.
    pub(super) line: u32,
    /// What the parser says about it.
    pub(super) message: String,
}

impl PythonCell {
    /// Parses a cell as `IPython` would.
    pub(super) fn parse(source: &str) -> Result<Self, Unreadable> {
        if source.len() > MAX_CELL_LEN {
            return Err(Unreadable::TooLong);
        }
        let text = prepare(source)?.into_owned();
        let python = neutralise(&text);
        if depth_bound(&python) > MAX_TREE_DEPTH {
            return Err(Unreadable::TooDeep);
        }
        let parsed = parse_unchecked(&python, ParseOptions::from(Mode::Module))
            .try_into_module()
            .expect("the mode asks for a module");
        let line_starts = line_starts(&text);
        Ok(Self { text, line_starts, parsed })
    }

    /// Returns the text that ranges of the tree refer to, magics included. It has as many lines as the cell.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text of a node.
    pub(super) fn slice(&self, node: &impl Ranged) -> &str {
        self.text.get(node.start().to_usize()..node.end().to_usize()).unwrap_or_default()
    }

    /// Returns the line on which a node starts, from 1.
    pub(super) fn line(&self, node: &impl Ranged) -> u32 {
        self.line_at(node.start())
    }

    /// Returns the first syntax error, if there is one.
    pub(super) fn fault(&self) -> Option<SyntaxFault> {
        let first = self.parsed.errors().iter().min_by_key(|error| error.location.start())?;
        Some(SyntaxFault { line: self.line_at(first.location.start()), message: first.error.to_string() })
    }

    /// Iterates over the statements at the top level that end before the first faulty line.
    pub(super) fn statements(&self) -> impl Iterator<Item = &Stmt> {
        let fault = self.parsed.errors().iter().map(|error| error.location.start()).min();
        let end = fault.map_or(usize::MAX, |at| self.line_starts.get(self.line_index(at)).copied().unwrap_or(0));
        self.parsed.syntax().body.iter().take_while(move |stmt| stmt.end().to_usize() <= end)
    }

    fn line_at(&self, at: TextSize) -> u32 {
        u32::try_from(self.line_index(at) + 1).unwrap_or(u32::MAX)
    }

    fn line_index(&self, at: TextSize) -> usize {
        self.line_starts.partition_point(|start| *start <= at.to_usize()).saturating_sub(1)
    }
}

/// Returns where each line starts. As for Python, `\n`, `\r\n` and a lone `\r` end a line.
fn line_starts(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
        b'\n' => true,
        b'\r' => bytes.get(at + 1) != Some(&b'\n'),
        _ => false,
    });
    std::iter::once(0).chain(ends.map(|(at, _)| at + 1)).collect()
}

/// One open bracket, f-string or indented block.
struct Level {
    closer: TokenKind,
    /// Tokens since the last separator; none of them can nest more than one into the other.
    tokens: usize,
    /// Depth of the deepest closed level since the last separator.
    inner: usize,
    /// Depth of the deepest run between two separators so far.
    deepest: usize,
    /// After `lambda` or `yield` what follows a comma may lie inside of what precedes it.
    commas_separate: bool,
}

impl Level {
    fn new(closer: TokenKind) -> Self {
        let commas_separate = matches!(closer, TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace);
        Self { closer, tokens: 0, inner: 0, deepest: 0, commas_separate }
    }

    fn depth(&self) -> usize {
        self.deepest.max(self.tokens + self.inner)
    }

    fn separate(&mut self) {
        (self.deepest, self.tokens, self.inner) = (self.depth(), 0, 0);
    }
}

/// Returns an upper bound for the depth of the tree that the parser builds: between two separators of a level every
/// token, and every closed level with all its depth, may add to the depth of the others (`a.b.c`, `1 + 1 + 1`,
/// `not not x`).
fn depth_bound(text: &str) -> usize {
    let mut lexer = lexer::lex(text, Mode::Module);
    let mut levels = vec![Level::new(TokenKind::EndOfFile)];
    loop {
        let kind = lexer.next_token();
        let opened = match kind {
            TokenKind::EndOfFile => break,
            TokenKind::Comment | TokenKind::NonLogicalNewline => continue,
            TokenKind::Lpar => Some(TokenKind::Rpar),
            TokenKind::Lsqb => Some(TokenKind::Rsqb),
            TokenKind::Lbrace => Some(TokenKind::Rbrace),
            TokenKind::FStringStart => Some(TokenKind::FStringEnd),
            TokenKind::TStringStart => Some(TokenKind::TStringEnd),
            TokenKind::Indent => Some(TokenKind::Dedent),
            _ => None,
        };
        if let Some(closer) = opened {
            levels.push(Level::new(closer));
            continue;
        }
        let Some(level) = levels.last_mut() else { break };
        if kind == level.closer {
            close(&mut levels);
        } else if matches!(kind, TokenKind::Newline | TokenKind::Semi)
            || (kind == TokenKind::Comma && level.commas_separate)
        {
            level.separate();
        } else {
            level.tokens += 1;
            level.commas_separate &= !matches!(kind, TokenKind::Lambda | TokenKind::Yield);
        }
    }
    while levels.len() > 1 {
        close(&mut levels);
    }
    levels.first().map_or(0, Level::depth)
}

fn close(levels: &mut Vec<Level>) {
    let Some(closed) = levels.pop() else { return };
    if let Some(level) = levels.last_mut() {
        level.tokens += 1;
        level.inner = level.inner.max(closed.depth());
    }
}

#[cfg(test)]
mod tests;
