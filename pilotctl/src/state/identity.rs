//! The node's key on disk: `identity.json`, readable by its owner only.

use super::replace_file;
use crate::cli::{CliError, Kind, Result};
use data_encoding::BASE64;
use proto_core::crypto::Identity;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::{Zeroize, Zeroizing};

/// The format of the reference: 32 bytes of seed and the public key again, both in base64.
#[derive(Deserialize, Serialize)]
struct IdentityFile {
    private_key: String,
    public_key: String,
}

impl Drop for IdentityFile {
    fn drop(&mut self) {
        self.private_key.zeroize();
    }
}

/// Reads the identity at `path`, or makes one there.
pub(crate) fn load_or_create(path: &Path) -> Result<Identity> {
    match std::fs::metadata(path) {
        Ok(about) if about.permissions().mode() & 0o077 != 0 => {
            let message = format!("{} can be read by others: the key in it may be known", path.display());
            Err(CliError::new(Kind::PermissionDenied, message).hint("chmod 600 it, if you are sure that nobody did"))
        }
        Ok(_) => load(path),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let identity = new()?;
            save(path, &identity)?;
            Ok(identity)
        }
        Err(error) => Err(CliError::from(error).context(path.display())),
    }
}

/// A fresh identity, in memory only.
pub(crate) fn new() -> Result<Identity> {
    let seed =
        runtime_common::entropy::seed().map_err(|error| CliError::internal(format!("no randomness: {error}")))?;
    Ok(Identity::from_seed(seed))
}

fn save(path: &Path, identity: &Identity) -> Result<()> {
    let mut both = Zeroizing::new([0_u8; 64]);
    let (seed, public) = both.split_at_mut(32);
    seed.copy_from_slice(identity.seed().as_slice());
    public.copy_from_slice(identity.public().as_bytes());
    let file = IdentityFile {
        private_key: BASE64.encode(both.as_slice()),
        public_key: BASE64.encode(identity.public().as_bytes()),
    };
    let text = Zeroizing::new(serde_json::to_vec(&file).map_err(CliError::internal)?);
    Ok(replace_file(path, &text)?)
}

fn load(path: &Path) -> Result<Identity> {
    let broken = |what: &str| CliError::internal(format!("{}: {what}", path.display()));
    let text = Zeroizing::new(std::fs::read(path)?);
    let file: IdentityFile = serde_json::from_slice(&text).map_err(|_| broken("not an identity file"))?;
    let both = Zeroizing::new(BASE64.decode(file.private_key.as_bytes()).map_err(|_| broken("the key is not base64"))?);
    if both.len() != 64 {
        return Err(broken("the private key has not 64 bytes"));
    }
    let seed = both.first_chunk::<32>().ok_or_else(|| broken("the private key has not 64 bytes"))?;
    let identity = Identity::from_seed(*seed);
    let public = BASE64.encode(identity.public().as_bytes());
    if public != file.public_key || both.get(32..) != Some(identity.public().as_bytes().as_slice()) {
        return Err(broken("the public key does not belong to the private key"));
    }
    Ok(identity)
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/identity.md#pp-id-3
    //= type=test
    //# The key file is readable by its owner only.
    #[test]
    fn the_same_key_comes_back_and_a_readable_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.json");
        let made = load_or_create(&path).unwrap();
        let again = load_or_create(&path).unwrap();
        assert_eq!(made.public().as_bytes(), again.public().as_bytes());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(load_or_create(&path).err().map(|error| error.kind()), Some(Kind::PermissionDenied));
    }

    #[test]
    fn a_damaged_file_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("identity.json");
        replace_file(&path, b"{\"private_key\":\"AAAA\",\"public_key\":\"\"}").unwrap();
        assert!(load_or_create(&path).is_err());
        assert!(std::fs::read(&path).unwrap().starts_with(b"{\"private_key\":\"AAAA\""));
    }
}
