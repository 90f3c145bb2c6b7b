//! What the reference's clients look for: a socket where they expect it, and `~/.pilot` with inbox, received files and
//! the daemon's process number. Off unless asked for; two daemons of one user would share the folder.

use super::{private_dir, replace_file};
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// Where the reference's clients look for a daemon that was not named.
const SOCKET: &str = "/tmp/pilot.sock";

/// `ipc.compat_socket`: on, or where.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum CompatSocket {
    Switch(bool),
    At(PathBuf),
}

impl CompatSocket {
    /// Of `--compat-socket` or `--compat-socket=PATH`.
    pub(super) fn of_flag(flag: Option<&PathBuf>) -> Self {
        flag.cloned().map_or(Self::Switch(true), Self::At)
    }

    /// The second socket, if there is to be one.
    pub(super) fn path(self) -> Option<PathBuf> {
        match self {
            Self::Switch(on) => on.then(|| PathBuf::from(SOCKET)),
            Self::At(path) => Some(path),
        }
    }
}

/// `~/.pilot/pilot.pid`: with it the reference's `daemon stop` finds this process.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    /// Writes this process's number into `home`.
    pub(crate) fn write(home: &Path) -> io::Result<Self> {
        private_dir(home)?;
        let path = home.join("pilot.pid");
        replace_file(&path, std::process::id().to_string().as_bytes())?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let ours = std::fs::read_to_string(&self.0).is_ok_and(|text| text.trim() == std::process::id().to_string());
        if ours {
            let _ = std::fs::remove_file(&self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_another_daemon_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pilot.pid");
        let file = PidFile::write(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), std::process::id().to_string());
        std::fs::write(&path, "1").unwrap();
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1");
        drop(PidFile::write(folder.path()).unwrap());
        assert!(!path.exists());
    }
}
