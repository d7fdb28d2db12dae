//! For tests of programs: addresses of their own, and waits.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// Longest wait for anything that should happen at once; generous, because test machines are busy.
pub const SOON: Duration = Duration::from_secs(20);

/// An address of 127.0.0.0/8 that nothing else of this process uses, and hardly anything of another process.
#[must_use]
pub fn own_ip() -> Ipv4Addr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [low, high, ..] = std::process::id().to_le_bytes();
    Ipv4Addr::new(127, 130 + high % 120, low, NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Waits until something holds.
///
/// # Panics
/// When it does not [`SOON`]; `what` says what was waited for.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
