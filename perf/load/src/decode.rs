//! Content codings, undone as the bytes come.
//!
//! What a server flushed after an event is decoded with the bytes that bring it, so that the event's stamp is that of its arrival,
//! says perf contract 0.2 item 24. A small input may decode to a thousand times its size: [`Decoder::next`] takes a little of it
//! at a time, so that what is decoded and not yet looked at stays small. Of a body that is corrupt, what was decoded out of the
//! bytes that came together with the fault is lost.

use std::io::Write;

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::http::Head;

/// Bytes of input that are decoded at once; at most a thousand times as many come out.
const STEP: usize = 2 << 10;

/// Why a body cannot be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is in a coding, or in several, that is not known.
    #[error("the content coding {0:?} is not supported")]
    Unsupported(String),
    /// It is not what its coding demands.
    #[error("the body is no {coding}: {why}")]
    Corrupt {
        /// The coding.
        coding: &'static str,
        /// In words.
        why: String,
    },
    /// The body ended before its coding did.
    #[error("the body ended within its {0}")]
    Truncated(&'static str),
}

/// Undoes one body's coding.
#[derive(Debug)]
pub struct Decoder {
    coding: Coding,
    /// A byte has been decoded.
    begun: bool,
    /// The coding's end has come; what is behind it belongs to nothing.
    ended: bool,
}

#[derive(Debug)]
enum Coding {
    Gzip(MultiGzDecoder<Vec<u8>>),
    /// `deflate`, before the byte that tells its two meanings apart.
    Deflate,
    Zlib(ZlibDecoder<Vec<u8>>),
    /// What some servers mean by `deflate`.
    Raw(DeflateDecoder<Vec<u8>>),
}

impl Coding {
    fn name(&self) -> &'static str {
        if matches!(self, Self::Gzip(_)) { "gzip" } else { "deflate" }
    }

    fn decoded(&mut self) -> Option<&mut Vec<u8>> {
        match self {
            Self::Gzip(decoder) => Some(decoder.get_mut()),
            Self::Zlib(decoder) => Some(decoder.get_mut()),
            Self::Raw(decoder) => Some(decoder.get_mut()),
            Self::Deflate => None,
        }
    }

    fn writer(&mut self) -> Option<&mut dyn Write> {
        match self {
            Self::Gzip(decoder) => Some(decoder),
            Self::Zlib(decoder) => Some(decoder),
            Self::Raw(decoder) => Some(decoder),
            Self::Deflate => None,
        }
    }

    fn finish(&mut self) -> std::io::Result<()> {
        match self {
            Self::Gzip(decoder) => decoder.try_finish(),
            Self::Zlib(decoder) => decoder.try_finish(),
            Self::Raw(decoder) => decoder.try_finish(),
            Self::Deflate => Ok(()),
        }
    }
}

impl Decoder {
    /// What the body behind this head needs; `None` when it is in no coding.
    ///
    /// # Errors
    /// A coding that is not known.
    pub fn of(head: &Head) -> Result<Option<Self>, Error> {
        let is = |coding: &[u8], name: &str| coding.eq_ignore_ascii_case(name.as_bytes());
        let codings: Vec<&[u8]> = head.tokens("content-encoding").filter(|coding| !is(coding, "identity")).collect();
        let coding = match codings.as_slice() {
            [] => return Ok(None),
            [one] if is(one, "gzip") || is(one, "x-gzip") => Coding::Gzip(MultiGzDecoder::new(Vec::new())),
            [one] if is(one, "deflate") => Coding::Deflate,
            _ => return Err(Error::Unsupported(String::from_utf8_lossy(&codings.join(b", ".as_slice())).into_owned())),
        };
        Ok(Some(Self { coding, begun: false, ended: false }))
    }

    /// Decodes some of `input`, from which it takes what it has read; `None` when all of it is read.
    ///
    /// # Errors
    /// It is not what the coding demands.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<&[u8]>, Error> {
        let Some(&first) = input.first() else { return Ok(None) };
        if matches!(self.coding, Coding::Deflate) {
            // The first byte of a zlib stream names its method, which is 8; raw deflate never begins so.
            let zlib = first & 0x0f == 8;
            self.coding = if zlib { Coding::Zlib(ZlibDecoder::new(Vec::new())) } else { Coding::Raw(DeflateDecoder::new(Vec::new())) };
        }
        self.begun = true;
        if let Some(decoded) = self.coding.decoded() {
            decoded.clear();
        }
        let (piece, later) = input.split_at(input.len().min(STEP));
        *input = later;
        if let Err(error) = self.write(piece) {
            return Err(Error::Corrupt { coding: self.coding.name(), why: error.to_string() });
        }
        Ok(Some(self.coding.decoded().map_or(&[], |decoded| decoded.as_slice())))
    }

    /// The body has ended.
    ///
    /// # Errors
    /// Its coding has not, or its checksum is wrong.
    pub fn end(&mut self) -> Result<(), Error> {
        if !self.begun {
            return Ok(());
        }
        self.coding.finish().map_err(|_| Error::Truncated(self.coding.name()))
    }

    fn write(&mut self, mut piece: &[u8]) -> std::io::Result<()> {
        let Some(writer) = self.coding.writer() else { return Ok(()) };
        while !self.ended && !piece.is_empty() {
            let taken = writer.write(piece)?;
            self.ended = taken == 0;
            piece = &piece[taken..];
        }
        // Out of the decoder what it has of the event already.
        writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
    use proptest::prelude::*;

    use super::*;

    fn decoder(coding: &str) -> Result<Option<Decoder>, Error> {
        let mut head = Head::default();
        head.read(format!("HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\n\r\n").as_bytes()).unwrap();
        Decoder::of(&head)
    }

    fn decode(decoder: &mut Decoder, mut input: &[u8]) -> Result<Vec<u8>, Error> {
        let mut all = Vec::new();
        while let Some(piece) = decoder.next(&mut input)? {
            all.extend_from_slice(piece);
        }
        Ok(all)
    }

    /// The pieces, each flushed, in one of the codings; where each ends; the coding's end.
    fn encode(coding: u8, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
        fn all<W: Write>(
            mut writer: W,
            pieces: &[Vec<u8>],
            taken: impl Fn(&mut W) -> Vec<u8>,
            finish: impl Fn(W) -> Vec<u8>,
        ) -> Vec<Vec<u8>> {
            let mut encoded = Vec::new();
            for piece in pieces {
                writer.write_all(piece).unwrap();
                writer.flush().unwrap();
                encoded.push(taken(&mut writer));
            }
            encoded.push(finish(writer));
            encoded
        }
        let (out, level) = (Vec::new(), Compression::default());
        match coding {
            0 => all(GzEncoder::new(out, level), pieces, |w| std::mem::take(w.get_mut()), |w| w.finish().unwrap()),
            1 => all(ZlibEncoder::new(out, level), pieces, |w| std::mem::take(w.get_mut()), |w| w.finish().unwrap()),
            _ => all(DeflateEncoder::new(out, level), pieces, |w| std::mem::take(w.get_mut()), |w| w.finish().unwrap()),
        }
    }

    #[test]
    fn codings_are_known_or_named() {
        assert!(decoder("identity").unwrap().is_none() && decoder("").unwrap().is_none());
        for known in ["gzip", "GZIP", "x-gzip", "deflate", "identity, gzip"] {
            assert!(decoder(known).unwrap().is_some(), "{known}");
        }
        assert_eq!(decoder("br").unwrap_err(), Error::Unsupported("br".to_owned()));
        assert_eq!(decoder("gzip, zstd").unwrap_err().to_string(), "the content coding \"gzip, zstd\" is not supported");
    }

    #[test]
    fn what_is_broken_or_cut_is_an_error_and_an_empty_body_is_not() {
        let whole = encode(0, &[b"data: 1\n\n".to_vec()]).concat();
        let mut cut = decoder("gzip").unwrap().unwrap();
        assert_eq!(decode(&mut cut, &whole[..whole.len() - 9]).unwrap(), b"data: 1\n\n");
        assert_eq!(cut.end(), Err(Error::Truncated("gzip")));
        let mut other = decoder("gzip").unwrap().unwrap();
        assert!(matches!(decode(&mut other, b"data: 1\n\n {\"plain\"}"), Err(Error::Corrupt { coding: "gzip", .. })));
        assert_eq!(decoder("gzip").unwrap().unwrap().end(), Ok(()));
        // Two members behind each other are one body.
        let mut two = decoder("gzip").unwrap().unwrap();
        assert_eq!(decode(&mut two, &[whole.clone(), whole].concat()).unwrap(), b"data: 1\n\ndata: 1\n\n");
        assert_eq!(two.end(), Ok(()));
    }

    #[test]
    fn what_decodes_to_very_much_comes_in_pieces() {
        let bomb = encode(0, &[vec![b' '; 64 << 20]]).concat();
        let (mut decoder, mut left, mut all, mut most) = (decoder("gzip").unwrap().unwrap(), bomb.as_slice(), 0, 0);
        while let Some(piece) = decoder.next(&mut left).unwrap() {
            all += piece.len();
            most = most.max(piece.len());
        }
        assert_eq!(all, 64 << 20);
        assert!(most <= 4 << 20, "{most}");
    }

    proptest! {
        #[test]
        fn every_flushed_piece_comes_out_with_its_last_byte(
            coding in 0_u8..3,
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
            step in 1_usize..50,
        ) {
            let mut decoder = decoder(if coding == 0 { "gzip" } else { "deflate" }).unwrap().unwrap();
            let encoded = encode(coding, &pieces);
            for (encoded, piece) in encoded.iter().zip(pieces.iter().map(Vec::as_slice).chain([b"".as_slice()])) {
                let mut decoded = Vec::new();
                for part in encoded.chunks(step) {
                    decoded.extend(decode(&mut decoder, part).unwrap());
                }
                prop_assert_eq!(decoded, piece);
            }
            prop_assert_eq!(decoder.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_decoded_or_refused(coding in 0_u8..2, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = decoder(["gzip", "deflate"][usize::from(coding)]).unwrap().unwrap();
            let _ = decode(&mut decoder, &bytes).and_then(|_| decoder.end());
        }
    }
}
