//! An allocator that counts what each thread takes; for tests.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static TAKEN: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, counted by thread.
pub struct Counting;

/// What a piece of work took from the heap.
#[derive(Debug, Clone, Copy)]
pub struct Use {
    /// The bytes of all its allocations, also of those that were given back.
    pub taken: usize,
    /// The most bytes that it held at any moment.
    pub peak: usize,
}

/// The result of `work`, and what it took in this thread. Counts only under `#[global_allocator]`.
pub fn used<T>(work: impl FnOnce() -> T) -> (T, Use) {
    let (taken, held) = (TAKEN.get(), HELD.get());
    MOST.set(held);
    let result = work();
    let peak = usize::try_from(MOST.get() - held).unwrap_or(0);
    (result, Use { taken: TAKEN.get() - taken, peak })
}

fn take(size: usize) {
    TAKEN.set(TAKEN.get().wrapping_add(size));
    HELD.set(HELD.get().wrapping_add_unsigned(size));
    MOST.set(MOST.get().max(HELD.get()));
}

fn give_back(size: usize) {
    HELD.set(HELD.get().wrapping_sub_unsigned(size));
}

// SAFETY: the system's allocator does the work; counters without destructors neither allocate nor panic
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        take(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        give_back(layout.size());
        unsafe { System.dealloc(memory, layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        take(size); // both may exist at the same time
        give_back(layout.size());
        unsafe { System.realloc(memory, layout, size) }
    }
}
