//! Whether a model has room on a GPU, and what is done where it has none.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use super::pick::{self, Passed, Wanted};
use super::purpose::Purpose;
use crate::cli::exit::CliError;
use crate::cli::global::DeviceChoice;
use crate::hub::human_bytes;
use crate::models::Footprint;

#[cfg(feature = "cuda")]
use super::pick::Picked;
#[cfg(feature = "cuda")]
use super::place::Place;
#[cfg(feature = "cuda")]
use crate::kernels::cuda::Gpu;
#[cfg(feature = "cuda")]
use crate::kernels::CacheType;
#[cfg(feature = "cuda")]
use crate::models::Part;
#[cfg(feature = "cuda")]
use crate::weights::{Checkpoint, LoadOptions, Loader};

/// Bytes of a GPU's memory.
#[derive(Debug, Clone, Copy)]
struct Room {
    free: u64,
    all: u64,
}

/// As [`Picked::place`], for an open GPU.
#[cfg(feature = "cuda")]
pub(super) fn place(
    picked: Picked,
    checkpoint: &Checkpoint,
    options: LoadOptions,
    context: Option<usize>,
    beside: Part,
    told: &dyn Fn(&str),
) -> anyhow::Result<Place> {
    first(picked, &options, told, &mut |picked, gpu| {
        let (wanted, name) = (picked.wanted, picked.name.as_str());
        let mut place = Place::on_gpu(picked, gpu, options.clone(), String::new());
        let loader = Loader::new(checkpoint, &place.options)?;
        let weighed = Footprint::of(&loader, context);
        drop(loader);
        let need = match weighed {
            Ok(need) => need.beside_another(beside),
            // Another GPU may have larger blocks; what is wrong with the model itself the CPU finds too.
            Err(error) if wanted.device == DeviceChoice::Auto => {
                let why = format!("{name} cannot compute with the model ({error})");
                return Ok(Err((Purpose::Model, Passed { why, full: false })));
            }
            Err(error) => return Err(error.into()),
        };
        // Opened first, as it takes memory too.
        let slow = pick::open(|| gpu.blas().map(|_| ())).err();
        let eight = place.options.cache == Some(CacheType::Q8_0);
        let eight = eight.then(|| {
            format!("--cache-type q8_0 is for a CPU: {name} keeps keys and values in f16")
        });
        let slow = slow.map(|why| format!("on {name} prompts are read a token at a time: {why}"));
        place.notes.extend(eight.into_iter().chain(slow));
        let (purpose, need) = match picked.before {
            Some((purpose, part)) if need.after(part) != need => (purpose, need.after(part)),
            _ => (Purpose::Model, need),
        };
        weigh(picked, gpu, place, purpose, &need)
    })
}

/// As [`Picked::place_alone`], for an open GPU.
#[cfg(feature = "cuda")]
pub(super) fn place_alone(
    picked: Picked,
    purpose: Purpose,
    part: Part,
    told: &dyn Fn(&str),
) -> anyhow::Result<Place> {
    let options = LoadOptions::default();
    first(picked, &options, told, &mut |picked, gpu| {
        let place = Place::on_gpu(picked, gpu, options.clone(), String::new());
        weigh(picked, gpu, place, purpose, &Footprint::alone(part))
    })
}

/// A place, or why there is none on this GPU, and for what.
#[cfg(feature = "cuda")]
type Weighed = Result<Place, (Purpose, Passed)>;

/// What `weigh` gives for the open GPU, or for the first one after it that has room; the CPU where none has.
#[cfg(feature = "cuda")]
fn first(
    mut picked: Picked,
    options: &LoadOptions,
    told: &dyn Fn(&str),
    weigh: &mut dyn FnMut(&Picked, &Arc<Gpu>) -> anyhow::Result<Weighed>,
) -> anyhow::Result<Place> {
    let wanted = picked.wanted;
    loop {
        let Some(gpu) = picked.gpu.clone() else {
            return Ok(picked.unweighed(options.clone()));
        };
        let (purpose, why) = match weigh(&picked, &gpu)? {
            Ok(place) => return Ok(place),
            Err(passed) => passed,
        };
        drop(gpu);
        let mut passed = std::mem::take(&mut picked.passed);
        passed.push(why);
        picked = match picked.instead(passed, told) {
            Ok(next) => next,
            Err(passed) => {
                let note = nowhere(wanted, purpose, &passed)?;
                return Ok(Place::on_cpu(wanted, options.clone(), note));
            }
        };
    }
}

/// `place` where there is room for all that is needed.
#[cfg(feature = "cuda")]
fn weigh(
    picked: &Picked,
    gpu: &Arc<Gpu>,
    mut place: Place,
    purpose: Purpose,
    need: &Footprint,
) -> anyhow::Result<Weighed> {
    let (wanted, name) = (picked.wanted, picked.name.as_str());
    let (free, all) = match pick::open(|| gpu.memory()) {
        Ok(room) => room,
        Err(why) if wanted.device == DeviceChoice::Auto => {
            let why = format!("{name} cannot be used ({why})");
            return Ok(Err((purpose, Passed { why, full: false })));
        }
        Err(why) => return Err(wanted.refused(name, &why).into()),
    };
    place.crowded = need.total() > free;
    let freed = match picked.freed.device == picked.name {
        true => picked.freed.bytes,
        false => 0,
    };
    let free = free.saturating_add(freed);
    let room = Room { free, all };
    if let Some(why) = no_room(wanted, name, (purpose, need), room, &picked.passed)? {
        return Ok(Err((purpose, why)));
    }
    place.detail = format!(
        "computing on {name}: {} and {} are free",
        needed(need),
        human_bytes(free)
    );
    if !picked.passed.is_empty() {
        place.detail = format!("{} ({})", place.detail, pick::all_of(&picked.passed));
    }
    Ok(Ok(place))
}

/// None where what takes `need` fits; else why `auto` does not take the GPU, `passed` being those before it.
///
/// # Errors
/// It does not fit, and it is the GPU that is named.
fn no_room(
    wanted: Wanted,
    name: &str,
    (purpose, need): (Purpose, &Footprint),
    room: Room,
    passed: &[Passed],
) -> Result<Option<Passed>, CliError> {
    if need.total() <= room.free {
        return Ok(None);
    }
    let free = format!(
        "{} of {} are free",
        human_bytes(room.free),
        human_bytes(room.all)
    );
    let why = match passed.iter().any(|passed| passed.full) {
        true => format!("nor {name}: {free}"),
        false => format!(
            "{} does not fit {name}: {} and {free}",
            purpose.name(),
            needed(need)
        ),
    };
    match wanted.device {
        DeviceChoice::Auto => Ok(Some(Passed { why, full: true })),
        _ => Err(CliError::TooLarge(purpose.advised(&why, !wanted.required))),
    }
}

/// The note that the CPU is taken because no GPU is, as `passed` say.
///
/// # Errors
/// A GPU has to be.
fn nowhere(wanted: Wanted, purpose: Purpose, passed: &[Passed]) -> Result<String, CliError> {
    let mut why = pick::all_of(passed);
    if wanted.required && passed.iter().any(|passed| passed.full) {
        why = purpose.advised(&why, false);
    }
    wanted.fall_back(&why)
}

fn needed(need: &Footprint) -> String {
    format!(
        "about {} are needed (weights {}, cache of the context {}, work space {})",
        human_bytes(need.total()),
        human_bytes(need.weights),
        human_bytes(need.cache),
        human_bytes(need.beside())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEED: Footprint = Footprint {
        weights: 14_000_000_000,
        loading: 300_000_000,
        cache: 1_000_000_000,
        work: 500_000_000,
    };

    fn decided(
        device: DeviceChoice,
        required: bool,
        free: u64,
    ) -> Result<Option<String>, CliError> {
        decided_of(Purpose::Model, device, required, &[free])
    }

    /// The decision where each GPU has so much free.
    fn decided_of(
        purpose: Purpose,
        device: DeviceChoice,
        required: bool,
        free: &[u64],
    ) -> Result<Option<String>, CliError> {
        let wanted = Wanted { device, required };
        let mut passed = Vec::new();
        for (n, &free) in free.iter().enumerate() {
            let (name, all) = (format!("cuda:{n}"), 24_000_000_000);
            match no_room(wanted, &name, (purpose, &NEED), Room { free, all }, &passed)? {
                Some(why) => passed.push(why),
                None => return Ok(None),
            }
        }
        nowhere(wanted, purpose, &passed).map(Some)
    }

    #[test]
    fn what_fits_is_taken() {
        for required in [false, true] {
            for device in [DeviceChoice::Auto, DeviceChoice::Cuda(0)] {
                assert_eq!(decided(device, required, NEED.total()).unwrap(), None);
                let less = decided(device, required, NEED.total() - 1);
                assert!(!matches!(less, Ok(None)));
            }
        }
    }

    #[test]
    fn auto_takes_the_cpu_and_names_the_numbers() {
        let note = decided(DeviceChoice::Auto, false, 9_000_000_000);
        assert_eq!(
            note.unwrap().unwrap(),
            "computing on the CPU: the model does not fit cuda:0: about 15.8 GB are needed (weights 14.0 GB, cache of the \
             context 1.0 GB, work space 768.4 MB) and 9.0 GB of 24.0 GB are free"
        );
    }

    #[test]
    fn all_gpus_without_room_are_named() {
        let auto = |required, free| decided_of(Purpose::Model, DeviceChoice::Auto, required, free);
        let both = "9.0 GB of 24.0 GB are free; nor cuda:1: 2.0 GB of 24.0 GB are free";
        let note = auto(false, &[9_000_000_000, 2_000_000_000]).unwrap();
        assert!(note.unwrap().ends_with(both));
        let refused = auto(true, &[9_000_000_000, 2_000_000_000]).unwrap_err();
        let text = refused.to_string();
        assert!(text.contains(both) && text.contains("--quant"), "{text}");
        assert_eq!(auto(false, &[0, NEED.total()]).unwrap(), None);
    }

    #[test]
    fn what_helps_a_recording_is_no_smaller_model() {
        let purpose = Purpose::Listening(&["a shorter recording"]);
        for (device, required, advice) in [
            (
                DeviceChoice::Cuda(0),
                false,
                "a shorter recording or --device cpu helps",
            ),
            (
                DeviceChoice::Cuda(0),
                true,
                "a shorter recording takes less",
            ),
            (DeviceChoice::Auto, true, "a shorter recording takes less"),
        ] {
            let text = decided_of(purpose, device, required, &[0])
                .unwrap_err()
                .to_string();
            assert!(
                text.contains("listening to the recording does not fit"),
                "{text}"
            );
            assert!(text.ends_with(&format!("; {advice}")), "{text}");
        }
    }

    #[test]
    fn a_named_or_required_gpu_is_not_left() {
        let named = decided(DeviceChoice::Cuda(0), false, 0).unwrap_err();
        assert!(matches!(named, CliError::TooLarge(_)));
        let text = named.to_string();
        for word in ["15.8 GB", "0 B of 24.0 GB", "--ctx-size", "--device cpu"] {
            assert!(text.contains(word), "{text}");
        }
        for device in [DeviceChoice::Auto, DeviceChoice::Cuda(0)] {
            let text = decided(device, true, 0).unwrap_err().to_string();
            assert!(text.contains("--quant") && !text.contains("cpu"), "{text}");
        }
    }
}
