//! Where everything is: XDG folders, or their places under HOME.

use crate::cli::{CliError, Result};
use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// The places of one daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Paths {
    /// `config.toml`.
    pub(crate) config: PathBuf,
    /// Identity, trust, log, received files and messages.
    pub(crate) state: PathBuf,
    /// The socket.
    pub(crate) socket: PathBuf,
    /// `~/.pilot`, where the reference's clients read.
    pub(crate) compat: Option<PathBuf>,
}

impl Paths {
    /// The places of `instance`, or of the one daemon without a name; `socket` overrides the socket's.
    pub(crate) fn find(instance: Option<&str>, socket: Option<PathBuf>) -> Result<Self> {
        Self::from_environment(instance, socket, |name| env::var_os(name))
    }

    fn from_environment(
        instance: Option<&str>,
        socket: Option<PathBuf>,
        variable: impl Fn(&str) -> Option<OsString>,
    ) -> Result<Self> {
        let absolute = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let home = absolute("HOME");
        let under = |name: &str, fallback: &str| {
            absolute(name)
                .or_else(|| home.as_ref().map(|home| home.join(fallback)))
                .ok_or_else(|| CliError::usage(format!("neither {name} nor HOME says where to keep things")))
        };
        let mut config = under("XDG_CONFIG_HOME", ".config")?.join("pilot");
        let mut state = under("XDG_STATE_HOME", ".local/state")?.join("pilot");
        let mut name = "pilot".to_owned();
        if let Some(instance) = instance {
            check_name(instance)?;
            state = state.join("instances").join(instance);
            config = config.join("instances").join(instance);
            name = format!("pilot-{instance}");
        }
        let runtime = absolute("XDG_RUNTIME_DIR").map_or_else(|| state.clone(), |folder| folder.join("pilot"));
        let socket = socket.unwrap_or_else(|| runtime.join(format!("{name}.sock")));
        let compat = home.map(|home| home.join(".pilot"));
        Ok(Self { config: config.join("config.toml"), state, socket, compat })
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.state.join("identity.json")
    }

    pub(crate) fn trust(&self) -> PathBuf {
        self.state.join("trust.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.state.join("daemon.lock")
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.state.join("daemon.log")
    }
}

/// A name that is one path component and nothing else.
fn check_name(instance: &str) -> Result<()> {
    let plain = instance.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    if plain && (1..=64).contains(&instance.len()) {
        return Ok(());
    }
    Err(CliError::usage("an instance name is 1 to 64 letters, digits, hyphens and underscores"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(instance: Option<&str>, variables: &[(&str, &str)]) -> Result<Paths> {
        let lookup = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        Paths::from_environment(instance, None, lookup)
    }

    #[test]
    fn home_is_enough_and_xdg_wins() {
        let paths = find(None, &[("HOME", "/h")]).unwrap();
        assert_eq!(paths.socket, PathBuf::from("/h/.local/state/pilot/pilot.sock"));
        let paths =
            find(Some("b"), &[("HOME", "/h"), ("XDG_RUNTIME_DIR", "/run/1"), ("XDG_STATE_HOME", "/s")]).unwrap();
        assert_eq!(paths.socket, PathBuf::from("/run/1/pilot/pilot-b.sock"));
        assert_eq!(paths.identity(), PathBuf::from("/s/pilot/instances/b/identity.json"));
    }

    #[test]
    fn an_instance_cannot_leave_its_folder() {
        assert!(find(Some("../x"), &[("HOME", "/h")]).is_err());
        assert!(find(Some(""), &[("HOME", "/h")]).is_err());
        assert!(find(None, &[]).is_err());
    }
}
