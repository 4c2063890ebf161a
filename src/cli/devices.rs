//! What the binary can compute on: `crane devices`, `crane --version` and the choice behind `--device`.

#[cfg(feature = "cuda")]
mod failure;
#[cfg(any(feature = "cuda", test))]
mod fit;
mod nvidia;
mod pick;
mod place;
mod purpose;

use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bench;
use crate::hub;

use super::settings::Settings;

pub use pick::{pick, Freed, Picked, Wanted};
pub use place::Place;
pub use purpose::Purpose;

#[derive(Debug, Serialize)]
struct Report {
    cpu: Cpu,
    threads: usize,
    memory_bytes: Option<u64>,
    devices: Vec<Probe>,
    /// What `--device auto` takes.
    auto: String,
}

#[derive(Debug, Serialize)]
struct Cpu {
    model: Option<String>,
    architecture: &'static str,
    features: Vec<&'static str>,
}

/// One device, and why it cannot be used.
#[derive(Debug, Clone, Serialize)]
struct Probe {
    name: String,
    usable: bool,
    reason: Option<String>,
    /// What is known of a GPU, field by field, in words and what the user should know of it.
    #[serde(flatten)]
    facts: Map<String, Value>,
    #[serde(skip)]
    words: Option<String>,
    #[serde(skip)]
    notes: Vec<String>,
}

/// `crane devices`.
pub fn run(settings: &Settings, out: &mut dyn Write) -> anyhow::Result<()> {
    let report = survey(settings);
    if settings.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
        return Ok(());
    }
    let cpu = &report.cpu;
    writeln!(
        out,
        "cpu      {} ({}), {} threads",
        cpu.model.as_deref().unwrap_or("unknown"),
        cpu.architecture,
        report.threads
    )?;
    writeln!(out, "         features: {}", joined(&cpu.features))?;
    if let Some(bytes) = report.memory_bytes {
        writeln!(out, "memory   {:.1} GiB", bytes as f64 / f64::from(1 << 30))?;
    }
    for probe in report.devices.iter().filter(|probe| probe.name != "cpu") {
        let state = match &probe.reason {
            None => "usable".to_string(),
            Some(reason) => format!("no: {reason}"),
        };
        let words = probe.words.iter().map(|words| format!(" ({words})"));
        writeln!(
            out,
            "{:<8} {state}{}",
            probe.name,
            words.collect::<String>()
        )?;
        for note in &probe.notes {
            writeln!(out, "         note: {note}")?;
        }
    }
    writeln!(out, "auto     {}", report.auto)?;
    Ok(())
}

fn survey(settings: &Settings) -> Report {
    let mut devices = vec![probe("cpu", Ok(()))];
    devices.extend(nvidia::probes());
    devices.push(probe("metal", pick::metal().map(drop)));
    // As `pick` does, without opening anything once more.
    let mut gpus = devices[1..].iter();
    let auto = gpus
        .find(|probe| probe.usable)
        .map(|probe| probe.name.clone());
    Report {
        cpu: Cpu {
            model: cpu_model(),
            architecture: std::env::consts::ARCH,
            features: cpu_features(),
        },
        threads: settings.threads,
        memory_bytes: hub::total_memory(),
        devices,
        auto: auto.unwrap_or_else(|| "cpu".into()),
    }
}

fn probe(name: &str, opened: Result<(), String>) -> Probe {
    Probe {
        name: name.to_string(),
        usable: opened.is_ok(),
        reason: opened.err(),
        facts: Map::new(),
        words: None,
        notes: Vec::new(),
    }
}

fn joined(names: &[&str]) -> String {
    match names.is_empty() {
        true => "none".into(),
        false => names.join(" "),
    }
}

/// The instruction sets that matter here and that this CPU has.
pub fn cpu_features() -> Vec<&'static str> {
    let mut found = Vec::new();
    #[cfg(target_arch = "x86_64")]
    for (name, present) in [
        ("avx2", std::arch::is_x86_feature_detected!("avx2")),
        ("fma", std::arch::is_x86_feature_detected!("fma")),
        ("f16c", std::arch::is_x86_feature_detected!("f16c")),
        ("avx512f", std::arch::is_x86_feature_detected!("avx512f")),
        ("avx512bw", std::arch::is_x86_feature_detected!("avx512bw")),
        (
            "avx512vnni",
            std::arch::is_x86_feature_detected!("avx512vnni"),
        ),
        (
            "avx512bf16",
            std::arch::is_x86_feature_detected!("avx512bf16"),
        ),
    ] {
        if present {
            found.push(name);
        }
    }
    #[cfg(target_arch = "aarch64")]
    for (name, present) in [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        (
            "dotprod",
            std::arch::is_aarch64_feature_detected!("dotprod"),
        ),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
        ("bf16", std::arch::is_aarch64_feature_detected!("bf16")),
        ("i8mm", std::arch::is_aarch64_feature_detected!("i8mm")),
    ] {
        if present {
            found.push(name);
        }
    }
    found
}

/// What `crane --version` says below the version.
pub fn long_version() -> String {
    let mut backends = vec!["cpu"];
    for (name, compiled) in [
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
        ("accelerate", cfg!(feature = "accelerate")),
    ] {
        if compiled {
            backends.push(name);
        }
    }
    format!(
        "{}\ncpu features: {}\nback ends: {}",
        env!("CARGO_PKG_VERSION"),
        joined(&cpu_features()),
        backends.join(" ")
    )
}

/// The first value of `key` in a Linux file of `key : value` lines.
fn proc_value(file: &str, key: &str) -> Option<String> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim().to_string())
    })
}

fn cpu_model() -> Option<String> {
    proc_value("/proc/cpuinfo", "model name")
}

/// The most memory that this process has held, in bytes; None where the system does not say.
pub fn peak_memory_bytes() -> Option<u64> {
    bench::memory::peak()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn linux_tells_memory() {
        assert!(peak_memory_bytes().unwrap() > 0);
        assert!(hub::total_memory().unwrap() > peak_memory_bytes().unwrap() / 1024);
    }

    #[test]
    fn the_version_names_back_ends() {
        let text = long_version();
        assert!(text.starts_with(env!("CARGO_PKG_VERSION")));
        assert!(text.contains("back ends: cpu"));
    }
}
