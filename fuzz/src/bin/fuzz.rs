//! One target under libFuzzer: that of the name in `DORMOUSE_FUZZ`. Options and folders are libFuzzer's. See `fuzz/run`.
#![no_main]

use std::sync::OnceLock;

use dormouse_fuzz::{Check, TARGETS, memory, target};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

static CHECK: OnceLock<Check> = OnceLock::new();

fn chosen() -> Check {
    let name = std::env::var("DORMOUSE_FUZZ").unwrap_or_default();
    target(&name).unwrap_or_else(|| {
        eprintln!("DORMOUSE_FUZZ is to be one of {}", TARGETS.map(|(name, _)| name).join(", "));
        std::process::exit(2)
    })
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| CHECK.get_or_init(chosen)(data));
