//! Corpora as files: one text file per target, one input per line in hex. libFuzzer wants a folder of files instead, so they are packed and unpacked.

use data_encoding::HEXLOWER;
use proto_core::wire::{Capabilities, Options};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of a committed corpus file at most.
pub const MAX_FILE: u64 = 32 * 1024;
/// Longer seeds are of no use to a mutator.
const MAX_SEED: usize = 1024;

pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The committed corpus of `target`.
#[must_use]
pub fn file_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(format!("{target}.txt"))
}

/// The inputs in a corpus file; lines that begin with `#` are remarks.
///
/// # Errors
/// The file's, and `InvalidData` for a line that is not hex.
pub fn read(path: &Path) -> io::Result<Vec<Vec<u8>>> {
    let text = std::fs::read_to_string(path)?;
    let decode = |line: &str| {
        HEXLOWER
            .decode(line.as_bytes())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display())))
    };
    text.lines().filter(|line| !line.starts_with('#')).map(decode).collect()
}

/// Writes every input of the committed corpus of `target` as a file of its own into `folder`.
///
/// # Errors
/// The file system's.
pub fn unpack(target: &str, folder: &Path) -> io::Result<usize> {
    let inputs = match read(&file_of(target)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        inputs => inputs?,
    };
    write_all(&inputs.into_iter().collect(), folder)
}

/// Puts all files of `folder` into the committed corpus of `target`, shortest first as far as [`MAX_FILE`] allows; remarks and what they stand above stay.
///
/// # Errors
/// The file system's.
pub fn pack(target: &str, folder: &Path) -> io::Result<usize> {
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        inputs.push(std::fs::read(entry?.path())?);
    }
    inputs.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    inputs.dedup();
    let kept = std::fs::read_to_string(file_of(target)).unwrap_or_default();
    let mut text = regressions(&kept);
    let mut packed = 0;
    for input in inputs {
        let line = HEXLOWER.encode(&input);
        if text.len() as u64 + line.len() as u64 + 1 > MAX_FILE || text.lines().any(|known| known == line) {
            continue;
        }
        text.push_str(&line);
        text.push('\n');
        packed += 1;
    }
    std::fs::write(file_of(target), text)?;
    Ok(packed)
}

/// Each remark and the line below it: an input kept for a reason.
fn regressions(text: &str) -> String {
    let mut kept = String::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            for kept_line in [Some(line), lines.next()].into_iter().flatten() {
                kept.push_str(kept_line);
                kept.push('\n');
            }
        }
    }
    kept
}

/// Writes seeds for every target into a folder of its name below `folder`: whatever the published vectors and recorded conversations contain as bytes or text,
/// as it is and behind the few bytes that some targets take first.
///
/// # Errors
/// The file system's, and `InvalidData` for a file that is not JSON.
pub fn seed(folder: &Path) -> io::Result<usize> {
    let data = repository().join("conformance/data");
    let mut files = vec![data.join("vectors.json")];
    for entry in std::fs::read_dir(data.join("transcripts"))? {
        files.push(entry?.path());
    }
    let mut found = BTreeSet::new();
    for path in files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "json")) {
        let value: Value = serde_json::from_str(&std::fs::read_to_string(path)?)?;
        collect(&value, &mut found);
    }
    found.insert(
        Options { capabilities: Capabilities::RELAY_FIRST, max_segment: 1152, window_shift: 7 }.to_bytes().to_vec(),
    );
    // A frame behind the sender it names, as it arrives from a relay.
    let relayed: Vec<_> = found.iter().filter(|seed| seed.starts_with(b"PIL") && seed.len() > 8).cloned().collect();
    found.extend(relayed.iter().map(|frame| [&frame[4..8], &[0, 0, 0, 9], frame].concat()));
    let runs = read(&file_of("endpoint_raw")).unwrap_or_default();
    let recordings = runs.iter().step_by(40).map(|run| crate::endpoint::recorded(run)).collect();
    let mut written = write_all(&recordings, &folder.join("recording"))?;
    for (target, _) in crate::TARGETS.iter().filter(|(target, _)| *target != "recording") {
        let inputs = found.iter().map(|seed| [prefix(target), seed].concat()).collect();
        written += write_all(&inputs, &folder.join(target))?;
    }
    Ok(written)
}

fn collect(value: &Value, found: &mut BTreeSet<Vec<u8>>) {
    match value {
        Value::String(text) => {
            let bytes = HEXLOWER.decode(text.as_bytes()).unwrap_or_else(|_| text.clone().into_bytes());
            // A frame of the local socket or of the registry begins with its length.
            let body = bytes.get(4..).filter(|_| bytes.first() == Some(&0)).map(<[u8]>::to_vec);
            found.extend([Some(bytes), body].into_iter().flatten().filter(|seed| seed.len() <= MAX_SEED));
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        Value::Object(fields) => {
            fields.values().for_each(|field| collect(field, found));
            let text = value.to_string().into_bytes();
            found.extend(Some(text).filter(|seed| seed.len() <= MAX_SEED));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a target decides by before it looks at a message.
fn prefix(target: &str) -> &'static [u8] {
    match target {
        "registry_frames" => &[15],
        "registry_envelope" => &[1; 17],
        "registry_machine" => &[0xE0, 4, 0],
        "endpoint_raw" => &[0x10, 0, 6, 255],
        "endpoint_real" => &[0, 13, 255],
        "beacon_machine" => &[0, 1, 255],
        _ => &[],
    }
}

fn write_all(inputs: &BTreeSet<Vec<u8>>, folder: &Path) -> io::Result<usize> {
    std::fs::create_dir_all(folder)?;
    for (number, input) in inputs.iter().enumerate() {
        std::fs::write(folder.join(format!("{number:05}")), input)?;
    }
    Ok(inputs.len())
}
