//! ggml's blocks → planes, sixteen weights at a time.

use candle_core::quantized::GgmlDType;
use half::f16;
use half::slice::HalfFloatSliceExt;

use super::{Layout, CHUNK};

/// Chunks of one task: half a million weights.
const CHUNKS_A_TASK: usize = 1 << 14;

/// The planes of a quantised matrix that lies in a GGUF file as `blocks`, made on all threads. None as [`pack_into`].
pub fn pack(
    dtype: GgmlDType,
    blocks: &[u8],
    rows: usize,
    width: usize,
) -> Option<(Layout, Vec<u8>)> {
    let layout = layout(dtype, blocks, rows, width)?;
    let mut bytes = vec![0; layout.bytes];
    pack_into(dtype, blocks, rows, width, &mut bytes)?;
    Some((layout, bytes))
}

/// As [`pack`], into the [`Layout::bytes`] of [`Layout::of`]: every byte is written, none is read.
///
/// None, and nothing is written, where the type is no quantised one of [`super::Kind`], a row is not all blocks, or
/// `blocks` or `to` has another length than `rows` and `width` make.
pub fn pack_into(
    dtype: GgmlDType,
    blocks: &[u8],
    rows: usize,
    width: usize,
    to: &mut [u8],
) -> Option<Layout> {
    use GgmlDType as D;
    let layout = layout(dtype, blocks, rows, width)?;
    let planes = Planes::of(&layout, to)?;
    match dtype {
        D::Q4_0 => fill(blocks, planes, &q4_0),
        D::Q4_1 => fill(blocks, planes, &q4_1),
        D::Q5_0 => fill(blocks, planes, &q5_0),
        D::Q5_1 => fill(blocks, planes, &q5_1),
        D::Q8_0 => fill(blocks, planes, &q8_0),
        D::Q2K => fill(blocks, planes, &q2_k),
        D::Q3K => fill(blocks, planes, &q3_k),
        D::Q4K => fill(blocks, planes, &q4_k),
        D::Q5K => fill(blocks, planes, &q5_k),
        D::Q6K => fill(blocks, planes, &q6_k),
        D::F32 | D::F16 | D::BF16 | D::Q8_1 | D::Q8K => return None,
    }
    Some(layout)
}

/// The layout, where the blocks are as many as it takes.
fn layout(dtype: GgmlDType, blocks: &[u8], rows: usize, width: usize) -> Option<Layout> {
    let layout = Layout::of(dtype, rows, width)?;
    let row = (width / dtype.block_size()).checked_mul(dtype.type_size())?;
    let quantised = layout.kind.planes().is_some();
    (quantised && rows.checked_mul(row) == Some(blocks.len())).then_some(layout)
}

/// Three planes, or what some consecutive chunks have of them.
struct Planes<'a> {
    /// Bytes of a chunk in each.
    sizes: [usize; 3],
    low: &'a mut [u8],
    high: &'a mut [u8],
    scales: &'a mut [u8],
}

impl<'a> Planes<'a> {
    /// Those of a matrix; what lies between them is zeroed. None where the bytes are not as many as the layout's.
    fn of(layout: &Layout, bytes: &'a mut [u8]) -> Option<Self> {
        let sizes = layout.kind.planes()?;
        if bytes.len() != layout.bytes {
            return None;
        }
        let (bytes, scales) = bytes.split_at_mut(layout.scales);
        let (low, high) = bytes.split_at_mut(layout.high);
        let used = |plane: &'a mut [u8], size: usize| {
            let (used, rest) = plane.split_at_mut(layout.chunks() * size);
            rest.fill(0);
            used
        };
        Some(Self {
            sizes,
            low: used(low, sizes[0]),
            high: used(high, sizes[1]),
            scales,
        })
    }

    /// The first chunks, and the others.
    #[inline(always)]
    fn split_at(self, chunks: usize) -> (Self, Self) {
        let [low, high, scales] = self.sizes.map(|size| size * chunks);
        let (low, other_low) = self.low.split_at_mut(low);
        let (high, other_high) = self.high.split_at_mut(high);
        let (scales, other_scales) = self.scales.split_at_mut(scales);
        let sizes = self.sizes;
        (
            Self {
                sizes,
                low,
                high,
                scales,
            },
            Self {
                sizes,
                low: other_low,
                high: other_high,
                scales: other_scales,
            },
        )
    }

    /// Sets the low plane of a chunk of this part to its weights' low four bits, one a byte: 0..16 and 16..32.
    #[inline(always)]
    fn put_low(&mut self, chunk: usize, [first, second]: [u128; 2]) {
        self.low.as_chunks_mut().0[chunk] = (first | (second << 4)).to_le_bytes();
    }

    /// Sets the scales from the first chunk on.
    #[inline(always)]
    fn put_scales<const N: usize>(&mut self, floats: [f32; N]) {
        let mut halves = [f16::ZERO; N];
        halves.convert_from_f32_slice(&floats);
        for (to, half) in self.scales.as_chunks_mut().0.iter_mut().zip(halves) {
            *to = half.to_le_bytes();
        }
    }
}

/// Packs every block with `pack`, which is given the chunks of its block.
fn fill<const BYTES: usize>(
    blocks: &[u8],
    planes: Planes,
    pack: &(impl Fn(&[u8; BYTES], Planes) + Sync),
) {
    let (blocks, _) = blocks.as_chunks();
    let chunks = planes.scales.len() / planes.sizes[2] / blocks.len();
    fill_blocks(blocks, planes, chunks, pack);
}

fn fill_blocks<const BYTES: usize>(
    blocks: &[[u8; BYTES]],
    mut planes: Planes,
    chunks: usize,
    pack: &(impl Fn(&[u8; BYTES], Planes) + Sync),
) {
    if blocks.len() * chunks > CHUNKS_A_TASK {
        let (blocks, others) = blocks.split_at(blocks.len() / 2);
        let (planes, other_planes) = planes.split_at(blocks.len() * chunks);
        rayon::join(
            || fill_blocks(blocks, planes, chunks, pack),
            || fill_blocks(others, other_planes, chunks, pack),
        );
        return;
    }
    for block in blocks {
        let (own, others) = planes.split_at(chunks);
        pack(block, own);
        planes = others;
    }
}

const NIBBLES: u128 = u128::from_ne_bytes([0x0f; 16]);
const SIXES: u32 = u32::from_ne_bytes([0x3f; 4]);
const PAIRS: u128 = u128::from_ne_bytes([0x03; 16]);
const ONES: u128 = u128::from_ne_bytes([0x01; 16]);

#[inline(always)]
fn word(bytes: &[u8], index: usize) -> u32 {
    u32::from_le_bytes(bytes.as_chunks().0[index])
}

#[inline(always)]
fn half(bytes: &[u8], index: usize) -> f32 {
    f16::from_le_bytes(bytes.as_chunks().0[index]).to_f32()
}

/// 32 bytes shifted right and masked, in two halves.
#[inline(always)]
fn fields(bytes: &[u8], index: usize, shift: usize, mask: u128) -> [u128; 2] {
    [0, 1].map(|half| {
        let sixteen = u128::from_le_bytes(bytes.as_chunks().0[index * 2 + half]);
        (sixteen >> shift) & mask
    })
}

/// The four words of 32 bits above each other, each `bits` to the left of the one before. Fields of so many bits at the
/// bottom of each byte cannot meet.
#[inline(always)]
fn gather(x: u128, bits: u32) -> u32 {
    let step = 32 - bits;
    (x | (x >> step) | (x >> (2 * step)) | (x >> (3 * step))) as u32
}

/// The high plane of Q5 for bits that lie one a byte.
#[inline(always)]
fn fifth_bits([first, second]: [u128; 2]) -> u32 {
    gather(first, 1) | (gather(second, 1) << 4)
}

/// The same for 32 bits in order.
#[inline(always)]
fn fifth_bits_in_order(bits: u32) -> u32 {
    (0..4).fold(0, |word, b| {
        // Every fourth bit; twos, fours, eights of them come together.
        let x = (bits >> b) & 0x1111_1111;
        let x = (x | (x >> 3)) & 0x0303_0303;
        let x = (x | (x >> 6)) & 0x000f_000f;
        word | (((x | (x >> 12)) & 0xff) << (8 * b))
    })
}

/// Sets a chunk's scale to the half that the block begins with, and its min to what makes `centre` zero.
#[inline(always)]
fn put_centred(scales: &mut [u8], block: &[u8], centre: f32) {
    let min = f16::from_f32(-centre * half(block, 0));
    scales[..2].copy_from_slice(&block[..2]);
    scales[2..].copy_from_slice(&min.to_le_bytes());
}

fn q4_0(block: &[u8; 18], to: Planes) {
    put_centred(to.scales, block, 8.0);
    to.low.copy_from_slice(&block[2..]);
}

fn q4_1(block: &[u8; 20], to: Planes) {
    to.scales.copy_from_slice(&block[..4]);
    to.low.copy_from_slice(&block[4..]);
}

fn q5_0(block: &[u8; 22], to: Planes) {
    put_centred(to.scales, block, 16.0);
    let high = fifth_bits_in_order(word(&block[2..], 0));
    to.high.copy_from_slice(&high.to_le_bytes());
    to.low.copy_from_slice(&block[6..]);
}

fn q5_1(block: &[u8; 24], to: Planes) {
    to.scales.copy_from_slice(&block[..4]);
    let high = fifth_bits_in_order(word(block, 1));
    to.high.copy_from_slice(&high.to_le_bytes());
    to.low.copy_from_slice(&block[8..]);
}

fn q8_0(block: &[u8; 34], to: Planes) {
    to.scales.copy_from_slice(&block[..2]);
    to.low.copy_from_slice(&block[2..]);
}

/// Chunks of a superblock of 256 weights.
const CHUNKS: usize = 256 / CHUNK;

/// Scales and minima of Q4_K and Q5_K: two factors, then twelve bytes with sixteen numbers of six bits.
#[inline(always)]
fn k_scales(block: &[u8]) -> [f32; 16] {
    let [d, dmin] = [half(block, 0), half(block, 1)];
    let [scales, mins, shared] = [1, 2, 3].map(|index| word(block, index));
    let (nibbles, pairs) = (NIBBLES as u32, PAIRS as u32);
    let six = |own: u32, low: u32| {
        let later = (low & nibbles) | (((own >> 6) & pairs) << 4);
        (u64::from(own & SIXES) | (u64::from(later) << 32)).to_le_bytes()
    };
    let [scales, mins] = [six(scales, shared), six(mins, shared >> 4)];
    std::array::from_fn(|i| match i % 2 {
        0 => d * f32::from(scales[i / 2]),
        _ => -dmin * f32::from(mins[i / 2]),
    })
}

fn q4_k(block: &[u8; 144], mut to: Planes) {
    to.put_scales(k_scales(block));
    for chunk in 0..CHUNKS {
        to.put_low(chunk, k_nibbles(&block[16..], chunk));
    }
}

fn q5_k(block: &[u8; 176], mut to: Planes) {
    to.put_scales(k_scales(block));
    for chunk in 0..CHUNKS {
        to.put_low(chunk, k_nibbles(&block[48..], chunk));
        let high = fifth_bits(fields(&block[16..], 0, chunk, ONES));
        to.high.as_chunks_mut().0[chunk] = high.to_le_bytes();
    }
}

/// The low four bits of Q4_K and Q5_K: two chunks share 32 bytes.
#[inline(always)]
fn k_nibbles(qs: &[u8], chunk: usize) -> [u128; 2] {
    fields(qs, chunk / 2, chunk % 2 * 4, NIBBLES)
}

fn q6_k(block: &[u8; 210], mut to: Planes) {
    let d = half(&block[208..], 0);
    to.put_scales::<16>(std::array::from_fn(|i| {
        d * f32::from(block[192 + i].cast_signed())
    }));
    for chunk in 0..CHUNKS {
        // Of each four chunks, the first two are the low nibbles of 64 bytes, the others the high ones.
        let (four, part) = (chunk / 4, chunk % 4);
        let low = fields(block, four * 2 + part % 2, part / 2 * 4, NIBBLES);
        to.put_low(chunk, low);
        let high = fields(&block[128..], four, part * 2, PAIRS).map(|half| gather(half, 2));
        for (half, high) in high.into_iter().enumerate() {
            to.high.as_chunks_mut().0[chunk * 2 + half] = high.to_le_bytes();
        }
    }
}

/// The two low bits of Q2_K and Q3_K: four chunks share 32 bytes.
#[inline(always)]
fn k_pairs(qs: &[u8], chunk: usize) -> [u128; 2] {
    fields(qs, chunk / 4, chunk % 4 * 2, PAIRS)
}

fn q2_k(block: &[u8; 84], mut to: Planes) {
    let [d, dmin] = [40, 41].map(|index| half(block, index));
    let mut scales = [0.0; 32];
    for (pair, both) in scales.as_chunks_mut().0.iter_mut().zip(&block[..16]) {
        *pair = [d * f32::from(both & 15), -dmin * f32::from(both >> 4)];
    }
    to.put_scales(scales);
    for chunk in 0..CHUNKS {
        to.put_low(chunk, k_pairs(&block[16..], chunk));
    }
}

fn q3_k(block: &[u8; 110], mut to: Planes) {
    let d = half(&block[108..], 0);
    let (nibbles, pairs) = (NIBBLES as u32, PAIRS as u32);
    let packed = &block[96..108];
    // Sixteen numbers of six bits: low nibbles in two words, the bits above in the third.
    let six: [[u8; 4]; 4] = std::array::from_fn(|i| {
        let low = (word(packed, i % 2) >> (i / 2 * 4)) & nibbles;
        let above = (word(packed, 2) >> (i * 2)) & pairs;
        (low | (above << 4)).to_le_bytes()
    });
    to.put_scales::<16>(std::array::from_fn(|i| {
        d * (f32::from(six[i / 4][i % 4]) - 32.0)
    }));
    for chunk in 0..CHUNKS {
        let [low, high] = [k_pairs(&block[32..], chunk), fields(block, 0, chunk, ONES)];
        to.put_low(chunk, [0, 1].map(|half| low[half] | (high[half] << 2)));
    }
}
