//! What the binary can compute on: `crane devices`, `crane --version` and the choice behind `--device`.

use std::io::Write;
#[cfg(feature = "cuda")]
use std::sync::Arc;

use candle_core::Device;
use serde::Serialize;

use crate::bench;
use crate::hub;
#[cfg(feature = "cuda")]
use crate::kernels::cuda::Gpu;
use crate::weights::LoadOptions;

use super::exit::{self, CliError};
use super::global::DeviceChoice;
use super::settings::Settings;

/// CUDA devices are asked for up to this ordinal.
const MAX_GPUS: usize = 16;

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
}

/// The device for a run, with what the user should know of the choice.
pub struct Picked {
    device: Device,
    #[cfg(feature = "cuda")]
    gpu: Option<Arc<Gpu>>,
    /// As `--device` spells it: `cpu`, `cuda:0`, `metal`.
    pub name: String,
    /// A fall-back and its reason.
    pub note: Option<String>,
}

impl Picked {
    /// Loading onto it, all else as by itself.
    pub fn options(&self) -> LoadOptions {
        LoadOptions {
            device: self.device.clone(),
            #[cfg(feature = "cuda")]
            gpu: self.gpu.clone(),
            ..LoadOptions::default()
        }
    }

    fn of(device: Device, name: &str) -> Self {
        Self {
            device,
            #[cfg(feature = "cuda")]
            gpu: None,
            name: name.to_string(),
            note: None,
        }
    }
}

/// Opens the device of `--device`. `auto` takes a GPU where one is compiled in and works, else the CPU.
pub fn pick(choice: DeviceChoice) -> Result<Picked, CliError> {
    match choice {
        DeviceChoice::Cpu => Ok(Picked::of(Device::Cpu, "cpu")),
        DeviceChoice::Cuda(n) => cuda(n).map_err(|why| refused(&format!("cuda:{n}"), &why)),
        DeviceChoice::Metal => metal()
            .map(|device| Picked::of(device, "metal"))
            .map_err(|why| refused("metal", &why)),
        DeviceChoice::Auto => {
            let mut reasons = Vec::new();
            if cfg!(feature = "cuda") {
                match cuda(0) {
                    Ok(picked) => return Ok(picked),
                    Err(why) => reasons.push(format!("CUDA: {why}")),
                }
            }
            if cfg!(feature = "metal") {
                match metal() {
                    Ok(device) => return Ok(Picked::of(device, "metal")),
                    Err(why) => reasons.push(format!("Metal: {why}")),
                }
            }
            let note = (!reasons.is_empty()).then(|| {
                format!(
                    "computing on the CPU, the GPU cannot be used ({})",
                    reasons.join("; ")
                )
            });
            Ok(Picked {
                note,
                ..Picked::of(Device::Cpu, "cpu")
            })
        }
    }
}

fn refused(name: &str, why: &str) -> CliError {
    CliError::Device(format!(
        "--device {name} cannot be used: {why}; 'crane devices' lists what can"
    ))
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize) -> Result<Picked, String> {
    let gpu = open(|| Gpu::open(ordinal))?;
    Ok(Picked {
        gpu: Some(gpu),
        ..Picked::of(Device::Cpu, &format!("cuda:{ordinal}"))
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize) -> Result<Picked, String> {
    Err("this build has no CUDA; build it with 'cargo build --release --features cuda'".into())
}

fn metal() -> Result<Device, String> {
    if !cfg!(feature = "metal") {
        return Err(
            "this build has no Metal; build it on macOS with 'cargo build --release --features metal'".into(),
        );
    }
    open(|| Device::new_metal(0))
}

/// A missing driver library makes the GPU crates panic instead of failing.
fn open<T, E>(device: impl FnOnce() -> Result<T, E>) -> Result<T, String>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match exit::catch(device) {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(exit::message(&anyhow::Error::from(error))),
        Err(panicked) => Err(panicked),
    }
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
        match &probe.reason {
            None => writeln!(out, "{:<8} usable", probe.name)?,
            Some(reason) => writeln!(out, "{:<8} no: {reason}", probe.name)?,
        }
    }
    writeln!(out, "auto     {}", report.auto)?;
    Ok(())
}

fn survey(settings: &Settings) -> Report {
    let mut devices = vec![probe("cpu", Ok(()))];
    for ordinal in 0..MAX_GPUS {
        let found = probe(&format!("cuda:{ordinal}"), cuda(ordinal).map(drop));
        if ordinal > 0 && !found.usable {
            break;
        }
        let last = !found.usable;
        devices.push(found);
        if last {
            break;
        }
    }
    devices.push(probe("metal", metal().map(drop)));
    let auto = pick(DeviceChoice::Auto).map_or_else(|error| error.to_string(), |p| p.name);
    Report {
        cpu: Cpu {
            model: cpu_model(),
            architecture: std::env::consts::ARCH,
            features: cpu_features(),
        },
        threads: settings.threads,
        memory_bytes: hub::total_memory(),
        devices,
        auto,
    }
}

fn probe(name: &str, opened: Result<(), String>) -> Probe {
    Probe {
        name: name.to_string(),
        usable: opened.is_ok(),
        reason: opened.err(),
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
    fn the_cpu_is_always_there() {
        let picked = pick(DeviceChoice::Cpu).unwrap();
        assert!(picked.device.is_cpu());
        assert_eq!(picked.name, "cpu");
        assert!(pick(DeviceChoice::Auto).is_ok());
    }

    #[test]
    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    fn a_missing_back_end_says_how_to_get_it() {
        for choice in [DeviceChoice::Cuda(0), DeviceChoice::Metal] {
            let text = pick(choice).err().unwrap().to_string();
            assert!(text.contains("--features"), "{text}");
        }
        assert!(pick(DeviceChoice::Auto).unwrap().note.is_none());
    }

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
