//! Attention beside the machine's limits: `cargo bench --bench attention [-- prefill|decode]`.
//!
//! Prefill of 512 tokens as a share of the arithmetic peak (fused multiply-adds on registers), decode as a share of
//! the memory's reading speed; each limit is measured in turn with the kernel, and the best of many counts for both.
//! Decode cycles through as many layers as the CPU's caches cannot hold.

use std::hint::black_box;
use std::time::Instant;

use crane::kernels::attention::Workspace;
use crane::kernels::{pool, Attention, CacheType, KvCache, Simd};

/// Query heads, key heads, head dimension: Qwen2.5-0.5B, Qwen2.5-1.5B, SmolLM2-135M.
const SHAPES: [(usize, usize, usize); 3] = [(14, 2, 64), (12, 2, 128), (9, 3, 64)];
const PREFILL: usize = 512;
/// Measurements of which the best counts, for prefill and for decode; each is short, so that some of them are left
/// alone by what else runs on the machine.
const ROUNDS: usize = 25;
const WINDOWS: usize = 600;
/// The shortest time that is measured.
const WINDOW: f64 = 3e-4;
/// Numbers that one measurement of the reading speed takes.
const READ: usize = 1 << 19;
/// Bytes that the caches of the CPU do not hold.
const BEYOND_CACHES: usize = 160 << 20;

fn main() {
    let wanted = std::env::args().skip(1).find(|a| !a.starts_with("--"));
    let wanted = |name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
    let simd = Simd::detect();
    println!("{}", simd.name());
    if wanted("prefill") {
        println!("| heads, kv, dim | depth | cache | threads | GFLOP/s | peak | share |");
        println!("| --- | --- | --- | --- | --- | --- | --- |");
        for shape in SHAPES {
            for depth in [0, 4096] {
                for kind in CacheType::ALL {
                    for threads in [1, 2] {
                        prefill(simd, shape, depth, kind, threads);
                    }
                }
            }
        }
    }
    if wanted("decode") {
        let memory = vec![1u64; BEYOND_CACHES / 8];
        println!("| heads, kv, dim | depth | cache | threads | us | GB/s | memory | share |");
        println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
        for shape in SHAPES {
            for depth in [512, 4096] {
                for kind in CacheType::ALL {
                    for threads in [1, 2] {
                        decode(simd, shape, depth, kind, threads, &memory);
                    }
                }
            }
        }
    }
}

/// Numbers in −1..1.
fn numbers(count: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn filled(simd: Simd, kv_heads: usize, head_dim: usize, len: usize, kind: CacheType) -> KvCache {
    let mut cache = KvCache::new(kv_heads, head_dim, len, kind);
    let width = kv_heads * head_dim;
    let rows = numbers(len * width);
    match cache.append(simd, &rows, &rows, width, len) {
        Ok(()) => cache,
        Err(error) => panic!("{error}"),
    }
}

fn attention((heads, kv_heads, head_dim): (usize, usize, usize)) -> Attention {
    Attention {
        heads,
        kv_heads,
        head_dim,
        window: None,
        scale: (head_dim as f32).powf(-0.5),
        causal: true,
        rounded: false,
    }
}

fn seconds(work: impl FnOnce()) -> f64 {
    let started = Instant::now();
    work();
    started.elapsed().as_secs_f64()
}

fn prefill(
    simd: Simd,
    shape: (usize, usize, usize),
    depth: usize,
    kind: CacheType,
    threads: usize,
) {
    pool::set_threads(threads);
    let (heads, kv_heads, head_dim) = shape;
    let attention = attention(shape);
    let cache = filled(simd, kv_heads, head_dim, depth + PREFILL, kind);
    let width = heads * head_dim;
    let q = numbers(PREFILL * width);
    let mut out = vec![0.0; PREFILL * width];
    let mut workspace = Workspace::new();
    // Pairs of query and key that see each other; two products of `head_dim`, two operations each.
    let pairs = PREFILL * depth + PREFILL * (PREFILL + 1) / 2;
    let operations = (pairs * width * 4) as f64;
    let (mut best, mut peak) = (0f64, 0f64);
    for _ in 0..ROUNDS {
        peak = peak.max(arithmetic(threads));
        let time = seconds(|| {
            attention.forward(simd, &q, width, &cache, PREFILL, &mut workspace, &mut out);
        });
        best = best.max(operations / time / 1e9);
    }
    black_box(&out);
    println!(
        "| {heads}, {kv_heads}, {head_dim} | {depth} | {kind} | {threads} | {best:.0} | {peak:.0} | {:.0} % |",
        100.0 * best / peak
    );
}

fn decode(
    simd: Simd,
    shape: (usize, usize, usize),
    depth: usize,
    kind: CacheType,
    threads: usize,
    memory: &[u64],
) {
    pool::set_threads(threads);
    let (heads, kv_heads, head_dim) = shape;
    let attention = attention(shape);
    let first = filled(simd, kv_heads, head_dim, depth, kind);
    let bytes = first.bytes() as f64 * depth as f64 / depth.next_multiple_of(256) as f64;
    let layers = (BEYOND_CACHES as f64 / bytes).ceil() as usize;
    let caches: Vec<KvCache> = (0..layers)
        .map(|_| filled(simd, kv_heads, head_dim, depth, kind))
        .collect();
    let width = heads * head_dim;
    let q = numbers(width);
    let mut out = vec![0.0; width];
    let mut workspace = Workspace::new();
    let (mut best, mut speed) = (f64::MAX, 0f64);
    let (mut next, mut calls) = (0, 1);
    let mut piece = 0;
    for _ in 0..WINDOWS {
        speed = speed.max(reading(&memory[piece..piece + READ]));
        piece = (piece + READ) % memory.len();
        let time = seconds(|| {
            for _ in 0..calls {
                let cache = &caches[next % layers];
                attention.forward(simd, &q, width, cache, 1, &mut workspace, &mut out);
                next += 1;
            }
        });
        match time < WINDOW {
            true => calls += 1,
            false => best = best.min(time / calls as f64),
        }
    }
    black_box(&out);
    let rate = bytes / best / 1e9;
    println!(
        "| {heads}, {kv_heads}, {head_dim} | {depth} | {kind} | {threads} | {:.1} | {rate:.1} | {speed:.1} | {:.0} % |",
        best * 1e6,
        100.0 * rate / speed
    );
}

/// Gigabytes a second that all threads read from memory.
fn reading(memory: &[u64]) -> f64 {
    const PIECE: usize = 1 << 13;
    let time = seconds(|| {
        pool::run(memory.len() / PIECE, |task| {
            let piece = &memory[task * PIECE..(task + 1) * PIECE];
            let mut sums = [0u64; 64];
            for numbers in piece.chunks_exact(64) {
                for (sum, number) in sums.iter_mut().zip(numbers) {
                    *sum ^= number;
                }
            }
            black_box(sums);
        });
    });
    memory.len() as f64 * 8.0 / time / 1e9
}

/// Billions of operations a second in fused multiply-adds on registers, on all threads.
#[cfg(target_arch = "x86_64")]
fn arithmetic(threads: usize) -> f64 {
    const STEPS: usize = 100_000;
    let wide = is_x86_feature_detected!("avx512f");
    assert!(wide || (is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma")));
    let time = seconds(|| {
        pool::run(threads, |_| {
            // SAFETY: checked above.
            unsafe {
                match wide {
                    true => avx512(STEPS),
                    false => avx2(STEPS),
                }
            }
        });
    });
    let lanes = if wide { 16.0 } else { 8.0 };
    threads as f64 * STEPS as f64 * 12.0 * lanes * 2.0 / time / 1e9
}

#[cfg(not(target_arch = "x86_64"))]
fn arithmetic(_: usize) -> f64 {
    f64::NAN
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn avx512(steps: usize) {
    use std::arch::x86_64::*;
    let factor = _mm512_set1_ps(black_box(0.5));
    let mut sums = [factor; 12];
    for _ in 0..steps {
        for sum in &mut sums {
            *sum = _mm512_fmadd_ps(*sum, factor, factor);
        }
    }
    black_box(sums);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(steps: usize) {
    use std::arch::x86_64::*;
    let factor = _mm256_set1_ps(black_box(0.5));
    let mut sums = [factor; 12];
    for _ in 0..steps {
        for sum in &mut sums {
            *sum = _mm256_fmadd_ps(*sum, factor, factor);
        }
    }
    black_box(sums);
}
