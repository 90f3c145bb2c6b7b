//! What all cases use: the program of ours, built once, and the reference's versions, unpacked once.

use crate::wheels;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Programs, by their path.
#[derive(Debug)]
pub(crate) struct Equipment {
    pilotctl: PathBuf,
    kits: BTreeMap<String, Kit>,
}

/// One version of the reference, unpacked for this run. Dropped, it is gone.
#[derive(Debug)]
pub(crate) struct Kit {
    version: String,
    folder: TempDir,
}

impl Equipment {
    /// Builds and unpacks; fails the run with a remedy where that is not possible.
    pub(crate) fn get(versions: &[String]) -> Self {
        let kits = versions.iter().map(|version| (version.clone(), Kit::unpack(version))).collect();
        Self { pilotctl: build(), kits }
    }

    /// Our program.
    pub(crate) fn pilotctl(&self) -> &Path {
        &self.pilotctl
    }

    /// A version of the reference.
    pub(crate) fn kit(&self, version: &str) -> &Kit {
        &self.kits[version]
    }
}

impl Kit {
    fn unpack(version: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        wheels::unpack(version, folder.path());
        let kit = Self { version: version.to_owned(), folder };
        for name in ["pilot-daemon", "pilotctl"] {
            executable(&kit.program(name));
        }
        kit
    }

    /// One of its programs.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.path().join("pilotprotocol/bin").join(name)
    }

    /// The folder in which Python finds its package.
    pub(crate) fn python_path(&self) -> &Path {
        self.folder.path()
    }

    /// Whether it is `version` or later.
    pub(crate) fn is_at_least(&self, version: &str) -> bool {
        at_least(&self.version, version)
    }
}

/// Whether `version` is `least` or later.
pub(crate) fn at_least(version: &str, least: &str) -> bool {
    let numbers = |text: &str| text.split('.').map(|part| part.parse().unwrap_or(0)).collect::<Vec<u32>>();
    numbers(version) >= numbers(least)
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    let made = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700));
    made.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Builds our program with the profile and into the folder of this test program.
fn build() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder = this.ancestors().nth(2).expect("a test program lies in PROFILE/deps");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--package", "pilotctl", "--profile", profile]);
    cargo.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"));
    cargo.arg("--target-dir").arg(folder.parent().unwrap());
    let status = cargo.status().expect("cargo runs");
    assert!(status.success(), "cannot build pilotctl");
    folder.join("pilotctl")
}
