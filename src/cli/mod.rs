//! The command line: one file per command, each with its arguments, its `run` and its rendering.
//!
//! - Data goes to stdout, talk to stderr; `--json` turns the data into one document of [`json`] (`docs/json.md`).
//! - An error leaves through [`errors`] only, which maps its kind to the exit code.
//! - Commands call the facade and hold no rules of their own; what they decide is how things look.
//! - Nothing is opened before the command is known, so that `--help` and hooks start at once.

mod addnb;
mod args;
mod bind;
mod cat;
mod cat_object;
mod command;
mod completions;
mod config;
mod deps;
mod diff;
mod doctor;
mod errors;
mod export;
mod export_batch;
mod gc;
mod get;
mod get_batch;
mod hash_object;
mod hook;
mod hooks;
mod init;
mod input;
mod is_ancestor;
mod json;
mod json_git;
mod json_life;
mod json_tune;
mod log;
mod ls;
mod ls_chunks;
mod nb;
mod output;
mod params_hash;
mod pin;
mod pull;
mod push;
mod reindex;
mod remote;
mod render;
mod repack;
mod resolve;
mod restore;
mod rm;
mod show;
mod show_pack;
mod stats;
mod status;
mod take;
#[cfg(test)]
mod tests;
mod tune;
mod tune_chart;
mod unbind;
mod unpin;
mod verify;
mod verify_pack;
mod write_object;

pub use command::{main, run};
