//! Whether servers are there, and what they tell without being charged: a connection, and GETs.

use std::collections::HashSet;
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dormouse_perf_load::fetch::{self, Fetched};
use dormouse_perf_load::target::{self, Headers, Target, TargetError};
use dormouse_perf_load::transport::Trust;
use dormouse_perf_scrape::metrics_urls;
use url::Url;

use super::subject::Subject;
use super::{Report, certificate};
use crate::system_controller as controller;

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(5);

/// Looks at every server; whether all are there.
pub(super) fn look(subject: &Subject, report: &mut Report) -> bool {
    let mut reached = !subject.urls.is_empty();
    let mut seen = HashSet::new();
    let trust = subject.urls.iter().any(|url| url.scheme() == "https").then(controller::trust).transpose();
    let trust = match trust {
        Ok(trust) => trust,
        Err(error) => {
            report.unreachable = true;
            report.failed("certificates", error.to_string(), "without roots no server under TLS can be trusted");
            None
        }
    };
    for url in &subject.urls {
        match Target::new(url.clone(), &subject.headers, "POST") {
            Ok(target) if !seen.insert(Arc::clone(&target.origin)) => {}
            Ok(target) => reached &= connect(&target, trust.as_ref(), report),
            Err(error @ TargetError::Unknown { .. }) => {
                reached = false;
                report.unreachable = true;
                report.failed("address", error.to_string(), "is the name in --url right, and does this machine know it?");
            }
            Err(error) => {
                reached = false;
                report.usage = true;
                report.failed("address", error.to_string(), "look at --url and --header");
            }
        }
    }
    if reached {
        let mut asked = HashSet::new();
        for base in subject.config.benchmark.endpoint.urls.0.iter().filter_map(|url| target::base(url).ok()).map(bare) {
            if asked.insert(base.clone()) {
                let asks = Asks { headers: for_gets(&subject.headers), trust: trust.clone() };
                models(subject, &base, &asks, report);
                health(&base, &asks, report);
            }
        }
        metrics(subject, trust, report);
    }
    reached
}

/// Without what may be a secret before the host: it is never sent, and not shown.
pub(super) fn bare(mut url: Url) -> Url {
    // Of an address with a host neither fails.
    let _ = url.set_password(None);
    let _ = url.set_username("");
    url
}

/// Name, TCP and TLS.
fn connect(target: &Target, trust: Option<&Trust>, report: &mut Report) -> bool {
    let origin = &target.origin;
    let mut tcp = None;
    for address in &target.addresses {
        let begin = Instant::now();
        if TcpStream::connect_timeout(address, LOOK).is_ok() {
            tcp = Some((address, begin.elapsed()));
            break;
        }
    }
    let begin = Instant::now();
    let connected = fetch::connect(target, trust, LOOK);
    let took = begin.elapsed();
    let ms = |time: Duration| format!("{:.2} ms", time.as_secs_f64() * 1e3);
    match (connected, tcp) {
        (Ok(connected), tcp) => {
            let to = tcp.map(|(address, time)| format!(" ({address}), connected in {}", ms(time))).unwrap_or_default();
            report.ok("address", format!("{origin}{to}"));
            if target.is_tls() {
                let said = connected.certificate().and_then(certificate::read);
                let said = said.map_or_else(
                    || "its certificate cannot be read".to_owned(),
                    |said| format!("issued by {}, holds until {}", said.issuer, said.until),
                );
                report.ok("certificate", format!("{said}; connection and handshake in {}", ms(took)));
            }
            true
        }
        (Err(error @ (fetch::Error::Tls { .. } | fetch::Error::NoTrust(_))), _) => {
            report.unreachable = true;
            report.failed("certificate", format!("{error}{}", blind(target)), "name its root in SSL_CERT_FILE, or renew it at the server");
            false
        }
        (Err(error), _) => {
            report.unreachable = true;
            report.failed("address", error.to_string(), "is the server running, does it listen there, and is --url right?");
            false
        }
    }
}

/// What a certificate that is refused says of itself.
fn blind(target: &Target) -> String {
    let said = Trust::blind().ok().and_then(|trust| fetch::connect(target, Some(&trust), LOOK).ok());
    let said = said.as_ref().and_then(|connected| connected.certificate()).and_then(certificate::read);
    said.map(|said| format!("; it says that {} issued it until {}", said.issuer, said.until)).unwrap_or_default()
}

/// What a GET says in its head.
fn for_gets(headers: &Headers) -> Headers {
    let of_bodies = |name: &str| name.eq_ignore_ascii_case("accept") || name.eq_ignore_ascii_case("content-type");
    Headers { fields: headers.fields.iter().filter(|(name, _)| !of_bodies(name)).cloned().collect(), ..Headers::default() }
}

struct Asks {
    headers: Headers,
    trust: Option<Trust>,
}

impl Asks {
    fn get(&self, url: &Url) -> Result<Fetched, String> {
        fetch::fetch("GET", url, &self.headers, self.trust.as_ref(), LOOK).map_err(|why| why.to_string())
    }
}

/// The first words of an answer.
fn words(answer: &Fetched) -> String {
    let text = String::from_utf8_lossy(&answer.body);
    let short: String = text.trim().chars().take(120).collect();
    if short.is_empty() { answer.status.to_string() } else { format!("{}: {short}", answer.status) }
}

const KEY: &str = "pass --api-key KEY (or OPENAI_API_KEY), or the header that the server wants with --header";

fn models(subject: &Subject, base: &Url, asks: &Asks, report: &mut Report) {
    const NAME: &str = "models";
    let url = target::join(base, "v1/models");
    let answer = match asks.get(&url) {
        Ok(answer) => answer,
        Err(why) => {
            return report.warning(NAME, format!("{url}: {why}"), "the server takes connections and does not answer: is it still loading?");
        }
    };
    match answer.status {
        200..300 => {}
        404 | 405 | 501 => return report.skipped(NAME, format!("{url}: {}: it has no list of models", answer.status)),
        401 | 403 => return report.failed(NAME, format!("{url}: {}", words(&answer)), KEY),
        _ => {
            return report.warning(
                NAME,
                format!("{url}: {}", words(&answer)),
                "is the server ready? --wait-for-model-timeout waits for it",
            );
        }
    }
    let list: Option<Vec<String>> = serde_json::from_slice::<serde_json::Value>(&answer.body).ok().and_then(|list| {
        let ids = list["data"].as_array()?.iter().filter_map(|entry| entry["id"].as_str().map(str::to_owned));
        Some(ids.collect())
    });
    let Some(list) = list else {
        return report.warning(
            NAME,
            format!("{url}: its list of models cannot be read"),
            "is this the server's own address, or a proxy's?",
        );
    };
    let shown = |names: &[String]| {
        let some: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
        let more = if names.len() > 5 { format!(" and {} more", names.len() - 5) } else { String::new() };
        if some.is_empty() { "none".to_owned() } else { format!("{}{more}", some.join(", ")) }
    };
    let missing: Vec<String> = subject.models.iter().filter(|model| !list.contains(model)).cloned().collect();
    if missing.is_empty() {
        report.ok(NAME, format!("{url} lists {}", shown(&list)));
    } else {
        let advice = format!("pass one that it lists: --model {}", list.first().map_or("NAME", String::as_str));
        report.warning(NAME, format!("{url} lists {}, and not {}", shown(&list), missing.join(", ")), advice);
    }
}

fn health(base: &Url, asks: &Asks, report: &mut Report) {
    const NAME: &str = "health";
    let mut url = base.clone();
    url.set_path("/health");
    url.set_query(None);
    match asks.get(&url) {
        Ok(answer) if (200..300).contains(&answer.status) => report.ok(NAME, format!("{url}: {}", answer.status)),
        Ok(answer) if answer.status >= 500 && answer.status != 501 => {
            report.warning(NAME, format!("{url}: {}", words(&answer)), "the server says that it is not well: look into its log");
        }
        Ok(answer) => report.skipped(NAME, format!("{url}: {}: it does not say", answer.status)),
        Err(why) => report.skipped(NAME, format!("{url}: {why}")),
    }
}

/// Metrics, where a run would look for them.
fn metrics(subject: &Subject, trust: Option<Trust>, report: &mut Report) {
    const NAME: &str = "metrics";
    let given = &subject.config.benchmark.server_metrics;
    if given.enabled == Some(false) {
        return report.skipped(NAME, "--no-server-metrics");
    }
    let asks = Asks { headers: for_gets(&subject.headers), trust };
    for url in metrics_urls(&subject.config.benchmark.endpoint.urls.0, &given.urls) {
        let Ok(parsed) = target::base(&url).map(bare) else { continue };
        let mut root = parsed.clone();
        root.set_path("/metrics");
        let mut seen = asks.get(&parsed).map(|answer| (parsed.clone(), answer));
        if !matches!(&seen, Ok((_, answer)) if answer.status == 200) && root != parsed {
            seen = asks.get(&root).map(|answer| (root, answer));
        }
        let (from, answer) = match seen {
            Ok((from, answer)) if answer.status == 200 => (from, answer),
            Ok((from, answer)) => {
                report.skipped(NAME, format!("{from}: {}: figures of the server itself will be missing", answer.status));
                continue;
            }
            Err(why) => {
                report.skipped(NAME, why);
                continue;
            }
        };
        let text = String::from_utf8_lossy(&answer.body);
        let found = dormouse_perf_scrape::parse::parse(&text);
        if found.families.is_empty() {
            report.warning(
                NAME,
                format!("{from} answers, and not with metrics"),
                "pass the right address with --server-metrics, or --no-server-metrics",
            );
            continue;
        }
        let names: Vec<&str> = found.families.iter().take(4).map(|family| family.name.as_ref()).collect();
        report.ok(NAME, format!("{from}: {} metrics ({}, ...), {} values", found.families.len(), names.join(", "), found.samples()));
    }
}
