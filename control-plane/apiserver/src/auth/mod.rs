//! Who asks, and whether they may: authentication, RBAC and tokens.
//!
//! The transport calls [`authenticate()`] once per request and hands the [`User`] on; the core calls [`authorize`]
//! before it reads a body. The rows of the RBAC kinds keep the index of [`rbac`] up to date; reviews and
//! `serviceaccounts/token` are rows too, which ask here.

mod authenticate;
pub mod certificate;
pub mod rbac;
pub mod token;

use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

pub use authenticate::{Credentials, authenticate};
pub(crate) use authenticate::{user_of, verify};

use crate::{ApiError, ApiServer, RequestInfo, User};
use rbac::{Action, Rbac};
use token::TokenKey;

/// What authentication and authorization hold.
#[derive(Debug)]
pub struct State {
    rbac: Rbac,
    key: Option<TokenKey>,
    verified: authenticate::Verified,
    ca_pem: RwLock<Option<Arc<str>>>,
}

impl Default for State {
    /// The state of a fresh server: nobody holds anything, tokens are signed by a new key.
    fn default() -> Self {
        let key = TokenKey::generate().inspect_err(|error| tracing::error!(%error, "no key for tokens")).ok();
        Self { rbac: Rbac::default(), key, verified: authenticate::Verified::default(), ca_pem: RwLock::default() }
    }
}

impl State {
    /// The authoriser.
    #[must_use]
    pub fn rbac(&self) -> &Rbac {
        &self.rbac
    }

    /// The key that signs tokens; `None` when the machine's cryptography failed at start.
    #[must_use]
    pub fn token_key(&self) -> Option<&TokenKey> {
        self.key.as_ref()
    }

    /// The certificate, PEM, by which clients know this server; `None` before it serves HTTPS.
    #[must_use]
    pub fn ca_pem(&self) -> Option<Arc<str>> {
        self.ca_pem.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_ca_pem(&self, pem: &str) {
        *self.ca_pem.write().unwrap_or_else(PoisonError::into_inner) = Some(pem.into());
    }
}

/// Whether `user` may do `info`; not called under the bare profile.
///
/// # Errors
/// 403 with the real server's words.
pub fn authorize(server: &ApiServer, user: &User, info: &RequestInfo) -> Result<(), ApiError> {
    let action = action(info);
    let rbac = server.auth().rbac();
    if rbac.allows(user, &action) {
        return Ok(());
    }
    Err(forbidden(user, &action, &rbac.decide(user, &action).reason))
}

/// What the store holds under this storage, namespace and name.
pub(crate) fn object(server: &ApiServer, storage: &str, namespace: &str, name: &str) -> Option<Value> {
    let stored = server.store().table(storage).get(&dormouse_store::key(namespace, name))?;
    serde_json::from_slice(stored.bytes()).ok()
}

/// The UID of what [`object`] would give, without reading it.
pub(crate) fn uid_of(server: &ApiServer, storage: &str, namespace: &str, name: &str) -> Option<String> {
    let stored = server.store().table(storage).get(&dormouse_store::key(namespace, name))?;
    Some(stored.meta().uid.to_string())
}

/// A request as a question to the authoriser.
#[must_use]
pub fn action(info: &RequestInfo) -> Action<'_> {
    if info.is_resource {
        Action::Resource {
            verb: &info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
        }
    } else {
        Action::Path { verb: &info.verb, path: &info.path }
    }
}

/// 403 as a real server words it.
#[must_use]
pub fn forbidden(user: &User, action: &Action<'_>, reason: &str) -> ApiError {
    let tail = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    match *action {
        Action::Path { verb, path } => {
            ApiError::forbidden("", "", "", format_args!("User {:?} cannot {verb} path {path:?}{tail}", user.name))
        }
        Action::Resource { verb, group, resource, subresource, namespace, name } => {
            let slash = if subresource.is_empty() { "" } else { "/" };
            let scope = if namespace.is_empty() { "at the cluster scope".to_owned() } else { format!("in the namespace {namespace:?}") };
            let why = format!(
                "User {:?} cannot {verb} resource \"{resource}{slash}{subresource}\" in API group {group:?} {scope}{tail}",
                user.name
            );
            ApiError::forbidden(group, resource, name, why)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_worded_as_kubernetes_does() {
        let jane = User::new("jane", [""; 0]);
        let ask = |method, path: &str| {
            let info = RequestInfo::parse(&method, path, "");
            forbidden(&jane, &action(&info), "").message
        };
        assert_eq!(
            ask(http::Method::GET, "/api/v1/namespaces/default/pods"),
            "pods is forbidden: User \"jane\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
        );
        assert_eq!(
            ask(http::Method::GET, "/api/v1/namespaces/default/pods/a/log"),
            "pods \"a\" is forbidden: User \"jane\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"default\""
        );
        assert_eq!(
            ask(http::Method::DELETE, "/apis/apps/v1/deployments"),
            "deployments.apps is forbidden: User \"jane\" cannot deletecollection resource \"deployments\" in API group \"apps\" at the cluster scope"
        );
        assert_eq!(ask(http::Method::GET, "/metrics"), "forbidden: User \"jane\" cannot get path \"/metrics\"");
    }
}
