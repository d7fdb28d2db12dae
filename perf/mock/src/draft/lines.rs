//! Lines of a stream as others write them. All of these mean the same to who reads events by lines.

use crate::fault::Fault;

/// Ends of an event's lines, and of the empty line after them. CR before an empty line's LF would be one end, not two.
const MIXED: [(&[u8], &[u8]); 5] = [(b"\n", b"\r\n"), (b"\r\n", b"\n"), (b"\r", b"\r"), (b"\r", b"\r\n"), (b"\n", b"\r")];

pub(super) fn change<'a>(fault: Fault, events: impl Iterator<Item = &'a mut Vec<u8>>) {
    for (number, event) in events.enumerate() {
        *event = match fault {
            Fault::Crlf => with_ends(event, (b"\r\n", b"\r\n")),
            Fault::Cr => with_ends(event, (b"\r", b"\r")),
            Fault::MixedLineEnds => with_ends(event, MIXED[number % MIXED.len()]),
            Fault::Bom if number == 0 => [b"\xef\xbb\xbf", event.as_slice()].concat(),
            Fault::Comments => [b": mock\n\n: data: none\nid: 7\nretry: 1000\nunknown\n", event.as_slice()].concat(),
            Fault::MultiLineData => spread(event),
            _ => std::mem::take(event),
        };
    }
}

fn with_ends(event: &[u8], (line_end, blank_end): (&[u8], &[u8])) -> Vec<u8> {
    let mut changed = Vec::with_capacity(event.len() + 8);
    for line in event.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        changed.extend_from_slice(text);
        changed.extend_from_slice(if text.is_empty() { blank_end } else { line_end });
    }
    changed
}

/// A line end after the first comma that is in no string: JSON means the same with it.
fn spread(event: &[u8]) -> Vec<u8> {
    let (mut inside, mut escaped) = (false, false);
    let start = event.windows(6).position(|w| w == b"data: ").unwrap_or(event.len());
    let comma = event.iter().skip(start).position(|byte| {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = inside,
            b'"' => inside = !inside,
            b',' => return !inside,
            _ => {}
        }
        false
    });
    let Some(at) = comma.map(|at| start + at + 1) else { return event.to_vec() };
    [&event[..at], b"\ndata: ", &event[at..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_spread_where_json_may_be() {
        assert_eq!(
            spread(b"event: a,b\ndata: {\"a\":\"x,\\\"y,\",\"b\":1}\n\n"),
            b"event: a,b\ndata: {\"a\":\"x,\\\"y,\",\ndata: \"b\":1}\n\n"
        );
        assert_eq!(spread(b"data: [DONE]\n\n"), b"data: [DONE]\n\n");
    }

    #[test]
    fn an_event_ends_whatever_its_lines_end_with() {
        for ends in MIXED {
            let changed = with_ends(b"event: x\ndata: y\n\n", ends);
            let normal = String::from_utf8(changed).unwrap().replace("\r\n", "\n").replace('\r', "\n");
            assert_eq!(normal, "event: x\ndata: y\n\n", "{ends:?}");
        }
    }
}
