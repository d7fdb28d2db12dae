//! Paths that are given in a Pod.

/// The text when there is a `..` in a path.
fn has_back_steps(path: &str) -> bool {
    path.split('/').any(|part| part == "..")
}

/// A path that never goes up.
pub(super) fn no_back_steps(path: &str) -> Vec<String> {
    has_back_steps(path).then(|| "must not contain '..'".to_owned()).into_iter().collect()
}

/// A path below something else.
pub(super) fn descending(path: &str) -> Vec<String> {
    let mut out = Vec::new();
    if path.starts_with('/') {
        out.push("must be a relative path".to_owned());
    }
    out.extend(no_back_steps(path));
    out
}

/// A path below something else that does not begin with two dots: the node keeps its own files under such names.
pub(super) fn not_reserved(path: &str) -> Vec<String> {
    let mut out = descending(path);
    if path.starts_with("..") && !path.starts_with("../") {
        out.push("must not start with '..'".to_owned());
    }
    out
}

/// A path from the root.
pub(super) fn absolute(path: &str) -> Vec<String> {
    (!path.starts_with('/')).then(|| "must be an absolute path".to_owned()).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_their_folder() {
        assert_eq!(descending("/a/.."), ["must be a relative path", "must not contain '..'"]);
        assert_eq!(descending("../../a"), ["must not contain '..'"]);
        assert_eq!(not_reserved(".."), ["must not contain '..'", "must not start with '..'"]);
        assert_eq!(not_reserved("../a"), ["must not contain '..'"]);
        assert_eq!(not_reserved("..data"), ["must not start with '..'"]);
        assert!(not_reserved("a..b/..c").is_empty() && descending("..data").is_empty() && absolute("/").is_empty());
    }
}
