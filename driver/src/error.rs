//! What can go wrong between a program and its daemon, and which kind of failure a daemon's words mean.
//!
//! The IPC protocol has one error code for everything (PP-IPC-4), so the kind is read from the words;
//! the daemon writes its words with [`ErrorKind::of_text`] in mind and tests hold the two together.

use std::io;

/// The kinds of failure a caller may want to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request was malformed.
    InvalidArgument,
    /// No such name, node, connection or file.
    NotFound,
    /// No daemon answers.
    NotRunning,
    /// No answer in time.
    Timeout,
    /// The peer refused, or no path leads to it.
    ConnectionFailed,
    /// Not trusted, or not allowed.
    PermissionDenied,
    /// The port, name or file is taken.
    AlreadyExists,
    /// Anything else.
    Internal,
}

/// Words that decide the kind; the first match wins, so the specific ones come first.
const PHRASES: &[(&str, ErrorKind)] = &[
    ("not registered", ErrorKind::ConnectionFailed),
    ("registry unavailable", ErrorKind::ConnectionFailed),
    ("does not trust", ErrorKind::PermissionDenied),
    ("not trusted", ErrorKind::PermissionDenied),
    ("denied", ErrorKind::PermissionDenied),
    ("permission", ErrorKind::PermissionDenied),
    ("identity key", ErrorKind::PermissionDenied),
    ("not yours", ErrorKind::PermissionDenied),
    ("not found", ErrorKind::NotFound),
    ("no pending", ErrorKind::NotFound),
    ("no such", ErrorKind::NotFound),
    ("unknown connection", ErrorKind::NotFound),
    ("already", ErrorKind::AlreadyExists),
    ("timeout", ErrorKind::Timeout),
    ("timed out", ErrorKind::Timeout),
    ("refused", ErrorKind::ConnectionFailed),
    ("unreachable", ErrorKind::ConnectionFailed),
    ("no answer", ErrorKind::ConnectionFailed),
    ("reset", ErrorKind::ConnectionFailed),
    ("missing", ErrorKind::InvalidArgument),
    ("invalid", ErrorKind::InvalidArgument),
    ("unknown command", ErrorKind::InvalidArgument),
    ("not supported", ErrorKind::InvalidArgument),
];

impl ErrorKind {
    /// The kind a daemon's words mean. What stands between quotes is a name that somebody chose, and decides nothing.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let text = text.split('"').step_by(2).collect::<Vec<_>>().join("\"\"").to_ascii_lowercase();
        PHRASES.iter().find(|(phrase, _)| text.contains(phrase)).map_or(Self::Internal, |(_, kind)| *kind)
    }
}

/// Why a call through the daemon failed.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    /// Nothing listens on the socket.
    #[error("no daemon answers on {path}")]
    NotRunning {
        /// The socket that was tried.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The daemon said no, in its words.
    #[error("{0}")]
    Daemon(String),
    /// No answer in time.
    #[error("timed out waiting for an answer")]
    Timeout,
    /// The connection to the daemon ended.
    #[error("the daemon closed the connection")]
    Disconnected,
    /// The daemon sent something that is not the protocol.
    #[error("the daemon sent {0}")]
    Protocol(&'static str),
    /// The local socket failed.
    #[error("local socket: {0}")]
    Io(#[from] io::Error),
}

impl DriverError {
    /// The daemon does not know the request at all.
    #[must_use]
    pub fn is_unknown_command(&self) -> bool {
        let unknown = |text: &String| text.contains("unknown command") || text.contains("unknown sub-command");
        matches!(self, Self::Daemon(text) if unknown(text))
    }

    /// The kind of this failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotRunning { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                ErrorKind::PermissionDenied
            }
            Self::NotRunning { .. } | Self::Disconnected => ErrorKind::NotRunning,
            Self::Timeout => ErrorKind::Timeout,
            Self::Daemon(text) => ErrorKind::of_text(text),
            Self::Io(refused) if refused.kind() == io::ErrorKind::InvalidInput => ErrorKind::InvalidArgument,
            Self::Protocol(_) | Self::Io(_) => ErrorKind::Internal,
        }
    }
}

impl From<DriverError> for io::Error {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Io(inner) => inner,
            DriverError::Disconnected => Self::new(io::ErrorKind::ConnectionAborted, error),
            DriverError::Timeout => Self::new(io::ErrorKind::TimedOut, error),
            DriverError::NotRunning { .. } | DriverError::Daemon(_) | DriverError::Protocol(_) => Self::other(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_does_not_decide_the_kind() {
        for name in ["denied-x", "already", "timeout", "reset-1"] {
            let text = format!("find: registry: hostname \"{name}\" not found");
            assert_eq!(ErrorKind::of_text(&text), ErrorKind::NotFound, "{text}");
        }
        let taken = "set_hostname: registry: hostname \"not found\" already in use by node 2";
        assert_eq!(ErrorKind::of_text(taken), ErrorKind::AlreadyExists);
        assert_eq!(ErrorKind::of_text("dial: resolve denied: node 2 is private"), ErrorKind::PermissionDenied);
    }
}
