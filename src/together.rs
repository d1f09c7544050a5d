//! Work that is cheaper for many callers together than for each: what comes in while other work is under way is done with
//! the next turn.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::{Semaphore, oneshot};

/// How work is done in turns.
pub trait Turns: Sync {
    type Work: Send;
    type Result: Send;

    /// Does all of them; answers for each, in their order.
    fn do_all(&self, works: Vec<Self::Work>) -> impl Future<Output = Vec<Self::Result>> + Send;
}

/// A queue of work, done by the callers themselves in turns.
pub struct Together<T: Turns> {
    turns: T,
    waiting: Mutex<VecDeque<Waiting<T>>>,
    /// How many turns there may be at once.
    free: Semaphore,
    /// The most that one turn takes, by the size of each; one caller's work is never parted.
    most: usize,
}

/// The work of one caller, and where its result goes.
struct Waiting<T: Turns> {
    work: T::Work,
    size: usize,
    done: oneshot::Sender<T::Result>,
}

/// The caller who had this work in its turn was stopped: it may be done or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the turn that did it was stopped")]
pub struct Stopped;

impl<T: Turns> Together<T> {
    /// With `at_once` turns, and `most` in each.
    pub fn new(turns: T, at_once: usize, most: usize) -> Self {
        Self {
            turns,
            waiting: Mutex::default(),
            free: Semaphore::new(at_once),
            most,
        }
    }

    /// Has `work` of this size done, by this caller's turn or by an earlier one. A caller who goes away takes its work
    /// along, unless a turn has it already.
    ///
    /// # Errors
    /// [`Stopped`].
    pub async fn run(&self, work: T::Work, size: usize) -> Result<T::Result, Stopped> {
        let (done, mut told) = oneshot::channel();
        self.waiting.lock().push_back(Waiting { work, size, done });
        loop {
            let turn = tokio::select! {
                biased;
                result = &mut told => return result.map_err(|_| Stopped),
                turn = self.free.acquire() => turn,
            };
            let (works, waiting) = self.next();
            if works.is_empty() {
                // Another turn has it.
                drop(turn);
                return told.await.map_err(|_| Stopped);
            }
            let results = self.turns.do_all(works).await;
            for (result, done) in std::iter::zip(results, waiting) {
                // One that has gone away waits no more.
                drop(done.send(result));
            }
            drop(turn);
        }
    }

    /// What the next turn does, and who waits for it.
    fn next(&self) -> (Vec<T::Work>, Vec<oneshot::Sender<T::Result>>) {
        let mut waiting = self.waiting.lock();
        waiting.retain(|one| !one.done.is_closed());
        let mut size = 0;
        let fits = |one: &&Waiting<T>| {
            let first = size == 0;
            size += one.size.max(1);
            first || size <= self.most
        };
        let count = waiting.iter().take_while(fits).count();
        let taken = waiting.drain(..count);
        taken.map(|one| (one.work, one.done)).unzip()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;
    use tokio::sync::Semaphore;
    use tokio::task::JoinHandle;

    use super::{Stopped, Together, Turns};

    /// Doubles numbers, once it may, and notes which came together.
    #[derive(Clone)]
    struct Doubling {
        may: Arc<Semaphore>,
        groups: Arc<Mutex<Vec<Vec<u32>>>>,
    }

    impl Turns for Doubling {
        type Work = u32;
        type Result = u32;

        async fn do_all(&self, numbers: Vec<u32>) -> Vec<u32> {
            self.may.acquire().await.expect("is open").forget();
            self.groups.lock().push(numbers.clone());
            numbers.iter().map(|number| number * 2).collect()
        }
    }

    type Caller = JoinHandle<Result<u32, Stopped>>;

    /// Doubles 1 to `count`, of which the first one has the turn and the others wait.
    async fn start(count: u32) -> (Doubling, Vec<Caller>) {
        let doubling = Doubling {
            may: Arc::new(Semaphore::new(0)),
            groups: Arc::default(),
        };
        let together = Arc::new(Together::new(doubling.clone(), 1, 3));
        let caller = |number| {
            let together = Arc::clone(&together);
            tokio::spawn(async move { together.run(number, 1).await })
        };
        let callers = (1..=count).map(caller).collect();
        tokio::task::yield_now().await;
        (doubling, callers)
    }

    #[tokio::test]
    async fn what_comes_in_during_a_turn_is_done_in_the_next_and_each_gets_its_own() {
        let (doubling, callers) = start(5).await;
        doubling.may.add_permits(10);
        for (number, caller) in (1..).zip(callers) {
            assert_eq!(caller.await.expect("ends"), Ok(number * 2));
        }
        assert_eq!(*doubling.groups.lock(), [vec![1], vec![2, 3, 4], vec![5]]);
    }

    #[tokio::test]
    async fn one_that_goes_away_stops_no_other() {
        let (doubling, callers) = start(5).await;
        callers[0].abort();
        callers[1].abort();
        tokio::task::yield_now().await;
        doubling.may.add_permits(10);
        for (number, caller) in (1..).zip(callers) {
            match (number, caller.await) {
                (1 | 2, ended) => assert!(ended.expect_err("was stopped").is_cancelled()),
                (_, ended) => assert_eq!(ended.expect("ends"), Ok(number * 2)),
            }
        }
    }

    #[tokio::test]
    async fn who_was_in_a_turn_that_was_stopped_is_told() {
        let (doubling, mut callers) = start(3).await;
        doubling.may.add_permits(1);
        assert_eq!(callers.remove(0).await.expect("ends"), Ok(2));
        tokio::task::yield_now().await;
        callers[0].abort();
        assert_eq!(callers.remove(1).await.expect("ends"), Err(Stopped));
    }
}
