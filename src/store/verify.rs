//! Reading everything to say what is damaged, and counting everything to say how large it is.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use super::layout::Stage;
use super::notes::FramePosition;
use super::objects::ObjectKind;
use super::reader::{ContentReader, FrameCache};
use super::shelf::{open_pack, read_footer, read_frame, read_pack_header, read_trailer, scan_file};
use super::{Live, Store, StoreError};
use crate::error::{Classify as _, ErrorKind};
use crate::format::pack::{Check, FrameKind, PACK_HEADER_LEN, PackClass, PlacedHeader, ScanDepth};
use crate::format::recipe::{Recipe, RecipeBody, RecipeNode};
use crate::fs::read_exact_at;
use crate::id::{ChunkId, ContentDigest, ObjectId, PackId, RecipeId};

const BLOCK_LEN: usize = 1024 * 1024;

/// One thing that is not what was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What it is, in words: `chunk …`, `recipe …`, `pack …`.
    pub object: String,
    /// The pack it is in, where that is known.
    pub pack: Option<PackId>,
    /// Contents that cannot be read in full because of it.
    pub contents: Vec<ContentDigest>,
    /// What is wrong.
    pub reason: String,
}

/// What a check of the whole store came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct VerifyReport {
    /// Packs read, of both classes.
    pub packs: u64,
    /// Frames read.
    pub frames: u64,
    /// Contents whose every byte was read and hashed, damaged ones included.
    pub contents: u64,
    /// Everything damaged; empty if all is well.
    pub damaged: Vec<Damage>,
}

/// How large a store is. All lengths are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreStats {
    /// Different contents.
    pub contents: u64,
    /// Sum of their lengths.
    pub raw_bytes: u64,
    /// Raw length of all different chunks, and of the contents that lie in their recipes.
    pub unique_bytes: u64,
    /// Length of all packs on disk.
    pub stored_bytes: u64,
    /// What delta frames are smaller than their chunks, compression included.
    pub delta_saved_bytes: u64,
    /// Packs, of both classes.
    pub packs: u64,
    /// Different chunks.
    pub chunks: u64,
}

/// What the first pass learns.
#[derive(Default)]
struct Survey {
    report: VerifyReport,
    /// Chunks that are sound somewhere.
    sound: HashSet<ChunkId>,
    /// Chunks named by a frame that does not hold them, with where and why.
    broken: BTreeMap<[u8; 32], (PackId, String)>,
    /// Every content that a recipe frame names.
    contents: BTreeMap<[u8; 32], PackId>,
    /// Objects that are sound somewhere.
    sound_objects: HashSet<[u8; 32]>,
    /// Objects whose frame does not hold them.
    broken_objects: Vec<([u8; 32], Damage)>,
    /// Frames of chunks that hold what they say, and those that do not.
    sound_frames: HashSet<FramePosition>,
    broken_frames: Vec<FramePosition>,
    /// Frames that others lean on.
    cache: FrameCache,
}

impl Survey {
    fn damage(&mut self, object: String, pack: PackId, reason: &dyn std::error::Error) {
        self.report.damaged.push(Damage { object, pack: Some(pack), contents: vec![], reason: reason_of(reason) });
    }
}

fn reason_of(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

impl Store {
    /// Reads every pack and every content and reports all damage. `progress` is told how many bytes of the packs were
    /// read and how many there are; contents are read after that. What has a sound copy elsewhere is no damage. Frames
    /// found damaged are noted, so that the next writer stores their chunks anew.
    ///
    /// # Errors
    /// [`StoreError::Io`]; damage is no error here.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport, StoreError> {
        let live = self.live();
        live.data.refresh()?;
        live.meta.refresh()?;
        let mut survey = Survey::default();
        let packs = live.all_packs()?;
        // Or what is collected meanwhile would look lost.
        let _hold = if packs.is_empty() { None } else { self.hold().ok() };
        let (mut done, mut total) = (0, packs.iter().map(|(_, _, len)| len).sum());
        // Chunks are written before what names them, so they are read behind it: what is exported meanwhile is whole.
        for class in [PackClass::Meta, PackClass::Data] {
            for (pack, len) in live.packs_of(class)? {
                // Opened one at a time: there may be more packs than a process may open files.
                if let Some((file, stage)) = open_pack(&live.layout, class, pack)? {
                    live.survey_pack(pack, &file, stage, &mut survey)?;
                }
                done += len;
                total = done.max(total);
                progress(done, total);
            }
        }
        survey.broken_frames.iter().for_each(|frame| live.data.note_damage(*frame));
        live.data.take_back_notes(|frame| survey.sound_frames.contains(frame));
        let lost = std::mem::take(&mut survey.broken_objects).into_iter();
        let lost = lost.filter(|(id, _)| !survey.sound_objects.contains(id)).map(|(_, damage)| damage);
        survey.report.damaged.extend(lost);
        live.survey_contents(&mut survey)?;
        let broken = std::mem::take(&mut survey.broken);
        for (id, (pack, reason)) in broken {
            let id = ChunkId::from_bytes(id);
            let object = format!("chunk {id}");
            let known = survey.report.damaged.iter().any(|damage| damage.object == object);
            if !known && !survey.sound.contains(&id) {
                survey.report.damaged.push(Damage { object, pack: Some(pack), contents: vec![], reason });
            }
        }
        Ok(survey.report)
    }

    /// Counts what the store holds, and says how many bytes of the packs each chunk takes: its part of a frame.
    ///
    /// # Errors
    /// [`StoreError::Io`]; what is damaged is not counted.
    pub fn stats(&self) -> Result<(StoreStats, HashMap<ChunkId, u64>), StoreError> {
        let live = self.live();
        let mut stats = StoreStats::default();
        let mut costs = HashMap::new();
        let mut contents = HashSet::new();
        for (class, pack, len) in live.all_packs()? {
            let Some((file, _)) = open_pack(&live.layout, class, pack)? else { continue };
            stats.packs += 1;
            stats.stored_bytes += len;
            let frames = list_frames(&file, pack)?.frames;
            for placed in frames {
                match (class, placed.header.kind()) {
                    (PackClass::Data, FrameKind::Chunks) => {
                        let (frame_len, raw_len) = (placed.header.frame_len(), u64::from(placed.header.raw_len()));
                        for key in placed.header.keys() {
                            if let Entry::Vacant(slot) = costs.entry(ChunkId::from_bytes(key.id)) {
                                slot.insert(frame_len * u64::from(key.len) / raw_len.max(1));
                                stats.unique_bytes += u64::from(key.len);
                            }
                        }
                        if placed.header.delta_depth() > 0 {
                            stats.delta_saved_bytes += raw_len.saturating_sub(frame_len);
                        }
                    }
                    (PackClass::Meta, FrameKind::Object(kind)) if kind == ObjectKind::RECIPE.to_byte() => {
                        let frame = read_frame(&file, pack, placed.offset, placed.header);
                        let bytes = frame.ok().and_then(|frame| frame.decode(Check::Payload).ok());
                        let Some(Ok(recipe)) = bytes.map(|bytes| Recipe::from_bytes(&bytes)) else { continue };
                        if contents.insert(recipe.digest()) {
                            stats.raw_bytes += recipe.len();
                            let inline = matches!(recipe.body(), RecipeBody::Inline(_));
                            stats.unique_bytes += if inline { recipe.len() } else { 0 };
                        }
                    }
                    _ => {}
                }
            }
        }
        stats.chunks = costs.len() as u64;
        stats.contents = contents.len() as u64;
        Ok((stats, costs))
    }
}

type OpenedPack = (PackClass, PackId, u64);

impl Live {
    fn all_packs(&self) -> Result<Vec<OpenedPack>, StoreError> {
        let of = |class| Ok(self.packs_of(class)?.into_iter().map(move |(pack, len)| (class, pack, len)));
        Ok(of(PackClass::Data)?.chain(of(PackClass::Meta)?).collect())
    }

    fn packs_of(&self, class: PackClass) -> Result<Vec<(PackId, u64)>, StoreError> {
        let mut packs = vec![];
        for pack in self.layout.list_packs(class)?.into_keys() {
            let Some((file, stage)) = open_pack(&self.layout, class, pack)? else { continue };
            let wrap = |error| StoreError::io("read", &self.layout.pack_path(class, pack, stage), error);
            let len = file.metadata().map_err(wrap)?.len();
            // The end of a sealed pack is checked with it; of an open one only what was committed counts.
            if stage == Stage::Open && len < PACK_HEADER_LEN as u64 {
                continue;
            }
            packs.push((pack, len));
        }
        Ok(packs)
    }

    fn survey_pack(&self, pack: PackId, file: &File, stage: Stage, survey: &mut Survey) -> Result<(), StoreError> {
        survey.report.packs += 1;
        if let Err(error) = only_damage(read_pack_header(file, pack).map(drop))? {
            survey.damage(format!("pack {pack}"), pack, &error);
        }
        let Listing { frames, gaps, directory_fault } = list_frames(file, pack)?;
        let sealed = stage == Stage::Sealed;
        if let Some(error) = directory_fault.filter(|_| sealed) {
            survey.damage(format!("directory of pack {pack}"), pack, &error);
        }
        for Range { start, end } in gaps {
            let object = format!("pack {pack}, bytes {start} to {}", end - 1);
            let reason = "no frame can be read there, and what follows was acknowledged".to_owned();
            survey.report.damaged.push(Damage { object, pack: Some(pack), contents: vec![], reason });
        }
        let faults = survey.report.damaged.len() + survey.broken_objects.len();
        for placed in frames {
            survey.report.frames += 1;
            self.check_frame(file, pack, &placed, survey)?;
        }
        // Frames account for nearly every byte; the digest also covers markers. One report per fault is enough.
        let more = survey.report.damaged.len() + survey.broken_objects.len();
        if sealed && more == faults && survey.broken.values().all(|(at, _)| *at != pack) {
            check_body(file, pack, survey)?;
        }
        Ok(())
    }

    fn check_frame(
        &self,
        file: &File,
        pack: PackId,
        placed: &PlacedHeader,
        survey: &mut Survey,
    ) -> Result<(), StoreError> {
        let mut header = vec![0; placed.header.encoded_len()];
        let same = read_exact_at(file, &mut header, placed.offset).is_ok() && header == placed.header.to_bytes();
        let frame = only_damage(read_frame(file, pack, placed.offset, placed.header.clone()))?;
        let base = only_damage(self.base_bytes(&placed.header, &mut survey.cache))?;
        let raw = frame.map_err(|error| reason_of(&error)).and_then(|frame| {
            if !same {
                return Err("its header differs from the directory".to_owned());
            }
            let base = base.map_err(|error| format!("what it leans on cannot be read: {error}"))?;
            frame.decode_on(&base, Check::Chunks).map_err(|error| error.to_string())
        });
        let position = (pack, placed.offset);
        match (placed.header.kind(), raw) {
            (FrameKind::Chunks, Ok(_)) => {
                survey.sound_frames.insert(position);
                survey.sound.extend(placed.header.keys().iter().map(|key| ChunkId::from_bytes(key.id)));
            }
            (FrameKind::Chunks, Err(reason)) => {
                survey.broken_frames.push(position);
                for key in placed.header.keys() {
                    survey.broken.insert(key.id, (pack, reason.clone()));
                }
            }
            (FrameKind::Object(kind), raw) => check_object(kind, raw, pack, placed, survey),
            (FrameKind::Marker, _) => {}
        }
        Ok(())
    }

    /// Reads every content in full and says which chunks keep it from being read.
    fn survey_contents(self: &Arc<Self>, survey: &mut Survey) -> Result<(), StoreError> {
        let mut blocked: HashMap<String, Damage> = HashMap::new();
        let contents = std::mem::take(&mut survey.contents);
        for (digest, pack) in contents {
            let digest = ContentDigest::from_bytes(digest);
            survey.report.contents += 1;
            let faults = match self.check_content(&digest, survey) {
                Ok(faults) => faults,
                Err(error @ StoreError::Io { .. }) => return Err(error),
                Err(error) => vec![(format!("content {digest}"), Some(pack), reason_of(&error))],
            };
            for (object, pack, reason) in faults {
                let damage = blocked.entry(object.clone());
                let damage = damage.or_insert(Damage { object, pack, contents: vec![], reason });
                damage.contents.push(digest);
            }
        }
        let mut blocked: Vec<_> = blocked.into_values().collect();
        blocked.sort_by(|a, b| a.object.cmp(&b.object));
        survey.report.damaged.extend(blocked);
        Ok(())
    }

    fn check_content(
        self: &Arc<Self>,
        digest: &ContentDigest,
        survey: &Survey,
    ) -> Result<Vec<(String, Option<PackId>, String)>, StoreError> {
        let (recipe, _) = self.recipe(digest)?;
        let nodes = self.nodes(&recipe)?;
        let flat = match recipe.body() {
            RecipeBody::Flat(chunks) => chunks.as_slice(),
            _ => &[],
        };
        let mut faults = vec![];
        let mut seen = HashSet::new();
        for chunk in flat.iter().chain(nodes.iter().flat_map(RecipeNode::chunks)) {
            if seen.insert(chunk.id) && !survey.sound.contains(&chunk.id) {
                let at = survey.broken.get(chunk.id.as_bytes());
                let reason = at.map_or_else(|| "it is in no local pack".to_owned(), |(_, reason)| reason.clone());
                faults.push((format!("chunk {}", chunk.id), at.map(|(pack, _)| *pack), reason));
            }
        }
        if faults.is_empty() && self.hash_content(digest)? != *digest {
            faults.push((format!("content {digest}"), None, "its bytes do not hash to its digest".to_owned()));
        }
        Ok(faults)
    }

    fn hash_content(self: &Arc<Self>, digest: &ContentDigest) -> Result<ContentDigest, StoreError> {
        let mut reader = ContentReader::open(Arc::clone(self), digest)?;
        let mut hasher = blake3::Hasher::new();
        let mut block = vec![0; BLOCK_LEN];
        loop {
            let count = reader.pull(&mut block)?;
            if count == 0 {
                return Ok(ContentDigest::from_bytes(*hasher.finalize().as_bytes()));
            }
            hasher.update(block.get(..count).unwrap_or_default());
        }
    }
}

/// The frames of a pack.
pub(super) struct Listing {
    pub(super) frames: Vec<PlacedHeader>,
    /// Where a scan found none between others.
    pub(super) gaps: Vec<Range<u64>>,
    /// Why the pack had to be scanned.
    pub(super) directory_fault: Option<StoreError>,
}

impl Listing {
    /// Takes out why frames may be missing from the list.
    pub(super) fn fault(&mut self, pack: PackId, stage: Stage) -> Option<StoreError> {
        // An open pack has no directory.
        let counts = |error: &StoreError| stage == Stage::Sealed || error.kind() == ErrorKind::TooNew;
        let gap = self.gaps.first().map(|gap| {
            let source = crate::format::FormatError::malformed("pack", "a part of it cannot be read");
            StoreError::PackDamaged { pack, offset: gap.start, source }
        });
        self.directory_fault.take().filter(counts).or(gap)
    }
}

/// Lists the frames of a pack: from its directory, or by scanning it where that fails.
pub(super) fn list_frames(file: &File, pack: PackId) -> Result<Listing, StoreError> {
    match only_damage(read_footer(file, pack))? {
        Ok(frames) => Ok(Listing { frames, gaps: vec![], directory_fault: None }),
        Err(error) => {
            let found = only_damage(scan_file(file, pack, 0, ScanDepth::Headers))?.ok().flatten();
            let (frames, gaps) = found.map(|found| (found.frames, found.gaps)).unwrap_or_default();
            Ok(Listing { frames, gaps, directory_fault: Some(error) })
        }
    }
}

/// Lets failures of the system through and keeps damage as a value.
fn only_damage<T>(result: Result<T, StoreError>) -> Result<Result<T, StoreError>, StoreError> {
    match result {
        Err(error @ StoreError::Io { .. }) => Err(error),
        other => Ok(other),
    }
}

fn check_object(kind: u8, raw: Result<Vec<u8>, String>, pack: PackId, placed: &PlacedHeader, survey: &mut Survey) {
    let mut keys = placed.header.keys().iter().map(|key| key.id);
    let Some(own) = keys.next() else { return };
    let is_recipe = kind == ObjectKind::RECIPE.to_byte();
    if is_recipe {
        survey.contents.extend(keys.map(|alias| (alias, pack)));
    }
    let fault = match raw {
        Err(reason) => reason,
        Ok(bytes) => {
            let node = kind == ObjectKind::RECIPE_NODE.to_byte();
            let id = if is_recipe || node {
                *RecipeId::of(&bytes).as_bytes()
            } else {
                *ObjectId::of(kind, &bytes).as_bytes()
            };
            if id == own {
                survey.sound_objects.insert(own);
                return;
            }
            "its bytes are not what its id says".to_owned()
        }
    };
    // A damaged recipe or node shows again at each content it serves; an object of another kind shows only here.
    let object = match ObjectKind::from_byte(kind) {
        None => format!("recipe {}", RecipeId::from_bytes(own)),
        Some(_) => format!("object {}", ObjectId::from_bytes(own)),
    };
    survey.broken_objects.push((own, Damage { object, pack: Some(pack), contents: vec![], reason: fault }));
}

/// Hashes everything before the directory, which also covers what lies between frames.
fn check_body(file: &File, pack: PackId, survey: &mut Survey) -> Result<(), StoreError> {
    let Ok(trailer) = only_damage(read_trailer(file, pack))? else { return Ok(()) };
    let mut hasher = blake3::Hasher::new();
    let mut offset = 0;
    while offset < trailer.footer_offset {
        let len = (trailer.footer_offset - offset).min(BLOCK_LEN as u64);
        let mut block = vec![0; usize::try_from(len).unwrap_or(BLOCK_LEN)];
        let wrap = |source| StoreError::Io { doing: "read", path: format!("{pack}.pack").into(), source };
        read_exact_at(file, &mut block, offset).map_err(wrap)?;
        hasher.update(&block);
        offset += len;
    }
    if *hasher.finalize().as_bytes() != trailer.body_digest {
        let error = crate::format::FormatError::malformed("pack", "its bytes do not hash to its digest");
        survey.damage(format!("pack {pack}"), pack, &error);
    }
    Ok(())
}
