//! The nearest valid spelling of a word, for hints.

/// The candidate nearest to `word`, if one is near enough to have been meant: at most one edit in
/// three characters, and three edits in all. Of equally near ones the first.
///
/// Words of more than [`LONGEST`] characters have no neighbours, which bounds the cost.
pub(crate) fn nearest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let length = length(word)?;
    let mut reach = (length / 3).clamp(1, 3);
    let mut found = None;
    for candidate in candidates {
        if candidate.eq_ignore_ascii_case(word) {
            return Some(candidate);
        }
        let Some(other) = self::length(candidate) else { continue };
        // One edit turns any one-character word into any other: that is no hint.
        if other.abs_diff(length) > reach || other.max(length) <= reach {
            continue;
        }
        let distance = distance(word, candidate);
        if distance < reach || (distance == reach && found.is_none()) {
            (reach, found) = (distance, Some(candidate));
        }
    }
    found
}

/// Characters of the longest word that hints are looked for.
const LONGEST: usize = 64;

fn length(word: &str) -> Option<usize> {
    // A character has at most four bytes, so longer texts need not be counted.
    if word.len() > 4 * LONGEST {
        return None;
    }
    Some(word.chars().count()).filter(|count| *count <= LONGEST)
}

/// Insertions, deletions, substitutions and swaps of neighbours between two words of at most
/// [`LONGEST`] characters ("optimal string alignment").
fn distance(left: &str, right: &str) -> usize {
    let mut before = [0; LONGEST + 1];
    let mut above: [usize; LONGEST + 1] = std::array::from_fn(|column| column);
    let mut previous_left = None;
    for (row, a) in left.chars().enumerate() {
        let mut current = [row + 1; LONGEST + 1];
        let mut previous_right = None;
        for (column, b) in right.chars().enumerate() {
            let mut cost = (above[column] + usize::from(a != b))
                .min(above[column + 1] + 1)
                .min(current[column] + 1);
            if previous_left == Some(b) && previous_right == Some(a) {
                cost = cost.min(before[column - 1] + 1);
            }
            current[column + 1] = cost;
            previous_right = Some(b);
        }
        (before, above) = (above, current);
        previous_left = Some(a);
    }
    above[right.chars().count()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_edits_and_swaps() {
        for (left, right, edits) in [
            ("", "", 0),
            ("a", "", 1),
            ("bufer", "buffer", 1),
            ("tpc", "tcp", 1),
            ("pt", "tp", 1),
            ("fanuot", "fanout", 1),
            ("kitten", "sitting", 3),
            ("größe", "grösse", 2),
        ] {
            assert_eq!(distance(left, right), edits, "{left} {right}");
            assert_eq!(distance(right, left), edits, "{right} {left}");
        }
    }

    #[test]
    fn only_near_words_are_hints() {
        let words = ["endpoint", "targets", "type", "tcp"];
        assert_eq!(nearest("endpont", words), Some("endpoint"));
        assert_eq!(nearest("ENDPOINT", words), Some("endpoint"));
        assert_eq!(nearest("tpye", words), Some("type"));
        assert_eq!(nearest("spool", words), None);
        assert_eq!(nearest("", words), None);
        assert_eq!(nearest("x", ["y"]), None);
        assert_eq!(nearest(&"x".repeat(1 << 20), words), None);
    }
}
