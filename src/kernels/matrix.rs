//! The weight matrix of a linear layer, in whatever numbers it is stored.

use std::ops::Range;
use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use half::{bf16, f16};

use super::memory::Bytes;
use super::{FloatMatrix, Floats, PackedMatrix, Simd};

/// A matrix `[rows, width]` that products read, row `r` being output `r`.
pub enum Matrix {
    Float(FloatData),
    Packed(PackedMatrix),
}

/// Float types of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FloatType {
    F32,
    F16,
    BF16,
}

/// A float matrix, row by row, in memory of its own or in somebody else's (a mapped file).
pub struct FloatData {
    simd: Simd,
    kind: FloatType,
    rows: usize,
    width: usize,
    memory: Memory,
}

/// Memory that outlives whoever reads it.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

enum Memory {
    Own(Bytes),
    Shared(SharedBytes, Range<usize>),
}

impl FloatType {
    /// Bytes of a number.
    pub fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

impl FloatData {
    /// Numbers in memory of their own. None where the length is not that of `rows · width` numbers.
    pub fn own(
        simd: Simd,
        kind: FloatType,
        bytes: Bytes,
        rows: usize,
        width: usize,
    ) -> Option<Self> {
        Self::checked(simd, kind, Memory::Own(bytes), rows, width)
    }

    /// Numbers in `range` of `bytes`, which are read where they lie. None where the length is another or they begin at
    /// an address that such numbers cannot have.
    pub fn shared(
        simd: Simd,
        kind: FloatType,
        bytes: SharedBytes,
        range: Range<usize>,
        rows: usize,
        width: usize,
    ) -> Option<Self> {
        Self::checked(simd, kind, Memory::Shared(bytes, range), rows, width)
    }

    fn checked(
        simd: Simd,
        kind: FloatType,
        memory: Memory,
        rows: usize,
        width: usize,
    ) -> Option<Self> {
        let data = Self {
            simd,
            kind,
            rows,
            width,
            memory,
        };
        let len = rows.checked_mul(width)?.checked_mul(kind.size())?;
        (data.bytes().len() == len && data.matrix().is_some()).then_some(data)
    }

    fn bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(bytes) => bytes,
            Memory::Shared(bytes, range) => {
                (**bytes).as_ref().get(range.clone()).unwrap_or_default()
            }
        }
    }

    /// None where the numbers are not aligned, which is refused when the matrix is made.
    fn matrix(&self) -> Option<FloatMatrix<'_>> {
        let bytes = self.bytes();
        // SAFETY: every bit pattern is a number of these types; what is not aligned is left out and then missed.
        let floats = unsafe {
            match self.kind {
                FloatType::F32 => Floats::F32(bytes.align_to::<f32>().1),
                FloatType::F16 => Floats::F16(bytes.align_to::<f16>().1),
                FloatType::BF16 => Floats::BF16(bytes.align_to::<bf16>().1),
            }
        };
        FloatMatrix::new(self.simd, floats, self.rows, self.width)
    }

    /// The type of the numbers.
    pub fn kind(&self) -> FloatType {
        self.kind
    }

    pub(crate) fn view(&self) -> FloatMatrix<'_> {
        // Nothing can change between the check and here: the memory is never written.
        self.matrix()
            .unwrap_or_else(|| unreachable!("checked when it was made"))
    }

    fn row(&self, row: usize, out: &mut [f32]) {
        let size = self.kind.size();
        let start = row * self.width * size;
        let bytes = &self.bytes()[start..start + self.width * size];
        let numbers = bytes.chunks_exact(size).zip(out);
        match self.kind {
            FloatType::F32 => {
                numbers.for_each(|(b, out)| *out = f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            }
            FloatType::F16 => {
                numbers.for_each(|(b, out)| *out = f16::from_le_bytes([b[0], b[1]]).to_f32())
            }
            FloatType::BF16 => {
                numbers.for_each(|(b, out)| *out = bf16::from_le_bytes([b[0], b[1]]).to_f32())
            }
        }
    }
}

impl Matrix {
    /// Rows, the outputs of the layer.
    pub fn rows(&self) -> usize {
        match self {
            Self::Float(data) => data.rows,
            Self::Packed(matrix) => matrix.rows(),
        }
    }

    /// Columns, its inputs.
    pub fn width(&self) -> usize {
        match self {
            Self::Float(data) => data.width,
            Self::Packed(matrix) => matrix.width(),
        }
    }

    /// The type of its numbers.
    pub fn dtype(&self) -> GgmlDType {
        match self {
            Self::Float(data) => match data.kind {
                FloatType::F32 => GgmlDType::F32,
                FloatType::F16 => GgmlDType::F16,
                FloatType::BF16 => GgmlDType::BF16,
            },
            Self::Packed(matrix) => matrix.dtype(),
        }
    }

    /// Bytes that a product reads.
    pub fn size(&self) -> usize {
        match self {
            Self::Float(data) => data.bytes().len(),
            Self::Packed(matrix) => matrix.size(),
        }
    }

    /// Row `row` as f32, `[width]`.
    ///
    /// # Panics
    /// A row past the end, or an `out` of another length.
    pub fn row(&self, row: usize, out: &mut [f32]) {
        assert!(
            row < self.rows() && out.len() == self.width(),
            "no such row"
        );
        match self {
            Self::Float(data) => data.row(row, out),
            Self::Packed(matrix) => matrix.row(row, out),
        }
    }
}

impl std::fmt::Debug for Matrix {
    /// Type and shape; the numbers are too many.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{:?} [{}, {}]", self.dtype(), self.rows(), self.width())
    }
}
