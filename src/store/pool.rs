//! Threads that work at tasks, and results in the order in which the tasks were given.
//!
//! Each thread keeps a state of its own, such as what it decoded last. In a forked child the threads do not exist:
//! there a pool can only be dropped.

use std::collections::VecDeque;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle, available_parallelism};

use super::StoreError;
use crate::fs;

/// Tasks under way for each thread, done ones that nobody has asked for yet included.
const TASKS_PER_THREAD: usize = 3;

type Work<S, R> = Box<dyn FnOnce(&mut S) -> R + Send>;
/// What a task came to, or the panic that ended it.
type Outcome<R> = std::thread::Result<R>;
type Task<S, R> = (Work<S, R>, SyncSender<Outcome<R>>);

/// What else the machine does while a pool works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Priority {
    /// Somebody waits for the result.
    Usual,
    /// Everything else goes first.
    Low,
}

/// Some threads and what they have to do.
pub(super) struct Pool<S, R> {
    /// `None` once no more tasks are taken.
    tasks: Option<SyncSender<Task<S, R>>>,
    /// Results to come, in order.
    results: VecDeque<Receiver<Outcome<R>>>,
    threads: Vec<JoinHandle<()>>,
    /// Nobody waits for what was not begun.
    stopped: Arc<AtomicBool>,
    process: u32,
}

impl<S: Default + 'static, R: Send + 'static> Pool<S, R> {
    /// Starts a thread for each core, `most` at most.
    pub(super) fn spawn(most: usize, priority: Priority) -> Result<Self, StoreError> {
        let count = available_parallelism().map_or(1, NonZero::get).min(most);
        let (tasks, incoming) = sync_channel::<Task<S, R>>(TASKS_PER_THREAD * count);
        let incoming = Arc::new(Mutex::new(incoming));
        let stopped = Arc::new(AtomicBool::new(false));
        let mut pool = Self {
            tasks: Some(tasks),
            results: VecDeque::new(),
            threads: vec![],
            stopped: Arc::clone(&stopped),
            process: std::process::id(),
        };
        for _ in 0..count {
            let (incoming, stopped) = (Arc::clone(&incoming), Arc::clone(&stopped));
            let work = move || {
                if priority == Priority::Low {
                    fs::lower_priority();
                }
                let mut state = S::default();
                loop {
                    let task = incoming.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok((work, result)) = task else { return };
                    if !stopped.load(Ordering::Relaxed) {
                        let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut state)));
                        // Whoever asked may be gone.
                        let _ = result.send(outcome);
                    }
                }
            };
            match Builder::new().name("onenb-store".to_owned()).spawn(work) {
                Ok(thread) => pool.threads.push(thread),
                // With fewer it takes longer.
                Err(_) if !pool.threads.is_empty() => break,
                Err(source) => {
                    return Err(StoreError::Io { doing: "start a thread for", path: "the store".into(), source });
                }
            }
        }
        Ok(pool)
    }
}

impl<S, R> Pool<S, R> {
    /// Returns whether a result should be taken before another task is given.
    pub(super) fn is_full(&self) -> bool {
        self.results.len() >= TASKS_PER_THREAD * self.threads.len()
    }

    /// Returns how many results are to come.
    pub(super) fn len(&self) -> usize {
        self.results.len()
    }

    /// Returns how many threads there are.
    pub(super) fn threads(&self) -> usize {
        self.threads.len()
    }

    /// Returns whether there is no result to come.
    pub(super) fn is_empty(&self) -> bool {
        self.results.is_empty()
    }

    /// Gives a task.
    pub(super) fn give(&mut self, work: impl FnOnce(&mut S) -> R + Send + 'static) -> Result<(), StoreError> {
        let (done, result) = sync_channel(1);
        let tasks = self.tasks.as_ref().ok_or(StoreError::Unsynced)?;
        tasks.send((Box::new(work), done)).map_err(|_| StoreError::Unsynced)?;
        self.results.push_back(result);
        Ok(())
    }

    /// Waits for the result of the task given first; `None` if all were taken. A panic there goes on here.
    pub(super) fn take(&mut self) -> Result<Option<R>, StoreError> {
        let Some(result) = self.results.pop_front() else { return Ok(None) };
        let outcome = result.recv().map_err(|_| StoreError::Unsynced)?;
        Ok(Some(outcome.unwrap_or_else(|panic| resume_unwind(panic))))
    }

    /// Lets go of what was not begun. Its results never come.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

impl<S, R> Drop for Pool<S, R> {
    fn drop(&mut self) {
        if self.process != std::process::id() {
            // A thread may have held the lock of a channel at the moment of the fork.
            std::mem::forget((self.tasks.take(), std::mem::take(&mut self.results), std::mem::take(&mut self.threads)));
            return;
        }
        self.stop();
        drop(self.tasks.take());
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_the_order_of_the_tasks() {
        let mut pool = Pool::<(), usize>::spawn(4, Priority::Usual).unwrap();
        let mut taken = vec![];
        for number in 0..200 {
            if pool.is_full() {
                taken.extend(pool.take().unwrap());
            }
            // The later ones are done first where there are threads enough.
            pool.give(move |()| (0..(200 - number) * 50).fold(number, |value, _| std::hint::black_box(value))).unwrap();
        }
        while let Some(number) = pool.take().unwrap() {
            taken.push(number);
        }
        assert!(taken.iter().copied().eq(0..200) && pool.is_empty());
    }

    #[test]
    fn a_panic_reaches_who_takes_the_result_and_the_next_task_is_done() {
        let mut pool = Pool::<u32, u32>::spawn(1, Priority::Low).unwrap();
        let count = |state: &mut u32| {
            *state += 1;
            *state
        };
        pool.give(count).unwrap();
        pool.give(|_| panic!("as a test wants it")).unwrap();
        pool.give(count).unwrap();
        assert_eq!(pool.take().unwrap(), Some(1));
        assert!(catch_unwind(AssertUnwindSafe(|| pool.take())).is_err());
        assert_eq!((pool.take().unwrap(), pool.take().unwrap()), (Some(2), None));
    }

    #[test]
    fn what_was_not_begun_when_it_ends_is_never_done() {
        let done = Arc::new(Mutex::new(0));
        let (open, opened) = sync_channel::<()>(0);
        let mut pool = Pool::<(), ()>::spawn(1, Priority::Usual).unwrap();
        let count = |done: &Arc<Mutex<u32>>| *done.lock().unwrap();
        pool.give(move |()| assert!(opened.recv().is_err())).unwrap();
        let counted = Arc::clone(&done);
        pool.give(move |()| *counted.lock().unwrap() += 1).unwrap();
        pool.stop();
        drop(open);
        drop(pool);
        assert_eq!(count(&done), 0);
    }
}
