//! Logs of every program: `tracing` to standard error, in the form the peers' users know.
//!
//! The controllers' messages are part of the contract (recipes and benchmark tools search for them), so the
//! default form is klog's: `I0821 12:00:00.000000       1 file.rs:12] "msg" key="value"`. klog's verbosity
//! maps to levels: V0-V2 `info!`, V3-V5 `debug!`, above `trace!`.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::clock::{Clock, SystemClock};

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// klog's text form.
    #[default]
    Klog,
    /// Level, message, fields; for people at a terminal.
    Plain,
    /// One JSON object a line.
    Json,
}

/// How to log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// The form.
    pub format: Format,
    /// klog's `-v`.
    pub verbosity: u8,
}

/// Starts logging; a second call does nothing. `DORMOUSE_LOG` (a `tracing` filter) wins over the verbosity.
pub fn init(options: Options) {
    let level = match options.verbosity {
        0..=2 => "info",
        3..=5 => "debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env(dormouse_names::env::LOG).unwrap_or_else(|_| filter(level));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // An error means that logging was started before, for instance by another test of the process.
    let _ = match options.format {
        Format::Klog => builder.event_format(Klog).try_init(),
        Format::Plain => builder.without_time().with_target(false).try_init(),
        Format::Json => builder.json().try_init(),
    };
}

/// Warnings of everybody, and of ours what `level` says. A directive holds for all targets that begin so: all our crates.
fn filter(level: &str) -> EnvFilter {
    EnvFilter::new(format!("warn,dormouse={level}"))
}

/// Name of the field that holds keys and values known only at run time, as [`pairs`] writes them.
const PAIRS: &str = "kv";

/// Keys and values that are known only at run time, as klog prints them. Log the result as field `kv`:
/// `info!(kv = %pairs(…), "msg")`.
#[must_use]
pub fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    pairs.into_iter().map(|(k, v)| format!("{k}={v:?}")).collect::<Vec<_>>().join(" ")
}

struct Klog;

impl<S, N> FormatEvent<S, N> for Klog
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, ctx: &FmtContext<'_, S, N>, mut w: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let meta = event.metadata();
        let letter = match *meta.level() {
            Level::ERROR => 'E',
            Level::WARN => 'W',
            _ => 'I',
        };
        let now = SystemClock.now().to_zoned(jiff::tz::TimeZone::UTC);
        let file = meta.file().and_then(|f| f.rsplit('/').next()).unwrap_or("unknown");
        let mut fields = Fields::default();
        event.record(&mut fields);
        write!(
            w,
            "{letter}{:02}{:02} {:02}:{:02}:{:02}.{:06} {:>7} {file}:{}] {:?}",
            now.month(),
            now.day(),
            now.hour(),
            now.minute(),
            now.second(),
            now.subsec_nanosecond() / 1_000,
            std::process::id(),
            meta.line().unwrap_or(0),
            fields.message,
        )?;
        if let Some(scope) = ctx.event_scope() {
            for span in scope.from_root() {
                if let Some(kept) = span.extensions().get::<tracing_subscriber::fmt::FormattedFields<N>>()
                    && !kept.fields.is_empty()
                {
                    write!(w, " {}", kept.fields)?;
                }
            }
        }
        writeln!(w, "{}", fields.rest)
    }
}

/// Message and further fields of one event, in klog's `key="value"` form.
#[derive(Default)]
struct Fields {
    message: String,
    rest: String,
}

impl Fields {
    fn push(&mut self, name: &str, value: &str) {
        // Keys that are known only at run time come as one field, ready to be printed: see [`pairs`].
        if name == PAIRS {
            self.rest.push(' ');
            self.rest.push_str(value);
            return;
        }
        // `r#type` is how a field with a reserved name is written.
        let name = name.strip_prefix("r#").unwrap_or(name);
        self.rest.push_str(&format!(" {name}={value}"));
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        } else if field.name() == PAIRS {
            self.push(PAIRS, &format!("{value:?}"));
        } else {
            // `%x` arrives here too: what it prints is quoted unless it is a number or quoted already.
            let text = format!("{value:?}");
            let plain = text.parse::<f64>().is_ok()
                || matches!(text.as_bytes().first(), Some(b'"' | b'[' | b'{'))
                || text == "true"
                || text == "false";
            if plain { self.push(field.name(), &text) } else { self.push(field.name(), &format!("{text:?}")) }
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" { value.clone_into(&mut self.message) } else { self.push(field.name(), &format!("{value:?}")) }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);
    impl Write for Kept {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(b);
            Ok(b.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    impl MakeWriter<'_> for Kept {
        type Writer = Self;
        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn the_level_is_for_all_crates_of_ours() {
        let kept = Kept::default();
        let sub = tracing_subscriber::fmt().with_env_filter(filter("debug")).with_writer(kept.clone()).finish();
        tracing::subscriber::with_default(sub, || {
            tracing::debug!(target: "dormouse_kubelet::node", "ours");
            tracing::trace!(target: "dormouse_kubelet::node", "too fine");
            tracing::info!(target: "hyper::client", "theirs");
            tracing::warn!(target: "hyper::client", "worth knowing");
        });
        let lines = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(lines.contains("ours") && lines.contains("worth knowing") && lines.lines().count() == 2, "{lines}");
    }

    #[test]
    fn a_line_has_klogs_form() {
        let kept = Kept::default();
        let sub = tracing_subscriber::fmt().event_format(Klog).with_writer(kept.clone()).finish();
        tracing::subscriber::with_default(sub, || {
            tracing::warn!(gpuUUIDs = ?["GPU-0"], node = "n1", n = 3, err = %"a b", kv = %pairs([("k", "v w")]), "Found GPUs");
        });
        let line = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert!(line.starts_with('W'), "{line}");
        assert!(line.ends_with("] \"Found GPUs\" gpuUUIDs=[\"GPU-0\"] node=\"n1\" n=3 err=\"a b\" k=\"v w\"\n"), "{line}");
    }
}
