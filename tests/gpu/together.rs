//! Sequences side by side against each by itself: no bit may differ.

use crane::models::LanguageModel;
use crane::weights::{Checkpoint, DTypeChoice, Quant};

use super::{fixtures, gpu, ids, load, row, synthetic, synthetic_with, CacheType};

const STEPS: usize = 3;

fn bits(row: &[f32]) -> Vec<u32> {
    row.iter().map(|x| x.to_bits()).collect()
}

/// Steps of the first few sequences behind prompts of `lens` tokens, for each of `counts`: the first as it comes, the
/// second as it is recorded, the third as it was.
fn check(what: &str, model: &mut dyn LanguageModel, lens: &[usize], counts: &[usize]) {
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

const LENS: [usize; 9] = [3, 40, 1, 17, 64, 9, 2, 33, 5];

#[test]
fn every_tiny_model_as_it_is_stored() {
    let Some(gpu) = gpu() else { return };
    for path in fixtures() {
        let checkpoint = Checkpoint::open(&path).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut model = load(
            &checkpoint,
            Some(&gpu),
            DTypeChoice::Auto,
            None,
            CacheType::F16,
        );
        check(&name, model.as_mut(), &LENS, &[2, 9]);
    }
}

#[test]
fn heads_and_numbers_of_all_shapes() {
    let Some(gpu) = gpu() else { return };
    let shapes = [
        (14, 2, 64, false, 136),
        (4, 4, 96, true, 200),
        (8, 4, 256, false, 64),
        (16, 1, 80, true, 72),
    ];
    for (heads, kv_heads, head_dim, qwen3, inner) in shapes {
        let checkpoint = synthetic(heads, kv_heads, head_dim, qwen3, inner);
        for (dtype, cache) in [
            (DTypeChoice::F32, CacheType::F32),
            (DTypeChoice::BF16, CacheType::F16),
        ] {
            let what = format!("{heads}/{kv_heads} heads of {head_dim} {dtype:?}");
            let mut model = load(&checkpoint, Some(&gpu), dtype, None, cache);
            check(&what, model.as_mut(), &LENS[..3], &[2, 3]);
        }
    }
}

#[test]
fn any_number_of_sequences() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = synthetic(2, 1, 64, true, 96);
    let mut model = load(
        &checkpoint,
        Some(&gpu),
        DTypeChoice::F16,
        None,
        CacheType::F16,
    );
    check("numbers", model.as_mut(), &LENS, &[1, 2, 3, 4, 5, 6, 7, 8]);
    // More than a step takes.
    let lens: Vec<usize> = (0..65).map(|i| 1 + i % 7).collect();
    check("many", model.as_mut(), &lens, &[65]);
}

#[test]
fn lengths_far_apart() {
    let Some(gpu) = gpu() else { return };
    // The second layer sees some of the tokens; blocks share keys in ways that depend on the length.
    let checkpoint = synthetic_with(6, 2, 64, false, 64, Some(300));
    let lens = [1, 700, 127, 255, 300];
    for (dtype, cache) in [
        (DTypeChoice::F32, CacheType::F32),
        (DTypeChoice::BF16, CacheType::F16),
    ] {
        let mut model = load(&checkpoint, Some(&gpu), dtype, None, cache);
        check(&format!("{dtype:?}"), model.as_mut(), &lens, &[2, 3, 5]);
    }
}

#[test]
fn rows_too_wide_for_a_block() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = synthetic(2, 2, 64, false, 12_000);
    for (dtype, quant) in [
        (DTypeChoice::F32, None),
        (DTypeChoice::F16, None),
        (DTypeChoice::Auto, Some(Quant::Q8_0)),
    ] {
        let mut model = load(&checkpoint, Some(&gpu), dtype, quant, CacheType::F16);
        let what = format!("{dtype:?} {quant:?}");
        check(&what, model.as_mut(), &LENS[..7], &[7]);
    }
}

#[test]
fn quantised_at_load() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = synthetic(8, 2, 64, false, 1280);
    for quant in [
        Quant::Q8_0,
        Quant::Q4_0,
        Quant::Q4K,
        Quant::Q4KM,
        Quant::Q6K,
    ] {
        let mut model = load(
            &checkpoint,
            Some(&gpu),
            DTypeChoice::Auto,
            Some(quant),
            CacheType::F16,
        );
        check(&format!("{quant}"), model.as_mut(), &LENS[..5], &[2, 5]);
    }
}

#[test]
fn a_part_of_the_vocabulary() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = synthetic(2, 1, 64, false, 96);
    let mut model = load(
        &checkpoint,
        Some(&gpu),
        DTypeChoice::F32,
        None,
        CacheType::F32,
    );
    check("all", model.as_mut(), &LENS[..3], &[3]);
    model.restrict(Some(100..333));
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
    let checkpoint = synthetic(2, 1, 64, false, 96);
    let mut model = load(
        &checkpoint,
        Some(&gpu),
        DTypeChoice::BF16,
        None,
        CacheType::F16,
    );
    let prompt = ids(3, 50, 1000);
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
    assert_eq!(bits(&logits[..1000]), earlier);
    assert_eq!(bits(&logits[1000..]), next);
}
