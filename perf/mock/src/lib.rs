//! `dormouse perf mock-server`: a server that is not fast or slow but known.
//!
//! It speaks the wire of OpenAI's and Anthropic's endpoints and answers as it is told: after which time, in how many tokens, events and
//! writes, for how many at once, with which faults. What becomes of a request depends on the seed and its number alone. Beside
//! it keeps its own truth of what happened (`GET /stats`), so that what a load generator says can be compared with it.
//!
//! From bytes to bytes:
//!
//! | Module | Idea |
//! |---|---|
//! | `request` | requests from bytes |
//! | `scan` | what a body asks for, without a tree |
//! | `plan`, `dist`, `fault` | what becomes of request N |
//! | `job` | both together: an order, and in time a script |
//! | `answer` | the endpoints' words |
//! | `script` | which bytes leave when |
//! | `draft` | answers with a fault |
//! | `gate` | who is in service: the known knee |
//! | `worker`, `conn` | threads and connections |
//! | `stats` | its own truth |
//!
//! A worker is one thread with one event loop (`dormouse-perf-net`); the fast way from a request to its one write takes no allocation that
//! grows with the answer. Whatever comes from outside is bounded: heads, bodies, connections, tokens, and the time that each of them may take.

mod answer;
mod args;
mod cache;
mod conn;
mod dist;
mod draft;
mod error;
mod fault;
mod gate;
mod head;
mod job;
mod plan;
mod request;
mod routes;
mod scan;
mod script;
mod server;
mod stats;
mod worker;

pub use args::{Endpoint, MockServerArgs, Usage};
pub use dist::Dist;
pub use error::Error;
pub use fault::{FAULTS, Fault, FaultRate, listing};
pub use server::{Server, run};
