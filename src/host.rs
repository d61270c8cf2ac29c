//! The machine as the front ends see it: the one place that reads environment variables and the home directory.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;

use crate::backend::CloudContext;
use crate::repo::{Environment, OfflineNote};

/// Collects what the library needs to know of this process and its user.
#[must_use]
pub fn environment() -> Environment {
    Environment {
        config_dir: base_dir("XDG_CONFIG_HOME", ".config").map(|dir| dir.join("onenb")),
        cache_dir: base_dir("XDG_CACHE_HOME", ".cache").map(|dir| dir.join("onenb")),
        system_config: Some(PathBuf::from("/etc/onenb/config.toml")),
        approved_remote: env::var("ONENB_REMOTE").ok().filter(|url| !url.is_empty()),
        cloud: CloudContext { vars: cloud_vars(), home: env::home_dir() },
        program: env::current_exe().ok(),
        offline: OfflineNote::default(),
        in_hook: env::var_os("GIT_DIR").is_some(),
    }
}

/// The variables that the cloud providers' own tools read.
fn cloud_vars() -> BTreeMap<String, String> {
    let ours = |name: &str| ["AWS_", "AZURE_", "GOOGLE_"].iter().any(|prefix| name.starts_with(prefix));
    let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    env::vars_os().filter_map(text).filter(|(name, value)| ours(name) && !value.is_empty()).collect()
}

/// The XDG base directory specification: the variable if it is absolute, else a folder of the home directory.
fn base_dir(variable: &str, fallback: &str) -> Option<PathBuf> {
    let set = env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    set.or_else(|| env::home_dir().filter(|home| home.is_absolute()).map(|home| home.join(fallback)))
}
