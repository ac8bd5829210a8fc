//! The watch on an image's header: what other clients say is heard and answered.

use std::sync::{Arc, Weak};
use std::time::Duration;

use seabed_cluster::Errno;
use seabed_denc::{Bytes, Decode};
use seabed_rados::{Notification, RadosError, Watch};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::image::{Inner, Watching};
use crate::names;
use crate::notice::{ClientId, Notice, answer};

/// Pause before a watch that was lost is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// A running watch.
#[derive(Debug)]
pub(crate) struct Watcher {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Watcher {
    /// Starts to listen; ends with the image at the latest.
    pub(crate) fn start(image: &Arc<Inner>, watch: Watch) -> Self {
        image.set_watching(Watching::As(watch.cookie()));
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(listen(Arc::downgrade(image), watch, stopped));
        Watcher { stop, task }
    }

    /// Ends the watch, and waits until the cluster knows.
    pub(crate) async fn end(self) {
        // A watcher that has ended by itself needs no telling.
        let _ = self.stop.send(());
        if let Err(error) = self.task.await {
            tracing::warn!(%error, "a watcher ended badly");
        }
    }
}

async fn listen(image: Weak<Inner>, mut watch: Watch, mut stopped: oneshot::Receiver<()>) {
    loop {
        let told = tokio::select! {
            // The sender goes with the image.
            _ = &mut stopped => {
                if let Err(error) = watch.end().await {
                    tracing::debug!(%error, "the end of a watch was not confirmed");
                }
                return;
            }
            told = watch.next() => told,
        };
        let Some(image) = image.upgrade() else { return };
        match told {
            Ok(notification) => {
                let gid = image.pool.cluster().id();
                let me = ClientId { gid, handle: watch.cookie() };
                let reply = hear(&image, me, &notification);
                if let Err(error) = watch.ack(&notification, reply).await {
                    tracing::debug!(image = image.name, %error, "not acknowledged");
                }
            }
            Err(error) => {
                tracing::warn!(image = image.name, %error, "the watch is lost");
                image.set_watching(Watching::Lost);
                match again(&image, &mut stopped).await {
                    Some(new) => watch = new,
                    None => {
                        image.set_watching(Watching::Over);
                        return;
                    }
                }
            }
        }
    }
}

/// Watches again, until it succeeds or the image is closed or gone.
async fn again(image: &Arc<Inner>, stopped: &mut oneshot::Receiver<()>) -> Option<Watch> {
    loop {
        match image.pool.watch(names::header(&image.id)).await {
            Ok(watch) => {
                image.set_watching(Watching::As(watch.cookie()));
                image.mark_stale();
                let image = Arc::clone(image);
                tokio::spawn(async move { image.renew_lock().await });
                return Some(watch);
            }
            Err(error) if error.is_not_found() || matches!(error, RadosError::ShutDown) => {
                return None;
            }
            Err(error) => tracing::debug!(image = image.name, %error, "not watched yet"),
        }
        tokio::select! {
            _ = &mut *stopped => return None,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Hears one thing; the bytes are the answer, empty where none is wanted of us.
///
/// Another handle of this process is another client: only its watch tells it from this one.
fn hear(image: &Arc<Inner>, me: ClientId, notification: &Notification) -> Bytes {
    let notice = match Notice::from_bytes(notification.payload.clone()) {
        Ok(notice) => notice,
        Err(error) => {
            tracing::debug!(image = image.name, %error, "a notice was not understood");
            return Bytes::new();
        }
    };
    if notice.is_from(me) {
        return Bytes::new();
    }
    match notice {
        // It does not say who changed it.
        Notice::HeaderUpdate => image.mark_stale(),
        Notice::Released(_) => image.signals.released.notify_waiters(),
        Notice::Request(_) if image.holds_lock() => {
            let image = Arc::clone(image);
            tokio::spawn(async move {
                if let Err(error) = image.release_lock().await {
                    tracing::warn!(image = image.name, %error, "the lock was not given up");
                }
            });
            return answer(Ok(()));
        }
        Notice::Ask(id, request) if image.holds_lock() => {
            crate::owner::ask(image, id, request);
            return answer(Ok(()));
        }
        ref asked if asked.is_request() && image.holds_lock() => {
            return answer(Err(Errno::EOPNOTSUPP));
        }
        _ => {}
    }
    Bytes::new()
}
