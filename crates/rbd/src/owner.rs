//! What other clients ask of the lock's owner: done for them, told when it is done.
//!
//! Whoever asks hears at once that it was heard, then how far it is, then how it ended. One who
//! missed that asks again by the same number: nothing is done twice, and the end is told again.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use seabed_classes::rbd::wire::SnapshotNamespace;
use seabed_cluster::Errno;
use tokio::sync::watch;

use crate::error::RbdError;
use crate::image::{Image, Inner};
use crate::notice::{AsyncId, Notice, Request};
use crate::{Images, Progress};

/// Ends that are remembered for those who ask again.
const ENDS_MAX: usize = 64;
/// What is asked for at the same time; more is refused by an end with EBUSY.
const RUNNING_MAX: usize = 64;
/// librbd asks again when it hears nothing for 30 seconds.
const PROGRESS_EVERY: Duration = Duration::from_secs(2);

/// What others have asked for.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    running: BTreeSet<AsyncId>,
    ended: VecDeque<(AsyncId, i32)>,
}

/// What is to be done about something that is asked for.
enum Step {
    Do,
    Wait,
    Tell(i32),
}

impl Asked {
    fn hear(&mut self, id: AsyncId) -> Step {
        if let Some((_, result)) = self.ended.iter().find(|(ended, _)| *ended == id) {
            return Step::Tell(*result);
        }
        if self.running.contains(&id) {
            return Step::Wait;
        }
        if self.running.len() >= RUNNING_MAX {
            return Step::Tell(Errno::EBUSY.wire());
        }
        self.running.insert(id);
        Step::Do
    }

    fn end(&mut self, id: AsyncId, result: i32) {
        self.running.remove(&id);
        if self.ended.len() >= ENDS_MAX {
            self.ended.pop_front();
        }
        self.ended.push_back((id, result));
    }
}

/// Begins what is asked for, unless it was begun before.
pub(crate) fn ask(image: &Arc<Inner>, id: AsyncId, request: Request) {
    let step = image.asked.lock().unwrap_or_else(PoisonError::into_inner).hear(id);
    let image = Image { inner: Arc::clone(image) };
    match step {
        Step::Wait => {}
        Step::Do => drop(tokio::spawn(perform(image, id, request))),
        Step::Tell(result) => {
            tokio::spawn(async move { image.inner.tell(Notice::Complete(id, result)).await });
        }
    }
}

async fn perform(image: Image, id: AsyncId, request: Request) {
    let (far, seen) = watch::channel((0, 0));
    let telling = async {
        loop {
            tokio::time::sleep(PROGRESS_EVERY).await;
            let (done, all) = *seen.borrow();
            image.inner.tell(Notice::Progress(id, done, all)).await;
        }
    };
    let mut progress = |done, all| {
        far.send_replace((done, all));
    };
    let result = tokio::select! {
        result = carry_out(&image, &request, &mut progress) => result,
        () = telling => return,
    };
    if let Err(error) = &result {
        tracing::info!(image = image.name(), ?request, %error, "asked for by another client");
    }
    let code = match result {
        Ok(()) => 0,
        Err(error) => error.errno().unwrap_or(Errno::EIO).wire(),
    };
    image.inner.asked.lock().unwrap_or_else(PoisonError::into_inner).end(id, code);
    image.inner.tell(Notice::Complete(id, code)).await;
}

async fn carry_out(
    image: &Image,
    request: &Request,
    progress: Progress<'_>,
) -> Result<(), RbdError> {
    match request {
        Request::CreateSnapshot { name, namespace } => {
            if *namespace == SnapshotNamespace::User {
                return image.create_snapshot(name).await.map(drop);
            }
            image.create_snapshot_in(name, namespace.clone()).await.map(drop)
        }
        Request::RemoveSnapshot { name, namespace } => image
            .remove_snapshot_where(|s| s.name == *name && s.namespace == *namespace)
            .await?
            .ok_or_else(|| RbdError::NoSnapshot(name.clone())),
        Request::RenameSnapshot { id, name } => image.rename_snapshot_by_id(*id, name).await,
        Request::ProtectSnapshot { name } => image.protect_snapshot(name).await,
        Request::UnprotectSnapshot { name } => image.unprotect_snapshot(name).await,
        Request::Resize { size, shrink } => {
            let now = image.size().await?;
            if *size < now && !shrink {
                let reason = "it would cut the image off";
                return Err(RbdError::Invalid { what: "size".into(), reason });
            }
            image.resize(*size, progress).await
        }
        Request::Flatten => image.flatten(progress).await,
        Request::RebuildObjectMap => image.rebuild_object_map(progress).await,
        Request::Rename { name } => {
            let images = Images::new(image.inner.pool.clone());
            let old = images.name(&image.inner.id).await?;
            images.rename(&old, name).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::ClientId;

    fn id(number: u64) -> AsyncId {
        AsyncId { client: ClientId { gid: 1, handle: 2 }, number }
    }

    #[test]
    fn nothing_is_done_twice_and_the_end_is_told_again() {
        let mut asked = Asked::default();
        assert!(matches!(asked.hear(id(1)), Step::Do));
        assert!(matches!(asked.hear(id(1)), Step::Wait));
        asked.end(id(1), -17);
        assert!(matches!(asked.hear(id(1)), Step::Tell(-17)));
        for number in 2..2 + ENDS_MAX as u64 {
            assert!(matches!(asked.hear(id(number)), Step::Do));
            asked.end(id(number), 0);
        }
        // Forgotten by now.
        assert!(matches!(asked.hear(id(1)), Step::Do));
    }

    #[test]
    fn what_runs_is_bounded() {
        let mut asked = Asked::default();
        let begun = (0..RUNNING_MAX as u64 + 1).filter(|n| matches!(asked.hear(id(*n)), Step::Do));
        assert_eq!(begun.count(), RUNNING_MAX);
    }
}
