//! The body of a proxy configuration. PURE.
//!
//! Read as Go's decoder reads it: member names match whatever their case, unknown members are ignored, only the first
//! JSON value of the body counts, absent members have zero values.

use serde::Deserialize;
use serde_json::{Value, json};

/// Where connections go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: String,
    pub(crate) port: u16,
}

/// Why a body is refused; prints as the refusal (launcher 4.8).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetError {
    #[error("failed to parse JSON: {0}")]
    Unreadable(String),
    #[error("address is required")]
    AddressMissing,
    #[error("invalid port")]
    PortMissing,
}

impl Target {
    /// Reads a body.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, TargetError> {
        let no_json = |e: &dyn std::fmt::Display| TargetError::Unreadable(e.to_string());
        let value = Value::deserialize(&mut serde_json::Deserializer::from_slice(body)).map_err(|e| no_json(&e))?;
        let members = match value {
            Value::Null => serde_json::Map::new(),
            Value::Object(members) => members,
            other => return Err(no_json(&format!("cannot unmarshal {} into a proxy configuration", kind(&other)))),
        };
        let member = |name: &str| members.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        let address = match member("address") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(s)) => s.clone(),
            Some(other) => return Err(no_json(&format!("cannot unmarshal {} into address of type string", kind(other)))),
        };
        let port = match member("port") {
            None | Some(Value::Null) => 0,
            Some(value) => value
                .as_u64()
                .and_then(|p| u16::try_from(p).ok())
                .ok_or_else(|| no_json(&format!("cannot unmarshal {value} into port of type uint16")))?,
        };
        if address.is_empty() {
            return Err(TargetError::AddressMissing);
        }
        if port == 0 {
            return Err(TargetError::PortMissing);
        }
        Ok(Self { address, port })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({"address": self.address, "port": self.port})
    }

    /// `address:port`, with brackets for IPv6.
    pub(crate) fn authority(&self) -> String {
        super::authority(&self.address, self.port)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies() {
        let parse = |s: &str| Target::parse(s.as_bytes());
        let fine = Target { address: "10.1.2.3".into(), port: 8005 };
        assert_eq!(parse(r#"{"address":"10.1.2.3","port":8005}"#), Ok(fine.clone()));
        assert_eq!(parse(r#"{"Address":"10.1.2.3","PORT":8005,"more":1} trailing"#), Ok(fine.clone()));
        assert_eq!(fine.to_json().to_string(), r#"{"address":"10.1.2.3","port":8005}"#);
        assert_eq!(parse(r#"{"address":"fd00::1","port":1}"#).unwrap().authority(), "[fd00::1]:1");
        for (text, error) in [
            (r#"{"address":"","port":8080}"#, "address is required"),
            (r#"{}"#, "address is required"),
            (r#"{"address":"127.0.0.1","port":0}"#, "invalid port"),
            (r#"{"address":"127.0.0.1"}"#, "invalid port"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), error, "{text}");
        }
        for bad in [
            "",
            "{invalid json}",
            "[]",
            "5",
            r#"{"address":"a","port":70000}"#,
            r#"{"address":"a","port":-1}"#,
            r#"{"address":"a","port":1.5}"#,
            r#"{"address":1,"port":1}"#,
        ] {
            assert!(parse(bad).unwrap_err().to_string().starts_with("failed to parse JSON: "), "{bad}");
        }
    }
}
