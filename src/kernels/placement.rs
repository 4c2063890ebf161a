//! Where the threads of the pool run.
//!
//! Threads that spin look busy, so the system sees no reason to move two that it woke on one core: a pass may then run
//! at half its speed for as long as it takes. A thread that finds itself beside another of the pool moves to a free core
//! by itself; afterwards the system may place it as it likes.

#[cfg(target_os = "linux")]
pub(super) use linux::settle;

/// Moves thread `index` of `threads` to a core without another thread of the pool, where the system has one to tell.
#[cfg(not(target_os = "linux"))]
pub(super) fn settle(_index: usize, _threads: usize) {}

#[cfg(target_os = "linux")]
mod linux {
    use std::mem::{size_of, zeroed};
    use std::sync::atomic::{AtomicI32, Ordering};
    use std::sync::OnceLock;

    /// Threads that are kept apart; machines with more cores have room for accidents.
    const KEPT: usize = 64;
    const NOWHERE: i32 = -1;

    /// The core that each thread was last seen on.
    static SEEN: [AtomicI32; KEPT] = [const { AtomicI32::new(NOWHERE) }; KEPT];

    /// Moves thread `index` of `threads` to a core without another thread of the pool, if it shares one.
    #[inline]
    pub fn settle(index: usize, threads: usize) {
        if index >= KEPT || threads > KEPT {
            return;
        }
        // SAFETY: takes nothing and returns a number.
        let here = unsafe { libc::sched_getcpu() };
        if SEEN[index].load(Ordering::Relaxed) != here {
            SEEN[index].store(here, Ordering::Relaxed);
        }
        let shared = |other: usize| other != index && SEEN[other].load(Ordering::Relaxed) == here;
        // The caller stays where it is.
        if index > 0 && here >= 0 && (0..threads).any(shared) {
            move_away(index, threads);
        }
    }

    #[cold]
    fn move_away(index: usize, threads: usize) {
        static ALLOWED: OnceLock<Option<libc::cpu_set_t>> = OnceLock::new();
        let size = size_of::<libc::cpu_set_t>();
        let allowed = ALLOWED.get_or_init(|| {
            // SAFETY: a mask of bits, for which zero is a value, filled by the system.
            unsafe {
                let mut set: libc::cpu_set_t = zeroed();
                (libc::sched_getaffinity(0, size, &mut set) == 0).then_some(set)
            }
        });
        let Some(allowed) = allowed else { return };
        let mut free = *allowed;
        // SAFETY: the cores are numbers that the system gave, below the size of its masks.
        unsafe {
            for other in (0..threads).filter(|&other| other != index) {
                let core = SEEN[other].load(Ordering::Relaxed);
                if core != NOWHERE {
                    libc::CPU_CLR(core as usize, &mut free);
                }
            }
            if libc::CPU_COUNT(&free) > 0 && libc::sched_setaffinity(0, size, &free) == 0 {
                SEEN[index].store(libc::sched_getcpu(), Ordering::Relaxed);
                libc::sched_setaffinity(0, size, allowed);
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_thread_beside_another_moves_if_there_is_a_core() {
            let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
            // Numbers that the pool of the other tests does not use.
            let (first, second) = (KEPT - 2, KEPT - 1);
            // SAFETY: as above.
            let here = unsafe { libc::sched_getcpu() };
            SEEN[first].store(here, Ordering::Relaxed);
            SEEN[second].store(here, Ordering::Relaxed);
            move_away(second, KEPT);
            if cores > KEPT {
                assert_ne!(SEEN[second].load(Ordering::Relaxed), here);
            }
            let apart = std::thread::available_parallelism().map_or(1, |n| n.get());
            assert_eq!(apart, cores, "the mask is as it was");
            SEEN[first].store(NOWHERE, Ordering::Relaxed);
            SEEN[second].store(NOWHERE, Ordering::Relaxed);
        }
    }
}
