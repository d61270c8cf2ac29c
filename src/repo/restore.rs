//! `log NAME --working` and `restore`: the exports of this work tree that were made before, and making one of them the
//! working one again.

use super::Repo;
use super::facts::now_us;
use super::types::WorkingExport;
use super::working::bare;
use crate::error::{Error, ErrorKind, Result};
use crate::format::binding::Pending;
use crate::format::name::ExportName;
use crate::format::params::Params;
use crate::format::record::{ExportKey, ExportRecord};
use crate::store::ObjectKind;

impl Repo {
    /// Returns the exports of a name that were made in this work tree, newest first, committed or not, as far as their
    /// contents are still here.
    ///
    /// # Errors
    /// What reading the store and the catalog can meet.
    pub fn working_log(&self, name: &ExportName) -> Result<Vec<WorkingExport>> {
        let worktree = self.git().worktree_id();
        let Some(store) = self.store_if_present()? else { return Ok(vec![]) };
        let mut rows = vec![];
        for Pending { record, time_us, .. } in self.facts(|view| view.exports_of(&worktree, name))? {
            if store.contains(&record.digest)?.is_some() {
                let current = self.working_record(&record.key()).ok().flatten();
                let is_current = current.is_some_and(|current| current.digest == record.digest);
                rows.push(WorkingExport { record, time_us, is_current });
            }
        }
        Ok(rows)
    }

    /// Makes an earlier export of this work tree the working one again: the newest with a digest that starts so, or
    /// without that the newest with another content than the working one.
    ///
    /// # Errors
    /// `NotFound` if there is none, Conflict if the start of the digest fits several contents.
    pub fn restore(&self, name: &ExportName, params: &Params, digest: Option<&str>) -> Result<ExportRecord> {
        self.check_writable()?;
        if self.work_dir().is_none() {
            return Err(bare());
        }
        let _hold = self.hold()?;
        let key = ExportKey { name: name.clone(), params_hash: params.hash() };
        let now = self.working_record(&key).ok().flatten();
        let mut earlier: Vec<ExportRecord> =
            self.working_log(name)?.into_iter().map(|row| row.record).filter(|record| record.key() == key).collect();
        let label = format!("{name}{params}");
        let chosen = match digest {
            Some(start) => {
                earlier.retain(|record| record.digest.to_string().starts_with(&start.to_ascii_lowercase()));
                if let [first, rest @ ..] = earlier.as_slice()
                    && rest.iter().any(|record| record.digest != first.digest)
                {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!("several exports of `{label}` start with {start}"),
                    )
                    .with_hint("give more of the digest"));
                }
                earlier.into_iter().next()
            }
            None => earlier.into_iter().find(|record| now.as_ref().is_none_or(|now| now.digest != record.digest)),
        };
        let record = chosen.ok_or_else(|| {
            Error::new(ErrorKind::NotFound, format!("there is no such earlier export of `{label}` here"))
                .with_hint(format!("list what there is with `onenb log {name} --working`"))
        })?;
        if now.as_ref() != Some(&record) {
            let pending = Pending {
                worktree: self.git().worktree_id(),
                script: record.producer.code_identity.filter(|_| !record.producer.is_notebook()),
                record: record.clone(),
                time_us: now_us(),
            };
            self.remember(&[(ObjectKind::PENDING, pending.to_bytes())])?;
            self.write_record(&record)?;
        }
        Ok(record)
    }
}
