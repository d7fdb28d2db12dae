//! What decoding asks of a type again and again, ready at hand: made at the first question about the type.

use std::sync::OnceLock;

use super::printed::printed_when_absent;
use super::{Field, TypeRef, builtin};

/// The answers for one type.
#[derive(Debug)]
pub(crate) struct Lookup {
    /// The first bytes of the members' names, in the order of [`TypeRef::fields`], which is that of these numbers.
    heads: Box<[u64]>,
    /// Places of the members that are printed although they are not set.
    printed: Box<[usize]>,
}

impl Lookup {
    fn new(fields: &[Field]) -> Self {
        let printed = fields.iter().enumerate().filter(|(_, field)| printed_when_absent(field));
        Self { heads: fields.iter().map(|field| head(field.name)).collect(), printed: printed.map(|(at, _)| at).collect() }
    }

    /// The answers for `ty`; asking once for a whole object is cheaper than once for each member.
    pub(crate) fn of(ty: TypeRef) -> &'static Self {
        static ALL: OnceLock<Box<[OnceLock<Lookup>]>> = OnceLock::new();
        let all = ALL.get_or_init(|| builtin().types().map(|_| OnceLock::new()).collect());
        // Handles come from the table only.
        all[usize::from(ty.0)].get_or_init(|| Self::new(ty.fields()))
    }

    /// The place of the member of that name in `fields`, which are those of the type.
    pub(crate) fn find(&self, fields: &[Field], name: &str) -> Option<usize> {
        let head = head(name);
        let first = self.heads.partition_point(|other| *other < head);
        let alike = self.heads.get(first..)?.iter().take_while(|other| **other == head).count();
        let at = fields.get(first..first + alike)?.iter().position(|field| field.name == name)?;
        Some(first + at)
    }

    /// Places in [`TypeRef::fields`] of the members that are printed although they are not set.
    pub(crate) fn printed(&self) -> &[usize] {
        &self.printed
    }
}

/// The first eight bytes of a name as a number that sorts as the name does.
fn head(name: &str) -> u64 {
    let bytes = name.as_bytes();
    match bytes.first_chunk() {
        Some(first) => u64::from_be_bytes(*first),
        None => bytes.iter().rev().fold(0, |head, byte| (head >> 8) | (u64::from(*byte) << 56)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_is_found_and_nothing_else() {
        for ty in builtin().types() {
            for (at, field) in ty.fields().iter().enumerate() {
                assert_eq!(ty.index_of(field.name), Some(at), "{}.{}", ty.name(), field.name);
                let longer = format!("{}\0", field.name);
                for other in [&field.name[1..], &field.name[..field.name.len() - 1], &longer] {
                    assert_eq!(ty.index_of(other), ty.fields().iter().position(|f| f.name == other), "{}.{other:?}", ty.name());
                }
            }
        }
    }

    #[test]
    fn heads_sort_as_names_do() {
        let names = ["", "a", "a\0", "ab", "abcdefgh", "abcdefghi", "abcdefgi", "b", "é"];
        assert!(names.map(head).is_sorted());
    }
}
