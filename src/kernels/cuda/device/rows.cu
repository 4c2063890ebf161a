// Work on all tokens of a pass, a row each.

// What a step of one token is told: it changes from step to step where launches do not.
struct Step {
    u32 token;
    u32 cached;       // Tokens in the cache before it.
    u32 position[3];  // On the axes time, height, width.
};

struct EmbedArgs {
    Matrix table;
    const u32* tokens;  // Every `stride`-th is one.
    u32 stride;
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
        load_chunk<K>(c, a.table, row * chunks + i);
        float numbers[32];
        chunk_numbers<K>(c, numbers);
        for (int j = 0; j < 32; j++) out[i * 32 + j] = numbers[j];
    }
}

// A block a token.
extern "C" __global__ void embed_rows(const __grid_constant__ EmbedArgs a) {
    let_next_start();
    wait_for_previous();
    const u64 row = a.tokens[(u64)blockIdx.x * a.stride];
    float* out = a.out + (u64)blockIdx.x * a.table.width;
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

struct AnglesArgs {
    const u32* positions;    // Three a token, of its own block of `stride`.
    u32 stride;
    const float* frequencies;  // [half], radians a position.
    u32 half;
    u32 first_height;        // The first frequency that reads the second axis,
    u32 first_width;         // and the third.
    float magnitude;
    float2* out;             // [tokens, half]: cosine, sine.
};

// A block a token.
extern "C" __global__ void angles(const __grid_constant__ AnglesArgs a) {
    let_next_start();
    wait_for_previous();
    const u32* position = a.positions + (u64)blockIdx.x * a.stride;
    for (u32 i = threadIdx.x; i < a.half; i += blockDim.x) {
        const u32 axis = (i >= a.first_height) + (i >= a.first_width);
        float s, c;
        sincosf((float)position[axis] * a.frequencies[i], &s, &c);
        a.out[(u64)blockIdx.x * a.half + i] = make_float2(c * a.magnitude, s * a.magnitude);
    }
}

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
extern "C" __global__ void rms_f32(const __grid_constant__ NormArgs a) { rms_rows<F32>(a); }
extern "C" __global__ void rms_f16(const __grid_constant__ NormArgs a) { rms_rows<F16>(a); }
extern "C" __global__ void rms_bf16(const __grid_constant__ NormArgs a) { rms_rows<BF16>(a); }

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
extern "C" __global__ void convert_f16(const __grid_constant__ ConvertArgs a) { convert<F16>(a); }
extern "C" __global__ void convert_bf16(const __grid_constant__ ConvertArgs a) { convert<BF16>(a); }

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
extern "C" __global__ void gated_f32(const __grid_constant__ GateArgs a) { gated<F32>(a); }
extern "C" __global__ void gated_f16(const __grid_constant__ GateArgs a) { gated<F16>(a); }
extern "C" __global__ void gated_bf16(const __grid_constant__ GateArgs a) { gated<BF16>(a); }

struct BiasArgs {
    float* x;           // [tokens, width], `stride` apart
    const float* bias;  // [width]
    u32 width;
    u32 stride;
};
// A block a token.
extern "C" __global__ void add_bias(const __grid_constant__ BiasArgs a) {
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
    load_chunk<K>(c, m, chunk);
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
extern "C" __global__ void dequantise_bf16(const __grid_constant__ DequantiseArgs a) { dequantise_any<BF16>(a); }
extern "C" __global__ void dequantise_f32(const __grid_constant__ DequantiseArgs a) { dequantise_any<F32>(a); }

struct BestArgs {
    const float* logits;
    u32 count;
    u64* partial;   // [blocks]
    u32* ticket;    // 0, and 0 again when the kernel ends
    u32* best;      // The token, and whether one of the logits was no number
};
// The likeliest token, the first of equals. Keys order as the logits do; a NaN is above all.
DEVICE u64 best_key(float x, u32 id) {
    if (x == x) {
        u32 bits = __float_as_uint(x);
        bits = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
        return ((u64)bits << 32) | (0xffffffffu - id);
    }
    return ~0ull;
}
DEVICE u64 block_best(u64 key, u64* scratch) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        const u64 other = __shfl_xor_sync(FULL, key, d);
        key = other > key ? other : key;
    }
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = key;
    __syncthreads();
    key = threadIdx.x < blockDim.x / WARP ? scratch[threadIdx.x] : 0;
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        const u64 other = __shfl_xor_sync(FULL, key, d);
        key = other > key ? other : key;
    }
    __syncthreads();
    return key;
}
extern "C" __global__ void best_token(const __grid_constant__ BestArgs a) {
    __shared__ u64 scratch[32];
    __shared__ bool last;
    let_next_start();
    wait_for_previous();
    u64 key = 0;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < a.count; i += gridDim.x * blockDim.x) {
        const u64 other = best_key(a.logits[i], i);
        key = other > key ? other : key;
    }
    key = block_best(key, scratch);
    if (threadIdx.x == 0) {
        a.partial[blockIdx.x] = key;
        __threadfence();
        last = atomicAdd(a.ticket, 1) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last) return;
    __threadfence();
    key = 0;
    for (u32 i = threadIdx.x; i < gridDim.x; i += blockDim.x) {
        const u64 other = ((volatile u64*)a.partial)[i];
        key = other > key ? other : key;
    }
    key = block_best(key, scratch);
    if (threadIdx.x == 0) {
        a.best[0] = 0xffffffffu - (u32)key;
        a.best[1] = key == ~0ull;
        *a.ticket = 0;
    }
}
