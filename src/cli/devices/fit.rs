//! Whether a model has room on a GPU, and what is done where it has none.

#[cfg(feature = "cuda")]
use std::sync::Arc;

use super::pick::Wanted;
use super::purpose::Purpose;
use crate::cli::exit::CliError;
use crate::cli::global::DeviceChoice;
use crate::hub::human_bytes;
use crate::models::Footprint;

#[cfg(feature = "cuda")]
use super::pick::{self, Picked};
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
    picked: &Picked,
    gpu: &Arc<Gpu>,
    checkpoint: &Checkpoint,
    options: LoadOptions,
    context: Option<usize>,
    beside: Part,
) -> anyhow::Result<Place> {
    let (wanted, name) = (picked.wanted, picked.name.as_str());
    let mut place = Place::on_gpu(picked, gpu, options, String::new());
    let loader = Loader::new(checkpoint, &place.options)?;
    let weighed = Footprint::of(&loader, context);
    drop(loader);
    let auto = wanted.device == DeviceChoice::Auto;
    let need = match weighed {
        Ok(need) => need.beside_another(beside),
        // What is wrong with the model itself the CPU finds too.
        Err(error) if auto => {
            let why = format!("{name} cannot compute with the model ({error})");
            let note = wanted.fall_back(&why)?;
            return Ok(Place::on_cpu(wanted, place.options, note));
        }
        Err(error) => return Err(error.into()),
    };
    // Opened first, as it takes memory too.
    let slow = pick::open(|| gpu.blas().map(|_| ())).err();
    let eight = place.options.cache == Some(CacheType::Q8_0);
    let eight = eight
        .then(|| format!("--cache-type q8_0 is for a CPU: {name} keeps keys and values in f16"));
    let slow = slow.map(|why| format!("on {name} prompts are read a token at a time: {why}"));
    place.notes.extend(eight.into_iter().chain(slow));
    let (purpose, need) = match picked.before {
        Some((purpose, part)) if need.after(part) != need => (purpose, need.after(part)),
        _ => (Purpose::Model, need),
    };
    weigh(picked, gpu, place, purpose, &need)
}

/// As [`Picked::place_alone`], for an open GPU.
#[cfg(feature = "cuda")]
pub(super) fn place_alone(
    picked: &Picked,
    gpu: &Arc<Gpu>,
    purpose: Purpose,
    part: Part,
) -> anyhow::Result<Place> {
    let place = Place::on_gpu(picked, gpu, LoadOptions::default(), String::new());
    weigh(picked, gpu, place, purpose, &Footprint::alone(part))
}

/// `place` where there is room for all that is needed, else the CPU.
#[cfg(feature = "cuda")]
fn weigh(
    picked: &Picked,
    gpu: &Arc<Gpu>,
    mut place: Place,
    purpose: Purpose,
    need: &Footprint,
) -> anyhow::Result<Place> {
    let (wanted, name) = (picked.wanted, picked.name.as_str());
    let (free, all) = match pick::open(|| gpu.memory()) {
        Ok(room) => room,
        Err(why) if wanted.device == DeviceChoice::Auto => {
            let note = wanted.fall_back(&format!("{name} cannot be used ({why})"))?;
            return Ok(Place::on_cpu(wanted, place.options, note));
        }
        Err(why) => return Err(wanted.refused(name, &why).into()),
    };
    place.crowded = need.total() > free;
    let free = free.saturating_add(picked.freed);
    if let Some(note) = no_room(wanted, name, (purpose, need), Room { free, all })? {
        return Ok(Place::on_cpu(wanted, place.options, note));
    }
    place.detail = format!(
        "computing on {name}: {} and {} are free",
        needed(need),
        human_bytes(free)
    );
    Ok(place)
}

/// None where what takes `need` fits; else the note that the CPU is taken.
///
/// # Errors
/// It does not fit and the CPU must not be taken.
fn no_room(
    wanted: Wanted,
    name: &str,
    (purpose, need): (Purpose, &Footprint),
    room: Room,
) -> Result<Option<String>, CliError> {
    if need.total() <= room.free {
        return Ok(None);
    }
    let why = format!(
        "{} does not fit {name}: {} and {} of {} are free",
        purpose.name(),
        needed(need),
        human_bytes(room.free),
        human_bytes(room.all)
    );
    match (wanted.device, wanted.required) {
        (DeviceChoice::Auto, false) => wanted.fall_back(&why).map(Some),
        (DeviceChoice::Auto, true) => wanted.fall_back(&purpose.advised(&why, false)).map(Some),
        (_, required) => Err(CliError::TooLarge(purpose.advised(&why, !required))),
    }
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
        decided_of(Purpose::Model, device, required, free)
    }

    fn decided_of(
        purpose: Purpose,
        device: DeviceChoice,
        required: bool,
        free: u64,
    ) -> Result<Option<String>, CliError> {
        let all = 24_000_000_000;
        let wanted = Wanted { device, required };
        no_room(wanted, "cuda:0", (purpose, &NEED), Room { free, all })
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
            let text = decided_of(purpose, device, required, 0)
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
