//! Metadata objects: small immutable values of the layers above, stored under their hash and listed in a stable order.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::ingest::ForeignPacks;
use super::layout::Stage;
use super::shelf::{open_pack, read_footer, read_frame, scan_file};
use super::verify::list_frames;
use super::{ActiveWrite, Live, Store, StoreError};
use crate::format::FormatError;
use crate::format::bytes::Fields;
use crate::format::pack::{
    Check, Frame, FrameKind, MAX_FRAME_KEYS, MAX_OBJECT_LEN, PackClass, PlacedHeader, ScanDepth,
};
use crate::id::{ObjectId, PackId};

/// Objects are compressed harder than data: they are few, and read often.
const OBJECT_LEVEL: i32 = 3;
/// A cursor position behind everything in a sealed pack.
const FINISHED: u64 = u64::MAX;
const CURSOR_VERSION: u8 = 1;
/// How often all is listed again if a pack goes meanwhile.
const LIST_ATTEMPTS: u32 = 8;
const MAX_CURSOR_PACKS: usize = 1024 * 1024;

/// What an object is. The store knows recipes and their nodes; the others it only keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKind(u8);

impl ObjectKind {
    pub(super) const RECIPE: Self = Self(1);
    pub(super) const RECIPE_NODE: Self = Self(2);
    /// An export that no commit has yet.
    pub const PENDING: Self = Self(3);
    /// A binding of an export to a commit whose tree does not tell.
    pub const LATE_BINDING: Self = Self(4);
    /// The end of a binding.
    pub const UNBINDING: Self = Self(5);
    /// What was pushed where.
    pub const PUSH_LOG: Self = Self(6);
    /// Where a branch started.
    pub const BRANCH_START: Self = Self(7);
    /// Which branch a commit was made on.
    pub const COMMIT_BRANCH: Self = Self(8);
    /// That a content is to be kept, or need not be any more.
    pub const PIN: Self = Self(9);

    /// Returns the kind with a number; `None` for the kinds that the store keeps to itself.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        if byte >= Self::PENDING.0 { Some(Self(byte)) } else { None }
    }

    /// Returns the number of the kind.
    #[must_use]
    pub const fn to_byte(self) -> u8 {
        self.0
    }
}

/// An object to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// What it is.
    pub kind: ObjectKind,
    /// Its bytes, at most 16 MiB.
    pub bytes: Vec<u8>,
    /// Further keys under which its frame is indexed.
    pub aliases: Vec<[u8; 32]>,
}

/// An object read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredObject {
    /// What it is.
    pub kind: ObjectKind,
    /// Its identity.
    pub id: ObjectId,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// How far somebody has listed the objects: a position in each pack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectCursor {
    positions: BTreeMap<PackId, u64>,
}

impl ObjectCursor {
    /// Encodes the cursor.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![CURSOR_VERSION];
        let count = u32::try_from(self.positions.len()).expect("a store has fewer than 2^32 packs");
        bytes.extend_from_slice(&count.to_le_bytes());
        for (pack, position) in &self.positions {
            bytes.extend_from_slice(&pack.to_bytes());
            bytes.extend_from_slice(&position.to_le_bytes());
        }
        bytes
    }

    /// Decodes a cursor.
    ///
    /// # Errors
    /// [`FormatError`]; the caller then starts with an empty cursor.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let mut fields = Fields::new("object cursor", bytes);
        if fields.u8()? != CURSOR_VERSION {
            return Err(fields.fault("its version is unknown"));
        }
        let count = fields.count(24, MAX_CURSOR_PACKS)?;
        let mut positions = BTreeMap::new();
        for _ in 0..count {
            positions.insert(PackId::from_bytes(fields.array()?), fields.u64()?);
        }
        fields.finish()?;
        Ok(Self { positions })
    }
}

impl Store {
    /// Stores objects, durable on return; those that are here already are not stored again.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an object that is too long, [`StoreError::ReadOnly`] or [`StoreError::Io`].
    pub fn put_objects(&self, objects: &[NewObject]) -> Result<Vec<ObjectId>, StoreError> {
        let live = self.live();
        for object in objects {
            if object.bytes.len() > MAX_OBJECT_LEN || object.aliases.len() >= MAX_FRAME_KEYS {
                let source = FormatError::malformed("object", "it is too long");
                return Err(StoreError::Refused { source });
            }
        }
        let _active = ActiveWrite::begin(live)?;
        let failures = live.meta.failures();
        live.meta.refresh()?;
        let mut foreign = ForeignPacks::default();
        let mut taken = HashSet::new();
        let mut ids = vec![];
        let mut frames = vec![];
        for object in objects {
            let id = ObjectId::of(object.kind.to_byte(), &object.bytes);
            ids.push(id);
            if !taken.insert(id) {
                continue;
            }
            if live.object(&id, &mut foreign).is_ok() {
                continue;
            }
            let kind = object.kind.to_byte();
            frames.push(Frame::object(kind, *id.as_bytes(), &object.aliases, object.bytes.clone(), OBJECT_LEVEL));
        }
        foreign.sync()?;
        live.meta.append(&frames)?;
        live.meta.commit(failures)?;
        Ok(ids)
    }

    /// Reads an object.
    ///
    /// # Errors
    /// [`StoreError::UnknownObject`], or an error of kind `Damaged`.
    pub fn get_object(&self, id: &ObjectId) -> Result<StoredObject, StoreError> {
        let live = self.live();
        match live.object(id, &mut ForeignPacks::default()) {
            Err(StoreError::UnknownObject { .. }) => {
                live.meta.refresh()?;
                live.object(id, &mut ForeignPacks::default())
            }
            other => other,
        }
    }

    /// Lists the objects that came in since a cursor, of all processes, in a stable order: by pack, then by position.
    /// Recipes are left out. An object that is damaged is left out as well; [`Store::verify`] names it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn objects_since(&self, cursor: &ObjectCursor) -> Result<(Vec<StoredObject>, ObjectCursor), StoreError> {
        let live = self.live();
        let mut attempts = 0;
        'again: loop {
            attempts += 1;
            let mut next = ObjectCursor::default();
            let mut objects = vec![];
            for pack in live.layout.list_packs(PackClass::Meta)?.into_keys() {
                let from = cursor.positions.get(&pack).copied().unwrap_or(0);
                let position =
                    if from == FINISHED { Some(FINISHED) } else { live.list_pack(pack, from, &mut objects)? };
                match position {
                    Some(position) => drop(next.positions.insert(pack, position)),
                    // Collection moved its objects to a pack that was not listed yet.
                    None if attempts < LIST_ATTEMPTS => continue 'again,
                    None => {}
                }
            }
            return Ok((objects, next));
        }
    }
}

impl Store {
    /// Returns all objects but recipes, each once. One that cannot be read is an error here, because whoever asks must
    /// miss none.
    ///
    /// # Errors
    /// An error of kind `Damaged` or `TooNew`, or [`StoreError::Io`].
    pub fn all_objects(&self) -> Result<Vec<StoredObject>, StoreError> {
        let live = self.live();
        live.meta.refresh()?;
        let (mut objects, mut seen) = (vec![], HashSet::new());
        for pack in live.layout.list_packs(PackClass::Meta)?.into_keys() {
            let Some((file, stage)) = open_pack(&live.layout, PackClass::Meta, pack)? else { continue };
            let mut listing = list_frames(&file, pack)?;
            if let Some(fault) = listing.fault(pack, stage) {
                return Err(fault);
            }
            for placed in listing.frames {
                let FrameKind::Object(kind) = placed.header.kind() else { continue };
                let (Some(_), Some(key)) = (ObjectKind::from_byte(kind), placed.header.keys().first()) else {
                    continue;
                };
                let id = ObjectId::from_bytes(key.id);
                if seen.contains(&id) {
                    continue;
                }
                let frame = read_frame(&file, pack, placed.offset, placed.header.clone());
                let object = match frame.and_then(|frame| decode_object(&frame, &id)) {
                    Ok(object) => object,
                    // It may be sound elsewhere.
                    Err(_) => live.object(&id, &mut ForeignPacks::default())?,
                };
                seen.insert(id);
                objects.push(object);
            }
        }
        Ok(objects)
    }
}

impl Live {
    /// Reads an object from where it is known to be.
    fn object(&self, id: &ObjectId, foreign: &mut ForeignPacks) -> Result<StoredObject, StoreError> {
        let search = self.meta.find(id.as_bytes(), super::shelf::Wanted::All)?;
        let mut fault = search.damage.unwrap_or(StoreError::UnknownObject { id: *id });
        for found in &search.found {
            match found.read().and_then(|frame| decode_object(&frame, id)) {
                Ok(object) => {
                    foreign.rely_on(found);
                    return Ok(object);
                }
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    /// Adds the objects of one pack from a position on, and returns the position behind them; `None` if it is gone.
    fn list_pack(&self, pack: PackId, from: u64, objects: &mut Vec<StoredObject>) -> Result<Option<u64>, StoreError> {
        let Some((file, stage)) = open_pack(&self.layout, PackClass::Meta, pack)? else { return Ok(None) };
        let file = Arc::new(file);
        let (frames, position) = match stage {
            Stage::Sealed => match read_footer(&file, pack) {
                Ok(frames) => (frames, FINISHED),
                Err(_) => scanned(scan_file(&file, pack, from, ScanDepth::Headers)?, from),
            },
            Stage::Open => scanned(scan_file(&file, pack, from, ScanDepth::TailPayloads)?, from),
        };
        for placed in frames.into_iter().filter(|placed| placed.offset >= from) {
            let FrameKind::Object(kind) = placed.header.kind() else { continue };
            let (Some(_), Some(key)) = (ObjectKind::from_byte(kind), placed.header.keys().first()) else { continue };
            let id = ObjectId::from_bytes(key.id);
            let frame = match read_frame(&file, pack, placed.offset, placed.header.clone()) {
                Err(error @ StoreError::Io { .. }) => return Err(error),
                frame => frame,
            };
            objects.extend(frame.and_then(|frame| decode_object(&frame, &id)).ok());
        }
        Ok(Some(position))
    }
}

fn scanned(scan: Option<crate::format::pack::Scan>, from: u64) -> (Vec<PlacedHeader>, u64) {
    scan.map_or((vec![], from), |scan| (scan.frames, scan.end))
}

fn decode_object(frame: &Frame, id: &ObjectId) -> Result<StoredObject, StoreError> {
    let damaged = |source| StoreError::ObjectDamaged { id: *id, source };
    let bytes = frame.decode(Check::Payload).map_err(damaged)?;
    match frame.header().kind() {
        FrameKind::Object(kind) if ObjectId::of(kind, &bytes) == *id => match ObjectKind::from_byte(kind) {
            Some(kind) => Ok(StoredObject { kind, id: *id, bytes }),
            None => Err(StoreError::UnknownObject { id: *id }),
        },
        _ => Err(damaged(FormatError::malformed("object", "its bytes are not what its id says"))),
    }
}
