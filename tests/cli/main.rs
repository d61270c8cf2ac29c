//! The built program, called as people and scripts call it: own home, no user configuration, fixed dates.

#![allow(clippy::indexing_slicing, clippy::print_stderr)]

mod support;

mod bad_input;
mod cat;
mod export;
mod get;
mod git_flows;
mod help;
mod hook;
mod init;
mod ls;
mod params_hash;
mod push;
mod reindex;
mod remotes;
mod resolve;
mod rm;
mod status;
mod usage;
mod verify;
