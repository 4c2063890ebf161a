//! A token has the numbers that it has alone, whatever is computed beside it.

use super::*;

const SMALL: Attention = Attention {
    heads: 6,
    kv_heads: 2,
    head_dim: 40,
    window: None,
    scale: 0.16,
    causal: true,
    rounded: false,
};

#[test]
fn sequences_together_have_the_numbers_of_each_alone() {
    for simd in Simd::available() {
        for (kind, window) in [
            (CacheType::F32, None),
            (CacheType::F16, Some(100)),
            (CacheType::Q8_0, None),
        ] {
            let attention = Attention { window, ..SMALL };
            let all: Vec<_> = [1, 700, 16, 257, 130]
                .into_iter()
                .map(|len| filled(&attention, kind, simd, len, 1, len as u64))
                .collect();
            let sequences: Vec<_> = all
                .iter()
                .map(|(cache, q, _)| Alone {
                    q: &q[..240],
                    cache,
                })
                .collect();
            let mut workspace = Workspace::new();
            let mut together = vec![f32::NAN; all.len() * 240];
            attention.each(simd, &sequences, &mut workspace, &mut together);
            for (together, one) in together.chunks(240).zip(&all) {
                let alone = compute(&attention, simd, one, 1, &mut workspace);
                assert_eq!(bits(together), bits(&alone), "{simd:?} {kind:?}");
            }
        }
    }
}

#[test]
fn settled_tokens_do_not_see_how_many_they_are() {
    for simd in Simd::available() {
        for (kind, window) in [
            (CacheType::F32, None),
            (CacheType::F16, Some(90)),
            (CacheType::Q8_0, None),
        ] {
            let attention = Attention { window, ..SMALL };
            let width = attention.kv_heads * attention.head_dim;
            let mut random = Random(7);
            let total = 600;
            let (k, v) = (random.rows(total * width), random.rows(total * width));
            let q = random.rows(total * 240);
            // The numbers of each token, computed in passes that end at these places.
            let passes = |ends: &[usize]| {
                let mut cache = KvCache::new(2, 40, total, kind);
                let mut workspace = Workspace::new();
                let mut all = Vec::new();
                for &end in ends {
                    let start = cache.len();
                    let tokens = end - start;
                    let from = start * width;
                    cache
                        .append(simd, &k[from..], &v[from..], width, tokens)
                        .unwrap();
                    let mut out = vec![f32::NAN; tokens * 240];
                    let q = &q[start * 240..];
                    attention.forward(simd, q, 240, &cache, tokens, &mut workspace, &mut out);
                    all.extend(bits(&out));
                }
                all
            };
            let whole = passes(&[total]);
            let ways = [&[16, 300, 317, 600][..], &[256, 568, 600], &[511, 600]];
            for ends in ways {
                assert_eq!(passes(ends), whole, "{simd:?} {kind:?} {ends:?}");
            }
            assert_eq!(passes(&[20, 500]), whole[..500 * 240]);
        }
    }
}
