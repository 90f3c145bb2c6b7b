//! To be written.
/// Trust.
#[derive(Debug)]
pub struct Snapshot;
