//! Planes against what candle dequantises.

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Tensor};

use super::*;

const TYPES: [GgmlDType; 10] = [
    GgmlDType::Q4_0,
    GgmlDType::Q4_1,
    GgmlDType::Q5_0,
    GgmlDType::Q5_1,
    GgmlDType::Q8_0,
    GgmlDType::Q2K,
    GgmlDType::Q3K,
    GgmlDType::Q4K,
    GgmlDType::Q5K,
    GgmlDType::Q6K,
];

/// 32 bits after 32 bits of a small generator.
fn random(seed: u64) -> impl Iterator<Item = u32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 32) as u32
    })
}

/// Numbers in −1..1, some rows far smaller than others.
fn quantised(dtype: GgmlDType, rows: usize, width: usize) -> QTensor {
    let noise = random((rows * width) as u64)
        .zip(0..rows * width)
        .map(|(bits, i)| {
            (bits as i32 as f32 / (1u64 << 31) as f32) * 0.2f32.powi((i / width % 5) as i32)
        })
        .collect();
    let noise = Tensor::from_vec(noise, (rows, width), &Device::Cpu).unwrap();
    QTensor::quantize(&noise, dtype).unwrap()
}

/// Blocks of random bytes; only the factors are kept below the largest that become halves once multiplied.
fn arbitrary(dtype: GgmlDType, rows: usize, width: usize) -> QTensor {
    let len = rows * width / dtype.block_size() * dtype.type_size();
    let mut bytes: Vec<u8> = random(len as u64)
        .map(|bits| bits as u8)
        .take(len)
        .collect();
    let factors: &[usize] = match dtype {
        GgmlDType::Q4_0 | GgmlDType::Q5_0 | GgmlDType::Q8_0 => &[0],
        GgmlDType::Q2K => &[80, 82],
        GgmlDType::Q3K => &[108],
        GgmlDType::Q6K => &[208],
        _ => &[0, 2],
    };
    for block in bytes.chunks_mut(dtype.type_size()) {
        for at in factors {
            // The highest bit of the exponent: less than 2.
            block[at + 1] &= 0xbf;
        }
    }
    let storage = QStorage::from_data(bytes.into(), &Device::Cpu, dtype).unwrap();
    QTensor::new(storage, (rows, width)).unwrap()
}

/// Every row is candle's, exactly but for the scales of the K formats, which are rounded to halves.
fn check(tensor: &QTensor) {
    let dtype = tensor.dtype();
    let (rows, width) = tensor.shape().dims2().unwrap();
    let (layout, bytes) = pack(dtype, &tensor.data().unwrap(), rows, width).unwrap();
    assert_eq!(bytes.len(), layout.bytes);
    let wanted = tensor.dequantize(&Device::Cpu).unwrap();
    let wanted: Vec<Vec<f32>> = wanted.to_vec2().unwrap();
    for (at, wanted) in wanted.iter().enumerate() {
        let found = row(&layout, &bytes, at);
        assert_eq!(found.len(), width);
        for (column, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            let [scale, q, min] = factors(&layout, &bytes, at * width + column);
            let bound = match dtype.block_size() {
                // Half a unit in the last of eleven bits, or of the last bit of the halves that are subnormal.
                256 => {
                    let relative = ((scale * q).abs() + min.abs()) / 2047.0;
                    relative + (q.abs() + 1.0) * 2f32.powi(-25)
                }
                _ => 0.0,
            };
            assert!(
                (found - wanted).abs() <= bound,
                "{dtype:?} [{rows}, {width}], row {at}, column {column}: {found}, not {wanted} (± {bound})"
            );
        }
    }
}

#[test]
fn rows_are_those_of_the_file() {
    for dtype in TYPES {
        let widths = match dtype.block_size() {
            256 => [256, 768, 2304],
            _ => [32, 96, 896],
        };
        for width in widths {
            for rows in [1, 3, 37] {
                check(&quantised(dtype, rows, width));
                check(&arbitrary(dtype, rows, width));
            }
        }
    }
}

/// More than one task, of a number of blocks that does not halve evenly.
#[test]
fn large_matrices_are_packed_by_parts() {
    for dtype in [GgmlDType::Q5_1, GgmlDType::Q6K] {
        check(&arbitrary(dtype, 1031, 1280));
    }
}

/// Where bits above the fourth lie, said without [`row`].
#[test]
fn high_bits_lie_as_the_kernels_read_them() {
    for weight in 0..32 {
        let (g, b) = (weight / 4, weight % 4);
        let mut q5 = [0; 22];
        q5[2 + weight / 8] = 1 << (weight % 8);
        let (layout, bytes) = pack(GgmlDType::Q5_0, &q5, 1, 32).unwrap();
        let high = bytes[layout.high..][..4].try_into().unwrap();
        assert_eq!(u32::from_le_bytes(high), 1 << (8 * b + g));

        let mut q6 = [0; 210];
        q6[128 + weight] = 0b11;
        let (layout, bytes) = pack(GgmlDType::Q6K, &q6, 1, 256).unwrap();
        let high = bytes[layout.high..][..8].try_into().unwrap();
        let place = 32 * (g / 4) + 8 * b + 2 * (g % 4);
        assert_eq!(u64::from_le_bytes(high), 0b11 << place);
    }
}

#[test]
fn planes_start_at_multiples_and_what_lies_between_is_zero() {
    let tensor = quantised(GgmlDType::Q5K, 3, 256);
    let blocks = tensor.data().unwrap();
    let layout = Layout::of(GgmlDType::Q5K, 3, 256).unwrap();
    assert_eq!((layout.high, layout.scales, layout.bytes), (512, 768, 864));
    let mut bytes = vec![0xff; layout.bytes];
    let packed = pack_into(GgmlDType::Q5K, &blocks, 3, 256, &mut bytes);
    assert_eq!(packed, Some(layout));
    assert!(bytes[384..512].iter().all(|byte| *byte == 0));
    assert!(bytes[512 + 96..768].iter().all(|byte| *byte == 0));
    assert_eq!(bytes, pack(GgmlDType::Q5K, &blocks, 3, 256).unwrap().1);

    // Without a high plane, the scales are where it would be.
    let layout = Layout::new(Kind::Q8, 1, 32).unwrap();
    assert_eq!((layout.high, layout.scales, layout.bytes), (256, 256, 258));
}

#[test]
fn floats_are_one_plane() {
    let values = [1.5f32, -0.25, 0.0, 3.0, -96.0, 0.125];
    let bytes = |kind| -> Vec<u8> {
        let of = |value: &f32| match kind {
            Kind::F32 => value.to_le_bytes().to_vec(),
            Kind::F16 => f16::from_f32(*value).to_le_bytes().to_vec(),
            _ => bf16::from_f32(*value).to_le_bytes().to_vec(),
        };
        values.iter().flat_map(of).collect()
    };
    for dtype in [GgmlDType::F32, GgmlDType::F16, GgmlDType::BF16] {
        let layout = Layout::of(dtype, 2, 3).unwrap();
        let bytes = bytes(layout.kind);
        assert_eq!([layout.high, layout.scales, layout.bytes], [bytes.len(); 3]);
        assert_eq!(row(&layout, &bytes, 1), values[3..]);
        assert_eq!(pack(dtype, &bytes, 2, 3), None);
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    for dtype in TYPES {
        let (block, size) = (dtype.block_size(), dtype.type_size());
        let blocks = vec![0; 6 * size];
        let fits = |blocks: &[u8], rows, width| pack(dtype, blocks, rows, width).is_some();
        assert!(fits(&blocks, 3, 2 * block));
        assert!(!fits(&blocks[1..], 3, 2 * block));
        assert!(!fits(&blocks, 3, block));
        assert!(!fits(&blocks, 4, 2 * block));
        assert!(!fits(&blocks[..size], 1, block + 1));
        assert!(!fits(&blocks, 12, block / 2));
        assert!(!fits(&[], 0, block));
        assert!(!fits(&[], 1, 0));
        assert!(!fits(&blocks, usize::MAX, 2 * block));
        let mut short = vec![0; Layout::of(dtype, 3, 2 * block).unwrap().bytes - 1];
        assert_eq!(pack_into(dtype, &blocks, 3, 2 * block, &mut short), None);
    }
    assert_eq!(pack(GgmlDType::Q8_1, &[0; 36], 1, 32), None);
    assert_eq!(Layout::new(Kind::Q4, 1, 48), None);
    assert_eq!(Layout::new(Kind::F32, usize::MAX, 2), None);
    assert_eq!(Layout::new(Kind::Q8, usize::MAX / 2, 32), None);
}
