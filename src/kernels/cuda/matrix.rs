//! Matrices in a GPU's memory.

use std::ops::Range;
use std::sync::Arc;

use super::error::GpuError;
use super::gpu::{Arguments, Gpu};
use super::memory::{Address, Buffer};
use crate::kernels::planes::{Kind, Layout};

/// A matrix `[rows, width]`, or some rows of one.
#[derive(Clone)]
pub struct Matrix {
    buffer: Arc<Buffer>,
    layout: Layout,
    first: usize,
    rows: usize,
}

/// As the device code has it (`struct Matrix`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Argument {
    data: Address,
    high: u64,
    scales: u64,
    kind: u32,
    rows: u32,
    width: u32,
    first: u32,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for Argument {}

/// Matrices below each other that share the width. Where they are float and of one kind they lie so in memory too, and
/// are one matrix to whoever asks.
pub struct Stack {
    parts: Vec<Matrix>,
    whole: Option<Matrix>,
}

impl Matrix {
    /// Brings the numbers to the GPU; `bytes` lie as `layout` says.
    ///
    /// # Errors
    /// Out of memory; rows that cannot be read 16 bytes at a time.
    pub fn upload(gpu: &Arc<Gpu>, layout: Layout, bytes: &[u8]) -> Result<Self, GpuError> {
        if bytes.len() != layout.bytes {
            return Err(GpuError::Unsupported(format!(
                "{} bytes for a matrix of {}",
                bytes.len(),
                layout.bytes
            )));
        }
        let sixteens = layout.kind.widths();
        if !layout.width.is_multiple_of(sixteens) || u32::try_from(layout.rows).is_err() {
            return Err(GpuError::Unsupported(format!(
                "crane's GPU kernels take {:?} matrices whose width is a multiple of {sixteens}, not {}; use --device cpu",
                layout.kind, layout.width
            )));
        }
        Ok(Self {
            buffer: Arc::new(Buffer::of(gpu, bytes)?),
            layout,
            first: 0,
            rows: layout.rows,
        })
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn width(&self) -> usize {
        self.layout.width
    }

    pub fn kind(&self) -> Kind {
        self.layout.kind
    }

    /// Some of its rows.
    ///
    /// # Panics
    /// There are not so many.
    pub fn slice(&self, rows: Range<usize>) -> Self {
        assert!(rows.start <= rows.end && rows.end <= self.rows, "its rows");
        Self {
            first: self.first + rows.start,
            rows: rows.len(),
            ..self.clone()
        }
    }

    /// Where its first row lies; of a float matrix alone.
    pub(super) fn address(&self) -> Address {
        let row = self.layout.width * self.layout.kind.float_bytes().unwrap_or(0);
        self.buffer.address() + (self.first * row) as u64
    }

    pub(super) fn argument(&self) -> Argument {
        Argument {
            data: self.buffer.address(),
            high: self.layout.high as u64,
            scales: self.layout.scales as u64,
            kind: self.layout.kind as u32,
            rows: self.rows as u32,
            width: self.layout.width as u32,
            first: self.first as u32,
        }
    }
}

impl std::fmt::Debug for Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let kind = self.kind();
        write!(f, "Matrix({kind:?}, {} x {})", self.rows, self.width())
    }
}

impl Stack {
    /// Of `parts` from top to bottom, at least one.
    ///
    /// # Errors
    /// Out of memory; parts of different widths.
    pub fn new(parts: Vec<Matrix>) -> Result<Self, GpuError> {
        let Some(first) = parts.first() else {
            return Err(GpuError::Unsupported("a stack of no matrices".into()));
        };
        let (kind, width) = (first.kind(), first.width());
        if parts.iter().any(|part| part.width() != width) {
            return Err(GpuError::Unsupported(
                "matrices of different widths below each other".into(),
            ));
        }
        let Some(bytes) = kind.float_bytes().map(|bytes| bytes * width) else {
            return Ok(Self { parts, whole: None });
        };
        if parts.len() == 1
            || parts
                .iter()
                .any(|part| part.kind() != kind || part.first > 0)
        {
            let whole = (parts.len() == 1).then(|| parts[0].clone());
            return Ok(Self { parts, whole });
        }
        let rows: usize = parts.iter().map(Matrix::rows).sum();
        let Some(layout) = Layout::new(kind, rows, width) else {
            return Err(GpuError::Unsupported(format!("{rows} rows of {width}")));
        };
        let buffer = Arc::new(Buffer::new(first.buffer.gpu(), layout.bytes)?);
        let mut joined = Vec::new();
        let mut at = 0;
        for part in parts {
            buffer.copy_from(at * bytes, &part.buffer, part.rows * bytes)?;
            joined.push(Matrix {
                buffer: Arc::clone(&buffer),
                layout,
                first: at,
                rows: part.rows,
            });
            at += part.rows;
        }
        let whole = Matrix {
            buffer,
            layout,
            first: 0,
            rows,
        };
        Ok(Self {
            parts: joined,
            whole: Some(whole),
        })
    }

    /// Of all parts.
    pub fn rows(&self) -> usize {
        self.parts.iter().map(Matrix::rows).sum()
    }

    pub fn width(&self) -> usize {
        self.parts[0].width()
    }

    pub fn parts(&self) -> &[Matrix] {
        &self.parts
    }

    /// As few matrices as they are: one where they lie together.
    pub fn pieces(&self) -> &[Matrix] {
        match &self.whole {
            Some(whole) => std::slice::from_ref(whole),
            None => &self.parts,
        }
    }
}
