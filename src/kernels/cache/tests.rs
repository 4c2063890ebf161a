use proptest::prelude::*;

use super::*;

impl KvCache {
    /// Key and value of a head as attention sees them, `[head_dim]` each.
    pub(crate) fn stored(&self, position: usize, kv_head: usize) -> (Vec<f32>, Vec<f32>) {
        match self.kind {
            CacheType::F32 => self.widened::<f32>(position, kv_head, |x| x),
            CacheType::F16 => self.widened::<f16>(position, kv_head, f16::to_f32),
            CacheType::Q8_0 => self.widened::<i8>(position, kv_head, f32::from),
        }
    }

    fn widened<E: Element>(
        &self,
        position: usize,
        kv_head: usize,
        widen: impl Fn(E) -> f32,
    ) -> (Vec<f32>, Vec<f32>) {
        assert!(position < self.len);
        let head = self.head::<E>(position / CHUNK, kv_head);
        let slot = position % CHUNK;
        let (block, lane) = (slot / LANES, slot % LANES);
        let shape = &self.shape;
        (0..shape.head_dim)
            .map(|d| {
                let group = d / SCALE_GROUP;
                // SAFETY: places within the chunk, by its documented shape.
                unsafe {
                    let k = *head.keys.add((block * shape.head_dim + d) * LANES + lane);
                    let v = head
                        .values
                        .add((d / LANES * CHUNK + slot) * LANES + d % LANES);
                    let (mut ks, mut vs) = (1.0, 1.0);
                    if E::SCALED {
                        ks = *head
                            .key_scales
                            .add((block * shape.groups + group) * LANES + lane);
                        vs = *head.value_scales.add(group * CHUNK + slot);
                    }
                    (widen(k) * ks, widen(*v) * vs)
                }
            })
            .unzip()
    }
}

/// The stored form of one group of numbers, plainly.
fn reference(kind: CacheType, x: &[f32]) -> Vec<f32> {
    match kind {
        CacheType::F32 => x.to_vec(),
        CacheType::F16 => x.iter().map(|&x| f16::from_f32(x).to_f32()).collect(),
        CacheType::Q8_0 => {
            let largest = x.iter().fold(0f32, |m, x| m.max(x.abs()));
            if largest < 1e-30 {
                return vec![0.0; x.len()];
            }
            let inverse = 127.0 / largest;
            x.iter()
                .map(|&x| (x * inverse).round_ties_even() * (largest / 127.0))
                .collect()
        }
    }
}

fn numbers(count: usize) -> impl Strategy<Value = Vec<f32>> {
    let number = prop_oneof![-3f32..3.0, -1e4f32..1e4, Just(0.0), Just(1e-40)];
    proptest::collection::vec(number, count)
}

proptest! {
    #[test]
    fn tokens_are_stored_as_they_are_appended(
        (kv_heads, half, pad, pieces, cut, data) in
            (1usize..4, 1usize..40, 0usize..5, proptest::collection::vec(1usize..60, 1..8), 0usize..400)
                .prop_flat_map(|(kv_heads, half, pad, pieces, cut)| {
                    let tokens: usize = pieces.iter().sum();
                    let count = tokens * (kv_heads * half * 2 + pad);
                    let data = (numbers(count), numbers(count));
                    (Just(kv_heads), Just(half), Just(pad), Just(pieces), Just(cut), data)
                })
    ) {
        let dim = 2 * half;
        let stride = kv_heads * dim + pad;
        for (simd, kind) in Simd::available().flat_map(|s| CacheType::ALL.map(|k| (s, k))) {
            let mut cache = KvCache::new(kv_heads, dim, 1000, kind);
            let mut held: Vec<usize> = Vec::new();
            let mut row = 0;
            for (i, &tokens) in pieces.iter().enumerate() {
                cache
                    .append(simd, &data.0[row * stride..], &data.1[row * stride..], stride, tokens)
                    .unwrap();
                held.extend(row..row + tokens);
                row += tokens;
                if i == pieces.len() / 2 {
                    cache.truncate(cut);
                    held.truncate(cut);
                }
            }
            prop_assert_eq!(cache.len(), held.len());
            for (position, row) in held.into_iter().enumerate() {
                for head in 0..kv_heads {
                    let (k, v) = cache.stored(position, head);
                    let at = row * stride + head * dim;
                    for (stored, source) in [(k, &data.0), (v, &data.1)] {
                        let expected: Vec<f32> = source[at..at + dim]
                            .chunks(SCALE_GROUP)
                            .flat_map(|group| reference(kind, group))
                            .collect();
                        prop_assert_eq!(stored, expected, "{:?} {}", simd, kind);
                    }
                }
            }
        }
    }
}

#[test]
fn a_cache_past_its_context_is_refused_and_left_as_it_was() {
    let simd = Simd::detect();
    let mut cache = KvCache::new(2, 4, 20, CacheType::F16);
    let rows = vec![1.0; 21 * 8];
    cache.append(simd, &rows, &rows, 8, 15).unwrap();
    let error = cache.append(simd, &rows, &rows, 8, 6).unwrap_err();
    assert_eq!(
        error,
        CacheError::Full {
            needed: 21,
            limit: 20
        }
    );
    assert_eq!(error.to_string(), "21 tokens do not fit a context of 20");
    assert_eq!(cache.len(), 15);
    cache.append(simd, &rows, &rows, 8, 5).unwrap();
    assert_eq!(cache.len(), 20);
    assert_eq!(cache.bytes(), 256 * 2 * (4 + 16) * 2);
}

#[test]
fn memory_that_is_not_there_is_an_error() {
    let mut cache = KvCache::new(usize::MAX >> 24, 2, 10, CacheType::F32);
    assert!(matches!(
        cache.reserve(1),
        Err(CacheError::Memory { tokens: 1, .. })
    ));
    assert!(cache.is_empty() && cache.bytes() == 0);
}

#[test]
fn what_is_not_finite_stays_visible() {
    for (simd, kind) in Simd::available().flat_map(|s| CacheType::ALL.map(|k| (s, k))) {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in 0..34 {
                let mut row = vec![0.5; 34];
                row[at] = bad;
                let mut cache = KvCache::new(1, 34, 10, kind);
                cache.append(simd, &row, &row, 34, 1).unwrap();
                let (k, v) = cache.stored(0, 0);
                assert!(!k[at].is_finite() && !v[at].is_finite(), "{simd:?} {kind}");
            }
        }
    }
}

#[test]
fn types_are_spelt_as_they_are_read() {
    for kind in CacheType::ALL {
        assert_eq!(kind.to_string().parse::<CacheType>().unwrap(), kind);
    }
    let error = "f64".parse::<CacheType>().unwrap_err();
    assert!(error.to_string().contains("'f64'"));
    assert_eq!(CacheType::default(), CacheType::F16);
}

#[test]
fn sequences_that_begin_alike_part_without_touching_each_other() {
    for kind in CacheType::ALL {
        let simd = Simd::detect();
        let rows = |from: usize, tokens: usize| -> Vec<f32> {
            let number = |i: usize| ((from * 64 + i) as f32 * 0.37).sin();
            (0..tokens * 64).map(number).collect()
        };
        let grown = |cache: &mut KvCache, from: usize, tokens: usize| {
            let (k, v) = (rows(from, tokens), rows(from + 9, tokens));
            cache.append(simd, &k, &v, 64, tokens).unwrap();
        };
        let held = |cache: &KvCache| -> Vec<_> {
            (0..cache.len())
                .flat_map(|at| [cache.stored(at, 0), cache.stored(at, 1)])
                .collect()
        };
        let mut first = KvCache::new(2, 32, 2000, kind);
        grown(&mut first, 0, 600);
        let before = held(&first);
        for len in [0, 10, 256, 300, 512, 600] {
            let mut second = KvCache::new(2, 32, 2000, kind);
            grown(&mut second, 77, 40);
            second.begin_as(&first, len);
            assert_eq!(held(&second), before[..2 * len]);
            grown(&mut second, 5000, 300);
            assert_eq!(held(&first), before, "{kind} {len}");
            // The first goes on as well, in its own memory.
            let after = held(&second);
            grown(&mut first, 9000, 30);
            first.truncate(len);
            grown(&mut first, 0, 0);
            assert_eq!(held(&second), after, "{kind} {len}");
            first = KvCache::new(2, 32, 2000, kind);
            grown(&mut first, 0, 600);
            let mut expected = KvCache::new(2, 32, 2000, kind);
            grown(&mut expected, 0, len);
            grown(&mut expected, 5000, 300);
            assert_eq!(held(&second), held(&expected), "{kind} {len}");
        }
    }
}
