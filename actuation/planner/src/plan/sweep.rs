//! Tidying up what nobody is bound to (9.3, "then, per launcher").
//!
//! Evaluated in every plan, so that nothing depends on having seen an event (G14). An unbound engine must sleep: one that does
//! not is put to sleep, whatever brought it about; one that will not is deleted when a requester needs its GPU.

use super::Planner;
use super::draft::EngineCall;
use super::view::Provider;
use crate::action::{DeleteInstanceReason, DeletePodReason, EngineRef, Subject, Target, Verb};
use crate::ids::{GpuUuid, InstanceId};
use crate::limits::later;
use crate::memory::{Instance, Sleep};
use crate::state::{Direct, Launcher};

impl<'s> Planner<'s> {
    pub(super) fn sweep(&mut self) {
        for direct in self.state.directs.values() {
            if direct.binding.is_none() {
                if direct.pod.live() { self.sweep_direct(direct) } else { self.dismiss(None, Provider::Direct(direct)) }
            }
        }
        for launcher in self.state.launchers.values() {
            if launcher.pod.live() {
                self.sweep_launcher(launcher);
            } else if launcher.binding.is_none() {
                self.dismiss(None, Provider::Launcher(launcher));
            }
        }
    }

    fn sweep_direct(&mut self, direct: &'s Direct) {
        let pod = &direct.pod;
        let (Some(ip), true, Ok(port)) = (&pod.ip, pod.running(), &direct.port) else { return };
        let subject = self.subject(None, Some(Provider::Direct(direct)));
        let call = EngineCall { engine: EngineRef::direct(&pod.uid), provider: pod, port: *port, subject };
        match self.state.sleep(&call.engine, pod) {
            Some(sleep) if sleep.asleep() => {}
            state => {
                let gpus = self.state.direct_gpus(direct);
                if self.gave_up_idle(&call.engine, state) && self.wanted(&gpus) {
                    self.emit(self.delete_pod(pod, DeletePodReason::WillNotSleep, call.subject.clone()));
                } else if state.is_none() {
                    self.emit_idle(self.read_sleep(&call, ip));
                } else {
                    self.emit(self.put_to_sleep(&call, ip));
                }
            }
        }
    }

    fn sweep_launcher(&mut self, launcher: &'s Launcher) {
        let (Some(ip), true) = (&launcher.pod.ip, launcher.pod.running()) else { return };
        self.refresh(launcher, ip);
        let bound = if launcher.binding.is_some() { launcher.recorded.as_ref().ok().map(|recorded| &recorded.instance) } else { None };
        if launcher.binding.is_some() && bound.is_none() {
            // Being released by `release_unreadable`, or waiting for somebody to mend its annotations.
            return;
        }
        for (id, instance) in self.state.instances(launcher).into_iter().flatten() {
            if Some(id) != bound {
                self.sweep_instance(launcher, id, instance, ip);
            }
        }
    }

    fn sweep_instance(&mut self, launcher: &'s Launcher, id: &InstanceId, instance: &Instance, ip: &str) {
        let subject = Subject {
            provider: Some(launcher.pod.name.clone()),
            instance: Some(id.clone()),
            isc: instance.isc().map(str::to_owned),
            ..Subject::default()
        };
        let engine = EngineRef::instance(&launcher.pod.uid, id);
        let delete = |planner: &mut Self, reason| {
            let action = planner.delete_instance(launcher, id, ip, reason, subject.clone());
            planner.emit(action);
        };
        if instance.stopped {
            delete(self, DeleteInstanceReason::Stopped);
            return;
        }
        let Some(port) = instance.port() else {
            delete(self, DeleteInstanceReason::NoPort);
            return;
        };
        let call = EngineCall { engine: engine.clone(), provider: &launcher.pod, port, subject: subject.clone() };
        match self.state.sleep(&engine, &launcher.pod) {
            Some(sleep) if sleep.asleep() => {
                if instance.obsolete(&self.state.configs) && !self.chosen.contains(&engine) {
                    delete(self, DeleteInstanceReason::Obsolete);
                }
            }
            state => {
                let gpus: Vec<GpuUuid> = instance.gpus.iter().flatten().cloned().collect();
                if self.gave_up_idle(&engine, state) && self.wanted(&gpus) {
                    delete(self, DeleteInstanceReason::WillNotSleep);
                } else if state.is_none() {
                    self.emit_idle(self.read_sleep(&call, ip));
                } else {
                    self.emit(self.put_to_sleep(&call, ip));
                }
            }
        }
    }

    /// Whether an unbound engine has neither answered nor gone to sleep for longer than is waited for.
    fn gave_up_idle(&mut self, engine: &EngineRef, state: Option<Sleep>) -> bool {
        let verb = if state.is_none() { Verb::ReadSleep } else { Verb::Sleep };
        self.gave_up(engine, verb) || self.gave_up(engine, Verb::Sleep)
    }

    /// Whether a requester is next on one of these GPUs.
    fn wanted(&self, gpus: &[GpuUuid]) -> bool {
        gpus.iter().any(|gpu| self.claims.contains_key(gpu))
    }

    /// Asks a launcher for its instances when what it told is missing, or may be old.
    pub(super) fn refresh(&mut self, launcher: &'s Launcher, ip: &str) {
        let list = match self.state.told(launcher) {
            None => true,
            Some(memory) => match &memory.instances {
                crate::memory::Obs::Unknown => true,
                crate::memory::Obs::Known { at, .. } => {
                    let changed = launcher.signature != memory.signature && !memory.followed;
                    // Nobody tells of changes: look from time to time, as long as somebody depends on it.
                    let blind = launcher.binding.is_some() && !memory.followed && launcher.signature.is_none();
                    let due = later(*at, self.limits.list_interval);
                    if blind && self.now < due {
                        self.wake_at(due);
                    }
                    memory.stale || changed || (blind && self.now >= due)
                }
            },
        };
        if !list || self.is_busy(&Target::Launcher(launcher.pod.uid.clone())) {
            return;
        }
        let action = self.list_instances(launcher, ip);
        if launcher.pod.ready || launcher.binding.is_some() || self.taken().contains(&launcher.pod.uid) {
            self.emit(action);
        } else {
            self.emit_idle(action);
        }
    }
}
