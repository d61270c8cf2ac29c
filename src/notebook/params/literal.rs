//! Literals: the expressions that are values by themselves.

use num_bigint::BigInt;
use ruff_python_ast::{Expr, ExprDict, ExprStringLiteral, Int, Number, UnaryOp};
use ruff_text_size::Ranged as _;

use super::super::python::PythonCell;
use crate::format::params::{MAX_DEPTH, ParamValue, Params};

/// Most digits of a decimal integer, as in Python's own parser.
const MAX_DIGITS: usize = 4300;

/// Reads an expression that is a literal.
///
/// Refused ones answer with words that follow the name of the parameter: "is a call, not a literal".
pub(super) fn read(cell: &PythonCell, expr: &Expr) -> Result<ParamValue, String> {
    let value = value(cell, expr, 1).map_err(|refusal| {
        let verb = if refusal.at == expr.range() { "is" } else { "contains" };
        format!("{verb} {}", refusal.what)
    })?;
    match Params::new([(String::new(), value.clone())].into()) {
        Ok(_) => Ok(value),
        Err(_) => Err("is larger than a parameter set may be (64 KiB)".to_owned()),
    }
}

struct Refusal {
    at: ruff_text_size::TextRange,
    what: String,
}

fn value(cell: &PythonCell, expr: &Expr, depth: usize) -> Result<ParamValue, Refusal> {
    let refuse = |what: String| Err(Refusal { at: expr.range(), what });
    if depth > MAX_DEPTH {
        return refuse(format!("a value nested deeper than {MAX_DEPTH}"));
    }
    let items = |items: &[Expr]| items.iter().map(|item| value(cell, item, depth + 1)).collect::<Result<_, _>>();
    match expr {
        Expr::NoneLiteral(_) => Ok(ParamValue::Null),
        Expr::BooleanLiteral(literal) => Ok(ParamValue::Bool(literal.value)),
        Expr::NumberLiteral(literal) => number(&literal.value).or_else(refuse),
        Expr::StringLiteral(literal) if has_surrogate(cell, literal) => {
            refuse("a text with a lone surrogate".to_owned())
        }
        Expr::StringLiteral(literal) => Ok(ParamValue::Text(literal.value.to_str().to_owned())),
        Expr::List(list) => items(&list.elts).map(ParamValue::Array),
        Expr::Tuple(tuple) => items(&tuple.elts).map(ParamValue::Array),
        Expr::Dict(dict) => map(cell, dict, depth),
        Expr::UnaryOp(unary) if matches!(unary.op, UnaryOp::USub | UnaryOp::UAdd) => {
            match value(cell, &unary.operand, depth)? {
                ParamValue::Int(int) if unary.op == UnaryOp::USub => Ok(ParamValue::Int(-int)),
                ParamValue::Float(float) if unary.op == UnaryOp::USub => {
                    Ok(ParamValue::float(-float).expect("the negative of a finite float is finite"))
                }
                number @ (ParamValue::Int(_) | ParamValue::Float(_)) => Ok(number),
                _ => refuse("an expression, not a literal".to_owned()),
            }
        }
        // What the parser saw as a name may have been put in place of this.
        Expr::Name(_) if cell.slice(expr).starts_with(['!', '%']) => {
            refuse("a magic or shell command, not a literal".to_owned())
        }
        other => refuse(format!("{}, not a literal", describe(other))),
    }
}

fn map(cell: &PythonCell, dict: &ExprDict, depth: usize) -> Result<ParamValue, Refusal> {
    let mut entries = std::collections::BTreeMap::new();
    for item in &dict.items {
        let Some(key) = &item.key else {
            return Err(Refusal { at: item.value.range(), what: "another dict unpacked, not a literal".to_owned() });
        };
        let ParamValue::Text(text) = value(cell, key, depth + 1)? else {
            return Err(Refusal { at: key.range(), what: "a dict key that is no text".to_owned() });
        };
        entries.insert(text, value(cell, &item.value, depth + 1)?);
    }
    Ok(ParamValue::Map(entries))
}

fn number(number: &Number) -> Result<ParamValue, String> {
    match number {
        Number::Int(int) => integer(int).map(ParamValue::Int),
        Number::Float(float) => ParamValue::float(*float).ok_or_else(|| "a float that is out of range".to_owned()),
        Number::Complex { .. } => Err("a complex number".to_owned()),
    }
}

/// The parser keeps an integer of more than 64 bits as the text of its token.
fn integer(int: &Int) -> Result<BigInt, String> {
    let token = int.to_string().replace('_', "").to_ascii_lowercase();
    let (radix, digits) = [(16, "0x"), (8, "0o"), (2, "0b")]
        .into_iter()
        .find_map(|(radix, prefix)| token.strip_prefix(prefix).map(|digits| (radix, digits)))
        .unwrap_or((10, &token));
    if radix == 10 && digits.len() > MAX_DIGITS {
        return Err(format!("an integer of more than {MAX_DIGITS} digits"));
    }
    BigInt::parse_bytes(digits.as_bytes(), radix).ok_or_else(|| "an integer that cannot be read".to_owned())
}

/// Returns whether an escape such as `\ud800` names half of a surrogate pair. The parser puts U+FFFD in its place, and
/// parameters would then differ from what Python sees.
fn has_surrogate(cell: &PythonCell, literal: &ExprStringLiteral) -> bool {
    literal.value.iter().any(|part| {
        if part.flags.prefix().is_raw() || !part.value.contains('\u{fffd}') {
            return false;
        }
        let text = cell.slice(part).to_ascii_lowercase();
        ["\\ud", "\\u0000d"]
            .iter()
            .flat_map(|escape| text.split(escape).skip(1))
            .any(|rest| rest.starts_with(['8', '9', 'a', 'b', 'c', 'd', 'e', 'f']))
    })
}

fn describe(expr: &Expr) -> &'static str {
    match expr {
        Expr::Call(_) => "a call",
        Expr::Compare(_) => "a comparison",
        Expr::BoolOp(_) => "a logical expression",
        Expr::BinOp(_) => "arithmetic",
        Expr::FString(_) => "an f-string",
        Expr::TString(_) => "a template string",
        Expr::BytesLiteral(_) => "a bytes value",
        Expr::Set(_) => "a set",
        Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) => "a comprehension",
        Expr::Lambda(_) => "a function",
        Expr::Name(_) => "another name",
        Expr::Attribute(_) => "an attribute of another name",
        Expr::Subscript(_) => "an element of another value",
        Expr::EllipsisLiteral(_) => "an ellipsis",
        Expr::Starred(_) => "another value unpacked",
        Expr::Named(_) => "an assignment expression",
        _ => "an expression",
    }
}
