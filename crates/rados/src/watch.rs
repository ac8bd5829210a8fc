//! Watching an object, and telling its watchers.

use seabed_cluster::{EntityAddr, EntityName, Errno};
use seabed_denc::{Bytes, Decode, DecodeError, Reader, decode_versioned};
use seabed_objecter::{NotifyEnd, RequestId, WatchEvent};
use tokio::sync::mpsc;

use crate::{Cluster, RadosError};

/// Events of a watch that may wait for its owner; one that lets more pile up loses the watch.
pub(crate) const EVENTS_MAX: usize = 1000;

/// Something that a watcher is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// Names the notify; answered with [`Watch::ack`].
    pub id: u64,
    /// The client that notifies, by its number.
    pub notifier: u64,
    /// What it says.
    pub payload: Bytes,
}

/// Who watches an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watcher {
    /// The client.
    pub client: EntityName,
    /// Its own number for the watch.
    pub cookie: u64,
    /// Seconds after which it is given up when nothing is heard of it.
    pub timeout_seconds: u32,
    /// Where it is.
    pub addr: EntityAddr,
}

/// A watch on an object, kept alive over failures of OSDs. Dropped, it ends.
#[derive(Debug)]
pub struct Watch {
    cluster: Cluster,
    ticket: u64,
    cookie: u64,
    events: mpsc::Receiver<(RequestId, WatchEvent)>,
}

impl Watch {
    pub(crate) fn new(
        cluster: Cluster,
        ticket: u64,
        events: mpsc::Receiver<(RequestId, WatchEvent)>,
    ) -> Self {
        Watch { cluster, ticket, cookie: 0, events }
    }

    /// This client's own number for the watch, as [`Watcher::cookie`] shows it to others.
    pub fn cookie(&self) -> u64 {
        self.cookie
    }

    /// Waits until the object is watched.
    pub(crate) async fn begun(&mut self) -> Result<(), RadosError> {
        match self.events.recv().await {
            Some((id, WatchEvent::Begun)) => {
                self.cookie = id.0;
                Ok(())
            }
            Some((_, WatchEvent::Lost(errno))) => Err(RadosError::Refused { what: "watch", errno }),
            Some((_, WatchEvent::Notify { .. })) | None => Err(RadosError::ShutDown),
        }
    }

    /// The next thing that is told. It should be answered soon: the notifier waits.
    ///
    /// Errors: the watch is over, because the object was deleted, or the OSD heard nothing of this
    /// client for too long, or too much was not taken.
    pub async fn next(&mut self) -> Result<Notification, RadosError> {
        loop {
            let errno = match self.events.recv().await {
                Some((_, WatchEvent::Notify { id, notifier, payload })) => {
                    return Ok(Notification { id, notifier, payload });
                }
                Some((_, WatchEvent::Begun)) => continue,
                Some((_, WatchEvent::Lost(errno))) => errno,
                None => Errno::ENOTCONN,
            };
            return Err(RadosError::Refused { what: "watch", errno });
        }
    }

    /// Answers; the notifier gets `reply`.
    pub async fn ack(
        &self,
        notification: &Notification,
        reply: impl Into<Bytes>,
    ) -> Result<(), RadosError> {
        self.cluster.notify_ack(self.ticket, notification.id, reply.into()).await
    }

    /// Ends the watch, and waits until the OSD knows.
    pub async fn end(self) -> Result<(), RadosError> {
        self.cluster.unwatch(self.ticket).await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.cluster.forget(self.ticket);
    }
}

/// The end of a notify, with an error if there was none to be told.
pub(crate) fn end_of(result: Result<NotifyEnd, Errno>) -> Result<NotifyEnd, RadosError> {
    result.map_err(|errno| RadosError::Refused { what: "notify", errno })
}

/// The output of LIST_WATCHERS.
pub(crate) fn read_watchers(output: Bytes) -> Result<Vec<Watcher>, DecodeError> {
    let list = |r: &mut Reader, _| {
        let count = u32::decode(r)?;
        let one = |r: &mut Reader, _| {
            let (client, cookie) = (EntityName::decode(r)?, u64::decode(r)?);
            let (timeout_seconds, addr) = (u32::decode(r)?, EntityAddr::decode(r)?);
            Ok(Watcher { client, cookie, timeout_seconds, addr })
        };
        let item = |r: &mut Reader| Ok(decode_versioned(r, "watch_item_t", 2, one)?.0);
        (0..count).map(|_| item(r)).collect()
    };
    Ok(decode_versioned(&mut Reader::new(output), "obj_list_watch_response_t", 1, list)?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_are_read_as_recorded() {
        // a21 of the recorded sessions: nobody watches.
        let none = read_watchers(Bytes::from_static(b"\x01\x01\x04\0\0\0\0\0\0\0")).unwrap();
        assert_eq!(none, []);
        assert!(read_watchers(Bytes::from_static(b"\x01\x01\x04\0\0\0\x01\0\0\0")).is_err());
    }
}
