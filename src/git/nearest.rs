//! The names that come near a name that is unknown, for hints.

/// How many names a hint shows.
const MAX_NAMES: usize = 3;

/// Returns up to three of `candidates` that look most like `wanted`, best first.
///
/// Looking alike means: at most a third of the letters changed, added, removed or swapped with a neighbour, ignoring
/// ASCII case; or one name is the beginning of the other.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let wanted: Vec<char> = wanted.to_ascii_lowercase().chars().take(100).collect();
    let allowed = (wanted.len() / 3).max(1);
    let mut close: Vec<(usize, &str)> = candidates
        .into_iter()
        .filter_map(|name| {
            let letters: Vec<char> = name.to_ascii_lowercase().chars().take(100).collect();
            let distance = if letters.len().abs_diff(wanted.len()) > allowed {
                usize::MAX
            } else {
                edit_distance(&wanted, &letters)
            };
            let prefix =
                wanted.len() > 1 && letters.len() > 1 && (letters.starts_with(&wanted) || wanted.starts_with(&letters));
            match (distance <= allowed, prefix) {
                (true, _) => Some((distance, name)),
                (false, true) => Some((allowed + 1, name)),
                (false, false) => None,
            }
        })
        .collect();
    close.sort_unstable();
    close.dedup();
    close.into_iter().take(MAX_NAMES).map(|(_, name)| name.to_owned()).collect()
}

/// Optimal string alignment: insertions, deletions, substitutions, and swaps of neighbours cost one each.
fn edit_distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let cell = |line: &[usize], at: usize| line.get(at).copied().unwrap_or(usize::MAX - 1);
            let mut best = (cell(&above, column) + usize::from(from != to))
                .min(cell(&above, column + 1) + 1)
                .min(cell(&current, column) + 1);
            let swapped = row > 0 && column > 0 && left.get(row - 1) == Some(to) && right.get(column - 1) == Some(from);
            if swapped {
                best = best.min(cell(&before, column - 1) + 1);
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_closest_name_comes_first_and_strangers_do_not_come() {
        let names = ["v1.0", "v1.1", "main", "release-2024", "v10"];
        assert_eq!(nearest("v1.o", names), ["v1.0", "v1.1"]);
        assert_eq!(nearest("mian", names), ["main"]);
        assert_eq!(nearest("release", names), ["release-2024"]);
        assert_eq!(nearest("xyz", names), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn distance_is_symmetric_zero_only_for_equals_and_bounded(left in "[a-c]{0,8}", right in "[a-c]{0,8}") {
            let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
            let distance = edit_distance(&left, &right);
            prop_assert_eq!(distance, edit_distance(&right, &left));
            prop_assert_eq!(distance == 0, left == right);
            prop_assert!(distance <= left.len().max(right.len()));
            prop_assert!(distance >= left.len().abs_diff(right.len()));
        }
    }
}
