//! Fuzzes the thinking splitter.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| poe2openai_fuzz::thinking(data));
