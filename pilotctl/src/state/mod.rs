//! What a daemon keeps on disk, where, and with which permissions.

mod compat;
mod config;
mod identity;
mod lock;
mod paths;
mod recording;
mod trust;

pub(crate) use compat::PidFile;
pub(crate) use config::{Settings, insecure_warnings};
pub(crate) use identity::{load_or_create as load_or_create_identity, new as new_identity};
pub(crate) use lock::Lock;
pub(crate) use paths::Paths;
pub(crate) use recording::{RecordingFile, warning as recording_warning};
pub(crate) use trust::TrustFile;

use crate::cli::{CliError, Result};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Makes a folder, and those above it, that only this user may enter.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        outcome => outcome,
    }
}

/// Makes the folder of a daemon's state, and shuts others out of one that they may enter.
pub(crate) fn state_dir(path: &Path) -> io::Result<()> {
    private_dir(path)?;
    if fs::metadata(path)?.permissions().mode() & 0o077 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// A token in a file that only its owner can read: on a command line every user of the machine would read it.
pub(crate) fn token(path: &Path) -> Result<String> {
    let named = |error: io::Error| CliError::from(error).context(path.display());
    if fs::metadata(path).map_err(named)?.permissions().mode() & 0o077 != 0 {
        let words = format!("{} can be read by others", path.display());
        return Err(CliError::usage(words).hint("chmod 600 it"));
    }
    let text = fs::read_to_string(path).map_err(named)?;
    let token = text.trim();
    if token.is_empty() { Err(CliError::usage(format!("{} is empty", path.display()))) } else { Ok(token.to_owned()) }
}

/// Replaces a file by `content`, whole or not at all: temporary file, fsync, rename, fsync of the folder.
pub(crate) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.tmp", std::process::id()));
    let temporary = folder.join(name);
    let written = write_new(&temporary, content).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    //= spec/identity.md#pp-id-3
    //# The key file is readable by its owner only.
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}
