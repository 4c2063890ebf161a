//! How numbers are stored in weight files: the table of types of both formats.

use candle_core::quantized::GgmlDType;

/// How numbers are stored in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    F32,
    F16,
    BF16,
    /// A block format of GGUF that can be computed with.
    Quantized(GgmlDType),
    /// A type that crane can list but not compute with (integers, IQ quantisations, fp8), by its own name.
    Other(&'static str),
}

impl Format {
    /// The type's name as its file format spells it (`Q4_K`, `BF16`).
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Other(name) => name,
            Self::Quantized(dtype) => quantized_name(dtype),
        }
    }

    /// Whether it is a block-quantised type.
    pub fn is_quantized(self) -> bool {
        matches!(self, Self::Quantized(_))
    }

    /// Bytes that `numbers` numbers take; 0 for a type that is not computed with.
    pub fn bytes(self, numbers: u64) -> u64 {
        self.ggml().map_or(0, |ggml| {
            (numbers / ggml.block_size() as u64).saturating_mul(ggml.type_size() as u64)
        })
    }

    /// candle's name for the block type of any computable format.
    pub(crate) fn ggml(self) -> Option<GgmlDType> {
        match self {
            Self::F32 => Some(GgmlDType::F32),
            Self::F16 => Some(GgmlDType::F16),
            Self::BF16 => Some(GgmlDType::BF16),
            Self::Quantized(dtype) => Some(dtype),
            Self::Other(_) => None,
        }
    }
}

/// The name that ggml gives a block type.
pub(crate) fn quantized_name(dtype: GgmlDType) -> &'static str {
    match dtype {
        GgmlDType::F32 => "F32",
        GgmlDType::F16 => "F16",
        GgmlDType::BF16 => "BF16",
        GgmlDType::Q4_0 => "Q4_0",
        GgmlDType::Q4_1 => "Q4_1",
        GgmlDType::Q5_0 => "Q5_0",
        GgmlDType::Q5_1 => "Q5_1",
        GgmlDType::Q8_0 => "Q8_0",
        GgmlDType::Q8_1 => "Q8_1",
        GgmlDType::Q2K => "Q2_K",
        GgmlDType::Q3K => "Q3_K",
        GgmlDType::Q4K => "Q4_K",
        GgmlDType::Q5K => "Q5_K",
        GgmlDType::Q6K => "Q6_K",
        GgmlDType::Q8K => "Q8_K",
    }
}

/// A type as a file stores it: `block` numbers take `bytes` bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    pub format: Format,
    pub block: usize,
    pub bytes: usize,
}

const fn layout(format: Format, block: usize, bytes: usize) -> Layout {
    Layout {
        format,
        block,
        bytes,
    }
}

/// The type that GGUF numbers `id` (ggml.h, `enum ggml_type`).
///
/// Q8_1 and Q8_K are intermediate types of products, never stored by a converter; candle cannot
/// dequantise Q8_1, so neither counts as computable.
pub(crate) fn gguf_type(id: u32) -> Option<Layout> {
    use Format::{Other, Quantized};
    Some(match id {
        0 => layout(Format::F32, 1, 4),
        1 => layout(Format::F16, 1, 2),
        2 => layout(Quantized(GgmlDType::Q4_0), 32, 18),
        3 => layout(Quantized(GgmlDType::Q4_1), 32, 20),
        6 => layout(Quantized(GgmlDType::Q5_0), 32, 22),
        7 => layout(Quantized(GgmlDType::Q5_1), 32, 24),
        8 => layout(Quantized(GgmlDType::Q8_0), 32, 34),
        9 => layout(Other("Q8_1"), 32, 36),
        10 => layout(Quantized(GgmlDType::Q2K), 256, 84),
        11 => layout(Quantized(GgmlDType::Q3K), 256, 110),
        12 => layout(Quantized(GgmlDType::Q4K), 256, 144),
        13 => layout(Quantized(GgmlDType::Q5K), 256, 176),
        14 => layout(Quantized(GgmlDType::Q6K), 256, 210),
        15 => layout(Other("Q8_K"), 256, 292),
        16 => layout(Other("IQ2_XXS"), 256, 66),
        17 => layout(Other("IQ2_XS"), 256, 74),
        18 => layout(Other("IQ3_XXS"), 256, 98),
        19 => layout(Other("IQ1_S"), 256, 50),
        20 => layout(Other("IQ4_NL"), 32, 18),
        21 => layout(Other("IQ3_S"), 256, 110),
        22 => layout(Other("IQ2_S"), 256, 82),
        23 => layout(Other("IQ4_XS"), 256, 136),
        24 => layout(Other("I8"), 1, 1),
        25 => layout(Other("I16"), 1, 2),
        26 => layout(Other("I32"), 1, 4),
        27 => layout(Other("I64"), 1, 8),
        28 => layout(Other("F64"), 1, 8),
        29 => layout(Other("IQ1_M"), 256, 56),
        30 => layout(Format::BF16, 1, 2),
        34 => layout(Other("TQ1_0"), 256, 54),
        35 => layout(Other("TQ2_0"), 256, 66),
        39 => layout(Other("MXFP4"), 32, 17),
        40 => layout(Other("NVFP4"), 64, 36),
        41 => layout(Other("Q1_0"), 128, 18),
        _ => return None,
    })
}

/// The type that a safetensors header spells `name`.
pub(crate) fn safetensors_type(name: &str) -> Option<Layout> {
    use Format::Other;
    Some(match name {
        "F32" => layout(Format::F32, 1, 4),
        "F16" => layout(Format::F16, 1, 2),
        "BF16" => layout(Format::BF16, 1, 2),
        "F64" => layout(Other("F64"), 1, 8),
        "I64" => layout(Other("I64"), 1, 8),
        "U64" => layout(Other("U64"), 1, 8),
        "I32" => layout(Other("I32"), 1, 4),
        "U32" => layout(Other("U32"), 1, 4),
        "I16" => layout(Other("I16"), 1, 2),
        "U16" => layout(Other("U16"), 1, 2),
        "I8" => layout(Other("I8"), 1, 1),
        "U8" => layout(Other("U8"), 1, 1),
        "BOOL" => layout(Other("BOOL"), 1, 1),
        "F8_E4M3" => layout(Other("F8_E4M3"), 1, 1),
        "F8_E5M2" => layout(Other("F8_E5M2"), 1, 1),
        "F8_E8M0" => layout(Other("F8_E8M0"), 1, 1),
        "F4" => layout(Other("F4"), 2, 1),
        "C64" => layout(Other("C64"), 1, 8),
        _ => return None,
    })
}

impl Layout {
    /// Bytes of a tensor of `shape` (row-major), or why there is no such tensor.
    pub fn size_of(&self, shape: &[usize]) -> Result<usize, String> {
        let numbers = shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d))
            .ok_or_else(|| format!("the shape {shape:?} is absurdly large"))?;
        let width = shape.last().copied().unwrap_or(1);
        if width % self.block != 0 {
            return Err(format!(
                "a row of {width} numbers is no multiple of the {} numbers in a block of {}",
                self.block,
                self.format.name()
            ));
        }
        (numbers / self.block)
            .checked_mul(self.bytes)
            .ok_or_else(|| format!("the shape {shape:?} is absurdly large"))
    }
}

/// A tensor as a header declares it. `name` as the file spells it; `shape` row-major, PyTorch's order
/// (outermost first), also for GGUF.
#[derive(Debug, Clone)]
pub struct TensorInfo {
    pub name: String,
    pub shape: Vec<usize>,
    pub format: Format,
    /// Bytes of data.
    pub bytes: usize,
}

/// A tensor and where its data begins in its file. Made only by the readers, which have checked that
/// `offset .. offset + info.bytes` lies within the file.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub info: TensorInfo,
    pub offset: usize,
}
