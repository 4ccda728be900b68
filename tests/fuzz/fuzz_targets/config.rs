#![no_main]

use holdover_tests::fuzzing::config;

libfuzzer_sys::fuzz_target!(|data: &[u8]| config(data));
