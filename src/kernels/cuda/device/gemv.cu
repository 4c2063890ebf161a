// A matrix times one token: y = W · x + b, each warp some rows at a time.

enum { MOST_PARTS = 3 };

struct GemvArgs {
    Matrix parts[MOST_PARTS];         // Below each other; they share the width.
    const float* bias[MOST_PARTS];    // Or null.
    u32 n_parts;
    const float* x;                   // [width]
    const float* norm;                // [width], or null: x is RMS-normalised first.
    float eps;
    float* out;                       // [rows]
    const float* residual;            // Added to the result, or null; may be `out`.
    u32 split;                        // Warps that share a row: 1, 2, 4 or 8.
};

// Quantised rows read their 32 floats at a stride of 36: no two lanes of a quarter of a warp meet in a bank.
template <int K> DEVICE int place(int i) {
    return K <= BF16 && K >= 0 ? i : i / 32 * 36 + i % 32;
}

// Loads of x that a thread makes together.
enum { STAGED = 5 };

// The weights of a norm that a thread multiplies with, read before the token's numbers are there.
enum { GAINS = 2 };
struct Gains {
    float4 all[GAINS];
    DEVICE void load(const float* norm, u32 width) {
#pragma unroll
        for (int j = 0; j < GAINS; j++) {
            const u32 i = (j * blockDim.x + threadIdx.x) * 4;
            if (norm && i < width) all[j] = __ldg((const float4*)(norm + i));
        }
    }
};

// Brings x · norm into shared memory, and returns what the products still have to be multiplied with.
// `sums` gets the sum of each 32 numbers where `K` is quantised.
template <int K>
DEVICE float stage(const GemvArgs& a, const Gains& gains, u32 width, float* xs, float* sums, float* scratch) {
    float squares = 0.f;
    const u32 step = blockDim.x * 4;
    for (u32 first = threadIdx.x * 4; first < width; first += STAGED * step) {
        float4 all[STAGED];
#pragma unroll
        for (int j = 0; j < STAGED; j++)
            if (first + j * step < width) all[j] = *(const float4*)(a.x + first + j * step);
#pragma unroll
        for (int j = 0; j < STAGED; j++) {
            const u32 i = first + j * step;
            if (i >= width) break;
            float4 v = all[j];
            squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
            if (a.norm) {
                const bool known = j < GAINS && first == threadIdx.x * 4;
                const float4 n = known ? gains.all[j < GAINS ? j : 0] : __ldg((const float4*)(a.norm + i));
                v.x *= n.x;
                v.y *= n.y;
                v.z *= n.z;
                v.w *= n.w;
            }
            *(float4*)(xs + place<K>(i)) = v;
            if (K == Q4 || K == Q5 || K == Q2) {
                // Eight neighbours hold the 32 numbers of a chunk.
                float s = v.x + v.y + v.z + v.w;
                const u32 mask = __activemask();
                s += __shfl_xor_sync(mask, s, 1);
                s += __shfl_xor_sync(mask, s, 2);
                s += __shfl_xor_sync(mask, s, 4);
                if (threadIdx.x % 8 == 0) sums[i / 32] = s;
            }
        }
    }
    if (a.norm) {
        squares = warp_sum(squares);
        if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = squares;
    }
    __syncthreads();
    if (!a.norm) return 1.f;
    float all = 0.f;
    for (u32 w = 0; w < blockDim.x / WARP; w++) all += scratch[w];
    return rsqrtf(all / width + a.eps);
}

// The products of R rows with x: this warp's part of them, of `parts` that other warps work on; `ahead` are loads that
// were made before.
template <int K, int R, int U> struct Rows;

// 16 bytes of each row a step: 8 numbers of 16 bits, or 4 floats.
template <int K, int R, int U> struct FloatRows {
    static const int NUMBERS = K == F32 ? 4 : 8;
    uint4 ahead[R][U];
    const u8* row[R];

    DEVICE void begin(const Matrix* m, const u32* rows, u32 part, u32 parts) {
#pragma unroll
        for (int r = 0; r < R; r++) row[r] = m[r].data + (u64)rows[r] * m[r].width * (K == F32 ? 4 : 2);
        load(part, parts, m[0].width);
    }
    DEVICE void load(u32 step, u32 parts, u32 width) {
        const u32 units = width / NUMBERS;
#pragma unroll
        for (int u = 0; u < U; u++) {
            const u32 unit = (step + u * parts) * WARP + threadIdx.x % WARP;
#pragma unroll
            for (int r = 0; r < R; r++)
                ahead[r][u] = unit < units ? load16(row[r] + (u64)unit * 16) : make_uint4(0, 0, 0, 0);
        }
    }
    DEVICE void products(const float* xs, const float*, u32 width, u32 part, u32 parts, float* acc) {
        const u32 units = width / NUMBERS;
        const u32 steps = (units + WARP - 1) / WARP;
        for (u32 step = part; step < steps; step += U * parts) {
            if (step != part) load(step, parts, width);
#pragma unroll
            for (int u = 0; u < U; u++) {
                const u32 unit = (step + u * parts) * WARP + threadIdx.x % WARP;
                if (unit >= units) continue;
                const float4 a = *(const float4*)(xs + unit * NUMBERS);
                if (K == F32) {
#pragma unroll
                    for (int r = 0; r < R; r++) {
                        const uint4 w = ahead[r][u];
                        acc[r] += __uint_as_float(w.x) * a.x + __uint_as_float(w.y) * a.y +
                                  __uint_as_float(w.z) * a.z + __uint_as_float(w.w) * a.w;
                    }
                } else {
                    const float4 b = *(const float4*)(xs + unit * NUMBERS + 4);
#pragma unroll
                    for (int r = 0; r < R; r++) {
                        const uint4 w = ahead[r][u];
                        float s = acc[r];
                        s = fmaf(K == F16 ? low_half(w.x) : low_bf16(w.x), a.x, s);
                        s = fmaf(K == F16 ? high_half(w.x) : high_bf16(w.x), a.y, s);
                        s = fmaf(K == F16 ? low_half(w.y) : low_bf16(w.y), a.z, s);
                        s = fmaf(K == F16 ? high_half(w.y) : high_bf16(w.y), a.w, s);
                        s = fmaf(K == F16 ? low_half(w.z) : low_bf16(w.z), b.x, s);
                        s = fmaf(K == F16 ? high_half(w.z) : high_bf16(w.z), b.y, s);
                        s = fmaf(K == F16 ? low_half(w.w) : low_bf16(w.w), b.z, s);
                        s = fmaf(K == F16 ? high_half(w.w) : high_bf16(w.w), b.w, s);
                        acc[r] = s;
                    }
                }
            }
        }
    }
};

// A chunk of each row a step.
template <int K, int R, int U> struct ChunkRows {
    Chunk<K> ahead[R][U];
    Planes planes[R];

    DEVICE void begin(const Matrix* m, const u32* rows, u32 part, u32 parts) {
#pragma unroll
        for (int r = 0; r < R; r++) planes[r] = planes_at<K>(m[r], (u64)rows[r] * (m[r].width / 32));
        load(part, parts, m[0].width);
    }
    DEVICE void load(u32 step, u32 parts, u32 width) {
        const u32 chunks = width / 32;
#pragma unroll
        for (int u = 0; u < U; u++) {
            const u32 chunk = (step + u * parts) * WARP + threadIdx.x % WARP;
            if (chunk < chunks) {
#pragma unroll
                for (int r = 0; r < R; r++) load_chunk<K>(ahead[r][u], planes[r], chunk);
            }
        }
    }
    template <int G> DEVICE void word(int u, const float* x, float (*dots)[R]) {
        const float4 a = *(const float4*)(x + 4 * G);
        const float off = chunk_offset<K>();
#pragma unroll
        for (int r = 0; r < R; r++) {
            const u32 w = chunk_word<K, G>(ahead[r][u]);
            float s = dots[G / 4][r];
            s = fmaf(byte_to_float<0>(w, off), a.x, s);
            s = fmaf(byte_to_float<1>(w, off), a.y, s);
            s = fmaf(byte_to_float<2>(w, off), a.z, s);
            s = fmaf(byte_to_float<3>(w, off), a.w, s);
            dots[G / 4][r] = s;
        }
    }
    DEVICE void products(const float* xs, const float* sums, u32 width, u32 part, u32 parts, float* acc) {
        const u32 chunks = width / 32;
        const u32 steps = (chunks + WARP - 1) / WARP;
        for (u32 step = part; step < steps; step += U * parts) {
            if (step != part) load(step, parts, width);
#pragma unroll
            for (int u = 0; u < U; u++) {
                const u32 chunk = (step + u * parts) * WARP + threadIdx.x % WARP;
                if (chunk >= chunks) continue;
                const float* x = xs + chunk * 36;
                float dots[2][R];
#pragma unroll
                for (int r = 0; r < R; r++) dots[0][r] = dots[1][r] = 0.f;
                word<0>(u, x, dots);
                word<1>(u, x, dots);
                word<2>(u, x, dots);
                word<3>(u, x, dots);
                word<4>(u, x, dots);
                word<5>(u, x, dots);
                word<6>(u, x, dots);
                word<7>(u, x, dots);
                float half_sum = 0.f;
                if (K == Q2) {
                    for (int i = 0; i < 16; i++) half_sum += x[i];
                }
#pragma unroll
                for (int r = 0; r < R; r++) {
                    const Chunk<K>& c = ahead[r][u];
                    if (K == Q6 || K == Q3 || K == Q2) {
                        acc[r] += dots[0][r] * chunk_scale<K>(c, 0) + dots[1][r] * chunk_scale<K>(c, 1);
                        if (K == Q2)
                            acc[r] += half_sum * chunk_min<K>(c, 0) + (sums[chunk] - half_sum) * chunk_min<K>(c, 1);
                    } else {
                        acc[r] += (dots[0][r] + dots[1][r]) * chunk_scale<K>(c, 0);
                        if (K == Q4 || K == Q5) acc[r] += sums[chunk] * chunk_min<K>(c, 0);
                    }
                }
            }
        }
    }
};

template <int R, int U> struct Rows<F32, R, U> : FloatRows<F32, R, U> {};
template <int R, int U> struct Rows<F16, R, U> : FloatRows<F16, R, U> {};
template <int R, int U> struct Rows<BF16, R, U> : FloatRows<BF16, R, U> {};
template <int R, int U> struct Rows<Q8, R, U> : ChunkRows<Q8, R, U> {};
template <int R, int U> struct Rows<Q4, R, U> : ChunkRows<Q4, R, U> {};
template <int R, int U> struct Rows<Q5, R, U> : ChunkRows<Q5, R, U> {};
template <int R, int U> struct Rows<Q6, R, U> : ChunkRows<Q6, R, U> {};
template <int R, int U> struct Rows<Q3, R, U> : ChunkRows<Q3, R, U> {};
template <int R, int U> struct Rows<Q2, R, U> : ChunkRows<Q2, R, U> {};

// Shared memory: the staged x, its sums, a float a warp for the norm, and four for the sums of its rows: a warp may be
// done with its products before another has read the norm.
template <int K> DEVICE void layout(u32 width, float*& xs, float*& sums, float*& scratch) {
    xs = (float*)shared_memory;
    const bool floats = K <= BF16 && K >= 0;
    sums = xs + (floats ? width : width / 32 * 36);
    scratch = sums + (floats ? 0 : width / 32);
}

// The part that row `row` of the parts `p .. end` lies in; it becomes the row of that part.
DEVICE u32 part_of(const GemvArgs& a, u32 p, u32 end, u32& row) {
    while (p + 1 < end && row >= a.parts[p].rows) row -= a.parts[p++].rows;
    return p;
}

// The sums of R rows over a warp and the warps that share them with it. All warps of a block come here together where
// rows are shared; only the first of those that share has the result.
template <int R> DEVICE void sum_up(float* acc, u32 part, u32 parts, float* scratch) {
#pragma unroll
    for (int r = 0; r < R; r++) acc[r] = warp_sum(acc[r]);
    if (parts == 1) return;
    const u32 warp = threadIdx.x / WARP;
    if (threadIdx.x % WARP == 0) {
#pragma unroll
        for (int r = 0; r < R; r++) scratch[warp * R + r] = acc[r];
    }
    __syncthreads();
    if (part == 0) {
        for (u32 p = 1; p < parts; p++)
#pragma unroll
            for (int r = 0; r < R; r++) acc[r] += scratch[(warp + p) * R + r];
    }
    __syncthreads();
}

// `block` of `blocks` work on the parts `from .. to`, whose first output is `out`.
template <int K, int R, int U>
DEVICE void gemv(const GemvArgs& a, u32 from, u32 end, u32 out, u32 block, u32 blocks) {
    let_next_start();
    float *xs, *sums, *scratch;
    layout<K>(a.parts[0].width, xs, sums, scratch);
    u32 all = 0;
    for (u32 p = from; p < end; p++) all += a.parts[p].rows;
    // Groups of R rows that a block works on together.
    const u32 together = blockDim.x / WARP / a.split;
    const u32 part = threadIdx.x / WARP % a.split, mine = threadIdx.x / WARP / a.split;
    const u32 groups = (all + R - 1) / R;
    Rows<K, R, U> rows;
    auto begin = [&](u32 group) {
        Matrix m[R];
        u32 r[R];
#pragma unroll
        for (int i = 0; i < R; i++) {
            u32 row = min(group * R + i, all - 1);
            m[i] = a.parts[part_of(a, from, end, row)];
            r[i] = row + m[i].first;
        }
        rows.begin(m, r, part, a.split);
    };
    u32 first = block * together;
    if (first < groups) begin(first + mine);
    Gains gains;
    gains.load(a.norm, a.parts[0].width);
    wait_for_previous();
    const float factor = stage<K>(a, gains, a.parts[0].width, xs, sums, scratch);
    for (; first < groups; first += blocks * together) {
        const u32 group = first + mine;
        float acc[R];
#pragma unroll
        for (int r = 0; r < R; r++) acc[r] = 0.f;
        rows.products(xs, sums, a.parts[0].width, part, a.split, acc);
        if (first + blocks * together < groups) begin(group + blocks * together);
        sum_up<R>(acc, part, a.split, scratch + blockDim.x / WARP);
        // Lane r writes row r.
        float sum = acc[0];
#pragma unroll
        for (int r = 1; r < R; r++)
            if (threadIdx.x % WARP == r) sum = acc[r];
        const u32 lane = threadIdx.x % WARP;
        const u32 to = group * R + lane;
        if (part == 0 && lane < R && to < all) {
            u32 row = to;
            const u32 p = part_of(a, from, end, row);
            sum *= factor;
            if (a.bias[p]) sum += __ldg(a.bias[p] + row);
            if (a.residual) sum += a.residual[out + to];
            a.out[out + to] = sum;
        }
    }
}

// out = silu(gate · x) * (up · x), parts 0 and 1; R of each at a time.
template <int K, int R, int U> DEVICE void swiglu(const GemvArgs& a) {
    let_next_start();
    float *xs, *sums, *scratch;
    layout<K>(a.parts[0].width, xs, sums, scratch);
    const u32 all = a.parts[0].rows;
    const u32 together = blockDim.x / WARP / a.split;
    const u32 part = threadIdx.x / WARP % a.split, mine = threadIdx.x / WARP / a.split;
    const u32 groups = (all + R - 1) / R;
    Rows<K, 2 * R, U> rows;
    auto begin = [&](u32 group) {
        Matrix m[2 * R];
        u32 r[2 * R];
#pragma unroll
        for (int i = 0; i < 2 * R; i++) {
            m[i] = a.parts[i % 2];
            r[i] = min(group * R + i / 2, all - 1) + m[i].first;
        }
        rows.begin(m, r, part, a.split);
    };
    u32 first = blockIdx.x * together;
    if (first < groups) begin(first + mine);
    Gains gains;
    gains.load(a.norm, a.parts[0].width);
    wait_for_previous();
    const float factor = stage<K>(a, gains, a.parts[0].width, xs, sums, scratch);
    for (; first < groups; first += gridDim.x * together) {
        const u32 group = first + mine;
        float acc[2 * R];
#pragma unroll
        for (int r = 0; r < 2 * R; r++) acc[r] = 0.f;
        rows.products(xs, sums, a.parts[0].width, part, a.split, acc);
        if (first + gridDim.x * together < groups) begin(group + gridDim.x * together);
        sum_up<2 * R>(acc, part, a.split, scratch + blockDim.x / WARP);
        float gate = acc[0], up = acc[1];
#pragma unroll
        for (int r = 1; r < R; r++)
            if (threadIdx.x % WARP == r) {
                gate = acc[2 * r];
                up = acc[2 * r + 1];
            }
        const u32 lane = threadIdx.x % WARP;
        const u32 to = group * R + lane;
        if (part == 0 && lane < R && to < all) {
            gate *= factor;
            up *= factor;
            if (a.bias[0]) gate += __ldg(a.bias[0] + to);
            if (a.bias[1]) up += __ldg(a.bias[1] + to);
            a.out[to] = silu(gate) * up;
        }
    }
}

// Quantised parts of different kinds: each block works on one of them, `blocks` of them on each.
struct MixedArgs {
    GemvArgs gemv;
    u32 blocks[MOST_PARTS];
};

#define THREADS 256

// R rows at a time, U loads ahead of each; so few registers that B blocks run together.
#define GEMV(name, K, R, U, B) \
    KERNEL(gemv_##name, GemvArgs, __launch_bounds__(THREADS, B)) { \
        gemv<K, R, U>(a, 0, a.n_parts, 0, blockIdx.x, gridDim.x); \
    }
#define SWIGLU(name, K, R, U, B) \
    KERNEL(swiglu_##name, GemvArgs, __launch_bounds__(THREADS, B)) { \
        swiglu<K, R, U>(a); \
    }
#define BOTH(name, K, U1, U2, U4, B) \
    GEMV(name##_1, K, 1, U1, B) \
    GEMV(name##_2, K, 2, U2, 3) \
    GEMV(name##_4, K, 4, U4, 2) \
    SWIGLU(name##_1, K, 1, U2, B) \
    SWIGLU(name##_2, K, 2, U4, 2)

BOTH(f32, F32, 8, 4, 2, 3)
BOTH(f16, F16, 8, 4, 4, 3)
BOTH(bf16, BF16, 8, 4, 4, 3)
BOTH(q8, Q8, 1, 1, 1, 4)
BOTH(q4, Q4, 1, 1, 1, 4)
BOTH(q5, Q5, 1, 1, 1, 4)
BOTH(q6, Q6, 1, 1, 1, 4)
BOTH(q3, Q3, 1, 1, 1, 4)
BOTH(q2, Q2, 1, 1, 1, 4)

KERNEL(gemv_mixed, MixedArgs, __launch_bounds__(THREADS)) {
    u32 p = 0, block = blockIdx.x, out = 0;
    while (p + 1 < a.gemv.n_parts && block >= a.blocks[p]) {
        block -= a.blocks[p];
        out += a.gemv.parts[p++].rows;
    }
    switch (a.gemv.parts[p].kind) {
        case Q8: return gemv<Q8, 2, 1>(a.gemv, p, p + 1, out, block, a.blocks[p]);
        case Q4: return gemv<Q4, 2, 1>(a.gemv, p, p + 1, out, block, a.blocks[p]);
        case Q5: return gemv<Q5, 2, 1>(a.gemv, p, p + 1, out, block, a.blocks[p]);
        case Q6: return gemv<Q6, 2, 1>(a.gemv, p, p + 1, out, block, a.blocks[p]);
        case Q3: return gemv<Q3, 2, 1>(a.gemv, p, p + 1, out, block, a.blocks[p]);
        case Q2: return gemv<Q2, 2, 1>(a.gemv, p, p + 1, out, block, a.blocks[p]);
    }
}
