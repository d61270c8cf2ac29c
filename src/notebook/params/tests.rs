//! Tests of parameters: literals, problems, injected values.

use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::*;

fn notebook(language: &str, cells: &[(&str, &str)]) -> Document {
    let cells: Vec<_> = cells
        .iter()
        .map(|(tag, source)| json!({"cell_type": "code", "source": source, "metadata": {"tags": [tag]}, "outputs": []}))
        .collect();
    let json = json!({"nbformat": 4, "metadata": {"kernelspec": {"language": language}}, "cells": cells});
    Document::parse(&serde_json::to_vec(&json).unwrap()).unwrap()
}

fn report(source: &str) -> ParameterReport {
    parameters(&notebook("python", &[("parameters", source)]))
}

fn problems(source: &str) -> Vec<(String, u32, String)> {
    let report = report(source);
    let found = report.problems.into_iter();
    found.map(|problem| (problem.name.unwrap_or_default(), problem.line, problem.reason)).collect()
}

/// The reason that the only problem of `x = <value>` gives.
fn reason(value: &str) -> String {
    let source = format!("x = {value}");
    assert!(report(&source).params.is_empty(), "{source}");
    let found = problems(&source);
    assert_eq!(found.len(), 1, "{source}: {found:?}");
    assert_eq!((found[0].0.as_str(), found[0].1), ("x", 1), "{source}");
    found[0].2.clone()
}

fn json_of(source: &str) -> Json {
    let report = report(source);
    assert_eq!(report.problems, [], "{source}");
    report.params.to_json()
}

#[test]
fn every_literal_has_its_typed_value() {
    let source = "# the year\n\"\"\"doc\"\"\"\nimport os\nnone = None\nyes = True\nsmall = -3\nhuge = 2 ** 3\n";
    assert_eq!(problems(source), [("huge".to_owned(), 7, "is arithmetic, not a literal".to_owned())]);
    let source = "%matplotlib inline\na = None; b = False\nc: int = 18446744073709551616\nd = -0x1_0000_0000_0000_0000\n\
                  e = 1.0\nf = -1e3\ng = 'x' \"y\"\nh = (1, 'a', [True])\ni = {'k': {'l': ()}, \"m\": None}\nj = +1\nk = - -2\n_l = 1_000\nm: str\n";
    let expected: Json = serde_json::from_str(
        r#"{"a": null, "b": false, "c": 18446744073709551616, "d": -18446744073709551616, "e": 1.0, "f": -1000.0, "g": "xy",
            "h": [1, "a", [true]], "i": {"k": {"l": []}, "m": null}, "j": 1, "k": 2, "_l": 1000}"#,
    )
    .unwrap();
    assert_eq!(Params::from_json(&json_of(source)), Params::from_json(&expected));
    assert_eq!(json_of("x = -0.0").to_string(), "{\"x\":0.0}");
    assert_eq!(
        json_of("x = r'\\ud800' '\u{fffd}'"),
        json!({"x": "\\ud800\u{fffd}"}).to_string().parse::<Json>().unwrap()
    );
}

#[test]
fn what_is_no_literal_is_named_in_plain_words() {
    for (value, expected) in [
        ("f()", "is a call, not a literal"),
        ("float('nan')", "is a call, not a literal"),
        ("-f()", "contains a call, not a literal"),
        ("[1, f()]", "contains a call, not a literal"),
        ("a == 3", "is a comparison, not a literal"),
        ("a or 3", "is a logical expression, not a literal"),
        ("{1, 2}", "is a set, not a literal"),
        ("b'a'", "is a bytes value, not a literal"),
        ("f'a'", "is an f-string, not a literal"),
        ("'a' f'b'", "is an f-string, not a literal"),
        ("[i for i in (1,)]", "is a comprehension, not a literal"),
        ("lambda: 1", "is a function, not a literal"),
        ("other", "is another name, not a literal"),
        ("other.a", "is an attribute of another name, not a literal"),
        ("other[0]", "is an element of another value, not a literal"),
        ("...", "is an ellipsis, not a literal"),
        ("[*other]", "contains another value unpacked, not a literal"),
        ("{**other}", "contains another dict unpacked, not a literal"),
        ("1 if a else 2", "is an expression, not a literal"),
        ("!ls", "is a magic or shell command, not a literal"),
        ("%pwd", "is a magic or shell command, not a literal"),
        ("1j", "is a complex number"),
        ("1e999", "is a float that is out of range"),
        ("-1e999", "contains a float that is out of range"),
        ("{1: 2}", "contains a dict key that is no text"),
        ("'\\ud83d'", "is a text with a lone surrogate"),
        ("['\\U0000DFFF']", "contains a text with a lone surrogate"),
        ("-True", "is an expression, not a literal"),
        ("-'a'", "is an expression, not a literal"),
        ("~1", "is an expression, not a literal"),
    ] {
        assert_eq!(reason(value), expected, "{value}");
    }
    assert_eq!(reason(&"9".repeat(4301)), "is an integer of more than 4300 digits");
    let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
    assert_eq!(reason(&deep), "contains a value nested deeper than 32");
    let fits = format!("x = {}{}", "[".repeat(32), "]".repeat(32));
    assert_eq!(report(&fits).problems, []);
    assert_eq!(reason(&format!("'{}'", "a".repeat(70_000))), "is larger than a parameter set may be (64 KiB)");
}

#[test]
fn a_value_that_may_have_changed_is_a_problem() {
    for (source, name, line, expected) in [
        ("x = y = 1", "x", 1, "is part of a chained assignment"),
        ("x, z = 1, 2", "x", 1, "is set by unpacking"),
        ("[x] = [1]", "x", 1, "is set by unpacking"),
        ("x = 1\nx += 1", "x", 2, "is changed by an augmented assignment such as `+=`"),
        ("x = 1\ndel x", "x", 2, "is deleted"),
        ("x = 1\nx = f()", "x", 2, "is a call, not a literal"),
        ("x = {}\nx['a'] = 1", "x", 2, "is changed in place"),
        ("x = {}\nx['a']['b'] += 1", "x", 2, "is changed by an augmented assignment such as `+=`"),
        ("x = {'a': 1}\ndel x['a']", "x", 2, "is deleted"),
        ("x = [1]\nx.append(2)", "x", 2, "may be changed by an expression"),
        ("x = [1]\ny = x.pop()", "x", 2, "may be changed by what is assigned to another name"),
        ("x = 1\nif True:\n    x = 2", "x", 2, "is set or changed inside `if`"),
        ("if a:\n    x = 2\nelse:\n    x = 3", "x", 1, "is set or changed inside `if`"),
        ("for x in y:\n    pass", "x", 1, "is set or changed by a `for` loop"),
        ("while y:\n    x = 1", "x", 1, "is set or changed inside `while`"),
        ("with f() as x:\n    pass", "x", 1, "is set or changed by a `with` block"),
        ("x = 1\ntry:\n    pass\nexcept E as x:\n    pass", "x", 2, "is set or changed inside `try`"),
        ("x = 1\nmatch y:\n    case [x, *_]:\n        pass", "x", 2, "is set or changed inside `match`"),
        ("x = 1\nimport numpy as x", "x", 2, "is rebound by an import"),
        ("x = 1\ndef x():\n    pass", "x", 2, "is rebound by a definition"),
        ("x = 1\nprint(x := 2)", "x", 2, "may be changed by an expression"),
    ] {
        let found = problems(source);
        assert!(found.contains(&(name.to_owned(), line, expected.to_owned())), "{source}: {found:?}");
        assert_eq!(report(source).params.get("x"), None, "{source}");
    }
}

#[test]
fn what_leaves_a_value_alone_is_no_problem() {
    for source in [
        "x = 1\nprint(x)",
        "x = 1\nx.bit_length()",
        "x = 1\ndef f():\n    x = 2",
        "x = 1\nclass A:\n    x = 2",
        "x = 1\n[x for x in range(3)]",
        "x = 1\nlambda x: (x := 2)",
        "x = 1\nx: int",
        "x = f()\nx = 1",
        "x = 2\nx = 1",
        "x = 1\nimport numpy as np\nfrom a import b",
        "x = 1\nos.environ['A'] = 'b'\npd.options.a.b = 3",
        "%%time\nx = 1\n!ls",
    ] {
        assert_eq!(json_of(source).to_string(), "{\"x\":1}", "{source}");
    }
}

#[test]
fn injected_values_override_defaults_in_cell_order() {
    let report = parameters(&notebook(
        "python",
        &[
            ("injected-parameters", "year = 1"),
            ("parameters", "year = 2020\nfoo = compute()\nbar = 'a'"),
            ("injected-parameters", "# Parameters\nyear = 2023\nfoo = 5\nextra = 1"),
            ("parameters", "year = 9"),
        ],
    ));
    assert_eq!(report.params.to_string(), "{bar=a, extra=1, foo=5, year=2023}");
    assert_eq!((report.problems, report.cell), (vec![], Some(1)));
}

#[test]
fn injected_values_count_without_a_parameters_cell() {
    let report = parameters(&notebook("python", &[("injected-parameters", "year = 2023"), ("", "print(year)")]));
    assert_eq!((report.params.to_string().as_str(), report.has_cell()), ("{year=2023}", false));
}

#[test]
fn a_notebook_without_the_tag_has_no_parameters_and_no_problem() {
    let report = parameters(&notebook("python", &[("other", "year = 2023")]));
    assert_eq!(report, ParameterReport { params: Params::empty(), problems: vec![], cell: None });
}

#[test]
fn other_languages_and_cell_magics_are_one_problem() {
    let report = parameters(&notebook("R", &[("parameters", "x <- c(1, 2)\n`a b` = 'c'")]));
    assert!(report.has_cell() && report.params.is_empty());
    assert_eq!(report.problems.len(), 1);
    assert!(report.problems[0].reason.contains("language is R"), "{:?}", report.problems);
    let found = problems("%%bash\nx=1");
    assert_eq!(found.len(), 1);
    assert!(found[0].2.contains("`%%bash`"), "{found:?}");
}

#[test]
fn a_syntax_error_is_a_problem_with_its_line_and_hides_no_earlier_name() {
    let source = "msg = None\na: float = 2.25 # a\nb = [\n    'Hello', # first\n# comment\n    'World'\n]\nd = a == 3\n= 2\ne = 1";
    let report = report(source);
    assert_eq!(report.params.to_string(), "{a=2.25, b=[\"Hello\",\"World\"], msg=null}");
    let seen: Vec<_> = report.problems.iter().map(|problem| (problem.name.as_deref(), problem.line)).collect();
    assert_eq!(seen, [(Some("d"), 8), (None, 9)]);
}

#[test]
fn a_set_too_large_as_a_whole_is_refused_as_a_whole() {
    let half = "a".repeat(40_000);
    let source = format!("x = '{half}'\ny = '{half}'");
    let found = problems(&source);
    assert!(found.len() == 1 && found[0].0.is_empty() && found[0].2.contains("65536"), "{found:?}");
}

/// Writes a value as Python source.
fn to_python(value: &ParamValue) -> String {
    match value {
        ParamValue::Null => "None".to_owned(),
        ParamValue::Bool(value) => if *value { "True" } else { "False" }.to_owned(),
        ParamValue::Array(items) => {
            let items: Vec<_> = items.iter().map(to_python).collect();
            format!("[{}]", items.join(", "))
        }
        ParamValue::Map(entries) => {
            let entries: Vec<_> = entries
                .iter()
                .map(|(key, value)| format!("{}: {}", to_python(&ParamValue::Text(key.clone())), to_python(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        ParamValue::Text(text) => {
            let escapes: Vec<_> = text.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect();
            format!("\"{}\"", escapes.concat())
        }
        number => number.to_json().to_string(),
    }
}

fn any_value() -> impl Strategy<Value = ParamValue> {
    let leaf = prop_oneof![
        Just(ParamValue::Null),
        any::<bool>().prop_map(ParamValue::Bool),
        any::<i128>().prop_map(|int| ParamValue::Int(int.into())),
        any::<f64>().prop_filter_map("finite", ParamValue::float),
        any::<String>().prop_map(ParamValue::Text),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(ParamValue::Array),
            prop::collection::btree_map(any::<String>(), inner, 0..4).prop_map(ParamValue::Map),
        ]
    })
}

proptest! {
    #[test]
    fn every_value_written_as_python_comes_back(value in any_value()) {
        let report = report(&format!("x = {}", to_python(&value)));
        prop_assert_eq!(report.problems, vec![]);
        prop_assert_eq!(report.params.get("x"), Some(&value));
    }
}
