//! Decides where randomness comes from: the operating system, once per endpoint.
//! Refuses to know what it is used for.

use std::io;

/// 32 bytes of the operating system's randomness, the seed of one endpoint.
///
/// # Errors
///
/// When the system has no source of randomness; nothing may run then.
pub fn seed() -> io::Result<[u8; 32]> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    #[test]
    fn seeds_differ() {
        assert_ne!(super::seed().unwrap(), super::seed().unwrap());
    }
}
