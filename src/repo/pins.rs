//! `pin` and `unpin`: contents that stay in the local store whatever else names them.

use std::collections::BTreeMap;

use super::Repo;
use super::facts::now_us;
use super::types::ResolvedExport;
use crate::error::{Error, ErrorKind, Result};
use crate::format::binding::Pin;
use crate::id::{ContentDigest, ObjectId};
use crate::store::{ObjectKind, StoredObject};

impl Repo {
    /// Keeps the content of an export in this store until it is unpinned.
    ///
    /// # Errors
    /// `NotFound` if the content is not here.
    pub fn pin(&self, export: &ResolvedExport) -> Result<Pin> {
        self.check_writable()?;
        let _hold = self.hold()?;
        let record = export.export.record.clone();
        if self.store()?.contains(&record.digest)?.is_none() {
            let message = format!("the content of `{}` is not in this store", record.label());
            let hint = format!("fetch it first with `onenb pull {}:{}`", export.rev, record.name);
            return Err(Error::new(ErrorKind::NotFound, message).with_hint(hint));
        }
        let pin = Pin { record, spec: shown(export), pinned: true, time_us: now_us() };
        self.remember(&[(ObjectKind::PIN, pin.to_bytes())])?;
        Ok(pin)
    }

    /// Takes a pin back. Whatever else names the content still keeps it.
    ///
    /// # Errors
    /// `NotFound` if the content is not pinned.
    pub fn unpin(&self, digest: &ContentDigest) -> Result<Pin> {
        self.check_writable()?;
        let Some(known) = self.pins()?.into_iter().find(|pin| pin.record.digest == *digest) else {
            return Err(Error::new(ErrorKind::NotFound, format!("content {} is not pinned", digest.short()))
                .with_hint("list what is with `onenb pin`"));
        };
        let time_us = now_us().max(known.time_us.saturating_add(1));
        let pin = Pin { pinned: false, time_us, ..known };
        self.remember(&[(ObjectKind::PIN, pin.to_bytes())])?;
        Ok(pin)
    }

    /// Returns what is pinned, by name, then time.
    ///
    /// # Errors
    /// What reading the store can meet.
    pub fn pins(&self) -> Result<Vec<Pin>> {
        let Some(store) = self.store_if_present()? else { return Ok(vec![]) };
        pinned(&store.all_objects()?)
    }
}

fn shown(export: &ResolvedExport) -> String {
    format!("{}:{}", export.rev, export.export.record.label())
}

/// Returns the pins that hold: for each content the latest word counts.
pub(super) fn pinned(objects: &[StoredObject]) -> Result<Vec<Pin>> {
    let mut latest: BTreeMap<ContentDigest, (i64, ObjectId, Pin)> = BTreeMap::new();
    for object in objects.iter().filter(|object| object.kind == ObjectKind::PIN) {
        let pin = Pin::from_bytes(&object.bytes)?;
        let known = latest.get(&pin.record.digest);
        if known.is_none_or(|(time_us, id, _)| (*time_us, *id) < (pin.time_us, object.id)) {
            latest.insert(pin.record.digest, (pin.time_us, object.id, pin));
        }
    }
    let mut pins: Vec<Pin> = latest.into_values().map(|(.., pin)| pin).filter(|pin| pin.pinned).collect();
    pins.sort_by(|a, b| (&a.record.name, a.time_us).cmp(&(&b.record.name, b.time_us)));
    Ok(pins)
}
