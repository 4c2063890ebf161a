//! The threads of a forward pass: one pool for everything, whose threads spin between the operations of a pass and
//! sleep between passes.
//!
//! Each thread has a run of neighbouring tasks and takes them one by one, so that what it reads is one stream; when its
//! own are done it takes those of others, so that a thread which the system holds up costs one task.

use std::any::Any;
use std::cell::UnsafeCell;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::placement;

/// How long an idle thread looks for work before it sleeps: longer than what lies between two operations.
const SPIN: Duration = Duration::from_micros(100);
/// The most threads.
const MOST: usize = 1024;

type Task<'a> = &'a (dyn Fn(usize) + Sync);

/// A number that one thread changes often, in cache lines of its own.
#[repr(align(128))]
struct Counter(AtomicUsize);

struct Job {
    /// Borrowed for the length of [`run`] only, which outlives every use of it.
    task: UnsafeCell<Option<Task<'static>>>,
    tasks: AtomicUsize,
    /// For each thread, the next of its tasks.
    next: [Counter; MOST],
    /// Threads that still work on it.
    pending: AtomicUsize,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `task` is written before `TICKET` is stored (release) and read after it is loaded (acquire); it is not
// written again before `pending` is back at 0.
unsafe impl Sync for Job {}

static JOB: Job = Job {
    task: UnsafeCell::new(None),
    tasks: AtomicUsize::new(0),
    next: [const { Counter(AtomicUsize::new(0)) }; MOST],
    pending: AtomicUsize::new(0),
    panic: Mutex::new(None),
};
/// The number of the job in the upper bits, how many threads it is for in the lower sixteen.
static TICKET: AtomicU64 = AtomicU64::new(0);
/// Threads that compute, the caller's included; 0: not set yet.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);
/// Threads started so far.
static STARTED: Mutex<usize> = Mutex::new(0);
static ASLEEP: AtomicUsize = AtomicUsize::new(0);
static BED: Mutex<()> = Mutex::new(());
static ALARM: Condvar = Condvar::new();
/// Set while the calling thread is inside [`run`] with helpers: work within work is done by the thread that asks.
static BUSY: AtomicBool = AtomicBool::new(false);

/// Threads that a core is given at most: more of them only wait for each other.
const MOST_A_CORE: usize = 4;

/// How many threads compute from now on, the caller's included; [`threads`] tells how many it became. Threads that
/// cannot be started are done without, and so are those past four a core.
pub fn set_threads(threads: usize) {
    let mut started = STARTED.lock().unwrap_or_else(PoisonError::into_inner);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    let threads = threads.clamp(1, MOST.min(cores.saturating_mul(MOST_A_CORE)));
    while *started + 1 < threads {
        let index = *started + 1;
        let thread = std::thread::Builder::new()
            .name(format!("crane-{index}"))
            .spawn(move || work(index));
        if thread.is_err() {
            break;
        }
        *started = index;
    }
    ACTIVE.store(threads.min(*started + 1), Ordering::Relaxed);
}

/// How many threads compute, the caller's included.
pub fn threads() -> usize {
    match ACTIVE.load(Ordering::Relaxed) {
        0 => {
            set_threads(std::thread::available_parallelism().map_or(1, |n| n.get()));
            ACTIVE.load(Ordering::Relaxed)
        }
        active => active,
    }
}

/// Calls `task` once with each of `0..tasks`, on all threads; returns when all are done. From within a task, or while
/// another thread's work is under way, the calling thread does all of it itself.
pub fn run(tasks: usize, task: impl Fn(usize) + Sync) {
    if tasks <= 1 || threads() == 1 {
        return (0..tasks).for_each(task);
    }
    // Nobody waits for the pool: a second user computes alone.
    if BUSY.swap(true, Ordering::Acquire) {
        return (0..tasks).for_each(task);
    }
    let outcome = share(tasks, &task);
    BUSY.store(false, Ordering::Release);
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

fn share(tasks: usize, task: Task) -> Result<(), Box<dyn Any + Send>> {
    let threads = threads();
    placement::settle(0, threads);
    // SAFETY: the borrow is lengthened, but this function returns only when `pending` is 0, after which no thread
    // touches it; and no other thread writes it, as `BUSY` is held.
    unsafe { *JOB.task.get() = Some(std::mem::transmute::<Task<'_>, Task<'static>>(task)) };
    JOB.tasks.store(tasks, Ordering::Relaxed);
    for (thread, next) in JOB.next.iter().enumerate().take(threads) {
        next.0
            .store(first_task(tasks, threads, thread), Ordering::Relaxed);
    }
    JOB.pending.store(threads - 1, Ordering::Relaxed);
    let number = (TICKET.load(Ordering::Relaxed) >> 16).wrapping_add(1);
    TICKET.store((number << 16) | threads as u64, Ordering::SeqCst);
    if ASLEEP.load(Ordering::SeqCst) > 0 {
        drop(BED.lock().unwrap_or_else(PoisonError::into_inner));
        ALARM.notify_all();
    }
    let mine = catch_unwind(AssertUnwindSafe(|| take_tasks(task, 0, threads)));
    let mut spins = 0u32;
    while JOB.pending.load(Ordering::Acquire) > 0 {
        spins += 1;
        match spins % 4096 {
            // Another thread may need this core to get its task done.
            0 => std::thread::yield_now(),
            _ => std::hint::spin_loop(),
        }
    }
    let theirs = JOB
        .panic
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    mine.and(theirs.map_or(Ok(()), Err))
}

/// The first task of `thread`, one of `threads`, or the end of the one's before it.
fn first_task(tasks: usize, threads: usize, thread: usize) -> usize {
    // Exact and without overflow for any number of tasks.
    tasks / threads * thread + tasks % threads * thread / threads
}

/// Does the tasks of thread `index`, then what others left.
fn take_tasks(task: Task, index: usize, threads: usize) {
    let tasks = JOB.tasks.load(Ordering::Relaxed);
    for thread in (index..threads).chain(0..index) {
        let end = first_task(tasks, threads, thread + 1);
        loop {
            let next = JOB.next[thread].0.fetch_add(1, Ordering::Relaxed);
            if next >= end {
                break;
            }
            task(next);
        }
    }
}

/// The life of thread `index`, 1 or more.
fn work(index: usize) {
    let mut seen = 0;
    loop {
        seen = next_ticket(seen);
        if index >= (seen & 0xffff) as usize {
            continue;
        }
        let threads = (seen & 0xffff) as usize;
        placement::settle(index, threads);
        // SAFETY: written before the ticket, and left alone until `pending` is 0.
        if let Some(task) = unsafe { *JOB.task.get() } {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| take_tasks(task, index, threads)))
            {
                *JOB.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
            }
        }
        JOB.pending.fetch_sub(1, Ordering::Release);
    }
}

/// Waits for a ticket other than `seen`: awake for a while, then asleep.
fn next_ticket(seen: u64) -> u64 {
    let started = Instant::now();
    loop {
        for _ in 0..256 {
            let ticket = TICKET.load(Ordering::Acquire);
            if ticket != seen {
                return ticket;
            }
            std::hint::spin_loop();
        }
        if started.elapsed() > SPIN {
            break;
        }
    }
    let mut bed = BED.lock().unwrap_or_else(PoisonError::into_inner);
    ASLEEP.fetch_add(1, Ordering::SeqCst);
    let ticket = loop {
        let ticket = TICKET.load(Ordering::SeqCst);
        if ticket != seen {
            break ticket;
        }
        bed = ALARM.wait(bed).unwrap_or_else(PoisonError::into_inner);
    };
    ASLEEP.fetch_sub(1, Ordering::SeqCst);
    ticket
}

/// A slice that several tasks write, each its own part.
pub(crate) struct Parts<T> {
    start: *mut T,
    len: usize,
}

// SAFETY: a pointer to numbers; who writes where is promised at `part`.
unsafe impl<T: Send> Send for Parts<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Parts<T> {}

impl<T> Parts<T> {
    pub fn new(slice: &mut [T]) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
        }
    }

    /// `len` items from `start` on.
    ///
    /// # Safety
    /// The slice that this was made of outlives the part, and no two parts in use at a time overlap.
    #[inline(always)]
    // The parts are promised not to overlap: that is what this type is for.
    #[allow(clippy::mut_from_ref)]
    pub unsafe fn part(&self, start: usize, len: usize) -> &mut [T] {
        debug_assert!(start + len <= self.len, "a part past the end");
        std::slice::from_raw_parts_mut(self.start.add(start), len)
    }

    /// The address of item `start`, for tasks whose items interleave.
    ///
    /// # Safety
    /// As [`Parts::part`], for each item that is written.
    pub unsafe fn at(&self, start: usize) -> *mut T {
        debug_assert!(start <= self.len, "an item past the end");
        self.start.add(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_runs_once_whatever_the_number_of_threads() {
        for threads in [1, 2, 3, 7, 2] {
            set_threads(threads);
            for tasks in [0, 1, 2, 63, 1000] {
                let counts: Vec<AtomicUsize> = (0..tasks).map(|_| AtomicUsize::new(0)).collect();
                run(tasks, |i| {
                    counts[i].fetch_add(1, Ordering::Relaxed);
                });
                assert!(counts.iter().all(|c| c.load(Ordering::Relaxed) == 1));
            }
        }
    }

    #[test]
    fn work_within_work_is_done() {
        let count = AtomicUsize::new(0);
        run(10, |_| {
            run(10, |_| {
                count.fetch_add(1, Ordering::Relaxed);
            })
        });
        assert_eq!(count.into_inner(), 100);
    }

    #[test]
    fn sleeping_threads_wake() {
        for _ in 0..3 {
            std::thread::sleep(SPIN * 5);
            let count = AtomicUsize::new(0);
            run(100, |_| {
                count.fetch_add(1, Ordering::Relaxed);
            });
            assert_eq!(count.into_inner(), 100);
        }
    }

    #[test]
    fn a_panic_reaches_the_caller_and_the_pool_lives_on() {
        let outcome = catch_unwind(|| run(50, |i| assert!(i != 33, "thirty-three")));
        assert!(outcome.is_err());
        let count = AtomicUsize::new(0);
        run(50, |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
        assert_eq!(count.into_inner(), 50);
    }
}
