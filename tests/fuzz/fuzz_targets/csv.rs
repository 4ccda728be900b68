#![no_main]

use holdover_tests::fuzzing::csv;

libfuzzer_sys::fuzz_target!(|data: &[u8]| csv(data));
