//! `onenb resolve`.

use crate::support::Sandbox;

#[test]
fn commit_and_digest_are_one_line() {
    let sandbox = Sandbox::tagged();
    let commit = sandbox.git(&["rev-parse", "v1"]).ok().text();
    let digest = onenb::id::ContentDigest::of(b"a,b\n1,2\n");
    let expected = format!("{} {digest}\n", commit.trim());
    sandbox.git(&["tag", "-a", "annotated", "-m", "x", "v1"]).ok();
    for rev in ["v1", "main", "HEAD", "@", "annotated", "refs/heads/main", commit.trim()] {
        assert_eq!(sandbox.onenb(&["resolve", &format!("{rev}:Sales")]).ok().text(), expected, "{rev}");
    }
    assert_eq!(sandbox.onenb(&["resolve", "working:Sales"]).ok().text(), format!("working {digest}\n"));
    assert_eq!(sandbox.onenb(&["-C", "/", "resolve", "demo@v1:Sales"]).ok().text(), expected);
}

#[test]
fn a_miss_is_exit_code_three_and_nothing_on_stdout() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["resolve", "v1:Nothing", "--json"]).fails(3, &[]);
}
