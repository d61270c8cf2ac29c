//! Manifests: the list of members that is the content of a directory export.
//!
//! - One line of JSON for the format, then one for each member, sorted by path; the encoding is canonical, and whatever
//!   would not encode to the same bytes is refused. So equal directories have one digest.
//! - A member is a file, whose bytes are a content of their own, an empty directory, or a symbolic link that stays
//!   inside.
//! - Paths and links are hostile input: relative, `/` between components, no way out of the directory, nothing below a
//!   file or a link. Whoever has a [`Manifest`] need not check again. Layout and example: `docs/format/directory.md`.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::FormatError;
use crate::id::ContentDigest;

/// Suffix that marks the export of a directory.
pub const DIRECTORY_SUFFIX: &str = ".dir";
/// Longest manifest in bytes: some two million members.
pub const MAX_MANIFEST_LEN: u64 = 256 * 1024 * 1024;

const WHAT: &str = "directory manifest";
const FIRST_LINE: &str = "{\"format\":1,\"kind\":\"directory\"}";
const MAX_PATH_LEN: usize = 4096;
const MAX_COMPONENT_LEN: usize = 255;
/// Links that are followed to find one member.
const MAX_LINKS: usize = 40;

/// Where a member lies below its directory: components joined by `/`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct MemberPath(String);

/// What a member is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberKind {
    /// A file.
    File {
        /// Its content.
        digest: ContentDigest,
        /// Its length in bytes.
        size: u64,
        /// Whether its owner may run it.
        executable: bool,
    },
    /// A directory without members; others are implied by what is in them.
    EmptyDirectory,
    /// A symbolic link with its target, relative to where it lies.
    Link {
        /// The target.
        target: String,
    },
}

/// One member of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Where it lies.
    pub path: MemberPath,
    /// What it is.
    pub kind: MemberKind,
}

/// The members of a directory.
///
/// Invariants: sorted by path, no path twice, nothing below a member, links stay inside.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    members: Vec<Member>,
}

/// A member as its line has it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<ContentDigest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "is_false")]
    executable: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    directory: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    link: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands in references")]
fn is_false(value: &bool) -> bool {
    !*value
}

impl MemberPath {
    /// Checks a path.
    ///
    /// # Errors
    /// [`FormatError::Refused`] with the rule that the path breaks.
    pub fn parse(text: &str) -> Result<Self, FormatError> {
        let refuse = |reason: &str| Err(FormatError::refused("member path", text, reason));
        if text.is_empty() || text.len() > MAX_PATH_LEN {
            return refuse("it is empty or longer than 4096 bytes");
        }
        for component in text.split('/') {
            match component {
                "" => return refuse("it has an empty component"),
                "." | ".." => return refuse("`.` and `..` name no member"),
                _ if component.len() > MAX_COMPONENT_LEN => return refuse("a component is longer than 255 bytes"),
                _ if component.chars().any(|c| c.is_control() || c == '\\') => {
                    return refuse("control characters and `\\` mean different things to different systems");
                }
                // Git reads commands from the configuration of any repository that it is run in.
                _ if is_git_dir(component) => return refuse("a Git directory could run commands where it is restored"),
                _ => {}
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the paths of the directories around this path, outermost first.
    fn ancestors(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').filter_map(|(at, _)| self.0.get(..at))
    }
}

fn is_git_dir(component: &str) -> bool {
    let plain = component.trim_end_matches([' ', '.']);
    plain.eq_ignore_ascii_case(".git") || plain.eq_ignore_ascii_case("git~1")
}

impl fmt::Display for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for MemberPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemberPath({})", self.0)
    }
}

impl Manifest {
    /// Makes a manifest of members in any order.
    ///
    /// # Errors
    /// [`FormatError::Refused`] naming the member that cannot be there.
    pub fn new(mut members: Vec<Member>) -> Result<Self, FormatError> {
        members.sort_by(|a, b| a.path.cmp(&b.path));
        Self::checked(members)
    }

    fn checked(members: Vec<Member>) -> Result<Self, FormatError> {
        let refuse = |member: &Member, reason: &str| {
            Err(FormatError::refused("member of a directory", member.path.as_str(), reason))
        };
        let taken: HashSet<&str> = members.iter().map(|member| member.path.as_str()).collect();
        let mut last: Option<&MemberPath> = None;
        for member in &members {
            if last.is_some_and(|last| *last >= member.path) {
                return refuse(member, "it is there twice or out of order");
            }
            if member.path.ancestors().any(|around| taken.contains(around)) {
                return refuse(member, "it lies below a member that is no directory");
            }
            if let MemberKind::Link { target } = &member.kind
                && !stays_inside(&member.path, target)
            {
                return refuse(member, "the link leads out of the directory");
            }
            last = Some(&member.path);
        }
        Ok(Self { members })
    }

    /// Returns the members, sorted by path.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Finds a member.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<&Member> {
        let at = self.members.binary_search_by(|member| member.path.as_str().cmp(path)).ok()?;
        self.members.get(at)
    }

    /// Finds what a path leads to, through links.
    #[must_use]
    pub fn resolve(&self, path: &str) -> Option<&Member> {
        let mut path = path.to_owned();
        for _ in 0..MAX_LINKS {
            let prefixes = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
            let link = prefixes.filter_map(|at| path.get(..at)).find_map(|prefix| match &self.find(prefix)?.kind {
                MemberKind::Link { target } => Some((prefix, target)),
                _ => None,
            });
            let Some((prefix, target)) = link else { return self.find(&path) };
            let rest = path.get(prefix.len()..).unwrap_or_default();
            let mut components: Vec<&str> = prefix.split('/').collect();
            components.pop();
            for component in target.split('/') {
                if component == ".." {
                    components.pop();
                } else {
                    components.push(component);
                }
            }
            components.extend(rest.split('/').filter(|component| !component.is_empty()));
            path = components.join("/");
        }
        None
    }

    /// Returns the contents of the files with their paths.
    pub fn contents(&self) -> impl Iterator<Item = (&MemberPath, ContentDigest)> {
        self.members.iter().filter_map(|member| match member.kind {
            MemberKind::File { digest, .. } => Some((&member.path, digest)),
            _ => None,
        })
    }

    /// Returns the sum of the lengths of the files, in bytes.
    #[must_use]
    pub fn total_len(&self) -> u64 {
        let sizes = self.members.iter().map(|member| match member.kind {
            MemberKind::File { size, .. } => size,
            _ => 0,
        });
        sizes.fold(0, u64::saturating_add)
    }

    /// Encodes the manifest.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = FIRST_LINE.as_bytes().to_vec();
        bytes.push(b'\n');
        for member in &self.members {
            let empty = Line {
                path: member.path.0.clone(),
                digest: None,
                size: None,
                executable: false,
                directory: false,
                link: None,
            };
            let line = match &member.kind {
                MemberKind::File { digest, size, executable } => {
                    Line { digest: Some(*digest), size: Some(*size), executable: *executable, ..empty }
                }
                MemberKind::EmptyDirectory => Line { directory: true, ..empty },
                MemberKind::Link { target } => Line { link: Some(target.clone()), ..empty },
            };
            serde_json::to_writer(&mut bytes, &line).expect("a line holds nothing that JSON cannot");
            bytes.push(b'\n');
        }
        bytes
    }

    /// Checks the first line, which lies within the first kilobyte.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
    pub fn check_start(bytes: &[u8]) -> Result<(), FormatError> {
        let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
        check_first_line(std::str::from_utf8(line).unwrap_or_default())
    }

    /// Decodes a manifest.
    ///
    /// # Errors
    /// [`FormatError::Malformed`] or [`FormatError::TooNew`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, FormatError> {
        let malformed = |reason: String| FormatError::malformed(WHAT, reason);
        if bytes.len() as u64 > MAX_MANIFEST_LEN {
            return Err(malformed(format!("it is longer than {MAX_MANIFEST_LEN} bytes")));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("it is no text".to_owned()))?;
        let mut lines = text.split_inclusive('\n');
        check_first_line(lines.next().unwrap_or_default().trim_end_matches('\n'))?;
        let mut members = vec![];
        for line in lines {
            let line: Line = serde_json::from_str(line).map_err(|error| malformed(error.to_string()))?;
            let kind = match (line.digest, line.size, line.directory, line.link) {
                (Some(digest), Some(size), false, None) => {
                    MemberKind::File { digest, size, executable: line.executable }
                }
                (None, None, true, None) => MemberKind::EmptyDirectory,
                (None, None, false, Some(target)) => MemberKind::Link { target },
                _ => return Err(malformed(format!("it is not said what `{}` is", line.path))),
            };
            members.push(Member { path: MemberPath::parse(&line.path).map_err(as_malformed)?, kind });
        }
        let manifest = Self::checked(members).map_err(as_malformed)?;
        if manifest.to_bytes() != bytes {
            return Err(malformed("it is not written in the one way that counts".to_owned()));
        }
        Ok(manifest)
    }
}

/// What is refused in a directory of the user's is damage in a manifest that was stored.
fn as_malformed(error: FormatError) -> FormatError {
    match error {
        FormatError::Refused { .. } => FormatError::malformed(WHAT, error.to_string()),
        other => other,
    }
}

fn check_first_line(line: &str) -> Result<(), FormatError> {
    if line == FIRST_LINE {
        return Ok(());
    }
    let newer = line.strip_prefix("{\"format\":").and_then(|rest| rest.split(',').next()?.parse::<u32>().ok());
    match newer {
        Some(found) if found > 1 => Err(FormatError::TooNew { what: WHAT, found, known: 1 }),
        _ => Err(FormatError::malformed(WHAT, "it does not start like one")),
    }
}

/// Returns whether a link can only lead to places inside the directory, also through other links: `..` may stand only
/// at the start of its target, where it goes up through real directories.
fn stays_inside(path: &MemberPath, target: &str) -> bool {
    let depth = path.ancestors().count();
    let ups = target.split('/').take_while(|component| *component == "..").count();
    let mut rest = target.split('/').skip(ups).peekable();
    let whole = rest.peek().is_none();
    ups <= depth && (ups > 0 || !whole) && rest.all(|component| MemberPath::parse(component).is_ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(path: &str) -> Member {
        let kind =
            MemberKind::File { digest: ContentDigest::of(path.as_bytes()), size: 3, executable: path.ends_with(".sh") };
        Member { path: MemberPath::parse(path).unwrap(), kind }
    }

    fn link(path: &str, target: &str) -> Member {
        Member { path: MemberPath::parse(path).unwrap(), kind: MemberKind::Link { target: target.to_owned() } }
    }

    fn empty(path: &str) -> Member {
        Member { path: MemberPath::parse(path).unwrap(), kind: MemberKind::EmptyDirectory }
    }

    #[test]
    fn the_order_of_members_does_not_matter_and_they_come_back() {
        let members = vec![file("b"), file("a/x.sh"), empty("c/d"), link("a/y", "../b"), file("a-b"), file("Größe 1")];
        let manifest = Manifest::new(members.clone()).unwrap();
        let reversed = Manifest::new(members.into_iter().rev().collect()).unwrap();
        assert_eq!(manifest.to_bytes(), reversed.to_bytes());
        assert_eq!(Manifest::from_bytes(&manifest.to_bytes()), Ok(manifest.clone()));
        assert_eq!((manifest.total_len(), manifest.contents().count()), (12, 4));
        assert_eq!(manifest.find("a/y"), Some(&link("a/y", "../b")));
        assert_eq!(manifest.find("a"), None);
        assert_eq!(Manifest::from_bytes(&Manifest::default().to_bytes()), Ok(Manifest::default()));
    }

    #[test]
    fn paths_that_lead_out_or_mean_something_else_elsewhere_are_refused() {
        let long = "x".repeat(256);
        let bad = [
            "",
            "/",
            "/a",
            "a/",
            "a//b",
            ".",
            "..",
            "a/../b",
            "../a",
            "a\0b",
            "a\nb",
            "a\\b",
            ".git",
            "a/.GIT/hooks",
            ".git.",
            "git~1",
            long.as_str(),
        ];
        for path in bad {
            assert!(MemberPath::parse(path).is_err(), "{path:?}");
        }
        for path in ["a", "...", "a b", "x=1/y=2/part-0.parquet", ".zattrs", ".gitignore", "数据", "t=00:00"] {
            assert!(MemberPath::parse(path).is_ok(), "{path:?}");
        }
    }

    #[test]
    fn links_stay_inside() {
        for (path, target) in [("a", "b"), ("a/b", "../c"), ("a/b/c", "../../x/y"), ("a/b", ".."), ("a", "b/c")] {
            assert!(Manifest::new(vec![link(path, target)]).is_ok(), "{path} -> {target}");
        }
        let bad = [
            ("a", ".."),
            ("a", "../b"),
            ("a/b", "../.."),
            ("a", "/etc/passwd"),
            ("a", ""),
            ("a", "b/../c"),
            ("a", "./b"),
            ("a", "b\\c"),
            ("a", "b//c"),
            ("a/b", "../"),
        ];
        for (path, target) in bad {
            assert!(Manifest::new(vec![link(path, target)]).is_err(), "{path} -> {target}");
        }
    }

    #[test]
    fn members_are_found_through_links_and_circles_end() {
        let members = vec![
            file("v/2/data"),
            link("v/latest", "2"),
            link("top", "v/latest/data"),
            link("a", "b"),
            link("b", "a"),
            link("v/2/up", "../.."),
        ];
        let manifest = Manifest::new(members).unwrap();
        for path in ["v/2/data", "v/latest/data", "top", "v/2/up/top", "v/latest/up/v/latest/data"] {
            assert_eq!(manifest.resolve(path), Some(&file("v/2/data")), "{path}");
        }
        for path in ["a", "a/x", "v", "v/latest", "nothing", "", "/"] {
            assert!(manifest.resolve(path).is_none(), "{path}");
        }
    }

    #[test]
    fn nothing_lies_below_a_file_or_a_link_and_nothing_twice() {
        assert!(Manifest::new(vec![file("a"), file("a/b")]).is_err());
        assert!(Manifest::new(vec![link("a", "c"), file("a-b"), file("a/b/c")]).is_err());
        assert!(Manifest::new(vec![empty("a"), file("a/b")]).is_err());
        assert!(Manifest::new(vec![file("a"), file("a")]).is_err());
    }

    #[test]
    fn what_is_not_canonical_is_refused() {
        let text = String::from_utf8(Manifest::new(vec![file("a"), file("b")]).unwrap().to_bytes()).unwrap();
        let mut lines: Vec<_> = text.split_inclusive('\n').collect();
        lines.swap(1, 2);
        for other in
            [lines.concat(), text.replace("\"size\":3", "\"size\": 3"), text.trim_end().to_owned(), format!("{text}\n")]
        {
            assert!(Manifest::from_bytes(other.as_bytes()).is_err(), "{other}");
        }
        let newer = text.replace("\"format\":1", "\"format\":2");
        assert!(matches!(Manifest::from_bytes(newer.as_bytes()), Err(FormatError::TooNew { found: 2, .. })));
    }

    #[test]
    fn the_page_about_directories_shows_a_manifest_that_decodes() {
        let page = include_str!("../../docs/format/directory.md");
        let example = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
        let manifest = Manifest::from_bytes(example.as_bytes()).unwrap();
        assert_eq!(manifest.members().len(), 4);
        assert!(page.contains(&ContentDigest::of(example.as_bytes()).to_string()));
    }

    #[test]
    fn a_stored_manifest_that_leads_out_is_damage() {
        use crate::error::Classify as _;
        let good = String::from_utf8(Manifest::new(vec![file("a"), link("b", "a")]).unwrap().to_bytes()).unwrap();
        for (from, to) in [("\"a\"", "\"../a\""), ("\"link\":\"a\"", "\"link\":\"../a\"")] {
            let text = good.replace(from, to);
            assert_ne!(text, good);
            let error = Manifest::from_bytes(text.as_bytes()).unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Damaged, "{error}");
        }
    }

    proptest! {
        #[test]
        fn garbage_never_panics_and_what_is_accepted_comes_back(lines in prop::collection::vec("[ -~]{0,60}", 0..6)) {
            let text = format!("{FIRST_LINE}\n{}", lines.join("\n"));
            if let Ok(manifest) = Manifest::from_bytes(text.as_bytes()) {
                prop_assert_eq!(manifest.to_bytes(), text.as_bytes());
            }
        }
    }
}
