//! What changes in the object of a Pod that runs: its deletion, images, deadline, readiness gates.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use super::container::{Role, State};
use super::pod::{Machine, Stage};
use super::{Action, Now};

/// What the machine heeds of an object that changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Update {
    /// Grace once the object is being deleted.
    pub deletion: Option<Duration>,
    /// `status` of the conditions that the Pod's readiness gates name, in their order.
    pub gates: Vec<Option<String>>,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// Images of the containers, init containers first.
    pub images: Vec<String>,
    /// How long the Pod may be active; one that was set stays.
    pub active_deadline: Option<Duration>,
}

impl Update {
    /// What `pod` says, with the grace of its deletion as the caller knows it.
    #[must_use]
    pub fn of(pod: &Pod, deletion: Option<Duration>) -> Self {
        let spec = pod.spec.as_ref();
        let conditions = pod.status.as_ref().and_then(|s| s.conditions.as_deref()).unwrap_or_default();
        let gates = spec.iter().flat_map(|s| s.readiness_gates.iter().flatten());
        let containers = spec.into_iter().flat_map(|s| s.init_containers.iter().flatten().chain(&s.containers));
        Self {
            deletion,
            gates: gates.map(|g| conditions.iter().find(|c| c.type_ == g.condition_type).map(|c| c.status.clone())).collect(),
            generation: pod.metadata.generation,
            images: containers.map(|c| c.image.clone().unwrap_or_default()).collect(),
            active_deadline: active_deadline(pod),
        }
    }
}

/// `activeDeadlineSeconds`.
pub(super) fn active_deadline(pod: &Pod) -> Option<Duration> {
    let seconds = pod.spec.as_ref().and_then(|s| s.active_deadline_seconds)?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

impl Machine {
    pub(super) fn update(&mut self, update: Update, now: Now, out: &mut Vec<Action>) {
        self.gates = update.gates;
        self.generation = update.generation.or(self.generation);
        if let Some(active) = update.active_deadline {
            self.active_until = Some(self.board.until(active, now));
        }
        if let Some(grace) = update.deletion {
            // A grace of 0 still lets the signal arrive, as the kubelet does it.
            self.stop(grace.max(Duration::from_secs(1)), now);
            self.deletion = Some(grace);
        }
        for (i, image) in update.images.into_iter().enumerate().take(self.containers.len()) {
            if self.containers[i].image != image {
                self.containers[i].image = image;
                self.image_changed(i, now, out);
            }
        }
    }

    /// A container's image is another one now. It is a new beginning for every delay: the kubelet keys them by it.
    fn image_changed(&mut self, i: usize, now: Now, out: &mut Vec<Action>) {
        let c = &mut self.containers[i];
        c.pull.clear();
        c.crash.clear();
        let running = c.run().is_some();
        match &mut c.state {
            State::Blocked { retry_at, .. } => *retry_at = now.mono,
            // An init container is through, or comes to its end by itself; its next run has the new image.
            State::Starting { .. } | State::Running(_) if c.role != Role::Init => {
                c.stale = true;
                if running {
                    self.replace(i, now, out);
                }
            }
            _ => {}
        }
    }

    /// Ends the run of an earlier image, so that the next one follows whatever the policy says.
    pub(super) fn replace(&mut self, i: usize, now: Now, out: &mut Vec<Action>) {
        if self.stage != Stage::Running {
            return;
        }
        let c = &self.containers[i];
        let why = match c.role {
            Role::App => format!("Container {} definition changed, will be restarted", c.name),
            Role::Init | Role::Sidecar => format!("Init container {} definition changed", c.name),
        };
        self.begin_stop(i, self.grace, why, now, out);
    }
}
