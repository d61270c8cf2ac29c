//! Credentials that somebody hands out for a while: asked for once, and again before they expire.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

/// For so long what was given is used; the shortest that Amazon hands out lives for 15 minutes.
const KEEP: Duration = Duration::from_mins(5);

/// Who hands them out.
pub(super) trait Issuer: Debug + Send + Sync + 'static {
    /// Asks for new ones. What is wrong is said without anything of the answer.
    fn issue(&self) -> impl Future<Output = object_store::Result<AwsCredential>> + Send;
}

/// Keeps what an issuer gave.
#[derive(Debug)]
pub(super) struct Renewed<I> {
    issuer: I,
    kept: Mutex<Option<(Instant, Arc<AwsCredential>)>>,
}

impl<I: Issuer> Renewed<I> {
    pub(super) fn new(issuer: I) -> Self {
        Self { issuer, kept: Mutex::new(None) }
    }

    fn kept(&self) -> Option<Arc<AwsCredential>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|(since, _)| since.elapsed() < KEEP).map(|(_, credential)| Arc::clone(credential))
    }

    async fn current(&self) -> object_store::Result<Arc<AwsCredential>> {
        if let Some(credential) = self.kept() {
            return Ok(credential);
        }
        // Requests that begin together may each ask; the last answer is kept.
        let credential = Arc::new(self.issuer.issue().await?);
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&credential)));
        Ok(credential)
    }
}

impl<I: Issuer> CredentialProvider for Renewed<I> {
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

/// Reads the keys out of the JSON that issuers answer with; their names for the session's token differ.
pub(super) fn keys_in(json: &[u8], token: &str) -> Result<AwsCredential, &'static str> {
    let json: serde_json::Value = serde_json::from_slice(json).map_err(|_| "the answer is no JSON")?;
    let text = |key: &str| json.get(key).and_then(serde_json::Value::as_str).map(str::to_owned);
    match (text("AccessKeyId"), text("SecretAccessKey")) {
        (Some(key_id), Some(secret_key)) => Ok(AwsCredential { key_id, secret_key, token: text(token) }),
        _ => Err("the answer has no keys"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_with_their_token_and_a_fault_shows_nothing_of_the_answer() {
        let json = br#"{"AccessKeyId":"K","SecretAccessKey":"S","Token":"T","SessionToken":"U"}"#;
        for (name, token) in [("Token", Some("T")), ("SessionToken", Some("U")), ("None", None)] {
            let found = keys_in(json, name).expect("has keys");
            assert_eq!((&*found.key_id, &*found.secret_key, found.token.as_deref()), ("K", "S", token));
        }
        for bad in
            ["", "[]", "CANARY", r#"{"AccessKeyId":"CANARY"}"#, r#"{"AccessKeyId":1,"SecretAccessKey":"CANARY"}"#]
        {
            let said = keys_in(bad.as_bytes(), "Token").expect_err(bad);
            assert!(!said.contains("CANARY"), "{said}");
        }
    }
}
