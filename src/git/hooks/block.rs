//! The text of our block in a hook file: writing it, finding it, and taking it out again.

use std::path::Path;

use super::HookEvent;

const START: &str = "# >>> onenb >>>";
const END: &str = "# <<< onenb <<<";
const MADE_BY_US: &str = "# This file was made by onenb.";
const PROGRAM: &str = "onenb_program=";

/// What a moved hook is called: its old name and this.
pub(super) const CHAINED_SUFFIX: &str = ".onenb-chained";

/// What comes after the block in its file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing: the file is ours.
    Nothing,
    /// The lines of the hook that was there.
    Lines,
    /// Nothing, but the hook that was there lies beside the file.
    Chained,
}

/// A block to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) event: HookEvent,
    /// The absolute path of the program; without it, only PATH is searched.
    pub(super) program: Option<String>,
    pub(super) tail: Tail,
}

impl Block {
    /// Writes the lines of the block.
    ///
    /// They run in any POSIX shell, under `set -e` and `set -u`, start no process but onenb (and `cat` for a very long
    /// stdin), and leave nothing behind in the shell. `ONENB_IN_HOOK` keeps the Git commands that onenb runs from
    /// calling it again.
    pub(super) fn to_text(&self) -> String {
        let event = self.event.as_str();
        let mut lines = vec![
            START.to_owned(),
            "# Kept up to date by `onenb hooks install`, removed by `onenb hooks uninstall`.".to_owned(),
        ];
        if self.tail != Tail::Lines {
            lines.push(MADE_BY_US.to_owned());
        }
        lines.push(format!("{PROGRAM}{}", quote(self.program.as_deref().unwrap_or("onenb"))));
        lines.push("if test -z \"${ONENB_IN_HOOK-}\"; then".to_owned());
        if self.event.reads_stdin() {
            lines.push(READ_STDIN.to_owned());
        }
        if self.program.is_some() {
            lines.push("  test -x \"$onenb_program\" || onenb_program=onenb".to_owned());
        }
        // Only a refusal stops the user: a program that crashes or cannot start must not.
        let on_failure = if self.event.may_refuse() { "test $? != 1 || exit 1" } else { ":" };
        lines.push("  if command -v \"$onenb_program\" >/dev/null 2>&1; then".to_owned());
        lines.push(format!("    ONENB_IN_HOOK={event} \"$onenb_program\" hook {event} \"$@\" || {on_failure}"));
        lines.push("  else".to_owned());
        lines.push(format!(
            "    echo 'onenb: program not found, {event} did nothing; run `onenb hooks install` again' >&2"
        ));
        lines.push("  fi".to_owned());
        if self.event.reads_stdin() {
            lines.push(REPLAY_STDIN.to_owned());
        }
        lines.push("fi".to_owned());
        lines.push("unset onenb_program".to_owned());
        if self.tail == Tail::Chained {
            // By the name that it has: who moves this file, as pre-commit does, does not move that one.
            let chained = format!("\"${{0%/*}}/{event}{CHAINED_SUFFIX}\"");
            lines.push(format!("if test -x {chained}; then exec {chained} \"$@\"; fi"));
        }
        lines.push(END.to_owned());
        let mut text = lines.join("\n");
        text.push('\n');
        text
    }
}

/// Keeps what Git says on stdin in a variable, and gives it to whoever reads next: onenb, then the rest of the hook.
///
/// The shell reads a usual push by itself; appending line by line gets slow for thousands, so `cat` fetches the rest.
const READ_STDIN: &str = r#"  onenb_input=
  onenb_count=0
  while IFS= read -r onenb_line || test -n "$onenb_line"; do
    onenb_input="$onenb_input${onenb_input:+
}$onenb_line"
    onenb_count=$((onenb_count + 1))
    if test "$onenb_count" -ge 100; then
      onenb_line=$(cat) || :
      onenb_input="$onenb_input${onenb_line:+
}$onenb_line"
      break
    fi
  done
  onenb_replay() {
    if test -z "$onenb_input"; then
      exec </dev/null
    else
      exec <<ONENB_INPUT
$onenb_input
ONENB_INPUT
    fi
  }
  onenb_replay"#;

const REPLAY_STDIN: &str = r"  onenb_replay
  unset -f onenb_replay
  unset onenb_input onenb_line onenb_count";

/// A hook file taken apart around our block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) before: &'a [u8],
    pub(super) block: &'a [u8],
    pub(super) after: &'a [u8],
}

/// Finds our block in a hook file; `Ok(None)` if it has none.
///
/// # Errors
/// The block has a beginning and no end.
pub(super) fn find(file: &[u8]) -> Result<Option<Parts<'_>>, &'static str> {
    let Some(start) = find_line(file, START) else { return Ok(None) };
    let rest = file.get(start..).unwrap_or_default();
    let Some(last) = find_line(rest, END) else { return Err("its onenb block has no end; remove it by hand") };
    let end = (start + last + END.len() + 1).min(file.len());
    Ok(Some(Parts {
        before: file.get(..start).unwrap_or_default(),
        block: file.get(start..end).unwrap_or_default(),
        after: file.get(end..).unwrap_or_default(),
    }))
}

impl Parts<'_> {
    /// Returns the file as it was before us.
    pub(super) fn without_block(&self) -> Vec<u8> {
        [self.before, self.after].concat()
    }

    /// Returns the path recorded at install; `None` for a block that searches PATH.
    pub(super) fn program(&self) -> Option<String> {
        let text = std::str::from_utf8(self.block).ok()?;
        let quoted = text.lines().find_map(|line| line.strip_prefix(PROGRAM))?;
        unquote(quoted).filter(|program| Path::new(program).is_absolute())
    }

    /// Returns whether there was no hook before us.
    pub(super) fn is_ours(&self) -> bool {
        find_line(self.block, MADE_BY_US).is_some()
    }
}

/// Returns where a line begins that is exactly `wanted`.
fn find_line(file: &[u8], wanted: &str) -> Option<usize> {
    let mut offset = 0;
    for line in file.split_inclusive(|byte| *byte == b'\n') {
        if line.strip_suffix(b"\n").unwrap_or(line) == wanted.as_bytes() {
            return Some(offset);
        }
        offset += line.len();
    }
    None
}

/// Quotes for a POSIX shell: nothing inside single quotes is special but the quote.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Undoes [`quote`]; `None` for a text that it did not write.
pub(super) fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('\'')?.strip_suffix('\'')?;
    let parts: Vec<&str> = inner.split(r"'\''").collect();
    parts.iter().all(|part| !part.contains('\'')).then(|| parts.join("'"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn quoting_is_undone_by_unquoting(text in "[^\\x00]{0,40}") {
            prop_assert_eq!(unquote(&quote(&text)), Some(text));
        }

        #[test]
        fn a_block_is_found_where_it_was_put_and_names_its_program(
            program in "/[^\\x00-\\x1f\\x7f]{0,40}",
            event in prop::sample::select(HookEvent::ALL.to_vec()),
            before in "(#!/bin/sh\n)?",
            after in "([a-z $]{0,10}\n){0,3}[a-z]{0,5}",
        ) {
            let text = Block { event, program: Some(program.clone()), tail: Tail::Lines }.to_text();
            let file = format!("{before}{text}{after}");
            let parts = find(file.as_bytes()).unwrap().unwrap();
            prop_assert_eq!(parts.without_block(), format!("{before}{after}").into_bytes());
            prop_assert_eq!(parts.block, text.as_bytes());
            prop_assert_eq!(parts.program(), Some(program));
        }
    }

    #[test]
    fn a_block_without_an_end_is_refused() {
        assert!(find(b"#!/bin/sh\n# >>> onenb >>>\nexit 0\n").is_err());
        assert_eq!(find(b"#!/bin/sh\nexit 0\n"), Ok(None));
    }
}
