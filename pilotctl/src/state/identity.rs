//! The node's key on disk: `identity.json`, readable by its owner only, and beside it the key that is to replace it.

use super::{replace_file, sync_folder};
use crate::cli::{CliError, Kind, Result};
use data_encoding::BASE64;
use proto_core::crypto::{Identity, PublicKey};
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
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

/// Where a daemon keeps its key; nowhere for one that forgets.
#[derive(Clone, Debug)]
pub(crate) struct KeyFile(Option<PathBuf>);

impl KeyFile {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(Some(path))
    }

    /// Every start makes another key.
    pub(crate) fn nowhere() -> Self {
        Self(None)
    }

    /// The identity, made if there is none.
    pub(crate) fn load(&self) -> Result<Identity> {
        self.0.as_deref().map_or_else(new, load_or_create)
    }

    /// The identity to which a rotation was begun whose end nobody heard.
    pub(crate) fn successor(&self) -> Result<Option<Identity>> {
        let path = self.successor_path().filter(|path| path.exists());
        path.map(|path| load(&path)).transpose()
    }

    /// The identity to rotate to. It is kept before the registry hears of it: a key that only the registry has is lost.
    pub(crate) fn prepare(&self) -> Result<Identity> {
        self.successor_path().as_deref().map_or_else(new, load_or_create)
    }

    /// `key` is the node's from now on.
    pub(crate) fn promote(&self, key: PublicKey) -> Result<()> {
        let (Some(path), Some(next)) = (&self.0, self.successor_path()) else { return Ok(()) };
        if self.successor()?.is_some_and(|successor| successor.public() == key) {
            match std::fs::rename(next, path) {
                // Somebody else of this daemon was quicker.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                outcome => outcome?,
            }
            sync_folder(path)?;
        }
        Ok(())
    }

    /// The registry refused the successor.
    pub(crate) fn discard(&self) {
        if let Some(next) = self.successor_path() {
            let _ = std::fs::remove_file(next);
        }
    }

    fn successor_path(&self) -> Option<PathBuf> {
        self.0.as_ref().map(|path| path.with_extension("next.json"))
    }
}

/// Reads the identity at `path`, or makes one there.
fn load_or_create(path: &Path) -> Result<Identity> {
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
fn new() -> Result<Identity> {
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
    fn a_successor_waits_beside_the_key_until_it_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFile::at(folder.path().join("identity.json"));
        let first = keys.load().unwrap().public();
        assert!(keys.successor().unwrap().is_none());
        let next = keys.prepare().unwrap().public();
        assert_eq!(keys.prepare().unwrap().public(), next, "one that may be the registry's already is not replaced");
        assert_eq!(keys.successor().unwrap().map(|successor| successor.public()), Some(next));
        keys.promote(first).unwrap();
        assert_eq!(keys.load().unwrap().public(), first, "another key than the successor's changes nothing");
        keys.promote(next).unwrap();
        assert_eq!(keys.load().unwrap().public(), next);
        assert!(keys.successor().unwrap().is_none());
        assert_ne!(keys.prepare().unwrap().public(), next);
        keys.discard();
        assert!(keys.successor().unwrap().is_none());
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
