//! `verify`: reads every stored byte and says which exports any damage concerns. Changes nothing.

use super::Repo;
use super::types::{Damaged, Progress, ProgressFn, VerifySummary};
use crate::error::{Error, ErrorKind, Result};
use crate::id::ContentDigest;

impl Repo {
    /// Reads all packs and recipes, and checks that every reachable and working export has its data somewhere.
    ///
    /// # Errors
    /// Interrupted, or what reading the store can meet besides damage, which is reported as such.
    pub fn verify(&self, progress: ProgressFn<'_>) -> Result<VerifySummary> {
        // Damage may hide what metadata says of commits; what the trees say can still be named.
        let labels = match self.labels_by_content() {
            Err(error) if error.kind() == ErrorKind::Damaged => self.labels_in_trees()?,
            other => other?,
        };
        let named = |digests: &[ContentDigest]| -> Vec<String> {
            digests.iter().filter_map(|digest| labels.get(digest)).flatten().cloned().collect()
        };
        let mut summary = VerifySummary::default();
        let storage = self.storage()?;
        let fix = if storage.is_some() {
            "`onenb pull REV` fetches it again from the remote"
        } else {
            "export it again, or copy the store of another clone"
        };
        if let Some(store) = self.store_if_present()? {
            let mut interrupted = false;
            let report = store.verify(&mut |done, total| {
                summary.bytes = total;
                interrupted |= !progress(Progress { doing: "verifying", done, total: Some(total) });
            })?;
            if interrupted {
                return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
            }
            summary.contents = report.contents;
            for damage in report.damaged {
                summary.damaged.push(Damaged {
                    object: damage.object,
                    exports: named(&damage.contents),
                    fix: fix.to_owned(),
                });
            }
        }
        let damaged: std::collections::BTreeSet<&String> =
            summary.damaged.iter().flat_map(|damage| &damage.exports).collect();
        let mut absent = Vec::new();
        for (digest, names) in &labels {
            let here = match self.store_if_present()? {
                Some(store) => match store.contains(digest).map_err(Error::from) {
                    // It is listed above.
                    Err(error) if error.kind() == ErrorKind::Damaged => true,
                    found => found?.is_some(),
                },
                None => false,
            };
            if !here && !names.iter().any(|name| damaged.contains(name)) {
                absent.push((digest, names.clone()));
            }
        }
        for (digest, names) in absent {
            if storage.is_some() && !self.was_exported_here(digest) {
                summary.absent.extend(names);
            } else {
                summary.damaged.push(Damaged {
                    object: format!("content {} is missing", digest.short()),
                    exports: names,
                    fix: fix.to_owned(),
                });
            }
        }
        Ok(summary)
    }
}
