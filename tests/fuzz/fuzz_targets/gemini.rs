//! `cofferdam::llm::fuzz::gemini` for libFuzzer, which has a `main` of its own.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cofferdam::llm::fuzz::gemini(input));
