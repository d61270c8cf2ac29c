//! `verify`: reads every stored byte and says which exports any damage concerns. Changes nothing; `repair` does.

use std::collections::BTreeSet;

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
        Ok(self.survey(progress)?.0)
    }

    /// Verifies, and returns besides which contents cannot be read in full.
    pub(super) fn survey(&self, progress: ProgressFn<'_>) -> Result<(VerifySummary, BTreeSet<ContentDigest>)> {
        // Damage may hide what metadata says of commits; what the trees say can still be named.
        let labels = match self.labels_by_content() {
            Err(error) if error.kind() == ErrorKind::Damaged => self.labels_in_trees()?,
            other => other?,
        };
        let named = |digests: &[ContentDigest]| -> Vec<String> {
            digests.iter().filter_map(|digest| labels.get(digest)).flatten().cloned().collect()
        };
        let (mut summary, mut broken) = (VerifySummary::default(), BTreeSet::new());
        let storage = self.storage()?;
        let fix = if storage.is_some() {
            "fetch it again with `onenb verify --repair`, or export it again"
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
                broken.extend(damage.contents.iter().copied());
                summary.damaged.push(Damaged {
                    object: damage.object,
                    exports: named(&damage.contents),
                    fix: fix.to_owned(),
                });
            }
        }
        let blamed: BTreeSet<String> =
            summary.damaged.iter().flat_map(|damage| damage.exports.iter().cloned()).collect();
        for (digest, names) in &labels {
            if names.iter().any(|name| blamed.contains(name)) {
                continue;
            }
            match self.whereabouts(digest)? {
                Whereabouts::Here => {}
                Whereabouts::PerhapsRemote => summary.absent.extend(names.clone()),
                Whereabouts::Nowhere(object) => {
                    broken.insert(*digest);
                    summary.damaged.push(Damaged { object, exports: names.clone(), fix: fix.to_owned() });
                }
            }
        }
        Ok((summary, broken))
    }

    /// Finds out whether a content can be read at all.
    fn whereabouts(&self, digest: &ContentDigest) -> Result<Whereabouts> {
        let missing = || format!("content {} is missing", digest.short());
        if let Some(store) = self.store_if_present()? {
            match store.contains(digest).map_err(Error::from) {
                Ok(Some(_)) => return Ok(Whereabouts::Here),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Damaged => return Ok(Whereabouts::Nowhere(error.to_string())),
                Err(error) => return Err(error),
            }
        }
        if self.storage()?.is_none() {
            return Ok(Whereabouts::Nowhere(missing()));
        }
        // A remote that may not or cannot be asked leaves the question open.
        let Ok(Some((remote, _))) = self.remote() else { return Ok(Whereabouts::PerhapsRemote) };
        match remote.data_with(digest).map_err(Error::from) {
            Ok(None) => Ok(Whereabouts::Nowhere(missing())),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Whereabouts::Nowhere(missing())),
            Ok(Some(_)) | Err(_) => Ok(Whereabouts::PerhapsRemote),
        }
    }
}

/// Where a content is.
enum Whereabouts {
    Here,
    PerhapsRemote,
    /// In no place that can be asked; what is missing or damaged.
    Nowhere(String),
}
