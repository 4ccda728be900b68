#![no_main]

use holdover_protocol::fuzzing::sip_stream;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sip_stream(data));
