//! Rotary position embedding in place (Su et al., 2021, arXiv:2104.09864).

use super::pool::{self, Parts};
use super::simd::{Kernel, Lanes, Simd};

/// Tokens that make a task.
const TOKENS_A_TASK: usize = 16;

/// Cosines and sines of the tokens of a pass, each `[tokens, head_dim / 2]`.
#[derive(Debug, Clone, Copy)]
pub struct Angles<'a> {
    pub cos: &'a [f32],
    pub sin: &'a [f32],
    pub head_dim: usize,
    /// Neighbours are rotated together, not the halves of a head.
    pub neighbours: bool,
}

/// Rotates every head of `x`, `[tokens, heads · head_dim]` with rows `stride` numbers apart.
///
/// # Panics
/// Lengths that do not fit each other.
pub fn rotate(simd: Simd, x: &mut [f32], stride: usize, heads: usize, angles: Angles) {
    let width = heads * angles.head_dim;
    let half = angles.head_dim / 2;
    assert!(width > 0 && half > 0 && width <= stride);
    let tokens = angles.cos.len() / half;
    assert!(angles.cos.len() == tokens * half && angles.sin.len() == tokens * half);
    assert!(tokens == 0 || x.len() >= (tokens - 1) * stride + width);
    let parts = Parts::new(x);
    pool::run(tokens.div_ceil(TOKENS_A_TASK), |task| {
        let first = task * TOKENS_A_TASK;
        let count = TOKENS_A_TASK.min(tokens - first);
        // SAFETY: each task has its own tokens; the last row may end before the next would begin.
        let x = unsafe { parts.part(first * stride, (count - 1) * stride + width) };
        let range = first * half..(first + count) * half;
        simd.run(Rotate {
            x,
            stride,
            heads,
            angles: Angles {
                cos: &angles.cos[range.clone()],
                sin: &angles.sin[range],
                ..angles
            },
        });
    });
}

struct Rotate<'a> {
    x: &'a mut [f32],
    stride: usize,
    heads: usize,
    angles: Angles<'a>,
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn eval<L: Lanes>(self) {
        let Angles {
            cos,
            sin,
            head_dim,
            neighbours,
        } = self.angles;
        let half = head_dim / 2;
        let tables = cos.chunks_exact(half).zip(sin.chunks_exact(half));
        for (x, (cos, sin)) in self.x.chunks_mut(self.stride).zip(tables) {
            for head in x[..self.heads * head_dim].chunks_exact_mut(head_dim) {
                if neighbours {
                    for ((pair, cos), sin) in head.chunks_exact_mut(2).zip(cos).zip(sin) {
                        let (a, b) = (pair[0], pair[1]);
                        pair[0] = a * cos - b * sin;
                        pair[1] = a * sin + b * cos;
                    }
                } else {
                    let (low, high) = head.split_at_mut(half);
                    for (((a, b), cos), sin) in low.iter_mut().zip(high).zip(cos).zip(sin) {
                        let (x, y) = (*a, *b);
                        *a = x * cos - y * sin;
                        *b = x * sin + y * cos;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_turn_by_their_angle_and_keep_their_length() {
        let (tokens, heads, head_dim) = (37, 3, 10);
        let angle = |token: usize, i: usize| token as f32 * 0.3 / (i + 1) as f32;
        let table = |f: fn(f32) -> f32| -> Vec<f32> {
            (0..tokens * 5).map(|at| f(angle(at / 5, at % 5))).collect()
        };
        let (cos, sin) = (table(f32::cos), table(f32::sin));
        let x: Vec<f32> = (0..tokens * heads * head_dim)
            .map(|i| (i as f32 * 0.7).sin())
            .collect();
        for simd in Simd::available() {
            for neighbours in [false, true] {
                let mut y = x.clone();
                let angles = Angles {
                    cos: &cos,
                    sin: &sin,
                    head_dim,
                    neighbours,
                };
                rotate(simd, &mut y, heads * head_dim, heads, angles);
                for (token, (x, y)) in x.chunks(30).zip(y.chunks(30)).enumerate() {
                    for head in 0..heads {
                        for i in 0..5 {
                            let (a, b) = match neighbours {
                                false => (i, i + 5),
                                true => (2 * i, 2 * i + 1),
                            };
                            let (a, b) = (head * head_dim + a, head * head_dim + b);
                            let (sin, cos) = angle(token, i).sin_cos();
                            assert!((y[a] - (x[a] * cos - x[b] * sin)).abs() < 1e-5);
                            assert!((y[b] - (x[a] * sin + x[b] * cos)).abs() < 1e-5);
                        }
                    }
                }
            }
        }
    }
}
