//! Credentials that somebody hands out for a while: asked for once, and again before they expire.

use std::fmt::Debug;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

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

    async fn current(&self) -> object_store::Result<Arc<AwsCredential>> {
        // Requests that begin together wait for the one that asks.
        let mut kept = self.kept.lock().await;
        if let Some((_, credential)) = kept.as_ref().filter(|(since, _)| since.elapsed() < KEEP) {
            return Ok(Arc::clone(credential));
        }
        let credential = Arc::new(self.issuer.issue().await?);
        *kept = Some((Instant::now(), Arc::clone(&credential)));
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
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// Answers when it is asked for its progress the second time.
    #[derive(Debug, Default)]
    struct Slow {
        asked: AtomicU32,
    }

    impl Issuer for Slow {
        async fn issue(&self) -> object_store::Result<AwsCredential> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            let mut is_ready = false;
            let wait = |_: &mut Context<'_>| {
                if std::mem::replace(&mut is_ready, true) { Poll::Ready(()) } else { Poll::Pending }
            };
            std::future::poll_fn(wait).await;
            Ok(AwsCredential { key_id: "K".to_owned(), secret_key: String::new(), token: None })
        }
    }

    #[test]
    fn requests_that_begin_together_ask_once() {
        let renewed = Renewed::new(Slow::default());
        let (mut one, mut two) = (renewed.get_credential(), renewed.get_credential());
        let mut context = Context::from_waker(Waker::noop());
        assert!(one.as_mut().poll(&mut context).is_pending() && two.as_mut().poll(&mut context).is_pending());
        for asking in [one, two] {
            let mut asking = asking;
            let Poll::Ready(Ok(credential)) = asking.as_mut().poll(&mut context) else { panic!("it is there") };
            assert_eq!(credential.key_id, "K");
        }
        assert_eq!(renewed.issuer.asked.load(Ordering::SeqCst), 1);
    }

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
