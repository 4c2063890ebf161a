//! The activations of a call in every form that its matrices take.

use super::tiles::FloatTiles;
use super::Unit;
use crate::kernels::Simd;

#[cfg(target_arch = "x86_64")]
use super::amx::TileInputs;

/// How activations are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// For vectors of sixteen units.
    Vectors(Unit),
    /// For tiles.
    #[cfg(target_arch = "x86_64")]
    Tiles,
}

/// The activations of a call, packed once for all matrices that share them; buffers are used again.
#[derive(Default)]
pub struct FloatInputs {
    floats: FloatTiles,
    pairs: FloatTiles,
    #[cfg(target_arch = "x86_64")]
    tiles: TileInputs,
}

/// One of the forms.
pub(crate) enum Packed<'a> {
    Vectors(&'a FloatTiles),
    #[cfg(target_arch = "x86_64")]
    Tiles(&'a TileInputs),
}

impl FloatInputs {
    /// Packs `x`, whole rows of `width`, on all threads.
    pub(crate) fn pack(&mut self, simd: Simd, form: Form, x: &[f32], width: usize) {
        match form {
            Form::Vectors(Unit::F32) => self.floats.pack(simd, Unit::F32, x, width),
            Form::Vectors(Unit::Pairs) => self.pairs.pack(simd, Unit::Pairs, x, width),
            #[cfg(target_arch = "x86_64")]
            Form::Tiles => self.tiles.pack(simd, x, width),
        }
    }

    /// What was packed as `form`.
    pub(crate) fn form(&self, form: Form) -> Packed<'_> {
        match form {
            Form::Vectors(Unit::F32) => Packed::Vectors(&self.floats),
            Form::Vectors(Unit::Pairs) => Packed::Vectors(&self.pairs),
            #[cfg(target_arch = "x86_64")]
            Form::Tiles => Packed::Tiles(&self.tiles),
        }
    }
}
