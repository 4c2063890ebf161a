//! Every instruction set against plain arithmetic.

use proptest::prelude::*;

use super::math::exp;
use super::{silu, Kernel, Lanes, Simd, LANES};

/// `exp` and `silu` of sixteen numbers.
struct Functions([f32; LANES]);

impl Kernel for Functions {
    type Output = [[f32; LANES]; 2];

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) -> Self::Output {
        let mut out = [[0.0; LANES]; 2];
        let x = L::load(self.0.as_ptr());
        L::store(out[0].as_mut_ptr(), exp::<L>(x));
        L::store(out[1].as_mut_ptr(), silu::<L>(x));
        out
    }
}

/// Both dot products, with `CENTRED` undone, and sums of the lanes.
struct Dots {
    u: [u8; 64],
    q: [i8; 4],
}

impl Kernel for Dots {
    type Output = ([f32; LANES], [f32; LANES], i32);

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) -> Self::Output {
        let q = L::splat_bytes(self.q.as_ptr());
        let low = L::and(L::load_bytes(self.u.as_ptr()), L::splat_byte(63));
        let sum: i32 = self.q.iter().map(|&q| i32::from(q)).sum();
        let start = L::splat_i(if L::CENTRED { 128 * sum } else { 0 });
        let full = L::dot8(start, L::load_bytes(self.u.as_ptr()), q);
        let six = L::dot(L::splat_i(5), low, q);
        let mut out = ([0.0; LANES], [0.0; LANES], L::sum_i(six));
        L::store(out.0.as_mut_ptr(), L::to_float(six));
        L::store(out.1.as_mut_ptr(), L::to_float(full));
        out
    }
}

proptest! {
    #[test]
    fn functions_are_close(x in proptest::array::uniform16(-100f32..100.0)) {
        for simd in Simd::available() {
            let [e, s] = simd.run(Functions(x));
            for (i, &x) in x.iter().enumerate() {
                let exact = f64::from(x).exp();
                if x > -86.6 && x < 88.69 {
                    prop_assert!((f64::from(e[i]) - exact).abs() <= 3e-7 * exact, "{simd:?} exp({x}) = {}", e[i]);
                }
                let exact = f64::from(x) / (1.0 + (-f64::from(x)).exp());
                prop_assert!((f64::from(s[i]) - exact).abs() <= 1e-6 * exact.abs() + 1e-30, "{simd:?} silu({x}) = {}", s[i]);
            }
        }
    }

    #[test]
    fn dot_products_are_exact(
        u in proptest::collection::vec(any::<u8>(), 64), q in proptest::array::uniform4(-127i8..=127)
    ) {
        let u: [u8; 64] = u.try_into().unwrap();
        for simd in Simd::available() {
            let (six, full, sum) = simd.run(Dots { u, q });
            let mut total = 0;
            for lane in 0..LANES {
                let dot = |mask: u8| -> i32 {
                    (0..4).map(|i| i32::from(u[lane * 4 + i] & mask) * i32::from(q[i])).sum()
                };
                total += 5 + dot(63);
                prop_assert_eq!(six[lane], (5 + dot(63)) as f32, "{:?}", simd);
                prop_assert_eq!(full[lane], dot(255) as f32, "{:?}", simd);
            }
            prop_assert_eq!(sum, total);
        }
    }
}

#[test]
fn the_exponential_s_ends() {
    let mut x = [0.0; LANES];
    x[..5].copy_from_slice(&[f32::NEG_INFINITY, -90.0, f32::NAN, 1e30, f32::INFINITY]);
    for simd in Simd::available() {
        let [e, _] = simd.run(Functions(x));
        assert_eq!(&e[..2], [0.0, 0.0], "{simd:?}");
        assert!(
            e[2].is_nan() && e[3] > 3e38 && e[4] > 3e38,
            "{simd:?} {e:?}"
        );
        assert_eq!(e[5], 1.0);
    }
}

/// Conversions of halves, rounding and the smaller operations.
struct Conversions([f32; LANES]);

impl Kernel for Conversions {
    type Output = ([f32; LANES], [i8; LANES], [f32; 4]);

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) -> Self::Output {
        let x = L::load(self.0.as_ptr());
        let mut halves = [half::f16::ZERO; LANES];
        L::store_f16(halves.as_mut_ptr(), x);
        let mut out = ([0.0; LANES], [0; LANES], [0.0; 4]);
        L::store(out.0.as_mut_ptr(), L::load_f16(halves.as_ptr()));
        L::store_i8(out.1.as_mut_ptr(), L::round(x));
        let back = L::to_float(L::load_i8(out.1.as_ptr()));
        let unsigned = L::to_float(L::load_u8(out.1.as_ptr().cast()));
        out.2 = [
            L::largest(L::abs(x)),
            L::sum(back),
            L::sum(unsigned),
            L::largest(L::zero_below(x, L::splat(3.0), x)),
        ];
        out
    }
}

proptest! {
    #[test]
    fn conversions_are_exact(x in proptest::array::uniform16(-127f32..127.0)) {
        for simd in Simd::available() {
            let (halves, bytes, [largest, sum, unsigned, above]) = simd.run(Conversions(x));
            for (i, &x) in x.iter().enumerate() {
                prop_assert_eq!(halves[i], half::f16::from_f32(x).to_f32());
                prop_assert_eq!(bytes[i], x.round_ties_even() as i8);
            }
            prop_assert_eq!(largest, x.iter().fold(0f32, |m, x| m.max(x.abs())));
            prop_assert_eq!(sum, bytes.iter().map(|&b| f32::from(b)).sum::<f32>());
            prop_assert_eq!(unsigned, bytes.iter().map(|&b| f32::from(b as u8)).sum::<f32>());
            prop_assert_eq!(above, x.iter().fold(0f32, |m, &x| if x >= 3.0 { m.max(x) } else { m }));
        }
    }
}

/// A block of sixteen by sixteen, turned; with strides of 17 and 19.
struct Turned<'a>(&'a [f32; LANES * 17]);

impl Kernel for Turned<'_> {
    type Output = [f32; LANES * 19];

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) -> Self::Output {
        let mut out = [0.0; LANES * 19];
        L::transpose(self.0.as_ptr(), 17, out.as_mut_ptr(), 19);
        out
    }
}

#[test]
fn blocks_are_transposed_bit_by_bit() {
    // Signalling ones that are not numbers among them.
    let bits = |i: usize| 0x7f80_0001 + 37 * i as u32;
    let block: [f32; LANES * 17] = std::array::from_fn(|i| f32::from_bits(bits(i)));
    for simd in Simd::available() {
        let turned = simd.run(Turned(&block));
        for i in 0..LANES {
            for j in 0..LANES {
                assert_eq!(turned[j * 19 + i].to_bits(), bits(i * 17 + j), "{simd:?}");
            }
        }
    }
}
