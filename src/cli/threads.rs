//! How many threads compute.

use anyhow::Context;

use crate::kernels::pool;

/// The physical cores that this process may use: sibling threads of a core share its arithmetic units, and
/// the affinity mask and the cgroup's quota bound what is there.
pub fn default_count() -> usize {
    let available = std::thread::available_parallelism().map_or(1, |n| n.get());
    physical_cores().map_or(available, |cores| cores.clamp(1, available))
}

/// Cores among the CPUs of the affinity mask; None where the system does not say.
#[cfg(target_os = "linux")]
fn physical_cores() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let siblings = |cpu: usize| {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        std::fs::read_to_string(path).ok()
    };
    count_cores(allowed, &siblings)
}

#[cfg(not(target_os = "linux"))]
fn physical_cores() -> Option<usize> {
    None
}

#[cfg(any(target_os = "linux", test))]
fn count_cores(allowed: &str, siblings: &dyn Fn(usize) -> Option<String>) -> Option<usize> {
    let cores: Option<std::collections::BTreeSet<String>> =
        cpu_list(allowed)?.into_iter().map(siblings).collect();
    cores.map(|set| set.len())
}

/// Linux' list format: `0-3,8`. None for anything else, and for a mask of more CPUs than Linux knows.
#[cfg(any(target_os = "linux", test))]
fn cpu_list(text: &str) -> Option<Vec<usize>> {
    let mut cpus = Vec::new();
    for part in text.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= 8192 {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Gives the thread pools their size. Must run before any other thread starts: pools read their size once,
/// and the environment may only be written while there is one thread to read it.
///
/// Returns how many threads compute: fewer than asked where the cores could not make use of them.
pub fn configure(threads: usize) -> anyhow::Result<usize> {
    pool::set_threads(threads);
    let threads = pool::threads();
    for variable in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
        std::env::set_var(variable, threads.to_string());
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .with_context(|| format!("starting {threads} threads; try a smaller --threads"))?;
    Ok(threads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        assert_eq!(cpu_list("0-3,8\n"), Some(vec![0, 1, 2, 3, 8]));
        assert_eq!(cpu_list("5"), Some(vec![5]));
        assert_eq!(cpu_list(""), None);
        assert_eq!(cpu_list("0-99999999999"), None);
    }

    #[test]
    fn siblings_count_once() {
        let siblings = |cpu: usize| Some(format!("{},{}", cpu % 2, cpu % 2 + 2));
        assert_eq!(count_cores("0-3", &siblings), Some(2));
        assert_eq!(count_cores("0,2", &siblings), Some(1));
        assert_eq!(count_cores("0-1", &|_| None), None);
    }

    #[test]
    fn there_is_always_a_thread() {
        assert!(default_count() >= 1);
    }
}
