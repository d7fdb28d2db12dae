//! From a model's name to its folder: the folder itself, or the local Hugging Face cache. Nothing is downloaded, and
//! nothing else is ever served in its place.

use std::path::{Path, PathBuf};

use crate::run::Environment;

/// Why there is no folder.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    #[error(
        "model {name:?} is neither a folder nor in the local Hugging Face cache ({cache}). Name a folder with config.json, \
         tokenizer.json and *.safetensors, or make a small model with `dormouse engine make-model {example} --name {short}`"
    )]
    Unknown { name: String, cache: String, example: String, short: String },
    #[error("the cache holds {name:?} but not its revision {revision:?}: {path} is missing")]
    Revision { name: String, revision: String, path: String },
}

pub(super) fn folder(name: &str, revision: &str, env: &Environment) -> Result<PathBuf, ResolveError> {
    let direct = Path::new(name);
    if direct.is_dir() {
        return Ok(direct.to_owned());
    }
    let short = name.trim_end_matches('/').rsplit('/').next().unwrap_or(name).to_owned();
    let unknown = || ResolveError::Unknown {
        name: name.to_owned(),
        cache: env.hub_cache.as_ref().map_or_else(|| "none".to_owned(), |c| c.display().to_string()),
        example: format!("./{short}"),
        short: short.clone(),
    };
    // A name of the hub is `org/model` or `model`; anything with other path parts was meant as a path.
    let parts: Vec<&str> = name.split('/').collect();
    let plain = |p: &&str| !p.is_empty() && *p != "." && *p != "..";
    let cache = env.hub_cache.as_ref().filter(|_| parts.len() <= 2 && parts.iter().all(plain)).ok_or_else(unknown)?;
    let home = cache.join(format!("models--{}", parts.join("--")));
    if !home.is_dir() {
        return Err(unknown());
    }
    let known = std::fs::read_to_string(home.join("refs").join(revision)).ok();
    let snapshot = home.join("snapshots").join(known.as_deref().map_or(revision, str::trim));
    if snapshot.is_dir() {
        return Ok(snapshot);
    }
    let (name, revision, path) = (name.to_owned(), revision.to_owned(), snapshot.display().to_string());
    Err(ResolveError::Revision { name, revision, path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_and_the_cache_are_found_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let snapshot = dir.path().join("models--org--m/snapshots/abc");
        std::fs::create_dir_all(&snapshot).unwrap();
        std::fs::create_dir_all(dir.path().join("models--org--m/refs")).unwrap();
        std::fs::write(dir.path().join("models--org--m/refs/main"), "abc\n").unwrap();
        let env = Environment { hub_cache: Some(dir.path().to_owned()), ..Environment::default() };
        assert_eq!(folder("org/m", "main", &env).unwrap(), snapshot);
        assert_eq!(folder("org/m", "abc", &env).unwrap(), snapshot);
        assert!(folder("org/m", "dev", &env).unwrap_err().to_string().contains("revision \"dev\""));
        let path = dir.path().to_str().unwrap();
        assert_eq!(folder(path, "main", &env).unwrap(), dir.path());
        for absent in ["org/other", "../m", "a/b/c", ""] {
            let e = folder(absent, "main", &env).unwrap_err().to_string();
            assert!(e.contains("dormouse engine make-model"), "{absent}: {e}");
        }
    }
}
