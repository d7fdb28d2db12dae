//! A line for each request with what was sent and what came (perf contract 6.6).

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use dormouse_perf_load::exchange::Raw as Part;
use dormouse_perf_load::worker::Done;
use dormouse_perf_report::lines::Metadata;
use dormouse_perf_report::records::Problem;
use serde_json::value::RawValue;

/// Headers whose values are nobody's business.
const SECRETS: [&str; 6] = ["authorization", "x-api-key", "cookie", "set-cookie", "x-session-affinity", "proxy-authorization"];
const REDACTED: &str = "<redacted>";

/// The file.
pub(crate) struct Raw {
    file: BufWriter<File>,
    line: Vec<u8>,
    body: Vec<u8>,
}

impl Raw {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: BufWriter::with_capacity(1 << 20, File::create(path)?), line: Vec::new(), body: Vec::new() })
    }

    pub(crate) fn write(&mut self, metadata: &Metadata<'_>, done: &Done, problem: Option<&Problem>) -> io::Result<()> {
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(b"{\"metadata\":");
        serde_json::to_writer(&mut *line, metadata)?;
        write!(line, ",\"start_perf_ns\":{},\"request_headers\":", done.start)?;
        headers(line, metadata, done)?;
        if let Some(status) = done.answered.status.filter(|_| !done.cancelled) {
            write!(line, ",\"status\":{status}")?;
        }
        line.extend_from_slice(b",\"responses\":[");
        for (at, part) in done.answered.raw.iter().enumerate() {
            if at > 0 {
                line.push(b',');
            }
            response(line, part)?;
        }
        line.push(b']');
        if let Some(problem) = problem {
            line.extend_from_slice(b",\"error\":");
            serde_json::to_writer(&mut *line, problem)?;
        }
        line.extend_from_slice(b",\"payload\":");
        self.body.clear();
        done.script.body(done.turn, &done.before, &mut self.body);
        // As it was sent where it is JSON in one line; else as text.
        match std::str::from_utf8(&self.body)
            .ok()
            .and_then(|text| serde_json::from_str::<&RawValue>(text).ok())
            .filter(|raw| !raw.get().contains('\n'))
        {
            Some(raw) => line.extend_from_slice(raw.get().as_bytes()),
            None => serde_json::to_writer(&mut *line, &String::from_utf8_lossy(&self.body))?,
        }
        line.extend_from_slice(b"}\n");
        self.file.write_all(line)
    }

    pub(crate) fn end(self) -> io::Result<()> {
        self.file.into_inner().map_err(io::IntoInnerError::into_error).map(|_| ())
    }
}

/// The headers as they were sent, without the first line.
fn headers(line: &mut Vec<u8>, metadata: &Metadata<'_>, done: &Done) -> io::Result<()> {
    let mut head = Vec::new();
    done.target.write_head(&mut head, metadata.x_request_id, &done.session, done.wire.body, false);
    let head = String::from_utf8_lossy(&head);
    line.push(b'{');
    let mut names = std::collections::HashSet::new();
    for field in head.lines().skip(1) {
        let Some((name, value)) = field.split_once(": ") else { continue };
        if name == "Host" || name == "Content-Length" || !names.insert(name.to_owned()) {
            continue;
        }
        if names.len() > 1 {
            line.push(b',');
        }
        serde_json::to_writer(&mut *line, name)?;
        line.push(b':');
        serde_json::to_writer(&mut *line, if SECRETS.contains(&name.to_lowercase().as_str()) { REDACTED } else { value })?;
    }
    line.push(b'}');
    Ok(())
}

fn response(line: &mut Vec<u8>, part: &Part) -> io::Result<()> {
    write!(line, "{{\"perf_ns\":{}", part.at)?;
    let text = String::from_utf8_lossy(&part.bytes);
    if !part.event {
        line.extend_from_slice(b",\"text\":");
        serde_json::to_writer(&mut *line, &text)?;
        line.extend_from_slice(b",\"content_type\":\"application/json\"}");
        return Ok(());
    }
    line.extend_from_slice(b",\"packets\":[");
    for (at, packet) in text.split('\n').filter(|packet| !packet.is_empty()).enumerate() {
        if at > 0 {
            line.push(b',');
        }
        let (name, value) = packet.split_once(':').map_or((packet, None), |(name, value)| (name, Some(value.trim())));
        let name = if name.is_empty() { "comment" } else { name.trim() };
        line.extend_from_slice(b"{\"name\":");
        serde_json::to_writer(&mut *line, name)?;
        if let Some(value) = value {
            line.extend_from_slice(b",\"value\":");
            serde_json::to_writer(&mut *line, value)?;
        }
        line.push(b'}');
    }
    line.extend_from_slice(b"]}");
    Ok(())
}
