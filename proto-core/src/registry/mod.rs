//! To be written.
/// Programs whose registered version begins so are of this implementation.
pub const OUR_VERSION_PREFIX: &str = "pilot-rs/";
/// A request.
#[derive(Debug)]
pub struct Request;
