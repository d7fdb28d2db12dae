//! P: what should not be seen by everybody.

use std::collections::BTreeSet;

use super::{Check, Context, Mend, Needs, Rule, Sink, t};
use crate::finding::Severity::{Error, Warning};
use crate::model::Document;
use crate::parse::fields::Form;
use crate::text::Span;

pub(super) static RULES: &[Rule] = &[
    Rule {
        id: "P001",
        name: "sensitive-in-public",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A proposal with `Visibility: sensitive` stands in a tree that everybody may read.",
        check: Check::Later,
    },
    Rule {
        id: "P002",
        name: "disclosure-due",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "The day of `Disclose After` has passed.",
        check: Check::Later,
    },
    Rule {
        id: "P003",
        name: "sensitive-leak",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Configured,
        about: "A public file holds the words, the title or a token of a private proposal.",
        check: Check::Later,
    },
    Rule {
        id: "P004",
        name: "secret-shaped",
        severity: Error,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A private key, a token of a well-known shape, or a password in an address. Whoever reads the repository has it, and its \
                history keeps it: make it void first, then take it out. Placeholders, `example` hosts and this machine's own are left \
                alone.",
        check: Check::Repository(secret),
    },
    Rule {
        id: "P005",
        name: "private-host-link",
        severity: Warning,
        mend: Mend::None,
        needs: Needs::Nothing,
        about: "A link leads to a host that not everybody reaches (`private_hosts` in dep.toml). Say in the text what readers need to \
                know of it.",
        check: Check::Proposal(private_host),
    },
];

/// A kind of token: how it begins, what it is, which characters follow, and how many at least.
struct Shape {
    begin: &'static str,
    what: &'static str,
    sign: fn(u8) -> bool,
    least: usize,
}

const fn shape(begin: &'static str, what: &'static str, sign: fn(u8) -> bool, least: usize) -> Shape {
    Shape { begin, what, sign, least }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn word(byte: u8) -> bool {
    plain(byte) || byte == b'_'
}

fn dashed(byte: u8) -> bool {
    word(byte) || byte == b'-'
}

fn upper(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

const SHAPES: [Shape; 27] = [
    shape("ghp_", "a GitHub token", plain, 36),
    shape("gho_", "a GitHub token", plain, 36),
    shape("ghu_", "a GitHub token", plain, 36),
    shape("ghs_", "a GitHub token", plain, 36),
    shape("ghr_", "a GitHub token", plain, 36),
    shape("github_pat_", "a GitHub token", word, 40),
    shape("glpat-", "a GitLab token", dashed, 20),
    shape("AKIA", "an AWS key", upper, 16),
    shape("ASIA", "an AWS key", upper, 16),
    shape("AIza", "a Google key", dashed, 35),
    shape("xoxa-", "a Slack token", dashed, 20),
    shape("xoxb-", "a Slack token", dashed, 20),
    shape("xoxe-", "a Slack token", dashed, 20),
    shape("xoxp-", "a Slack token", dashed, 20),
    shape("xoxr-", "a Slack token", dashed, 20),
    shape("xoxs-", "a Slack token", dashed, 20),
    shape("sk-", "an API key", dashed, 32),
    shape("sk_live_", "a Stripe key", plain, 20),
    shape("rk_live_", "a Stripe key", plain, 20),
    shape("npm_", "an npm token", plain, 36),
    shape("pypi-", "a PyPI token", dashed, 60),
    shape("hf_", "a Hugging Face token", plain, 34),
    shape("nvapi-", "an NVIDIA key", dashed, 40),
    shape("dop_v1_", "a DigitalOcean token", plain, 64),
    shape("tskey-", "a Tailscale key", dashed, 24),
    shape("gsk_", "an API key", plain, 40),
    shape("dckr_pat_", "a Docker token", dashed, 24),
];

/// Something that looks like a secret: where, and what. The text is never shown again.
type Secret = (Span, &'static str);

fn secret(context: &Context<'_>, sink: &mut Sink<'_>) {
    for document in &context.corpus.documents {
        for (span, what) in secrets(&document.source) {
            // The context has to differ for another secret at the same place, and must not hold it.
            let about = format!("{what} {:016x}", digest(span.of(&document.source)));
            let finding = sink.at(document, span, about, format!("this looks like {what}"));
            finding.help = Some("make it void, then take it out; the history keeps it".to_owned());
        }
    }
}

/// FNV-1a.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Every shape begins with two capitals, or has one of three signs early in it: two searches that skip what is prose.
fn secrets(text: &str) -> Vec<Secret> {
    let bytes = text.as_bytes();
    let signs = memchr::memchr3_iter(b'-', b'_', b':', bytes).filter_map(|at| {
        let next = *bytes.get(at + 1)?;
        match bytes[at] {
            b':' if next == b'/' => credentials(text, at),
            b'-' if next == b'-' => private_key(text, at),
            b'-' | b'_' if dashed(next) => token(bytes, at, at - word_before(bytes, at)),
            _ => None,
        }
    });
    let capitals = memchr::memchr_iter(b'A', bytes).filter(|at| matches!(bytes.get(at + 1), Some(b'K' | b'S' | b'I')));
    let mut found: Vec<Secret> = signs.chain(capitals.filter_map(|at| token(bytes, at, at))).collect();
    // What lies in another one is part of it.
    found.sort_unstable_by_key(|(span, _)| (span.start, std::cmp::Reverse(span.end)));
    let mut behind = 0;
    found.retain(|(span, _)| {
        let own = span.start >= behind;
        behind = behind.max(span.end);
        own
    });
    found
}

/// How many letters and digits stand before a byte, as far as the longest beginning of a shape goes.
fn word_before(bytes: &[u8], at: usize) -> usize {
    bytes[..at].iter().rev().take(8).take_while(|byte| byte.is_ascii_alphanumeric()).count()
}

/// A token whose first sign of note is at `at`, and which begins at `begin`.
fn token(bytes: &[u8], at: usize, begin: usize) -> Option<Secret> {
    if begin.checked_sub(1).and_then(|before| bytes.get(before)).is_some_and(|before| dashed(*before)) {
        return None;
    }
    let rest = bytes.get(begin..)?;
    let is = |shape: &&Shape| shape.begin.as_bytes().first() == rest.first() && rest.starts_with(shape.begin.as_bytes());
    let shape = SHAPES.iter().find(|shape| is(shape) && begin + shape.begin.len() > at)?;
    let secret = &rest[shape.begin.len()..];
    let length = secret.iter().take_while(|byte| (shape.sign)(**byte)).count();
    let secret = std::str::from_utf8(&secret[..length]).ok()?;
    let exact = shape.begin.starts_with('A') && shape.least == 16;
    let fits = if exact { length == shape.least } else { length >= shape.least };
    // Words with hyphens between are no key; of the short ones of AWS some have no digit.
    let mixed = exact || secret.bytes().any(|byte| byte.is_ascii_digit());
    let kinds =
        [u8::is_ascii_digit, u8::is_ascii_uppercase, u8::is_ascii_lowercase].iter().filter(|is| secret.bytes().any(|b| is(&b))).count();
    let random = shape.begin != "sk-" || kinds == 3;
    let end = begin + shape.begin.len() + length;
    (fits && mixed && random && !is_placeholder(secret)).then_some((Span::new(begin, end), shape.what))
}

/// What people write where a secret would stand.
fn is_placeholder(secret: &str) -> bool {
    let lower = secret.to_ascii_lowercase();
    let distinct = lower.bytes().collect::<BTreeSet<u8>>().len();
    let word = ["example", "placeholder", "redacted", "dummy", "your", "xxxx"].iter().any(|word| lower.contains(word));
    word || distinct < 6
}

/// A private key that has its key below.
fn private_key(text: &str, at: usize) -> Option<Secret> {
    let rest = text.get(at..).filter(|rest| rest.starts_with("-----BEGIN "))?;
    let line = rest.split(['\n', '\\']).next()?;
    let kind = line.strip_prefix("-----BEGIN ")?;
    let end = kind.find("-----")?;
    if !kind[..end].ends_with("PRIVATE KEY") && !kind[..end].ends_with("PRIVATE KEY BLOCK") {
        return None;
    }
    let begin = "-----BEGIN ".len() + end + 5;
    // In a string of JSON a line ends with `\n`, written out; in a quotation it begins with `>`.
    let mut body = rest.get(begin..)?;
    while let Some(next) =
        body.strip_prefix("\\n").or_else(|| body.strip_prefix("\\r")).or_else(|| body.strip_prefix([' ', '\t', '\r', '\n', '>']))
    {
        body = next;
    }
    let key = body.bytes().take_while(|byte| plain(*byte) || matches!(byte, b'+' | b'/' | b'=')).count();
    let long = key >= 32 && !is_placeholder(&body[..key]);
    (long || body.starts_with("Proc-Type:") || body.starts_with("Version:")).then_some((Span::new(at, at + begin), "a private key"))
}

/// `scheme://user:password@host`; `at` is the colon behind the scheme.
fn credentials(text: &str, at: usize) -> Option<Secret> {
    let rest = text.get(at + 3..)?;
    let end =
        rest.find(|c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']' | '|'));
    let authority = &rest[..end.unwrap_or(rest.len())];
    let (user, host) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    let host = host.split(':').next()?.to_ascii_lowercase();
    let here = matches!(host.as_str(), "localhost" | "127.0.0.1" | "0.0.0.0" | "host" | "hostname" | "")
        || host.split('.').any(|part| part == "example")
        || host.ends_with(".test")
        || host.ends_with(".invalid");
    (!here && !is_word(password)).then(|| {
        let scheme = text[..at].bytes().rev().take_while(|byte| plain(*byte) || *byte == b'+').count();
        (Span::new(at - scheme, at + 3 + authority.len()), "a password in an address")
    })
}

/// Passwords that stand for one: a word for it, a variable, capitals with underscores.
fn is_word(password: &str) -> bool {
    let lower = password.to_ascii_lowercase();
    let words = [
        "",
        "password",
        "passwd",
        "pass",
        "pwd",
        "pw",
        "secret",
        "token",
        "changeme",
        "key",
        "apikey",
        "api_key",
        "api-key",
        "credentials",
        "foo",
        "bar",
    ];
    let variable = password.contains(['$', '{', '}', '%', '*', '…']) || password.contains("...");
    let capitals = password.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    let marked = ["your", "example", "redacted", "xxx", "placeholder", "my-", "my_"].iter().any(|word| lower.contains(word));
    variable || capitals || marked || words.contains(&lower.as_str())
}

fn private_host(context: &Context<'_>, document: &Document, sink: &mut Sink<'_>) {
    let is_private = |host: &str| context.config.private_hosts.iter().any(|pattern| matches(pattern, host));
    let body = document.body();
    let mut defined = BTreeSet::new();
    for link in &body.links {
        let Some(host) = host(&link.url).filter(|host| is_private(host)) else { continue };
        // An address that is used often stands once, in its definition.
        let span = match link.definition.and_then(|at| body.definitions.get(at)) {
            Some(definition) if !defined.insert(definition.span) => continue,
            Some(definition) => definition.url,
            None => link.span,
        };
        let about = format!("{}: {}", t::section(document, span.start), link.url);
        sink.at(document, span, about, format!("not everybody reaches {host}"));
    }
    for field in document.head.fields.iter().filter(|field| field.form == Form::FrontMatter) {
        for url in field.value.split([' ', ',', '\n', '<', '>', '(', ')', '"', '\'']).filter(|word| word.contains("://")) {
            if let Some(host) = host(url).filter(|host| is_private(host)) {
                let about = format!("{}: {url}", super::m::called(field));
                sink.at(document, field.value_span, about, format!("not everybody reaches {host}"));
            }
        }
    }
}

/// The host of an address.
fn host(url: &str) -> Option<String> {
    let (_, rest) = url.split_once("//").filter(|(scheme, _)| scheme.is_empty() || scheme.ends_with(':'))?;
    let authority = rest.split(['/', '?', '#', '\\']).next()?;
    let host = authority.rsplit('@').next()?.split(':').next()?.trim_end_matches('.').to_ascii_lowercase();
    (!host.is_empty()).then_some(host)
}

/// Whether a pattern covers a host: `*` stands for any letters, and `www.` before the host for nothing.
fn matches(pattern: &str, host: &str) -> bool {
    let pattern = pattern.to_ascii_lowercase();
    let covers = |host: &str| {
        let Some((begin, rest)) = pattern.split_once('*') else { return pattern == host };
        let Some(mut left) = host.strip_prefix(begin) else { return false };
        let mut parts: Vec<&str> = rest.split('*').collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            let Some(at) = left.find(part) else { return false };
            left = &left[at + part.len()..];
        }
        left.ends_with(last)
    };
    covers(host) || host.strip_prefix("www.").is_some_and(covers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::m::fixture::{Repository, count, found};

    /// Letters and digits without an order; tokens are put together here, so that this file itself holds none.
    fn random(length: usize) -> String {
        "q7Zk2Vx9Lm4Tn8Rb1Wc6Yd3Hf5Jg0Ps".chars().cycle().take(length).collect()
    }

    #[test]
    fn tokens_are_found() {
        for (begin, length) in [
            ("ghp_", 36),
            ("github_pat_", 60),
            ("glpat-", 20),
            ("xoxb-", 40),
            ("sk-", 48),
            ("sk-proj-", 48),
            ("hf_", 34),
            ("npm_", 36),
            ("nvapi-", 64),
            ("AIza", 35),
            ("sk_live_", 24),
        ] {
            let token = format!("{begin}{}", random(length));
            let text = format!("# T\n\nuse `{token}`, they said: é=\"{token}\"\n");
            let findings = Repository::default().find(&text, |id| id == "P004");
            assert_eq!(findings.iter().map(|f| f.span.of(&text)).collect::<Vec<_>>(), [token.as_str(), token.as_str()]);
            assert!(findings.iter().all(|f| !f.message.contains(&token) && !f.context.contains(&token)));
        }
        let key = format!("AKIA{}", random(32).to_uppercase().chars().filter(char::is_ascii_alphanumeric).take(16).collect::<String>());
        assert_eq!(found("P004", &format!("# T\n\n```\n{key}\n```\n")), ["this looks like an AWS key"]);
    }

    #[test]
    fn what_only_looks_like_a_token_is_left() {
        let long = random(48);
        for good in [
            "AKIAIOSFODNN7EXAMPLE",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "ghp_short",
            "the glpat-your-token-goes-here-0000",
            "AKIABCDEFGHIJKLMNOPQRSTUVWXYZ",
            "sk-learn-and-a-very-long-name-with-hyphens-in-it-1",
            "a_hf_b",
            "hf_hub_download_and_other_functions_of_it",
            "github_pat_",
            "://",
            ":// @",
            "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
            "-----BEGIN PUBLIC KEY-----",
            "AIza",
            "xoxb-a-b-c-d-e-f-g-h-i-j-k-l",
        ] {
            assert_eq!(count("P004", &format!("# T\n\n{good}\n")), 0, "{good}");
        }
        for inner in [format!("disk-{long}"), format!("xghp_{long}"), format!("https://x.org/a-sk-{long}")] {
            assert_eq!(count("P004", &format!("# T\n\n{inner}\n")), 0, "{inner}");
        }
    }

    #[test]
    fn keys_and_passwords() {
        let key = random(64);
        for begin in ["-----BEGIN RSA PRIVATE KEY-----\n", "-----BEGIN PRIVATE KEY-----\\n", "-----BEGIN OPENSSH PRIVATE KEY-----\r\n    "]
        {
            assert_eq!(found("P004", &format!("# T\n\n```\n{begin}{key}\n```\n")), ["this looks like a private key"], "{begin}");
        }
        let text = "# T\n\ngit clone https://ada:h4rd-t0-guess@git.brook.dev/x (and redis://:s3cr1t@cache.brook.dev:6379)\n";
        let spans: Vec<&str> = secrets(text).iter().map(|(span, _)| span.of(text)).collect();
        assert_eq!(spans, ["https://ada:h4rd-t0-guess@git.brook.dev", "redis://:s3cr1t@cache.brook.dev:6379"]);
        for good in [
            "https://user:password@host/x",
            "postgres://ada:s3cr1t@localhost/x",
            "https://ada:s3cr1t@git.example.org",
            "https://x:${TOKEN}@brook.dev",
            "https://x:<token>@brook.dev",
            "https://x-access-token:GITHUB_TOKEN@brook.dev",
            "https://ada@brook.dev",
            "https://ada:@brook.dev",
            "https://brook.dev/a:b@c",
            "ssh://git@brook.dev:22/x",
            "https://x:***@brook.dev",
        ] {
            assert_eq!(count("P004", &format!("# T\n\n{good}\n")), 0, "{good}");
        }
    }

    #[test]
    fn hosts_that_not_everybody_reaches() {
        let text = "---\nimplementation: https://linear.app/x/1\n---\n# T\n\n**Pull Request**: [x](https://docs.google.com/d/1)\n\n# A\n\n\
            https://kv.slack.com/x and [a][d] and [b][d] and [c](https://www.notion.so/x)\n\n`https://linear.app`\n\n[d]: https://confluence.brook.dev/x\n";
        let findings = Repository::default().find(text, |id| id == "P005");
        let hosts: Vec<&str> = findings.iter().map(|f| f.message.rsplit(' ').next().unwrap()).collect();
        assert_eq!(hosts, ["docs.google.com", "kv.slack.com", "confluence.brook.dev", "www.notion.so", "linear.app"]);
        assert_eq!(findings[2].span.of(text), "https://confluence.brook.dev/x");
        assert_eq!(findings[1].context, "A: https://kv.slack.com/x");
        for good in
            ["https://x.org/docs.google.com", "https://slack.com", "[x](docs.google.com)", "https://mylinear.app", "[x](#linear.app)"]
        {
            assert_eq!(count("P005", &format!("# T\n\n{good}\n")), 0, "{good}");
        }
        let mut own = Repository::default();
        own.config.private_hosts = vec!["*.corp.*".to_owned()];
        assert_eq!(own.find("# T\n\nhttps://wiki.corp.brook.dev:8443/x https://linear.app\n", |id| id == "P005").len(), 1);
    }
}
