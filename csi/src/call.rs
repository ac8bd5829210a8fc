//! One gRPC call: who may run beside it, how long it is waited for, what is logged of it.
//!
//! The work runs in a task of its own. Who has asked for it may go away or run out of time: the
//! work goes on to its end, and a second call for the same thing is ABORTED until then. A call
//! that is repeated afterwards finds what is done and goes on from there.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tonic::metadata::MetadataMap;
use tonic::{Code, Response, Status};
use tracing::Instrument;

use crate::fault::Fault;
use crate::link::Link;

/// How long a call is waited for that names no deadline of its own.
const DEADLINE: Duration = Duration::from_secs(120);

/// The calls of one process.
#[derive(Debug, Clone)]
pub(crate) struct Calls {
    link: Arc<Link>,
    busy: Arc<Mutex<BTreeSet<String>>>,
    next: Arc<AtomicU64>,
}

/// What a call is about; nobody else may be about it meanwhile.
struct Hold {
    busy: Arc<Mutex<BTreeSet<String>>>,
    what: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.what);
    }
}

impl Calls {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Calls { link, busy: Arc::default(), next: Arc::default() }
    }

    /// Runs a call that changes something, alone for what it is about.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        rpc: &'static str,
        about: &str,
        metadata: &MetadataMap,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let Some(hold) = self.hold(about) else {
            tracing::info!(rpc, about, "busy");
            return Err(busy(about).into());
        };
        self.run(rpc, about, metadata, Some(hold), work).await
    }

    /// Runs a call that only looks.
    pub(crate) async fn look<T: Send + 'static>(
        &self,
        rpc: &'static str,
        about: &str,
        metadata: &MetadataMap,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        self.run(rpc, about, metadata, None, work).await
    }

    async fn run<T: Send + 'static>(
        &self,
        rpc: &'static str,
        about: &str,
        metadata: &MetadataMap,
        hold: Option<Hold>,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<Response<T>, Status> {
        let request = self.next.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!("call", rpc, about, request);
        let started = Instant::now();
        let link = Arc::clone(&self.link);
        let task = async move {
            let result = work.await;
            if result.as_ref().is_err_and(|fault| fault.fenced) {
                link.renew().await;
            }
            drop(hold);
            let ms = started.elapsed().as_millis();
            match &result {
                Ok(_) => tracing::info!(ms, "done"),
                Err(fault) if fault.code == Code::Internal => {
                    tracing::error!(ms, code = ?fault.code, %fault, "failed");
                }
                Err(fault) => tracing::warn!(ms, code = ?fault.code, %fault, "refused"),
            }
            result
        };
        let task = tokio::spawn(task.instrument(span));
        match tokio::time::timeout(deadline(metadata), task).await {
            Ok(Ok(result)) => Ok(Response::new(result?)),
            Ok(Err(error)) => Err(Fault::internal(format!("{rpc} broke down: {error}")).into()),
            Err(_) => Err(Fault::late(format!("{rpc} of {about} goes on; call again")).into()),
        }
    }

    fn hold(&self, about: &str) -> Option<Hold> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        let free = busy.insert(about.to_owned());
        free.then(|| Hold { busy: Arc::clone(&self.busy), what: about.to_owned() })
    }
}

fn busy(about: &str) -> Fault {
    Fault::aborted(format!("another call for {about} is under way; call again"))
}

/// What the caller gives in the header `grpc-timeout`: up to eight digits and a unit.
fn deadline(metadata: &MetadataMap) -> Duration {
    let asked = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok());
    asked.and_then(timeout).map_or(DEADLINE, |asked| asked.min(DEADLINE))
}

fn timeout(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number: u64 = text[..text.len() - unit.len_utf8()].parse().ok()?;
    Some(match unit {
        'H' => Duration::from_secs(number.checked_mul(3600)?),
        'M' => Duration::from_secs(number.checked_mul(60)?),
        'S' => Duration::from_secs(number),
        'm' => Duration::from_millis(number),
        'u' => Duration::from_micros(number),
        'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// A service's method: the call's name, what it is about, and the function that does it.
macro_rules! call {
    ($self:ident.$how:ident($rpc:literal, $about:expr, $request:ident) => $work:path) => {{
        let (metadata, _, message) = $request.into_parts();
        let about = $about(&message);
        let context = $self.context();
        let work = async move { $work(&context, message).await };
        $self.calls.$how($rpc, &about, &metadata, work).await
    }};
}
pub(crate) use call;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_are_read() {
        assert_eq!(timeout("15S"), Some(Duration::from_secs(15)));
        assert_eq!(timeout("250m"), Some(Duration::from_millis(250)));
        assert_eq!(timeout("1H"), Some(Duration::from_secs(3600)));
        for bad in ["", "S", "15", "15x", "-1S", "é"] {
            assert_eq!(timeout(bad), None, "{bad}");
        }
    }

    #[test]
    fn one_at_a_time_for_each_thing() {
        let calls = Calls::new(Arc::new(Link::new("/nowhere/ceph.conf".into())));
        let first = calls.hold("a").unwrap();
        assert!(calls.hold("a").is_none());
        assert!(calls.hold("b").is_some());
        // A refused call must not end the hold of the first.
        assert!(calls.hold("a").is_none());
        drop(first);
        assert!(calls.hold("a").is_some());
    }
}
