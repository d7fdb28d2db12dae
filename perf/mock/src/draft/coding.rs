//! Content codings: each event can be decoded as soon as it is there.

use std::io::Write;

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::fault::Fault;

pub(super) fn header(fault: Fault) -> &'static str {
    match fault {
        Fault::Gzip => "content-encoding: gzip\r\n",
        Fault::Deflate => "content-encoding: deflate\r\n",
        _ => "content-encoding: x-mock\r\n",
    }
}

pub(super) fn encode<'a>(fault: Fault, events: impl Iterator<Item = &'a mut Vec<u8>>) {
    let mut events: Vec<&mut Vec<u8>> = events.collect();
    match fault {
        Fault::Gzip => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            for event in &mut events {
                // Writing to a buffer in memory does not fail.
                let _ = encoder.write_all(event).and_then(|()| encoder.flush());
                **event = std::mem::take(encoder.get_mut());
            }
            if let (Ok(rest), Some(last)) = (encoder.finish(), events.last_mut()) {
                last.extend_from_slice(&rest);
            }
        }
        Fault::Deflate => {
            let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
            for event in &mut events {
                let _ = encoder.write_all(event).and_then(|()| encoder.flush());
                **event = std::mem::take(encoder.get_mut());
            }
            if let (Ok(rest), Some(last)) = (encoder.finish(), events.last_mut()) {
                last.extend_from_slice(&rest);
            }
        }
        _ => events.iter_mut().for_each(|event| event.iter_mut().for_each(|byte| *byte ^= 0x5a)),
    }
}
