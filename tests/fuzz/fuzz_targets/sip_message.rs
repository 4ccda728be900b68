#![no_main]

use holdover_protocol::fuzzing::sip_message;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sip_message(data));
