//! Where the reference comes from: its package index, once, into a cache outside the tree, by pinned hashes.
//!
//! Decides which versions are wanted and that what is used is what was pinned. A version that was published after the pins
//! were written is taken on the index's word, and its hash is said, as a line that pins it: it was named for this run, it
//! runs where there is no way out, and only a person can judge it. Knows nothing of what is inside.

use lab::noise;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The versions that every case runs with unless told otherwise.
pub(crate) const DEFAULT: [&str; 2] = ["1.9.1", "1.18.0"];

/// Every published version's wheel for Linux x86_64 and its hash, in pip's words.
const PINS: &str = include_str!("../../reference/wheels.txt");
/// What these wheels are built for, whichever Python asks.
const PLATFORM: [&str; 11] = [
    "--only-binary=:all:",
    "--implementation=cp",
    "--python-version=3.11",
    "--abi=cp311",
    "--abi=none",
    "--platform=manylinux_2_34_x86_64",
    "--platform=manylinux_2_35_x86_64",
    "--no-deps",
    "--disable-pip-version-check",
    "--progress-bar=off",
    "--quiet",
];

/// The versions that `PILOT_REFERENCE_VERSIONS` names, separated by commas.
pub(crate) fn wanted() -> Vec<String> {
    match std::env::var("PILOT_REFERENCE_VERSIONS") {
        Ok(list) => {
            let versions: Vec<String> = list.split(',').map(|version| version.trim().to_owned()).collect();
            for version in &versions {
                assert!(is_number(version), "`{version}` in PILOT_REFERENCE_VERSIONS is no version number");
            }
            versions
        }
        Err(_) => DEFAULT.map(str::to_owned).to_vec(),
    }
}

/// Numbers between dots, and nothing that pip would take for something else.
fn is_number(version: &str) -> bool {
    version.split('.').all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Unpacks a version into `folder`, from the cache or from the index. The hash of a pinned one is verified every time.
pub(crate) fn unpack(version: &str, folder: &Path) {
    let pin = pin(version);
    let cache = cache();
    fs::create_dir_all(&cache).unwrap_or_else(|error| panic!("cannot make {}: {error}", cache.display()));
    // Held until the wheel is unpacked: another run must not replace it meanwhile.
    let lock = File::create(cache.join("lock")).expect("the cache can be written");
    lock.lock().expect("a lock on the cache");
    let wheel = cache.join(format!("pilotprotocol-{version}.whl"));
    match pin {
        Some((line, hash)) if !wheel.exists() || noise::digest(&wheel) != hash => {
            download(line, &["--require-hashes"], &wheel);
            assert_eq!(noise::digest(&wheel), hash, "{} is not what is pinned", wheel.display());
        }
        Some(_) => {}
        None => {
            let requirement = format!("pilotprotocol=={version}");
            // Anew every time: what nobody has pinned is not believed because it lies in the cache.
            download(&requirement, &[], &wheel);
            let hash = noise::digest(&wheel);
            println!(
                "not pinned; to pin it, add to conformance/reference/wheels.txt: {requirement} --hash=sha256:{hash}"
            );
        }
    }
    // Python's own unpacker follows no path out of the folder and no link.
    let mut unpacking = Command::new("python3");
    unpacking.args(["-m", "zipfile", "-e"]).arg(&wheel).arg(folder).stdout(Stdio::null());
    let status = unpacking.status().expect("python3 is installed");
    assert!(status.success(), "cannot unpack {}", wheel.display());
}

/// The pinned line of a version, and the hash in it.
fn pin(version: &str) -> Option<(&'static str, &'static str)> {
    PINS.lines().find_map(|line| {
        let (name, hash) = line.split_once(" --hash=sha256:")?;
        (name.strip_prefix("pilotprotocol==")? == version).then_some((line, hash))
    })
}

/// Through a folder beside the final place, so that an interrupted download leaves nothing that looks whole.
fn download(line: &str, options: &[&str], wheel: &Path) {
    let folder = tempfile::tempdir_in(wheel.parent().unwrap()).unwrap();
    let wanted = folder.path().join("wanted.txt");
    fs::write(&wanted, line).unwrap();
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "download"])
        .args(PLATFORM)
        .args(options)
        .arg("--requirement")
        .arg(&wanted)
        .arg("--dest")
        .arg(folder.path());
    let outcome = pip.output().expect("python3 is installed");
    let remedy = "the cases need the published reference: install python3 with pip and let it reach the package index, or \
                  copy the wheel to the place named below (PILOT_REFERENCE_CACHE moves it)";
    assert!(outcome.status.success(), "{remedy}\n{}\n{}", wheel.display(), String::from_utf8_lossy(&outcome.stderr));
    let entries = fs::read_dir(folder.path()).unwrap().flatten().map(|entry| entry.path());
    let fetched = entries.into_iter().find(|path| path.extension().is_some_and(|end| end == "whl"));
    fs::rename(fetched.expect("pip has put a wheel there"), wheel).unwrap();
}

/// `$PILOT_REFERENCE_CACHE`, else a folder in the user's cache.
fn cache() -> PathBuf {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    variable("PILOT_REFERENCE_CACHE").unwrap_or_else(|| {
        let user = variable("XDG_CACHE_HOME").or_else(|| variable("HOME").map(|home| home.join(".cache")));
        user.expect("HOME, XDG_CACHE_HOME or PILOT_REFERENCE_CACHE says where to keep wheels").join("pilot-reference")
    })
}
