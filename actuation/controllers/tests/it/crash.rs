//! The controller is killed before, during and after each of its effects; the one that comes after it brings the world to
//! where an undisturbed one would have brought it, and no GPU ever has two engines awake.

use std::time::Duration;

use dormouse_actuation::Role;
use serde_json::{Value, json};

use crate::stage::{Stage, When, limits, objects};

/// A story: how the stage is set, what is then done to it, and when it has come to its end.
#[derive(Clone, Copy)]
struct Story {
    launchers: bool,
    /// Requesters that serve, and those that did and are asleep, when the curtain opens: name, model.
    asleep: &'static [(&'static str, &'static str)],
    awake: &'static [(&'static str, &'static str)],
    /// What is done: requesters that come, requesters that go.
    come: &'static [(&'static str, &'static str)],
    go: &'static [&'static str],
    /// Requesters whose containers are restarted.
    restart: &'static [&'static str],
    /// Requesters are ready by the gate, and have a second container.
    gated: bool,
    accompanied: bool,
}

fn requester(story: &Story, (name, model): (&str, &str)) -> Value {
    let requester = if story.launchers { objects::wants(name, model, &["GPU-0"]) } else { objects::direct(name, model, &["GPU-0"]) };
    let requester = if story.gated { objects::gated(requester) } else { requester };
    if story.accompanied { objects::accompanied(requester) } else { requester }
}

async fn open(story: &Story) -> Stage {
    if story.launchers {
        return crate::launchers::stage(3).await;
    }
    let stage = Stage::new().await;
    stage.create(objects::gpu_map()).await;
    stage
}

/// Plays a story with the fuse at `at`; gives the final state, and whether the fuse blew.
async fn play(stage: &Stage, story: &Story, at: Option<(usize, When)>, expected: Option<&Value>) -> (Value, bool) {
    *stage.shared.effect_time.lock().unwrap() = Duration::ZERO;
    let mut ctl = stage.start(Role::DualPods, limits());
    for (name, model) in story.asleep {
        stage.create(requester(story, (name, model))).await;
        stage.serving(name).await;
        stage.retire(name).await;
    }
    for awake in story.awake {
        stage.create(requester(story, *awake)).await;
        stage.serving(awake.0).await;
    }
    stage.quiet().await;
    let (n, when) = at.unwrap_or((usize::MAX, When::Before));
    if when == When::During {
        // Long enough for the next controller to look while one goes on.
        *stage.shared.effect_time.lock().unwrap() = Duration::from_millis(20);
    }
    stage.shared.fuse.arm(n, when);
    for come in story.come {
        stage.create(requester(story, *come)).await;
    }
    for name in story.go {
        stage.delete("Pod", name).await;
    }
    let mut told_before = Vec::new();
    for name in story.restart {
        told_before.push((*name, stage.told(name, "ready")));
        stage.patch("Pod", name, json!({"metadata": {"annotations": {"stage/restarts": "1"}}})).await;
    }
    let end = async || {
        for (name, _) in story.come {
            stage.serving(name).await;
        }
        for name in story.go {
            stage.gone(name).await;
        }
        for (name, before) in &told_before {
            stage.until(&format!("{name} is told again"), |s| s.told(name, "ready") > *before).await;
        }
    };
    let ended = async {
        end().await;
        stage.quiet().await;
    };
    let blew = tokio::select! {
        () = stage.shared.fuse.blew() => true,
        () = ended => false,
    };
    if blew {
        ctl.kill().await;
        stage.shared.fuse.renew();
        ctl = stage.start(Role::DualPods, limits());
        end().await;
    }
    let mut state = Value::Null;
    for _ in 0..40 {
        stage.quiet().await;
        state = stage.snapshot();
        if expected.is_none_or(|e| *e == state) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    if let Some(expected) = expected {
        assert_eq!(&state, expected, "killed {when:?} effect {n}:\n{}", stage.shared.fuse.log().join("\n"));
    }
    let violations = stage.shared.ledger.violations();
    assert!(violations.is_empty(), "killed {when:?} effect {n}: {violations:?}\n{}", stage.shared.fuse.log().join("\n"));
    ctl.kill().await;
    stage.clear().await;
    (state, blew)
}

/// Every n, on each side.
async fn every_effect(story: Story, least: usize) {
    let stage = open(&story).await;
    let (expected, _) = play(&stage, &story, None, None).await;
    for when in [When::Before, When::During, When::After] {
        let mut n = 1;
        while play(&stage, &story, Some((n, when)), Some(&expected)).await.1 {
            n += 1;
        }
        assert!(n > least, "only {n} effects: the story is not the one meant");
    }
}

const NOTHING: Story =
    Story { launchers: false, asleep: &[], awake: &[], come: &[], go: &[], restart: &[], gated: false, accompanied: false };

#[tokio::test]
async fn direct_bind_cold() {
    every_effect(Story { come: &[("a", "m")], ..NOTHING }, 3).await;
}

#[tokio::test]
async fn direct_wake() {
    every_effect(Story { asleep: &[("a", "m")], come: &[("b", "m")], ..NOTHING }, 4).await;
}

#[tokio::test]
async fn direct_unbind() {
    every_effect(Story { awake: &[("a", "m")], go: &["a"], ..NOTHING }, 3).await;
}

#[tokio::test]
async fn direct_change_of_model() {
    every_effect(Story { asleep: &[("a", "m1")], awake: &[("b", "m2")], come: &[("c", "m1")], go: &["b"], ..NOTHING }, 7).await;
}

#[tokio::test]
async fn launcher_bind_cold() {
    every_effect(Story { launchers: true, come: &[("a", "qwen")], ..NOTHING }, 4).await;
}

#[tokio::test]
async fn launcher_bind_warm() {
    every_effect(Story { launchers: true, asleep: &[("a", "qwen")], come: &[("b", "llama")], ..NOTHING }, 4).await;
}

#[tokio::test]
async fn launcher_wake() {
    every_effect(Story { launchers: true, asleep: &[("a", "qwen")], come: &[("b", "qwen")], ..NOTHING }, 4).await;
}

#[tokio::test]
async fn launcher_unbind() {
    every_effect(Story { launchers: true, awake: &[("a", "qwen")], go: &["a"], ..NOTHING }, 4).await;
}

#[tokio::test]
async fn launcher_swap() {
    let story =
        Story { launchers: true, asleep: &[("a", "qwen")], awake: &[("b", "llama")], come: &[("c", "qwen")], go: &["b"], ..NOTHING };
    every_effect(story, 8).await;
}

#[tokio::test]
async fn launcher_swap_to_a_new_model() {
    let story = Story { launchers: true, awake: &[("a", "qwen")], come: &[("b", "llama")], go: &["a"], ..NOTHING };
    every_effect(story, 8).await;
}

#[tokio::test]
async fn gated_wake() {
    every_effect(Story { launchers: true, gated: true, asleep: &[("a", "qwen")], come: &[("b", "qwen")], ..NOTHING }, 5).await;
}

#[tokio::test]
async fn gated_unbind() {
    every_effect(Story { launchers: true, gated: true, awake: &[("a", "qwen")], go: &["a"], ..NOTHING }, 5).await;
}

#[tokio::test]
async fn gated_direct_bind_cold() {
    every_effect(Story { gated: true, come: &[("a", "m")], ..NOTHING }, 4).await;
}

#[tokio::test]
async fn gated_wake_beside_another_container() {
    let story = Story { launchers: true, gated: true, accompanied: true, ..NOTHING };
    every_effect(Story { asleep: &[("a", "qwen")], come: &[("b", "qwen")], ..story }, 5).await;
}

#[tokio::test]
async fn gated_requester_is_restarted() {
    every_effect(Story { launchers: true, gated: true, awake: &[("a", "qwen")], restart: &["a"], ..NOTHING }, 1).await;
}

#[tokio::test]
async fn gated_direct_requester_is_restarted() {
    every_effect(Story { gated: true, accompanied: true, awake: &[("a", "m")], restart: &["a"], ..NOTHING }, 1).await;
}
