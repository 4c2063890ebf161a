// What products of a matrix with one token (gemv.cu) or with some (each.cu) share: how rows of each kind are read, and how
// their numbers meet those of a token. Each warp works on some rows at a time.

#define THREADS 256

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
            if (norm && i < width) all[j] = load_now((const float4*)(norm + i));
        }
    }
};

// What the norm leaves to multiply a token's products with; `squares` are the sums of its squares, one a warp.
DEVICE float norm_factor(const GemvArgs& a, const float* squares, u32 width) {
    if (!a.norm) return 1.f;
    float all = 0.f;
    for (u32 w = 0; w < blockDim.x / WARP; w++) all += squares[w];
    return rsqrtf(all / width + a.eps);
}

// `s` and the products of 16 bytes of a float row with their numbers of a token: `a`, and `b` where there are eight.
template <int K> DEVICE float add_products(const uint4& w, const float4& a, const float4& b, float s) {
    if (K == F32) {
        const float4 numbers = make_float4(__uint_as_float(w.x), __uint_as_float(w.y), __uint_as_float(w.z),
                                           __uint_as_float(w.w));
        return s + dot(numbers, a);
    }
    s = fmaf(K == F16 ? low_half(w.x) : low_bf16(w.x), a.x, s);
    s = fmaf(K == F16 ? high_half(w.x) : high_bf16(w.x), a.y, s);
    s = fmaf(K == F16 ? low_half(w.y) : low_bf16(w.y), a.z, s);
    s = fmaf(K == F16 ? high_half(w.y) : high_bf16(w.y), a.w, s);
    s = fmaf(K == F16 ? low_half(w.z) : low_bf16(w.z), b.x, s);
    s = fmaf(K == F16 ? high_half(w.z) : high_bf16(w.z), b.y, s);
    s = fmaf(K == F16 ? low_half(w.w) : low_bf16(w.w), b.z, s);
    return fmaf(K == F16 ? high_half(w.w) : high_bf16(w.w), b.w, s);
}

// `s` and the product of a chunk with 32 numbers of a token: `first` and `second` are the products of its halves without
// scales, `sum` points to the sum of the numbers, `half_sum` is that of the first 16.
template <int K>
DEVICE float add_chunk(const Chunk<K>& c, float first, float second, const float* sum, float half_sum, float s) {
    if (K == Q6 || K == Q3 || K == Q2) {
        s += two_products(first, chunk_scale<K>(c, 0), second, chunk_scale<K>(c, 1));
        if (K == Q2) s += two_products(half_sum, chunk_min<K>(c, 0), *sum - half_sum, chunk_min<K>(c, 1));
        return s;
    }
    s = fmaf(first + second, chunk_scale<K>(c, 0), s);
    return K == Q4 || K == Q5 ? fmaf(*sum, chunk_min<K>(c, 0), s) : s;
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
                const float4 b = K == F32 ? a : *(const float4*)(xs + unit * NUMBERS + 4);
#pragma unroll
                for (int r = 0; r < R; r++) acc[r] = add_products<K>(ahead[r][u], a, b, acc[r]);
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
                for (int r = 0; r < R; r++)
                    acc[r] = add_chunk<K>(ahead[r][u], dots[0][r], dots[1][r], sums + chunk, half_sum, acc[r]);
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

