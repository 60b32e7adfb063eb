//! See `records::beginning`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| pelton_fuzz::records::beginning(bytes));
