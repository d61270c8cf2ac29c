//! Credentials that a container's agent hands out: `AWS_CONTAINER_CREDENTIALS_FULL_URI`, with a token or without.
//!
//! The client itself knows only the kind whose token is in a file (`AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`).

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use object_store::aws::AwsCredential;
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody};
use object_store::{ClientOptions, CredentialProvider};

use super::http::Connector;
use super::profile::KEEP;
use super::stores::is_loopback;

/// Addresses of the agents of Amazon's own container services, asked without TLS.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// Asks an agent, and again before what it gave expires.
pub(super) struct ContainerCredentials {
    uri: String,
    token: Option<String>,
    kept: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl std::fmt::Debug for ContainerCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContainerCredentials").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl PartialEq for ContainerCredentials {
    fn eq(&self, other: &Self) -> bool {
        (&self.uri, &self.token) == (&other.uri, &other.token)
    }
}

/// What went wrong, in the words of the client; the answer itself is never part of it.
fn failed(uri: &str, reason: &str) -> object_store::Error {
    let source = format!("the container's credentials at {uri} could not be had: {reason}").into();
    object_store::Error::Unauthenticated { path: String::new(), source }
}

impl ContainerCredentials {
    pub(super) fn new(uri: &str, token: Option<&String>) -> Self {
        Self { uri: uri.to_owned(), token: token.cloned(), kept: Mutex::new(None) }
    }

    /// Returns whether an agent may be asked: over TLS, on this machine, or at one of Amazon's addresses.
    fn is_trusted(&self) -> bool {
        let Some((scheme, rest)) = self.uri.split_once("://") else { return false };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let is_agent = |agent: &&str| authority == *agent || authority.strip_prefix(*agent) == Some(":80");
        scheme == "https" || scheme == "http" && (is_loopback(authority) || AGENTS.iter().any(is_agent))
    }

    fn kept(&self) -> Option<Arc<AwsCredential>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(since, _)| since.elapsed() < KEEP).map(|(_, credential)| Arc::clone(credential))
    }

    async fn current(&self) -> Result<Arc<AwsCredential>, object_store::Error> {
        if let Some(credential) = self.kept() {
            return Ok(credential);
        }
        let failed = |reason: &str| failed(&self.uri, reason);
        if !self.is_trusted() {
            return Err(failed("it is neither this machine, nor Amazon's agent, nor encrypted"));
        }
        let client: HttpClient = Connector.connect(&ClientOptions::new().with_allow_http(true))?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() = self.uri.parse().map_err(|_| failed("it is no URL"))?;
        if let Some(token) = &self.token {
            let value = token.parse().map_err(|_| failed("the token has odd characters"))?;
            request.headers_mut().insert("authorization", value);
        }
        let answer = client.execute(request).await.map_err(|_| failed("nobody answers"))?;
        if !answer.status().is_success() {
            return Err(failed(answer.status().as_str()));
        }
        let body = answer.into_body().bytes().await.map_err(|_| failed("the answer broke off"))?;
        let json: serde_json::Value = serde_json::from_slice(&body).map_err(|_| failed("the answer is no JSON"))?;
        let text = |key: &str| json.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
        let (Some(key_id), Some(secret_key)) = (text("AccessKeyId"), text("SecretAccessKey")) else {
            return Err(failed("the answer has no keys"));
        };
        let credential = Arc::new(AwsCredential { key_id, secret_key, token: text("Token") });
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&credential)));
        Ok(credential)
    }
}

impl CredentialProvider for ContainerCredentials {
    type Credential = AwsCredential;

    fn get_credential<'a, 'b>(
        &'a self,
    ) -> Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'b>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.current())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_agents_that_may_be_trusted_are_asked() {
        for good in ["http://localhost:8080/x", "http://169.254.170.2/v2", "http://[fd00:ec2::23]/v1", "https://h/x"] {
            assert!(ContainerCredentials::new(good, None).is_trusted(), "{good}");
        }
        for bad in ["http://evil.example/x", "http://169.254.170.2.evil.example/x", "x", "file:///x"] {
            assert!(!ContainerCredentials::new(bad, None).is_trusted(), "{bad}");
        }
    }
}
