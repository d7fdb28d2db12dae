//! Embeddings: for every input a vector, in the order of the inputs.

use super::{Answer, Counts, push_number};

/// Values whose squares add up to less than one, whatever the dimension; what they are matters to nobody.
const VALUES: [&str; 8] = ["0.0125", "-0.0317", "0.0041", "0.0269", "-0.0083", "0.0192", "-0.0225", "0.0308"];

pub(super) fn whole(answer: &Answer, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"object\":\"list\",\"data\":[");
    for input in 0..answer.inputs {
        out.extend_from_slice(if input == 0 { b"" } else { b"," });
        out.extend_from_slice(b"{\"object\":\"embedding\",\"index\":");
        push_number(input as u64, out);
        out.extend_from_slice(b",\"embedding\":[");
        for value in 0..answer.dimensions {
            out.extend_from_slice(if value == 0 { b"" } else { b"," });
            out.extend_from_slice(VALUES[(input + value) % VALUES.len()].as_bytes());
        }
        out.extend_from_slice(b"]}");
    }
    out.extend_from_slice(b"],\"model\":\"");
    out.extend_from_slice(answer.model.as_bytes());
    out.push(b'"');
    if answer.counts != Counts::Never {
        out.extend_from_slice(b",\"usage\":{\"prompt_tokens\":");
        answer.push_count(answer.prompt_tokens, out);
        out.extend_from_slice(b",\"total_tokens\":");
        answer.push_count(answer.prompt_tokens, out);
        out.push(b'}');
    }
    out.push(b'}');
}
