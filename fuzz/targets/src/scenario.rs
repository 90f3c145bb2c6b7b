//! The simulator's interpreter: bytes decide who is where and what happens to the network and its hosts.

/// Safety after every step and liveness when all is well again, as the interpreter judges them.
pub fn scenario(data: &[u8]) {
    if let Err(failure) = sim::scenario::run(data) {
        panic!("{failure}");
    }
}
