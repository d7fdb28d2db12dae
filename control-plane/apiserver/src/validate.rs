//! Validation shared by kinds.

/// What is wrong with a DNS subdomain.
#[must_use]
pub fn dns_subdomain(name: &str, generate_prefix: bool) -> Vec<String> {
    let _ = (name, generate_prefix);
    Vec::new()
}
