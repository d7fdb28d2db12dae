//! How much memory something takes: an allocator that counts, thread by thread.
#![allow(unsafe_code, reason = "an allocator cannot be written without; all it does itself is to count")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// To be the global allocator of a program that measures.
#[derive(Debug)]
pub struct Counting;

// SAFETY: the system's allocator does everything; the counters allocate nothing and are never dropped.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as this was called.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        count(-layout.size().cast_signed());
        // SAFETY: as this was called.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size().cast_signed());
        // SAFETY: as this was called. Pages that nobody writes cost nothing, so that zeroes are the system's.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there while it moves.
        count(size.cast_signed());
        count(-layout.size().cast_signed());
        // SAFETY: as this was called.
        unsafe { System.realloc(at, layout, size) }
    }
}

fn count(bytes: isize) {
    HELD.set(HELD.get().wrapping_add(bytes));
    PEAK.set(PEAK.get().max(HELD.get()));
}

/// The most that was held at once on this thread while `what` ran, beyond what was held before. Nought where [`Counting`] is not
/// the allocator.
pub fn peak<T>(what: impl FnOnce() -> T) -> (T, usize) {
    let (before, outer) = (HELD.get(), PEAK.get());
    PEAK.set(before);
    let done = what();
    let most = PEAK.get();
    PEAK.set(most.max(outer));
    (done, usize::try_from(most - before).unwrap_or_default())
}

/// Runs `what`, which may hold so many bytes.
#[track_caller]
pub fn at_most<T>(bytes: usize, what: impl FnOnce() -> T) -> T {
    let (done, most) = peak(what);
    assert!(most <= bytes, "{most} bytes were held, which should be no more than {bytes}");
    done
}
