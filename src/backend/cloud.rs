//! A backend in a bucket: S3 and its look-alikes, Google Cloud Storage, Azure.
//!
//! - One call is one request, blocking; retries with backoff and a deadline happen below, and no request hangs for
//!   long. Their async runtime lives in this module alone, one for the process, made anew in a forked child.
//! - Whether a create took effect may be unknown after a lost answer or a conflict: the object is looked for, and only
//!   if it is not there the create is repeated.
//! - Nothing here reads the environment or the terminal: [`CloudContext`] brings what the user's machine says.
//!   Credentials are held in memory and never part of an error, a log or a URL.
//! - This module is the only one that names `object_store`, `tokio` and `rustls`.

mod container;
mod errors;
mod http;
mod profile;
mod renewed;
mod stores;

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use object_store::list::{PaginatedListOptions, PaginatedListStore};
use object_store::path::Path as StorePath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use tokio::runtime::Runtime;

use super::{Backend, BackendError, Created, Entry, Key};
use errors::Failed;
pub use stores::check_endpoint;

/// Most keys of one page of a listing; all providers agree on it.
const PAGE_LEN: usize = 1000;
/// How often a create is tried whose effect stays unknown.
const CREATE_TRIES: u32 = 5;
/// First pause between such tries; it doubles.
const CREATE_PAUSE: Duration = Duration::from_millis(50);
/// How often a read is tried whose answer breaks off.
const READ_TRIES: u32 = 4;
/// Threads that wait for the network.
const RUNTIME_THREADS: usize = 2;

/// What the machine and its user say about clouds: environment variables of the providers' own tools, and where their
/// files are. `Debug` shows no value, because some are secrets.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CloudContext {
    /// Environment variables whose names start with `AWS_`, `AZURE_` or `GOOGLE_`.
    pub vars: BTreeMap<String, String>,
    /// The home directory.
    pub home: Option<PathBuf>,
}

impl CloudContext {
    /// Returns what the environment says of the place that a URL means: endpoints, accounts, profiles. No secrets.
    #[must_use]
    pub fn whereabouts(&self) -> String {
        let says_where = |name: &str| ["ENDPOINT", "ACCOUNT", "PROFILE"].iter().any(|word| name.contains(word));
        let is_secret = |name: &str| ["KEY", "TOKEN", "SECRET"].iter().any(|word| name.contains(word));
        let vars = self.vars.iter().filter(|(name, _)| says_where(name) && !is_secret(name));
        let words: Vec<_> = vars.flat_map(|(name, value)| [name.as_str(), "=", value, "\n"]).collect();
        words.concat()
    }
}

impl std::fmt::Debug for CloudContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CloudContext").field("vars", &self.vars.keys()).field("home", &self.home).finish()
    }
}

/// How a bucket is opened, besides its URL.
#[derive(Debug, Clone, Default)]
pub struct CloudOptions {
    /// Endpoint of an S3 look-alike, or of an Azure account.
    pub endpoint_url: Option<String>,
    /// Region of the bucket.
    pub region: Option<String>,
    /// Credential profile of the provider's own tools.
    pub profile: Option<String>,
    /// Whether the user allows this endpoint without TLS although it is not on this machine.
    pub allow_http: bool,
    /// The machine.
    pub context: CloudContext,
}

/// What a provider's client must do for us.
pub(super) trait Store: ObjectStore + PaginatedListStore {}
impl<S: ObjectStore + PaginatedListStore> Store for S {}

/// A bucket, or a prefix inside one.
#[derive(Debug)]
pub(super) struct CloudBackend {
    scheme: &'static str,
    bucket: String,
    prefix: String,
    options: CloudOptions,
    driver: Mutex<Option<Driver>>,
}

/// A client with the runtime that moves its bytes, both of one process.
#[derive(Debug, Clone)]
struct Driver {
    process: u32,
    store: Arc<dyn Store>,
    runtime: Arc<Runtime>,
}

impl CloudBackend {
    /// Prepares a bucket. Nothing is requested and no credential is looked for before the first request.
    ///
    /// # Errors
    /// [`BackendError::BadUrl`] for an endpoint that may not be used.
    pub(super) fn new(
        scheme: &'static str,
        bucket: &str,
        prefix: &str,
        options: &CloudOptions,
    ) -> Result<Self, BackendError> {
        if let Some(endpoint) = &options.endpoint_url {
            stores::check_endpoint(endpoint, options.allow_http)?;
        }
        if !prefix.is_empty() {
            Key::parse(prefix)?;
        }
        Key::parse(bucket)?;
        let (bucket, prefix, options) = (bucket.to_owned(), prefix.to_owned(), options.clone());
        Ok(Self { scheme, bucket, prefix, options, driver: Mutex::new(None) })
    }

    fn driver(&self) -> Result<Driver, BackendError> {
        let mut slot = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let process = std::process::id();
        if let Some(driver) = slot.as_ref().filter(|driver| driver.process == process) {
            return Ok(driver.clone());
        }
        // Threads and connections of a parent do not exist in a forked child, where ending them would wait for ever.
        std::mem::forget(slot.take());
        let runtime = runtime(process).map_err(|source| BackendError::Io {
            doing: "start the network threads for",
            key: self.key_of_bucket(),
            source,
        })?;
        let store = stores::open(self.scheme, &self.bucket, &self.options)?;
        let driver = Driver { process, store, runtime };
        *slot = Some(driver.clone());
        Ok(driver)
    }

    /// Runs one request to its end on the runtime's threads, so that a caller may itself be inside some runtime.
    fn run<T, F>(
        &self,
        request: impl FnOnce(Arc<dyn Store>) -> F,
    ) -> Result<Result<T, object_store::Error>, BackendError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, object_store::Error>> + Send + 'static,
    {
        let driver = self.driver()?;
        let (sender, receiver) = mpsc::sync_channel(1);
        let request = request(Arc::clone(&driver.store));
        driver.runtime.spawn(async move {
            // Nobody waits any more if the receiver is gone.
            let _ = sender.send(request.await);
        });
        receiver.recv().map_err(|_| BackendError::Io {
            doing: "ask",
            key: self.key_of_bucket(),
            source: std::io::Error::other("a network thread ended"),
        })
    }

    /// Runs a request that reads, again if its answer breaks off in the middle: below us only what failed before an
    /// answer began is repeated.
    fn ask<T, F>(&self, request: impl Fn(Arc<dyn Store>) -> F) -> Result<Result<T, object_store::Error>, BackendError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, object_store::Error>> + Send + 'static,
    {
        for _ in 1..READ_TRIES {
            match self.run(&request)? {
                Err(error) if errors::broke_off(&error) => {}
                answer => return Ok(answer),
            }
        }
        self.run(&request)
    }

    fn path_of(&self, key: &Key) -> StorePath {
        let text = if self.prefix.is_empty() { key.to_string() } else { format!("{}/{key}", self.prefix) };
        StorePath::parse(text).expect("keys are stricter than the paths of object stores")
    }

    fn key_of_bucket(&self) -> Key {
        Key::parse(&self.bucket).expect("the name of the bucket was checked")
    }

    /// Turns the path of a listed object into a key; a stranger's object below our prefix has none.
    fn key_of(&self, path: &StorePath) -> Option<Key> {
        let text = path.as_ref();
        let rest = if self.prefix.is_empty() { text } else { text.strip_prefix(&self.prefix)?.strip_prefix('/')? };
        Key::parse(rest).ok()
    }

    fn failed(&self, doing: &'static str, key: &Key) -> impl FnOnce(object_store::Error) -> BackendError {
        let failed = Failed { doing, key: key.clone(), bucket: format!("{}://{}", self.scheme, self.bucket) };
        move |error| failed.into_error(&error)
    }

    /// Returns which bytes there are, and them unless they are more than `max_len`.
    fn get_with(
        &self,
        key: &Key,
        options: &GetOptions,
        max_len: u64,
    ) -> Result<(Range<u64>, Option<Vec<u8>>), BackendError> {
        let path = self.path_of(key);
        let answer = self.ask(|store| {
            let (path, options) = (path.clone(), options.clone());
            async move {
                let found = store.get_opts(&path, options).await?;
                let range = found.range.clone();
                let fits = range.end.saturating_sub(range.start) <= max_len;
                if !fits {
                    return Ok((range, None));
                }
                let bytes = http::in_time(range.end - range.start, found.bytes()).await;
                let stalled = |stalled| object_store::Error::Generic { store: "remote", source: Box::new(stalled) };
                Ok((range, Some(Vec::from(bytes.map_err(stalled)??))))
            }
        })?;
        answer.map_err(self.failed("read", key))
    }
}

impl Backend for CloudBackend {
    fn get(&self, key: &Key, max_len: u64) -> Result<Vec<u8>, BackendError> {
        let (_, bytes) = self.get_with(key, &GetOptions::default(), max_len)?;
        bytes.ok_or_else(|| BackendError::TooLong { key: key.clone(), max_len })
    }

    fn get_range(&self, key: &Key, range: Range<u64>) -> Result<Vec<u8>, BackendError> {
        if range.is_empty() {
            return Ok(vec![]);
        }
        let len = range.end - range.start;
        let options = GetOptions { range: Some(GetRange::Bounded(range.clone())), ..GetOptions::default() };
        let (found, bytes) = self.get_with(key, &options, len).map_err(|error| match error {
            BackendError::OutOfRange { key } => BackendError::Truncated { key, end: range.end },
            other => other,
        })?;
        let whole = bytes.filter(|bytes| found == range && bytes.len() as u64 == len);
        whole.ok_or_else(|| BackendError::Truncated { key: key.clone(), end: range.end })
    }

    fn put(&self, key: &Key, bytes: Vec<u8>) -> Result<(), BackendError> {
        let (path, payload) = (self.path_of(key), PutPayload::from(bytes));
        self.run(|store| async move { store.put_opts(&path, payload, PutOptions::default()).await })?
            .map(drop)
            .map_err(self.failed("write", key))
    }

    fn create(&self, key: &Key, bytes: &[u8]) -> Result<Created, BackendError> {
        let payload = PutPayload::from(bytes.to_vec());
        let mut pause = CREATE_PAUSE;
        for left in (0..CREATE_TRIES).rev() {
            let (path, payload) = (self.path_of(key), payload.clone());
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let answer = self.run(|store| async move { store.put_opts(&path, payload, options).await })?;
            let error = match answer {
                Ok(_) => return Ok(Created::Created),
                Err(error) if errors::leaves_effect_unknown(&error) => error,
                Err(error) => return Err(self.failed("create", key)(error)),
            };
            // A conflict of two creators may be answered before either has won.
            if self.head(key)?.is_some() {
                return Ok(Created::AlreadyExists);
            }
            if left == 0 {
                return Err(self.failed("create", key)(error));
            }
            std::thread::sleep(pause);
            pause *= 2;
        }
        unreachable!("the last try returns")
    }

    fn list(&self, folder: &Key, start_after: Option<&Key>, limit: usize) -> Result<Vec<Entry>, BackendError> {
        let prefix = format!("{}/", self.path_of(folder));
        let offset = start_after.map(|after| self.path_of(after).to_string());
        let (mut entries, mut page_token): (Vec<Entry>, _) = (vec![], None);
        while entries.len() < limit {
            let options = PaginatedListOptions {
                offset: offset.clone(),
                max_keys: Some((limit - entries.len()).min(PAGE_LEN)),
                page_token: page_token.take(),
                ..PaginatedListOptions::default()
            };
            let page = self
                .ask(|store| {
                    let (prefix, options) = (prefix.clone(), options.clone());
                    async move { store.list_paginated(Some(&prefix), options).await }
                })?
                .map_err(self.failed("list", folder))?;
            let objects = page.result.objects.into_iter();
            let found = objects.filter_map(|meta| Some(Entry { key: self.key_of(&meta.location)?, len: meta.size }));
            // Not every look-alike knows where to start, and some ignore it; what comes before does not fill the page.
            entries.extend(
                found.filter(|entry| entry.key.is_below(folder) && start_after.is_none_or(|after| entry.key > *after)),
            );
            page_token = page.page_token;
            if page_token.is_none() {
                break;
            }
        }
        entries.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        entries.truncate(limit);
        Ok(entries)
    }

    fn delete(&self, key: &Key) -> Result<(), BackendError> {
        let path = self.path_of(key);
        match self.run(|store| async move { store.delete(&path).await })? {
            Err(object_store::Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(self.failed("delete", key)(error)),
        }
    }

    fn head(&self, key: &Key) -> Result<Option<u64>, BackendError> {
        let path = self.path_of(key);
        let answer = self.run(|store| async move { store.head(&path).await })?;
        match answer.map_err(self.failed("look for", key)) {
            Ok(meta) => Ok(Some(meta.size)),
            Err(BackendError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Returns the one runtime of this process.
fn runtime(process: u32) -> std::io::Result<Arc<Runtime>> {
    static RUNTIME: Mutex<Option<(u32, Arc<Runtime>)>> = Mutex::new(None);
    let mut slot = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, runtime)) = slot.as_ref().filter(|(owner, _)| *owner == process) {
        return Ok(Arc::clone(runtime));
    }
    // See `CloudBackend::driver`: a parent's runtime is not ended here.
    std::mem::forget(slot.take());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("onenb-net")
        .enable_all()
        .build()?;
    let runtime = Arc::new(runtime);
    *slot = Some((process, Arc::clone(&runtime)));
    Ok(runtime)
}

#[cfg(test)]
mod tests;
