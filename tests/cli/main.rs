//! The built program, called as people and scripts call it: own home, no user configuration, fixed dates.

#![allow(clippy::indexing_slicing, clippy::print_stderr)]

mod support;

mod ancestry;
mod bad_input;
mod batch;
mod branches;
mod cat;
mod clouds;
mod directory;
mod export;
mod gc;
mod get;
mod git_flows;
mod git_input;
mod git_table;
mod help;
mod hook;
mod hook_words;
mod init;
mod late_bindings;
mod ls;
mod params_hash;
mod push;
mod reindex;
mod remotes;
mod repack;
mod repair;
mod resolve;
mod rm;
mod status;
mod tune;
mod usage;
mod verify;
