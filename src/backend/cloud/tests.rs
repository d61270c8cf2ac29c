//! The contract against a real S3 server, where the tests' set-up installed one, and against answers of our own making.

mod integration;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use super::super::conformance;
use super::*;
use crate::error::{Classify as _, ErrorKind};

const BUCKET: &str = "onenb-tests";
/// A key of nobody, which says that no token is needed.
const GCS_KEY: &str = r#"{"private_key":"x","private_key_id":"x","client_email":"x","disable_oauth":true}"#;
/// The key that every copy of Azure's emulator has.
const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// An S3 server of this test alone, gone with it.
struct Server {
    child: Child,
    address: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its standard input ends, and so does whatever it started.
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

impl Server {
    /// Starts the server that `make test` installs; `None`, with a line that says so, where it is not there.
    fn start() -> Option<Self> {
        let server = Self::run("s3_server.py")?;
        server.make_bucket();
        Some(server)
    }

    /// Starts a server of the tests, which prints its address.
    fn run(script: &str) -> Option<Self> {
        let python = concat!(env!("CARGO_MANIFEST_DIR"), "/.venv/bin/python");
        let script = format!("{}/tests/{script}", env!("CARGO_MANIFEST_DIR"));
        let spawned = Command::new(python)
            .arg(&script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            println!("skipped 1 test: there is no `.venv` to run {script} with");
            return None;
        };
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let address = BufReader::new(stdout).lines().find_map(|line| {
            let line = line.ok()?;
            Some(line.split_once("Running on http://")?.1.trim().to_owned())
        });
        let Some(address) = address else {
            println!("skipped 1 test: `.venv` has not what {script} needs");
            let _ = child.wait();
            return None;
        };
        Some(Self { child, address })
    }

    /// S3 and the emulator of GCS make buckets the same way.
    fn make_bucket(&self) {
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        let request = format!("PUT /{BUCKET} HTTP/1.1\r\nHost: s3\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asks");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        assert!(answer.contains(" 200 "), "{answer}");
    }

    fn backend(&self, bucket: &str, prefix: &str) -> CloudBackend {
        CloudBackend::new("s3", bucket, prefix, &options(&self.address)).expect("a good place")
    }
}

fn options(address: &str) -> CloudOptions {
    options_with(address, &[("AWS_ACCESS_KEY_ID", "tester"), ("AWS_SECRET_ACCESS_KEY", "CANARY-SECRET")])
}

fn options_with(address: &str, vars: &[(&str, &str)]) -> CloudOptions {
    let vars = vars.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    CloudOptions {
        endpoint_url: Some(format!("http://{address}")),
        context: CloudContext { vars, home: None },
        ..CloudOptions::default()
    }
}

/// Gives every connection the answer to what it asked, and then closes it.
fn serving(mut answer: impl FnMut(&str) -> Vec<u8> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("listens");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = [0; 4096];
            let len = stream.read(&mut request).unwrap_or(0);
            let _ = stream.write_all(&answer(&String::from_utf8_lossy(&request[..len])));
        }
    });
    address
}

/// Gives every connection the same answer.
fn answering(answer: Vec<u8>) -> String {
    serving(move |_| answer.clone())
}

/// One whole answer.
fn answer(status: &str, body: &str) -> Vec<u8> {
    let kind = "Content-Type: application/xml\r\nConnection: close";
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{kind}\r\n\r\n{body}", body.len()).into_bytes()
}

#[test]
fn a_bucket_and_a_prefix_inside_it_keep_the_contract() {
    let Some(server) = Server::start() else { return };
    conformance::run(&server.backend(BUCKET, ""));
    conformance::run(&server.backend(BUCKET, "team/data"));
    let above = server.backend(BUCKET, "").list(&Key::parse("team/data/list").expect("a key"), None, 9).expect("lists");
    assert_eq!(above.len(), 7, "the prefix is where it should be");
    let error = server.backend("no-such-bucket", "").list(&Key::parse("x").expect("a key"), None, 1).expect_err("none");
    assert!(matches!(&error, BackendError::NoBucket { bucket } if bucket == "s3://no-such-bucket"), "{error}");
}

#[test]
fn google_cloud_storage_keeps_the_contract() {
    let Some(server) = Server::run("gcs_server.py") else { return };
    server.make_bucket();
    let options = options_with(&server.address, &[("GOOGLE_SERVICE_ACCOUNT_KEY", GCS_KEY)]);
    let open = |bucket, prefix| CloudBackend::new("gs", bucket, prefix, &options).expect("a good place");
    conformance::run(&open(BUCKET, ""));
    conformance::run(&open(BUCKET, "team/data"));
    pages_join(&open(BUCKET, "p"));
    let error = open("no-such-bucket", "").list(&Key::parse("x").expect("a key"), None, 1).expect_err("none");
    assert!(matches!(&error, BackendError::NoBucket { .. }), "{error}");
}

#[test]
fn azure_keeps_the_contract() {
    let Some(server) = Server::run("azure_server.py") else { return };
    let options = options_with(&server.address, &[("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY)]);
    let open = |container, prefix| CloudBackend::new("az", container, prefix, &options).expect("a good place");
    conformance::run(&open(BUCKET, ""));
    conformance::run(&open(BUCKET, "team/data"));
    pages_join(&open(BUCKET, "p"));
    let error = open("no-such-container", "").list(&Key::parse("x").expect("a key"), None, 1).expect_err("none");
    assert!(matches!(&error, BackendError::NoBucket { .. }), "{error}");
}

#[test]
fn pages_of_a_listing_join_without_gaps() {
    let Some(server) = Server::start() else { return };
    pages_join(&server.backend(BUCKET, "p"));
}

fn pages_join(backend: &CloudBackend) {
    let key = |number: usize| Key::parse(&format!("many/{number:04}")).expect("a key");
    std::thread::scope(|scope| {
        for part in 0..4 {
            scope.spawn(move || {
                (0..1100)
                    .filter(|number| number % 4 == part)
                    .for_each(|number| backend.put(&key(number), vec![]).expect("puts"));
            });
        }
    });
    let all = backend.list(&Key::parse("many").expect("a key"), None, 5000).expect("lists");
    assert_eq!(all.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(), (0..1100).map(key).collect::<Vec<_>>());
    let rest = backend.list(&Key::parse("many").expect("a key"), Some(&key(1050)), 40).expect("lists");
    assert_eq!(
        rest.iter().map(|entry| entry.key.clone()).collect::<Vec<_>>(),
        (1051..1091).map(key).collect::<Vec<_>>()
    );
}

/// A connection that broke within the answer to a listing once failed the whole command.
#[test]
fn an_answer_that_breaks_off_is_asked_for_again() {
    let body = "<ListBucketResult><Contents><Key>a/b</Key><Size>7</Size><LastModified>2024-01-01T00:00:00.000Z\
                </LastModified></Contents></ListBucketResult>";
    let (whole, mut asked) = (answer("200 OK", body), 0);
    let address = serving(move |_| {
        asked += 1;
        let sent = if asked < 3 { whole.len() - 50 * asked } else { whole.len() };
        whole[..sent].to_vec()
    });
    let backend = CloudBackend::new("s3", BUCKET, "", &options(&address)).expect("a good place");
    let found = backend.list(&Key::parse("a").expect("a key"), None, 1).expect("the third answer is whole");
    assert_eq!(found.iter().map(|entry| (entry.key.as_str(), entry.len)).collect::<Vec<_>>(), [("a/b", 7)]);
}

#[test]
fn refused_credentials_are_named_without_the_secret() {
    let body = "<Error><Code>SignatureDoesNotMatch</Code><Message>Wrong.</Message></Error>";
    let address = answering(answer("403 Forbidden", body));
    let options = options(&address);
    let backend = CloudBackend::new("s3", BUCKET, "", &options).expect("a good place");
    let key = Key::parse("a/b").expect("a key");
    let error = backend.get(&key, 10).expect_err("is refused");
    assert_eq!(error.kind(), ErrorKind::Auth);
    assert!(error.to_string().contains("SignatureDoesNotMatch: Wrong."), "{error}");
    let listing = backend.list(&key, None, 1).expect_err("is refused");
    assert_eq!(listing.kind(), ErrorKind::Auth, "{listing}");
    assert_eq!(backend.delete(&key).expect_err("is refused").kind(), ErrorKind::Auth);
    for shown in [format!("{error:?} {error}"), format!("{options:?}"), format!("{backend:?}")] {
        assert!(!shown.contains("CANARY-SECRET"), "{shown}");
    }
}

/// A failed listing is wrapped differently from all others, and most commands begin with one.
#[test]
fn a_listing_that_is_refused_is_about_credentials_with_every_provider() {
    let answers = [
        ("401 Unauthorized", ""),
        ("403 Forbidden", "<html>no</html>"),
        ("403 Forbidden", "<Error><Code>AccessDenied</Code></Error>"),
    ];
    for (status, code) in answers {
        let address = answering(answer(status, code));
        let azure =
            options_with(&address, &[("AZURE_STORAGE_ACCOUNT_NAME", "x"), ("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY)]);
        let gcs = options_with(&address, &[("GOOGLE_SERVICE_ACCOUNT_KEY", GCS_KEY)]);
        for (scheme, options) in [("s3", options(&address)), ("az", azure), ("gs", gcs)] {
            let backend = CloudBackend::new(scheme, BUCKET, "", &options).expect("a good place");
            let error = backend.list(&Key::parse("log").expect("a key"), None, 1).expect_err("is refused");
            assert_eq!(error.kind(), ErrorKind::Auth, "{scheme} {status}: {error}");
        }
    }
}

#[test]
fn without_credentials_nothing_is_sent_and_the_next_step_is_named() {
    let options = CloudOptions { context: CloudContext::default(), ..options("127.0.0.1:1") };
    let backend = CloudBackend::new("s3", BUCKET, "", &options).expect("a good place");
    let error = backend.get(&Key::parse("a/b").expect("a key"), 10).expect_err("has none");
    assert_eq!(error.kind(), ErrorKind::Auth, "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("`onenb remote set URL --profile NAME`")));
}

/// A line break in a token ended a thread of the network.
#[test]
fn line_breaks_in_variables_are_trimmed_or_named() {
    let address = answering(answer("404 Not Found", ""));
    for (token, kind) in [("token\n", ErrorKind::NotFound), ("CANARY\nSECRET", ErrorKind::Auth)] {
        let mut options = options(&address);
        options.context.vars.insert("AWS_SESSION_TOKEN".to_owned(), token.to_owned());
        let backend = CloudBackend::new("s3", BUCKET, "", &options).expect("a good place");
        let error = backend.get(&Key::parse("a/b").expect("a key"), 10).expect_err("is refused");
        assert_eq!(error.kind(), kind, "{error}");
        assert!(kind != ErrorKind::Auth || error.to_string().contains("`AWS_SESSION_TOKEN`"), "{error}");
        assert!(!error.to_string().contains("CANARY"), "{error}");
    }
}

/// Without a file for the token the machine's own role was asked instead.
#[test]
fn a_containers_agent_is_asked_with_the_token_of_the_variable() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let address = serving(move |request| {
        let _ = sender.send(request.to_owned());
        if request.starts_with("GET /agent") {
            answer("200 OK", r#"{"AccessKeyId":"AGENTKEY","SecretAccessKey":"x","Token":"t"}"#)
        } else {
            answer("404 Not Found", "")
        }
    });
    let agent = format!("http://{address}/agent");
    let options = options_with(
        &address,
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &agent), ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic abc")],
    );
    let backend = CloudBackend::new("s3", BUCKET, "", &options).expect("a good place");
    assert_eq!(backend.head(&Key::parse("a/b").expect("a key")).expect("answers"), None);
    let asked: Vec<String> = receiver.try_iter().collect();
    assert!(asked[0].to_lowercase().contains("authorization: basic abc"), "{asked:?}");
    assert!(asked[1].contains("Credential=AGENTKEY/"), "{asked:?}");
}

#[test]
fn a_region_that_names_a_host_is_refused_wherever_it_comes_from() {
    let given = CloudOptions { region: Some("x@127.0.0.1:9443/".to_owned()), ..options("127.0.0.1:1") };
    let mut found = options("127.0.0.1:1");
    found.context.vars.insert("AWS_REGION".to_owned(), "x@127.0.0.1:9443/".to_owned());
    for options in [given, found] {
        let backend = CloudBackend::new("s3", BUCKET, "", &options).expect("nothing is opened yet");
        let error = backend.get(&Key::parse("a/b").expect("a key"), 10).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains("region"), "{error}");
    }
}

#[test]
fn endpoints_in_the_clear_are_refused_when_the_place_is_opened() {
    let options = CloudOptions { endpoint_url: Some("http://minio.example".to_owned()), ..CloudOptions::default() };
    let error = CloudBackend::new("s3", BUCKET, "", &options).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Usage);
}
