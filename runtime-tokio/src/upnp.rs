//! Decides how what the endpoint asks of the router by UPnP is carried beside the loop, which never waits for it. Refuses to know when to
//! ask, and for what.

#[cfg(feature = "upnp")]
mod igd;

use core::time::Duration;
use proto_core::nat::{Gateway, UpnpAnswer, UpnpRequest};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// This build can ask.
pub(crate) const SPOKEN: bool = cfg!(feature = "upnp");
/// Requests and answers in between at most; the endpoint has one open question, and a last word.
const QUEUE: usize = 4;
/// How long a node that ends waits for its last word.
const GOODBYE: Duration = Duration::from_secs(3);

/// The task that asks, once there is something to ask. It ends by itself when nobody can ask any more.
#[derive(Debug, Default)]
pub(crate) struct Upnp {
    worker: Option<Worker>,
}

#[derive(Debug)]
struct Worker {
    requests: mpsc::Sender<UpnpRequest>,
    answers: mpsc::Receiver<(Gateway, UpnpAnswer)>,
    task: JoinHandle<()>,
}

impl Upnp {
    /// What does not fit is dropped: the endpoint takes it for a question without an answer.
    pub(crate) fn ask(&mut self, request: UpnpRequest) {
        let worker = self.worker.get_or_insert_with(Worker::start);
        let _ = worker.requests.try_send(request);
    }

    /// The next answer. Waits for ever where nothing was asked; may be dropped while it waits.
    pub(crate) async fn answer(&mut self) -> (Gateway, UpnpAnswer) {
        match &mut self.worker {
            Some(worker) => match worker.answers.recv().await {
                Some(answer) => answer,
                None => core::future::pending().await,
            },
            None => core::future::pending().await,
        }
    }

    /// Waits a moment until what was asked is done.
    pub(crate) async fn finish(&mut self) {
        let Some(Worker { requests, answers, mut task }) = self.worker.take() else { return };
        drop((requests, answers));
        if tokio::time::timeout(GOODBYE, &mut task).await.is_err() {
            task.abort();
        }
    }
}

impl Worker {
    fn start() -> Self {
        let (requests, asked) = mpsc::channel(QUEUE);
        let (told, answers) = mpsc::channel(QUEUE);
        Self { requests, answers, task: tokio::spawn(serve(asked, told)) }
    }
}

#[cfg(feature = "upnp")]
use igd::serve;

#[cfg(not(feature = "upnp"))]
async fn serve(_: mpsc::Receiver<UpnpRequest>, _: mpsc::Sender<(Gateway, UpnpAnswer)>) {}
