//! Reads one export of a tag from a remote alone: no clone, no server, only the bytes asked for.
//!
//! `cargo run --example read_from_remote -- /srv/data v1 Sales year=2023`

use std::io;

use onenb::format::params::Params;
use onenb::{Environment, Error, ErrorKind, Workspace};

fn main() -> onenb::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [remote, tag, name, params @ ..] = arguments.as_slice() else {
        return Err(Error::new(ErrorKind::Usage, "usage: read_from_remote REMOTE TAG NAME [k=v ..]"));
    };
    let workspace = Workspace::open(std::env::current_dir()?.as_path(), Environment::default());
    let params = Params::from_assignments(params.iter().map(String::as_str))?;
    let spec = workspace.parse_spec(&format!("{remote}@{tag}:{name}"), &params)?;
    let export = workspace.resolve(&spec)?;
    let mut reader = workspace.read(&export)?;
    io::copy(&mut reader, &mut io::stdout().lock())?;
    Ok(())
}
