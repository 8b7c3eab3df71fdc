//! Calls to glibc that give memory back and that no other crate offers as safe functions. The only `unsafe` of this
//! repository.
//!
//! With another C library they do nothing.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::cell::Cell;
    use std::ffi::{c_int, c_void};

    /// `M_MMAP_THRESHOLD` of malloc.h.
    pub const M_MMAP_THRESHOLD: c_int = -3;

    unsafe extern "C" {
        // SAFETY: both take numbers alone, may be called from any thread at any time and fail by their result.
        pub safe fn mallopt(param: c_int, value: c_int) -> c_int;
        pub safe fn malloc_trim(pad: usize) -> c_int;
        safe fn pthread_self() -> usize;
        fn pthread_getattr_np(thread: usize, attributes: *mut Attributes) -> c_int;
        fn pthread_attr_getstack(attributes: *const Attributes, low: *mut *mut c_void, size: *mut usize) -> c_int;
        fn pthread_attr_destroy(attributes: *mut Attributes) -> c_int;
        fn madvise(address: *mut c_void, length: usize, advice: c_int) -> c_int;
    }

    /// Large enough for `pthread_attr_t` on every architecture (56 or 64 bytes).
    type Attributes = [u64; 16];
    const MADV_DONTNEED: c_int = 4;
    /// The largest page of any architecture; so much below the caller is left alone, too.
    const PAGE: usize = 64 << 10;
    const SMALL_PAGE: usize = 4 << 10;

    thread_local! {
        /// The lowest address of this thread's stack; 0 before it is known.
        static LOW: Cell<usize> = const { Cell::new(0) };
    }

    fn low() -> usize {
        let mut attributes: Attributes = [0; 16];
        let (mut low, mut size) = (std::ptr::null_mut(), 0);
        // SAFETY: the thread is the caller's own, all pointers are to locals of sufficient size, and what the first call
        // allocates is freed by the last.
        unsafe {
            if pthread_getattr_np(pthread_self(), &raw mut attributes) != 0 {
                return usize::MAX;
            }
            pthread_attr_getstack(&raw const attributes, &raw mut low, &raw mut size);
            pthread_attr_destroy(&raw mut attributes);
        }
        low as usize
    }

    #[inline(never)]
    pub fn release_stack() {
        if LOW.get() == 0 {
            LOW.set(low());
        }
        let page = if cfg!(target_arch = "x86_64") { SMALL_PAGE } else { PAGE };
        let marker = 0_u8;
        let here = (&raw const marker) as usize;
        // what this call and the one below use lies within a page below `here`
        let end = here.saturating_sub(page) / page * page;
        let start = LOW.get().div_ceil(page).saturating_mul(page);
        if start < end {
            // SAFETY: the range is a part of this thread's own stack, below every frame in use; nothing there is read again
            // before it is written. The stack grows down on every architecture that glibc supports for Rust.
            unsafe { madvise(std::ptr::with_exposed_provenance_mut(start), end - start, MADV_DONTNEED) };
        }
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

/// Returns the pages of this thread's stack that no call uses now. Not for the main thread.
pub fn release_stack() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::release_stack();
}

#[cfg(test)]
mod tests {
    /// The resident bytes of the calling thread's stack, roughly: those of the whole process.
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[inline(never)]
    fn deep() -> u8 {
        let mut bytes = [1_u8; 4 << 20];
        std::hint::black_box(&mut bytes);
        bytes[77]
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn what_a_deep_call_touched_is_returned_and_can_be_used_again() {
        let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(|| {
            let kept = std::hint::black_box([7_u8; 1000]);
            for _ in 0..3 {
                assert_eq!(deep(), 1);
                let before = resident();
                super::release_stack();
                assert!(resident() + (3 << 20) < before, "{} of {before} are left", resident());
                assert_eq!(kept, [7; 1000]);
            }
        });
        thread.unwrap().join().unwrap();
    }
}
