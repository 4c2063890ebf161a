// Work on all tokens of a pass, a row each.

// A step is told five words of each of its tokens, which change where launches do not: the token, how many are in the
// cache before it, and its position on the axes time, height, width.

struct EmbedArgs {
    Matrix table;
    const u32* tokens;
    float* out;         // [tokens, width]
};

template <int K> DEVICE void embed(const EmbedArgs& a, u64 row, float* out) {
    typedef typename Number<K>::type N;
    const N* table = (const N*)a.table.data + row * a.table.width;
    for (u32 i = threadIdx.x; i < a.table.width; i += blockDim.x) out[i] = Number<K>::read(table[i]);
}
template <int K> DEVICE void embed_chunks(const EmbedArgs& a, u64 row, float* out) {
    const u32 chunks = a.table.width / 32;
    for (u32 i = threadIdx.x; i < chunks; i += blockDim.x) {
        Chunk<K> c;
        load_chunk<K>(c, planes_at<K>(a.table, row * chunks + i), 0);
        float numbers[32];
        chunk_numbers<K>(c, numbers);
        for (int j = 0; j < 32; j++) out[i * 32 + j] = numbers[j];
    }
}

DEVICE void embed_any(const EmbedArgs& a, u64 row, float* out) {
    switch (a.table.kind) {
        case F32: return embed<F32>(a, row, out);
        case F16: return embed<F16>(a, row, out);
        case BF16: return embed<BF16>(a, row, out);
        case Q8: return embed_chunks<Q8>(a, row, out);
        case Q4: return embed_chunks<Q4>(a, row, out);
        case Q5: return embed_chunks<Q5>(a, row, out);
        case Q6: return embed_chunks<Q6>(a, row, out);
        case Q3: return embed_chunks<Q3>(a, row, out);
        case Q2: return embed_chunks<Q2>(a, row, out);
    }
}
// A block a token.
KERNEL(embed_rows, EmbedArgs) {
    let_next_start();
    wait_for_previous();
    embed_any(a, a.tokens[blockIdx.x], a.out + (u64)blockIdx.x * a.table.width);
}

struct AnglesArgs {
    const u32* positions;      // Three a token.
    const float* frequencies;  // [half], radians a position.
    u32 half;
    u32 first_height;        // The first frequency that reads the second axis,
    u32 first_width;         // and the third.
    float magnitude;
    float2* out;             // [tokens, half]: cosine, sine.
};

DEVICE void rotate_angles(const AnglesArgs& a, const u32* position, u64 token) {
    for (u32 i = threadIdx.x; i < a.half; i += blockDim.x) {
        const u32 axis = (i >= a.first_height) + (i >= a.first_width);
        float s, c;
        sincosf((float)position[axis] * a.frequencies[i], &s, &c);
        a.out[token * a.half + i] = make_float2(c * a.magnitude, s * a.magnitude);
    }
}
// A block a token.
KERNEL(angles, AnglesArgs) {
    let_next_start();
    wait_for_previous();
    rotate_angles(a, a.positions + (u64)blockIdx.x * 3, blockIdx.x);
}

// The beginning of a step: each token's row, its angles, and what the host says of it brought here once: reading the
// host's memory takes as long as a whole kernel. Two blocks a token.
struct BeginArgs {
    EmbedArgs embed;         // `tokens` is the host's step.
    AnglesArgs angles;       // `positions` likewise.
    u32* step;               // A copy of it.
    u32 words;               // Of a token.
};
DEVICE void begin(const BeginArgs& a, u32 token) {
    __shared__ u32 step[8];
    wait_for_previous();
    // Only now: what comes next may read, before it waits, what earlier steps wrote.
    let_next_start();
    if (threadIdx.x < a.words) {
        const u32 at = token * a.words + threadIdx.x;
        step[threadIdx.x] = ((volatile const u32*)a.embed.tokens)[at];
        if (blockIdx.x == 0) a.step[at] = step[threadIdx.x];
    }
    __syncthreads();
    if (blockIdx.x == 1) return rotate_angles(a.angles, step + 2, token);
    embed_any(a.embed, step[0], a.embed.out + (u64)token * a.embed.table.width);
}
KERNEL(begin_step, BeginArgs) { begin(a, 0); }
KERNEL(begin_each, BeginArgs) { begin(a, blockIdx.y); }

struct NormArgs {
    const float* x;      // [tokens, width]
    const float* norm;   // [width]
    float eps;
    u32 width;
    void* out;           // [tokens, width]
};

// Root mean square; a block a token.
template <int K> DEVICE void rms_rows(const NormArgs& a) {
    typedef typename Number<K>::type N;
    __shared__ float scratch[32];
    let_next_start();
    wait_for_previous();
    const float* x = a.x + (u64)blockIdx.x * a.width;
    N* out = (N*)a.out + (u64)blockIdx.x * a.width;
    float squares = 0.f;
    for (u32 i = threadIdx.x; i < a.width; i += blockDim.x) squares += x[i] * x[i];
    squares = warp_sum(squares);
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = squares;
    __syncthreads();
    float all = 0.f;
    for (u32 w = 0; w < blockDim.x / WARP; w++) all += scratch[w];
    const float factor = rsqrtf(all / a.width + a.eps);
    for (u32 i = threadIdx.x; i < a.width; i += blockDim.x)
        out[i] = Number<K>::make(x[i] * factor * __ldg(a.norm + i));
}
KERNEL(rms_f32, NormArgs) { rms_rows<F32>(a); }
KERNEL(rms_f16, NormArgs) { rms_rows<F16>(a); }
KERNEL(rms_bf16, NormArgs) { rms_rows<BF16>(a); }

struct ConvertArgs {
    const float* in;
    void* out;
    u64 count;
};
template <int K> DEVICE void convert(const ConvertArgs& a) {
    typedef typename Number<K>::type N;
    let_next_start();
    wait_for_previous();
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < a.count; i += (u64)gridDim.x * blockDim.x)
        ((N*)a.out)[i] = Number<K>::make(a.in[i]);
}
KERNEL(convert_f16, ConvertArgs) { convert<F16>(a); }
KERNEL(convert_bf16, ConvertArgs) { convert<BF16>(a); }

struct GateArgs {
    const void* gate;   // [tokens, stride], numbers of the kind
    const void* up;
    const float* gate_bias;  // [width], or null
    const float* up_bias;
    void* out;          // [tokens, width]
    u32 tokens;
    u32 width;
    u32 stride;
};
// silu(gate) * up; a block row of blocks a token, two numbers a thread.
template <int K> DEVICE void gated(const GateArgs& a) {
    typedef typename Number<K>::type N;
    let_next_start();
    wait_for_previous();
    const u32 i = (blockIdx.x * blockDim.x + threadIdx.x) * 2;
    if (i >= a.width) return;
    const u64 row = (u64)blockIdx.y * a.stride;
    N* out = (N*)a.out + (u64)blockIdx.y * a.width;
    for (u32 j = i; j < min(i + 2, a.width); j++) {
        float g = Number<K>::read(((const N*)a.gate)[row + j]), u = Number<K>::read(((const N*)a.up)[row + j]);
        if (a.gate_bias) g += __ldg(a.gate_bias + j);
        if (a.up_bias) u += __ldg(a.up_bias + j);
        out[j] = Number<K>::make(silu(g) * u);
    }
}
KERNEL(gated_f32, GateArgs) { gated<F32>(a); }
KERNEL(gated_f16, GateArgs) { gated<F16>(a); }
KERNEL(gated_bf16, GateArgs) { gated<BF16>(a); }

struct BiasArgs {
    float* x;           // [tokens, width], `stride` apart
    const float* bias;  // [width]
    u32 width;
    u32 stride;
};
// A block a token.
KERNEL(add_bias, BiasArgs) {
    let_next_start();
    wait_for_previous();
    for (u32 i = threadIdx.x; i < a.width; i += blockDim.x)
        a.x[(u64)blockIdx.x * a.stride + i] += __ldg(a.bias + i);
}

struct DequantiseArgs {
    Matrix matrix;
    void* out;          // [rows, width], bf16 or f32
};
template <int K> DEVICE void numbers_of(const Matrix& m, u64 chunk, float* numbers) {
    Chunk<K> c;
    load_chunk<K>(c, planes_at<K>(m, chunk), 0);
    chunk_numbers<K>(c, numbers);
}
template <int K> DEVICE void halves_of(const Matrix& m, u64 chunk, float* numbers) {
#pragma unroll
    for (int i = 0; i < 32; i++) numbers[i] = Number<K>::read(((const u16*)m.data)[chunk * 32 + i]);
}
template <int TO> DEVICE void put_numbers(const DequantiseArgs& a, u64 chunk, const float* numbers) {
    if (TO == BF16) {
        uint4* out = (uint4*)a.out + chunk * 4;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float* n = numbers + 8 * i;
            out[i] = make_uint4(pack_bf16(n[0], n[1]), pack_bf16(n[2], n[3]), pack_bf16(n[4], n[5]),
                                pack_bf16(n[6], n[7]));
        }
    } else {
        float4* out = (float4*)a.out + chunk * 8;
#pragma unroll
        for (int i = 0; i < 8; i++)
            out[i] = make_float4(numbers[4 * i], numbers[4 * i + 1], numbers[4 * i + 2], numbers[4 * i + 3]);
    }
}
template <int TO> DEVICE void dequantise_any(const DequantiseArgs& a) {
    let_next_start();
    wait_for_previous();
    const u64 chunks = (u64)a.matrix.rows * (a.matrix.width / 32);
    for (u64 i = (u64)blockIdx.x * blockDim.x + threadIdx.x; i < chunks; i += (u64)gridDim.x * blockDim.x) {
        const u64 from = i + (u64)a.matrix.first * (a.matrix.width / 32);
        float numbers[32];
        switch (a.matrix.kind) {
            case F16: halves_of<F16>(a.matrix, from, numbers); break;
            case BF16: halves_of<BF16>(a.matrix, from, numbers); break;
            case Q8: numbers_of<Q8>(a.matrix, from, numbers); break;
            case Q4: numbers_of<Q4>(a.matrix, from, numbers); break;
            case Q5: numbers_of<Q5>(a.matrix, from, numbers); break;
            case Q6: numbers_of<Q6>(a.matrix, from, numbers); break;
            case Q3: numbers_of<Q3>(a.matrix, from, numbers); break;
            case Q2: numbers_of<Q2>(a.matrix, from, numbers); break;
            default: return;
        }
        put_numbers<TO>(a, i, numbers);
    }
}
KERNEL(dequantise_bf16, DequantiseArgs) { dequantise_any<BF16>(a); }
KERNEL(dequantise_f32, DequantiseArgs) { dequantise_any<F32>(a); }
