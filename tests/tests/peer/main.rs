//! The peer's own programs among ours: `DORMOUSE_PEER_BIN` names a folder that has them under their own names. Each that is
//! there takes the place of ours, alone and then with all the others, and both flows are played: cold, asleep, hot.
//!
//! The peer's programs listen on all addresses, and the Pods of a plane share those of the host: so that nothing of ours is in
//! the way this is a program of its own, its stories come one after another, and each has one requester at a time.
//!
//! `launcher.py` is Python and brings its engine along: it is run by the `python3` beside `DORMOUSE_VLLM`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod programs;
mod stories;
// Shared with the other end-to-end tests; this program does not use all of it.
#[allow(dead_code, unused_imports)]
#[path = "../it/support/mod.rs"]
mod support;

use std::sync::{Mutex, PoisonError};

use dormouse_runtime::output::error_line;

use self::programs::{Peer, Program};

/// One story at a time.
static STAGE: Mutex<()> = Mutex::new(());

/// Each of the peer's programs alone among ours, then all of them.
fn mixes(peer: &Peer, of: &[Program]) -> Vec<Vec<Program>> {
    let present: Vec<Program> = of.iter().copied().filter(|p| peer.has(*p)).collect();
    let mut mixes: Vec<Vec<Program>> = present.iter().map(|p| vec![*p]).collect();
    if present.len() > 1 {
        mixes.push(present);
    }
    mixes
}

fn play(of: &[Program], story: fn(&Peer, &[Program])) {
    let Some(peer) = Peer::find() else { return };
    let _stage = STAGE.lock().unwrap_or_else(PoisonError::into_inner);
    for missing in of.iter().filter(|p| !peer.has(**p)) {
        error_line(&format!("SKIPPED with {}: {}", missing.name(), peer.why_not(*missing)));
    }
    for mix in mixes(&peer, of) {
        let names: Vec<&str> = mix.iter().map(|p| p.name()).collect();
        error_line(&format!("the peer's {}, and the rest ours", names.join(", ")));
        story(&peer, &mix);
    }
}

#[test]
fn the_launcher_flow_with_the_peers_programs() {
    let of = [Program::DualPodsController, Program::LauncherPopulator, Program::Requester, Program::Launcher];
    play(&of, stories::launcher_flow);
}

#[test]
fn the_direct_flow_with_the_peers_programs() {
    play(&[Program::DualPodsController, Program::Requester], stories::direct_flow);
}

#[test]
fn the_direct_flow_with_the_peers_test_programs() {
    play(&[Program::DualPodsController, Program::TestRequester, Program::TestServer], stories::direct_flow_of_tests);
}
