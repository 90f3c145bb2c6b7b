//! Who trusts whom, across restarts: `trust.json`.

use super::replace_file;
use crate::cli::{CliError, Result};
use proto_core::trust::Snapshot;
use std::path::PathBuf;

/// The file, or none for a daemon that forgets.
#[derive(Clone, Debug)]
pub(crate) struct TrustFile(Option<PathBuf>);

impl TrustFile {
    pub(crate) fn at(path: PathBuf) -> Self {
        Self(Some(path))
    }

    /// Nothing is read or written.
    pub(crate) fn nowhere() -> Self {
        Self(None)
    }

    /// What was saved; `None` when nothing was. A damaged file is an error: to start without it would forget pins.
    pub(crate) fn load(&self) -> Result<Option<Snapshot>> {
        let Some(path) = &self.0 else { return Ok(None) };
        let text = match std::fs::read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(CliError::from(error).context(path.display())),
        };
        let snapshot = serde_json::from_slice(&text);
        snapshot.map(Some).map_err(|error| CliError::internal(format!("{}: {error}", path.display())))
    }

    /// Replaces what was saved, whole or not at all.
    pub(crate) fn save(&self, snapshot: &Snapshot) -> std::io::Result<()> {
        let Some(path) = &self.0 else { return Ok(()) };
        replace_file(path, &serde_json::to_vec_pretty(snapshot).map_err(std::io::Error::other)?)
    }
}
