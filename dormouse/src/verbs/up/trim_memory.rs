//! A plane that has nothing to do is small.
//!
//! Start-up, and every burst of work after it, leaves memory behind that nobody needs any more: heap that was freed and that
//! the allocator keeps, and pages of the binary that ran once. When the process has become quiet after having worked, both go
//! back to the system. Nothing is lost by it: those pages are the file's own, and what is needed again comes from the page
//! cache at first use.
#![allow(unsafe_code, reason = "two calls of the system, each with its reason")]

use std::fs;
use std::time::Duration;

use dormouse_runtime::CancellationToken;
use nix::libc;
use nix::sys::resource::{UsageWho, getrusage};

/// Between two looks at what the process did.
const LOOK: Duration = Duration::from_secs(10);
/// CPU time between two looks below which it is quiet: a hundredth.
const QUIET: Duration = Duration::from_millis(100);
/// CPU time after which giving back is worth it again.
const WORK: Duration = Duration::from_millis(100);

/// Gives memory back whenever the process has worked and become quiet, until `end`.
pub(super) async fn when_quiet(end: CancellationToken) {
    let mut given_back: Option<Duration> = None;
    let mut before = cpu_time();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let now = cpu_time();
        let worked = given_back.is_none_or(|then| now.saturating_sub(then) > WORK);
        if worked && now.saturating_sub(before) < QUIET {
            give_back();
            given_back = Some(now);
        }
        before = now;
    }
}

/// CPU time of the process; for ever the same where the system does not tell.
fn cpu_time() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) else { return Duration::ZERO };
    let one = |time: nix::sys::time::TimeVal| {
        Duration::new(time.tv_sec().unsigned_abs(), 0) + Duration::from_micros(time.tv_usec().unsigned_abs())
    };
    one(usage.user_time()) + one(usage.system_time())
}

fn give_back() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: returns free pages of the heap to the system; what is allocated stays as it is.
        unsafe { libc::malloc_trim(0) };
    }
    let Ok(binary) = fs::read_link("/proc/self/exe") else { return };
    let (Some(binary), Ok(smaps)) = (binary.to_str(), fs::read_to_string("/proc/self/smaps")) else { return };
    for (start, end) in untouched(&smaps, binary) {
        // SAFETY: the range is a mapping of this very binary, which nobody unmaps while it runs. It cannot be written and holds
        // no page that differs from the file (see `untouched`), so that what is dropped is read again unchanged.
        // A failure leaves the pages where they are.
        let _ = unsafe { libc::madvise(start as *mut libc::c_void, end - start, libc::MADV_DONTNEED) };
    }
}

/// The mappings of `binary` that are exactly what the file says: not writable, and without a page of their own, in memory or
/// swapped out. (Pages that the dynamic linker relocated have become the process's own, and so has code in which a debugger
/// has set a breakpoint.)
fn untouched(smaps: &str, binary: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let (mut current, mut own_pages) = (None, 0);
    for line in smaps.lines() {
        let mut words = line.split_whitespace();
        let (Some(first), Some(second)) = (words.next(), words.next()) else { continue };
        if let Some(range) = range(first) {
            let ours = line.find('/').is_some_and(|at| &line[at..] == binary);
            current = (ours && second.starts_with("r-") && second.ends_with('p')).then_some(range);
            own_pages = 0;
        } else if matches!(first, "Anonymous:" | "Swap:") {
            own_pages += if second == "0" { 0 } else { 1 };
        } else if first == "VmFlags:" && own_pages == 0 {
            found.extend(current.take());
        }
    }
    found
}

/// `start-end`, hexadecimal, as the head of a mapping has it.
fn range(word: &str) -> Option<(usize, usize)> {
    let (start, end) = word.split_once('-')?;
    Some((usize::from_str_radix(start, 16).ok()?, usize::from_str_radix(end, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mappings_that_are_the_file_are_dropped() {
        let one = |range: &str, rights: &str, path: &str, anonymous: u32, swap: u32| {
            format!(
                "{range} {rights} 00000000 fe:00 42       {path}\nSize: 8 kB\nAnonymous: {anonymous} kB\nSwap: {swap} kB\nVmFlags: rd mr\n"
            )
        };
        let smaps = [
            one("1000-2000", "r--p", "/bin/a b", 0, 0),
            one("2000-3000", "r-xp", "/bin/a b", 0, 0),
            one("3000-4000", "r-xp", "/bin/a b", 4, 0),
            one("4000-5000", "r--p", "/bin/a b", 0, 8),
            one("5000-6000", "rw-p", "/bin/a b", 0, 0),
            one("6000-7000", "r-xp", "/lib/other", 0, 0),
            one("7000-8000", "r--p", "", 0, 0),
            one("8000-9000", "r--s", "/bin/a b", 0, 0),
        ];
        assert_eq!(untouched(&smaps.concat(), "/bin/a b"), [(0x1000, 0x2000), (0x2000, 0x3000)]);
    }

    #[test]
    fn the_process_works_on_after_giving_back() {
        let kept: Vec<String> = (0..10_000).map(|n| n.to_string()).collect();
        let before = resident();
        give_back();
        assert!(resident() < before, "{} pages, {before} before", resident());
        assert!(kept.iter().enumerate().all(|(n, text)| *text == n.to_string()));
    }

    /// Pages of the binary and of other files.
    fn resident() -> u64 {
        let statm = fs::read_to_string("/proc/self/statm").unwrap();
        statm.split_whitespace().nth(2).unwrap().parse().unwrap()
    }
}
