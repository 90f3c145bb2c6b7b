//! Keeps the registry's durable facts on disk. Decides when a fact is safe: when the transaction that holds it was
//! committed with an fsync. Refuses to know what a fact means.
//!
//! One thread writes. What is queued while it waits for the disk goes into its next transaction, so a thousand
//! requests at once cost a handful of commits.

use crate::limits::MAX_GROUP;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};
use rendezvous_core::Change;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::watch;

/// `Change::key` to `Change::value`.
const FACTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("facts");

/// The store's queue. Without a file everything counts as safe at once.
#[derive(Debug)]
pub(crate) struct Store {
    writer: Mutex<Option<Writer>>,
    progress: watch::Receiver<Progress>,
}

#[derive(Debug)]
struct Writer {
    queue: Sender<Vec<Change>>,
    enqueued: u64,
    thread: JoinHandle<()>,
}

/// How far the writer is.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    committed: u64,
    failed: bool,
}

/// A place in the queue: this and all earlier changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket(u64);

/// The disk refused; nothing is acknowledged any more.
#[derive(Debug, thiserror::Error)]
#[error("the store failed")]
pub(crate) struct StoreFailed;

impl Store {
    /// A store that forgets.
    pub(crate) fn in_memory() -> Self {
        Self { writer: Mutex::new(None), progress: watch::channel(Progress::default()).1 }
    }

    /// Opens or creates the store at `path`; returns what it holds. Blocks.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Change>), redb::Error> {
        let database = Database::create(path)?;
        let (facts, outdated) = load(&database)?;
        if !outdated.is_empty() {
            write(&database, &[outdated])?;
        }
        let (queue, changes) = channel();
        let (report, progress) = watch::channel(Progress::default());
        let thread = std::thread::Builder::new()
            .name("rendezvous-store".to_owned())
            .spawn(move || write_until_closed(&database, &changes, &report))
            .map_err(redb::Error::Io)?;
        let writer = Mutex::new(Some(Writer { queue, enqueued: 0, thread }));
        Ok((Self { writer, progress }, facts))
    }

    /// Queues `changes`. To be called in the order the changes were made; an empty list only asks for the place.
    pub(crate) fn enqueue(&self, changes: Vec<Change>) -> Ticket {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(writer) = writer.as_mut() else { return Ticket(0) };
        if !changes.is_empty() {
            writer.enqueued += 1;
            // A writer that is gone has reported its failure.
            let _ = writer.queue.send(changes);
        }
        Ticket(writer.enqueued)
    }

    /// Waits until everything up to `ticket` is on disk.
    pub(crate) async fn committed(&self, ticket: Ticket) -> Result<(), StoreFailed> {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|progress| progress.failed || progress.committed >= ticket.0).await;
        match reached {
            Ok(progress) if !progress.failed => Ok(()),
            Ok(_) => Err(StoreFailed),
            Err(_) if self.progress.borrow().committed >= ticket.0 => Ok(()),
            Err(_) => Err(StoreFailed),
        }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.progress.borrow().failed
    }

    /// Writes what is queued and closes the file. Blocks.
    pub(crate) fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Writer { queue, thread, .. }) = writer {
            drop(queue);
            if thread.join().is_err() {
                tracing::error!("the store's writer panicked");
            }
        }
    }
}

/// All facts, and those among them that an older version wrote in another form: secrets in clear, for one.
fn load(database: &Database) -> Result<(Vec<Change>, Vec<Change>), redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(FACTS)?;
    transaction.commit()?;
    let table = database.begin_read()?.open_table(FACTS)?;
    let (mut facts, mut outdated) = (Vec::new(), Vec::new());
    for entry in table.iter()? {
        let (key, value) = entry?;
        match Change::from_value(value.value()) {
            Some(change) => {
                if change.value().as_deref() != Some(value.value()) {
                    outdated.push(change.clone());
                }
                facts.push(change);
            }
            None => return Err(redb::Error::Corrupted(format!("the fact {:?} cannot be read", key.value()))),
        }
    }
    Ok((facts, outdated))
}

fn write_until_closed(database: &Database, queue: &Receiver<Vec<Change>>, report: &watch::Sender<Progress>) {
    while let Ok(first) = queue.recv() {
        let mut group = vec![first];
        group.extend(queue.try_iter().take(MAX_GROUP - 1));
        let size = u64::try_from(group.len()).unwrap_or(u64::MAX);
        let failed = report.borrow().failed;
        let written = if failed { Ok(()) } else { write(database, &group) };
        if let Err(error) = &written {
            tracing::error!(%error, "cannot write to the store; nothing is acknowledged any more");
        }
        report.send_modify(|progress| {
            progress.committed += size;
            progress.failed |= written.is_err();
        });
    }
}

fn write(database: &Database, group: &[Vec<Change>]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut table = transaction.open_table(FACTS)?;
        for change in group.iter().flatten() {
            match change.value() {
                Some(value) => drop(table.insert(change.key().as_str(), value.as_slice())?),
                None => drop(table.remove(change.key().as_str())?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_an_older_version_kept_in_clear_is_replaced_by_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts.redb");
        let old = br#"{"network":{"id":1,"name":"lab","join_rule":"token","token":"s3cret-of-lab","created":1}}"#;
        let database = Database::create(&path).unwrap();
        let transaction = database.begin_write().unwrap();
        transaction.open_table(FACTS).unwrap().insert("network/1", old.as_slice()).unwrap();
        transaction.commit().unwrap();
        drop(database);
        let (store, facts) = Store::open(&path).unwrap();
        store.close();
        let [Change::Network(record)] = facts.as_slice() else { panic!("{facts:?}") };
        assert_eq!(record.token, rendezvous_core::registry::SecretHash::of("s3cret-of-lab"));
        let database = Database::create(&path).unwrap();
        let table = database.begin_read().unwrap().open_table(FACTS).unwrap();
        let kept = table.get("network/1").unwrap().unwrap();
        assert_eq!(Change::from_value(kept.value()).as_ref(), facts.first());
        assert!(!String::from_utf8_lossy(kept.value()).contains("s3cret"), "in clear");
    }
}
