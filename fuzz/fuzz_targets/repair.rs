//! Fuzzes the repair of almost-JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| poe2openai_fuzz::repair(data));
