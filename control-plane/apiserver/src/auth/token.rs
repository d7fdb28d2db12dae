//! Service-account tokens: JWTs signed by a key of the run, with the claims of Kubernetes' bound tokens.
//!
//! ES256, because such a key costs microseconds to make and the server has milliseconds to start. What a token
//! says is proved here ([`TokenKey::verify`]); whether the objects it is bound to still exist is the
//! authenticator's question.

use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Issuer and default audience of the tokens of a cluster.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Tokens longer than this are refused unread.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// Not a JWT of ours by form.
    #[error("invalid bearer token")]
    Malformed,
    /// Signed by another key, or altered.
    #[error("invalid bearer token, signature does not match")]
    Signature,
    /// Its time is over.
    #[error("invalid bearer token, service account token has expired")]
    Expired,
    /// Its time has not come.
    #[error("invalid bearer token, service account token is not valid yet")]
    NotYet,
    /// Made by someone else.
    #[error("invalid bearer token, issuer {0:?} is not known")]
    Issuer(String),
    /// Meant for someone else.
    #[error("invalid bearer token, token audiences {got:?} is invalid for the target audiences {want:?}")]
    Audience {
        /// The token's audiences.
        got: Vec<String>,
        /// Those that were asked for.
        want: Vec<String>,
    },
    /// The object it is bound to is gone or is another one of that name.
    #[error("invalid bearer token, {0}")]
    Binding(String),
    /// The key could not sign; never the caller's fault.
    #[error("the token could not be signed")]
    Sign,
}

/// What a token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Whom it is for.
    #[serde(default, deserialize_with = "one_or_many")]
    pub aud: Vec<String>,
    /// Seconds since 1970 at which it ends.
    pub exp: i64,
    /// Seconds since 1970 at which it was made.
    #[serde(default)]
    pub iat: i64,
    /// Who made it.
    #[serde(default)]
    pub iss: String,
    /// Its own identity, in audit logs.
    #[serde(default)]
    pub jti: String,
    /// The objects it is bound to.
    #[serde(rename = "kubernetes.io")]
    pub kubernetes: Bound,
    /// Seconds since 1970 before which it is not valid.
    #[serde(default)]
    pub nbf: i64,
    /// `system:serviceaccount:<namespace>:<name>`.
    #[serde(default)]
    pub sub: String,
}

/// The objects a token is bound to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// Namespace of the account and the Pod.
    pub namespace: String,
    /// The node of the Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<BoundObject>,
    /// The Pod the token was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<BoundObject>,
    /// The Secret the token was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<BoundObject>,
    /// The account.
    pub serviceaccount: BoundObject,
}

/// Name and identity of an object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundObject {
    /// Its name.
    pub name: String,
    /// Its UID; empty when not known.
    #[serde(default)]
    pub uid: String,
}

impl Claims {
    /// Checks what can be checked without the objects: issuer and time.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self, now: i64) -> Result<(), TokenError> {
        if self.iss != ISSUER {
            return Err(TokenError::Issuer(self.iss.clone()));
        }
        if self.exp <= now {
            return Err(TokenError::Expired);
        }
        if self.nbf > now {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }

    /// The audiences that token and target have in common.
    ///
    /// # Errors
    /// When there is none.
    pub fn audiences(&self, want: &[String]) -> Result<Vec<String>, TokenError> {
        let common: Vec<String> = want.iter().filter(|a| self.aud.contains(a)).cloned().collect();
        if common.is_empty() {
            return Err(TokenError::Audience { got: self.aud.clone(), want: want.to_vec() });
        }
        Ok(common)
    }
}

#[derive(Serialize, Deserialize)]
struct Header<'a> {
    alg: &'a str,
    #[serde(default)]
    kid: &'a str,
}

/// The key that signs tokens.
pub struct TokenKey {
    pair: EcdsaKeyPair,
    key_id: String,
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl TokenKey {
    /// Makes a key.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn generate() -> Result<Self, TokenError> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| TokenError::Sign)?;
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().map_err(|_| TokenError::Sign)?;
        let key_id = URL_SAFE_NO_PAD.encode(Sha256::digest(public.as_ref()));
        Ok(Self { pair, key_id })
    }

    /// A signed token.
    ///
    /// # Errors
    /// When the cryptography library fails.
    pub fn sign(&self, claims: &Claims) -> Result<String, TokenError> {
        let header = serde_json::to_vec(&Header { alg: "ES256", kid: &self.key_id }).map_err(|_| TokenError::Sign)?;
        let claims = serde_json::to_vec(claims).map_err(|_| TokenError::Sign)?;
        let mut token = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), token.as_bytes()).map_err(|_| TokenError::Sign)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature.as_ref(), &mut token);
        Ok(token)
    }

    /// What a token says, if this key signed it. Time and audience are the caller's to check.
    ///
    /// # Errors
    /// When it is no token of this key.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Malformed);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (header, payload) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let header = decode(header)?;
        let header: Header<'_> = serde_json::from_slice(&header).map_err(|_| TokenError::Malformed)?;
        // The algorithm is ours, never the token's choice.
        if header.alg != "ES256" {
            return Err(TokenError::Malformed);
        }
        let signature = decode(signature)?;
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key().as_ref())
            .verify(message.as_bytes(), &signature)
            .map_err(|_| TokenError::Signature)?;
        serde_json::from_slice(&decode(payload)?).map_err(|_| TokenError::Malformed)
    }

    /// The public half as a JSON Web Key Set.
    #[must_use]
    pub fn jwks(&self) -> serde_json::Value {
        let point = self.pair.public_key().as_ref();
        // Uncompressed: a 4, then the two coordinates.
        let (x, y) = point.get(1..).unwrap_or_default().split_at_checked(32).unwrap_or_default();
        serde_json::json!({"keys": [{
            "use": "sig", "kty": "EC", "kid": self.key_id, "crv": "P-256", "alg": "ES256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        }]})
    }
}

fn decode(part: &str) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// JWT lets a single audience stand without its list.
fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        One(String),
        Many(Vec<String>),
    }
    Ok(match Either::deserialize(from)? {
        Either::One(one) => vec![one],
        Either::Many(many) => many,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            aud: vec![ISSUER.into(), "vault".into()],
            exp: 2_000,
            iat: 1_000,
            iss: ISSUER.into(),
            jti: "id".into(),
            kubernetes: Bound {
                namespace: "ns".into(),
                pod: Some(BoundObject { name: "p".into(), uid: "u2".into() }),
                serviceaccount: BoundObject { name: "sa".into(), uid: "u1".into() },
                ..Bound::default()
            },
            nbf: 1_000,
            sub: "system:serviceaccount:ns:sa".into(),
        }
    }

    #[test]
    fn a_token_comes_back_as_it_went() {
        let key = TokenKey::generate().unwrap();
        let token = key.sign(&claims()).unwrap();
        assert_eq!(key.verify(&token).unwrap(), claims());
        let payload = decode(token.split('.').nth(1).unwrap()).unwrap();
        let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        assert_eq!(payload["kubernetes.io"]["pod"]["uid"], "u2");
        assert_eq!(key.jwks()["keys"][0]["x"].as_str().unwrap().len(), 43);
    }

    #[test]
    fn tampering_and_other_keys_are_seen() {
        let key = TokenKey::generate().unwrap();
        let token = key.sign(&claims()).unwrap();
        assert_eq!(TokenKey::generate().unwrap().verify(&token), Err(TokenError::Signature));
        let mut other = claims();
        other.sub = "system:serviceaccount:kube-system:admin".into();
        let forged = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&other).unwrap());
        let mut parts: Vec<&str> = token.split('.').collect();
        parts[1] = &forged;
        assert_eq!(key.verify(&parts.join(".")), Err(TokenError::Signature));
        let none = URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#);
        assert_eq!(key.verify(&format!("{none}.{forged}.")), Err(TokenError::Malformed));
        for bad in ["", "a", "a.b", "a.b.c", "....", &"x".repeat(MAX_TOKEN_BYTES + 1)] {
            assert_eq!(key.verify(bad), Err(TokenError::Malformed), "{bad:.20}");
        }
    }

    #[test]
    fn time_issuer_and_audience_are_checked() {
        assert_eq!(claims().check(1_500), Ok(()));
        assert_eq!(claims().check(2_000), Err(TokenError::Expired));
        assert_eq!(claims().check(999), Err(TokenError::NotYet));
        let stranger = Claims { iss: "x".into(), ..claims() };
        assert_eq!(stranger.check(1_500), Err(TokenError::Issuer("x".into())));
        assert_eq!(claims().audiences(&["a".into(), "vault".into()]), Ok(vec!["vault".into()]));
        assert!(matches!(claims().audiences(&["a".into()]), Err(TokenError::Audience { .. })));
    }
}
