//! How patient one request is: with a connection, with an answer, with a slow line.
//!
//! The client below repeats what failed, but a request that hangs must fail first, and a machine that is not there is
//! no reason to try for minutes.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};
use thiserror::Error;

/// How often a connection is tried.
const CONNECT_TRIES: u32 = 3;
/// First pause between such tries; it doubles.
const CONNECT_PAUSE: Duration = Duration::from_millis(300);
/// For so long an answer may take to begin.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// The slowest line on which bytes are still under way and not stuck: one Mbit/s.
const SLOWEST: u64 = 128 * 1024;
/// How many uploads share a line.
const UPLOADS: u64 = 4;

/// An answer did not come in time.
#[derive(Debug, Error)]
#[error("no answer within {} seconds", .0.as_secs())]
pub(super) struct Stalled(pub(super) Duration);

/// Returns how long a request may take that moves so many bytes.
fn time_for(bytes: u64) -> Duration {
    ANSWER_TIMEOUT + Duration::from_secs(bytes / SLOWEST)
}

/// Waits for something that moves so many bytes, but not for ever.
pub(super) async fn in_time<T>(bytes: u64, work: impl Future<Output = T>) -> Result<T, Stalled> {
    within(time_for(bytes), work).await
}

async fn within<T>(time: Duration, work: impl Future<Output = T>) -> Result<T, Stalled> {
    tokio::time::timeout(time, work).await.map_err(|_| Stalled(time))
}

/// Makes clients that give up in time.
#[derive(Debug)]
pub(super) struct Connector;

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Patient { client, time_for }))
    }
}

#[derive(Debug)]
struct Patient {
    client: HttpClient,
    time_for: fn(u64) -> Duration,
}

impl Patient {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let time = (self.time_for)(request.body().content_length() as u64 * UPLOADS);
        let mut pause = CONNECT_PAUSE;
        for left in (0..CONNECT_TRIES).rev() {
            let error = match within(time, self.client.execute(request.clone())).await {
                Ok(Err(error)) if is_about_connecting(&error) => error,
                Ok(answer) => return answer,
                Err(stalled) => return Err(HttpError::new(HttpErrorKind::Timeout, stalled)),
            };
            if left == 0 {
                // Of another kind, so that the client above does not go on trying.
                let error = HttpError::new(HttpErrorKind::Connect, error);
                return Err(HttpError::new(HttpErrorKind::Unknown, error));
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        unreachable!("the last try returns")
    }
}

/// Returns whether no connection came about; to the client above one that took too long is a timeout like any other.
fn is_about_connecting(error: &HttpError) -> bool {
    let mut causes = super::errors::causes(error);
    error.kind() == HttpErrorKind::Connect
        || causes.any(|cause| cause.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_connect))
}

impl HttpService for Patient {
    fn call<'a, 'b>(
        &'a self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.send(request))
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn ask(address: &str, time_for: fn(u64) -> Duration) -> HttpError {
        let runtime = crate::backend::cloud::runtime(std::process::id()).expect("starts");
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = ClientOptions::new().with_allow_http(true);
        let client = ReqwestConnector::default().connect(&options).expect("connects nothing yet");
        let mut request = HttpRequest::new(object_store::client::HttpRequestBody::empty());
        *request.uri_mut() = format!("http://{address}/x").parse().expect("a URI");
        runtime.block_on(Patient { client, time_for }.send(request)).expect_err("fails")
    }

    #[test]
    fn an_answer_that_never_comes_is_a_timeout_which_is_tried_again() {
        // Connections are taken by the system and never answered.
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = listener.local_addr().expect("an address").to_string();
        assert_eq!(ask(&address, |_| Duration::from_millis(20)).kind(), HttpErrorKind::Timeout);
    }

    #[test]
    fn a_machine_that_is_not_there_is_given_up_soon() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
        let address = listener.local_addr().expect("an address").to_string();
        drop(listener);
        let error = ask(&address, time_for);
        assert_eq!(error.kind(), HttpErrorKind::Unknown, "which is not tried again");
        let mut causes = super::super::errors::causes(&error).filter_map(|cause| cause.downcast_ref::<HttpError>());
        assert!(causes.any(|cause| cause.kind() == HttpErrorKind::Connect), "{error:?}");
    }

    #[test]
    fn what_moves_more_bytes_may_take_longer_and_questions_are_tried_again_before_the_deadline() {
        use super::super::stores::{REQUEST_TIMEOUT, RETRY_DEADLINE};
        assert_eq!(time_for(0), ANSWER_TIMEOUT);
        assert!(time_for(8 * 1024 * 1024) < RETRY_DEADLINE, "the largest range");
        // The largest packs, all at once over one slow line.
        assert!(time_for(UPLOADS * 16 * 1024 * 1024) < REQUEST_TIMEOUT);
    }
}
