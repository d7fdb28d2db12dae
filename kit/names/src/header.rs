//! HTTP headers of ours, beside the peers' protocols.

/// On each reply of a launcher of ours: which start of it this is.
pub const EPOCH: &str = "dormouse-epoch";
/// On `become-ready`, `true`: whoever sends it will send `become-unready` when the requester may end.
pub const RELAYS_UNREADY: &str = "dormouse-relays-unready";
