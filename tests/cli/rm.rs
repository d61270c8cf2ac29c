//! `onenb rm`, `bind` and `unbind`.

use crate::support::Sandbox;

#[test]
fn a_removed_export_is_gone_from_the_next_commit_on() {
    let sandbox = Sandbox::tagged();
    sandbox.onenb(&["rm", "working:Sales"]).ok();
    sandbox.git(&["commit", "--quiet", "--message=less"]).ok();
    sandbox.onenb(&["cat", "HEAD:Sales"]).fails(3, &[]);
    assert_eq!(sandbox.onenb(&["cat", "v1:Sales"]).ok().stdout, b"a,b\n1,2\n");
}

#[test]
fn a_file_is_bound_to_a_commit_and_unbound_again() {
    let sandbox = Sandbox::tagged();
    sandbox.write("old.csv", b"old");
    sandbox.onenb(&["bind", "v1", "old.csv", "--name", "Old"]).ok();
    assert_eq!(sandbox.onenb(&["cat", "v1:Old"]).ok().stdout, b"old");
    sandbox.onenb(&["unbind", "v1", "Old"]).ok();
    sandbox.onenb(&["cat", "v1:Old"]).fails(3, &[]);
}
