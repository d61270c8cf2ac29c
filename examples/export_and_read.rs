//! Exports a table into the repository around the current directory and reads it back, without the command line.
//!
//! Run it in a repository that was set up with `onenb init`: `cargo run --example export_and_read -- /path/to/repository`.

#![expect(clippy::print_stdout, reason = "an example shows what it did")]

use std::io::{Read, Write};
use std::path::PathBuf;

use onenb::format::name::{ExportName, Suffix};
use onenb::format::params::Params;
use onenb::{Environment, ExportOptions, Repo, Workspace};

fn main() -> onenb::Result<()> {
    let dir = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("."), PathBuf::from);
    let repo = Repo::open(&dir)?;
    let mut writer = repo.export(ExportOptions {
        name: ExportName::parse("Sales")?,
        params: Params::from_assignments(["year=2023"])?,
        suffix: Suffix::parse(".csv")?,
        producer: None,
        inputs: vec![],
        run: None,
        cell_source: None,
    })?;
    writeln!(writer, "region,amount\nnorth,12\nsouth,30")?;
    let outcome = writer.finish()?;
    println!("exported {}: {}", outcome.record.label(), outcome.record.digest);

    let workspace = Workspace::open(&dir, Environment::default());
    let spec = workspace.parse_spec("working:Sales?year=2023", &Params::empty())?;
    let mut text = String::new();
    workspace.read(&workspace.resolve(&spec)?)?.read_to_string(&mut text)?;
    print!("{text}");
    Ok(())
}
