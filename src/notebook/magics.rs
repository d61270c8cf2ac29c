//! `IPython`'s additions to Python, taken out of a cell before it is parsed.
//!
//! - Line numbers never change, and [`neutralise`] keeps byte offsets too.
//! - The parser has a mode for `IPython`, but some faulty cells make it panic in that mode (`lambda)` before a line
//!   that starts with a comma), so it only ever sees plain Python.

use std::borrow::Cow;

use super::python::Unreadable;

/// Cell magics that run their cell as Python in the notebook's own namespace.
const WRAPPERS: [&str; 3] = ["time", "capture", "prun"];
/// What makes a line a command for `IPython` when it stands first: magics, shell, help, and the calls without brackets.
const ESCAPES: &[u8] = b"%!?,;/";

/// Does what `IPython` does before it looks for Python: takes off the indentation of the first line, and looks at the
/// cell magics in front. Those that only wrap Python become comments; line numbers stay.
pub(super) fn prepare(source: &str) -> Result<Cow<'_, str>, Unreadable> {
    let text = dedent(source);
    let mut magics_len = 0;
    for line in text.split_inclusive('\n') {
        if let Some(magic) = line.strip_prefix("%%") {
            let name = magic.split(char::is_whitespace).next().unwrap_or_default();
            if !WRAPPERS.contains(&name) {
                return Err(Unreadable::CellMagic(name.chars().take(40).collect()));
            }
        } else if !line.trim().is_empty() {
            break;
        }
        magics_len += line.len();
    }
    match text.split_at_checked(magics_len) {
        Some((magics, rest)) if magics.contains("%%") => Ok(Cow::Owned(magics.replace("%%", "##") + rest)),
        _ => Ok(text),
    }
}

/// Takes the indentation of the first line that is not blank off every line that has it.
fn dedent(source: &str) -> Cow<'_, str> {
    let first = source.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let indent: String = first.chars().take_while(|c| matches!(c, ' ' | '\t')).collect();
    if indent.is_empty() {
        return Cow::Borrowed(source);
    }
    let lines = source.split_inclusive('\n').map(|line| line.strip_prefix(indent.as_str()).unwrap_or(line));
    Cow::Owned(lines.collect())
}

/// Puts a name and blanks in place of magics and commands, and a blank in place of a `?`, which plain Python has
/// nowhere. What stands inside of texts, comments and brackets stays.
pub(super) fn neutralise(text: &str) -> String {
    let mut scanner = Scanner { bytes: text.as_bytes().to_vec(), at: 0, depth: 0 };
    let mut new_line = true;
    while let Some(byte) = scanner.peek(0) {
        if new_line && matches!(byte, b' ' | b'\t' | b'\x0c') {
            scanner.at += 1;
        } else if new_line && ESCAPES.contains(&byte) {
            scanner.blank_command();
        } else {
            new_line = scanner.step(byte);
        }
    }
    String::from_utf8(scanner.bytes).expect("only whole characters were replaced, by ASCII")
}

struct Scanner {
    bytes: Vec<u8>,
    at: usize,
    /// Open brackets.
    depth: usize,
}

impl Scanner {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    /// Moves over one byte, text or comment. Returns whether a statement may start behind it on a new line.
    fn step(&mut self, byte: u8) -> bool {
        self.at += 1;
        match byte {
            b'\n' | b'\r' => return self.depth == 0,
            b'#' => self.skip_while(|byte| !is_line_end(byte)),
            b'"' | b'\'' => self.skip_text(byte),
            b'(' | b'[' | b'{' => self.depth += 1,
            b')' | b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            b'\\' => self.skip_line_end(),
            b'?' => self.put(self.at - 1, b' '),
            b'=' if self.depth == 0 => {
                self.skip_while(|byte| byte == b' ' || byte == b'\t');
                // Never Python, but how IPython keeps what a command answers: `files = !ls`.
                if matches!(self.peek(0), Some(b'!' | b'%')) {
                    self.blank_command();
                }
            }
            _ => {}
        }
        false
    }

    /// Replaces what is left of the line, and of the lines that a backslash joins to it, by a name and blanks.
    fn blank_command(&mut self) {
        self.put(self.at, b'_');
        self.at += 1;
        while let Some(byte) = self.peek(0).filter(|byte| !is_line_end(*byte)) {
            self.put(self.at, b' ');
            self.at += 1;
            if byte == b'\\' {
                self.skip_line_end();
            }
        }
    }

    /// Moves behind the text whose first quote was just passed; one in single quotes ends with its line at the latest.
    fn skip_text(&mut self, quote: u8) {
        let doubled = |scanner: &Self| scanner.peek(0) == Some(quote) && scanner.peek(1) == Some(quote);
        let triple = doubled(self);
        self.at += if triple { 2 } else { 0 };
        while let Some(byte) = self.peek(0) {
            if !triple && is_line_end(byte) {
                return;
            }
            self.at += 1;
            if byte == b'\\' {
                let before = self.at;
                self.skip_line_end();
                self.at += usize::from(self.at == before);
            } else if byte == quote && !triple {
                return;
            } else if byte == quote && doubled(self) {
                self.at += 2;
                return;
            }
        }
    }

    /// Moves over the end of the line, if that is what comes.
    fn skip_line_end(&mut self) {
        let crlf = self.peek(0) == Some(b'\r') && self.peek(1) == Some(b'\n');
        if self.peek(0).is_some_and(is_line_end) {
            self.at += if crlf { 2 } else { 1 };
        }
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) {
        while self.peek(0).is_some_and(&wanted) {
            self.at += 1;
        }
    }

    fn put(&mut self, at: usize, new: u8) {
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte = new;
        }
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_become_a_name_and_blanks() {
        for (source, expected) in [
            ("%time\nx", "_    \nx"),
            ("!ls \\\n -l\nx", "_    \n   \nx"),
            ("  ?a\nb?\nc??", "  _ \nb \nc  "),
            ("x = !é\ny = %m", "x = _  \ny = _ "),
            ("/f 1\n,f a b\n;f", "_   \n_     \n_ "),
            ("if x:\n    %cd a\n", "if x:\n    _    \n"),
        ] {
            assert_eq!(neutralise(source), expected, "{source}");
        }
    }

    #[test]
    fn texts_comments_brackets_and_operators_stay() {
        for source in [
            "x = '''\n%a\n!b\n?c\n'''\n",
            "x = 'a\\'?' # why?\n",
            "x = [\n  5\n  % 2]\n",
            "x = a \\\n  % b\n",
            "x = '%d' % y\nx %= 2\nx != y\nx = y % z\n",
            "x = \"\"\"a\"b\\\"\"\"\"\ny = '#'\n",
        ] {
            assert_eq!(neutralise(source), source, "{source}");
        }
    }

    #[test]
    fn wrapping_cell_magics_become_comments_only_in_front() {
        assert_eq!(prepare("\n%%time\n\n%%capture a\nx\n%%bash").unwrap(), "\n##time\n\n##capture a\nx\n%%bash");
        assert_eq!(prepare("## a\n%%bash").unwrap(), "## a\n%%bash");
        assert_eq!(prepare("  %%prun -l 5\n  x").unwrap(), "##prun -l 5\nx");
        // A rescan for every magic would take minutes here.
        assert!(prepare(&"%%time\n".repeat(140_000)).is_ok());
    }

    fn line_ends(text: &str) -> Vec<(usize, u8)> {
        text.bytes().enumerate().filter(|(_, byte)| is_line_end(*byte)).collect()
    }

    proptest! {
        #[test]
        fn lines_and_byte_offsets_stay(source in "([ %!?#=a\\[\\]'\"\\\\é]|\n|\r\n|\r|'''){0,60}") {
            let neutral = neutralise(&source);
            prop_assert_eq!(neutral.len(), source.len());
            prop_assert_eq!(line_ends(&neutral), line_ends(&source));
        }

        #[test]
        fn preparing_a_cell_keeps_its_lines(source in "([ %!?#xa=1:]|\n|\r\n|%%time|%%capture x|\n  ){0,60}") {
            if let Ok(text) = prepare(&source) {
                prop_assert_eq!(line_ends(&text).len(), line_ends(&source).len());
            }
        }
    }
}
