//! Golden vectors of parameter sets: the same file runs here and in `python/tests/test_params.py`.
//!
//! The vectors were made by an encoder written from RFC 8949 alone, and compared with a third one.

use onenb::format::params::Params;
use serde_json::Value;

fn vectors() -> Vec<(String, Params, String, String)> {
    let file: Vec<Value> = serde_json::from_str(include_str!("golden/params.json")).expect("the file is JSON");
    let text = |row: &Value, key: &str| row[key].as_str().expect("each row has texts").to_owned();
    file.iter()
        .map(|row| {
            // Parameters are JSON text inside JSON, so that no reader on the way can change a number's type.
            let json: Value = serde_json::from_str(&text(row, "params")).expect("parameters are JSON");
            let params = Params::from_json(&json).expect("parameters are allowed");
            (text(row, "name"), params, text(row, "cbor"), text(row, "hash"))
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[test]
fn every_parameter_set_has_its_golden_encoding_and_hash() {
    let vectors = vectors();
    assert!(vectors.len() >= 20, "the file lost vectors");
    for (name, params, cbor, hash) in vectors {
        assert_eq!(hex(&params.to_cbor()), cbor, "{name}");
        assert_eq!(params.hash().to_string(), hash, "{name}");
    }
}

#[test]
fn every_golden_encoding_decodes_to_its_parameter_set() {
    for (name, params, cbor, _) in vectors() {
        let digits: Vec<_> = cbor.chars().map(|digit| digit.to_digit(16).expect("hex")).collect();
        let bytes: Vec<u8> =
            digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).expect("two digits")).collect();
        assert_eq!(Params::from_cbor(&bytes).expect("it decodes"), params, "{name}");
    }
}
