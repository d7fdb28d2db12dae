//! Kubeconfig files: what `up` hands to `kubectl` and the kubelet to Pods without a sandbox.
//!
//! One cluster, one user, one context. Everything is embedded, so that the file works from any folder.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dormouse_runtime::pki::Leaf;

/// How the user of a kubeconfig proves who it is.
#[derive(Debug, Clone, Copy)]
pub enum Credential<'a> {
    /// A client certificate with its key.
    Certificate(&'a Leaf),
    /// A bearer token.
    Token(&'a str),
}

/// What goes into a kubeconfig.
#[derive(Debug, Clone, Copy)]
pub struct Kubeconfig<'a> {
    /// Name of cluster and context, and prefix of the user's name.
    pub name: &'a str,
    /// `https://host:port`.
    pub server: &'a str,
    /// The authority's certificate, PEM.
    pub ca_pem: &'a str,
    /// The namespace of the context.
    pub namespace: &'a str,
    /// The user's name in the file (nothing to do with the name the server sees).
    pub user: &'a str,
    /// The user's credential.
    pub credential: Credential<'a>,
}

impl Kubeconfig<'_> {
    /// The file's text.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let credential = match self.credential {
            Credential::Certificate(leaf) => format!(
                "    client-certificate-data: {}\n    client-key-data: {}\n",
                STANDARD.encode(&leaf.cert_pem),
                STANDARD.encode(&leaf.key_pem)
            ),
            Credential::Token(token) => format!("    token: {}\n", quoted(token)),
        };
        let (name, user) = (quoted(self.name), quoted(self.user));
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {name}\nclusters:\n- name: {name}\n  cluster:\n    server: {}\n    \
             certificate-authority-data: {}\ncontexts:\n- name: {name}\n  context:\n    cluster: {name}\n    user: {user}\n    \
             namespace: {}\nusers:\n- name: {user}\n  user:\n{credential}preferences: {{}}\n",
            quoted(self.server),
            STANDARD.encode(self.ca_pem),
            quoted(self.namespace),
        )
    }

    /// Writes the file so that a reader sees the old text, or none, or the whole new one, and nobody else sees it
    /// at all (mode 0600). The folder must exist.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        write_private(path, self.to_yaml().as_bytes())
    }
}

/// A JSON string is a YAML scalar whatever it holds.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Writes a file with mode 0600 by rename from a neighbour. It is not flushed to the disk: what is in it is worth nothing
/// without the running server, so that it need not outlive the machine, and a flush takes milliseconds.
///
/// # Errors
/// What the file system says; the neighbour is removed then.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary);
    let result = create_private(&temporary).and_then(|mut file| {
        file.write_all(bytes)?;
        fs::rename(&temporary, path)
    });
    if result.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    result
}

fn create_private(path: &Path) -> io::Result<fs::File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    match options.open(path) {
        // A process with our number died between creating and renaming.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            options.open(path)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample<'a>(credential: Credential<'a>) -> Kubeconfig<'a> {
        Kubeconfig {
            name: "dormouse",
            server: "https://127.0.0.1:6443",
            ca_pem: "CA",
            namespace: "team \"a\": x",
            user: "admin",
            credential,
        }
    }

    #[test]
    fn text_is_a_kubeconfig_the_client_library_reads() {
        let read: kube::config::Kubeconfig = kube::config::Kubeconfig::from_yaml(&sample(Credential::Token("t0")).to_yaml()).unwrap();
        assert_eq!(read.current_context.as_deref(), Some("dormouse"));
        let context = read.contexts[0].context.clone().unwrap();
        assert_eq!(context.namespace.as_deref(), Some("team \"a\": x"));
        assert_eq!(read.clusters[0].cluster.clone().unwrap().server.as_deref(), Some("https://127.0.0.1:6443"));
        assert!(read.auth_infos[0].auth_info.clone().unwrap().token.is_some());
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_private_replaced_whole_and_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kubeconfig");
        fs::write(&path, "old").unwrap();
        sample(Credential::Token("t")).write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(&path).unwrap().contains("kind: Config"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let missing = folder.path().join("no/such/folder");
        assert!(sample(Credential::Token("t")).write(&missing).is_err());
    }
}
