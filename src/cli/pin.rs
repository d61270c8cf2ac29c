//! `onenb pin`: keeps contents in the local store, or lists what is kept so.

use super::args::{ParamArgs, warn_of_move};
use super::errors::{Exit, Failure};
use super::json::document;
use super::json_life::{PinRow, Pins};
use super::output::Context;
use super::render::{self, Align};

const EXAMPLES: &str = "\
Examples:
  onenb pin v1:Sales
  onenb pin 'v1:Report?year=2023'
  onenb pin";

/// Keep an export's data whatever `gc` finds; without SPEC, list what is kept
///
/// For data that no commit of this repository names, such as that of a pulled tag.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The export, [REPO@]REV:NAME[?k=v&k2=v2]
    spec: Option<String>,
    #[command(flatten)]
    params: ParamArgs,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    let Some(spec) = &args.spec else {
        let pins = repo.pins()?;
        ctx.print(&document(Pins { pins: pins.iter().map(PinRow::from).collect() }), || {
            let row =
                |row: PinRow<'_>| vec![row.short(), render::size(row.size), row.time.clone(), row.spec.to_owned()];
            let rows: Vec<_> = pins.iter().map(|pin| row(PinRow::from(pin))).collect();
            render::table(&rows, &[Align::Left, Align::Right])
        })?;
        if pins.is_empty() {
            ctx.talk.note("nothing is pinned; pin an export with `onenb pin SPEC`");
        }
        return Ok(Exit::Success);
    };
    let resolved = workspace.resolve(&workspace.parse_spec(spec, &args.params.parse()?)?)?;
    warn_of_move(resolved.moved.as_ref(), ctx);
    let pin = repo.pin(&resolved)?;
    let document = document(Pins { pins: vec![PinRow::from(&pin)] });
    ctx.conclude(&document, || format!("pinned {}", pin.spec))?;
    Ok(Exit::Success)
}
