//! What the default roles may do with a kind. The roles themselves are put together from all rows in
//! [`crate::bootstrap`].

/// A default role that rows add to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `system:aggregate-to-view`, which is in `view`, which is in `edit`, which is in `admin`.
    View,
    /// `system:aggregate-to-edit`, which is in `edit` and `admin`.
    Edit,
    /// `system:aggregate-to-admin`, which is in `admin`.
    Admin,
    /// `system:node`.
    Node,
    /// `system:basic-user`: everyone who is authenticated.
    BasicUser,
    /// `system:auth-delegator`: servers that let this one authenticate and authorize for them.
    AuthDelegator,
}

/// Verbs of those who look.
pub const READ: &[&str] = &["get", "list", "watch"];
/// Verbs of those who change.
pub const WRITE: &[&str] = &["create", "delete", "deletecollection", "patch", "update"];
/// Both.
pub const ALL: &[&str] = &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
/// The verb of what is only asked.
pub const CREATE: &[&str] = &["create"];

/// Something that a default role may do with a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// Who.
    pub role: Role,
    /// What.
    pub verbs: &'static [&'static str],
    /// To which subresources; an empty name means the objects themselves.
    pub of: &'static [&'static str],
}

impl Right {
    /// A role may use these verbs on these subresources.
    #[must_use]
    pub const fn new(role: Role, verbs: &'static [&'static str], of: &'static [&'static str]) -> Self {
        Self { role, verbs, of }
    }

    /// `view` reads, and so do `edit` and `admin`.
    #[must_use]
    pub const fn view(of: &'static [&'static str]) -> Self {
        Self::new(Role::View, READ, of)
    }

    /// `edit` writes, and so does `admin`.
    #[must_use]
    pub const fn edit(of: &'static [&'static str]) -> Self {
        Self::new(Role::Edit, WRITE, of)
    }

    /// A node may use these verbs.
    #[must_use]
    pub const fn node(verbs: &'static [&'static str], of: &'static [&'static str]) -> Self {
        Self::new(Role::Node, verbs, of)
    }
}
