//! The choice behind `--device` and `--require-device`.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use candle_core::Device;

use super::place::Place;
use super::purpose::Purpose;
use crate::bench::memory;
use crate::cli::exit::{self, CliError};
use crate::cli::global::DeviceChoice;
#[cfg(feature = "cuda")]
use crate::cli::state;
#[cfg(feature = "cuda")]
use crate::kernels::cuda::{self, Gpu, Keep};
use crate::models::Part;
use crate::weights::{Checkpoint, LoadOptions};

/// What the user asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    pub device: DeviceChoice,
    /// Nothing is computed on the CPU in place of a GPU.
    pub required: bool,
}

/// A device that is open, before it is known whether the model has room there.
pub struct Picked {
    pub(super) wanted: Wanted,
    pub(super) device: Device,
    #[cfg(feature = "cuda")]
    pub(super) gpu: Option<Arc<Gpu>>,
    /// As `--device` spells it: `cpu`, `cuda:0`, `metal`.
    pub name: String,
    /// A fall-back and its reason.
    pub(super) note: Option<String>,
    /// Why `auto` did not take the GPUs before this one.
    pub(super) passed: Vec<Passed>,
    /// What is going to be freed before a model is loaded.
    pub(super) freed: Freed,
    /// What is there alone before a model is loaded, and for what.
    pub(super) before: Option<(Purpose, Part)>,
}

/// Why a GPU is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Passed {
    pub why: String,
    /// Whether what takes less memory would help.
    pub full: bool,
}

/// Bytes that are going to be free on a device.
#[derive(Debug, Clone, Default)]
pub struct Freed {
    pub device: String,
    pub bytes: u64,
}

impl Wanted {
    /// What becomes of a device that cannot be had, because of `why`.
    pub(super) fn refused(self, name: &str, why: &str) -> CliError {
        let text = format!("--device {name} cannot be used: {why}; 'crane devices' lists what can");
        match self.required {
            true => CliError::Required(text),
            false => CliError::Device(text),
        }
    }

    /// The note that the CPU is taken because of `why`, unless a GPU has to be.
    ///
    /// # Errors
    /// It has to be.
    pub(super) fn fall_back(self, why: &str) -> Result<String, CliError> {
        match self.required {
            true => Err(CliError::Required(format!("--require-device: {why}"))),
            false => Ok(format!("computing on the CPU: {why}")),
        }
    }
}

/// Opens the device that is asked for. `auto` takes the first GPU that works where they are compiled in, else the CPU.
/// `told` is what takes a while.
///
/// # Errors
/// A named device that cannot be used, and any where one is required.
pub fn pick(wanted: Wanted, told: &dyn Fn(&str)) -> Result<Picked, CliError> {
    let picked = |device, name: &str| Picked {
        wanted,
        device,
        #[cfg(feature = "cuda")]
        gpu: None,
        name: name.to_string(),
        note: None,
        passed: Vec::new(),
        freed: Freed::default(),
        before: None,
    };
    match wanted.device {
        DeviceChoice::Cpu if wanted.required => Err(CliError::Usage(
            "--require-device asks for a GPU and --device cpu for none: leave one of them out"
                .into(),
        )),
        DeviceChoice::Cpu => Ok(picked(Device::Cpu, "cpu")),
        DeviceChoice::Cuda(n) => {
            cuda(n, wanted, told).map_err(|why| wanted.refused(&format!("cuda:{n}"), &why))
        }
        DeviceChoice::Metal => metal()
            .map(|device| picked(device, "metal"))
            .map_err(|why| wanted.refused("metal", &why)),
        DeviceChoice::Auto => {
            let cuda = match next_cuda(0, wanted, Vec::new(), told) {
                Ok(picked) => return Ok(picked),
                Err(passed) => all_of(&passed),
            };
            let metal = match metal() {
                Ok(device) => return Ok(picked(device, "metal")),
                Err(why) => why,
            };
            let note = match no_gpu(&cuda, &metal) {
                Some(why) => Some(wanted.fall_back(&why)?),
                // Not worth a word where no GPU was asked for.
                None if !wanted.required => None,
                None => Some(wanted.fall_back(NO_BACK_END)?),
            };
            Ok(Picked {
                note,
                ..picked(Device::Cpu, "cpu")
            })
        }
    }
}

const NO_BACK_END: &str =
    "this build has no GPU back end; build it with 'cargo build --release --features cuda' (or metal)";

/// Why no GPU of a compiled-in back end can be used; None where there is no such back end.
fn no_gpu(cuda: &str, metal: &str) -> Option<String> {
    let reasons = [
        (cfg!(feature = "cuda"), "CUDA", cuda),
        (cfg!(feature = "metal"), "Metal", metal),
    ];
    let reasons = reasons.iter().filter(|(compiled, ..)| *compiled);
    let reasons: Vec<String> = reasons
        .map(|(_, name, why)| format!("{name}: {why}"))
        .collect();
    (!reasons.is_empty()).then(|| format!("the GPU cannot be used ({})", reasons.join("; ")))
}

#[cfg(feature = "cuda")]
fn cuda(ordinal: usize, wanted: Wanted, told: &dyn Fn(&str)) -> Result<Picked, String> {
    let folder = state::kernels();
    let compiling = || told("compiling the kernels of the GPU, once: this may take a minute");
    let keep = folder.as_deref().map(|folder| Keep {
        folder,
        compiling: &compiling,
    });
    let gpu = open(|| Gpu::open_keeping(ordinal, keep))?;
    Ok(Picked {
        wanted,
        device: Device::Cpu,
        gpu: Some(gpu),
        name: format!("cuda:{ordinal}"),
        note: None,
        passed: Vec::new(),
        freed: Freed::default(),
        before: None,
    })
}

/// The first GPU from number `first` on that can be used; why not where there is none. `passed` are those before it.
#[cfg(feature = "cuda")]
fn next_cuda(
    first: usize,
    wanted: Wanted,
    mut passed: Vec<Passed>,
    told: &dyn Fn(&str),
) -> Result<Picked, Vec<Passed>> {
    // Without any, opening the first one says why.
    let count = open(cuda::survey).map_or(1, |all| all.len().max(1));
    for ordinal in first..count {
        match cuda(ordinal, wanted, told) {
            Ok(picked) => return Ok(Picked { passed, ..picked }),
            Err(why) if count == 1 => passed.push(Passed { why, full: false }),
            Err(why) => passed.push(Passed {
                why: format!("cuda:{ordinal} cannot be used ({why})"),
                full: false,
            }),
        }
    }
    Err(passed)
}

#[cfg(not(feature = "cuda"))]
fn next_cuda(
    _: usize,
    _: Wanted,
    mut passed: Vec<Passed>,
    _: &dyn Fn(&str),
) -> Result<Picked, Vec<Passed>> {
    let why = NO_CUDA.into();
    passed.push(Passed { why, full: false });
    Err(passed)
}

pub(super) fn all_of(passed: &[Passed]) -> String {
    let whys: Vec<&str> = passed.iter().map(|passed| passed.why.as_str()).collect();
    whys.join("; ")
}

#[cfg(not(feature = "cuda"))]
fn cuda(_: usize, _: Wanted, _: &dyn Fn(&str)) -> Result<Picked, String> {
    Err(NO_CUDA.into())
}

#[cfg(not(feature = "cuda"))]
pub(super) const NO_CUDA: &str =
    "this build has no CUDA; build it with 'cargo build --release --features cuda'";

pub(super) fn metal() -> Result<Device, String> {
    if !cfg!(feature = "metal") {
        return Err(
            "this build has no Metal; build it on macOS with 'cargo build --release --features metal'".into(),
        );
    }
    open(|| Device::new_metal(0))
}

/// A driver's library that is missing, or lacks a call, makes the GPU crates panic instead of failing.
pub(super) fn open<T, E>(device: impl FnOnce() -> Result<T, E>) -> Result<T, String>
where
    E: std::error::Error + Send + Sync + 'static,
{
    match exit::catch(device) {
        Ok(Ok(device)) => Ok(device),
        Ok(Err(error)) => Err(exit::message(&anyhow::Error::from(error))),
        Err(panicked) => Err(format!("{panicked}; a newer driver may help")),
    }
}

impl Picked {
    /// The same where something is going to be freed before a model is loaded.
    pub fn freeing(self, freed: Freed) -> Self {
        Self { freed, ..self }
    }

    /// The next GPU in place of this one, which is not taken as the last of `passed` says; where there is none, all of
    /// them.
    #[cfg(feature = "cuda")]
    pub(super) fn instead(
        self,
        passed: Vec<Passed>,
        told: &dyn Fn(&str),
    ) -> Result<Self, Vec<Passed>> {
        let Some(gpu) = self.gpu else {
            return Err(passed);
        };
        let next = gpu.info().ordinal + 1;
        // It gives back what it holds.
        drop(gpu);
        let picked = next_cuda(next, self.wanted, passed, told)?;
        Ok(Self {
            freed: self.freed,
            before: self.before,
            ..picked
        })
    }

    /// The same where `part` is there alone for `purpose` before a model is loaded.
    pub fn after(self, purpose: Purpose, part: Part) -> Self {
        Self {
            before: Some((purpose, part)),
            ..self
        }
    }

    /// Whether it is known before what is loaded there has room.
    pub fn weighs(&self) -> bool {
        #[cfg(feature = "cuda")]
        return self.gpu.is_some();
        #[cfg(not(feature = "cuda"))]
        return false;
    }

    /// Where `part` goes for `purpose`, that nothing else is loaded beside.
    ///
    /// # Errors
    /// As [`Picked::place`].
    pub fn place_alone(
        self,
        purpose: Purpose,
        part: Part,
        told: &dyn Fn(&str),
    ) -> anyhow::Result<Place> {
        #[cfg(feature = "cuda")]
        if self.gpu.is_some() {
            return super::fit::place_alone(self, purpose, part, told);
        }
        let _ = (purpose, part, told);
        Ok(self.unweighed(LoadOptions::default()))
    }

    /// Where the language model of `checkpoint` goes, to hold `context` tokens (None: as many as it does by itself), and
    /// what lies `beside` it: here; where there is no room and the user left the choice, to the first GPU after this one
    /// that has room, or the CPU. Of `options` the device is filled in.
    ///
    /// # Errors
    /// No room on the device that has to be taken.
    pub fn place(
        self,
        checkpoint: &Checkpoint,
        options: LoadOptions,
        context: Option<usize>,
        beside: Part,
        told: &dyn Fn(&str),
    ) -> anyhow::Result<Place> {
        let mut place = self.choose(checkpoint, options, context, beside, told)?;
        if place.name == "cpu" {
            // More than is needed where weights are read from their file: then nothing is lost but time.
            let stored: usize = checkpoint.tensors().map(|info| info.bytes).sum();
            place.crowded = memory::available().is_some_and(|free| stored as u64 > free);
        }
        Ok(place)
    }

    fn choose(
        self,
        checkpoint: &Checkpoint,
        options: LoadOptions,
        context: Option<usize>,
        beside: Part,
        told: &dyn Fn(&str),
    ) -> anyhow::Result<Place> {
        #[cfg(feature = "cuda")]
        if self.gpu.is_some() {
            return super::fit::place(self, checkpoint, options, context, beside, told);
        }
        // Other devices say only while they load whether there is room.
        let _ = (checkpoint, context, beside, told);
        let _ = (&self.freed, &self.before, &self.passed);
        Ok(self.unweighed(options))
    }

    pub(super) fn unweighed(self, options: LoadOptions) -> Place {
        Place {
            wanted: self.wanted,
            detail: format!("computing on {}", self.name),
            name: self.name,
            options: LoadOptions {
                device: self.device,
                ..options
            },
            notes: self.note.into_iter().collect(),
            crowded: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(device: DeviceChoice, required: bool) -> Wanted {
        Wanted { device, required }
    }

    #[test]
    fn the_cpu_is_always_there() {
        let picked = pick(wanted(DeviceChoice::Cpu, false), &|_| {}).unwrap();
        assert!(picked.device.is_cpu());
        assert_eq!(picked.name, "cpu");
        assert!(pick(wanted(DeviceChoice::Auto, false), &|_| {}).is_ok());
    }

    #[test]
    #[cfg(not(any(feature = "cuda", feature = "metal")))]
    fn a_missing_back_end_says_how_to_get_it() {
        for choice in [DeviceChoice::Cuda(0), DeviceChoice::Metal] {
            for required in [false, true] {
                let text = pick(wanted(choice, required), &|_| {})
                    .err()
                    .unwrap()
                    .to_string();
                assert!(text.contains("--features"), "{text}");
            }
        }
        assert!(pick(wanted(DeviceChoice::Auto, false), &|_| {})
            .unwrap()
            .note
            .is_none());
        let refused = pick(wanted(DeviceChoice::Auto, true), &|_| {})
            .err()
            .unwrap();
        assert!(matches!(refused, CliError::Required(_)), "{refused}");
    }

    #[test]
    fn a_required_gpu_and_the_cpu_are_no_choice() {
        let refused = pick(wanted(DeviceChoice::Cpu, true), &|_| {})
            .err()
            .unwrap();
        assert!(matches!(refused, CliError::Usage(_)), "{refused}");
    }

    #[test]
    fn the_cpu_is_taken_with_a_note_or_not_at_all() {
        let auto = wanted(DeviceChoice::Auto, false);
        assert_eq!(
            auto.fall_back("no room").unwrap(),
            "computing on the CPU: no room"
        );
        let required = wanted(DeviceChoice::Auto, true);
        let refused = required.fall_back("no room").unwrap_err();
        assert_eq!(refused.to_string(), "--require-device: no room");
        assert!(matches!(refused, CliError::Required(_)));
    }
}
