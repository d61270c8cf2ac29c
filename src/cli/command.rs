//! The command tree and the way from arguments to an exit code.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use super::errors::{Exit, Failure};
use super::output::{ColorWhen, Context, Talk};
use super::{
    addnb, bind, cat, cat_object, completions, config, deps, diff, doctor, export, gc, get, hash_object, hook, hooks,
    init, is_ancestor, log, ls, ls_chunks, nb, params_hash, pin, pull, push, reindex, remote, repack, resolve, restore,
    rm, show, show_pack, stats, status, take, tune, unbind, unpin, verify, verify_pack, write_object,
};
use crate::error::{Error, ErrorKind};

const AFTER_HELP: &str = "\
SPEC is [REPO@]REV:NAME[?k=v&k2=v2]; REV is a tag, a branch, a commit or `working`. Quote it: the shell reads ? and &.

Plumbing, for scripts: hash-object, write-object, cat-object, ls-chunks, show-pack, verify-pack, params-hash, is-ancestor, hook.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found, 4 not authorised, 5 damaged data, 130 interrupted.

Examples:
  onenb init dir /srv/data
  onenb export Sales sales.csv
  onenb push
  onenb cat 'v1:Report?year=2023'";

/// Keeps notebook data in step with Git: export it, tag it, read it back by tag anywhere.
#[derive(Debug, Parser)]
#[command(name = "onenb", version, after_help = AFTER_HELP, disable_help_subcommand = true, infer_subcommands = false)]
pub(super) struct Cli {
    #[command(flatten)]
    pub(super) global: GlobalArgs,
    #[command(subcommand)]
    pub(super) command: Command,
}

/// Options that stand before or after the command.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Global options")]
pub(super) struct GlobalArgs {
    /// Run as if started in DIR
    #[arg(short = 'C', value_name = "DIR", global = true)]
    directory: Option<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Print only data, warnings and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    verbose: bool,
    /// Do not show progress
    #[arg(long, global = true)]
    no_progress: bool,
    /// Colour the talk on stderr: auto, always or never
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = ColorWhen::Auto, global = true)]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    color: ColorWhen,
}

/// Every command, in the order of the help: everyday, care, notebooks, plumbing.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    Init(init::Args),
    Export(export::Args),
    Addnb(addnb::Args),
    Push(push::Args),
    Pull(pull::Args),
    Get(get::Args),
    Cat(cat::Args),
    Ls(ls::Args),
    Show(show::Args),
    Resolve(resolve::Args),
    Log(log::Args),
    Diff(diff::Args),
    Status(status::Args),
    Deps(deps::Args),
    Rm(rm::Args),
    Bind(bind::Args),
    Unbind(unbind::Args),
    Take(take::Args),
    Restore(restore::Args),
    Pin(pin::Args),
    Unpin(unpin::Args),
    Verify(verify::Args),
    Gc(gc::Args),
    Repack(repack::Args),
    Stats(stats::Args),
    Tune(tune::Args),
    Reindex(reindex::Args),
    Doctor(doctor::Args),
    Remote(remote::Args),
    Hooks(hooks::Args),
    Config(config::Args),
    Nb(nb::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    HashObject(hash_object::Args),
    #[command(hide = true)]
    WriteObject(write_object::Args),
    #[command(hide = true)]
    CatObject(cat_object::Args),
    #[command(hide = true)]
    LsChunks(ls_chunks::Args),
    #[command(hide = true)]
    ShowPack(show_pack::Args),
    #[command(hide = true)]
    VerifyPack(verify_pack::Args),
    #[command(hide = true)]
    ParamsHash(params_hash::Args),
    #[command(hide = true)]
    IsAncestor(is_ancestor::Args),
    #[command(hide = true)]
    Hook(hook::Args),
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    run(env::args_os())
}

/// Runs the program with the given arguments, the program's name first, and returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    if let Some((event, rest)) = as_git_calls_a_hook(&arguments) {
        return start_hook(event, &rest);
    }
    let parsed = clap_command(arguments.first()).try_get_matches_from(&arguments);
    match parsed.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => start(cli),
        Err(refusal) => refuse(&refusal, &arguments),
    }
}

/// Returns the command tree under the name that the program was called by.
pub(super) fn clap_command(program: Option<&OsString>) -> clap::Command {
    let is_short = program.and_then(|path| Path::new(path).file_stem()).is_some_and(|stem| stem == "1nb");
    let name = if is_short { "1nb" } else { "onenb" };
    Cli::command().name(name).bin_name(name)
}

/// Recognises a hook as our block in Git's hooks calls it: `onenb hook EVENT` and Git's own arguments.
///
/// Those run on every commit, and the description of all commands costs more than what most hooks have to do.
fn as_git_calls_a_hook(arguments: &[OsString]) -> Option<(&str, Vec<String>)> {
    let [_, hook, event, rest @ ..] = arguments else { return None };
    let event = event.to_str().filter(|event| hook == "hook" && !event.starts_with('-'))?;
    let rest: Option<Vec<String>> = rest.iter().map(|word| word.to_str().map(str::to_owned)).collect();
    let rest = rest.filter(|rest| !rest.iter().any(|word| word == "--help" || word == "-h"))?;
    Some((event, rest))
}

fn start_hook(event: &str, arguments: &[String]) -> ExitCode {
    let talk = Talk::new(false, false, ColorWhen::Never);
    match enter(None) {
        Ok(dir) => hook::run(event, arguments, &Context::new(dir, talk, false, false)).code(),
        Err(failure) => failure.report(talk),
    }
}

/// Prints help, the version or a usage error.
fn refuse(refusal: &clap::Error, arguments: &[OsString]) -> ExitCode {
    let is_hook = arguments.get(1).is_some_and(|argument| argument == "hook");
    if is_hook && refusal.exit_code() != 0 {
        // Git must go on whatever a hook block of another version calls.
        let _ = writeln!(io::stderr(), "onenb: this version does not know how to run that hook");
        return ExitCode::SUCCESS;
    }
    // A closed pipe is not worth an error here either.
    let _ = refusal.print();
    u8::try_from(refusal.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from)
}

fn start(cli: Cli) -> ExitCode {
    let Cli { global, command } = cli;
    let talk = Talk::new(global.quiet, global.verbose, global.color);
    let result = enter(global.directory.as_deref())
        .map(|dir| Context::new(dir, talk, global.json, !global.no_progress && !global.quiet))
        .and_then(|ctx| {
            let end = dispatch(command, &ctx);
            ctx.tell_offline();
            end
        });
    match result {
        Ok(exit) => exit.code(),
        Err(failure) => failure.report(talk),
    }
}

/// Changes into the directory of `-C` and returns where we are now.
fn enter(directory: Option<&Path>) -> Result<PathBuf, Failure> {
    if let Some(directory) = directory {
        env::set_current_dir(directory)
            .map_err(|cause| Error::from(cause).context(format!("could not change to `{}`", directory.display())))?;
    }
    env::current_dir().map_err(|cause| Error::from(cause).context("could not tell the current directory").into())
}

fn dispatch(command: Command, ctx: &Context) -> Result<Exit, Failure> {
    match command {
        Command::Init(args) => init::run(&args, ctx),
        Command::Export(args) => export::run(&args, ctx),
        Command::Addnb(args) => addnb::run(&args, ctx),
        Command::Push(args) => push::run(&args, ctx),
        Command::Pull(args) => pull::run(&args, ctx),
        Command::Get(args) => get::run(&args, ctx),
        Command::Cat(args) => cat::run(&args, ctx),
        Command::Ls(args) => ls::run(&args, ctx),
        Command::Show(args) => show::run(&args, ctx),
        Command::Resolve(args) => resolve::run(&args, ctx),
        Command::Log(args) => log::run(&args, ctx),
        Command::Diff(args) => diff::run(&args, ctx),
        Command::Status(args) => status::run(&args, ctx),
        Command::Deps(args) => deps::run(&args, ctx),
        Command::Rm(args) => rm::run(&args, ctx),
        Command::Bind(args) => bind::run(&args, ctx),
        Command::Unbind(args) => unbind::run(&args, ctx),
        Command::Take(args) => take::run(&args, ctx),
        Command::Restore(args) => restore::run(&args, ctx),
        Command::Pin(args) => pin::run(&args, ctx),
        Command::Unpin(args) => unpin::run(&args, ctx),
        Command::Verify(args) => verify::run(&args, ctx),
        Command::Gc(args) => gc::run(&args, ctx),
        Command::Repack(args) => repack::run(&args, ctx),
        Command::Stats(args) => stats::run(&args, ctx),
        Command::Tune(args) => tune::run(&args, ctx),
        Command::Reindex(args) => reindex::run(&args, ctx),
        Command::Doctor(args) => doctor::run(&args, ctx),
        Command::Remote(args) => remote::run(&args, ctx),
        Command::Hooks(args) => hooks::run(&args, ctx),
        Command::Config(args) => config::run(&args, ctx),
        Command::Nb(args) => nb::run(&args, ctx),
        Command::Completions(args) => completions::run(&args, ctx),
        Command::HashObject(args) => hash_object::run(&args, ctx),
        Command::WriteObject(args) => write_object::run(&args, ctx),
        Command::CatObject(args) => cat_object::run(&args, ctx),
        Command::LsChunks(args) => ls_chunks::run(&args, ctx),
        Command::ShowPack(args) => show_pack::run(&args, ctx),
        Command::VerifyPack(args) => verify_pack::run(&args, ctx),
        Command::ParamsHash(args) => params_hash::run(&args, ctx),
        Command::IsAncestor(args) => is_ancestor::run(&args, ctx),
        Command::Hook(args) => Ok(hook::run(&args.event, &args.arguments, ctx)),
    }
}

/// Makes a usage error, exit code 2, that clap could not see by itself.
pub(super) fn usage(message: impl Into<String>, command: &str) -> Error {
    Error::new(ErrorKind::Usage, message).with_hint(format!("see `onenb {command} --help`"))
}
