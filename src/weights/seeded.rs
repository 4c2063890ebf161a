//! Numbers that stand in for weights: made from a seed and a position alone, so that any part of any tensor can be made
//! at any time, by any thread, without the rest. The speed of a model does not depend on the values of its weights.

/// The numbers of one tensor, without any memory of their own.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Seeded {
    key: u64,
    mean: f32,
    deviation: f32,
}

/// Spread of norm gains and biases, which lie around 1 and 0 in a trained model.
const SMALL: f32 = 0.02;
/// Where the scales of residual layers lie.
const LAYER_SCALE: f32 = 0.1;

/// Mean and deviation of the numbers of a tensor.
fn distribution(name: &str, shape: &[usize]) -> (f32, f32) {
    let inputs = |n: usize| 1.0 / (n.max(1) as f32).sqrt();
    match (name.rsplit('.').next().unwrap_or(name), shape) {
        // The variance of a batch norm, the length of a weight norm, the frequency of a Snake.
        ("running_var" | "weight_g" | "alpha", _) => (1.0, SMALL),
        ("gamma", _) if name.ends_with("norm.gamma") => (1.0, SMALL),
        ("gamma", _) => (LAYER_SCALE, SMALL),
        // The gain of a norm that depends on a condition.
        ("bias", _) if name.ends_with("norm.scale.bias") => (1.0, SMALL),
        ("weight", [_]) => (1.0, SMALL),
        (_, [_, width]) => (0.0, inputs(*width)),
        (_, [_, channels, size]) => (0.0, inputs(channels.saturating_mul(*size))),
        _ => (0.0, SMALL),
    }
}

impl Seeded {
    /// For the tensor `name` of `shape`. Matrices and kernels spread by `1/sqrt(inputs)`, so that activations keep their
    /// size from layer to layer; gains lie near 1, biases near 0.
    pub fn new(name: &str, shape: &[usize]) -> Self {
        // FNV-1a: the same name has the same numbers in every run and on every machine.
        let key = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let (mean, deviation) = distribution(name, shape);
        Self {
            key,
            mean,
            deviation,
        }
    }

    /// The numbers from `start` on.
    pub fn fill(&self, start: usize, out: &mut [f32]) {
        // A sum of four uniform numbers is close to a normal one; it spreads by sqrt(4/12) of their range.
        const RANGE: f32 = 65_536.0;
        let scale = self.deviation * 3f32.sqrt() / RANGE;
        let offset = self.mean - self.deviation * 3f32.sqrt() * 2.0;
        for (position, x) in (start as u64..).zip(out) {
            let bits = splitmix64(self.key.wrapping_add(position));
            let sum =
                (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
            *x = (sum as u32) as f32 * scale + offset;
        }
    }
}

/// A well mixed number for each counter (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
fn splitmix64(counter: u64) -> u64 {
    let mut z = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(name: &str, shape: &[usize]) -> Vec<f32> {
        let mut all = vec![0.0; shape.iter().product()];
        Seeded::new(name, shape).fill(0, &mut all);
        all
    }

    fn spread(numbers: &[f32]) -> (f64, f64) {
        let n = numbers.len() as f64;
        let mean = numbers.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let square = numbers
            .iter()
            .map(|&x| (f64::from(x) - mean).powi(2))
            .sum::<f64>();
        (mean, (square / n).sqrt())
    }

    #[test]
    fn matrices_are_scaled_by_their_width_and_gains_lie_near_one() {
        let (mean, deviation) = spread(&numbers("q_proj.weight", &[300, 100]));
        assert!(mean.abs() < 0.003, "{mean}");
        assert!((deviation - 0.1).abs() < 0.002, "{deviation}");
        let (mean, deviation) = spread(&numbers("model.norm.weight", &[4096]));
        assert!((mean - 1.0).abs() < 0.003 && deviation < 0.03);
        let (mean, _) = spread(&numbers("q_proj.bias", &[4096]));
        assert!(mean.abs() < 0.003);
    }

    #[test]
    fn what_scales_lies_near_one_and_kernels_by_their_inputs() {
        for (name, shape, mean) in [
            ("bn.running_var", vec![4096], 1.0),
            ("bns.3.weight", vec![4096], 1.0),
            ("decoder.model.1.block.0.alpha", vec![1, 4096, 1], 1.0),
            ("decoder.model.0.weight_g", vec![4096, 1, 1], 1.0),
            ("norm.scale.bias", vec![4096], 1.0),
            ("perceiver_sampler.norm.gamma", vec![4096], 1.0),
            ("convnext.0.gamma", vec![4096], 0.1),
            ("bn.running_mean", vec![4096], 0.0),
        ] {
            let numbers = numbers(name, &shape);
            let (found, deviation) = spread(&numbers);
            assert!((found - mean).abs() < 0.003, "{name}: {found}");
            assert!(deviation < 0.03, "{name}: {deviation}");
            assert!(mean < 1.0 || numbers.iter().all(|&x| x > 0.9), "{name}");
        }
        let (mean, deviation) = spread(&numbers("conv.weight_v", &[300, 25, 4]));
        assert!(mean.abs() < 0.003 && (deviation - 0.1).abs() < 0.002);
        // Rows of a codebook have a length near 1.
        let (_, deviation) = spread(&numbers("codebook.weight", &[1000, 8]));
        assert!((deviation - 8f64.powf(-0.5)).abs() < 0.01, "{deviation}");
    }

    #[test]
    fn any_part_is_the_same_as_in_the_whole_and_names_differ() {
        let whole = numbers("a.weight", &[10, 64]);
        let mut part = [0.0; 100];
        Seeded::new("a.weight", &[10, 64]).fill(57, &mut part);
        assert_eq!(part, whole[57..157]);
        assert_ne!(whole, numbers("b.weight", &[10, 64]));
    }
}
