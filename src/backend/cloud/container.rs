//! Credentials that a container's agent hands out: `AWS_CONTAINER_CREDENTIALS_FULL_URI`, with a token or without.
//!
//! The client itself knows only the kind whose token is in a file (`AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE`).

use object_store::ClientOptions;
use object_store::aws::AwsCredential;
use object_store::client::{HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody};

use super::http::Connector;
use super::renewed::{Issuer, keys_in};
use super::stores::is_loopback;

/// Addresses of the agents of Amazon's own container services, asked without TLS.
const AGENTS: [&str; 3] = ["169.254.170.2", "169.254.170.23", "[fd00:ec2::23]"];

/// An agent.
#[derive(PartialEq, Eq)]
pub(super) struct ContainerAgent {
    uri: String,
    token: Option<String>,
}

impl std::fmt::Debug for ContainerAgent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContainerAgent").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// What went wrong, in the words of the client; the answer itself is never part of it.
fn failed(uri: &str, reason: &str) -> object_store::Error {
    let source = format!("the container's credentials at {uri} could not be had: {reason}").into();
    object_store::Error::Unauthenticated { path: String::new(), source }
}

impl ContainerAgent {
    pub(super) fn new(uri: &str, token: Option<&String>) -> Self {
        Self { uri: uri.to_owned(), token: token.cloned() }
    }

    /// Returns whether an agent may be asked: over TLS, on this machine, or at one of Amazon's addresses.
    fn is_trusted(&self) -> bool {
        let Some((scheme, rest)) = self.uri.split_once("://") else { return false };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let is_agent = |agent: &&str| authority == *agent || authority.strip_prefix(*agent) == Some(":80");
        scheme == "https" || scheme == "http" && (is_loopback(authority) || AGENTS.iter().any(is_agent))
    }
}

impl Issuer for ContainerAgent {
    async fn issue(&self) -> object_store::Result<AwsCredential> {
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
        keys_in(&body, "Token").map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_agents_that_may_be_trusted_are_asked() {
        for good in ["http://localhost:8080/x", "http://169.254.170.2/v2", "http://[fd00:ec2::23]/v1", "https://h/x"] {
            assert!(ContainerAgent::new(good, None).is_trusted(), "{good}");
        }
        for bad in ["http://evil.example/x", "http://169.254.170.2.evil.example/x", "x", "file:///x"] {
            assert!(!ContainerAgent::new(bad, None).is_trusted(), "{bad}");
        }
    }
}
