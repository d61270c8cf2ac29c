//! `onenb params-hash`.

use crate::support::Sandbox;

#[test]
fn options_and_json_give_the_same_hash() {
    let sandbox = Sandbox::empty();
    let expected = onenb::format::params::Params::from_assignments(["year=2023", "foo=bar"]).expect("good").hash();
    let from_options = sandbox.onenb(&["params-hash", "-p", "year=2023", "-p", "foo=bar"]).ok();
    assert_eq!(from_options.text(), format!("{expected}\n"));
    let from_json = sandbox.onenb_with(&["params-hash"], br#"{"foo": "bar", "year": 2023}"#).ok();
    assert_eq!(from_json.text(), format!("{expected}\n"));
}

#[test]
fn no_parameters_are_the_empty_object() {
    let sandbox = Sandbox::empty();
    let empty = sandbox.onenb(&["params-hash"]).ok().text();
    assert_eq!(sandbox.onenb_with(&["params-hash"], b"{}").ok().text(), empty);
    assert_eq!(sandbox.onenb(&["params-hash", "--json"]).ok().json()["cbor"], "a0");
}

#[test]
fn what_is_no_object_is_wrong_usage() {
    let sandbox = Sandbox::empty();
    for text in ["[1]", "{", "{\"a\": 1e999}", "NaN"] {
        sandbox.onenb_with(&["params-hash"], text.as_bytes()).fails(2, &[]);
    }
}
