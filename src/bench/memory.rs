//! What a process holds and what the machine has, where the system says it (Linux).

use std::fs;

use super::BenchError;
use crate::hub::human_bytes;
use crate::kernels::heap;

/// What a process needs beside weights and cache.
const BESIDE: u64 = 128 << 20;

/// The most memory that this process has held since its start or the last [`reset_peak`], in bytes.
pub fn peak() -> Option<u64> {
    value(&fs::read_to_string("/proc/self/status").ok()?, "VmHWM")
}

/// Starts [`peak`] anew, without what earlier models have left to the allocator; whether the system does that.
pub fn reset_peak() -> bool {
    heap::give_back();
    // 5 resets the "high water mark" (proc(5), clear_refs).
    fs::write("/proc/self/clear_refs", "5").is_ok()
}

/// Bytes that a process can take without driving others out of memory.
pub fn available() -> Option<u64> {
    value(&fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable")
}

/// Whether `needed` bytes of weights and cache can be held, where the system says it.
///
/// # Errors
/// They cannot.
pub fn check(needed: u64) -> Result<(), BenchError> {
    match available() {
        Some(available) => compare(needed.saturating_add(BESIDE), available),
        None => Ok(()),
    }
}

/// # Errors
/// `needed` bytes are more than those `available`.
pub fn compare(needed: u64, available: u64) -> Result<(), BenchError> {
    match needed <= available {
        true => Ok(()),
        false => Err(BenchError::Memory {
            needed: human_bytes(needed),
            available: human_bytes(available),
        }),
    }
}

/// Bytes of the largest cache that the first CPU sees.
pub fn last_level_cache() -> Option<usize> {
    let sizes = (0..8).filter_map(|index| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        let text = fs::read_to_string(path).ok()?;
        let kib: usize = text.trim().strip_suffix('K')?.parse().ok()?;
        kib.checked_mul(1024)
    });
    sizes.max()
}

/// Bytes of the line `key:  12 kB`.
fn value(text: &str, key: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let text = "VmPeak:\t 9 kB\nVmHWM:\t   12 kB\n";
        assert_eq!(value(text, "VmHWM"), Some(12 * 1024));
        assert_eq!(value(text, "Vm"), None);
        assert_eq!(value("VmHWM: many kB", "VmHWM"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_says_it() {
        assert!(peak().unwrap() > 0);
        assert!(available().unwrap() > 0);
    }
}
