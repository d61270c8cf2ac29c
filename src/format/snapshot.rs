//! Snapshots and index segments: what a remote knows about one commit, and about one push.
//!
//! | magic 8 | version 4 | features 4 | plain length 8 | zstd of the body | BLAKE3 of everything before 32 |
//!
//! - A [`Snapshot`] is immutable and complete: with it and the packs it names, all exports of a commit can be read.
//! - A [`Segment`] lists the chunks and contents of one push, so that later pushes send only what is new.
//! - The checksum covers every byte, so a changed one is found before anything is unpacked or believed.
//! - This module knows nothing of tags or of the log. Byte layout: `docs/format/remote.md`.

use super::FormatError;
use super::bytes::Fields;
use super::record::ExportRecord;
use super::run::RunRecord;
use super::tables::{DataTables, read_bytes, write_bytes, write_count};
use crate::id::{CommitId, ContentDigest, SessionId};

/// Newest version of snapshots and segments that this program reads and the one that it writes.
pub const SNAPSHOT_VERSION: u32 = 1;
/// Longest encoded snapshot or segment, in bytes.
pub const MAX_SNAPSHOT_LEN: u64 = 256 * 1024 * 1024;
/// Longest body of a snapshot or segment, in bytes.
const MAX_PLAIN_LEN: u64 = 512 * 1024 * 1024;

const SNAPSHOT_MAGIC: [u8; 8] = *b"1nbsnap\n";
const SEGMENT_MAGIC: [u8; 8] = *b"1nbsegm\n";
const CHECKSUM_LEN: usize = 32;
/// The tables are mostly hashes, which no level makes smaller.
const LEVEL: i32 = 3;

/// Everything exported and run as seen at one commit, with where its bytes are.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Name of the repository.
    pub repo_name: String,
    /// The commit.
    pub commit: CommitId,
    /// Its exports, sorted by name and parameter hash.
    pub exports: Vec<ExportRecord>,
    /// Its runs, sorted by path and parameters.
    pub runs: Vec<RunRecord>,
    /// Where the contents are.
    pub data: DataTables,
}

/// What one push added to a remote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// The push.
    pub session: SessionId,
    /// Its contents, and where their chunks are.
    pub data: DataTables,
}

impl Snapshot {
    /// Encodes the snapshot.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut plain = vec![];
        write_bytes(&mut plain, self.repo_name.as_bytes());
        write_bytes(&mut plain, self.commit.as_slice());
        write_count(&mut plain, self.exports.len());
        self.exports.iter().for_each(|export| write_bytes(&mut plain, &export.to_bytes()));
        write_count(&mut plain, self.runs.len());
        self.runs.iter().for_each(|run| write_bytes(&mut plain, &run.to_bytes()));
        self.data.write(&mut plain);
        wrap(SNAPSHOT_MAGIC, &plain)
    }

    /// Decodes a snapshot.
    ///
    /// # Errors
    /// [`FormatError::Malformed`], [`FormatError::TooNew`] or [`FormatError::Unsupported`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let plain = unwrap("snapshot", SNAPSHOT_MAGIC, bytes)?;
        let mut fields = Fields::new("snapshot", &plain);
        let repo_name = std::str::from_utf8(read_bytes(&mut fields)?)
            .map_err(|_| fields.fault("its repository name is no text"))?
            .to_owned();
        super::config::check_repo_name(&repo_name)?;
        let commit =
            CommitId::from_slice(read_bytes(&mut fields)?).ok_or_else(|| fields.fault("its commit id is none"))?;
        let exports = read_list(&mut fields, ExportRecord::from_bytes)?;
        let runs = read_list(&mut fields, RunRecord::from_bytes)?;
        let data = DataTables::read(&mut fields)?;
        fields.finish()?;
        Ok(Self { repo_name, commit, exports, runs, data })
    }

    /// Returns every content that the snapshot needs, with what people call it.
    pub fn needs(&self) -> impl Iterator<Item = (ContentDigest, String)> {
        needs_of(&self.exports, &self.runs)
    }
}

/// Returns every content that exports and runs need, with what people call it.
pub fn needs_of<'a>(
    exports: &'a [ExportRecord],
    runs: &'a [RunRecord],
) -> impl Iterator<Item = (ContentDigest, String)> + use<'a> {
    let exports = exports.iter().map(|export| (export.digest, export.label()));
    exports.chain(runs.iter().map(|run| (run.notebook, run.path.clone())))
}

impl Segment {
    /// Encodes the segment.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut plain = self.session.to_bytes().to_vec();
        self.data.write(&mut plain);
        wrap(SEGMENT_MAGIC, &plain)
    }

    /// Decodes a segment.
    ///
    /// # Errors
    /// [`FormatError::Malformed`], [`FormatError::TooNew`] or [`FormatError::Unsupported`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let plain = unwrap("index segment", SEGMENT_MAGIC, bytes)?;
        let mut fields = Fields::new("index segment", &plain);
        let session = SessionId::from_bytes(fields.array()?);
        let data = DataTables::read(&mut fields)?;
        fields.finish()?;
        Ok(Self { session, data })
    }
}

fn read_list<T>(
    fields: &mut Fields<'_>,
    decode: impl Fn(&[u8]) -> Result<T, FormatError>,
) -> Result<Vec<T>, FormatError> {
    let count = fields.count(4, usize::MAX)?;
    // Capacity is not reserved from the count: a value is far larger in memory than its four bytes here.
    (0..count).map(|_| decode(read_bytes(fields)?)).collect()
}

fn wrap(magic: [u8; 8], plain: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_vec();
    bytes.extend_from_slice(&SNAPSHOT_VERSION.to_le_bytes());
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes.extend_from_slice(&(plain.len() as u64).to_le_bytes());
    bytes.extend_from_slice(&zstd::bulk::compress(plain, LEVEL).expect("zstd takes any bytes at a known level"));
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

fn unwrap(what: &'static str, magic: [u8; 8], bytes: &[u8]) -> Result<Vec<u8>, FormatError> {
    let mut fields = Fields::new(what, bytes);
    if bytes.len() as u64 > MAX_SNAPSHOT_LEN {
        return Err(fields.fault(format!("it is longer than {MAX_SNAPSHOT_LEN} bytes")));
    }
    let covered = fields.clone().take(bytes.len().saturating_sub(CHECKSUM_LEN))?;
    if bytes.get(covered.len()..) != Some(blake3::hash(covered).as_bytes()) {
        return Err(fields.fault("it does not match its checksum"));
    }
    if fields.array::<8>()? != magic {
        return Err(fields.fault("it does not start like one"));
    }
    let version = fields.u32()?;
    if version > SNAPSHOT_VERSION {
        return Err(FormatError::TooNew { what, found: version, known: SNAPSHOT_VERSION });
    }
    let features = fields.u32()?;
    if features != 0 {
        return Err(FormatError::Unsupported { what, feature: format!("feature bits {features:#x}") });
    }
    let plain_len = fields.u64()?;
    let packed = fields.take(fields.len().saturating_sub(CHECKSUM_LEN))?;
    // zstd makes nothing more than some 10,000 times smaller, so a short input cannot ask for much memory.
    let limit = MAX_PLAIN_LEN.min((packed.len() as u64).saturating_mul(16 * 1024));
    let capacity = usize::try_from(plain_len).ok().filter(|_| version > 0 && plain_len <= limit);
    let capacity = capacity.ok_or_else(|| fields.fault("its length is impossible"))?;
    let plain = zstd::bulk::decompress(packed, capacity)
        .map_err(|error| fields.fault(format!("it does not unpack: {error}")))?;
    if plain.len() == capacity { Ok(plain) } else { Err(fields.fault("it unpacks to another length than it says")) }
}

#[cfg(test)]
mod tests;
