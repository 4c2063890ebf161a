//! NaN shows where it is seen, and nowhere else.

use super::*;

#[test]
fn what_is_not_a_number_stays_visible() {
    let exact = Attention {
        heads: 6,
        kv_heads: 2,
        head_dim: 24,
        window: None,
        scale: 0.2,
        causal: true,
        rounded: false,
    };
    let (width, wide) = (48, 144);
    let mut workspace = Workspace::new();
    for (simd, kind) in Simd::available().flat_map(|s| CacheType::ALL.map(|k| (s, k))) {
        for (len, tokens) in [(1, 1), (40, 40), (300, 1), (700, 3)] {
            for tensor in 0..3 {
                let mut random = Random(tensor);
                let mut k = random.rows(len * width);
                let mut v = random.rows(len * width);
                let mut q = random.rows(tokens * wide);
                // The first head of each.
                [&mut k, &mut v, &mut q][tensor as usize][5] = f32::NAN;
                let mut cache = KvCache::new(2, 24, len, kind);
                cache.append(simd, &k, &v, width, len).unwrap();
                let case = (cache, q, wide);
                for rounded in [false, true] {
                    let attention = Attention { rounded, ..exact };
                    let out = compute(&attention, simd, &case, tokens, &mut workspace);
                    let case = format!("{simd:?} {kind} {len} {tensor} {rounded}");
                    assert!(out[5].is_nan(), "{case}");
                    // The second key head's queries are not touched by it.
                    assert!(out[72..144].iter().all(|x| x.is_finite()), "{case}");
                }
            }
        }
    }
}

#[test]
fn what_is_not_a_number_shows_in_no_token_that_does_not_see_it() {
    for (heads, window) in [(2, None), (14, None), (6, Some(20))] {
        let attention = Attention {
            heads,
            kv_heads: 2,
            head_dim: 24,
            window,
            scale: 0.2,
            causal: true,
            rounded: false,
        };
        let (width, wide, len) = (48, heads * 24, 300);
        let mut workspace = Workspace::new();
        for (simd, kind) in Simd::available().flat_map(|s| CacheType::ALL.map(|k| (s, k))) {
            for (tokens, bad) in [
                (300, 0),
                (300, 255),
                (300, 258),
                (40, 270),
                (5, 297),
                (1, 0),
            ] {
                let mut random = Random(bad as u64);
                let (k, v) = (random.rows(len * width), random.rows(len * width));
                let q = random.rows(tokens * wide);
                let [fine, damaged] = [0.5, f32::NAN].map(|number| {
                    let [k, v] = [&k, &v].map(|rows| {
                        let mut rows = rows.clone();
                        rows[bad * width..(bad + 1) * width].fill(number);
                        rows
                    });
                    let mut cache = KvCache::new(2, 24, len, kind);
                    cache.append(simd, &k, &v, width, len).unwrap();
                    let case = (cache, q.clone(), wide);
                    compute(&attention, simd, &case, tokens, &mut workspace)
                });
                let rows = fine.chunks_exact(wide).zip(damaged.chunks_exact(wide));
                for (at, (fine, damaged)) in (len - tokens..).zip(rows) {
                    let case = format!("{heads} {window:?} {simd:?} {kind} {tokens} {bad} at {at}");
                    match attention.seen(at, len).contains(&bad) {
                        true => assert!(damaged.iter().all(|x| x.is_nan()), "{case}"),
                        false => assert_eq!(bits(fine), bits(damaged), "{case}"),
                    }
                }
            }
        }
    }
}
