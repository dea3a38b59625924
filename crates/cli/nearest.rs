//! The known name that a mistyped one is likely to stand for.

/// The candidate nearest to `name`, if it is near enough to be meant: at most a third of the longer
/// of the two differs. Of equally near candidates, the first.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(name, candidate), candidate))
        .filter(|(edits, candidate)| edits * 3 <= candidate.chars().count().max(name.chars().count()))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How many characters to insert, delete or replace to turn `a` into `b`, ignoring ASCII case.
///
/// Source: Levenshtein 1966; the row-by-row form of Wagner and Fischer 1974.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().map(|c| c.to_ascii_lowercase()).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().map(|c| c.to_ascii_lowercase()).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_the_textbook_ones() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("saturday", "sunday"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("Epochs", "epochs"), 0);
    }

    #[test]
    fn only_a_near_name_is_suggested() {
        assert_eq!(nearest("epoch", ["lr", "epochs", "output"]), Some("epochs"));
        assert_eq!(nearest("banana", ["lr", "epochs", "output"]), None);
    }
}
