//! See `negotiation::conditions`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_fuzz::negotiation::conditions(bytes));
