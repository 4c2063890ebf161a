//! Property tests: random damage to sound files.

use std::path::Path;

use crane::weights::{Checkpoint, Format, Loader};
use proptest::prelude::*;

use super::auto;
use crate::weights::made::{self, Gguf};

/// Opens `path`; whatever opens must have every tensor within its file and of the declared size, and
/// convert without a panic.
fn opens_soundly_or_not_at_all(path: &Path) -> Result<(), TestCaseError> {
    match Checkpoint::open(path) {
        Err(error) => prop_assert!(!error.to_string().is_empty()),
        Ok(checkpoint) => {
            for info in checkpoint.tensors() {
                let bytes = checkpoint.bytes(&info.name);
                prop_assert_eq!(bytes.map(<[u8]>::len), Some(info.bytes), "{}", &info.name);
                let loader = Loader::new(&checkpoint, &auto()).unwrap();
                let loaded = loader.tensor(&info.name, &info.shape);
                prop_assert_eq!(loaded.is_ok(), !matches!(info.format, Format::Other(_)));
            }
        }
    }
    Ok(())
}

/// Damage: the length that is kept, single bytes, and eight bytes at once as a count or offset is.
type Damage = (f64, Vec<(usize, u8)>, Vec<(usize, u64)>);

fn damage() -> impl Strategy<Value = Damage> {
    let kept = prop_oneof![Just(1.0), 0.0..1.0];
    let words = prop_oneof![
        any::<u64>(),
        (0u32..64).prop_map(|n| 1 << n),
        Just(u64::MAX)
    ];
    (
        kept,
        prop::collection::vec((any::<usize>(), any::<u8>()), 0..4),
        prop::collection::vec((any::<usize>(), words), 0..2),
    )
}

fn damaged(mut bytes: Vec<u8>, header: usize, (kept, single, words): Damage) -> Vec<u8> {
    for (at, byte) in single {
        bytes[at % header] = byte;
    }
    for (at, word) in words {
        let at = at % (header - 8);
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    let length = (bytes.len() as f64 * kept) as usize;
    bytes.truncate(length);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_damage_to_a_gguf_file_is_believed(damage in damage()) {
        let whole = Gguf::small().bytes();
        let header = whole.len() - 672;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("m.gguf");
        std::fs::write(&file, damaged(whole, header, damage)).unwrap();
        opens_soundly_or_not_at_all(&file)?;
    }

    #[test]
    fn no_damage_to_a_safetensors_file_is_believed(damage in damage(), numbers in prop::collection::vec(any::<u64>(), 4)) {
        let header = format!(
            r#"{{"a":{{"dtype":"F32","shape":[{}, 3],"data_offsets":[{}, 24]}},"b":{{"dtype":"BF16","shape":[4],"data_offsets":[{}, {}]}}}}"#,
            if numbers[0] % 2 == 0 { 2 } else { numbers[0] },
            if numbers[1] % 2 == 0 { 0 } else { numbers[1] },
            if numbers[2] % 2 == 0 { 24 } else { numbers[2] },
            if numbers[3] % 2 == 0 { 32 } else { numbers[3] },
        );
        let whole = made::safetensors(&header, &[7; 32]);
        let folder = made::folder(&damaged(whole, 8 + header.len(), damage));
        opens_soundly_or_not_at_all(folder.path())?;
    }
}
