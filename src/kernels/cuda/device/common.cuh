// What all kernels share.

// How a matrix's numbers lie in memory; the same numbers as `planes::Kind`.
enum Kind { F32 = 0, F16 = 1, BF16 = 2, Q8 = 3, Q4 = 4, Q5 = 5, Q6 = 6, Q3 = 7, Q2 = 8 };

// A matrix [rows, width]; the planes of a quantised one lie at byte offsets.
struct Matrix {
    const u8* data;
    u64 high;
    u64 scales;
    u32 kind;
    u32 rows;
    u32 width;
    u32 first;  // The row of the stored matrix that counts as the first.
};

DEVICE float low_half(u32 x) { return half_to_float((u16)(x & 0xffffu)); }
DEVICE float high_half(u32 x) { return half_to_float((u16)(x >> 16)); }
DEVICE float low_bf16(u32 x) { return __uint_as_float(x << 16); }
DEVICE float high_bf16(u32 x) { return __uint_as_float(x & 0xffff0000u); }

// The nearest finite half; what is no number stays none.
DEVICE float within_half(float x) { return x > 65504.f ? 65504.f : x < -65504.f ? -65504.f : x; }
DEVICE u32 pack_half(float low, float high) { return round_to_halves(within_half(low), within_half(high)); }

// A number of a stored type.
template <int K> struct Number;
template <> struct Number<F32> {
    typedef float type;
    static DEVICE float read(float x) { return x; }
    static DEVICE float make(float x) { return x; }
};
template <> struct Number<F16> {
    typedef u16 type;
    static DEVICE float read(u16 x) { return half_to_float(x); }
    static DEVICE u16 make(float x) { return (u16)pack_half(x, 0.f); }
};
template <> struct Number<BF16> {
    typedef u16 type;
    static DEVICE float read(u16 x) { return low_bf16(x); }
    static DEVICE u16 make(float x) { return (u16)pack_bf16(x, 0.f); }
};

DEVICE float warp_sum(float x) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) x += __shfl_xor_sync(FULL, x, d);
    return x;
}
DEVICE float warp_max(float x) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) x = fmaxf(x, __shfl_xor_sync(FULL, x, d));
    return x;
}

// a · b + c · d.
DEVICE float two_products(float a, float b, float c, float d) { return fmaf(a, b, product(c, d)); }
DEVICE float dot(float4 a, float4 b) { return fmaf(a.w, b.w, fmaf(a.z, b.z, two_products(a.x, b.x, a.y, b.y))); }

DEVICE float silu(float x) { return x / (1.f + __expf(-x)); }

// Byte b of a word as a float, less `off`: the byte becomes the mantissa of 2^23.
template <int B> DEVICE float byte_to_float(u32 word, float off) {
    return __uint_as_float(__byte_perm(word, 0x4B000000u, 0x7540u | B)) - (8388608.f + off);
}

// 32 weights of a quantised row as they lie in memory, loaded before they are needed.
template <int K> struct Chunk {
    uint4 low;
    uint4 more;  // Q8: the other half.
    u32 high[2];
    u32 scale[2];
};

// Where the planes of a quantised row begin.
struct Planes {
    const u8* low;
    const u8* high;
    const u8* scales;
};
template <int K> DEVICE Planes planes_at(const Matrix& m, u64 chunk) {
    Planes p;
    p.low = m.data + chunk * (K == Q8 ? 32 : 16);
    p.high = m.data + m.high + chunk * (K == Q6 ? 8 : 4);
    p.scales = m.data + m.scales + chunk * (K == Q8 ? 2 : K == Q2 ? 8 : 4);
    return p;
}

// Chunk `i` behind where the planes begin.
template <int K> DEVICE void load_chunk(Chunk<K>& c, const Planes& p, u32 i) {
    if (K == Q8) {
        c.low = load16(p.low + i * 32);
        c.more = load16(p.low + i * 32 + 16);
        c.scale[0] = __ldg((const u16*)p.scales + i);
        return;
    }
    c.low = load16(p.low + i * 16);
    if (K == Q2) {
        const uint2 both = __ldg((const uint2*)p.scales + i);
        c.scale[0] = both.x;
        c.scale[1] = both.y;
    } else {
        c.scale[0] = __ldg((const u32*)p.scales + i);
    }
    if (K == Q5) c.high[0] = __ldg((const u32*)p.high + i);
    if (K == Q6) {
        const uint2 both = __ldg((const uint2*)p.high + i);
        c.high[0] = both.x;
        c.high[1] = both.y;
    }
}

// The word of weights 4g .. 4g+3, a byte each.
template <int K, int G> DEVICE u32 chunk_word(const Chunk<K>& c) {
    if (K == Q8) {
        const u32 w = G == 0   ? c.low.x
                      : G == 1 ? c.low.y
                      : G == 2 ? c.low.z
                      : G == 3 ? c.low.w
                      : G == 4 ? c.more.x
                      : G == 5 ? c.more.y
                      : G == 6 ? c.more.z
                               : c.more.w;
        return w ^ 0x80808080u;
    }
    const int i = G % 4;
    u32 w = i == 0 ? c.low.x : i == 1 ? c.low.y : i == 2 ? c.low.z : c.low.w;
    if (G >= 4) w >>= 4;
    w &= 0x0f0f0f0fu;
    if (K == Q5) w |= (G <= 4 ? c.high[0] << (4 - G) : c.high[0] >> (G - 4)) & 0x10101010u;
    if (K == Q6) {
        const u32 h = c.high[G / 4];
        const int k = G % 4;
        w |= (k <= 2 ? h << (4 - 2 * k) : h >> (2 * k - 4)) & 0x30303030u;
    }
    return w;
}

template <int K> DEVICE float chunk_offset() {
    return K == Q8 ? 128.f : K == Q6 ? 32.f : K == Q3 ? 4.f : 0.f;
}

// Scale and minimum of columns 0..16 (part 0) or 16..32 (part 1).
template <int K> DEVICE float chunk_scale(const Chunk<K>& c, int part) {
    if (K == Q6 || K == Q3) return part ? high_half(c.scale[0]) : low_half(c.scale[0]);
    if (K == Q2) return low_half(c.scale[part]);
    return low_half(c.scale[0]);
}
template <int K> DEVICE float chunk_min(const Chunk<K>& c, int part) {
    if (K == Q2) return high_half(c.scale[part]);
    if (K == Q4 || K == Q5) return high_half(c.scale[0]);
    return 0.f;
}

template <int K, int G> DEVICE void words_to_floats(const Chunk<K>& c, float* out) {
    const u32 w = chunk_word<K, G>(c);
    out[0] = byte_to_float<0>(w, chunk_offset<K>());
    out[1] = byte_to_float<1>(w, chunk_offset<K>());
    out[2] = byte_to_float<2>(w, chunk_offset<K>());
    out[3] = byte_to_float<3>(w, chunk_offset<K>());
}

// All 32 numbers of a chunk.
template <int K> DEVICE void chunk_numbers(const Chunk<K>& c, float* out) {
    words_to_floats<K, 0>(c, out);
    words_to_floats<K, 1>(c, out + 4);
    words_to_floats<K, 2>(c, out + 8);
    words_to_floats<K, 3>(c, out + 12);
    words_to_floats<K, 4>(c, out + 16);
    words_to_floats<K, 5>(c, out + 20);
    words_to_floats<K, 6>(c, out + 24);
    words_to_floats<K, 7>(c, out + 28);
#pragma unroll
    for (int i = 0; i < 32; i++) out[i] = out[i] * chunk_scale<K>(c, i / 16) + chunk_min<K>(c, i / 16);
}
