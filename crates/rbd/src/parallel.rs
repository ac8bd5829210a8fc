//! Many futures, a few at a time.

use tokio::task::JoinSet;

use crate::RbdError;

/// Operations of one call that are in flight at a time.
pub(crate) const IN_FLIGHT: usize = 16;

/// Runs futures, at most [`IN_FLIGHT`] at a time, and gives their values in order. The first error
/// ends it; what is not done by then is cancelled, as it is when the returned future is dropped.
pub(crate) async fn in_parallel<T, F>(jobs: impl IntoIterator<Item = F>) -> Result<Vec<T>, RbdError>
where
    T: Send + 'static,
    F: Future<Output = Result<T, RbdError>> + Send + 'static,
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
    T: Send + 'static,
    F: Future<Output = Result<T, RbdError>> + Send + 'static,
{
    let mut jobs = jobs.into_iter().enumerate();
    let mut running = JoinSet::new();
    loop {
        while running.len() < IN_FLIGHT
            && let Some((index, job)) = jobs.next()
        {
            running.spawn(async move { (index, job.await) });
        }
        match running.join_next().await {
            None => return Ok(()),
            Some(Ok((index, value))) => take(index, value?),
            Some(Err(error)) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // Only the end of the runtime cancels a task that is still in the set.
                Err(_) => std::future::pending().await,
            },
        }
    }
}
