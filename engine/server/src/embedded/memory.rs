//! Giving freed memory back to the operating system. One of the crate's two unsafe modules.

/// Makes the allocator return what it keeps for reuse: a tensor of some megabytes that was dropped may otherwise stay
/// resident. Does nothing where the allocator is not glibc's.
pub(super) fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    trim();
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code)]
fn trim() {
    unsafe extern "C" {
        fn malloc_trim(pad: usize) -> std::ffi::c_int;
    }
    // SAFETY: glibc's documented function, with its documented signature; it takes no pointers, may be called from any
    // thread at any time, and touches only memory that the allocator owns.
    unsafe {
        malloc_trim(0);
    }
}
