//! NVIDIA's GPUs in `crane devices`.

#[cfg(any(feature = "cuda", test))]
use serde::Serialize;
#[cfg(any(feature = "cuda", test))]
use serde_json::Value;

#[cfg(feature = "cuda")]
use super::pick;
use super::{probe, Probe};
#[cfg(feature = "cuda")]
use crate::kernels::cuda::{self, GpuInfo};

/// Each GPU; where none can be found, a line that says why.
#[cfg(feature = "cuda")]
pub(super) fn probes() -> Vec<Probe> {
    let found = match pick::open(cuda::survey) {
        Ok(found) if found.is_empty() => Err(
            "the driver shows no GPU; 'nvidia-smi -L' lists them, CUDA_VISIBLE_DEVICES hides some"
                .to_string(),
        ),
        other => other,
    };
    match found {
        Ok(found) => found.iter().map(of).collect(),
        Err(why) => vec![probe("cuda:0", Err(why))],
    }
}

#[cfg(not(feature = "cuda"))]
pub(super) fn probes() -> Vec<Probe> {
    vec![probe("cuda:0", Err(super::pick::NO_CUDA.into()))]
}

#[cfg(feature = "cuda")]
fn of(info: &GpuInfo) -> Probe {
    let offer = pick::open(|| info.try_out());
    let mut facts = Facts {
        model: info.name.clone(),
        memory_bytes: info.memory,
        free_bytes: None,
        compute_capability: format!("{}.{}", info.capability.0, info.capability.1),
        driver_cuda: info.cuda(),
        notes: Vec::new(),
    };
    let opened = offer.map(|offer| {
        facts.free_bytes = Some(offer.free);
        facts.notes = offer.notes;
    });
    facts.beside(probe(&format!("cuda:{}", info.ordinal), opened))
}

/// What is known of a GPU.
#[cfg(any(feature = "cuda", test))]
#[derive(Debug, Clone, Serialize)]
struct Facts {
    model: String,
    memory_bytes: u64,
    /// None where it cannot be computed on.
    free_bytes: Option<u64>,
    compute_capability: String,
    /// The newest CUDA that its driver runs.
    driver_cuda: String,
    /// What is slower than it could be, and what helps.
    notes: Vec<String>,
}

#[cfg(any(feature = "cuda", test))]
impl Facts {
    fn beside(self, probe: Probe) -> Probe {
        let words = Some(self.words());
        let notes = self.notes.clone();
        let facts = match serde_json::to_value(self) {
            Ok(Value::Object(facts)) => facts,
            _ => probe.facts,
        };
        Probe {
            facts,
            words,
            notes,
            ..probe
        }
    }

    fn words(&self) -> String {
        let gib = |bytes: u64| format!("{:.1}", bytes as f64 / f64::from(1 << 30));
        let all = gib(self.memory_bytes);
        let memory = match self.free_bytes {
            Some(free) => format!("{} of {all} GiB free", gib(free)),
            None => format!("{all} GiB"),
        };
        format!(
            "{}, {memory}, compute capability {}, driver for CUDA {}",
            self.model, self.compute_capability, self.driver_cuda
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_is_a_line_of_words_and_an_object_of_fields() {
        let facts = Facts {
            model: "NVIDIA A".into(),
            memory_bytes: 80 << 30,
            free_bytes: Some(3 << 29),
            compute_capability: "9.0".into(),
            driver_cuda: "13.0".into(),
            notes: vec!["slow".into()],
        };
        let unusable = Facts {
            free_bytes: None,
            ..facts.clone()
        };
        assert_eq!(
            unusable.words(),
            "NVIDIA A, 80.0 GiB, compute capability 9.0, driver for CUDA 13.0"
        );
        let probe = facts.beside(probe("cuda:0", Ok(())));
        assert_eq!(
            probe.words.as_deref(),
            Some("NVIDIA A, 1.5 of 80.0 GiB free, compute capability 9.0, driver for CUDA 13.0")
        );
        let object = serde_json::to_value(&probe).unwrap();
        assert_eq!(object["usable"], true);
        assert_eq!(object["free_bytes"], 3u64 << 29);
        assert_eq!(object["notes"][0], "slow");
        assert!(object.get("words").is_none());
    }
}
