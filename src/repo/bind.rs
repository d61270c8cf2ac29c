//! `rm`, `bind` and `unbind`: repairs of what commits have. Refused once a pushed tag inherits the change, unless
//! forced.

use std::fs::File;
use std::path::Path;

use super::Repo;
use super::export::check_is_file;
use super::types::{BoundExport, ResolvedExport, Spec};
use super::working::bare;
use crate::error::{Error, ErrorKind, Result};
use crate::format::binding::{LateBinding, Unbinding};
use crate::format::name::{ExportName, Suffix};
use crate::format::params::Params;
use crate::format::record::{ExportRecord, Producer};
use crate::format::spec::WORKING;
use crate::fs;
use crate::id::CommitId;
use crate::store::{ObjectKind, WriteOptions};

impl Repo {
    /// Deletes the record of an export in the work tree and stages that; the next commit no longer has it.
    ///
    /// # Errors
    /// Usage for a revision other than `working` or HEAD, `NotFound`.
    pub fn remove(&self, spec: &Spec) -> Result<String> {
        self.check_writable()?;
        let root = self.work_dir().ok_or_else(bare)?;
        if spec.rev != WORKING && Some(self.commit_of(&spec.rev)?) != self.git().head()? {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("`rm` changes the next commit, and `{}` is history", spec.rev),
            )
            .with_hint(format!("remove it from that commit with `onenb unbind {} {}`", spec.rev, spec.name)));
        }
        let found = match spec.rev.as_str() {
            WORKING => self.working_export(&spec.name, &spec.params)?,
            rev => self.export_at(self.commit_of(rev)?, rev, &spec.name, &spec.params)?,
        };
        let (label, path) = (found.record.label(), found.record.key().record_path());
        let file = root.join(&path);
        if let Some(head) = self.late_bound(&found, &path)? {
            self.check_not_tagged(head, &label)?;
            self.write_unbinding(head, &found.record.name, &found.record.params)?;
        }
        fs::refuse_links(root, &path)?;
        fs::remove_file(&file)?;
        if let Some(folder) = file.parent() {
            fs::remove_dir_if_empty(folder)?;
        }
        self.git().remove_from_index(&[path.as_str()])?;
        Ok(label)
    }

    /// Returns HEAD if it has the export only by a late binding, so that deleting the record would change nothing.
    fn late_bound(&self, found: &BoundExport, path: &str) -> Result<Option<CommitId>> {
        let Some(head) = self.git().head()?.filter(|_| found.commit.is_some()) else { return Ok(None) };
        Ok(self.git().tree_id_at(head, path)?.is_none().then_some(head))
    }

    /// Refuses to take an export away from a commit that a tag names, unless that is what the user typed.
    fn check_not_tagged(&self, commit: CommitId, label: &str) -> Result<()> {
        match self.git().tags()?.into_iter().find(|(_, tagged)| *tagged == commit) {
            Some((tag, _)) => {
                let message = format!("`{label}` was bound to HEAD afterwards, and the tag `{tag}` names that commit");
                Err(Error::new(ErrorKind::Conflict, message).with_hint("take it away from there with `onenb unbind`"))
            }
            None => Ok(()),
        }
    }

    /// Gives a commit the content of an export that was resolved elsewhere.
    ///
    /// # Errors
    /// `NotFound`, Conflict if a pushed tag inherits the change.
    pub fn bind_export(&self, rev: &str, from: &ResolvedExport, force: bool) -> Result<String> {
        let commit = self.commit_of(rev)?;
        let record = from.export.record.clone();
        let _hold = self.hold()?;
        if self.store()?.contains(&record.digest)?.is_none() {
            return Err(Error::new(
                ErrorKind::NotFound,
                format!("the content of `{}` is not in this store", record.label()),
            )
            .with_hint(format!("fetch it first with `onenb pull {}:{}`", from.rev, record.name)));
        }
        self.bind_record(commit, record, force)
    }

    /// Gives a commit the content of a file, under the file's name unless another is given.
    ///
    /// # Errors
    /// Usage for a file without a suffix or with a name that no export can have, Conflict as in [`Repo::bind_export`].
    pub fn bind_file(
        &self,
        rev: &str,
        file: &Path,
        name: Option<ExportName>,
        params: Params,
        force: bool,
    ) -> Result<String> {
        let commit = self.commit_of(rev)?;
        let shown = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let suffix = Suffix::of_file_name(&shown).ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("`{shown}` has no suffix"))
                .with_hint("rename it, for example to `NAME.csv`")
        })?;
        check_is_file(&suffix)?;
        let stem = shown.strip_suffix(suffix.as_str()).unwrap_or(&shown);
        let name = name.map_or_else(|| ExportName::parse(stem), Ok)?;
        let _hold = self.hold()?;
        let mut content = self.store()?.writer(&WriteOptions::default())?;
        std::io::copy(&mut File::open(file)?, &mut content)?;
        let stored = content.finish()?;
        let record = ExportRecord {
            name,
            params,
            digest: stored.digest,
            size: stored.len,
            media_type: suffix.media_type().to_owned(),
            suffix,
            producer: Producer::default(),
            inputs: vec![],
            value: None,
        };
        self.bind_record(commit, record, force)
    }

    /// Takes an export away from a commit and from all that inherit it.
    ///
    /// # Errors
    /// `NotFound`, Conflict as in [`Repo::bind_export`].
    pub fn unbind(&self, rev: &str, name: &ExportName, params: &Params, force: bool) -> Result<String> {
        self.check_writable()?;
        let commit = self.commit_of(rev)?;
        let found = self.export_at(commit, rev, name, params)?;
        self.check_not_pushed(commit, force)?;
        self.write_unbinding(commit, name, params)?;
        Ok(found.record.label())
    }

    fn bind_record(&self, commit: CommitId, record: ExportRecord, force: bool) -> Result<String> {
        self.check_writable()?;
        self.check_name_is_unique(&record.name)?;
        self.check_not_pushed(commit, force)?;
        let label = record.label();
        let binding = LateBinding { commit, record, explicit: true, time_us: self.late_time_us()? };
        self.remember(&[(ObjectKind::LATE_BINDING, binding.to_bytes())])?;
        self.catch_up()?;
        Ok(label)
    }

    fn write_unbinding(&self, commit: CommitId, name: &ExportName, params: &Params) -> Result<()> {
        let time_us = self.late_time_us()?;
        let unbinding = Unbinding { commit, name: name.clone(), params_hash: params.hash(), time_us };
        self.remember(&[(ObjectKind::UNBINDING, unbinding.to_bytes())])?;
        self.catch_up()?;
        Ok(())
    }

    /// Refuses to change what a pushed tag already says.
    fn check_not_pushed(&self, commit: CommitId, force: bool) -> Result<()> {
        let Some(storage) = self.storage()?.filter(|_| !force) else { return Ok(()) };
        for push in self.facts(|view| view.pushes_of(&storage.place()))? {
            let Some(pushed) = push.commit else { continue };
            if pushed == commit || self.git().is_ancestor(commit, pushed)? {
                let message = format!("the pushed tag `{}` inherits from {}", push.tag, commit.short());
                return Err(
                    Error::new(ErrorKind::Conflict, message).with_hint("add `--force` if that is what you want")
                );
            }
        }
        Ok(())
    }
}
