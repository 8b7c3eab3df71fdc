//! Fuzzes the decoder of requests for legacy completions.
#![no_main]

mod heap;

use libfuzzer_sys::fuzz_target;

#[global_allocator]
static HEAP: heap::Counted = heap::Counted;

fuzz_target!(|data: &[u8]| {
    let peak = heap::peak(|| poe2openai_fuzz::completions_request(data));
    assert!(peak <= (256 << 10) + 1024 * data.len(), "{peak} bytes of memory for {} of input", data.len());
});
