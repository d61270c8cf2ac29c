//! `onenb config`: the configuration in force.

use clap::Subcommand;

use super::errors::{Exit, Failure};
use super::json::{Setting, Settings, document};
use super::output::Context;
use super::render;
use crate::error::{Error, ErrorKind};

const EXAMPLES: &str = "\
Examples:
  onenb config list
  onenb config get storage.url";

/// Show the configuration in force
///
/// Shared settings are in .1nb/config.toml, tracked by Git; your own are in your home directory and in `git config`.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Every setting with its origin
    List,
    /// The value of one setting; exit code 3 if it is not set
    Get {
        /// The setting, such as storage.url
        key: String,
    },
}

type Row = (String, String, String);

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let rows = workspace.repo()?.config()?;
    match &args.action {
        Action::List => ctx.print(&document(settings(&rows)), || table(&rows))?,
        Action::Get { key } => {
            let found: Vec<Row> = rows.into_iter().filter(|(name, ..)| name == key).collect();
            let Some((_, value, _)) = found.first() else {
                let error = Error::new(ErrorKind::NotFound, format!("`{}` is not set", render::one_line(key)));
                return Err(error.with_hint("see what is set with `onenb config list`").into());
            };
            ctx.print(&document(settings(&found)), || format!("{}\n", render::one_line(value)))?;
        }
    }
    Ok(Exit::Success)
}

fn settings(rows: &[Row]) -> Settings<'_> {
    Settings { settings: rows.iter().map(|(key, value, origin)| Setting { key, value, origin }).collect() }
}

fn table(rows: &[Row]) -> String {
    let cells: Vec<Vec<String>> =
        rows.iter().map(|(key, value, origin)| vec![key.clone(), value.clone(), format!("({origin})")]).collect();
    render::table(&cells, &[])
}
