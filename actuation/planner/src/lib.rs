//! The planner of actuation: `plan(&NodeState, now) -> Plan`.
//!
//! PURE: no client, no clock, no randomness, no file. All that the dual-pods controller and the launcher populator decide is a
//! function of the API objects of a node, of the answers that stubs, launchers and engines gave, of the limits, and of the time.
//! Both controllers run the same function; each [`Action`] names the controller that executes it.
//!
//! # The loop of a controller
//!
//! 1. A watch event replaces a part of [`NodeState`]: [`observe`] turns an object into it. [`NodeState::forget_vanished`].
//! 2. [`plan()`] says what to do now, and when to look again ([`Plan::wake_at`]).
//! 3. Each action is announced ([`NodeState::started`]), executed as [`action`] says, and reported ([`NodeState::finished`]).
//! 4. Again from 2. Plans are cheap and never kept: an action that was not started is forgotten.
//!
//! [`policies`] does the same for the objects that belong to no node.
//!
//! # Where is it decided?
//!
//! | Question | File |
//! |---|---|
//! | Which provider a requester gets, and so whether its start is hot | `plan/choice.rs` |
//! | Which engines go when room is needed (reclaim, budgets) | `plan/reclaim.rs` |
//! | How many launchers there are (population), which are stuck | `plan/population.rs`; how many are wanted: `policies.rs` |
//! | Who may begin on a GPU | `plan/room.rs`, over `plan/ledger.rs` |
//! | How a bound pair comes to serve, and when it is dead | `plan/serve_instance.rs`, `plan/serve.rs`, `plan/wake.rs` |
//! | How a provider is released | `plan/release.rs` |
//! | What a requester is told: readiness, status, labels | `plan/told/` |
//! | Which start of a container an answer is about | `starts.rs` |
//! | When something that failed is tried again | `plan/emitted.rs`, with the figures of `limits.rs` |
//!
//! `plan/mod.rs` tells the order of the steps and what each may change.
//!
//! # Rules
//!
//! - Identity is the UID. A Pod of the same name with another UID means that the one looked for is absent.
//! - Nothing is concluded from having sent something, only from answers; what is not known is not taken for granted.
//! - One commit point per transition: create, bind, unbind. Everything else may be repeated.
//! - Every choice is a total order.
//! - A requester's status says every problem that lasts; there is no failure that shows only in a log.

pub mod action;
mod canonical;
mod fold;
pub mod hashes;
pub mod ids;
pub mod instance;
mod json;
pub mod limits;
pub mod memory;
mod nominal;
pub mod observe;
mod plan;
pub mod planned;
mod podspec;
pub mod policies;
mod routing;
mod starts;
pub mod state;
mod status;
pub mod template;
pub mod write;

pub use action::Action;
pub use plan::plan;
pub use planned::Plan;
pub use state::NodeState;
