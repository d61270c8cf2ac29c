//! What a provider answers, in our words: short, classified, without secrets.

use object_store::client::{HttpError, HttpErrorKind};

use super::http::Stalled;
use crate::backend::{BackendError, Key};

/// Longest text of a provider that is shown, in characters.
const MAX_REASON_LEN: usize = 300;

/// What was being done when a request failed.
pub(super) struct Failed {
    pub(super) doing: &'static str,
    pub(super) key: Key,
    /// The bucket as users write it.
    pub(super) bucket: String,
}

impl Failed {
    pub(super) fn into_error(self, error: &object_store::Error) -> BackendError {
        let text = error.to_string();
        let Self { doing, key, bucket } = self;
        match error {
            _ if names_no_bucket(&text) => BackendError::NoBucket { bucket },
            object_store::Error::NotFound { .. } => BackendError::NotFound { key },
            _ if names_no_credentials(&text) => BackendError::NoCredentials { reason: reason_of(&text) },
            object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. } => {
                BackendError::Auth { key, reason: reason_of(&text) }
            }
            _ if is_refused(&text) => BackendError::Auth { key, reason: reason_of(&text) },
            _ if text.contains("Range Not Satisfiable") => BackendError::OutOfRange { key },
            _ if is_unreachable(error) => BackendError::Unreachable { doing, key, reason: reason_of(&text) },
            _ => BackendError::Remote { doing, key, reason: reason_of(&text) },
        }
    }
}

/// Returns whether a failed create may have taken effect, now or at an earlier try.
pub(super) fn leaves_effect_unknown(error: &object_store::Error) -> bool {
    use object_store::Error;
    matches!(error, Error::AlreadyExists { .. } | Error::Precondition { .. })
        || matches!(error, Error::Generic { .. } if !names_no_credentials(&error.to_string()))
}

/// Returns whether no connection came about, so that no provider has said anything.
fn is_unreachable(error: &object_store::Error) -> bool {
    causes(error).any(|cause| cause.downcast_ref::<HttpError>().is_some_and(|it| it.kind() == HttpErrorKind::Connect))
}

/// Returns whether an answer began and did not come to its end.
pub(super) fn broke_off(error: &object_store::Error) -> bool {
    let in_the_middle = |error: &reqwest::Error| error.is_body() || error.is_decode();
    // Deeper inside it is a request that got no answer, which the client below has repeated already.
    let stalled = std::error::Error::source(error).is_some_and(<dyn std::error::Error>::is::<Stalled>);
    stalled || causes(error).any(|cause| cause.downcast_ref().is_some_and(in_the_middle))
}

/// Returns an error, what caused it, and so on.
pub(super) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(Some(error), |error| error.source())
}

fn names_no_bucket(text: &str) -> bool {
    ["NoSuchBucket", "ContainerNotFound", "The specified bucket does not exist"].iter().any(|code| text.contains(code))
}

fn names_no_credentials(text: &str) -> bool {
    ["169.254.169.254", "metadata.google.internal", "ExpiredToken", "InvalidAccessKeyId", "export-credentials"]
        .iter()
        .any(|sign| text.contains(sign))
}

/// Returns whether a provider refused who asked. The client says so by the kind of its error for everything but
/// listings and requests for tokens; there only the text tells.
fn is_refused(text: &str) -> bool {
    let signs = [
        "status code: 401",
        "status code: 403",
        "<Code>AccessDenied<",
        "<Code>SignatureDoesNotMatch<",
        "<Code>AuthenticationFailed<",
        "<Code>AuthorizationFailure<",
        "<Code>AuthorizationPermissionMismatch<",
    ];
    signs.iter().any(|sign| text.contains(sign))
}

/// Shortens a provider's text to what says something: the message of its XML if there is one, and no query of any URL,
/// where signatures stand.
fn reason_of(text: &str) -> String {
    let between = |start: &str, end: &str| Some(text.split_once(start)?.1.split_once(end)?.0);
    let xml = between("<Code>", "</Code>").map(|code| match between("<Message>", "</Message>") {
        Some(message) => format!("{code}: {message}"),
        None => code.to_owned(),
    });
    // The client says so once for each of its layers.
    let text = without_signatures(&xml.unwrap_or_else(|| without_queries(&text.replace("HTTP error: ", ""))));
    let shown = text.chars().take(MAX_REASON_LEN).map(|c| if c.is_control() { ' ' } else { c });
    shown.collect::<String>().trim().to_owned()
}

fn without_queries(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('?') {
        let (before, query) = rest.split_at(at);
        shown.push_str(before);
        let is_url = before.rsplit([' ', '(', '"', '\n']).next().is_some_and(|word| word.contains("://"));
        let end = if is_url { query.find([' ', ')', '"', '\n']).unwrap_or(query.len()) } else { 1 };
        if !is_url {
            shown.push('?');
        }
        rest = query.get(end..).unwrap_or_default();
    }
    shown + rest
}

/// Blanks the values of parameters that sign requests, wherever in a text they stand.
fn without_signatures(text: &str) -> String {
    let mut shown = text.to_owned();
    for name in ["sig=", "Signature=", "Credential=", "Security-Token="] {
        let mut from = 0;
        while let Some(at) = shown.get(from..).and_then(|rest| rest.find(name)) {
            let start = from + at + name.len();
            let value = shown.get(start..).unwrap_or_default();
            let len = value.find(|c: char| c.is_whitespace() || "&;,\"'<>()".contains(c)).unwrap_or(value.len());
            shown.replace_range(start..start + len, "…");
            from = start;
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_without_an_answer_is_not_one_that_broke_off() {
        let generic = |source| object_store::Error::Generic { store: "remote", source };
        let stalled = || Stalled(std::time::Duration::from_secs(1));
        assert!(broke_off(&generic(Box::new(stalled()))));
        let unanswered = HttpError::new(HttpErrorKind::Timeout, stalled());
        assert!(!broke_off(&generic(Box::new(unanswered))));
    }

    #[test]
    fn reasons_are_short_and_without_signatures() {
        let xml = "Server returned 403: <?xml?><Error><Code>AccessDenied</Code><Message>No.</Message></Error>";
        assert_eq!(reason_of(xml), "AccessDenied: No.");
        let url = "error sending request for url (https://a.blob.example/c/k?sv=1&sig=SECRET): timed out, really?";
        let shown = reason_of(url);
        assert_eq!(shown, "error sending request for url (https://a.blob.example/c/k): timed out, really?");
        let page = "Server returned 404: <html>no /c/k?sv=1&sig=SECRET&se=2, X-Amz-Signature=SECRET</html>";
        let shown = reason_of(page);
        assert!(!shown.contains("SECRET") && shown.contains("sig=…&se=2"), "{shown}");
        let signed =
            "<Error><Code>Bad</Code><Message>?X-Amz-Credential=SECRET&X-Amz-Security-Token=SECRET</Message></Error>";
        assert!(!reason_of(signed).contains("SECRET"), "{}", reason_of(signed));
        assert_eq!(reason_of(&"x".repeat(1000)).len(), MAX_REASON_LEN);
        assert_eq!(reason_of("GET x - HTTP error: HTTP error: error sending request"), "GET x - error sending request");
        assert_eq!(reason_of("a\nb\u{1b}[31m"), "a b [31m");
    }
}
