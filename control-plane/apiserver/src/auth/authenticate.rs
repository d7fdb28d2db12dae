//! From credentials to a [`User`]: certificate, else bearer token, else nobody; then impersonation.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue};
use sha2::{Digest, Sha256};

use super::rbac::Action;
use super::token::{BoundObject, Claims, ISSUER, TokenError, TokenKey};
use super::{certificate, forbidden};
use crate::request::{GROUP_AUTHENTICATED, GROUP_UNAUTHENTICATED, percent_decode};
use crate::{ApiError, ApiServer, User};

const ANONYMOUS: &str = "system:anonymous";
const ACCOUNT_PREFIX: &str = "system:serviceaccount:";
const ACCOUNTS: &str = "system:serviceaccounts";
const AUTHENTICATION_GROUP: &str = "authentication.k8s.io";

/// What a connection proves by itself.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The user of the client certificate that the TLS layer has verified.
    pub certificate: Option<User>,
}

impl Credentials {
    /// The credentials of a connection with this verified client certificate.
    #[must_use]
    pub fn from_certificate(der: &[u8]) -> Self {
        let user = certificate::subject(der).and_then(|subject| {
            let name = subject.common_name.filter(|n| !n.is_empty())?;
            let mut user = User::new(name, subject.organizations);
            let fingerprint = Sha256::digest(der).iter().fold(String::new(), |mut hex, byte| {
                let _ = std::fmt::Write::write_fmt(&mut hex, format_args!("{byte:02x}"));
                hex
            });
            user.extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("X509SHA256={fingerprint}")]);
            Some(user)
        });
        Self { certificate: user }
    }
}

/// Who makes a request: authentication, then impersonation.
///
/// # Errors
/// 401 for a credential that is not good, 403 for an impersonation that is not allowed.
pub fn authenticate(server: &ApiServer, credentials: &Credentials, headers: &HeaderMap) -> Result<User, ApiError> {
    let user = match (&credentials.certificate, bearer(headers)) {
        (Some(user), _) => user.clone(),
        (None, Some(token)) => {
            let claims = verify(server, token, &[ISSUER.to_owned()]).map_err(|error| {
                tracing::debug!(%error, "bearer token refused");
                ApiError::unauthorized("Unauthorized")
            })?;
            user_of(&claims)
        }
        (None, None) => User::anonymous(),
    };
    impersonate(server, user, headers)
}

/// The token of a `Bearer` header. Other schemes are not ours and count as no credential.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Signatures that were checked already: a controller sends the same token with every request.
///
/// Bounded by forgetting everything when full. What a token says is immutable, so an entry never goes stale;
/// time, audience and bound objects are checked on every use.
#[derive(Debug, Default)]
pub(super) struct Verified(Mutex<HashMap<[u8; 32], Arc<Claims>>>);

impl Verified {
    const CAPACITY: usize = 1024;

    fn claims(&self, key: &TokenKey, token: &str) -> Result<Arc<Claims>, TokenError> {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(claims) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&digest) {
            return Ok(Arc::clone(claims));
        }
        let claims = Arc::new(key.verify(token)?);
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.len() >= Self::CAPACITY {
            held.clear();
        }
        held.insert(digest, Arc::clone(&claims));
        Ok(claims)
    }
}

/// What a token says, if it is good now and for one of `audiences`.
///
/// # Errors
/// The first thing that is wrong with it.
pub(crate) fn verify(server: &ApiServer, token: &str, audiences: &[String]) -> Result<Arc<Claims>, TokenError> {
    let auth = server.auth();
    let claims = auth.verified.claims(auth.token_key().ok_or(TokenError::Signature)?, token)?;
    claims.check(server.now().as_second())?;
    claims.audiences(audiences)?;
    let bound = &claims.kubernetes;
    let namespace = bound.namespace.as_str();
    if claims.sub != format!("{ACCOUNT_PREFIX}{namespace}:{}", bound.serviceaccount.name) {
        return Err(TokenError::Binding("its subject is not its service account".to_owned()));
    }
    exists(server, "serviceaccounts", "serviceaccount", namespace, &bound.serviceaccount)?;
    for (storage, what, object) in [("pods", "pod", &bound.pod), ("secrets", "secret", &bound.secret)] {
        if let Some(object) = object {
            exists(server, storage, what, namespace, object)?;
        }
    }
    // A node in a token of a Pod is information; in any other token it is what the token is bound to.
    match &bound.node {
        Some(node) if bound.pod.is_none() => exists(server, "nodes", "node", "", node)?,
        _ => {}
    }
    Ok(claims)
}

fn exists(server: &ApiServer, storage: &str, what: &str, namespace: &str, object: &BoundObject) -> Result<(), TokenError> {
    let name = &object.name;
    match super::uid_of(server, storage, namespace, name) {
        None => Err(TokenError::Binding(format!("{what} {name:?} not found"))),
        Some(uid) if uid == object.uid => Ok(()),
        Some(_) => Err(TokenError::Binding(format!("{what} {name:?} was deleted and made again"))),
    }
}

/// The user that a token stands for.
pub(crate) fn user_of(claims: &Claims) -> User {
    let bound = &claims.kubernetes;
    let mut user = account(&bound.namespace, &bound.serviceaccount.name);
    user.uid.clone_from(&bound.serviceaccount.uid);
    let mut put = |key: &str, value: &str| {
        if !value.is_empty() {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value.to_owned()]);
        }
    };
    if !claims.jti.is_empty() {
        put("credential-id", &format!("JTI={}", claims.jti));
    }
    for (what, object) in [("pod", &bound.pod), ("node", &bound.node)] {
        if let Some(object) = object {
            put(&format!("{what}-name"), &object.name);
            put(&format!("{what}-uid"), &object.uid);
        }
    }
    user
}

/// The user of a service account.
pub(super) fn account(namespace: &str, name: &str) -> User {
    User::new(format!("{ACCOUNT_PREFIX}{namespace}:{name}"), [ACCOUNTS.to_owned(), format!("{ACCOUNTS}:{namespace}")])
}

/// Takes the name and groups that the `Impersonate-*` headers ask for, each of which must be allowed.
fn impersonate(server: &ApiServer, user: User, headers: &HeaderMap) -> Result<User, ApiError> {
    const EXTRA: &str = "impersonate-extra-";
    // What is no text must not count as absent: the request would run with the rights of who asks. Names beyond ASCII come as
    // UTF-8; what is not even that becomes a name, which must be allowed like any other.
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let one = |name: &str| headers.get(name).map(text).unwrap_or_default();
    let (name, uid) = (one("impersonate-user"), one("impersonate-uid"));
    let mut groups: Vec<String> = headers.get_all("impersonate-group").iter().map(text).collect();
    let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (key, value) in headers {
        if let Some(key) = key.as_str().strip_prefix(EXTRA) {
            extra.entry(percent_decode(key)).or_default().push(text(value));
        }
    }
    if name.is_empty() {
        if uid.is_empty() && groups.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        return Err(ApiError::internal("requested impersonation of a uid, group or extra field without impersonating a user"));
    }

    let may = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let action = Action::Resource { verb: "impersonate", group, resource, subresource, namespace, name };
        let rbac = server.auth().rbac();
        if rbac.allows(&user, &action) { Ok(()) } else { Err(forbidden(&user, &action, &rbac.decide(&user, &action).reason)) }
    };
    let of_account = name.strip_prefix(ACCOUNT_PREFIX).and_then(|rest| rest.split_once(':'));
    match of_account {
        Some((namespace, account)) => may("", "serviceaccounts", "", namespace, account)?,
        None => may("", "users", "", "", &name)?,
    }
    for group in &groups {
        may("", "groups", "", "", group)?;
    }
    if !uid.is_empty() {
        may(AUTHENTICATION_GROUP, "uids", "", "", &uid)?;
    }
    for (key, values) in &extra {
        for value in values {
            may(AUTHENTICATION_GROUP, "userextras", key, "", value)?;
        }
    }

    if groups.is_empty()
        && let Some((namespace, _)) = of_account
    {
        groups = vec![ACCOUNTS.to_owned(), format!("{ACCOUNTS}:{namespace}")];
    }
    let belongs = if name == ANONYMOUS { GROUP_UNAUTHENTICATED } else { GROUP_AUTHENTICATED };
    let other = if name == ANONYMOUS { GROUP_AUTHENTICATED } else { GROUP_UNAUTHENTICATED };
    if !groups.iter().any(|g| g == belongs || g == other) {
        groups.push(belongs.to_owned());
    }
    Ok(User { name, groups, uid, extra })
}
