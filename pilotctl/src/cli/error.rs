//! What a person or a script learns when something did not work: a code, a sentence, a hint and an exit status.

use driver::services::SendError;
use driver::{DriverError, ErrorKind};
use serde_json::Value;
use std::fmt;
use std::io;

/// A failure of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CliError {
    kind: Kind,
    message: String,
    hint: Option<String>,
    found: Option<Value>,
}

/// The kinds of failure; their exit statuses are an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Internal,
    InvalidArgument,
    NotRunning,
    NotFound,
    PermissionDenied,
    Timeout,
    ConnectionFailed,
    AlreadyExists,
    /// It works, but not as it should: `netcheck`.
    Degraded,
    Interrupted,
}

pub(crate) type Result<T> = std::result::Result<T, CliError>;

impl Kind {
    /// Exit status (design: an API).
    pub(crate) const fn exit_status(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::InvalidArgument => 2,
            Self::NotRunning => 3,
            Self::NotFound => 4,
            Self::PermissionDenied => 5,
            Self::Timeout => 6,
            Self::ConnectionFailed => 7,
            Self::AlreadyExists => 8,
            Self::Degraded => 9,
            Self::Interrupted => 130,
        }
    }

    /// The `code` of the JSON envelope.
    pub(crate) const fn code(self) -> &'static str {
        match self {
            Self::Internal | Self::Interrupted => "internal",
            // Told by the exit status alone, beside an ordinary result.
            Self::Degraded => "degraded",
            Self::InvalidArgument => "invalid_argument",
            Self::NotRunning => "not_running",
            Self::NotFound => "not_found",
            Self::PermissionDenied => "permission_denied",
            Self::Timeout => "timeout",
            Self::ConnectionFailed => "connection_failed",
            Self::AlreadyExists => "already_exists",
        }
    }
}

impl CliError {
    pub(crate) fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self { kind, message: message.to_string(), hint: None, found: None }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Kind::InvalidArgument, message)
    }

    pub(crate) fn internal(message: impl fmt::Display) -> Self {
        Self::new(Kind::Internal, message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert(hint.into());
        self
    }

    pub(crate) fn context(mut self, what: impl fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// What was found out nevertheless; `data` of the JSON envelope.
    pub(crate) fn with_data(mut self, data: Value) -> Self {
        self.found = Some(data);
        self
    }

    pub(crate) fn found(&self) -> Option<&Value> {
        self.found.as_ref()
    }

    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }
}

impl From<ErrorKind> for Kind {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument => Self::InvalidArgument,
            ErrorKind::NotFound => Self::NotFound,
            ErrorKind::NotRunning => Self::NotRunning,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::ConnectionFailed => Self::ConnectionFailed,
            ErrorKind::PermissionDenied => Self::PermissionDenied,
            ErrorKind::AlreadyExists => Self::AlreadyExists,
            ErrorKind::Internal => Self::Internal,
        }
    }
}

impl From<DriverError> for CliError {
    fn from(error: DriverError) -> Self {
        let kind = Kind::from(error.kind());
        if error.is_unknown_command() {
            return Self::new(kind, "the daemon that answers on this socket cannot do that").hint(
                "it is of another implementation or an older version; `pilotctl daemon start` runs one that can",
            );
        }
        let made = Self::new(kind, &error);
        if kind == Kind::NotRunning {
            made.hint("start it with `pilotctl daemon start`")
        } else if kind == Kind::PermissionDenied {
            made.hint("trust must be given on both sides: `pilotctl trust add PEER`")
        } else {
            made
        }
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        let kind = if error.kind() == io::ErrorKind::NotFound {
            Kind::NotFound
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            Kind::PermissionDenied
        } else if error.kind() == io::ErrorKind::ConnectionReset {
            Kind::ConnectionFailed
        } else {
            Kind::Internal
        };
        Self::new(kind, error)
    }
}

impl From<SendError> for CliError {
    fn from(error: SendError) -> Self {
        let kind = match &error {
            SendError::Timeout => Kind::Timeout,
            SendError::Io(_) | SendError::Refused(_) | SendError::NotAcknowledged => Kind::ConnectionFailed,
        };
        Self::new(kind, error)
    }
}
