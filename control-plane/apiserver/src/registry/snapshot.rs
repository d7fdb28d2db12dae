//! The table of rows: readers take a snapshot of it, so that one request never sees two states.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Kind;

/// A group with its versions, in the order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Name; empty for core.
    pub name: String,
    /// Versions, preferred first.
    pub versions: Vec<String>,
}

/// One state of the table of rows.
#[derive(Debug, Default, Clone)]
pub struct Snapshot {
    by_path: HashMap<String, Arc<Kind>>,
    rows: Vec<Arc<Kind>>,
    groups: Vec<Group>,
    /// Moves with every change; discovery caches by it.
    pub generation: u64,
}

fn path_key(group: &str, version: &str, plural: &str) -> String {
    let mut key = String::with_capacity(group.len() + version.len() + plural.len() + 2);
    key.push_str(group);
    key.push('/');
    key.push_str(version);
    key.push('/');
    key.push_str(plural);
    key
}

impl Snapshot {
    /// The row of a path.
    #[must_use]
    pub fn get(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Kind>> {
        self.by_path.get(&path_key(group, version, plural))
    }

    /// Every row of a group and version, by plural.
    pub fn rows<'a>(&'a self, group: &'a str, version: &'a str) -> impl Iterator<Item = &'a Arc<Kind>> {
        self.rows.iter().filter(move |k| k.group == group && k.version == version)
    }

    /// Every row.
    #[must_use]
    pub fn all(&self) -> &[Arc<Kind>] {
        &self.rows
    }

    /// Groups in the order in which they were added, core first.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    fn rebuild(&mut self) {
        self.by_path = self.rows.iter().map(|k| (path_key(&k.group, &k.version, &k.plural), Arc::clone(k))).collect();
        let mut groups: Vec<Group> = Vec::new();
        for row in &self.rows {
            match groups.iter_mut().find(|g| g.name == row.group) {
                Some(group) if group.versions.contains(&row.version) => {}
                Some(group) => group.versions.push(row.version.clone()),
                None => groups.push(Group { name: row.group.clone(), versions: vec![row.version.clone()] }),
            }
        }
        for group in &mut groups {
            group.versions.sort_by(|a, b| version_priority(b).cmp(&version_priority(a)).then_with(|| a.cmp(b)));
        }
        groups.sort_by_key(|g| !g.name.is_empty());
        self.groups = groups;
        self.generation += 1;
    }
}

/// Sorts versions as Kubernetes does: general before beta before alpha, higher numbers first.
#[must_use]
pub fn version_priority(version: &str) -> (u8, u64, u64) {
    let parse = || {
        let rest = version.strip_prefix('v')?;
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let major: u64 = rest[..digits].parse().ok()?;
        let (level, minor) = match &rest[digits..] {
            "" => (3, 0),
            tail => match (tail.strip_prefix("beta"), tail.strip_prefix("alpha")) {
                (Some(n), _) => (2, n.parse().ok()?),
                (_, Some(n)) => (1, n.parse().ok()?),
                _ => return None,
            },
        };
        Some((level, major, minor))
    };
    parse().unwrap_or((0, 0, 0))
}

/// The table of rows, shared by all requests.
#[derive(Debug, Default)]
pub struct Registry {
    current: RwLock<Arc<Snapshot>>,
    /// Orders the changes that custom resource definitions make.
    pub(crate) definitions: std::sync::Mutex<()>,
}

impl Registry {
    /// The present state.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds rows; one with the same group, version and plural is replaced.
    pub fn add(&self, rows: impl IntoIterator<Item = Kind>) {
        self.replace(|_| false, rows);
    }

    /// Removes the rows that `remove` names and adds others, in one step.
    pub fn replace(&self, remove: impl Fn(&Kind) -> bool, rows: impl IntoIterator<Item = Kind>) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Snapshot::clone(&current);
        next.rows.retain(|k| !remove(k));
        for row in rows {
            next.rows.retain(|k| !(k.group == row.group && k.version == row.version && k.plural == row.plural));
            next.rows.push(Arc::new(row));
        }
        next.rebuild();
        *current = Arc::new(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_sort_by_stability() {
        let mut versions = vec!["v1beta1", "v10", "foo", "v2", "v1alpha2", "v1beta2"];
        versions.sort_by_key(|v| std::cmp::Reverse(version_priority(v)));
        assert_eq!(versions, ["v10", "v2", "v1beta2", "v1beta1", "v1alpha2", "foo"]);
    }

    #[test]
    fn rows_come_and_go_in_one_step() {
        let registry = Registry::default();
        registry.add([Kind::new("g", "v1", "A", "as"), Kind::new("", "v1", "B", "bs")]);
        let before = registry.snapshot();
        registry.replace(|k| k.kind == "A", [Kind::new("g", "v2", "A", "as")]);
        assert!(before.get("g", "v1", "as").is_some());
        let after = registry.snapshot();
        assert!(after.get("g", "v1", "as").is_none());
        assert_eq!(after.get("g", "v2", "as").map(|k| k.kind.as_str()), Some("A"));
        assert_eq!(after.groups()[0].name, "");
        assert!(after.generation > before.generation);
    }
}
