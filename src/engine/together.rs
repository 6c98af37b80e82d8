//! Several things at once, in one task: they share what they borrow.

use std::future::poll_fn;
use std::task::Poll;

/// Awaits all of `futures` side by side; their results are in their own order.
pub async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.into_iter().map(|f| (Box::pin(f), None)).collect();
    poll_fn(|cx| {
        for (future, result) in running.iter_mut().filter(|(_, result)| result.is_none()) {
            if let Poll::Ready(value) = future.as_mut().poll(cx) {
                *result = Some(value);
            }
        }
        match running.iter().all(|(_, result)| result.is_some()) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    running.into_iter().filter_map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::sleep;

    #[test]
    fn they_run_side_by_side_and_keep_their_order() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let seen = std::cell::RefCell::new(Vec::new());
        let waits = [60, 20, 40].map(|ms| {
            let seen = &seen;
            async move {
                seen.borrow_mut().push("begins");
                sleep(Duration::from_millis(ms)).await;
                seen.borrow_mut().push("ends");
                ms
            }
        });
        assert_eq!(runtime.block_on(all(waits)), [60, 20, 40]);
        assert_eq!(*seen.borrow(), ["begins", "begins", "begins", "ends", "ends", "ends"]);
        assert!(runtime.block_on(all(std::iter::empty::<std::future::Ready<()>>())).is_empty());
    }
}
