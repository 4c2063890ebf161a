//! The convolutions of Spark-TTS' wave generator, beside the machine's limit: `cargo bench --bench conv [-- FILTER..]`.
//!
//! A row is one convolution over half a second of speech at the real sizes, on one thread; the best of many in the
//! processor's time, the limit (arithmetic in registers) measured between them.

use std::time::{Duration, Instant};

use crane::kernels::conv::{activate, Activation, Filter, Kernel, Out, Signal};
use crane::kernels::limits::{self, Arithmetic};
use crane::kernels::{pool, Arena, Simd, Unit};

/// How long a row is repeated, at least.
const TIME: Duration = Duration::from_millis(700);
const LIMIT_ROUNDS: u64 = 300_000;

/// Seconds of the processor, so that neighbours do not count; of the clock where the system does not tell.
fn now() -> f64 {
    #[cfg(target_os = "linux")]
    {
        extern "C" {
            fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
        }
        const THREAD_CPUTIME: i32 = 3;
        let mut time = [0; 2];
        // SAFETY: a `timespec` on 64-bit Linux is two 64-bit numbers.
        unsafe { clock_gettime(THREAD_CPUTIME, &mut time) };
        time[0] as f64 + time[1] as f64 * 1e-9
    }
    #[cfg(not(target_os = "linux"))]
    {
        static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_secs_f64()
    }
}

fn noise(len: usize) -> Vec<f32> {
    let mut state = 1u64;
    (0..len)
        .map(|_| {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

fn row(
    name: &str,
    filters: &[String],
    unit: Unit,
    [rows, channels, size, spacing, len]: [usize; 5],
    up: bool,
) {
    let name = format!("{name} {unit:?}").to_lowercase();
    if !filters.iter().all(|f| name.contains(f.as_str())) {
        return;
    }
    let simd = Simd::detect();
    let weights = noise(rows * channels * size);
    let kernel = Kernel {
        weights: &weights,
        scales: None,
        rows,
        channels,
        size,
    };
    let (bias, arena) = (vec![0.1; rows], Arena::default());
    let filter = match up {
        false => Filter::conv(
            simd,
            unit,
            &kernel,
            bias,
            [1, spacing, spacing * (size / 2)],
            &arena,
        ),
        true => Filter::transposed(
            simd,
            unit,
            &kernel,
            bias,
            spacing,
            (size - spacing) / 2,
            &arena,
        ),
    };
    let filter = filter.expect("memory");
    let (mut x, mut out) = (Signal::default(), Signal::default());
    let plain = Signal::from_channels(&noise(channels * len), channels);
    activate(simd, &plain, Activation::Identity, unit, &mut x);
    let kind = match unit {
        Unit::F32 => Arithmetic::F32,
        Unit::Pairs => Arithmetic::Bf16,
    };
    let (mut best, mut limit, started) = (f64::INFINITY, 0f64, Instant::now());
    while started.elapsed() < TIME {
        let start = now();
        filter.apply(&x, Out::plain(&mut out));
        best = best.min(now() - start);
        let start = now();
        let operations = limits::compute(kind, LIMIT_ROUNDS);
        limit = limit.max(operations as f64 / (now() - start));
    }
    let rate = (2 * rows * channels * size * len) as f64 / best;
    println!(
        "{name:28} {:8.2} ms {:7.1} GFLOP/s of {:6.1}: {:3.0} %",
        best * 1e3,
        rate / 1e9,
        limit / 1e9,
        100.0 * rate / limit
    );
}

fn main() {
    pool::set_threads(1);
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let units = match Simd::detect() {
        Simd::Avx512Bf16 => vec![Unit::F32, Unit::Pairs],
        _ => vec![Unit::F32],
    };
    for unit in units {
        // wav2vec2's, of three seconds.
        if unit == Unit::F32 {
            row("far 512", &filters, unit, [512, 512, 3, 2, 9600], false);
        }
        row(
            "first 1024-1536",
            &filters,
            unit,
            [1536, 1024, 7, 1, 25],
            false,
        );
        for (channels, rate, size, len) in [
            (1536, 8, 16, 25),
            (768, 5, 11, 200),
            (384, 4, 8, 1000),
            (192, 2, 4, 4000),
        ] {
            row(
                &format!("up {channels}"),
                &filters,
                unit,
                [channels / 2, channels, size, rate, len],
                true,
            );
        }
        for (channels, len) in [(768, 200), (384, 1000), (192, 4000), (96, 8000)] {
            for dilation in [1, 3, 9] {
                row(
                    &format!("wide {channels} x{dilation}"),
                    &filters,
                    unit,
                    [channels, channels, 7, dilation, len],
                    false,
                );
            }
            row(
                &format!("point {channels}"),
                &filters,
                unit,
                [channels, channels, 1, 1, len],
                false,
            );
        }
    }
}
