//! `onenb addnb`: records executed notebooks.

use std::path::PathBuf;

use super::errors::{Exit, Failure};
use super::json::{Executed, Notebook, Notebooks, document};
use super::output::Context;
use super::render;
use crate::AddedNotebook;

const EXAMPLES: &str = "\
Examples:
  onenb addnb report.ipynb
  onenb addnb --nb out/report-2023.ipynb --original report.ipynb
  onenb addnb";

/// Record executed notebooks with their parameters and exports
///
/// Writes and stages one run record per notebook and the records of what it exported. Without files: every notebook
/// with exports that no commit has yet.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Executed notebooks
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// An executed notebook; the same as FILE
    #[arg(long, value_name = "FILE")]
    nb: Vec<PathBuf>,
    /// The notebook that was executed, if FILE is an output of papermill or the like
    #[arg(long, value_name = "FILE")]
    original: Option<PathBuf>,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    let files: Vec<PathBuf> = args.nb.iter().chain(&args.files).cloned().collect();
    let workspace = ctx.workspace();
    let repo = workspace.repo()?;
    ctx.tell_settings(repo);
    let added = repo.addnb(&files, args.original.as_deref())?;
    for notebook in &added {
        for warning in &notebook.warnings {
            ctx.talk.warn(&format!("{}: {warning}", notebook.run.path));
        }
    }
    let notebooks = added.iter().map(|notebook| Notebook {
        run: Executed::from(&notebook.run),
        staged: &notebook.staged,
        warnings: &notebook.warnings,
    });
    ctx.conclude(&document(Notebooks { notebooks: notebooks.collect() }), || note(&added))?;
    for path in added.iter().flat_map(|notebook| &notebook.staged) {
        ctx.talk.detail(&format!("staged {path}"));
    }
    Ok(Exit::Success)
}

fn note(added: &[AddedNotebook]) -> String {
    if added.is_empty() {
        return "no notebook has exports to record; name one, as in `onenb addnb report.ipynb`".to_owned();
    }
    let lines: Vec<String> = added
        .iter()
        .map(|notebook| {
            let exports = render::count(notebook.run.exports.len() as u64, "export");
            format!("recorded {}{} with {exports}", notebook.run.path, notebook.run.params)
        })
        .collect();
    lines.join("\n")
}
