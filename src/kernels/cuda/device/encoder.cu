// Image encoders: no token comes before another, so every patch sees all of its segment (a window, or the whole image).

// Two and four neighbouring numbers of a stored type; `at` is even, or a multiple of four.
template <int K> struct Few;
template <> struct Few<F32> {
    static DEVICE float2 two(const void* p, u64 at) { return *(const float2*)((const float*)p + at); }
    static DEVICE void put(void* p, u64 at, float2 x) { *(float2*)((float*)p + at) = x; }
    static DEVICE void put(void* p, u64 at, float4 x) { *(float4*)((float*)p + at) = x; }
};
template <> struct Few<F16> {
    static DEVICE float2 two(const void* p, u64 at) {
        const u32 x = *(const u32*)((const u16*)p + at);
        return make_float2(low_half(x), high_half(x));
    }
    static DEVICE void put(void* p, u64 at, float2 x) { *(u32*)((u16*)p + at) = pack_half(x.x, x.y); }
    static DEVICE void put(void* p, u64 at, float4 x) {
        *(uint2*)((u16*)p + at) = make_uint2(pack_half(x.x, x.y), pack_half(x.z, x.w));
    }
};
template <> struct Few<BF16> {
    static DEVICE float2 two(const void* p, u64 at) {
        const u32 x = *(const u32*)((const u16*)p + at);
        return make_float2(low_bf16(x), high_bf16(x));
    }
    static DEVICE void put(void* p, u64 at, float2 x) { *(u32*)((u16*)p + at) = pack_bf16(x.x, x.y); }
    static DEVICE void put(void* p, u64 at, float4 x) {
        *(uint2*)((u16*)p + at) = make_uint2(pack_bf16(x.x, x.y), pack_bf16(x.z, x.w));
    }
};

// Where a warp has a row: which one.
DEVICE u64 warp_row() { return (u64)blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP; }

// The kernels of a name for each type of what they write.
#define EACH_KIND(name, struct_name) \
    KERNEL(name##_f32, struct_name, __launch_bounds__(256)) { \
        name<F32>(a); \
    } \
    KERNEL(name##_f16, struct_name, __launch_bounds__(256)) { \
        name<F16>(a); \
    } \
    KERNEL(name##_bf16, struct_name, __launch_bounds__(256)) { \
        name<BF16>(a); \
    }

struct GatherRows {
    const float* in;      // [.., width]
    const u32* from;      // For each row of `out` the row of `in`, 0xffffffff for zeros; null: the same
    const float* bias;    // [width], or null
    u32 width;
    u32 padded;           // Numbers of a row of `out`; behind `width` they are zeros.
    void* out;            // [rows, padded]
};
// A block a row.
template <int K> DEVICE void gather_rows(const GatherRows& a) {
    typedef typename Number<K>::type N;
    let_next_start();
    wait_for_previous();
    const u32 from = a.from ? a.from[blockIdx.x] : blockIdx.x;
    const bool there = from != 0xffffffffu;
    const float* in = a.in + (u64)(there ? from : 0) * a.width;
    N* out = (N*)a.out + (u64)blockIdx.x * a.padded;
    for (u32 i = threadIdx.x; i < a.padded; i += blockDim.x) {
        float x = 0.f;
        if (there && i < a.width) x = in[i] + (a.bias ? __ldg(a.bias + i) : 0.f);
        out[i] = Number<K>::make(x);
    }
}
EACH_KIND(gather_rows, GatherRows)

struct EncoderNorm {
    float* x;             // [rows, width]
    const float* norm;    // [width]
    const float* add;     // [width], or null: joins `x` behind the norm, where what follows is added to
    float eps;
    u32 rows;
    u32 width;            // A multiple of four.
    void* out;            // [rows, width]
};
// Root mean square; a warp a row.
template <int K> DEVICE void encoder_norm(const EncoderNorm& a) {
    let_next_start();
    wait_for_previous();
    const u64 row = warp_row();
    if (row >= a.rows) return;
    const u32 lane = threadIdx.x % WARP;
    float* x = a.x + row * a.width;
    float squares = 0.f;
    for (u32 i = lane * 4; i < a.width; i += WARP * 4) {
        const float4 v = *(const float4*)(x + i);
        squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    const float factor = rsqrtf(warp_sum(squares) / a.width + a.eps);
    for (u32 i = lane * 4; i < a.width; i += WARP * 4) {
        const float4 v = *(const float4*)(x + i), w = __ldg((const float4*)(a.norm + i));
        Few<K>::put(a.out, row * a.width + i,
                    make_float4(v.x * factor * w.x, v.y * factor * w.y, v.z * factor * w.z, v.w * factor * w.w));
        if (a.add) {
            const float4 b = __ldg((const float4*)(a.add + i));
            *(float4*)(x + i) = make_float4(v.x + b.x, v.y + b.y, v.z + b.z, v.w + b.w);
        }
    }
}
EACH_KIND(encoder_norm, EncoderNorm)

// The exact one (Hendrycks & Gimpel, 2016, arXiv:1606.08415).
DEVICE float gelu(float x) { return 0.5f * x * (1.f + erff(x * 0.70710678118654752f)); }

struct GeluRows {
    const float* x;       // [rows, width]
    const float* bias;    // [width], or null
    u32 width;            // A multiple of four.
    void* out;            // [rows, width]
};
// A block a row.
template <int K> DEVICE void gelu_rows(const GeluRows& a) {
    let_next_start();
    wait_for_previous();
    const u64 row = (u64)blockIdx.x * a.width;
    for (u32 i = threadIdx.x * 4; i < a.width; i += blockDim.x * 4) {
        const float4 v = *(const float4*)(a.x + row + i);
        const float4 b = a.bias ? __ldg((const float4*)(a.bias + i)) : make_float4(0.f, 0.f, 0.f, 0.f);
        Few<K>::put(a.out, row + i, make_float4(gelu(v.x + b.x), gelu(v.y + b.y), gelu(v.z + b.z), gelu(v.w + b.w)));
    }
}
EACH_KIND(gelu_rows, GeluRows)

struct NormGelu {
    const float* x;       // [rows, width]
    const float* gain;    // [width]
    const float* shift;   // [width]
    float eps;
    u32 rows;
    u32 width;            // A multiple of four.
    void* out;            // [rows, width]
};
// GELU of a layer norm (Ba et al., 2016, arXiv:1607.06450); a warp a row.
template <int K> DEVICE void norm_gelu(const NormGelu& a) {
    let_next_start();
    wait_for_previous();
    const u64 row = warp_row();
    if (row >= a.rows) return;
    const u32 lane = threadIdx.x % WARP;
    const float* x = a.x + row * a.width;
    float sum = 0.f;
    for (u32 i = lane * 4; i < a.width; i += WARP * 4) {
        const float4 v = *(const float4*)(x + i);
        sum += v.x + v.y + v.z + v.w;
    }
    const float mean = warp_sum(sum) / a.width;
    float squares = 0.f;
    for (u32 i = lane * 4; i < a.width; i += WARP * 4) {
        float4 v = *(const float4*)(x + i);
        v.x -= mean;
        v.y -= mean;
        v.z -= mean;
        v.w -= mean;
        squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    }
    const float factor = rsqrtf(warp_sum(squares) / a.width + a.eps);
    for (u32 i = lane * 4; i < a.width; i += WARP * 4) {
        const float4 v = *(const float4*)(x + i);
        const float4 g = __ldg((const float4*)(a.gain + i)), s = __ldg((const float4*)(a.shift + i));
        Few<K>::put(a.out, row * a.width + i,
                    make_float4(gelu((v.x - mean) * factor * g.x + s.x), gelu((v.y - mean) * factor * g.y + s.y),
                                gelu((v.z - mean) * factor * g.z + s.z), gelu((v.w - mean) * factor * g.w + s.w)));
    }
}
EACH_KIND(norm_gelu, NormGelu)

struct PlacePatches {
    float* x;             // [rows, width], without the bias; becomes what the first block reads
    const float* bias;    // [width], or null
    const float* norm;    // [width]
    const float* omega;   // [width / 4], radians a patch
    float eps;
    u32 rows;
    u32 width;            // A multiple of four.
    u32 columns;          // Patches from left to right.
};
// The norm of each patch, and sine and cosine of its column and its row (AIMv2); a warp a patch.
KERNEL(place_patches, PlacePatches, __launch_bounds__(256)) {
    let_next_start();
    wait_for_previous();
    const u64 row = warp_row();
    if (row >= a.rows) return;
    const u32 lane = threadIdx.x % WARP, quarter = a.width / 4, patch = (u32)row;
    float* x = a.x + row * a.width;
    float squares = 0.f;
    for (u32 i = lane; i < a.width; i += WARP) {
        const float v = x[i] + (a.bias ? __ldg(a.bias + i) : 0.f);
        squares += v * v;
    }
    const float factor = rsqrtf(warp_sum(squares) / a.width + a.eps);
    for (u32 i = lane; i < a.width; i += WARP) {
        const float v = x[i] + (a.bias ? __ldg(a.bias + i) : 0.f);
        const u32 part = i / quarter;
        const u32 axis = part < 2 ? patch % a.columns : patch / a.columns;
        float s, c;
        sincosf((float)axis * __ldg(a.omega + i % quarter), &s, &c);
        x[i] = v * factor * __ldg(a.norm + i) + (part % 2 ? c : s);
    }
}

struct SplitHeads {
    const void* qkv;      // [rows, 3, heads, dim]
    const float* bias;    // [3, heads, dim], or null
    const float2* angles; // [rows, dim / 2], or null: nothing is rotated
    u32 heads;
    u32 dim;              // Even; a multiple of four where something is rotated.
    u32 padded;           // Even; numbers of a head of `out`, zeros behind `dim`.
    float scale;          // Of queries.
    void* out;            // Queries, keys and values, [rows, heads, padded] each,
    u64 plane;            // so many numbers apart.
};
// Biases, and the rotation of queries and keys, halves of a head together. Block (patch, query or key or value).
template <int K, int TO> DEVICE void split_heads(const SplitHeads& a) {
    let_next_start();
    wait_for_previous();
    const u32 part = blockIdx.y, pairs = a.padded / 2, half = a.dim / 2, width = a.heads * a.dim;
    const u64 row = blockIdx.x, from = (row * 3 + part) * width;
    const float* bias = a.bias ? a.bias + part * width : 0;
    const bool rotated = a.angles && part < 2;
    const float factor = part == 0 ? a.scale : 1.f;
    const u64 to = part * a.plane + row * a.heads * a.padded;
    auto number = [&](u32 at) {
        float2 x = Few<K>::two(a.qkv, from + at);
        if (bias) {
            const float2 b = __ldg((const float2*)(bias + at));
            x.x += b.x;
            x.y += b.y;
        }
        return x;
    };
    for (u32 i = threadIdx.x; i < a.heads * pairs; i += blockDim.x) {
        const u32 head = i / pairs, d = i % pairs * 2;
        float2 y = make_float2(0.f, 0.f);
        if (d < a.dim) {
            const u32 at = head * a.dim + d;
            y = number(at);
            if (rotated) {
                const bool second = d >= half;
                const float2 x = number(second ? at - half : at + half);
                // Cosine and sine of two neighbours.
                const float4 turn = *(const float4*)(a.angles + row * half + (second ? d - half : d));
                y.x = second ? x.x * turn.y + y.x * turn.x : y.x * turn.x - x.x * turn.y;
                y.y = second ? x.y * turn.w + y.y * turn.z : y.y * turn.z - x.y * turn.w;
            }
        }
        Few<TO>::put(a.out, to + i * 2, make_float2(y.x * factor, y.y * factor));
    }
}
KERNEL(split_heads_f32, SplitHeads, __launch_bounds__(256)) {
    split_heads<F32, F32>(a);
}
KERNEL(split_heads_f16, SplitHeads, __launch_bounds__(256)) {
    split_heads<F16, F16>(a);
}
KERNEL(split_heads_bf16, SplitHeads, __launch_bounds__(256)) {
    split_heads<BF16, F16>(a);
}
