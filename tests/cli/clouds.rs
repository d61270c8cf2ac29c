//! The whole way through buckets: S3, Google Cloud Storage and Azure, against servers of the tests on loopback.
//! Whatever a command says, and every file that is left in the end, is searched for the credentials.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};

use crate::support::{Run, Sandbox, finish};

/// What nobody may ever see again.
const CANARY: &str = "CANARY-SECRET";
/// A key of nobody, which says that no token is needed.
const GCS_KEY: &str = r#"{"private_key":"CANARY-SECRET","private_key_id":"x","client_email":"x","disable_oauth":true}"#;
/// The key that every copy of Azure's emulator has.
const AZURE_KEY: &str = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const BUCKET: &str = "onenb-tests";

/// A server of one test, gone with it.
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
    /// Starts a server; `None`, with a line that says so, where what it needs is not installed.
    fn run(script: &str) -> Option<Self> {
        let root = env!("CARGO_MANIFEST_DIR");
        let spawned = Command::new(format!("{root}/.venv/bin/python"))
            .arg(format!("{root}/tests/{script}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let skipped = || eprintln!("skipped 1 test: {script} cannot run here");
        let Ok(mut child) = spawned else {
            skipped();
            return None;
        };
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let address = BufReader::new(stdout)
            .lines()
            .find_map(|line| Some(line.ok()?.split_once("Running on http://")?.1.trim().to_owned()));
        let Some(address) = address else {
            skipped();
            let _ = child.wait();
            return None;
        };
        Some(Self { child, address })
    }

    fn make_bucket(&self) {
        let mut stream = TcpStream::connect(&self.address).expect("connects");
        let request = format!("PUT /{BUCKET} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asks");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answers");
        assert!(answer.contains(" 200 "), "{answer}");
    }
}

fn tells_a_secret(bytes: &[u8]) -> bool {
    let has = |secret: &str| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    has(CANARY) || has(AZURE_KEY)
}

/// A person with credentials, and the machine they sit at.
struct Person<'a> {
    sandbox: &'a Sandbox,
    vars: Vec<(&'static str, String)>,
}

impl Person<'_> {
    fn run(&self, arguments: &[&str], machine: &str) -> Run {
        let mut command = self.sandbox.command(env!("CARGO_BIN_EXE_onenb"));
        command.args(arguments).envs(self.vars.iter().cloned());
        command.env("XDG_CACHE_HOME", self.sandbox.path(machine));
        let run = finish(command, b"");
        assert!(
            !tells_a_secret(&[run.stdout.as_slice(), run.stderr.as_bytes()].concat()),
            "{arguments:?} tells a secret"
        );
        run
    }

    /// Checks every file that these commands left anywhere.
    fn left_no_secret(&self) {
        let (mut folders, mut files) = (vec![self.sandbox.path("")], 0);
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).expect("lists") {
                let path = entry.expect("an entry").path();
                assert!(!tells_a_secret(path.as_os_str().as_encoded_bytes()), "{}", path.display());
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files += 1;
                    assert!(
                        !tells_a_secret(&std::fs::read(&path).expect("reads")),
                        "{} tells a secret",
                        path.display()
                    );
                }
            }
        }
        assert!(files > 50, "it looked at the repository, the caches and the configuration");
    }
}

/// Pushes, reads on a cold machine, moves a tag, collects, and reads without the server what was read before.
fn round_trip(provider: &str, scheme: &str, server: Server, vars: &[(&'static str, &str)]) {
    let sandbox = Sandbox::tagged();
    let vars = vars.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    let person = Person { sandbox: &sandbox, vars };
    let (url, endpoint) = (format!("{scheme}://{BUCKET}/team/data"), format!("http://{}", server.address));
    person.run(&["remote", "set", &url, "--endpoint-url", &endpoint], "here").ok();
    person.run(&["remote", "add", "demo-cloud", &url, "--endpoint-url", &endpoint], "here").ok();
    let refused = person.run(&["push"], "here");
    assert!(refused.code != 0 && refused.stderr.contains("--create"), "{provider}: {refused}");
    person.run(&["push", "--create"], "here").ok();
    assert_eq!(person.run(&["push", "--json"], "here").ok().json()["revs"], serde_json::json!([]), "{provider}");
    let read = |machine: &str| person.run(&["cat", "demo-cloud@v1:Sales"], machine);
    assert_eq!(read("cold 1").ok().stdout, b"a,b\n1,2\n", "{provider}");
    assert_eq!(person.run(&["cat", "demo-cloud@v1:Report?year=2024"], "cold 2").ok().stdout, b"2024\n", "{provider}");
    let big: Vec<u8> = (0..200_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    sandbox.export("Sales", &big, &[]);
    sandbox.git(&["tag", "--delete", "v1"]).ok();
    sandbox.commit_and_tag("v1");
    assert_eq!(person.run(&["push", "v1"], "here").code, 1, "{provider}: moving needs force");
    person.run(&["push", "--force", "v1"], "here").ok();
    assert!(read("cold 1").ok().stdout == big, "{provider}: a warm cache sees that the tag moved");
    person.run(&["push", "--forget-history", "v1"], "here").ok();
    let collected = person.run(&["gc", "--remote", "--prune=now", "--json"], "here").ok().json();
    assert!(collected["objects"].as_u64().is_some_and(|objects| objects > 0), "{provider}: {collected}");
    person.run(&["verify", "--remote"], "here").ok();
    assert!(read("cold 3").ok().stdout == big, "{provider}");
    if provider == "S3" {
        // Named by the environment alone, the same bucket elsewhere is another one.
        let url = format!("{url}@v1:Sales");
        let at = |endpoint: &str| {
            let mut vars = person.vars.clone();
            vars.push(("AWS_ENDPOINT_URL", endpoint.to_owned()));
            Person { sandbox: &sandbox, vars }.run(&["cat", &url], "cold 5")
        };
        assert!(at(&endpoint).ok().stdout == big);
        assert_eq!(at("http://127.0.0.1:1").code, 1, "nobody answers there");
    }
    for asked in [&["remote", "show"][..], &["remote", "check"], &["status"], &["doctor"], &["config"], &["stats"]] {
        person.run(asked, "here");
        person.run(&[asked, &["--json"]].concat(), "here");
    }
    drop(server);
    let offline = read("cold 3").ok();
    assert!(offline.stdout == big && offline.stderr.matches("cannot be reached").count() == 1, "{provider}: {offline}");
    assert_eq!(read("cold 4").code, 1, "{provider}: a machine that never read it cannot");
    assert_ne!(person.run(&["push", "--force", "v1"], "here").code, 0, "{provider}");
    person.left_no_secret();
}

#[test]
fn a_bucket_of_s3_goes_the_whole_way() {
    let Some(server) = Server::run("s3_server.py") else { return };
    server.make_bucket();
    let secrets = [("AWS_SECRET_ACCESS_KEY", CANARY), ("AWS_SESSION_TOKEN", "CANARY-SECRET-TOKEN")];
    let vars = [&[("AWS_ACCESS_KEY_ID", "tester")][..], &secrets].concat();
    round_trip("S3", "s3", server, &vars);
}

#[test]
fn a_bucket_of_google_goes_the_whole_way() {
    let Some(server) = Server::run("gcs_server.py") else { return };
    server.make_bucket();
    round_trip("GCS", "gs", server, &[("GOOGLE_SERVICE_ACCOUNT_KEY", GCS_KEY)]);
}

#[test]
fn a_container_of_azure_goes_the_whole_way() {
    let Some(server) = Server::run("azure_server.py") else { return };
    round_trip("Azure", "az", server, &[("AZURE_STORAGE_ACCOUNT_KEY", AZURE_KEY)]);
}
