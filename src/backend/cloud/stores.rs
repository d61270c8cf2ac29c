//! Clients of the three providers, made from what the user's machine says.
//!
//! A repository's configuration contributes bucket, endpoint and region, all approved by the user; everything else
//! comes from the user's own environment and files.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};

use super::http::Connector;
use super::profile::{self, Source};
use super::renewed::Renewed;
use super::{CloudContext, CloudOptions, Store};
use crate::backend::BackendError;
use crate::format::config::check_region;

/// A request that takes longer has failed; four packs of 16 MiB then still pass at once over a line of one Mbit/s.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_mins(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// After this no request is tried again; longer than any single question, so that one that hung is.
pub(super) const RETRY_DEADLINE: Duration = Duration::from_mins(3);
/// With pauses that grow from half a second, a store that asks for patience gets about 40 seconds of it.
const MAX_RETRIES: usize = 16;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Where machines in Amazon's cloud get credentials.
const METADATA_SERVICE: ([u8; 4], u16) = ([169, 254, 169, 254], 80);
const METADATA_TIMEOUT: Duration = Duration::from_millis(300);

/// Makes the client of a bucket.
pub(super) fn open(scheme: &str, bucket: &str, options: &CloudOptions) -> Result<Arc<dyn Store>, BackendError> {
    // Another part of the program may have chosen a provider before; any will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let options = &CloudOptions { context: plain_variables(scheme, &options.context)?, ..options.clone() };
    match scheme {
        "s3" => s3(bucket, options),
        "gs" => gcs(bucket, options),
        _ => azure(bucket, options),
    }
}

/// Trims the provider's variables, which end with a line break if a file was read into them, and refuses other control
/// characters: they become parts of headers.
fn plain_variables(scheme: &str, context: &CloudContext) -> Result<CloudContext, BackendError> {
    let prefix = match scheme {
        "s3" => "AWS_",
        "gs" => "GOOGLE_",
        _ => "AZURE_",
    };
    let mut context = context.clone();
    for (name, value) in context.vars.iter_mut().filter(|(name, _)| name.starts_with(prefix)) {
        *value = value.trim().to_owned();
        // A key as JSON has lines.
        if value.chars().any(char::is_control) && !value.starts_with('{') {
            let reason = format!("the variable `{name}` has a line break or another control character in it");
            return Err(BackendError::NoCredentials { reason });
        }
    }
    Ok(context)
}

/// Refuses endpoints that would send requests in the clear, or that carry credentials or a query.
///
/// # Errors
/// [`BackendError::BadUrl`], without the secret.
pub fn check_endpoint(endpoint: &str, allow_http: bool) -> Result<(), BackendError> {
    let refuse = |text: &str, reason| {
        // What may hold a secret is not repeated.
        let text = if text.contains(['@', '?']) { "…" } else { text }.to_owned();
        Err(BackendError::BadUrl { text, reason })
    };
    let Some((scheme, rest)) = endpoint.split_once("://") else {
        return refuse(endpoint, "an endpoint starts with `https://`");
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return refuse(&format!("{scheme}://…"), "credentials do not belong in an endpoint");
    }
    if authority.is_empty() || rest.contains(['?', '#']) || rest.chars().any(|c| c.is_control() || c == ' ') {
        return refuse(endpoint.split('?').next().unwrap_or_default(), "an endpoint is a host and perhaps a path");
    }
    match scheme {
        "https" => Ok(()),
        "http" if allow_http || is_loopback(authority) => Ok(()),
        "http" => refuse(
            endpoint,
            "data and signatures would travel in the clear; list it under `allow_http` in your own configuration if you mean it",
        ),
        _ => refuse(endpoint, "an endpoint starts with `https://`"),
    }
}

pub(super) fn is_loopback(authority: &str) -> bool {
    let host = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn client_options(endpoint: Option<&str>) -> ClientOptions {
    ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")))
}

fn retries() -> RetryConfig {
    let backoff = BackoffConfig { init_backoff: FIRST_PAUSE, ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: MAX_RETRIES, retry_timeout: RETRY_DEADLINE }
}

/// Takes a client whose making reads files and parses keys; what goes wrong there is about credentials.
fn made<S: Store + 'static>(what: &str, built: Result<S, object_store::Error>) -> Result<Arc<dyn Store>, BackendError> {
    match built {
        Ok(store) => Ok(Arc::new(store)),
        // The cause may quote a key file, so it is not shown.
        Err(_) => Err(BackendError::NoCredentials {
            reason: format!("{what}'s settings or credentials on this machine are incomplete or malformed"),
        }),
    }
}

fn s3(bucket: &str, options: &CloudOptions) -> Result<Arc<dyn Store>, BackendError> {
    let vars = &options.context.vars;
    let profile = profile::find(options)?;
    let mut builder =
        AmazonS3Builder::new().with_bucket_name(bucket).with_retry(retries()).with_http_connector(Connector);
    for (name, value) in vars {
        // Keys of a profile that the user chose for this remote count for more than those lying around.
        let is_key = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"].contains(&name.as_str());
        if is_key && profile.source != Source::Environment {
            continue;
        }
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    let region = options.region.as_ref().or_else(|| vars.get("AWS_REGION")).or_else(|| vars.get("AWS_DEFAULT_REGION"));
    if let Some(region) = region.or(profile.region.as_ref()) {
        let refused = |_| BackendError::BadUrl {
            text: region.clone(),
            reason: "a region has 1 to 64 lower-case letters, digits or `-`",
        };
        check_region(region).map_err(refused)?;
        builder = builder.with_region(region);
    }
    let from_user = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].iter().find_map(|name| vars.get(*name));
    let endpoint = options.endpoint_url.as_ref().or(from_user).or(profile.endpoint_url.as_ref());
    if let Some(endpoint) = endpoint {
        check_endpoint(endpoint, options.allow_http || vars.get("AWS_ALLOW_HTTP").is_some_and(|it| it == "true"))?;
        // The variable for S3 alone would win over what the user approved.
        builder = builder.with_endpoint(endpoint).with_config(AmazonS3ConfigKey::S3Endpoint, endpoint);
    }
    builder = builder.with_client_options(client_options(endpoint.map(String::as_str)));
    match profile.source {
        Source::Environment => {}
        Source::Keys(keys) => {
            builder = builder.with_access_key_id(keys.key_id).with_secret_access_key(keys.secret_key);
            builder = if let Some(token) = keys.token { builder.with_token(token) } else { builder };
        }
        Source::Container(agent) => builder = builder.with_credentials(Arc::new(Renewed::new(agent))),
        Source::Program(program) => builder = builder.with_credentials(Arc::new(Renewed::new(program))),
        Source::None => need_metadata_service()?,
    }
    made("S3", builder.build())
}

/// Without any other credentials only a machine in Amazon's cloud has some; elsewhere asking would take a minute to
/// fail.
fn need_metadata_service() -> Result<(), BackendError> {
    TcpStream::connect_timeout(&SocketAddr::from(METADATA_SERVICE), METADATA_TIMEOUT).map(drop).map_err(|_| {
        BackendError::NoCredentials {
            reason: "there are no AWS credentials: no variables, no profile, no role of the machine".to_owned(),
        }
    })
}

fn gcs(bucket: &str, options: &CloudOptions) -> Result<Arc<dyn Store>, BackendError> {
    let mut builder =
        GoogleCloudStorageBuilder::new().with_bucket_name(bucket).with_retry(retries()).with_http_connector(Connector);
    for (name, value) in &options.context.vars {
        if name == "GOOGLE_APPLICATION_CREDENTIALS" {
            builder = builder.with_application_credentials(value);
        } else if let Ok(key) = name.to_ascii_lowercase().parse::<GoogleConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(endpoint) = &options.endpoint_url {
        check_endpoint(endpoint, options.allow_http)?;
        builder = builder.with_base_url(endpoint);
    }
    builder = builder.with_client_options(client_options(options.endpoint_url.as_deref()));
    made("Google Cloud Storage", builder.build())
}

fn azure(container: &str, options: &CloudOptions) -> Result<Arc<dyn Store>, BackendError> {
    let vars = &options.context.vars;
    let mut builder = MicrosoftAzureBuilder::new()
        .with_container_name(container)
        .with_retry(retries())
        .with_http_connector(Connector);
    for (name, value) in vars {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AzureConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(name) = vars.get("AZURE_STORAGE_ACCOUNT") {
        builder = builder.with_account(name);
    }
    if let Some(key) = vars.get("AZURE_STORAGE_KEY") {
        builder = builder.with_access_key(key);
    }
    if let Some(endpoint) = &options.endpoint_url {
        check_endpoint(endpoint, options.allow_http)?;
        builder = builder.with_endpoint(endpoint.clone());
        if let Some(account) = account_of(endpoint) {
            builder = builder.with_account(account);
        }
    }
    let has = |names: &[&str]| names.iter().any(|name| vars.contains_key(*name));
    if !has(&["AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"])
        && !has(&["AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT", "AZURE_MSI_ENDPOINT"])
        && !has(&["AZURE_STORAGE_CLIENT_SECRET", "AZURE_STORAGE_TOKEN"])
    {
        builder = builder.with_use_azure_cli(true);
    }
    builder = builder.with_client_options(client_options(options.endpoint_url.as_deref()));
    made("Azure", builder.build())
}

/// Returns the account that an endpoint of Azure names: the first label of its host, or the path of an emulator.
fn account_of(endpoint: &str) -> Option<&str> {
    let (authority, path) =
        endpoint.split_once("://")?.1.split_once('/').unwrap_or((endpoint.split_once("://")?.1, ""));
    let from_path = path.split('/').next().filter(|part| !part.is_empty());
    from_path.or_else(|| authority.split_once('.').map(|(label, _)| label).filter(|_| !is_loopback(authority)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_encrypted_or_on_this_machine() {
        for good in ["https://minio.example", "http://127.0.0.1:9000", "http://[::1]:9000/x", "http://localhost"] {
            assert!(check_endpoint(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://minio.example",
            "http://localhost.example",
            "ftp://x",
            "minio",
            "https://",
            "https://h/?sig=1",
            "https://a b",
        ] {
            assert!(check_endpoint(bad, false).is_err(), "{bad}");
        }
        assert!(check_endpoint("http://minio.example", true).is_ok());
        for secret in
            ["https://key:hunter2@host", "key:hunter2@host", "https:key:hunter2@host", "https:/key:hunter2@host"]
        {
            let refused = check_endpoint(secret, true).expect_err("refused");
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
    }

    #[test]
    fn the_endpoint_names_the_account() {
        assert_eq!(account_of("https://acme.blob.core.windows.net"), Some("acme"));
        assert_eq!(account_of("http://127.0.0.1:10000/devstoreaccount1"), Some("devstoreaccount1"));
        assert_eq!(account_of("http://127.0.0.1:10000"), None);
    }
}
