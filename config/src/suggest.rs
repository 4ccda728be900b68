//! "Did you mean …?"

/// The candidate that `word` most likely was meant to be, if any is near.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let folded = fold(word);
    // One slip in a short word, one in three letters of a longer one: more is another word.
    let allowed = (folded.len() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(&folded, &fold(candidate)), candidate))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

/// `help` text for a word that is none of `candidates`: the nearest one, or all of them.
pub fn help(word: &str, candidates: &[&str], all: &str) -> String {
    match nearest(word, candidates.iter().copied()) {
        Some(candidate) => format!("did you mean `{candidate}`?"),
        None => format!("{all}: {}", list(candidates)),
    }
}

/// The words in backquotes with commas.
pub fn list(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// Case and the choice between `-` and `_` are never what tells two keys apart. Long words are cut: what is that long is
/// no slip of a key, and the distance costs the product of both lengths.
fn fold(word: &str) -> Vec<char> {
    word.chars()
        .take(64)
        .map(|c| {
            if c == '-' {
                '_'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Edits (insert, delete, replace, swap neighbours) that turn `a` into `b`: the optimal string alignment distance.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let mut previous_a = None;
    for (i, &x) in a.iter().enumerate() {
        let mut row = Vec::with_capacity(b.len() + 1);
        row.push(i + 1);
        let mut left = i + 1;
        let mut previous_b = None;
        for ((j, &y), pair) in b.iter().enumerate().zip(last.windows(2)) {
            let &[diagonal, above] = pair else { break };
            let mut best = (diagonal + usize::from(x != y))
                .min(above + 1)
                .min(left + 1);
            if previous_a == Some(y) && previous_b == Some(x) {
                let swapped = j.checked_sub(1).and_then(|column| before_last.get(column));
                best = swapped.map_or(best, |cost| best.min(cost + 1));
            }
            row.push(best);
            left = best;
            previous_b = Some(y);
        }
        before_last = std::mem::replace(&mut last, row);
        previous_a = Some(x);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(a: &str, b: &str) -> usize {
        distance(&fold(a), &fold(b))
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(d("", "abc"), 3);
        assert_eq!(d("abc", ""), 3);
        assert_eq!(d("domain", "domain"), 0);
        assert_eq!(d("domian", "domain"), 1);
        assert_eq!(d("kitten", "sitting"), 3);
        assert_eq!(d("ab", "ba"), 1);
    }

    #[test]
    fn the_nearest_candidate_wins_and_far_ones_are_not_offered() {
        let keys = ["domain", "lookup_uri", "channel_uri"];
        assert_eq!(nearest("domian", keys), Some("domain"));
        assert_eq!(nearest("Lookup-URI", keys), Some("lookup_uri"));
        assert_eq!(nearest("chanel_url", keys), Some("channel_uri"));
        assert_eq!(nearest("port", keys), None);
        assert_eq!(
            help("port", &keys, "known keys"),
            "known keys: `domain`, `lookup_uri`, `channel_uri`"
        );
    }
}
