//! See `checks::forwarded`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| penstock_fuzz::checks::forwarded(bytes));
