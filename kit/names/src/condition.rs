//! Conditions of Pods.

/// On a requester, a readiness gate that its template may name: its server serves. Set by the dual-pods controller, so that the
/// Pod is Ready at once and not at the next probe.
pub const SERVING: &str = "dormouse.dev/serving";
