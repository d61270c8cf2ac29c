//! Directories as exports: each file a content of its own, and a manifest that names them all as the export's content.
//!
//! - Links are never followed: those that stay inside are kept as links, others are refused, and so is whatever is
//!   neither file, directory nor link.
//! - All contents of a directory are one batch of the store. A file that looks as it did the last time is not read.
//! - Restoring fills a new folder beside the final name, files first and links last, and checks every file's digest.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::export::record_of;
use super::files::Source;
use super::read::ExportReader;
use super::stat_cache::{Stamp, StatCache, shows_every_change};
use super::types::{BoundExport, ExportOptions, ExportOutcome, Progress, ProgressFn, ResolvedExport};
use super::{Repo, Workspace};
use crate::error::{Error, ErrorKind, Result};
use crate::format::directory::{MAX_MANIFEST_LEN, Manifest, Member, MemberKind, MemberPath};
use crate::format::record::ExportRecord;
use crate::fs::PendingFolder;
use crate::id::ContentDigest;
use crate::store::{ContentBatch, WriteOptions};

/// Bytes that are copied at once.
const COPY_LEN: usize = 256 * 1024;
/// Directories within each other, at most.
const MAX_DEPTH: usize = 128;
/// How much of a manifest is read to see that it is one, in bytes.
const PEEK_LEN: u64 = 1024;

/// What the export of a directory became.
#[derive(Debug, Clone)]
pub struct DirectoryOutcome {
    /// The export.
    pub export: ExportOutcome,
    /// Its members.
    pub members: usize,
    /// Files that had to be read, because they do not look as they did the last time.
    pub files_read: usize,
}

/// One member of a directory export.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberRow {
    /// Path below the directory.
    pub path: String,
    /// `file`, `directory` or `link`.
    pub kind: &'static str,
    /// Length in bytes; 0 for what is no file.
    pub size: u64,
    /// Content of a file.
    pub digest: Option<ContentDigest>,
    /// Whether a file may be run.
    pub executable: bool,
    /// Target of a link.
    pub target: Option<String>,
}

/// Something found in a directory.
enum Entry {
    File { stamp: Stamp, executable: bool },
    EmptyDirectory,
    Link(String),
}

type Entries = BTreeMap<MemberPath, Entry>;

impl Repo {
    /// Exports a directory. The suffix of the options is made that of a directory.
    ///
    /// # Errors
    /// Usage for members that cannot be kept, naming them; `Failed` for a file that changes while it is read; what
    /// writing can meet. The previous version then stays.
    pub fn export_directory(
        &self,
        mut options: ExportOptions,
        dir: &Path,
        progress: ProgressFn<'_>,
    ) -> Result<DirectoryOutcome> {
        self.check_export(&options.name)?;
        options.suffix = options.suffix.into_directory();
        let root = dir.canonicalize().map_err(|error| could_not("read", dir, error))?;
        let is_noted = shows_every_change(&root);
        let _hold = self.hold()?;
        let started = SystemTime::now();
        let entries = scan(&root)?;
        let earlier = self.earlier_versions(&options);
        let mut intake = Intake {
            repo: self,
            before: self.member_contents(&earlier),
            root: &root,
            known: if is_noted { StatCache::load(self, &root) } else { StatCache::default() },
            is_noted,
            noted: StatCache::default(),
            batch: self.store()?.batch(&WriteOptions::default())?,
            started,
            files_read: 0,
            stored_len: 0,
            progress: Progress { doing: "exporting", done: 0, total: Some(total_len(&entries)) },
        };
        let mut members = vec![];
        for (path, entry) in entries {
            let kind = intake.take(&path, entry, progress)?;
            members.push(Member { path, kind });
        }
        let manifest = Manifest::new(members)?;
        let Intake { mut batch, noted, files_read, mut stored_len, .. } = intake;
        let mut writer = batch.writer(earlier);
        writer.push(&manifest.to_bytes())?;
        let stored = batch.add(writer)?;
        stored_len += batch.commit()?;
        let content = (stored.digest, manifest.total_len());
        let record = record_of(&options, content, self.producer(options.producer.as_deref()), None);
        let export = self.conclude(&options, record, stored_len)?;
        if is_noted {
            noted.save(self, &root);
        }
        Ok(DirectoryOutcome { export, members: manifest.members().len(), files_read })
    }

    /// Returns the files of the first of some earlier versions, as far as it can be read.
    fn member_contents(&self, earlier: &[ContentDigest]) -> BTreeMap<MemberPath, ContentDigest> {
        let manifest = earlier.first().and_then(|digest| read_manifest(self.open_object(digest).ok()?).ok());
        let manifest = manifest.unwrap_or_default();
        manifest.contents().map(|(path, digest)| (path.clone(), digest)).collect()
    }

    /// Reads the manifest of a directory export; empty for other exports, and for one whose manifest is not here.
    pub(super) fn local_members(&self, record: &ExportRecord) -> Result<Manifest> {
        if !record.suffix.is_directory() {
            return Ok(Manifest::default());
        }
        match self.store_if_present()? {
            Some(store) if store.contains(&record.digest)?.is_some() => {
                read_manifest(self.open_object(&record.digest)?)
            }
            _ => Ok(Manifest::default()),
        }
    }
}

/// A directory being taken into the store.
struct Intake<'a> {
    repo: &'a Repo,
    /// The files of the version before.
    before: BTreeMap<MemberPath, ContentDigest>,
    root: &'a Path,
    known: StatCache,
    is_noted: bool,
    noted: StatCache,
    batch: ContentBatch,
    started: SystemTime,
    files_read: usize,
    stored_len: u64,
    progress: Progress,
}

impl Intake<'_> {
    fn take(&mut self, path: &MemberPath, entry: Entry, progress: ProgressFn<'_>) -> Result<MemberKind> {
        let (stamp, executable) = match entry {
            Entry::EmptyDirectory => return Ok(MemberKind::EmptyDirectory),
            Entry::Link(target) => return Ok(MemberKind::Link { target }),
            Entry::File { stamp, executable } => (stamp, executable),
        };
        let size = stamp.size();
        let known = self.known.find(path.as_str(), &stamp);
        let digest = match known {
            Some(digest) if self.repo.store()?.is_complete(&digest)? => {
                self.progress.done += size;
                digest
            }
            _ => self.read(path, &stamp, progress)?,
        };
        self.noted.note(path.as_str(), stamp, digest, self.started);
        Ok(MemberKind::File { digest, size, executable })
    }

    fn read(&mut self, path: &MemberPath, stamp: &Stamp, progress: ProgressFn<'_>) -> Result<ContentDigest> {
        let place = self.root.join(path.as_str());
        let file = File::open(&place).map_err(|error| could_not("read", &place, error))?;
        let source = Source { place: &place, file, stamp: *stamp, started: self.started, is_noted: self.is_noted };
        let mut writer = self.batch.writer(self.before.get(path).copied().into_iter().collect());
        source.read(&mut self.progress, progress, |bytes| Ok(writer.push(bytes)?))?;
        let stored = self.batch.add(writer)?;
        self.files_read += 1;
        self.stored_len += stored.stored_bytes;
        Ok(stored.digest)
    }
}

/// Lists what lies in a directory, without following links.
fn scan(root: &Path) -> Result<Entries> {
    let mut entries = Entries::new();
    let mut folders = vec![(root.to_path_buf(), String::new(), 0)];
    while let Some((folder, prefix, depth)) = folders.pop() {
        let mut is_empty = true;
        for found in std::fs::read_dir(&folder).map_err(|error| could_not("list", &folder, error))? {
            let place = found.map_err(|error| could_not("list", &folder, error))?.path();
            let metadata = place.symlink_metadata().map_err(|error| could_not("read", &place, error))?;
            let below = member_path(&place, &prefix)?;
            is_empty = false;
            if metadata.is_dir() {
                if depth == MAX_DEPTH {
                    return Err(refused(&place, "it lies too deep"));
                }
                folders.push((place, format!("{below}/"), depth + 1));
            } else {
                entries.insert(below, entry_of(&place, &metadata)?);
            }
        }
        if is_empty && !prefix.is_empty() {
            entries.insert(MemberPath::parse(prefix.trim_end_matches('/'))?, Entry::EmptyDirectory);
        }
    }
    Ok(entries)
}

fn member_path(place: &Path, prefix: &str) -> Result<MemberPath> {
    let name = place.file_name().unwrap_or_default();
    let name = name.to_str().ok_or_else(|| refused(place, "its name is not UTF-8"))?;
    Ok(MemberPath::parse(&format!("{prefix}{name}"))?)
}

fn entry_of(place: &Path, metadata: &Metadata) -> Result<Entry> {
    if metadata.is_file() {
        return Ok(Entry::File { stamp: Stamp::of(metadata), executable: is_executable(metadata) });
    }
    if !metadata.is_symlink() {
        return Err(refused(place, "it is neither a file, a directory nor a link"));
    }
    let target = std::fs::read_link(place).map_err(|error| could_not("read", place, error))?;
    let target = target.into_os_string().into_string().map_err(|_| refused(place, "its target is not UTF-8"))?;
    Ok(Entry::Link(target))
}

fn is_executable(metadata: &Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        metadata.permissions().mode() & 0o100 != 0
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}

fn total_len(entries: &Entries) -> u64 {
    let sizes = entries.values().map(|entry| match entry {
        Entry::File { stamp, .. } => stamp.size(),
        _ => 0,
    });
    sizes.sum()
}

fn could_not(doing: &str, path: &Path, error: io::Error) -> Error {
    Error::from(error).context(format!("could not {doing} `{}`", path.display()))
}

fn refused(place: &Path, reason: &str) -> Error {
    Error::new(ErrorKind::Usage, format!("`{}` cannot be exported: {reason}", place.display()))
        .with_hint("remove it from the directory, or export a packed file such as `.zip`")
}

pub(super) fn read_manifest(mut reader: ExportReader) -> Result<Manifest> {
    let mut bytes = vec![];
    reader.by_ref().take(PEEK_LEN).read_to_end(&mut bytes)?;
    // What is none need not be read to its end to know that.
    Manifest::check_start(&bytes)?;
    reader.take(MAX_MANIFEST_LEN + 1).read_to_end(&mut bytes)?;
    Ok(Manifest::from_bytes(&bytes)?)
}

/// Hashes a directory as its export would be; used for copies in the cache.
pub(super) fn digest_of_directory(root: &Path) -> Result<ContentDigest> {
    let mut members = vec![];
    for (path, entry) in scan(root)? {
        let kind = match entry {
            Entry::EmptyDirectory => MemberKind::EmptyDirectory,
            Entry::Link(target) => MemberKind::Link { target },
            Entry::File { executable, .. } => {
                let (digest, size) = super::hash_reader(&mut File::open(root.join(path.as_str()))?)?;
                MemberKind::File { digest, size, executable }
            }
        };
        members.push(Member { path, kind });
    }
    Ok(ContentDigest::of(&Manifest::new(members)?.to_bytes()))
}

impl Workspace {
    /// Lists the members of a directory export.
    ///
    /// # Errors
    /// Usage for an export that is no directory; what reading can meet.
    pub fn members(&self, export: &ResolvedExport) -> Result<Vec<MemberRow>> {
        Ok(self.manifest(export)?.members().iter().map(row_of).collect())
    }

    /// Opens one file of a directory export, also through links within it.
    ///
    /// # Errors
    /// `NotFound` with the nearest paths; Usage for an export that is no directory; what reading can meet.
    pub fn read_member(&self, export: &ResolvedExport, path: &str) -> Result<ExportReader> {
        let manifest = self.manifest(export)?;
        let found = manifest.resolve(path).map(|member| &member.kind);
        let Some(MemberKind::File { digest, size, .. }) = found else {
            let label = export.export.record.label();
            let paths = manifest.contents().map(|(path, _)| path.as_str());
            let hint = match crate::git::nearest(path, paths).first() {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("list its members with `onenb show {}:{label} --members`", export.rev),
            };
            let error = Error::new(ErrorKind::NotFound, format!("`{label}` has no file `{path}`"));
            return Err(error.with_hint(hint));
        };
        self.read(&member_of(export, *digest, *size))
    }

    /// Writes a directory export to `target`, which must not exist. It appears whole or not at all. Returns the number
    /// of members.
    ///
    /// # Errors
    /// `Conflict` if something is there; what reading and writing can meet.
    pub fn restore_directory(&self, export: &ResolvedExport, target: &Path, progress: ProgressFn<'_>) -> Result<usize> {
        let exists = || {
            Error::new(ErrorKind::Conflict, format!("`{}` exists", target.display()))
                .with_hint("a folder is never replaced: remove it, or choose another name with `-o DIR`")
        };
        if target.symlink_metadata().is_ok() {
            return Err(exists());
        }
        let manifest = self.manifest(export)?;
        let failed = |error| could_not("write", target, error);
        let folder = PendingFolder::create(target).map_err(failed)?;
        let mut at = Progress { doing: "writing", done: 0, total: Some(manifest.total_len()) };
        for member in manifest.members() {
            check_for_this_system(&member.path)?;
            match &member.kind {
                MemberKind::File { digest, size, executable } => {
                    let reader = self.read(&member_of(export, *digest, *size))?;
                    let mut file = folder.create_file(Path::new(member.path.as_str())).map_err(failed)?;
                    copy_verified(reader, &mut file, digest, &mut at, progress)?;
                    file.finish(*executable).map_err(failed)?;
                }
                MemberKind::EmptyDirectory => {
                    folder.create_folder(Path::new(member.path.as_str())).map_err(failed)?;
                }
                MemberKind::Link { .. } => {}
            }
        }
        for member in manifest.members() {
            if let MemberKind::Link { target } = &member.kind {
                folder.create_link(Path::new(member.path.as_str()), target).map_err(failed)?;
            }
        }
        if folder.publish_new().map_err(failed)? { Ok(manifest.members().len()) } else { Err(exists()) }
    }

    fn manifest(&self, export: &ResolvedExport) -> Result<Manifest> {
        let record = &export.export.record;
        if !record.suffix.is_directory() {
            return Err(Error::new(ErrorKind::Usage, format!("`{}` is one file, and has no members", record.label()))
                .with_hint("read it with `onenb cat` without a member"));
        }
        let manifest = read_manifest(self.read(export)?);
        manifest.map_err(|error| error.context(format!("could not read the members of `{}`", record.label())))
    }
}

/// Returns the name that a restored export has: that of a folder for a directory.
#[must_use]
pub fn restored_name(record: &ExportRecord) -> PathBuf {
    let suffix = if record.suffix.is_directory() { record.suffix.folder_suffix() } else { record.suffix.as_str() };
    PathBuf::from(format!("{}{suffix}", record.name))
}

fn row_of(member: &Member) -> MemberRow {
    let row = MemberRow {
        path: member.path.to_string(),
        kind: "directory",
        size: 0,
        digest: None,
        executable: false,
        target: None,
    };
    match &member.kind {
        MemberKind::EmptyDirectory => row,
        MemberKind::Link { target } => MemberRow { kind: "link", target: Some(target.clone()), ..row },
        MemberKind::File { digest, size, executable } => {
            MemberRow { kind: "file", size: *size, digest: Some(*digest), executable: *executable, ..row }
        }
    }
}

/// Returns a member as if it were an export of its own, at the same place.
fn member_of(export: &ResolvedExport, digest: ContentDigest, size: u64) -> ResolvedExport {
    let record = ExportRecord { digest, size, ..export.export.record.clone() };
    ResolvedExport { export: BoundExport { record, ..export.export.clone() }, ..export.clone() }
}

fn copy_verified(
    mut reader: ExportReader,
    file: &mut crate::fs::FolderFile,
    digest: &ContentDigest,
    at: &mut Progress,
    progress: ProgressFn<'_>,
) -> Result<()> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; COPY_LEN];
    loop {
        if !progress(*at) {
            return Err(Error::new(ErrorKind::Interrupted, "interrupted"));
        }
        let count = reader.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else { break };
        hasher.update(bytes);
        file.write_all(bytes)?;
        at.done += count as u64;
    }
    if hasher.finalize().as_bytes() == digest.as_bytes() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Damaged, format!("content {} does not have its digest", digest.short()))
        .with_hint("list all damage with `onenb verify`"))
}

/// On Windows some characters name drives, streams and devices.
fn check_for_this_system(path: &MemberPath) -> Result<()> {
    let is_special =
        |component: &str| component.contains([':', '*', '?', '"', '<', '>', '|']) || component.ends_with([' ', '.']);
    if cfg!(windows) && path.as_str().split('/').any(is_special) {
        return Err(Error::new(ErrorKind::Failed, format!("`{path}` cannot be a file on this system")));
    }
    Ok(())
}
