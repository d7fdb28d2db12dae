//! Where in the document the pass is.
//!
//! Places live on the stack of the pass, each pointing to the one that holds it. They become text only when somebody
//! must be told of one, which for most documents is never.

use crate::schema::{Field, TypeRef};

/// A place in a document.
#[derive(Clone, Copy)]
pub(super) enum Place<'p> {
    /// The document, and what its paths begin with; empty for a whole object.
    Root(&'p str),
    /// A member of an object of this type.
    Member(&'p Place<'p>, TypeRef, &'static Field),
    /// An entry of a map.
    Key(&'p Place<'p>, &'p str),
    /// An element of a list.
    Index(&'p Place<'p>, usize),
}

impl Place<'_> {
    /// The place as Go's type errors name it, such as `PodSpec.spec.containers`: the innermost struct, and the members that
    /// lead to it with embedded structs. `None` outside of any struct.
    pub(super) fn in_go(&self) -> Option<String> {
        match self {
            Self::Root(_) => None,
            Self::Key(parent, _) | Self::Index(parent, _) => parent.in_go(),
            Self::Member(_, owner, _) => {
                let mut out = owner.short_name().to_owned();
                self.members(&mut out);
                Some(out)
            }
        }
    }

    fn members(&self, out: &mut String) {
        match self {
            Self::Root(_) => {}
            Self::Key(parent, _) | Self::Index(parent, _) => parent.members(out),
            Self::Member(parent, _, field) => {
                parent.members(out);
                for name in [field.via, field.name].into_iter().filter(|name| !name.is_empty()) {
                    out.push('.');
                    out.push_str(name);
                }
            }
        }
    }

    /// As strict errors name it: `spec.containers[0]`.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        let (parent, name) = match self {
            Self::Root(at) => return out.push_str(at),
            Self::Index(parent, index) => {
                parent.write(out);
                return out.push_str(&format!("[{index}]"));
            }
            Self::Member(parent, _, field) => (parent, field.name),
            Self::Key(parent, name) => (parent, *name),
        };
        parent.write(out);
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(name);
    }
}
