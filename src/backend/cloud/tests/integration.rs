//! The client's own integration suite, through our connector and settings, against the servers of the tests.
//!
//! Left out, because nothing of ours asks for it: multipart uploads, copies, renames, attributes. Left out for one
//! provider:
//! - Azure: offsets of listings, and the part that ends with them. Azure begins with the offset itself; we leave it
//!   out.
//! - GCS: conditional reads and old versions, of which the emulator knows nothing, nor do we ask for any.

use object_store::integration as suite;
use object_store::path::Path as StorePath;

use super::super::{runtime, stores};
use super::*;

/// Runs what every provider passes, and `more`.
fn run(scheme: &str, options: &CloudOptions, more: impl AsyncFnOnce(&dyn Store)) {
    let store = &*stores::open(scheme, BUCKET, options).expect("opens");
    let all = async {
        suite::put_opts(store, true).await;
        suite::list_uses_directories_correctly(store).await;
        suite::list_with_delimiter(store).await;
        suite::list_paginated(store, store).await;
        let absent = StorePath::from("absent");
        let error = suite::get_nonexistent_object(store, Some(absent)).await.expect_err("is absent");
        assert!(matches!(error, object_store::Error::NotFound { .. }), "{error}");
        more(store).await;
    };
    runtime(std::process::id()).expect("starts").block_on(all);
}

#[test]
fn s3_passes() {
    let Some(server) = Server::start() else { return };
    run("s3", &options(&server.address), async |store| {
        suite::put_get_delete_list(store).await;
        suite::list_with_offset_exclusivity(store).await;
        suite::get_opts(store).await;
    });
}

#[test]
fn google_cloud_storage_passes() {
    let Some(server) = Server::run("gcs_server.py") else { return };
    server.make_bucket();
    run("gs", &options_with(&server.address, &[("GOOGLE_SERVICE_ACCOUNT_KEY", GCS_KEY)]), async |store| {
        suite::put_get_delete_list(store).await;
        suite::list_with_offset_exclusivity(store).await;
    });
}

#[test]
fn azure_passes() {
    let Some(server) = Server::run("azure_server.py") else { return };
    run("az", &options_with(&server.address, &[("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY)]), async |store| {
        suite::get_opts(store).await;
    });
}
