//! Load on inference servers. PURE so far: no socket, no clock, no file.
//!
//! [`arrivals`] are the times at which requests leave in open loop, fixed by a [`seeds::Seed`]. The rest is the half that reads.
//!
//! Whoever has a connection hands each read with its stamp to an [`exchange::Exchange`] and takes an [`exchange::Answered`]: how
//! the request ended, when which content came, the texts, the token counts. The layers below it can be used alone:
//!
//! | Module | From | To |
//! |---|---|---|
//! | [`http`] | bytes of a connection | head, pieces of the body, end; and the bytes of a request's head |
//! | [`decode`] | pieces of a body in a content coding | pieces of the body |
//! | [`sse`] | pieces of a body | events: name, data, comment |
//! | [`answer`] | an event, or a whole body | content and its kind, token counts, the end, an error |
//!
//! Bytes are looked at where they lie: an event within one read is not copied, and the text of a common chunk goes from there to
//! the answer's text. No input makes it panic, none makes it hold more than its limits say, and how the bytes are cut into reads
//! changes nothing but stamps (and how much is told of a compressed body that is corrupt).

pub mod answer;
pub mod arrivals;
pub mod decode;
pub mod exchange;
pub mod fetch;
pub mod http;
pub mod script;
pub mod seeds;
pub mod sse;
pub mod target;
pub mod timing;
pub mod transport;
pub mod worker;
