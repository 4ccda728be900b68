#![no_main]

use holdover_protocol::fuzzing::xccos;

libfuzzer_sys::fuzz_target!(|data: &[u8]| xccos(data));
