use proptest::prelude::*;

use super::tile::exp2;
use super::*;
use crate::kernels::simd::{Kernel, Lanes};

mod company;
mod not_a_number;

/// A generator good enough for test data (Steele et al., SplitMix64), of about normal numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> f32 {
        let mut sum = 0.0;
        for _ in 0..4 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            sum += (z >> 40) as f32 / (1u64 << 24) as f32 - 0.5;
        }
        sum * 1.7
    }

    fn rows(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

/// Softmax(q·k·scale)·v over what each token sees, in f64, on the values as stored.
fn reference(
    attention: &Attention,
    q: &[f32],
    stride: usize,
    cache: &KvCache,
    tokens: usize,
) -> Vec<f64> {
    let dim = attention.head_dim;
    let group = attention.heads / attention.kv_heads;
    let mut out = vec![0.0; tokens * attention.heads * dim];
    for kv_head in 0..attention.kv_heads {
        let stored: Vec<_> = (0..cache.len())
            .map(|position| cache.stored(position, kv_head))
            .collect();
        for token in 0..tokens {
            let position = cache.len() - tokens + token;
            let first = attention
                .window
                .map_or(0, |w| (position + 1).saturating_sub(w));
            let seen = match attention.causal {
                true => &stored[first..=position],
                false => &stored[..],
            };
            for head in kv_head * group..(kv_head + 1) * group {
                let q = &q[token * stride + head * dim..][..dim];
                let score = |k: &[f32]| -> f64 {
                    let dot: f64 = q
                        .iter()
                        .zip(k)
                        .map(|(&q, &k)| f64::from(q) * f64::from(k))
                        .sum();
                    dot * f64::from(attention.scale)
                };
                let scores: Vec<f64> = seen.iter().map(|(k, _)| score(k)).collect();
                let max = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let out = &mut out[(token * attention.heads + head) * dim..][..dim];
                for (weight, (_, v)) in weights.iter().zip(seen) {
                    for (out, &v) in out.iter_mut().zip(v) {
                        *out += weight / sum * f64::from(v);
                    }
                }
            }
        }
    }
    out
}

/// A cache of `len` random tokens, appended in pieces, and queries with a stride.
fn filled(
    attention: &Attention,
    kind: CacheType,
    simd: Simd,
    len: usize,
    tokens: usize,
    seed: u64,
) -> (KvCache, Vec<f32>, usize) {
    let mut random = Random(seed);
    let width = attention.kv_heads * attention.head_dim;
    let mut cache = KvCache::new(attention.kv_heads, attention.head_dim, len + 50, kind);
    let stale = random.rows(50 * width);
    let (k, v) = (random.rows(len * width), random.rows(len * width));
    // What was truncated must not show: not even what is not finite.
    let none = vec![f32::NAN; 50 * width];
    let mut at = 0;
    while at < len {
        let more = (1 + (at * 7 + 13) % 300).min(len - at);
        cache
            .append(simd, &k[at * width..], &v[at * width..], width, more)
            .unwrap();
        at += more;
        cache.append(simd, &stale, &none, width, 50).unwrap();
        cache.truncate(at);
        cache.append(simd, &none, &stale, width, 50).unwrap();
        cache.truncate(at);
    }
    let stride = attention.heads * attention.head_dim + 6;
    (cache, random.rows(tokens * stride), stride)
}

fn compute(
    attention: &Attention,
    simd: Simd,
    (cache, q, stride): &(KvCache, Vec<f32>, usize),
    tokens: usize,
    workspace: &mut Workspace,
) -> Vec<f32> {
    let mut out = vec![f32::NAN; tokens * attention.heads * attention.head_dim];
    attention.forward(simd, q, *stride, cache, tokens, workspace, &mut out);
    out
}

fn check(attention: &Attention, len: usize, tokens: usize, seed: u64, workspace: &mut Workspace) {
    // Scores are rounded in proportion to their size, and what is rounded stands in an exponent.
    let size = f64::from(attention.scale) * (attention.head_dim as f64).sqrt();
    let tolerance = 1e-5 * (size / 4.0).clamp(1.0, 100.0);
    for kind in CacheType::ALL {
        // Every instruction set stores the same: the cache's tests see to it.
        let case = filled(attention, kind, Simd::detect(), len, tokens, seed);
        let expected = reference(attention, &case.1, case.2, &case.0, tokens);
        for simd in Simd::available() {
            let case = filled(attention, kind, simd, len, tokens, seed);
            let spread = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
            pool::set_threads(1);
            let out = compute(attention, simd, &case, tokens, workspace);
            for (i, (&got, &expected)) in out.iter().zip(&expected).enumerate() {
                assert!(
                    (f64::from(got) - expected).abs() <= tolerance * spread,
                    "{simd:?} {kind} {attention:?} len {len} tokens {tokens} at {i}: {got} for {expected}"
                );
            }
            for threads in [2, 3] {
                pool::set_threads(threads);
                assert_eq!(out, compute(attention, simd, &case, tokens, workspace));
            }
        }
    }
}

/// `2^x` of sixteen numbers.
struct Powers([f32; LANES]);

impl Kernel for Powers {
    type Output = [f32; LANES];

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) -> Self::Output {
        let mut out = [0.0; LANES];
        L::prefetch(self.0.as_ptr().cast());
        L::store(out.as_mut_ptr(), exp2::<L>(L::load(self.0.as_ptr())));
        out
    }
}

#[test]
fn powers_of_two_end_in_zero_and_keep_what_is_not_a_number() {
    let mut x = [0.0; LANES];
    x[..4].copy_from_slice(&[f32::NAN, f32::NEG_INFINITY, -127.0, -1.0]);
    for simd in Simd::available() {
        let y = simd.run(Powers(x));
        assert!(y[0].is_nan(), "{simd:?}");
        assert_eq!(y[1..5], [0.0, 0.0, 0.5, 1.0], "{simd:?}");
    }
}

proptest! {
    #[test]
    fn powers_of_two_are_close(x in proptest::array::uniform16(-125f32..0.0)) {
        for simd in Simd::available() {
            for (x, y) in x.into_iter().zip(simd.run(Powers(x))) {
                let exact = f64::from(x).exp2();
                prop_assert!((f64::from(y) - exact).abs() <= 2.4e-7 * exact, "{simd:?} 2^{x} = {y}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn agrees_with_the_reference_whatever_the_shape(
        kv_heads in 1usize..4, group in 1usize..10, half in 1usize..70, tokens in 1usize..40, past in 0usize..300,
        window in proptest::option::of(1usize..120), spread in 0.2f32..20.0, causal: bool, seed: u64
    ) {
        let head_dim = 2 * half;
        let scale = spread / (head_dim as f32).sqrt();
        let attention = Attention { heads: kv_heads * group, kv_heads, head_dim, window, scale, causal, rounded: false };
        check(&attention, past + tokens, tokens, seed, &mut Workspace::new());
    }
}

#[test]
fn agrees_with_the_reference_on_long_caches() {
    let mut workspace = Workspace::new();
    for (heads, kv_heads, head_dim, len, tokens, window) in [
        (14, 2, 64, 4099, 1, None),
        (14, 2, 64, 2500, 130, None),
        (12, 2, 128, 3000, 5, None),
        (9, 3, 64, 700, 257, None),
        (4, 4, 80, 5000, 2, Some(4096)),
        (4, 1, 128, 1500, 300, Some(700)),
        (6, 1, 64, 2049, 1, Some(1)),
    ] {
        let scale = (head_dim as f32).powf(-0.5);
        let attention = Attention {
            heads,
            kv_heads,
            head_dim,
            window,
            scale,
            causal: true,
            rounded: false,
        };
        check(&attention, len, tokens, 7, &mut workspace);
    }
}

#[test]
fn scores_of_any_size_are_weighed() {
    // One key stands out so far that all others vanish; the scores overflow e^x, not the softmax.
    let attention = Attention {
        heads: 3,
        kv_heads: 1,
        head_dim: 32,
        window: None,
        scale: 300.0,
        causal: true,
        rounded: false,
    };
    check(&attention, 600, 1, 3, &mut Workspace::new());
    check(&attention, 600, 70, 4, &mut Workspace::new());
}

/// The same where rounding is allowed: as exact as bf16 on tiles, and to the bit what it was without them.
fn check_rounded(exact: &Attention, len: usize, tokens: usize, seed: u64) {
    let rounded = Attention {
        rounded: true,
        ..*exact
    };
    for kind in CacheType::ALL {
        for simd in Simd::available() {
            let case = filled(exact, kind, simd, len, tokens, seed);
            let mut workspace = Workspace::new();
            pool::set_threads(1);
            let out = compute(&rounded, simd, &case, tokens, &mut workspace);
            if simd < Simd::Amx {
                assert_eq!(out, compute(exact, simd, &case, tokens, &mut workspace));
                continue;
            }
            let expected = reference(exact, &case.1, case.2, &case.0, tokens);
            let spread = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
            for (i, (&got, &expected)) in out.iter().zip(&expected).enumerate() {
                assert!(
                    (f64::from(got) - expected).abs() <= 0.05 * spread,
                    "{kind} {exact:?} len {len} tokens {tokens} at {i}: {got} for {expected}"
                );
            }
            pool::set_threads(3);
            assert_eq!(out, compute(&rounded, simd, &case, tokens, &mut workspace));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn rounding_stays_within_what_bf16_holds(
        kv_heads in 1usize..4, group in 1usize..4, half in 1usize..70, tokens in 20usize..150, past in 0usize..300,
        window in proptest::option::of(1usize..120), spread in 0.2f32..2.0, causal: bool, seed: u64
    ) {
        let head_dim = 2 * half;
        let scale = spread / (head_dim as f32).sqrt();
        let exact = Attention { heads: kv_heads * group, kv_heads, head_dim, window, scale, causal, rounded: false };
        check_rounded(&exact, past + tokens, tokens, seed);
    }
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}
