//! Sequences side by side against each by itself: no bit may differ.

use std::sync::Arc;

use crane::kernels::cuda::Gpu;
use crane::models::{LanguageModel, Logits};
use crane::weights::{Checkpoint, DTypeChoice, Quant};

use super::{fixtures, gpu, ids, load, row, seeded, CacheType, Sizes};

const STEPS: usize = 3;

fn bits(row: &[f32]) -> Vec<u32> {
    row.iter().map(|x| x.to_bits()).collect()
}

/// Steps of the first few sequences behind prompts of `lens` tokens, for each of `counts`: the first as it comes, the
/// second as it is recorded, the third as it was.
pub(super) fn check(what: &str, model: &mut dyn LanguageModel, lens: &[usize], counts: &[usize]) {
    let vocabulary = model.vocab_size();
    let forced: Vec<Vec<u32>> = (0..lens.len())
        .map(|i| ids(100 + i as u64, STEPS, vocabulary))
        .collect();
    let mut alone: Vec<Vec<Vec<u32>>> = Vec::new();
    model.hold(lens.len());
    for (slot, (&len, forced)) in lens.iter().zip(&forced).enumerate() {
        model.select(slot);
        model.truncate(0);
        row(model, &ids(slot as u64, len, vocabulary));
        let rows = forced.iter().map(|&token| bits(&row(model, &[token])));
        alone.push(rows.collect());
    }
    for &count in counts {
        for (slot, &len) in lens[..count].iter().enumerate() {
            model.select(slot);
            model.truncate(len);
        }
        model.select(1);
        let mut logits = Vec::new();
        for step in 0..STEPS {
            // In any order.
            let next: Vec<_> = (0..count).rev().map(|i| (i, forced[i][step])).collect();
            model.forward_each(&next, &mut logits).unwrap();
            assert_eq!(logits.len(), count * vocabulary);
            for (row, (slot, _)) in logits.chunks(vocabulary).zip(next) {
                let same = bits(row) == alone[slot][step];
                assert!(same, "{what}: sequence {slot} of {count}, step {step}");
            }
        }
        assert_eq!(model.cached(), lens[1] + STEPS);
    }
}

pub(super) const LENS: [usize; 9] = [3, 20, 1, 17, 33, 9, 2, 30, 5];

/// Few numbers of every kind: an emulated GPU is slow.
const SMALL: Sizes = Sizes {
    heads: 2,
    kv_heads: 1,
    head_dim: 64,
    qwen3: true,
    inner: 96,
    vocabulary: 120,
    layers: 2,
    window: None,
};

fn model(
    sizes: Sizes,
    gpu: &Arc<Gpu>,
    dtype: DTypeChoice,
    quant: Option<Quant>,
    cache: CacheType,
) -> Box<dyn LanguageModel> {
    load(&seeded(sizes), Some(gpu), dtype, quant, cache)
}

#[test]
fn every_tiny_model_as_it_is_stored() {
    let Some(gpu) = gpu() else { return };
    for path in fixtures() {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let dtype = DTypeChoice::Auto;
        let mut model = load(&checkpoint, Some(&gpu), dtype, None, CacheType::F16);
        check(&name, model.as_mut(), &LENS[..3], &[3]);
    }
}

#[test]
fn heads_and_numbers_of_all_shapes() {
    let Some(gpu) = gpu() else { return };
    for (heads, kv_heads, head_dim, qwen3, inner) in [
        (7, 1, 64, false, 136),
        (2, 2, 96, true, 200),
        (2, 1, 256, false, 64),
        (5, 1, 80, true, 72),
    ] {
        let sizes = Sizes {
            heads,
            kv_heads,
            head_dim,
            qwen3,
            inner,
            ..SMALL
        };
        for (dtype, cache) in [
            (DTypeChoice::F32, CacheType::F32),
            (DTypeChoice::BF16, CacheType::F16),
        ] {
            let what = format!("{heads}/{kv_heads} heads of {head_dim} {dtype:?}");
            let mut model = model(sizes, &gpu, dtype, None, cache);
            check(&what, model.as_mut(), &LENS[..3], &[3]);
        }
    }
}

#[test]
fn any_number_of_sequences() {
    let Some(gpu) = gpu() else { return };
    let mut model = model(SMALL, &gpu, DTypeChoice::F16, None, CacheType::F16);
    check("few", model.as_mut(), &LENS, &[1, 2, 5, 8, 9]);
    // More than a step takes.
    let lens: Vec<usize> = (0..65).map(|i| 1 + i % 3).collect();
    check("many", model.as_mut(), &lens, &[65]);
}

#[test]
fn lengths_far_apart() {
    let Some(gpu) = gpu() else { return };
    // The second layer sees some of the tokens; how blocks share keys depends on the length.
    let sizes = Sizes {
        heads: 6,
        kv_heads: 2,
        window: Some(270),
        ..SMALL
    };
    let mut model = model(sizes, &gpu, DTypeChoice::BF16, None, CacheType::F16);
    check("lengths", model.as_mut(), &[1, 530, 127, 300], &[2, 4]);
}

#[test]
fn rows_too_wide_for_a_block() {
    let Some(gpu) = gpu() else { return };
    let sizes = Sizes {
        heads: 1,
        inner: 9024,
        layers: 1,
        ..SMALL
    };
    for (dtype, quant) in [
        (DTypeChoice::F16, None),
        (DTypeChoice::Auto, Some(Quant::Q8_0)),
    ] {
        let mut model = model(sizes, &gpu, dtype, quant, CacheType::F16);
        let what = format!("{dtype:?} {quant:?}");
        check(&what, model.as_mut(), &[1, 2, 1, 1, 3, 1, 1], &[7]);
    }
}

#[test]
fn quantised_at_load() {
    let Some(gpu) = gpu() else { return };
    let sizes = Sizes {
        heads: 4,
        qwen3: false,
        inner: 512,
        ..SMALL
    };
    for quant in [
        Quant::Q8_0,
        Quant::Q4_0,
        Quant::Q4K,
        Quant::Q4KM,
        Quant::Q6K,
    ] {
        let dtype = DTypeChoice::Auto;
        let mut model = model(sizes, &gpu, dtype, Some(quant), CacheType::F16);
        check(&format!("{quant}"), model.as_mut(), &LENS[..3], &[2, 3]);
    }
}

#[test]
fn a_part_of_the_vocabulary() {
    let Some(gpu) = gpu() else { return };
    let mut model = model(SMALL, &gpu, DTypeChoice::F32, None, CacheType::F32);
    check("all", model.as_mut(), &LENS[..3], &[3]);
    model.restrict(Some(20..77));
    check("a part", model.as_mut(), &LENS[..3], &[3]);
    model.restrict(None);
    check("all again", model.as_mut(), &LENS[..3], &[3]);
}

#[test]
fn a_step_that_does_not_fit_leaves_all_sequences_as_they_were() {
    let Some(gpu) = gpu() else { return };
    let path = &fixtures()[0];
    let checkpoint = Checkpoint::open(path).unwrap();
    let mut model = load(
        &checkpoint,
        Some(&gpu),
        DTypeChoice::F32,
        None,
        CacheType::F32,
    );
    let (vocabulary, context) = (model.vocab_size(), model.context());
    model.hold(3);
    for (slot, len) in [20, context, 7].into_iter().enumerate() {
        model.select(slot);
        row(model.as_mut(), &ids(slot as u64, len, vocabulary));
    }
    let mut logits = Vec::new();
    let mut fails = |model: &mut dyn LanguageModel, next: &[(usize, u32)]| {
        assert!(model.forward_each(next, &mut logits).is_err());
    };
    fails(model.as_mut(), &[(0, 1), (1, 1)]);
    fails(model.as_mut(), &[(0, 1), (2, vocabulary as u32)]);
    for (slot, len) in [20, context, 7].into_iter().enumerate() {
        model.select(slot);
        assert_eq!(model.cached(), len);
    }
    model.forward_each(&[(2, 5), (0, 7)], &mut logits).unwrap();
    let together = bits(&logits);
    let mut alone = Vec::new();
    for (slot, len, token) in [(2, 7, 5), (0, 20, 7)] {
        model.select(slot);
        model.truncate(len);
        alone.extend(bits(&row(model.as_mut(), &[token])));
    }
    assert_eq!(together, alone);
}

#[test]
fn a_sequence_begins_as_another() {
    let Some(gpu) = gpu() else { return };
    let mut model = model(SMALL, &gpu, DTypeChoice::BF16, None, CacheType::F16);
    let vocabulary = model.vocab_size();
    let prompt = ids(3, 50, vocabulary);
    model.hold(3);
    row(model.as_mut(), &prompt);
    let next = bits(&row(model.as_mut(), &[11]));
    model.truncate(30);
    let earlier = bits(&row(model.as_mut(), &[12]));
    model.truncate(30);
    row(model.as_mut(), &prompt[30..]);
    // What was there before does not matter, nor what becomes of the other one later.
    model.select(2);
    row(model.as_mut(), &prompt[7..]);
    row(model.as_mut(), &[1]);
    for (slot, len) in [(1, 50), (2, 30)] {
        model.select(slot);
        model.begin_as(0, len).unwrap();
        assert_eq!(model.cached(), len);
    }
    model.select(0);
    model.truncate(0);
    row(model.as_mut(), &prompt[20..]);
    let mut logits = Vec::new();
    model
        .forward_each(&[(2, 12), (1, 11)], &mut logits)
        .unwrap();
    assert_eq!(bits(&logits[..vocabulary]), earlier);
    assert_eq!(bits(&logits[vocabulary..]), next);
}

/// `found` are the `k` likeliest of `row` and maybe others, with their logits (the likeliest alone needs none).
fn are_likeliest(found: &[(u32, f32)], k: usize, row: &[f32]) {
    let mut ranked: Vec<f32> = row.to_vec();
    ranked.sort_by(|a, b| b.total_cmp(a));
    let least = ranked[k - 1];
    assert!(found.len() >= k && row.iter().all(|x| !x.is_nan()));
    for (id, logit) in found {
        let own = row[*id as usize];
        assert!(own == *logit || (k == 1 && own == least), "{id}: {logit}");
    }
    let ids: Vec<u32> = found.iter().map(|&(id, _)| id).collect();
    for (id, _) in row.iter().enumerate().filter(|(_, x)| **x > least) {
        assert!(ids.contains(&(id as u32)), "{id} is missing");
    }
}

#[test]
fn the_likeliest_of_each() {
    let Some(gpu) = gpu() else { return };
    let mut model = model(SMALL, &gpu, DTypeChoice::F32, None, CacheType::F32);
    let vocabulary = model.vocab_size();
    model.hold(LENS.len());
    for (slot, &len) in LENS.iter().enumerate() {
        model.select(slot);
        row(model.as_mut(), &ids(slot as u64, len, vocabulary));
    }
    let few = [
        Some(1),
        Some(7),
        None,
        Some(40),
        Some(1),
        Some(vocabulary),
        None,
        Some(2),
        Some(1),
    ];
    for part in [None, Some(20..77)] {
        model.restrict(part.clone());
        for count in [1, 2, 9, 9, 9] {
            let next: Vec<_> = (0..count).map(|slot| (slot, 3)).collect();
            let known = model.forward_each_likely(&next, &few[..count]).unwrap();
            let known = known.unwrap();
            assert_eq!(known.len(), count);
            for (slot, &len) in LENS[..count].iter().enumerate() {
                model.select(slot);
                assert_eq!(model.cached(), len + 1);
                model.truncate(len);
            }
            let mut logits = Vec::new();
            model.forward_each(&next, &mut logits).unwrap();
            for (slot, &len) in LENS[..count].iter().enumerate() {
                model.select(slot);
                model.truncate(len);
            }
            let rows = logits.chunks(vocabulary);
            for ((known, k), row) in known.into_iter().zip(few).zip(rows) {
                match (known, k) {
                    (Logits::Likely(found), Some(k)) => {
                        let k = k.min(part.clone().map_or(vocabulary, |part| part.len()));
                        are_likeliest(&found, k, row);
                    }
                    (Logits::All(all), None) => {
                        assert_eq!(bits(&all.to_vec1::<f32>().unwrap()), bits(row));
                    }
                    _ => panic!("{k:?} of sequence {count}"),
                }
            }
        }
    }
    // Where all logits are wanted of all, they come as they always do.
    let known = model.forward_each_likely(&[(0, 1), (1, 1)], &[None; 2]);
    assert!(known.unwrap().is_none());
}
