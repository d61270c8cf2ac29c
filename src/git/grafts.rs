//! Grafts: the older way to give commits other parents, a file that `git replace` has superseded and Git still reads.

use std::collections::BTreeMap;
use std::path::Path;

use super::GitRepo;
use crate::id::CommitId;

/// Longest file that is read, in bytes.
const MAX_LEN: u64 = 16 << 20;

/// The parents that commits have by the file `info/grafts`; empty in nearly every repository.
#[derive(Debug, Default)]
pub(super) struct Grafts(BTreeMap<CommitId, Vec<CommitId>>);

impl Grafts {
    /// Reads the file below the common directory. One that cannot be read is as good as none, as in Git.
    pub(super) fn read(common_dir: &Path) -> Self {
        let bytes = crate::fs::read_bounded(&common_dir.join("info/grafts"), MAX_LEN).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(parse).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn parents(&self, commit: &CommitId) -> Option<&[CommitId]> {
        self.0.get(commit).map(Vec::as_slice)
    }
}

/// Reads `COMMIT PARENT ..`; a line that says anything else counts for nothing.
fn parse(line: &str) -> Option<(CommitId, Vec<CommitId>)> {
    let ids: Option<Vec<CommitId>> = line.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
    let mut ids = ids?.into_iter();
    Some((ids.next()?, ids.collect()))
}

impl GitRepo {
    /// Returns which parents commits have by the file `info/grafts`, sorted, as of when the repository was opened.
    pub fn grafts(&self) -> Vec<(CommitId, Vec<CommitId>)> {
        self.grafts.0.iter().map(|(commit, parents)| (*commit, parents.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_name_a_commit_and_its_parents() {
        let id = |digit: &str| digit.repeat(40).parse::<CommitId>().expect("an id");
        let line = format!("{} {}  {}", id("1"), id("2"), id("3"));
        assert_eq!(parse(&line), Some((id("1"), vec![id("2"), id("3")])));
        assert_eq!(parse(&id("1").to_string()), Some((id("1"), vec![])));
        assert_eq!(parse(""), None);
        assert_eq!(parse(&format!("{} nonsense", id("1"))), None);
    }
}
