//! The plan of a node: what is to be done now (actuation 9.3).
//!
//! [`plan`] goes through the node once, in a fixed order:
//!
//! 1. [`ledger`]: which engine occupies which GPU, as far as it is known;
//! 2. [`pairs`]: who is bound to whom; providers whose requester is gone are released ([`release`]), pairs are brought to serve
//!    ([`serve`], [`serve_instance`], [`wake`]), requesters without a provider get one ([`seek`], [`choice`], [`seek_direct`],
//!    [`seek_launcher`]);
//! 3. [`sweep`]: what nobody is bound to is tidied up;
//! 4. [`population`]: launchers are made, marked and deleted as the policies want;
//! 5. sleepers beyond the budget go ([`reclaim`]).
//!
//! Steps are functions. What a step can change stands in its signature:
//!
//! - [`View`]: the node at an instant. Every step reads it, and asks it for complete actions ([`draft`]);
//! - [`Room`]: what occupies the GPUs, who is next there, which providers are spoken for;
//! - [`Told`]: what requesters and their users are told;
//! - [`Emitted`]: actions, and when to look again. A question that may only do the latter takes [`emitted::Wakes`].
//!
//! Each step plans at most the *next* thing for a target and stops there; what follows depends on the answer. Nothing is
//! concluded from an action being planned or under way, except that its target is left alone and that the GPUs it may occupy
//! count as occupied.
//!
//! Where several could be taken, each gets a score: a type with a derived order whose smallest value wins, so that the order of
//! its variants and fields is the policy: `Offer` and `SleeperScore` in [`choice`], `Age` and `VictimScore` in [`reclaim`],
//! `KeepScore` in [`pairs`], `DeletionCost` in [`population`].

mod choice;
mod draft;
pub(crate) mod emitted;
mod facts;
mod ledger;
mod pairs;
mod population;
mod reclaim;
mod release;
mod room;
mod seek;
mod seek_direct;
mod seek_launcher;
mod serve;
mod serve_instance;
mod sweep;
mod told;
mod view;
mod wake;

use jiff::Timestamp;

use self::emitted::Emitted;
use self::room::Room;
use self::told::Told;
use self::view::View;
use crate::planned::{Facts, Plan};
use crate::state::NodeState;

/// What is to be done now on this node. Deterministic; permuting anything in the input changes nothing.
#[must_use]
pub fn plan(state: &NodeState, now: Timestamp) -> Plan {
    let view = View { state, now };
    let (mut room, mut told, mut out) = (Room::new(view), Told::default(), Emitted::new(&state.memory, now));
    let mut facts = Facts::default();
    pairs::pairs(view, &mut room, &mut told, &mut out);
    sweep::sweep(view, &room, &mut out);
    if state.populate {
        population::population(view, &room, &mut out, &mut facts);
    }
    reclaim::sleepers_beyond_budget(view, &room, &mut out);
    facts::facts(view, &room, &mut facts);
    let (actions, wake_at) = out.finish();
    Plan { actions, wake_at, problems: told.finish(), facts }
}
