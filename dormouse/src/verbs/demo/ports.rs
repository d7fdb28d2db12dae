//! Where the demo's Pods listen. Each Pod has an address of its own, so that only a program of this machine that holds a
//! port on all addresses is in the way. Every port moves to a free one then, but the launchers': that one is a constant of
//! the protocol.

use dormouse_apis::names::port;
use dormouse_plane::wildcard_holder;
use dormouse_runtime::exit::Failure;

use super::scene::step;

/// The ports of all programs of the demo, no two alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ports {
    /// Requesters: readiness, and the calls of the controller.
    pub probes: u16,
    pub spi: u16,
    /// Controllers.
    pub metrics: u16,
    pub debug: u16,
    /// The engine of the plain Pod and of the direct flow.
    pub plain: u16,
    /// The engines of the two models, side by side in one launcher.
    pub models: [u16; 2],
}

/// What a port is called before it moves.
const USUAL: Ports =
    Ports { probes: port::PROBES, spi: port::SPI, metrics: port::METRICS, debug: port::DEBUG, plain: 8000, models: [8005, 8006] };

impl Ports {
    /// Ports that nobody holds; says which had to move, and because of whom.
    ///
    /// # Errors
    /// When the launchers' port is held, or no other is free.
    pub(super) fn free() -> anyhow::Result<Self> {
        let (ports, moved) = Self::choose(|port| wildcard_holder(port).map(|h| h.to_string())).map_err(Failure::in_use)?;
        moved.iter().for_each(|text| step(text));
        Ok(ports)
    }

    fn choose(holder: impl Fn(u16) -> Option<String>) -> Result<(Self, Vec<String>), String> {
        if let Some(holder) = holder(port::LAUNCHER) {
            let port = port::LAUNCHER;
            return Err(format!("port {port}, which launchers must use, is held on all addresses by {holder}; end that program first"));
        }
        let mut moved = Vec::new();
        // The range that nobody's usual port is in; each is given once.
        let mut spare = 8100..u16::MAX;
        let mut one = |usual: u16| {
            let Some(by) = holder(usual) else { return Ok(usual) };
            let port = spare.find(|p| holder(*p).is_none()).ok_or_else(|| format!("port {usual} is held by {by}, and no other is free"))?;
            moved.push(format!("port {usual} is held on all addresses by {by}; using {port}"));
            Ok::<u16, String>(port)
        };
        let ports = Self {
            probes: one(USUAL.probes)?,
            spi: one(USUAL.spi)?,
            metrics: one(USUAL.metrics)?,
            debug: one(USUAL.debug)?,
            plain: one(USUAL.plain)?,
            models: [one(USUAL.models[0])?, one(USUAL.models[1])?],
        };
        Ok((ports, moved))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_moves_and_the_rest_stays() {
        let (ports, moved) = Ports::choose(|_| None).unwrap();
        assert_eq!((ports, moved.len()), (USUAL, 0));
        let held = [8000, 8006, 8080, 8100, 8102];
        let (ports, moved) = Ports::choose(|p| held.contains(&p).then(|| "nginx".to_owned())).unwrap();
        assert_eq!(ports, Ports { probes: 8101, plain: 8103, models: [8005, 8104], ..USUAL });
        assert_eq!(moved[1], "port 8000 is held on all addresses by nginx; using 8103");
    }

    #[test]
    fn what_cannot_move_is_said() {
        let error = Ports::choose(|p| (p == 8001).then(|| "nginx".to_owned())).unwrap_err();
        assert!(error.contains("port 8001") && error.contains("nginx"), "{error}");
        assert!(Ports::choose(|p| (p != 8001).then(|| "nginx".to_owned())).unwrap_err().contains("no other is free"));
    }
}
