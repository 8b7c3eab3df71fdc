//! Two calls to glibc's allocator that no other crate offers as safe functions, and the counting allocator of the tests.
//! The only `unsafe` of this repository.
//!
//! With another C library both calls do nothing.

mod counting;

pub use counting::{Counting, Use, used};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;

    /// `M_MMAP_THRESHOLD` of malloc.h.
    pub const M_MMAP_THRESHOLD: c_int = -3;

    unsafe extern "C" {
        // SAFETY: both take numbers alone, may be called from any thread at any time and fail by their result.
        pub safe fn mallopt(param: c_int, value: c_int) -> c_int;
        pub safe fn malloc_trim(pad: usize) -> c_int;
    }
}

/// Gives allocations of at least `bytes` a mapping of their own, which returns to the system as soon as it is freed.
/// By default glibc raises this bound to the largest block that was ever freed, up to 32 MiB.
pub fn map_from(bytes: usize) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    if let Ok(bytes) = bytes.try_into() {
        glibc::mallopt(glibc::M_MMAP_THRESHOLD, bytes);
    }
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = bytes;
}

/// Returns the free pages of all arenas to the system.
pub fn trim() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::malloc_trim(0);
}
