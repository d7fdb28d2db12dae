//! Edits of bytes (proposals contract, second principle): nothing is written that was not asked for.

use crate::finding::Edit;

/// Fixes that meet no earlier one, as edits in order. The edits of a fix belong together: none is done without the others.
#[must_use]
pub fn chosen<'f>(fixes: impl IntoIterator<Item = &'f [Edit]>) -> Vec<Edit> {
    let mut taken: Vec<Edit> = Vec::new();
    for fix in fixes {
        let meets = |edit: &Edit| taken.iter().any(|other| edit.start <= other.end && other.start <= edit.end);
        if !fix.iter().any(meets) {
            taken.extend_from_slice(fix);
        }
    }
    taken.sort_by_key(|edit| (edit.start, edit.end));
    taken
}

/// Those of some edits that do not touch one another, the first of two that do; in order.
#[must_use]
pub fn compatible(mut edits: Vec<Edit>) -> Vec<Edit> {
    edits.sort_by_key(|edit| (edit.start, edit.end));
    let mut taken: Vec<Edit> = Vec::new();
    for edit in edits {
        let free = taken
            .last()
            .is_none_or(|last| last.end < edit.start || (last.end == edit.start && last.start < last.end && edit.start < edit.end));
        if free {
            taken.push(edit);
        }
    }
    taken
}

/// A text with edits done, which do not overlap and are in order; one that does not fit into the text is left out.
#[must_use]
pub fn apply(text: &str, edits: &[Edit]) -> String {
    let mut out = String::with_capacity(text.len() + edits.iter().map(|edit| edit.text.len()).sum::<usize>());
    let mut at = 0;
    for edit in edits {
        let (Some(before), true) = (text.get(at..edit.start), text.is_char_boundary(edit.end) && edit.end >= edit.start) else { continue };
        out.push_str(before);
        out.push_str(&edit.text);
        at = edit.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_done_in_order() {
        let edit = |start, end, text: &str| Edit { start, end, text: text.to_owned() };
        let edits = compatible(vec![edit(4, 5, "E"), edit(0, 1, "A"), edit(4, 4, "x"), edit(0, 2, "no")]);
        assert_eq!(edits, [edit(0, 1, "A"), edit(4, 4, "x")]);
        assert_eq!(apply("abcdef", &edits), "Abcdxef");
        assert_eq!(apply("é", &[edit(1, 1, "x")]), "é");
        assert_eq!(apply("ab", &[edit(1, 9, "x")]), "ab");
    }
}
