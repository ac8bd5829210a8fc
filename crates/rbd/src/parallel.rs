//! Many futures, a few at a time.
//!
//! They are polled by whoever waits for them, not by tasks of their own: once the returned future
//! is dropped, none of them sends anything any more.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use crate::RbdError;

/// Operations of one call that are in flight at a time.
pub(crate) const IN_FLIGHT: usize = 16;

/// Runs futures, at most [`IN_FLIGHT`] at a time, and gives their values in order. The first error
/// ends it; what is not done by then is cancelled, as it is when the returned future is dropped.
pub(crate) async fn in_parallel<T, F>(jobs: impl IntoIterator<Item = F>) -> Result<Vec<T>, RbdError>
where
    F: Future<Output = Result<T, RbdError>>,
{
    let mut done = Vec::new();
    each_in_parallel(jobs, |index, value| done.push((index, value))).await?;
    done.sort_by_key(|(index, _)| *index);
    Ok(done.into_iter().map(|(_, value)| value).collect())
}

/// As [`in_parallel`]; hands over each value, with its number, as soon as it is there.
pub(crate) async fn each_in_parallel<T, F>(
    jobs: impl IntoIterator<Item = F>,
    mut take: impl FnMut(usize, T),
) -> Result<(), RbdError>
where
    F: Future<Output = Result<T, RbdError>>,
{
    let mut jobs = jobs.into_iter().enumerate();
    let mut running: Vec<(usize, Pin<Box<F>>)> = Vec::new();
    poll_fn(|context| {
        loop {
            while running.len() < IN_FLIGHT
                && let Some((index, job)) = jobs.next()
            {
                running.push((index, Box::pin(job)));
            }
            let before = running.len();
            let mut at = 0;
            while at < running.len() {
                match running[at].1.as_mut().poll(context) {
                    Poll::Pending => at += 1,
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Ready(Ok(value)) => {
                        let (index, _) = running.swap_remove(at);
                        take(index, value);
                    }
                }
            }
            if before == 0 {
                return Poll::Ready(Ok(()));
            }
            // Those that ended have made room for more, which must be polled once.
            if running.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn all_are_run_a_few_at_a_time_and_come_back_in_order() {
        let (now, most) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
        let jobs = (0..100).map(|index| {
            let (now, most) = (Rc::clone(&now), Rc::clone(&most));
            async move {
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                for _ in 0..=(index * 7) % 5 {
                    tokio::task::yield_now().await;
                }
                now.set(now.get() - 1);
                Ok(index)
            }
        });
        assert_eq!(in_parallel(jobs).await.unwrap(), (0..100).collect::<Vec<_>>());
        assert_eq!(most.get(), IN_FLIGHT);
    }

    #[tokio::test]
    async fn the_first_error_ends_all_and_nothing_runs_after_a_drop() {
        struct Gone(Rc<Cell<usize>>);
        impl Drop for Gone {
            fn drop(&mut self) {
                self.0.set(self.0.get() + 1);
            }
        }
        let gone = Rc::new(Cell::new(0));
        let (wake, woken) = oneshot::channel::<()>();
        let mut woken = Some(woken);
        let jobs = (0..4).map(|index| {
            let (held, woken) = (Gone(Rc::clone(&gone)), woken.take());
            async move {
                let _held = held;
                match woken {
                    Some(woken) => drop(woken.await),
                    None => std::future::pending().await,
                }
                Err::<(), _>(RbdError::NoImage(index.to_string()))
            }
        });
        let mut all = Box::pin(in_parallel(jobs));
        let first = std::future::poll_fn(|context| Poll::Ready(all.as_mut().poll(context))).await;
        assert!(first.is_pending());
        wake.send(()).unwrap();
        assert!(matches!(all.as_mut().await, Err(RbdError::NoImage(index)) if index == "0"));
        drop(all);
        assert_eq!(gone.get(), 4);
    }
}
