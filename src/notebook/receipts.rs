//! Receipts inside a notebook: outputs that say what was exported, with which parameters and which content.

use std::collections::HashSet;

use super::document::Document;
use crate::format::FormatError;
use crate::format::record::ExportKey;
use crate::format::run::Receipt;

/// A receipt and where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundReceipt {
    /// Index of the cell, from 0.
    pub cell: usize,
    /// The receipt.
    pub receipt: Receipt,
}

impl FoundReceipt {
    /// Returns what the receipt binds.
    #[must_use]
    pub fn key(&self) -> ExportKey {
        ExportKey { name: self.receipt.export.clone(), params_hash: self.receipt.params.hash() }
    }
}

/// An output that calls itself a receipt and is none.
#[derive(Debug, Clone, PartialEq)]
pub struct ReceiptProblem {
    /// Index of the cell, from 0.
    pub cell: usize,
    /// What is wrong with it.
    pub reason: FormatError,
}

impl Document {
    /// Returns every receipt in cell order, and the outputs that only look like one.
    #[must_use]
    pub fn receipts(&self) -> (Vec<FoundReceipt>, Vec<ReceiptProblem>) {
        let mut found = Vec::new();
        let mut problems = Vec::new();
        for (index, cell) in self.code_cells() {
            for json in cell.outputs.iter().filter_map(|output| output.receipt.as_ref()) {
                match Receipt::from_json(json) {
                    Ok(receipt) => found.push(FoundReceipt { cell: index, receipt }),
                    Err(reason) => problems.push(ReceiptProblem { cell: index, reason }),
                }
            }
        }
        (found, problems)
    }

    /// Returns one receipt for each export and parameter set, in cell order: where there are several, the last counts.
    #[must_use]
    pub fn latest_receipts(&self) -> Vec<FoundReceipt> {
        let (mut found, _) = self.receipts();
        let mut seen = HashSet::new();
        found.reverse();
        found.retain(|receipt| seen.insert(receipt.key()));
        found.reverse();
        found
    }
}

/// Returns `false` if the notebook has no receipts as any JSON writer spells them, so that it need not be parsed for
/// them.
#[must_use]
pub fn may_hold_receipts(bytes: &[u8]) -> bool {
    // Without the parts that JSON may escape: `/` and `+`. Bytes that are not UTF-8 are left to the parser.
    std::str::from_utf8(bytes).map_or(true, |text| text.contains("vnd.onenb.receipt"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn receipt(export: &str, year: i32, content: char) -> Json {
        json!({
            "v": 1, "run": "01JCWZ4Z8Q4X2V5D9E7T1R3K6M", "export": export, "params": {"year": year},
            "digest": content.to_string().repeat(64), "size": 3, "suffix": ".csv", "cell_source_digest": null, "inputs": []
        })
    }

    fn notebook(cells: &[Vec<Json>]) -> Vec<u8> {
        let cells: Vec<_> = cells
            .iter()
            .map(|receipts| {
                let outputs: Vec<_> = receipts
                    .iter()
                    .map(|receipt| {
                        json!({"output_type": "display_data", "metadata": {},
                               "data": {"text/plain": "Sales", "application/vnd.onenb.receipt+json": receipt}})
                    })
                    .collect();
                json!({"cell_type": "code", "source": "x", "metadata": {}, "outputs": outputs})
            })
            .collect();
        serde_json::to_vec(&json!({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells})).unwrap()
    }

    #[test]
    fn receipts_come_in_cell_order_with_their_cells() {
        let bytes = notebook(&[vec![], vec![receipt("B", 1, 'a'), receipt("A", 1, 'b')], vec![receipt("B", 2, 'c')]]);
        assert!(may_hold_receipts(&bytes));
        let (found, problems) = Document::parse(&bytes).unwrap().receipts();
        let seen: Vec<_> = found.iter().map(|found| (found.cell, found.receipt.export.as_str())).collect();
        assert_eq!(seen, [(1, "B"), (1, "A"), (2, "B")]);
        assert_eq!(problems, []);
    }

    #[test]
    fn the_last_receipt_of_an_export_and_parameter_set_wins() {
        let bytes = notebook(&[
            vec![receipt("Sales", 2023, 'a'), receipt("Sales", 2024, 'b')],
            vec![receipt("Sales", 2023, 'c')],
        ]);
        let latest = Document::parse(&bytes).unwrap().latest_receipts();
        let seen: Vec<_> = latest.iter().map(|found| (found.cell, found.receipt.digest.short())).collect();
        assert_eq!(seen, [(0, "b".repeat(16)), (1, "c".repeat(16))]);
    }

    #[test]
    fn a_forged_or_newer_receipt_is_a_problem_and_hides_no_other() {
        let mut outside = receipt("Sales", 1, 'a');
        outside["export"] = json!("../evil");
        let mut newer = receipt("Sales", 1, 'a');
        newer["v"] = json!(2);
        let bytes = notebook(&[vec![outside, newer, json!(["no", "object"]), receipt("Sales", 1, 'b')]]);
        let (found, problems) = Document::parse(&bytes).unwrap().receipts();
        assert_eq!(found.len(), 1);
        assert_eq!(problems.len(), 3);
        assert!(matches!(problems[1].reason, FormatError::TooNew { found: 2, .. }));
    }

    #[test]
    fn escaped_media_types_pass_the_quick_check_and_are_found() {
        let text = String::from_utf8(notebook(&[vec![receipt("Sales", 1, 'a')]])).unwrap();
        let escaped = text.replace("application/vnd.onenb.receipt+json", "application\\/vnd.onenb.receipt\\u002bjson");
        assert_ne!(text, escaped);
        assert!(may_hold_receipts(escaped.as_bytes()));
        assert_eq!(Document::parse(escaped.as_bytes()).unwrap().receipts().0.len(), 1);
        assert!(!may_hold_receipts(&notebook(&[vec![]])));
    }
}
