//! What peers send, on disk: messages in `inbox/`, files in `received/`.
//!
//! Decides names, permissions and how much is kept. A name from the network is never a path: only its last component,
//! cleaned, is used, and nothing that exists is ever opened for writing.

use super::exchange::Wrapping;
use super::transfer::Transfer;
use driver::services::exchange::MessageKind;
use driver::services::filestream::TransferId;
use proto_core::NodeId;
use proto_core::wire::Address;
use serde_json::json;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Transfers that stopped this long ago are not resumed any more.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);
/// Longest file name kept, bytes; the stamp is added to it.
const MAX_NAME: usize = 180;
/// Prefix of files that are not complete yet.
const PARTIAL: &str = ".partial-";

/// The two folders of one daemon.
#[derive(Debug)]
pub(crate) struct Storage {
    inbox: PathBuf,
    received: PathBuf,
    quota: u64,
    sequence: AtomicU64,
}

impl Storage {
    /// Opens the folders under `mailbox`; together they keep at most `quota` bytes.
    pub(crate) fn open(mailbox: &Path, quota: u64) -> io::Result<Self> {
        let (inbox, received) = (mailbox.join("inbox"), mailbox.join("received"));
        crate::state::private_dir(mailbox)?;
        crate::state::private_dir(&inbox)?;
        crate::state::private_dir(&received)?;
        remove_stale(&received);
        Ok(Self { inbox, received, quota, sequence: AtomicU64::new(0) })
    }

    /// Keeps a message and returns where.
    pub(crate) fn save_message(
        &self,
        kind: MessageKind,
        from: Address,
        data: &[u8],
        wrapping: &Wrapping,
    ) -> io::Result<PathBuf> {
        self.reserve(data.len())?;
        let word = kind.word().to_ascii_uppercase();
        let mut record = json!({
            "type": word,
            "from": from.to_string(),
            "bytes": data.len(),
            "received_at": jiff::Timestamp::now().to_string(),
        });
        let (field, text, encoding) = match std::str::from_utf8(data) {
            Ok(text) => ("data", text.to_owned(), "utf8"),
            Err(_) => ("data_b64", data_encoding::BASE64.encode(data), "base64"),
        };
        if let Some(fields) = record.as_object_mut() {
            fields.insert(field.to_owned(), text.into());
            fields.insert("data_encoding".to_owned(), encoding.into());
            for (name, id) in [("message_id", &wrapping.message_id), ("reply_to", &wrapping.reply_to)] {
                fields.extend(id.clone().map(|id| (name.to_owned(), id.into())));
            }
        }
        self.create(&self.inbox, &word, ".json", record.to_string().as_bytes())
    }

    /// Keeps a whole file and returns where.
    pub(crate) fn save_file(&self, name: &str, data: &[u8]) -> io::Result<PathBuf> {
        self.reserve(data.len())?;
        let (stem, extension) = split_name(&safe_name(name));
        self.create(&self.received, &stem, &extension, data)
    }

    /// Begins or continues a streamed transfer. One peer cannot touch another's.
    pub(crate) fn begin(&self, from: NodeId, name: &str, size: u64, sha256: [u8; 32]) -> io::Result<Transfer> {
        let id = TransferId::of(&sha256);
        let partial = self.received.join(format!("{PARTIAL}{from}-{}", data_encoding::HEXLOWER.encode(&id.0)));
        let transfer = Transfer::open(partial, safe_name(name), size, sha256)?;
        self.reserve(usize::try_from(size - transfer.offset()).unwrap_or(usize::MAX))?;
        Ok(transfer)
    }

    /// Gives a complete transfer its name; never one that exists.
    pub(crate) fn complete(&self, transfer: &Transfer) -> io::Result<PathBuf> {
        let (stem, extension) = split_name(transfer.name());
        loop {
            let path = self.received.join(self.stamped(&stem, &extension));
            // A link fails when the name exists; a rename would replace it.
            match fs::hard_link(transfer.path(), &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(()) => {
                    fs::remove_file(transfer.path())?;
                    return Ok(path);
                }
            }
        }
    }

    fn create(&self, folder: &Path, stem: &str, extension: &str, content: &[u8]) -> io::Result<PathBuf> {
        loop {
            let path = folder.join(self.stamped(stem, extension));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(mut file) => {
                    file.write_all(content)?;
                    return Ok(path);
                }
            }
        }
    }

    /// `stem-20261120-224311.001-000002.ext`
    fn stamped(&self, stem: &str, extension: &str) -> String {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) % 1_000_000;
        let stamp = jiff::Timestamp::now().strftime("%Y%m%d-%H%M%S.%3f").to_string();
        format!("{stem}-{stamp}-{sequence:06}{extension}")
    }

    /// Fails when `bytes` more would be too much.
    fn reserve(&self, bytes: usize) -> io::Result<()> {
        let used = folder_size(&self.inbox) + folder_size(&self.received);
        let wanted = used.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        if wanted > self.quota {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the receiver's quota is used up"));
        }
        Ok(())
    }
}

fn folder_size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.metadata().ok()).map(|about| about.len()).sum()
}

fn remove_stale(received: &Path) {
    for entry in fs::read_dir(received).into_iter().flatten().flatten() {
        let partial = entry.file_name().to_string_lossy().starts_with(PARTIAL);
        let age = entry.metadata().and_then(|about| about.modified()).map(|at| at.elapsed().unwrap_or_default());
        if partial && age.is_ok_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// The last component of a name, without what a terminal, a shell or a file system could take amiss.
//= spec/services.md#pp-svc-6
//# A received file's name is never used as a path.
fn safe_name(name: &str) -> String {
    let base = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut clean: String =
        base.chars().map(|c| if c.is_control() || "<>:\"|?*".contains(c) { '_' } else { c }).collect();
    while clean.len() > MAX_NAME {
        clean.pop();
    }
    let clean = clean.trim_start_matches('.').trim();
    if clean.is_empty() { "file".to_owned() } else { clean.to_owned() }
}

/// `a.tar` and `.gz` of `a.tar.gz`.
fn split_name(name: &str) -> (String, String) {
    match name.rfind('.') {
        Some(at) if at > 0 => {
            (name.get(..at).unwrap_or(name).to_owned(), name.get(at..).unwrap_or_default().to_owned())
        }
        _ => (name.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    //= spec/services.md#pp-svc-6
    //= type=test
    //# A received file's name is never used as a path.
    #[test]
    fn names_cannot_leave_the_folder_nor_hide() {
        for (name, safe) in [
            ("../../etc/passwd", "passwd"),
            ("..", "file"),
            ("", "file"),
            (".bashrc", "bashrc"),
            ("a\\b.txt", "b.txt"),
            ("x\u{1b}[2J", "x_[2J"),
        ] {
            assert_eq!(safe_name(name), safe, "{name:?}");
        }
        assert!(safe_name(&"ü".repeat(500)).len() <= MAX_NAME);
    }

    #[test]
    fn equal_names_do_not_collide_and_the_quota_holds() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path(), 10).unwrap();
        let first = storage.save_file("a.txt", b"12345").unwrap();
        let second = storage.save_file("a.txt", b"12345").unwrap();
        assert_ne!(first, second);
        assert_eq!(storage.save_file("a.txt", b"1").unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(first.extension().unwrap(), "txt");
    }
}
