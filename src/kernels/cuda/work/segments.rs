//! Attention of an image encoder: all patches of a segment see each other.

use super::{Place, Work};
use crate::kernels::cuda::error::GpuError;
use crate::kernels::cuda::gpu::{Arguments, Launch};
use crate::kernels::cuda::memory::Address;
use crate::kernels::planes::Kind;

/// Queries of a tile of the kernel with plain arithmetic, its keys, and the largest head that it takes.
const PLAIN: [usize; 3] = [16, 32, 256];
/// Queries and keys of a tile of the kernels for tensor cores.
const TILE: usize = 64;
/// Blocks for each multiprocessor that make it worth giving each of them two tiles of queries.
const ENOUGH: usize = 3;

/// Kernels for tensor cores: numbers of a head, and their names for one and two tiles of queries in a block.
const FLASH: [(usize, &str, Option<&str>); 4] = [
    (64, "segments_64_1", Some("segments_64_2")),
    (80, "segments_80_1", Some("segments_80_2")),
    (96, "segments_96_1", None),
    (128, "segments_128_1", None),
];

/// The heads of a layer, and how they are computed with.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    heads: usize,
    dim: usize,
    /// Numbers of a head in memory, zeros behind `dim`.
    padded: usize,
    /// Where tensor cores compute: kernels for one and two tiles of queries.
    flash: Option<(&'static str, Option<&'static str>)>,
}

/// Lists of patches that see each other, cut into tiles of queries in the GPU's memory.
#[derive(Debug, Clone, Copy)]
pub struct Segments {
    /// The first of its tiles, and how many there are.
    first: usize,
    count: usize,
    kernel: &'static str,
    shared: usize,
}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct SplitHeads {
    qkv: Address,
    bias: Address,
    angles: Address,
    heads: u32,
    dim: u32,
    padded: u32,
    scale: f32,
    out: Address,
    plane: u64,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for SplitHeads {}

/// As the device code has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct SegmentRows {
    q: Address,
    keys: Address,
    values: Address,
    tiles: Address,
    heads: u32,
    dim: u32,
    padded: u32,
    kind: u32,
    out: Address,
}
// SAFETY: the fields of the device's struct.
unsafe impl Arguments for SegmentRows {}

impl Heads {
    /// `heads` of `dim` numbers where products are computed in `operand`; halves of a head are rotated together where
    /// anything is.
    ///
    /// # Errors
    /// Heads that the kernels do not take.
    pub fn new(heads: usize, dim: usize, operand: Kind, rotated: bool) -> Result<Self, GpuError> {
        let flash = match operand {
            Kind::F16 | Kind::BF16 => FLASH.iter().find(|(most, ..)| dim <= *most),
            _ => None,
        };
        let even = if rotated { 4 } else { 2 };
        if heads == 0 || dim == 0 || !dim.is_multiple_of(even) || dim > PLAIN[2] {
            return Err(GpuError::Unsupported(format!(
                "crane's GPU kernels take image encoders with heads of {even}, {}, … {} numbers, not {dim}; use --device cpu",
                2 * even,
                PLAIN[2]
            )));
        }
        Ok(Self {
            heads,
            dim,
            padded: flash.map_or(dim.next_multiple_of(8), |(padded, ..)| *padded),
            flash: flash.map(|&(_, one, two)| (one, two)),
        })
    }

    /// What query, key and value are computed into before they are split.
    pub(super) fn split_kind(&self, operand: Kind) -> Kind {
        match self.flash {
            Some(_) => operand,
            None => Kind::F32,
        }
    }

    /// Numbers of all heads of `patches` patches.
    fn numbers(&self, patches: usize) -> usize {
        patches * self.heads * self.padded
    }

    fn number_bytes(&self) -> usize {
        match self.flash {
            Some(_) => 2,
            None => 4,
        }
    }

    /// Numbers of a head.
    pub(super) fn dim(&self) -> usize {
        self.dim
    }

    /// Bytes of all queries, keys and values.
    pub(super) fn bytes(&self, patches: usize) -> usize {
        3 * self.number_bytes() * self.numbers(patches)
    }

    /// The kernel for segments of those lengths, the queries of its tiles, and its shared memory.
    fn kernel(&self, lengths: &[usize], multiprocessors: usize) -> (&'static str, usize, usize) {
        let Some((one, two)) = self.flash else {
            let [queries, keys, _] = PLAIN;
            let rows = (queries + 2 * keys) * (self.padded + 4);
            return ("segments_plain", queries, 4 * (rows + queries * keys));
        };
        // Rows of an odd number of sixteen bytes.
        let row = 16 * ((self.padded / 8) | 1);
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let pairs = if longest > TILE { 2 } else { 1 };
        let blocks = self.heads * lengths.iter().map(|len| len / (2 * TILE)).sum::<usize>();
        match two.filter(|_| blocks >= ENOUGH * multiprocessors) {
            Some(two) => (two, 2 * TILE, (2 + 2 * pairs) * TILE * row),
            None => (one, TILE, (1 + 2 * pairs) * TILE * row),
        }
    }
}

impl Work {
    /// Brings lists of segments to the GPU: of each list the lengths, which lie one behind the other from the first
    /// patch on. Those of before no longer hold.
    ///
    /// # Errors
    /// Out of memory.
    pub fn segments<const N: usize>(
        &mut self,
        heads: &Heads,
        lists: [&[usize]; N],
    ) -> Result<[Segments; N], GpuError> {
        let multiprocessors = self.gpu.info().multiprocessors as usize;
        let mut words: Vec<u32> = Vec::new();
        let segments = lists.map(|lengths| {
            let (kernel, queries, shared) = heads.kernel(lengths, multiprocessors);
            let first = words.len() / 4;
            let mut start = 0;
            for len in lengths {
                let end = start + len;
                for query in (start..end).step_by(queries) {
                    let tile = [query, end.min(query + queries), start, end];
                    words.extend(tile.map(|patch| patch as u32));
                }
                start = end;
            }
            Segments {
                first,
                count: words.len() / 4 - first,
                kernel,
                shared,
            }
        });
        self.put_words(Place::Tiles, &words)?;
        Ok(segments)
    }

    /// Splits rows of query, key and value with their biases, `[rows, 3, heads, dim]` at `qkv`, into heads as attention
    /// takes them: those of the patches from `first` on, of so many in all. Queries and keys turn by `angles`, which are
    /// those of all patches.
    pub(super) fn split_heads(
        &self,
        heads: &Heads,
        (qkv, bias): (Address, Address),
        angles: Address,
        (first, rows): (usize, usize),
        (out, patches): (Address, usize),
    ) -> Result<(), GpuError> {
        let arguments = SplitHeads {
            qkv,
            bias,
            angles: match angles {
                0 => 0,
                angles => angles + (8 * first * (heads.dim / 2)) as u64,
            },
            heads: heads.heads as u32,
            dim: heads.dim as u32,
            padded: heads.padded as u32,
            // The softmax is one of powers of two.
            scale: std::f32::consts::LOG2_E / (heads.dim as f32).sqrt(),
            out: out + (heads.number_bytes() * heads.numbers(first)) as u64,
            plane: heads.numbers(patches) as u64,
        };
        let launch = Launch {
            kernel: match (heads.flash, self.operand) {
                (None, _) => "split_heads_f32",
                (_, Kind::BF16) => "split_heads_bf16",
                _ => "split_heads_f16",
            },
            blocks: [rows as u32, 3, 1],
            threads: 256,
            shared: 0,
        };
        self.gpu.launch(&launch, &arguments)
    }

    /// Attention of `patches` patches whose heads lie at `split`; what it finds, `[patches, heads · dim]`, in the
    /// workspace's operand.
    pub(super) fn attend_segments(
        &mut self,
        heads: &Heads,
        split: Address,
        patches: usize,
        segments: &Segments,
    ) -> Result<Address, GpuError> {
        let plane = (heads.number_bytes() * heads.numbers(patches)) as u64;
        let bytes = self.operand.float_bytes().unwrap_or(4);
        let out = self.place(Place::Attended, bytes * patches * heads.heads * heads.dim)?;
        let arguments = SegmentRows {
            q: split,
            keys: split + plane,
            values: split + 2 * plane,
            tiles: self.held(Place::Tiles)?.address() + (16 * segments.first) as u64,
            heads: heads.heads as u32,
            dim: heads.dim as u32,
            padded: heads.padded as u32,
            kind: self.operand as u32,
            out,
        };
        let launch = Launch {
            kernel: segments.kernel,
            blocks: [segments.count as u32, heads.heads as u32, 1],
            threads: match heads.flash {
                Some(_) => 128,
                None => 256,
            },
            shared: segments.shared,
        };
        self.gpu.launch(&launch, &arguments)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shared memory that a block may have on every GPU that the kernels run on.
    const LEAST_SHARED: usize = 99 << 10;

    #[test]
    fn heads_are_filled_up_to_what_a_kernel_takes() {
        let new = |dim, kind| Heads::new(16, dim, kind, true).unwrap();
        assert_eq!(new(80, Kind::BF16).padded, 80);
        assert_eq!(new(20, Kind::F16).padded, 64);
        assert_eq!(new(84, Kind::F16).padded, 96);
        assert_eq!(new(20, Kind::F32).padded, 24);
        assert_eq!(new(80, Kind::BF16).bytes(10), 3 * 2 * 10 * 16 * 80);
        // Past the tensor cores' kernels.
        assert_eq!(new(132, Kind::BF16).split_kind(Kind::BF16), Kind::F32);
        for (dim, rotated) in [(0, false), (258, false), (7, false), (6, true)] {
            assert!(Heads::new(16, dim, Kind::BF16, rotated).is_err(), "{dim}");
        }
    }

    #[test]
    fn every_kernel_fits_every_gpu() {
        for dim in (4..=256).step_by(4) {
            for kind in [Kind::F32, Kind::F16] {
                let heads = Heads::new(16, dim, kind, true).unwrap();
                for segments in [&[64; 64][..], &[100_000][..]] {
                    let (kernel, _, shared) = heads.kernel(segments, 100);
                    assert!(shared <= LEAST_SHARED, "{kernel}: {shared}");
                }
            }
        }
    }

    #[test]
    fn large_images_have_larger_tiles() {
        let heads = Heads::new(16, 80, Kind::BF16, true).unwrap();
        // Queries, keys and values once in windows, keys and values twice where there are more.
        assert_eq!(
            heads.kernel(&[64, 48], 132),
            ("segments_80_1", 64, 3 * 64 * 176)
        );
        assert_eq!(
            heads.kernel(&[1000], 132),
            ("segments_80_1", 64, 5 * 64 * 176)
        );
        assert_eq!(
            heads.kernel(&[4096], 132),
            ("segments_80_2", 128, 6 * 64 * 176)
        );
    }
}
