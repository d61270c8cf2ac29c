//! Where credentials for S3 come from: the order and the files of Amazon's own tools.
//!
//! A profile with keys is read from the shared files. One that needs a sign-in, a role or a program of its own is
//! left to Amazon's command line (`aws configure export-credentials`), asked again before what it gave expires.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use object_store::aws::AwsCredential;

use super::CloudOptions;
use super::container::ContainerAgent;
use super::renewed::{Issuer, keys_in};
use crate::backend::BackendError;
use crate::fs;

/// Longest file of profiles that is read.
const MAX_FILE_LEN: u64 = 1024 * 1024;

/// Settings of one profile.
type Section = BTreeMap<String, String>;

/// Keys out of a file.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Keys {
    pub(super) key_id: String,
    pub(super) secret_key: String,
    pub(super) token: Option<String>,
}

/// Where credentials come from.
#[derive(PartialEq)]
pub(super) enum Source {
    /// Variables that the client itself understands: keys, web identity, containers.
    Environment,
    Keys(Keys),
    Program(AmazonsProgram),
    Container(ContainerAgent),
    /// Nowhere but perhaps the machine's own role.
    None,
}

/// What a profile says.
pub(super) struct Profile {
    pub(super) source: Source,
    pub(super) region: Option<String>,
    pub(super) endpoint_url: Option<String>,
}

/// Finds the credentials: the profile chosen for this remote, else variables, else the user's usual profile.
pub(super) fn find(options: &CloudOptions) -> Result<Profile, BackendError> {
    let vars = &options.context.vars;
    let has = |name: &str| vars.contains_key(name);
    let chosen = options.profile.as_deref();
    let name = chosen.or_else(|| vars.get("AWS_PROFILE").map(String::as_str));
    let keys_in_vars = has("AWS_ACCESS_KEY_ID") || has("AWS_WEB_IDENTITY_TOKEN_FILE") || has("AWS_SKIP_SIGNATURE");
    if chosen.is_none() && keys_in_vars {
        return Ok(Profile { source: Source::Environment, region: None, endpoint_url: None });
    }
    let section = read_section(options, name.unwrap_or("default"));
    let Some(mut section) = section else {
        if let Some(name) = name {
            let reason = format!("there is no AWS profile `{}` on this machine", name.escape_debug());
            return Err(BackendError::NoCredentials { reason });
        }
        return Ok(Profile { source: of_machine(vars), region: None, endpoint_url: None });
    };
    let region = section.remove("region");
    let endpoint_url = section.remove("endpoint_url");
    let keys = section.remove("aws_access_key_id").zip(section.remove("aws_secret_access_key"));
    let needs_program = ["sso_session", "sso_start_url", "role_arn", "credential_process", "login_session"];
    let source = match keys {
        Some((key_id, secret_key)) => {
            Source::Keys(Keys { key_id, secret_key, token: section.remove("aws_session_token") })
        }
        None if needs_program.iter().any(|key| section.contains_key(*key)) => {
            Source::Program(AmazonsProgram { profile: name.unwrap_or("default").to_owned() })
        }
        None if name.is_some() => {
            let reason = format!("the AWS profile `{}` has no credentials", name.unwrap_or_default().escape_debug());
            return Err(BackendError::NoCredentials { reason });
        }
        None => of_machine(vars),
    };
    Ok(Profile { source, region, endpoint_url })
}

/// Finds what the machine itself has: a container's agent, else perhaps its own role.
fn of_machine(vars: &BTreeMap<String, String>) -> Source {
    let var = |name: &str| vars.get(name);
    if var("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI").is_some() {
        return Source::Environment;
    }
    match (var("AWS_CONTAINER_CREDENTIALS_FULL_URI"), var("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")) {
        (Some(_), Some(_)) => Source::Environment,
        (Some(uri), None) => Source::Container(ContainerAgent::new(uri, var("AWS_CONTAINER_AUTHORIZATION_TOKEN"))),
        (None, _) => Source::None,
    }
}

/// Reads a profile out of both shared files; the one for credentials counts for more.
fn read_section(options: &CloudOptions, name: &str) -> Option<Section> {
    let context = &options.context;
    let file = |variable: &str, default: &str| {
        let chosen = context.vars.get(variable).map(PathBuf::from);
        chosen.or_else(|| Some(context.home.as_ref()?.join(".aws").join(default)))
    };
    let read = |path: Option<PathBuf>, title: &str| {
        let text = String::from_utf8(fs::read_bounded(&path?, MAX_FILE_LEN).ok()?).ok()?;
        section_of(&text, title)
    };
    let title = if name == "default" { name.to_owned() } else { format!("profile {name}") };
    let config = read(file("AWS_CONFIG_FILE", "config"), &title);
    let credentials = read(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"), name);
    match (config, credentials) {
        (Some(mut config), Some(credentials)) => {
            config.extend(credentials);
            Some(config)
        }
        (config, credentials) => config.or(credentials),
    }
}

/// Returns the settings under one title of a file of `[titles]` and `key = value` lines.
fn section_of(text: &str, title: &str) -> Option<Section> {
    let mut found: Option<Section> = None;
    let mut inside = false;
    for line in text.lines() {
        // Indented lines belong to a nested setting, of which none matters here.
        if line.starts_with([' ', '\t', '#', ';']) {
            continue;
        }
        if let Some(header) = line.trim_end().strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            inside = header.0.split_whitespace().eq(title.split_whitespace());
            if inside {
                found.get_or_insert_default();
            }
        } else if let (true, Some(section), Some((key, value))) = (inside, found.as_mut(), line.split_once('=')) {
            section.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

/// Amazon's command line, which knows every kind of profile.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AmazonsProgram {
    profile: String,
}

impl Issuer for AmazonsProgram {
    async fn issue(&self) -> object_store::Result<AwsCredential> {
        // Rare and short; a second thread of the runtime goes on meanwhile.
        ask_program(&self.profile)
    }
}

fn ask_program(profile: &str) -> object_store::Result<AwsCredential> {
    let failed = |reason: &str| object_store::Error::Unauthenticated {
        path: profile.to_owned(),
        source: format!("`aws configure export-credentials --profile {profile}`: {reason}").into(),
    };
    let output = Command::new("aws")
        .args(["configure", "export-credentials", "--format", "process", "--profile", profile])
        .output()
        .map_err(|_| failed("it could not be run; install the AWS command line"))?;
    if !output.status.success() {
        return Err(failed("it failed; sign in with `aws sso login` first"));
    }
    keys_in(&output.stdout, "SessionToken").map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::CloudContext;

    fn options(
        files: &[(&str, &str)],
        vars: &[(&str, &str)],
        profile: Option<&str>,
    ) -> (tempfile::TempDir, CloudOptions) {
        let home = tempfile::tempdir().expect("a temporary directory");
        for (name, text) in files {
            fs::write_atomic(&home.path().join(".aws").join(name), text.as_bytes()).expect("writes");
        }
        let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let context = CloudContext { vars, home: Some(home.path().to_path_buf()) };
        (home, CloudOptions { profile: profile.map(str::to_owned), context, ..CloudOptions::default() })
    }

    fn key_of(found: Result<Profile, BackendError>) -> Option<String> {
        match found.ok()?.source {
            Source::Keys(keys) => Some(keys.key_id),
            Source::Environment => Some("environment".to_owned()),
            Source::Program(program) => Some(format!("program {}", program.profile)),
            Source::Container(_) => Some("container".to_owned()),
            Source::None => Some("none".to_owned()),
        }
    }

    #[test]
    fn a_chosen_profile_beats_variables_and_variables_beat_the_usual_one() {
        let files = [
            (
                "credentials",
                "[default]\naws_access_key_id=D\naws_secret_access_key = x\n\n[team]\naws_access_key_id = T\naws_secret_access_key=y\n",
            ),
            (
                "config",
                "# ours\n[default]\nregion = eu-west-1\ns3 =\n  max_concurrent_requests = 1\n[profile sso]\nsso_session = s\n[profile empty]\n",
            ),
        ];
        let keys = [("AWS_ACCESS_KEY_ID", "E"), ("AWS_SECRET_ACCESS_KEY", "z")];
        let cases = [
            (&[][..], None, Some("D")),
            (&keys, None, Some("environment")),
            (&keys, Some("team"), Some("T")),
            (&[("AWS_PROFILE", "team")], None, Some("T")),
            (&[], Some("sso"), Some("program sso")),
            (&[], Some("empty"), None),
            (&[], Some("nobody"), None),
        ];
        for (vars, profile, expected) in cases {
            let (_home, options) = options(&files, vars, profile);
            assert_eq!(key_of(find(&options)).as_deref(), expected, "{vars:?} {profile:?}");
        }
        let (_home, options) = options(&files, &[], None);
        assert_eq!(find(&options).ok().and_then(|profile| profile.region).as_deref(), Some("eu-west-1"));
    }

    #[test]
    fn a_machine_without_files_has_variables_or_nothing() {
        let (_home, bare) = options(&[], &[], None);
        assert_eq!(key_of(find(&bare)).as_deref(), Some("none"));
        // A file that names no more than a region is none that has credentials.
        for files in [&[][..], &[("config", "[default]\nregion = eu-west-1\n")]] {
            let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://localhost/x");
            let file = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/x");
            let relative = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/x");
            for (vars, expected) in
                [(&[full][..], "container"), (&[full, file], "environment"), (&[relative], "environment")]
            {
                let (_home, options) = options(files, vars, None);
                assert_eq!(key_of(find(&options)).as_deref(), Some(expected), "{vars:?}");
            }
        }
    }
}
