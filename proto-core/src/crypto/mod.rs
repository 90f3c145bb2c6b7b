//! To be written.
/// Identity.
#[derive(Debug)]
pub struct Identity;
/// Provider.
#[derive(Debug)]
pub struct CryptoProvider;
