//! Fuzzes the reader of Poe's events.
#![no_main]

mod heap;

use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;

fuzz_target!(|data: &[u8]| {
    let peak = heap::peak(|| poe2openai_fuzz::events(data));
    assert!(peak <= (64 << 10) + 512 * data.len(), "{peak} bytes of memory for {} of input", data.len());
});
