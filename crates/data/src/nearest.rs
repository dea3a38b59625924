//! The most similar name, for hints.

/// The candidate most similar to `wanted`, if one is similar at all; the first of equals.
///
/// Similar means: at most a third of the longer name's characters differ, but at least one may. Case does not count.
pub fn nearest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = wanted.to_lowercase().chars().collect();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other: Vec<char> = candidate.to_lowercase().chars().collect();
        let allowed = (wanted.len().max(other.len()) / 3).max(1);
        // The lengths alone already say how much differs at least.
        if wanted.len().abs_diff(other.len()) > allowed {
            continue;
        }
        let distance = edit_distance(&wanted, &other);
        if distance <= allowed && best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Fewest insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`, no place touched twice.
///
/// Source: optimal string alignment, the restricted form of Damerau 1964.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(previous[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: &str, b: &str) -> usize {
        edit_distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>())
    }

    #[test]
    fn edit_distance_has_the_textbook_values() {
        // kitten → sitting is the standard example of three edits; a swap of neighbours is one.
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("labe", "label"), 1);
        assert_eq!(distance("txet", "text"), 1);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("flaw", "lawn"), 2);
        assert_eq!(distance("größe", "grösse"), 2);
    }

    #[test]
    fn nearest_is_silent_when_nothing_is_similar() {
        assert_eq!(nearest("sentense", ["label", "sentence", "idx"]), Some("sentence"));
        assert_eq!(nearest("LABEL", ["text", "label"]), Some("label"));
        assert_eq!(nearest("intent", ["text", "label"]), None);
        assert_eq!(nearest("a", ["b", "c"]), Some("b"));
        assert_eq!(nearest("x", []), None);
    }
}
