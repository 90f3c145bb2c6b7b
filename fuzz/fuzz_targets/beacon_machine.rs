#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz_targets::beacon_machine(data));
