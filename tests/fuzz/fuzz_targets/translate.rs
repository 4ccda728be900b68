#![no_main]

use holdover_protocol::fuzzing::translate;

libfuzzer_sys::fuzz_target!(|data: &[u8]| translate(data));
