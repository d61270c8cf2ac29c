//! `onenb init`: sets a repository up.

use super::args::directory_url;
use super::command::usage;
use super::errors::{Exit, Failure};
use super::json::{Initialised, document};
use super::output::Context;
use crate::error::{Error, Result};
use crate::format::config::{StorageConfig, check_repo_name};
use crate::{InitOptions, Repo, host};

const EXAMPLES: &str = "\
Examples:
  onenb init
  onenb init --name myrepo dir /srv/data
  onenb init cloud --bucket acme-data --key-prefix myrepo s3";

/// Set this Git repository up: write and stage .1nb, install the hooks
///
/// Without a backend data stays on this machine until `onenb remote set`. Nothing is committed.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// Where `onenb push` sends data
    #[arg(value_enum, default_value_t = Backend::Local)]
    backend: Backend,
    /// The directory of `dir`, or the service of `cloud`: s3, gcp or azure
    #[arg(value_name = "PATH|SERVICE")]
    place: Option<String>,
    /// Name of the repository, as in `from OneNB.i.NAME`; the folder's name if absent
    #[arg(long)]
    name: Option<String>,
    /// Leave Git's hooks alone
    #[arg(long)]
    no_hooks: bool,
    #[command(flatten)]
    cloud: CloudArgs,
}

/// Options of `init cloud`.
#[derive(Debug, clap::Args)]
struct CloudArgs {
    /// Bucket, or Azure container
    #[arg(long)]
    bucket: Option<String>,
    /// Prefix of all keys in the bucket
    #[arg(long, value_name = "PREFIX")]
    key_prefix: Option<String>,
    /// Credential profile, kept in your own configuration
    #[arg(long)]
    profile: Option<String>,
    /// Endpoint of an S3 look-alike or of an Azure account
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Region of the bucket
    #[arg(long)]
    region: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Backend {
    /// Nowhere: data stays on this machine
    Local,
    /// A directory, perhaps on a network drive
    Dir,
    /// A bucket in the cloud
    Cloud,
}

pub(super) fn run(args: &Args, ctx: &Context) -> Result<Exit, Failure> {
    if let Some(name) = &args.name {
        check_repo_name(name).map_err(Error::from)?;
    }
    let options = InitOptions {
        name: args.name.clone(),
        storage: storage(args)?,
        profile: args.cloud.profile.clone(),
        no_hooks: args.no_hooks,
    };
    let report = Repo::init(ctx.dir(), &host::environment(), &options)?;
    let body =
        Initialised { name: &report.name, storage: &report.storage, staged: &report.staged, hooks: &report.hooks };
    ctx.conclude(&document(body), || format!("initialised `{}`, data goes to {}", report.name, report.storage))?;
    for path in &report.staged {
        ctx.talk.note(&format!("staged {path}"));
    }
    if !report.hooks.is_empty() {
        ctx.talk.note(&format!("hooks installed: {}", report.hooks.join(", ")));
    } else if !args.no_hooks {
        ctx.talk.warn("no hooks: Git runs none here, or files are in the way; `onenb hooks install` says which");
    }
    ctx.talk.note("next: `git commit -m 'set up onenb'`, then export from a notebook or with `onenb export NAME FILE`");
    Ok(Exit::Success)
}

/// Works out where data goes, or refuses the combination.
fn storage(args: &Args) -> Result<Option<StorageConfig>> {
    if args.backend != Backend::Cloud
        && let Some(option) = args.cloud.first_given()
    {
        return Err(usage(format!("`{option}` belongs to `onenb init cloud`"), "init"));
    }
    match (args.backend, args.place.as_deref()) {
        (Backend::Local, None) => Ok(None),
        (Backend::Local, Some(place)) => Err(usage(format!("`local` takes no place, found `{place}`"), "init")),
        (Backend::Dir, None) => Err(usage("`dir` needs the directory, as in `onenb init dir /srv/data`", "init")),
        (Backend::Dir, Some(directory)) => Ok(Some(StorageConfig::new(directory_url(directory)?))),
        (Backend::Cloud, service) => cloud(service, &args.cloud).map(Some),
    }
}

fn cloud(service: Option<&str>, args: &CloudArgs) -> Result<StorageConfig> {
    let scheme = match service {
        Some("s3") => "s3",
        Some("gcp") => "gs",
        Some("azure") => "az",
        _ => return Err(usage("`cloud` needs a service: s3, gcp or azure", "init")),
    };
    let Some(bucket) = &args.bucket else {
        return Err(usage("managed storage comes with the hub; give --bucket", "init"));
    };
    let prefix = args.key_prefix.as_deref().unwrap_or_default().trim_matches('/');
    let url = if prefix.is_empty() { format!("{scheme}://{bucket}") } else { format!("{scheme}://{bucket}/{prefix}") };
    Ok(StorageConfig { url, endpoint_url: args.endpoint_url.clone(), region: args.region.clone() })
}

impl CloudArgs {
    fn first_given(&self) -> Option<&'static str> {
        let options = [
            (&self.bucket, "--bucket"),
            (&self.key_prefix, "--key-prefix"),
            (&self.profile, "--profile"),
            (&self.endpoint_url, "--endpoint-url"),
            (&self.region, "--region"),
        ];
        options.into_iter().find(|(value, _)| value.is_some()).map(|(_, name)| name)
    }
}
