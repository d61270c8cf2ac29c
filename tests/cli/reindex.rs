//! `onenb reindex`: the catalog is only an index.

use crate::support::Sandbox;

fn answers(sandbox: &Sandbox) -> Vec<String> {
    [&["ls", "v1", "--json"][..], &["log", "--json"], &["show", "v1:Report?year=2023", "--json"]]
        .iter()
        .map(|words| sandbox.onenb(words).ok().text())
        .collect()
}

#[test]
fn a_deleted_catalog_is_rebuilt_to_the_same_answers() {
    let sandbox = Sandbox::tagged();
    let before = answers(&sandbox);
    for file in sandbox.store_files("catalog.sqlite") {
        onenb::fs::remove_file(&file).expect("the catalog can be removed");
    }
    sandbox.onenb(&["reindex"]).ok();
    assert_eq!(answers(&sandbox), before);
}

#[test]
fn a_garbage_catalog_is_rebuilt_by_itself() {
    let sandbox = Sandbox::tagged();
    let before = answers(&sandbox);
    let catalogs = sandbox.store_files("catalog.sqlite");
    assert_eq!(catalogs.len(), 1);
    for file in catalogs {
        onenb::fs::write_atomic(&file, &[0xaa; 5000]).expect("the catalog can be replaced");
    }
    assert_eq!(answers(&sandbox), before);
}
