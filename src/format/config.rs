//! Configuration files: `.1nb/config.toml` (tracked, hostile) and the user's own file (trusted).
//!
//! The tracked file may name a remote; it can never approve it, run a command, weaken TLS or carry credentials.
//! All keys: `docs/config.md`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::FormatError;
use super::name::ExportName;

/// Path of the tracked configuration below the work tree.
pub const CONFIG_PATH: &str = ".1nb/config.toml";
/// Format of the `.1nb` directory that this program writes.
pub const REPO_FORMAT: u32 = 1;
/// Longest region of a bucket in bytes.
const MAX_REGION_LEN: usize = 64;
/// Longest configuration file in bytes.
pub const MAX_CONFIG_LEN: u64 = 256 * 1024;

/// First line of the file.
const HEADER: &str = "# onenb: see `onenb config --help`. Tracked by Git; never put credentials here.\n";

/// Keys that a tracked file must never hold, because they run commands, weaken TLS or carry secrets.
const FORBIDDEN: [&str; 12] = [
    "command",
    "credential",
    "credentials",
    "password",
    "secret",
    "token",
    "access_key",
    "secret_key",
    "proxy",
    "insecure",
    "allow_http",
    "allow_invalid_certificates",
];

/// The tracked configuration of one repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepoConfig {
    /// The repository's name, as in `from OneNB.i.<name>`.
    pub name: String,
    /// Format of the `.1nb` directory.
    pub format: u32,
    /// Oldest format a reader must know.
    pub min_reader: u32,
    /// Oldest format a writer must know.
    pub min_writer: u32,
    /// Lowest onenb version the team asks for, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<String>,
    /// Where the data is pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageConfig>,
    /// What happens to branches when they are pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push: Option<PushConfig>,
}

/// Where a repository's data is pushed. Everything here is subject to the user's approval.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct StorageConfig {
    /// An absolute directory, or a URL `s3://`, `gs://`, `az://`, `file://`.
    pub url: String,
    /// Endpoint of an S3 look-alike, or of an Azure account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint_url: Option<String>,
    /// Region of the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl StorageConfig {
    /// Makes the storage of a URL or directory without options.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), endpoint_url: None, region: None }
    }

    /// Returns what tells this place from every other, for people and for caches: the URL, and the endpoint if there is
    /// one.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.endpoint_url {
            Some(endpoint) => format!("{} at {endpoint}", self.url),
            None => self.url.clone(),
        }
    }
}

/// What happens to branches when they are pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushConfig {
    /// `warn`, `upload` or `verify`.
    #[serde(default)]
    pub branches: BranchPolicy,
}

/// What the pre-push hook does for a branch whose data is not on the remote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BranchPolicy {
    /// Print one line and go on.
    #[default]
    Warn,
    /// Upload the data of the branch's tip.
    Upload,
    /// Stop the push unless the data is on the remote.
    Verify,
}

impl std::fmt::Display for BranchPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Warn => "warn",
            Self::Upload => "upload",
            Self::Verify => "verify",
        })
    }
}

impl RepoConfig {
    /// Makes the configuration that `onenb init` writes.
    #[must_use]
    pub fn new(name: String, storage: Option<StorageConfig>) -> Self {
        Self { name, format: REPO_FORMAT, min_reader: 1, min_writer: 1, requirements: None, storage, push: None }
    }

    /// Writes the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let body = toml::to_string(self).expect("the configuration holds nothing that TOML cannot");
        format!("{HEADER}{body}")
    }

    /// Writes the file over an older text, of which the keys that this program does not know stay.
    ///
    /// A text that says the same already comes back as it is, with its comments.
    #[must_use]
    pub fn to_text_over(&self, old: &str) -> String {
        let Ok(mut table) = old.parse::<toml::Table>() else { return self.to_text() };
        if Self::from_text(old).is_ok_and(|(known, _)| known == *self) {
            return old.to_owned();
        }
        let mut new = toml::Table::try_from(self).expect("the configuration holds nothing that TOML cannot");
        for section in SECTIONS {
            let unknown = |(key, _): &(String, toml::Value)| !section.keys.contains(&key.as_str());
            let (old, new) = match section.name {
                None => (Some(&mut table), Some(&mut new)),
                Some(name) => (
                    table.get_mut(name).and_then(toml::Value::as_table_mut),
                    new.get_mut(name).and_then(toml::Value::as_table_mut),
                ),
            };
            if let (Some(old), Some(new)) = (old, new) {
                new.extend(old.clone().into_iter().filter(unknown));
            }
        }
        format!("{HEADER}{new}")
    }

    /// Reads the file. The second value lists unknown keys, which are warned about and otherwise ignored.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] for broken files and forbidden keys, [`FormatError::TooNew`] for newer formats.
    pub fn from_text(text: &str) -> Result<(Self, Vec<String>), FormatError> {
        let malformed = |reason: String| FormatError::malformed(CONFIG_PATH, reason);
        let table: toml::Table =
            text.parse().map_err(|error: toml::de::Error| malformed(error.message().to_owned()))?;
        if let Some(key) = find_forbidden(&table) {
            return Err(malformed(format!("the key `{key}` is not allowed in a tracked file")));
        }
        let config: Self = toml::Value::Table(table.clone())
            .try_into()
            .map_err(|error: toml::de::Error| malformed(error.message().to_owned()))?;
        if config.min_reader > REPO_FORMAT {
            return Err(FormatError::TooNew { what: ".1nb", found: config.min_reader, known: REPO_FORMAT });
        }
        check_repo_name(&config.name)?;
        if let Some(storage) = &config.storage {
            check_storage(storage)?;
        }
        Ok((config, unknown_keys(&table)))
    }

    /// Returns whether this program may write to the repository.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.min_writer <= REPO_FORMAT
    }
}

fn find_forbidden(table: &toml::Table) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let lower = key.to_ascii_lowercase();
        if FORBIDDEN.iter().any(|bad| lower == *bad) {
            return Some(key.clone());
        }
        value.as_table().and_then(find_forbidden)
    })
}

/// A table of the file and the keys that this program knows in it.
struct Section {
    /// `None` for the top of the file.
    name: Option<&'static str>,
    keys: &'static [&'static str],
}

const SECTIONS: [Section; 3] = [
    Section { name: None, keys: &["name", "format", "min_reader", "min_writer", "requirements", "storage", "push"] },
    Section { name: Some("storage"), keys: &["url", "endpoint_url", "region"] },
    Section { name: Some("push"), keys: &["branches"] },
];

fn unknown_keys(table: &toml::Table) -> Vec<String> {
    let mut unknown = Vec::new();
    for Section { name, keys } in SECTIONS {
        let inner = name.map_or(Some(table), |name| table.get(name).and_then(toml::Value::as_table));
        let strange = inner.into_iter().flat_map(toml::Table::keys).filter(|key| !keys.contains(&key.as_str()));
        unknown.extend(strange.map(|key| name.map_or_else(|| key.clone(), |name| format!("{name}.{key}"))));
    }
    unknown
}

/// Checks a repository name: what a folder may be called, without `@`, `:`, `/` or control characters.
///
/// # Errors
/// [`FormatError::Refused`].
pub fn check_repo_name(name: &str) -> Result<(), FormatError> {
    let refuse = |reason: &str| Err(FormatError::refused("repository name", name, reason));
    if name.is_empty() || name.len() > 128 {
        return refuse("it needs 1 to 128 bytes");
    }
    if name.starts_with(['.', '-', '_']) {
        return refuse("it must not start with `.`, `-` or `_`");
    }
    if name.chars().any(|c| c.is_control() || c.is_whitespace() || "@:/\\?&#%\"'`$<>|*".contains(c)) {
        return refuse("letters, digits, `.`, `_` and `-` are fine; spaces and `@:/\\?&#%` are not");
    }
    Ok(())
}

fn check_storage(storage: &StorageConfig) -> Result<(), FormatError> {
    let refuse = |text: &str, reason: &str| Err(FormatError::refused("storage URL", text, reason));
    for text in [Some(&storage.url), storage.endpoint_url.as_ref(), storage.region.as_ref()].into_iter().flatten() {
        if text.len() > 2048 || text.chars().any(char::is_control) {
            return refuse(text, "it is too long or has control characters");
        }
        let authority = text.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or(""));
        if authority.contains('@') {
            return refuse("…", "credentials do not belong in a URL");
        }
    }
    storage.region.as_deref().map_or(Ok(()), check_region)
}

/// Checks the region of a bucket, which becomes part of a host's name: `x@evil.example/` would send signed requests
/// there.
///
/// # Errors
/// [`FormatError::Refused`].
pub fn check_region(region: &str) -> Result<(), FormatError> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !(1..=MAX_REGION_LEN).contains(&region.len()) || !region.bytes().all(plain) {
        return Err(FormatError::refused("region", region, "it needs 1 to 64 lower-case letters, digits or `-`"));
    }
    Ok(())
}

/// The user's own configuration: registered repositories and approved remotes. Never tracked.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct UserConfig {
    /// Registered repositories by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub repos: BTreeMap<String, RegisteredRepo>,
    /// Remotes that this user approved on this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved: Vec<StorageConfig>,
    /// URL prefixes that this user approved as a whole.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approved_prefixes: Vec<String>,
    /// Credential profiles that this user chose, by place (see [`StorageConfig::place`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub profiles: BTreeMap<String, String>,
    /// Endpoints that this user allows without TLS although they are not on this machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_http: Vec<String>,
    /// Most bytes of remotes' data that are kept for readers, as in `4g`; `0` keeps nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_max_size: Option<String>,
}

/// One repository that the user's machine knows by name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegisteredRepo {
    /// Work trees or bare repositories, newest first; dead ones are dropped when seen.
    #[serde(default)]
    pub paths: Vec<String>,
    /// The root commit, which tells two repositories of one name apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root_commit: Option<String>,
    /// Where its data can be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<StorageConfig>,
}

impl UserConfig {
    /// Writes the file.
    #[must_use]
    pub fn to_text(&self) -> String {
        toml::to_string(self).expect("the configuration holds nothing that TOML cannot")
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`FormatError::Malformed`].
    pub fn from_text(text: &str) -> Result<Self, FormatError> {
        toml::from_str(text).map_err(|error| FormatError::malformed("the user configuration", error.message()))
    }
}

/// Reads sizes as Git's configuration writes them, a number with `k`, `m` or `g`, and as people do (`2 GB`, `500MiB`):
/// all of these are powers of 1024.
#[must_use]
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let factor = match unit.trim_start() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

/// Turns any text into what Python can import: NFKC, other characters to `_`, leading digit and keywords guarded.
#[must_use]
pub fn mangle(text: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    const KEYWORDS: [&str; 35] = [
        "False", "None", "True", "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del",
        "elif", "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal",
        "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
    ];
    let mut out: String =
        text.nfkc().map(|c| if c == '_' || unicode_ident::is_xid_continue(c) { c } else { '_' }).collect();
    if out.chars().next().is_none_or(|c| c != '_' && !unicode_ident::is_xid_start(c)) {
        out.insert(0, '_');
    }
    if KEYWORDS.contains(&out.as_str()) {
        out.push('_');
    }
    out
}

/// Returns whether an export name clashes with another under the rule for file systems that ignore case.
#[must_use]
pub fn names_clash(a: &ExportName, b: &ExportName) -> bool {
    a != b && a.fold() == b.fold()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_written_configuration_reads_back() {
        let storage = StorageConfig::new("/srv/data");
        let config = RepoConfig::new("myrepo".to_owned(), Some(storage));
        assert_eq!(RepoConfig::from_text(&config.to_text()), Ok((config, vec![])));
    }

    #[test]
    fn unknown_keys_warn_and_dangerous_ones_are_refused() {
        let base = "name = \"r\"\nformat = 1\nmin_reader = 1\nmin_writer = 1\n";
        let (_, unknown) =
            RepoConfig::from_text(&format!("{base}colour = 1\n[storage]\nurl = \"/x\"\nzone = 2\n")).expect("reads");
        assert_eq!(unknown, ["colour", "storage.zone"]);
        for bad in [
            "[storage]\nurl = \"/x\"\nallow_http = true\n",
            "token = \"x\"\n",
            "[storage]\nurl = \"s3://key@bucket\"\n",
        ] {
            assert!(RepoConfig::from_text(&format!("{base}{bad}")).is_err(), "{bad}");
        }
    }

    /// A region is part of the host that signed requests go to.
    #[test]
    fn a_region_cannot_name_another_host() {
        let text = |region: &str| {
            format!(
                "name = \"r\"\nformat = 1\nmin_reader = 1\nmin_writer = 1\n\
                 [storage]\nurl = \"s3://acme-data/x\"\nregion = \"{region}\"\n"
            )
        };
        for bad in ["x@127.0.0.1:9443/", "evil.example/", "EU", "", "a b", "x#", &"x".repeat(65)] {
            assert!(RepoConfig::from_text(&text(bad)).is_err(), "{bad}");
        }
        for good in ["eu-west-1", "auto", &"x".repeat(64)] {
            assert!(RepoConfig::from_text(&text(good)).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_rewritten_configuration_keeps_what_it_does_not_know() {
        let old = "# ours\nname = \"r\"\nformat = 1\nmin_reader = 1\nmin_writer = 1\ncolour = 1\n\
                   [storage]\nurl = \"/x\"\nregion = \"r\"\nzone = 2\n[other]\na = 1\n";
        let (config, _) = RepoConfig::from_text(old).expect("reads");
        assert_eq!(config.to_text_over(old), old);
        let storage = StorageConfig { url: "/y".to_owned(), endpoint_url: None, region: None };
        let changed = RepoConfig { storage: Some(storage), ..config };
        let (again, unknown) = RepoConfig::from_text(&changed.to_text_over(old)).expect("reads");
        assert_eq!((again, unknown), (changed, vec!["colour".into(), "other".into(), "storage.zone".into()]));
    }

    #[test]
    fn newer_readers_are_asked_for_and_newer_writers_make_it_read_only() {
        let text = |reader: u32, writer: u32| {
            format!("name = \"r\"\nformat = 9\nmin_reader = {reader}\nmin_writer = {writer}\n")
        };
        assert!(matches!(RepoConfig::from_text(&text(9, 9)), Err(FormatError::TooNew { found: 9, .. })));
        assert!(RepoConfig::from_text(&text(1, 9)).is_ok_and(|(config, _)| !config.is_writable()));
    }

    #[test]
    fn mangled_names_can_be_imported() {
        let cases = [
            ("v1.0", "v1_0"),
            ("my-repo", "my_repo"),
            ("2024", "_2024"),
            ("class", "class_"),
            ("ﬁx", "fix"),
            ("", "_"),
        ];
        for (text, expected) in cases {
            assert_eq!(mangle(text), expected);
        }
    }

    #[test]
    fn sizes_have_gits_units() {
        assert_eq!(parse_size("64m"), Some(64 << 20));
        assert_eq!(parse_size("1K"), Some(1024));
        assert_eq!(parse_size("12"), Some(12));
        assert_eq!((parse_size("2 GB"), parse_size("3MiB")), (Some(2 << 30), Some(3 << 20)));
        for bad in ["x", "", "g", "1.5g", "-1", "2 g b", "99999999999g"] {
            assert_eq!(parse_size(bad), None, "{bad}");
        }
    }

    #[test]
    fn repository_names_cannot_be_specs_or_paths() {
        for bad in ["", "a/b", "a@b", "a:b", "..", "-x", "a b", "_x"] {
            assert!(check_repo_name(bad).is_err(), "{bad}");
        }
        assert!(check_repo_name("my-repo.2").is_ok());
    }
}
