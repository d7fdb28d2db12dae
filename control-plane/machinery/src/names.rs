//! Rules for names. Each function gives the messages that Kubernetes would give, none for a valid name.

/// Longest DNS label.
pub const LABEL_MAX: usize = 63;
/// Longest DNS name.
pub const SUBDOMAIN_MAX: usize = 253;
/// The letters and digits of generated names: no vowels, so that no words appear, and none that look alike.
pub const SAFE_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
/// How many characters a generated name gets.
const SUFFIX_LEN: usize = 5;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const ENV_VAR: &str = "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not start with a digit (e.g. 'my.env-name',  or 'MY_ENV.NAME',  or 'MyEnvName1', regex used for validation is '[-._a-zA-Z][-._a-zA-Z0-9]*')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// A label of a DNS name: names of namespaces, containers, volumes.
pub fn dns1123_label(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    too_long(value, LABEL_MAX, &mut out);
    if !is_label(value) {
        out.push(if is_subdomain(value) { "must not contain dots" } else { LABEL }.to_owned());
    }
    out
}

/// A DNS name: names of most objects.
pub fn dns1123_subdomain(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    too_long(value, SUBDOMAIN_MAX, &mut out);
    if !is_subdomain(value) {
        out.push(SUBDOMAIN.to_owned());
    }
    out
}

/// A label of a DNS name that starts with a letter: names of Services.
pub fn dns1035_label(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    too_long(value, LABEL_MAX, &mut out);
    if !(is_label(value) && value.starts_with(|c: char| c.is_ascii_lowercase())) {
        out.push(LABEL_1035.to_owned());
    }
    out
}

/// An optional DNS name and `/`, and a name: keys of labels and annotations, finalizers, resources.
pub fn qualified_name(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    let name = match value.split_once('/') {
        None => value,
        Some((prefix, name)) if !name.contains('/') => {
            if prefix.is_empty() {
                out.push("prefix part must be non-empty".to_owned());
            } else {
                out.extend(dns1123_subdomain(prefix).into_iter().map(|m| format!("prefix part {m}")));
            }
            name
        }
        _ => {
            return vec![format!(
                "a valid label key {QUALIFIED} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        out.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        out.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    if !is_qualified(name) {
        out.push(format!("name part {QUALIFIED}"));
    }
    out
}

/// The value of a label.
pub fn label_value(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    if value.len() > LABEL_MAX {
        out.push(format!("must be no more than {LABEL_MAX} bytes"));
    }
    if !(value.is_empty() || is_qualified(value)) {
        out.push(LABEL_VALUE.to_owned());
    }
    out
}

/// The name of an environment variable.
pub fn env_var_name(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    let bytes = value.as_bytes();
    if bytes.first().is_none_or(u8::is_ascii_digit) || !bytes.iter().all(is_config_byte) {
        out.push(ENV_VAR.to_owned());
    }
    dots(value, &mut out);
    out
}

/// The name of a port of a container.
pub fn port_name(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    too_long(value, 15, &mut out);
    let bytes = value.as_bytes();
    if bytes.is_empty() || !bytes.iter().all(|b| is_lower(*b) || *b == b'-') {
        out.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_owned());
    }
    if !bytes.iter().any(u8::is_ascii_lowercase) {
        out.push("must contain at least one letter (a-z)".to_owned());
    }
    if value.contains("--") {
        out.push("must not contain consecutive hyphens".to_owned());
    }
    if value.starts_with('-') || value.ends_with('-') {
        out.push("must not begin or end with a hyphen".to_owned());
    }
    out
}

/// A key of a ConfigMap or Secret.
pub fn config_map_key(value: &str) -> Vec<String> {
    let mut out = Vec::new();
    too_long(value, SUBDOMAIN_MAX, &mut out);
    if value.is_empty() || !value.bytes().all(|b| is_config_byte(&b)) {
        out.push(CONFIG_KEY.to_owned());
    }
    dots(value, &mut out);
    out
}

/// `base` and five random characters, `base` shortened so that the whole is a DNS label. `next` is the
/// source of randomness, called once a character.
pub fn generate_name(base: &str, next: &mut dyn FnMut() -> u32) -> String {
    let mut end = base.len().min(LABEL_MAX - SUFFIX_LEN);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = base[..end].to_owned();
    out.push_str(&safe_suffix(SUFFIX_LEN, next));
    out
}

/// `len` random characters of the safe alphabet.
pub fn safe_suffix(len: usize, next: &mut dyn FnMut() -> u32) -> String {
    let letters = SAFE_ALPHABET.len();
    (0..len).map(|_| char::from(SAFE_ALPHABET[next() as usize % letters])).collect()
}

fn too_long(value: &str, max: usize, out: &mut Vec<String>) {
    if value.len() > max {
        out.push(format!("must be no more than {max} characters"));
    }
}

/// Names that would leave a folder when they are used as file names.
fn dots(value: &str, out: &mut Vec<String>) {
    match value {
        "." => out.push("must not be \".\"".to_owned()),
        ".." => out.push("must not be \"..\"".to_owned()),
        _ if value.starts_with("..") => out.push("must not start with \"..\"".to_owned()),
        _ => {}
    }
}

fn is_lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_config_byte(b: &u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')
}

fn is_label(value: &str) -> bool {
    match value.as_bytes() {
        [] => false,
        [only] => is_lower(*only),
        [first, middle @ .., last] => is_lower(*first) && is_lower(*last) && middle.iter().all(|b| is_lower(*b) || *b == b'-'),
    }
}

/// Labels with dots between them, in one pass: as if a dot stood before and after them all.
fn is_subdomain(value: &str) -> bool {
    let mut before = b'.';
    value.bytes().chain([b'.']).all(|b| {
        let fits = match b {
            b'.' => is_lower(before),
            b'-' => before != b'.',
            _ => is_lower(b),
        };
        before = b;
        fits
    })
}

fn is_qualified(value: &str) -> bool {
    match value.as_bytes() {
        [] => false,
        [only] => only.is_ascii_alphanumeric(),
        [first, middle @ .., last] => first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() && middle.iter().all(is_config_byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_names_are_labels() {
        let mut n = 0;
        let mut next = || {
            n += 7;
            n
        };
        assert_eq!(generate_name("web-", &mut next), "web-ks4cl");
        let long = generate_name(&"a".repeat(80), &mut next);
        assert_eq!(long.len(), LABEL_MAX);
        assert!(dns1123_label(&long).is_empty());
        // A cut inside a character would panic.
        assert_eq!(generate_name(&"é".repeat(40), &mut next).chars().count(), 29 + 5);
    }

    #[test]
    fn names_that_leave_a_folder() {
        assert_eq!(config_map_key(".."), ["must not be \"..\""]);
        assert_eq!(config_map_key("..a"), ["must not start with \"..\""]);
        assert_eq!(config_map_key("."), ["must not be \".\""]);
        assert!(config_map_key("a..").is_empty());
        assert_eq!(env_var_name(".."), ["must not be \"..\""]);
    }

    #[test]
    fn subdomains_are_labels_with_dots_between() {
        for value in ["", ".", "a", "a.", ".a", "a..b", "a.b", "-", "a-", "-a", "a-b", "a-.b", "a.-b", "a--b.c", "A", "a_b", "é", "a.é"] {
            assert_eq!(is_subdomain(value), value.split('.').all(is_label), "{value}");
        }
    }

    #[test]
    fn a_key_with_two_slashes() {
        assert!(qualified_name("a/b/c")[0].starts_with("a valid label key must consist of"));
    }
}
