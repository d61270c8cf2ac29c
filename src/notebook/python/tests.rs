//! Tests of parsing cells: magics, depth, lines.

use proptest::prelude::*;
use ruff_python_ast::visitor::{Visitor, walk_stmt};

use super::*;

fn lines_of(cell: &PythonCell) -> Vec<u32> {
    cell.statements().map(|stmt| cell.line(stmt)).collect()
}

#[test]
fn magics_commands_and_help_hide_no_line() {
    let source = "%matplotlib inline\n!ls \\\n  -l\n?str\nstr.upper?\nx = 1\ntext = '''\n%no magic\n'''\ny = 2";
    let cell = PythonCell::parse(source).unwrap();
    assert_eq!(cell.fault(), None);
    let assigned: Vec<_> = cell.statements().filter(|stmt| stmt.is_assign_stmt()).map(|stmt| cell.line(stmt)).collect();
    assert_eq!(assigned, [6, 7, 10]);
}

#[test]
fn wrapping_cell_magics_are_seen_through_and_others_named() {
    let cell = PythonCell::parse("\n%%time\n\n%%capture out\nx = 1").unwrap();
    assert_eq!(lines_of(&cell), [5]);
    assert_eq!(PythonCell::parse("%%bash\nx=1").unwrap_err(), Unreadable::CellMagic("bash".to_owned()));
    assert_eq!(PythonCell::parse("%%time\n%%sql con\nx=1").unwrap_err(), Unreadable::CellMagic("sql".to_owned()));
    // Its assignments are local to a function.
    assert!(PythonCell::parse("%%timeit\nx = 1").is_err());
}

#[test]
fn a_cell_indented_as_a_whole_is_python() {
    let cell = PythonCell::parse("\n    x = 1\n    if x:\n        y = 2\n").unwrap();
    assert_eq!((cell.fault(), lines_of(&cell)), (None, vec![2, 3]));
}

#[test]
fn all_three_line_ends_count() {
    let cell = PythonCell::parse("a = 1\r\nb = 2\rc = 3\nd = 4").unwrap();
    assert_eq!(lines_of(&cell), [1, 2, 3, 4]);
}

#[test]
fn of_a_faulty_cell_the_lines_before_the_fault_are_used() {
    let cell = PythonCell::parse("a = 1\nb = 2 c = 3\nd = 4").unwrap();
    assert_eq!(lines_of(&cell), [1]);
    assert_eq!(cell.fault().map(|fault| fault.line), Some(2));
    let cell = PythonCell::parse("a = 1\nb = [1,\nc = 2\nd = 3").unwrap();
    assert_eq!(lines_of(&cell), [1]);
    let cell = PythonCell::parse("a = 1\nb = '''never closed\nc = 2").unwrap();
    assert_eq!(lines_of(&cell), [1]);
}

/// Walks everything, as the users of this module do.
struct WalkAll;
impl Visitor<'_> for WalkAll {}

/// Chains and nests that give a deep tree, each with `depth` repetitions.
fn deep_sources(depth: usize) -> Vec<String> {
    let chain = |head: &str, part: &str, tail: &str| format!("x = {head}{}{tail}", part.repeat(depth));
    let nest = |open: &str, close: &str| format!("x = {}1{}", open.repeat(depth), close.repeat(depth));
    let blocks = (0..depth.min(90)).map(|at| format!("{}if 1:\n", " ".repeat(at))).collect::<Vec<_>>().concat();
    vec![
        nest("(", ")"),
        nest("[", "]"),
        nest("{1:", "}"),
        nest("f(", ")"),
        nest("(1+", ").a"),
        nest("[1,", ",1]"),
        "(".repeat(depth),
        "x = {[(".repeat(depth),
        "( ] ".repeat(depth),
        ")".repeat(depth),
        chain("1", "+1", ""),
        chain("1", "**1", ""),
        chain("", "-~+", "1"),
        chain("", "not ", "1"),
        chain("a", ".b", ""),
        chain("a", "()", ""),
        chain("a", "[0]", ""),
        chain("", "lambda: ", "1"),
        chain("", "lambda a, b: ", "1"),
        chain("", "1 if 1 else ", "1"),
        chain("", "await ", "1"),
        chain("", "yield 1, ", "1"),
        chain("", "yield ", "1"),
        chain("", "*", "1"),
        chain("", "x := ", "1"),
        chain("", "x = ", "1"),
        chain("", "f'{", "1"),
        chain("", "f\"{f'{", "1"),
        "with (".repeat(depth),
        "match (".repeat(depth),
        format!("match x:\n case {}", "[".repeat(depth)),
        format!("match x:\n case {}", "A(b=".repeat(depth)),
        "if 1:\n".to_owned() + &"elif 1:\n 1\n".repeat(depth),
        "class A: ".repeat(depth),
        "if 1: ".repeat(depth),
        "async ".repeat(depth),
        "@".repeat(depth),
        "del (".repeat(depth),
        blocks + &" ".repeat(depth.min(90)) + "x = 1",
    ]
}

#[test]
fn deep_nesting_is_refused_before_it_can_overflow_the_stack() {
    for source in deep_sources(100_000) {
        if let Ok(cell) = PythonCell::parse(&source) {
            cell.parsed.syntax().body.iter().for_each(|stmt| WalkAll.visit_stmt(stmt));
        }
    }
    assert_eq!(PythonCell::parse(&deep_sources(100_000)[0]).unwrap_err(), Unreadable::TooDeep);
    assert_eq!(PythonCell::parse(&" ".repeat(MAX_CELL_LEN + 1)).unwrap_err(), Unreadable::TooLong);
}

#[test]
fn trees_at_the_limit_fit_on_a_test_threads_stack() {
    for depth in [150, 333, 495, 990] {
        for source in deep_sources(depth) {
            if let Ok(cell) = PythonCell::parse(&source) {
                cell.parsed.syntax().body.iter().for_each(|stmt| WalkAll.visit_stmt(stmt));
            }
        }
    }
    let literal = format!("x = {}1{}", "[".repeat(495), "]".repeat(495));
    assert!(PythonCell::parse(&literal).is_ok());
}

#[test]
fn long_flat_lists_are_not_deep() {
    let long = format!("x = [{}]\ny = {{{}}}", "1, ".repeat(50_000), "'a': (1, -2), ".repeat(10_000));
    assert_eq!(PythonCell::parse(&long).unwrap().fault(), None);
}

const TOKENS: [&str; 44] = [
    "(", ")", "[", "]", "{", "}", ",", ":", "=", "+", "-", ".", "x", "1", "'a'", "f'{", "}'", "\"\"\"", "lambda",
    "yield", "if", "else", "for", "in", "with", "match", "case", "\n", "\n ", "\n  ", ";", "*", "**", "not", "await",
    "%%time", "%x", "!ls", "?", "\\\n", "del", "\r", "é", "import",
];

proptest! {
    #[test]
    fn no_token_soup_panics_or_has_lines_outside_of_the_cell(
        tokens in prop::collection::vec(prop::sample::select(&TOKENS[..]), 0..80),
    ) {
        for joint in ["", " "] {
            let source = tokens.join(joint);
            if let Ok(cell) = PythonCell::parse(&source) {
                let last = u32::try_from(line_starts(&source).len()).unwrap();
                for stmt in cell.statements() {
                    prop_assert!((1..=last).contains(&cell.line(stmt)));
                    walk_stmt(&mut WalkAll, stmt);
                }
                prop_assert!(cell.fault().is_none_or(|fault| (1..=last).contains(&fault.line)));
            }
        }
    }

    #[test]
    fn no_text_panics(source in any::<String>()) {
        let _ = PythonCell::parse(&source);
    }
}
