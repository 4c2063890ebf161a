//! Disk and memory: what there is and what a model needs.

use std::path::{Path, PathBuf};

use super::HubError;

/// Free bytes on the disk that `path` lies or will lie on; `None` if the system does not say.
pub fn free_disk(path: &Path) -> Option<u64> {
    fs4::available_space(existing(path)).ok()
}

/// The nearest folder above `path` that exists.
fn existing(path: &Path) -> PathBuf {
    path.ancestors()
        .find(|p| p.exists())
        .unwrap_or(Path::new("."))
        .to_path_buf()
}

/// Fails if `bytes` more do not fit on the disk of `cache_dir`.
pub fn check_disk(cache_dir: &Path, bytes: u64, what: &str) -> Result<(), HubError> {
    match free_disk(cache_dir) {
        Some(free) if free < bytes => Err(HubError::NoSpace(format!(
            "{what} needs {} more on the disk of {}, which has {} free; remove a model (`crane list`, \
             `crane rm NAME`) or set HF_HUB_CACHE to a folder on a larger disk",
            human_bytes(bytes),
            cache_dir.display(),
            human_bytes(free),
        ))),
        _ => Ok(()),
    }
}

/// Memory that a model of `weight_bytes` on disk needs to run: the weights themselves and room for
/// the KV cache and activations of a usual context. An estimate; quantising at load needs less.
pub fn memory_needed(weight_bytes: u64) -> u64 {
    weight_bytes + weight_bytes / 10 + (256 << 20)
}

/// Bytes of memory in this machine; `None` if the system does not say.
pub fn total_memory() -> Option<u64> {
    if cfg!(target_os = "linux") {
        return parse_meminfo(&std::fs::read_to_string("/proc/meminfo").ok()?);
    }
    if cfg!(target_os = "macos") {
        let said = std::process::Command::new("/usr/sbin/sysctl")
            .args(["-n", "hw.memsize"])
            .output()
            .ok()?;
        return String::from_utf8(said.stdout).ok()?.trim().parse().ok();
    }
    None
}

fn parse_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// `98.4 MB`, decimal units as disks and the hub use them.
pub fn human_bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = UNITS[0];
    for next in UNITS.iter().skip(1) {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = next;
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ => format!("{value:.1} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_decimal_units() {
        assert_eq!(human_bytes(0), "0 B");
        assert_eq!(human_bytes(999), "999 B");
        assert_eq!(human_bytes(98_362_432), "98.4 MB");
        assert_eq!(human_bytes(999_999), "1.0 MB");
        assert_eq!(human_bytes(u64::MAX), "18446744.1 TB");
    }

    #[test]
    fn meminfo_is_read() {
        assert_eq!(
            parse_meminfo("MemTotal:       16 kB\nMemFree: 1 kB\n"),
            Some(16384)
        );
        assert_eq!(parse_meminfo("nothing"), None);
    }

    #[test]
    fn a_disk_that_is_too_small_is_said_before_the_first_byte() {
        let dir = std::env::temp_dir().join("not").join("there").join("yet");
        assert!(check_disk(&dir, 1, "x").is_ok());
        let error = check_disk(&dir, u64::MAX, "org/repo").expect_err("too much");
        assert!(matches!(error, HubError::NoSpace(_)));
        assert!(error.to_string().contains("HF_HUB_CACHE"));
    }
}
