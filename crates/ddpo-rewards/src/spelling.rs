//! Names that were probably meant.

/// The candidate at the least edit distance, when it is at most a third of the word, or two letters swapped.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(word, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, candidate)| *distance <= (candidate.chars().count() / 3).max(2))
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, one row of the table at a time; `_` and `-` count as the same letter.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.replace('_', "-"), b.replace('_', "-"));
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

/// ` (did you mean …?)`, for an error's message.
pub(crate) fn did_you_mean(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!(" (did you mean `{nearest}`?)")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edit_distance_counts_edits() {
        assert_eq!(edit_distance("kitten", "sitting"), 3);
        assert_eq!(edit_distance("", "abc"), 3);
        assert_eq!(edit_distance("batch_size", "batch-size"), 0);
    }

    #[test]
    fn a_word_is_near_by_a_third_of_its_letters() {
        assert_eq!(nearest("compresibility", ["compressibility", "exec"]), Some("compressibility"));
        assert_eq!(nearest("xyzzy", ["compressibility", "exec"]), None);
    }
}
