//! `onenb params-hash`: the hash that keys a parameter set.

use std::io::{self, IsTerminal as _, Read as _};

use serde_json::Value as Json;

use super::args::ParamArgs;
use super::errors::{Exit, Failure};
use super::json::{HashedParams, document};
use super::output::Context;
use crate::error::{Error, ErrorKind, Result};
use crate::format::params::{MAX_ENCODED_LEN, Params};
use crate::id::to_hex;

const EXAMPLES: &str = "\
Examples:
  onenb params-hash -p year=2023 -p foo=bar
  echo '{\"year\": 2023, \"foo\": \"bar\"}' | onenb params-hash --json";

/// Print the hash of a parameter set
///
/// Reads a JSON object from stdin without -p; no object is the empty set. --json also shows the encoding.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    params: ParamArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let params = if args.params.is_empty() { from_stdin()? } else { args.params.parse()? };
    let params_hash = params.hash();
    let body = HashedParams { params: &params, params_hash, cbor: to_hex(&params.to_cbor()) };
    ctx.print(&document(body), || format!("{params_hash}\n"))?;
    Ok(Exit::Success)
}

fn from_stdin() -> Result<Params> {
    let stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Ok(Params::empty());
    }
    // JSON spells things out: at most six bytes for one of the encoding, and some room for layout.
    let limit = MAX_ENCODED_LEN as u64 * 8;
    let mut text = String::new();
    stdin.take(limit + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limit {
        return Err(Error::new(ErrorKind::Usage, format!("the object on stdin is longer than {limit} bytes")));
    }
    if text.trim().is_empty() {
        return Ok(Params::empty());
    }
    let json: Json = serde_json::from_str(&text)
        .map_err(|error| Error::new(ErrorKind::Usage, format!("stdin holds no JSON: {error}")))?;
    Ok(Params::from_json(&json)?)
}
