//! A recording on disk: a new file, readable by its owner only.

use crate::cli::{CliError, Kind, Result};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A file that grows while an agent runs.
#[derive(Debug)]
pub(crate) struct RecordingFile {
    /// Gone after a failed write: what follows a gap is worth nothing.
    file: Option<File>,
}

impl RecordingFile {
    /// Bytes of a recording at most.
    pub(crate) const LIMIT: u64 = 256 * 1024 * 1024;

    /// Makes the file; one that exists is left alone.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Ok(file) => Ok(Self { file: Some(file) }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let message = format!("{} exists: a recording goes into a new file", path.display());
                Err(CliError::new(Kind::AlreadyExists, message))
            }
            Err(error) => Err(CliError::from(error).context(path.display())),
        }
    }

    /// Appends `bytes`, and gives up at the first failure.
    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if let Some(Err(error)) = self.file.as_mut().map(|file| file.write_all(bytes)) {
            tracing::error!(%error, "the recording cannot be written and ends here");
            self.file = None;
        }
    }
}

/// What everybody should hear who makes one.
pub(crate) fn warning(path: &Path) -> String {
    format!(
        "RECORDING: {} will hold this agent's private key and everything it says and hears; whoever has it is this agent. Show it to nobody, and delete it",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_recording_is_private_and_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.rec");
        let mut file = RecordingFile::create(&path).unwrap();
        file.append(b"one");
        file.append(b"two");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(RecordingFile::create(&path).err().map(|error| error.kind()), Some(Kind::AlreadyExists));
        assert_eq!(std::fs::read(&path).unwrap(), b"onetwo");
    }
}
