//! One file on its way in: bytes in order, a digest as they come, and where to go on after a cut.

use sha2::{Digest, Sha256};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file that is not complete yet.
#[derive(Debug)]
pub(crate) struct Transfer {
    path: PathBuf,
    name: String,
    file: File,
    digest: Sha256,
    offset: u64,
    size: u64,
    sha256: [u8; 32],
}

impl Transfer {
    /// Opens the partial file at `path`, reading what an earlier attempt left.
    pub(super) fn open(path: PathBuf, name: String, size: u64, sha256: [u8; 32]) -> io::Result<Self> {
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        let (digest, offset) = digest_of(&mut file)?;
        let mut transfer = Self { path, name, file, digest, offset, size, sha256 };
        if transfer.offset > size {
            transfer.restart()?;
        }
        Ok(transfer)
    }

    /// Everything before this is there.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds bytes; those before the offset are there already, those beyond it come too early and are refused.
    pub(super) fn write(&mut self, at: u64, data: &[u8]) -> Result<(), &'static str> {
        let skip = self.offset.checked_sub(at).ok_or("a chunk is missing before this one")?;
        let Some(new) = usize::try_from(skip).ok().and_then(|skip| data.get(skip..)) else { return Ok(()) };
        let end = self.offset.saturating_add(u64::try_from(new.len()).unwrap_or(u64::MAX));
        if end > self.size {
            return Err("more bytes than announced");
        }
        self.file.write_all(new).map_err(|_| "the receiver cannot write")?;
        self.digest.update(new);
        self.offset = end;
        Ok(())
    }

    /// Whether all is there and right; what is wrong is forgotten, so that the next attempt starts anew.
    pub(super) fn verify(&mut self) -> Result<(), &'static str> {
        if self.offset != self.size {
            return Err("the file is incomplete");
        }
        //= spec/services.md#pp-svc-9
        //# A streamed file counts as received only when its SHA-256 is the announced one.
        if self.digest.clone().finalize().as_slice() != self.sha256 {
            let _ = self.restart();
            return Err("the digest does not match");
        }
        self.file.sync_all().map_err(|_| "the receiver cannot write")
    }

    fn restart(&mut self) -> io::Result<()> {
        use std::io::Seek;
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.digest = Sha256::new();
        self.offset = 0;
        Ok(())
    }
}

/// The digest and length of a file, read from where it stands to its end.
pub(crate) fn digest_of(file: &mut impl Read) -> io::Result<(Sha256, u64)> {
    let mut digest = Sha256::new();
    let mut length = 0;
    let mut buffer = vec![0; 256 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((digest, length));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
        length += u64::try_from(read).unwrap_or(0);
    }
}
