//! What a model takes of a real GPU's memory, against what was counted from its headers.

use crane::bench::synthetic;
use crane::models::{self, Footprint};
use crane::weights::{Format, LoadOptions, Loader, Quant};

use super::{gpu, ids};

#[test]
#[ignore = "reads how much of the whole GPU is free: run it alone"]
fn no_more_of_a_gpu_is_taken_than_was_counted() {
    let Some(gpu) = gpu() else { return };
    // It takes memory of its own, which is not the model's.
    gpu.blas().map(|_| ()).unwrap();
    let checkpoint = synthetic::checkpoint("qwen2.5-0.5b", Format::BF16).unwrap();
    for quant in [None, Some(Quant::Q8_0), Some(Quant::Q4_0)] {
        let options = LoadOptions {
            gpu: Some(gpu.clone()),
            quant,
            ..LoadOptions::default()
        };
        let loader = Loader::new(&checkpoint, &options).unwrap();
        let counted = Footprint::of(&loader, Some(8000)).unwrap();
        let (before, _) = gpu.memory().unwrap();
        let mut model = models::load(&loader, Some(8000)).unwrap();
        model.forward(&ids(1, 7800, 150_000)).unwrap();
        for token in 0..8 {
            model.forward(&[token]).unwrap();
        }
        model.forward_all(&ids(2, 100, 150_000)).unwrap();
        let (after, _) = gpu.memory().unwrap();
        let taken = before.saturating_sub(after);
        println!(
            "{quant:?}: {} MiB taken, {} MiB counted ({counted:?})",
            taken >> 20,
            counted.total() >> 20
        );
        assert!(taken <= counted.total());
        assert!(taken >= counted.weights);
    }
}
