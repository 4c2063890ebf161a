//! Products with float matrices, beside the machine's limits: `cargo bench --bench kernels_float [-- FILTER..]`.
//!
//! A row is a product of `[tokens, width]` with `[rows, width]`; the best of many, the limit measured between them in
//! the same process: arithmetic in registers for many tokens, memory read by all threads for one. Filters pick rows
//! whose name holds all of them, as in `-- f16 gemm`; `1-thread` or `2-threads` is part of the name.

use std::fs::File;
use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Result;
use crane::kernels::limits::{self, Arithmetic};
use crane::kernels::{pool, FloatInputs, FloatMatrix, Floats, Simd};
use half::{bf16, f16};
use memmap2::{Advice, Mmap, MmapMut};

const SHAPES: [(usize, usize); 3] = [(4864, 896), (896, 4864), (151_936, 896)];
/// How long a row is repeated, at least.
const TIME: Duration = Duration::from_millis(1500);
/// Bytes of weights that one-token rows go through: far more than the caches hold.
const WEIGHTS: usize = 545 << 20;

/// Seconds: of the processor for one thread, so that neighbours do not count; of the clock for several.
fn now() -> f64 {
    #[cfg(target_os = "linux")]
    if pool::threads() == 1 {
        extern "C" {
            fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
        }
        const THREAD_CPUTIME: i32 = 3;
        let mut time = [0; 2];
        // SAFETY: a `timespec` on 64-bit Linux is two 64-bit numbers.
        unsafe { clock_gettime(THREAD_CPUTIME, &mut time) };
        return time[0] as f64 + time[1] as f64 * 1e-9;
    }
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs_f64()
}

/// Seconds of the fastest of `work` and of the fastest of `limit`, taken in turns.
fn race(mut work: impl FnMut(), mut limit: impl FnMut()) -> (f64, f64) {
    let (mut best, started) = ([f64::INFINITY; 2], Instant::now());
    let mut rounds = 0;
    while rounds < 5 || started.elapsed() < TIME {
        for (best, f) in best
            .iter_mut()
            .zip([&mut work as &mut dyn FnMut(), &mut limit])
        {
            let started = now();
            f();
            *best = best.min(now() - started);
        }
        rounds += 1;
    }
    (best[0], best[1])
}

/// The limits of this CPU, of the instructions that the kernels use.
#[cfg(target_arch = "x86_64")]
mod limit {
    use std::arch::x86_64::*;

    use super::Simd;

    pub const ROUNDS: usize = 500_000;
    const CHAINS: usize = 16;

    /// Operations of [`arithmetic`].
    pub fn operations(simd: Simd, pairs: bool) -> f64 {
        let lanes = if simd >= Simd::Avx512 { 16 } else { 8 };
        let chains = if simd >= Simd::Avx512 {
            CHAINS
        } else {
            CHAINS - 4
        };
        (2 * lanes * chains * ROUNDS * (1 + usize::from(pairs))) as f64
    }

    pub fn arithmetic(simd: Simd, pairs: bool) -> f32 {
        // SAFETY: `simd` is what this CPU has.
        unsafe {
            match (simd, pairs) {
                (Simd::Avx512Bf16, true) => bf16(),
                (Simd::Avx512 | Simd::Avx512Bf16 | Simd::Amx, _) => f32x16(),
                (Simd::Avx2, _) => f32x8(),
                (Simd::Portable, _) => f32::NAN,
            }
        }
    }

    #[target_feature(enable = "avx512f")]
    unsafe fn f32x16() -> f32 {
        let (a, mut acc) = (
            std::hint::black_box(_mm512_set1_ps(1e-3)),
            [_mm512_setzero_ps(); CHAINS],
        );
        for _ in 0..ROUNDS {
            for acc in &mut acc {
                *acc = _mm512_fmadd_ps(a, a, *acc);
            }
        }
        acc.iter().map(|&acc| _mm512_reduce_add_ps(acc)).sum()
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn bf16() -> f32 {
        let a = std::hint::black_box(_mm512_set1_epi32(0x3a80_3a80));
        // SAFETY: both are 512 bits of plain numbers.
        let (a, mut acc) = (
            std::mem::transmute::<__m512i, __m512bh>(a),
            [_mm512_setzero_ps(); CHAINS],
        );
        for _ in 0..ROUNDS {
            for acc in &mut acc {
                *acc = _mm512_dpbf16_ps(*acc, a, a);
            }
        }
        acc.iter().map(|&acc| _mm512_reduce_add_ps(acc)).sum()
    }

    #[target_feature(enable = "avx2,fma")]
    unsafe fn f32x8() -> f32 {
        let (a, mut acc) = (
            std::hint::black_box(_mm256_set1_ps(1e-3)),
            [_mm256_setzero_ps(); CHAINS - 4],
        );
        for _ in 0..ROUNDS {
            for acc in &mut acc {
                *acc = _mm256_fmadd_ps(a, a, *acc);
            }
        }
        acc.iter()
            .map(|&acc| _mm_cvtss_f32(_mm256_castps256_ps128(acc)))
            .sum()
    }

    /// Reads all of `bytes`, a multiple of a page.
    pub fn read(bytes: &[u8]) {
        let part = bytes.len() / super::PARTS;
        crane::kernels::pool::run(super::PARTS, |task| {
            let bytes = &bytes[task * part..(task + 1) * part];
            // SAFETY: every x86-64 with these kernels under test has AVX2.
            std::hint::black_box(unsafe { sum(bytes) });
        });
    }

    #[target_feature(enable = "avx2")]
    unsafe fn sum(bytes: &[u8]) -> __m256i {
        let mut acc = [_mm256_setzero_si256(); 8];
        for block in bytes.chunks_exact(256) {
            let p = block.as_ptr();
            for line in 0..4 {
                _mm_prefetch::<_MM_HINT_T0>(p.wrapping_add(4096 + line * 64).cast());
            }
            for (i, acc) in acc.iter_mut().enumerate() {
                *acc = _mm256_xor_si256(*acc, _mm256_loadu_si256(p.add(32 * i).cast()));
            }
        }
        acc.into_iter()
            .reduce(|a, b| _mm256_xor_si256(a, b))
            .unwrap_or(acc[0])
    }
}

const PARTS: usize = 256;

/// Weights of each type over the same bytes.
fn floats<'a>(name: &str, bytes: &'a [u8], len: usize) -> Floats<'a> {
    // SAFETY: all bit patterns are numbers, and pages are aligned.
    unsafe {
        match name {
            "f32" => Floats::F32(&bytes.align_to::<f32>().1[..len]),
            "f16" => Floats::F16(&bytes.align_to::<f16>().1[..len]),
            _ => Floats::BF16(&bytes.align_to::<bf16>().1[..len]),
        }
    }
}

/// Numbers that no kernel meets as denormals, in any of the types: 0x3a80.. and the like.
fn fill(bytes: &mut [u8]) {
    for (i, pair) in bytes.chunks_exact_mut(2).enumerate() {
        pair.copy_from_slice(&(0x3c00 + (((i as u16).wrapping_mul(37)) & 0x3ff)).to_le_bytes());
    }
}

fn main() -> Result<()> {
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let wanted = |name: &str| {
        filters
            .iter()
            .all(|f| name.split(' ').any(|word| word == f))
    };
    let simd = match std::env::var("SIMD").as_deref() {
        Ok("avx2") => Simd::Avx2,
        Ok("avx512") => Simd::Avx512,
        _ => Simd::detect(),
    };
    let mut memory = MmapMut::map_anon(WEIGHTS)?;
    #[cfg(target_os = "linux")]
    memory.advise(Advice::HugePage)?;
    fill(&mut memory);
    let file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR"))?;
    std::fs::write(file.path(), &memory)?;
    // SAFETY: nobody else knows the file.
    let mapped = unsafe { Mmap::map(&File::open(file.path())?)? };
    println!("{simd:?}");
    println!("| type | rows x width | tokens | threads | ms | GFLOP/s or GB/s | limit | share |");
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for threads in [1, 2] {
        pool::set_threads(threads);
        for name in ["f32", "f16", "bf16"] {
            let size = if name == "f32" { 4 } else { 2 };
            for (rows, width) in SHAPES {
                for tokens in [2, 4, 8, 16, 32, 128, 512] {
                    let label = format!("gemm {name} {rows}x{width} {tokens} {threads}-threads");
                    if wanted(&label) {
                        let bytes = &memory[..rows * width * size];
                        gemm(
                            simd,
                            floats(name, bytes, rows * width),
                            name,
                            (rows, width),
                            tokens,
                        )?;
                    }
                }
                for (kind, bytes) in [("huge", &memory[..]), ("mapped", &mapped[..])] {
                    let label = format!("gemv {name} {rows}x{width} 1 {threads}-threads {kind}");
                    if wanted(&label) {
                        let rows = WEIGHTS / size / width / 64 * 64;
                        gemv(
                            simd,
                            floats(name, bytes, rows * width),
                            (rows, width),
                            size,
                            &label,
                            bytes,
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

/// Rounds of the tiles' limit.
const TILES: u64 = 20_000;

fn gemm(
    simd: Simd,
    w: Floats,
    name: &str,
    (rows, width): (usize, usize),
    tokens: usize,
) -> Result<()> {
    let x: Vec<f32> = (0..tokens * width)
        .map(|i| (i % 61) as f32 / 61.0 - 0.5)
        .collect();
    let matrix = FloatMatrix::new(simd, w, rows, width).ok_or(anyhow::anyhow!("sizes"))?;
    let (mut tiles, mut out) = (FloatInputs::default(), vec![0.0; tokens * rows]);
    let pairs = name == "bf16" && simd == Simd::Avx512Bf16;
    let threads = pool::threads();
    let kind = match name {
        "bf16" => Arithmetic::Bf16,
        _ => Arithmetic::F32,
    };
    let (work, peak) = race(
        || matrix.multiply_into(&x, &mut tiles, black_box(&mut out)),
        || {
            pool::run(threads, |_| {
                black_box(match simd {
                    Simd::Amx if name == "bf16" => limits::compute(kind, TILES) as f32,
                    _ => limit::arithmetic(simd, pairs),
                });
            })
        },
    );
    let speed = 2.0 * (rows * width * tokens) as f64 / work / 1e9;
    let operations = match simd {
        Simd::Amx if name == "bf16" => limits::compute(kind, TILES) as f64,
        _ => limit::operations(simd, pairs),
    };
    let peak = operations * threads as f64 / peak / 1e9;
    println!(
        "| {name} | {rows} x {width} | {tokens} | {threads} | {:.3} | {speed:.0} | {peak:.0} | {:.0} % |",
        work * 1e3,
        100.0 * speed / peak
    );
    Ok(())
}

fn gemv(
    simd: Simd,
    w: Floats,
    (rows, width): (usize, usize),
    size: usize,
    label: &str,
    bytes: &[u8],
) {
    let x: Vec<f32> = (0..width).map(|i| (i % 61) as f32 / 61.0 - 0.5).collect();
    let Some(matrix) = FloatMatrix::new(simd, w, rows, width) else {
        return;
    };
    let (mut tiles, mut out) = (FloatInputs::default(), vec![0.0; rows]);
    let (work, peak) = race(
        || matrix.multiply_into(&x, &mut tiles, black_box(&mut out)),
        || limit::read(bytes),
    );
    let speed = (rows * width * size) as f64 / work / 1e9;
    let peak = bytes.len() as f64 / peak / 1e9;
    println!(
        "| {label} | all x {width} | 1 | {} | {:.3} | {speed:.1} GB/s | {peak:.1} | {:.0} % |",
        pool::threads(),
        work * 1e3,
        100.0 * speed / peak
    );
}
