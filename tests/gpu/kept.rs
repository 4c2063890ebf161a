//! A sequence's keys and values, written and read again.

use std::io;

use crane::kernels::CacheType;
use crane::models::LanguageModel;
use crane::weights::DTypeChoice;

use super::{gpu, ids, load, row, synthetic};

fn saved(model: &dyn LanguageModel) -> Vec<u8> {
    let mut bytes = Vec::new();
    assert!(model.save_cache(&mut bytes).unwrap());
    bytes
}

#[test]
fn a_kept_cache_goes_on_where_it_was() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = synthetic(14, 2, 64, false, 384);
    for cache in [CacheType::F32, CacheType::F16] {
        let new = || load(&checkpoint, Some(&gpu), DTypeChoice::F32, None, cache);
        let mut model = new();
        row(model.as_mut(), &ids(1, 40, 1000));
        let bytes = saved(model.as_ref());
        let number = if cache == CacheType::F32 { 4 } else { 2 };
        assert_eq!(bytes.len(), 2 * 2 * 40 * 2 * 64 * number);
        let rows: Vec<_> = (0..4).map(|id| row(model.as_mut(), &[id])).collect();

        // Into a model that has computed nothing, and into one whose recorded step knows other memory.
        let mut busy = new();
        for id in 0..4 {
            row(busy.as_mut(), &[id]);
        }
        for mut other in [new(), busy] {
            assert!(other.restore_cache(40, &mut bytes.as_slice()).unwrap());
            assert_eq!(other.cached(), 40);
            assert_eq!(saved(other.as_ref()), bytes);
            for (id, expected) in rows.iter().enumerate() {
                assert_eq!(&row(other.as_mut(), &[id as u32]), expected);
            }
        }
    }
}

#[test]
fn one_that_is_cut_short_leaves_nothing() {
    let Some(gpu) = gpu() else { return };
    let checkpoint = synthetic(14, 2, 64, false, 384);
    let new = || {
        load(
            &checkpoint,
            Some(&gpu),
            DTypeChoice::F32,
            None,
            CacheType::F16,
        )
    };
    let mut model = new();
    let expected = row(model.as_mut(), &[1, 2, 3]);
    let bytes = saved(model.as_ref());
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        let error = model.restore_cache(3, &mut &bytes[..cut]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(model.cached(), 0);
    }
    assert!(model.restore_cache(4097, &mut bytes.as_slice()).is_err());
    assert_eq!(row(model.as_mut(), &[1, 2, 3]), expected);
    // Nothing is something to keep, too.
    model.truncate(0);
    assert!(saved(model.as_ref()).is_empty());
    assert!(new().restore_cache(0, &mut io::empty()).unwrap());
}
