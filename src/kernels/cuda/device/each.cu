// A matrix times some tokens, one of each of several sequences: a block reads each weight once for all of its tokens.
//
// A token's result is that of gemv.cu, to the last bit, whatever its company: the lanes are the same, as many warps share
// a row, each sum is made in the same order, and `product` and `fmaf` say how it is rounded.

enum { TOGETHER = 8 };  // Tokens of a block at most, as the host has it.

struct EachArgs {
    GemvArgs one;   // `x`, `out` and `residual` are those of the first token.
    u32 tokens;
    u32 each;       // Of which a block takes so many; gridDim.x blocks take all.
    u32 stride;     // Numbers from one token's result to the next one's.
};

// The tokens of this block. Blocks of other tokens that read the same weights are its neighbours: one reads them from
// memory, the others from the cache.
struct Company {
    u32 first, count;
    DEVICE Company(const EachArgs& e) {
        first = blockIdx.x * e.each;
        count = min(e.each, e.tokens - first);
    }
};

// Gives x · norm of the block's tokens to `put(token, i, four numbers)`: of all i below `end`, 0 behind the width. What
// the norm leaves is in `squares`, [TOGETHER, warps], once the block has met.
template <class Put>
DEVICE void stage_each(const EachArgs& e, const Company& company, const Gains& gains, u32 end, float* squares,
                       const Put& put) {
    const GemvArgs& a = e.one;
    const u32 width = a.parts[0].width, step = blockDim.x * 4;
    const float* x = a.x + (u64)company.first * width;
    float sums[TOGETHER];
#pragma unroll
    for (int m = 0; m < TOGETHER; m++) sums[m] = 0.f;
    for (u32 first = threadIdx.x * 4; first < end; first += GAINS * step) {
        float4 all[GAINS][TOGETHER];
#pragma unroll
        for (int j = 0; j < GAINS; j++) {
            const u32 i = first + j * step;
#pragma unroll
            for (int m = 0; m < TOGETHER; m++)
                all[j][m] = m < company.count && i < width ? *(const float4*)(x + (u64)m * width + i)
                                                           : make_float4(0.f, 0.f, 0.f, 0.f);
        }
#pragma unroll
        for (int j = 0; j < GAINS; j++) {
            const u32 i = first + j * step;
            if (i >= end) break;
            const bool normed = a.norm && i < width;
            float4 n;
            if (normed) n = first == threadIdx.x * 4 ? gains.all[j] : __ldg((const float4*)(a.norm + i));
#pragma unroll
            for (int m = 0; m < TOGETHER; m++) {
                if (m >= company.count) break;
                float4 v = all[j][m];
                sums[m] += dot(v, v);
                if (normed) {
                    v.x = product(v.x, n.x);
                    v.y = product(v.y, n.y);
                    v.z = product(v.z, n.z);
                    v.w = product(v.w, n.w);
                }
                put(m, i, v);
            }
        }
    }
    if (!a.norm) return;
#pragma unroll
    for (int m = 0; m < TOGETHER; m++) {
        sums[m] = warp_sum(sums[m]);
        if (threadIdx.x % WARP == 0) squares[m * (THREADS / WARP) + threadIdx.x / WARP] = sums[m];
    }
}

// The sums over a warp of N numbers a lane, a power of two: lane i has that of number i % N. Each is made as `warp_sum`
// makes it: of the same pairs, which of them comes first does not matter.
template <int N> DEVICE float sums_of(float* x) {
#pragma unroll
    for (int d = WARP / 2; d > 0; d /= 2) {
        const bool upper = threadIdx.x & d;
#pragma unroll
        for (int i = 0; i < (d < N ? d : N); i++) {
            if (d >= N) {
                x[i] += __shfl_xor_sync(FULL, x[i], d);
                continue;
            }
            const float keep = upper ? x[i + d] : x[i], give = upper ? x[i] : x[i + d];
            x[i] = keep + __shfl_xor_sync(FULL, give, d);
        }
    }
    return x[0];
}

// As `products` of the rows, for `count` tokens whose numbers lie `stride` apart: `acc` is [tokens, R].
template <int K, int R, int U>
DEVICE void products_each(FloatRows<K, R, U>& w, const float* xs, u32 stride, const float*, u32 count, u32 width, u32 part,
                          u32 parts, float* acc) {
    const int numbers = FloatRows<K, R, U>::NUMBERS;
    const u32 units = width / numbers, steps = (units + WARP - 1) / WARP;
    for (u32 step = part; step < steps; step += U * parts) {
        if (step != part) w.load(step, parts, width);
#pragma unroll
        for (int u = 0; u < U; u++) {
            const u32 unit = (step + u * parts) * WARP + threadIdx.x % WARP;
            if (unit >= units) continue;
            const float* x = xs + unit * numbers;
#pragma unroll
            for (int m = 0; m < TOGETHER; m++) {
                if (m >= count) break;
                const float4 a = *(const float4*)(x + m * stride);
                const float4 b = K == F32 ? a : *(const float4*)(x + m * stride + 4);
#pragma unroll
                for (int r = 0; r < R; r++)
                    acc[m * R + r] = add_products<K>(w.ahead[r][u], a, b, acc[m * R + r]);
            }
        }
    }
}

// Word G of the chunks meets all tokens.
template <int G, int K, int R, int U>
DEVICE void word_each(const ChunkRows<K, R, U>& w, int u, const float* x, u32 stride, u32 count, float* dots) {
    float numbers[R][4];
#pragma unroll
    for (int r = 0; r < R; r++) words_to_floats<K, G>(w.ahead[r][u], numbers[r]);
#pragma unroll
    for (int m = 0; m < TOGETHER; m++) {
        if (m >= count) break;
        const float4 a = *(const float4*)(x + m * stride + 4 * G);
#pragma unroll
        for (int r = 0; r < R; r++) {
            float s = dots[m * R + r];
            s = fmaf(numbers[r][0], a.x, s);
            s = fmaf(numbers[r][1], a.y, s);
            s = fmaf(numbers[r][2], a.z, s);
            dots[m * R + r] = fmaf(numbers[r][3], a.w, s);
        }
    }
}
template <int K, int R, int U>
DEVICE void products_each(ChunkRows<K, R, U>& w, const float* xs, u32 stride, const float* sums, u32 count, u32 width,
                          u32 part, u32 parts, float* acc) {
    const u32 chunks = width / 32, steps = (chunks + WARP - 1) / WARP;
    for (u32 step = part; step < steps; step += U * parts) {
        if (step != part) w.load(step, parts, width);
#pragma unroll
        for (int u = 0; u < U; u++) {
            const u32 chunk = (step + u * parts) * WARP + threadIdx.x % WARP;
            if (chunk >= chunks) continue;
            const float* x = xs + chunk * 36;
            float first[TOGETHER * R], second[TOGETHER * R];
#pragma unroll
            for (int i = 0; i < TOGETHER * R; i++) first[i] = second[i] = 0.f;
            word_each<0>(w, u, x, stride, count, first);
            word_each<1>(w, u, x, stride, count, first);
            word_each<2>(w, u, x, stride, count, first);
            word_each<3>(w, u, x, stride, count, first);
            word_each<4>(w, u, x, stride, count, second);
            word_each<5>(w, u, x, stride, count, second);
            word_each<6>(w, u, x, stride, count, second);
            word_each<7>(w, u, x, stride, count, second);
#pragma unroll
            for (int m = 0; m < TOGETHER; m++) {
                if (m >= count) break;
                float half_sum = 0.f;
                if (K == Q2) {
                    for (int i = 0; i < 16; i++) half_sum += x[m * stride + i];
                }
#pragma unroll
                for (int r = 0; r < R; r++) {
                    const int i = m * R + r;
                    acc[i] = add_chunk<K>(w.ahead[r][u], first[i], second[i], sums + m * chunks + chunk, half_sum, acc[i]);
                }
            }
        }
    }
}

// A product of R rows at a time with the block's tokens. `begin(rows, group)` loads the rows of a group, of which there
// are `groups`; `end(group, lane, sum)` has a lane finish the sum that it holds, of token lane / R and row lane % R.
template <int K, int R, int U, class Begin, class End>
DEVICE void multiply_each(const EachArgs& e, const Company& company, u32 groups, u32 block, u32 blocks, const Begin& begin,
                          const End& end) {
    enum { SUMS = R * TOGETHER };
    const GemvArgs& a = e.one;
    const bool floats = K <= BF16;
    const u32 width = a.parts[0].width, chunks = floats ? 0 : width / 32;
    const u32 stride = floats ? width : chunks * 36;
    const u32 warp = threadIdx.x / WARP, warps = THREADS / WARP, lane = threadIdx.x % WARP;
    float* xs = (float*)shared_memory;               // [each, stride]
    float* sums = xs + e.each * stride;              // [each, chunks]
    float* squares = sums + e.each * chunks;         // [TOGETHER, warps]
    float* shares = squares + TOGETHER * warps;      // [warps, SUMS]
    const u32 together = warps / a.split, part = warp % a.split, mine = warp / a.split;
    Rows<K, R, U> rows;
    u32 first = block * together;
    if (first < groups) begin(rows, first + mine, part);
    Gains gains;
    gains.load(a.norm, width);
    wait_for_previous();
    stage_each(e, company, gains, width, squares, [&](u32 m, u32 i, const float4& v) {
        *(float4*)(xs + m * stride + place<K>(i)) = v;
        if (K == Q4 || K == Q5 || K == Q2) {
            // Eight neighbours hold the 32 numbers of a chunk.
            float s = v.x + v.y + v.z + v.w;
            const u32 mask = 0xffu << (threadIdx.x % WARP & 24);
            s += __shfl_xor_sync(mask, s, 1);
            s += __shfl_xor_sync(mask, s, 2);
            s += __shfl_xor_sync(mask, s, 4);
            if (threadIdx.x % 8 == 0) sums[m * chunks + i / 32] = s;
        }
    });
    __syncthreads();
    const float factor = norm_factor(a, squares + lane % SUMS / R * warps, width);
    for (; first < groups; first += blocks * together) {
        const u32 group = first + mine;
        float acc[SUMS];
#pragma unroll
        for (int i = 0; i < SUMS; i++) acc[i] = 0.f;
        products_each(rows, xs, stride, sums, company.count, width, part, a.split, acc);
        if (first + blocks * together < groups) begin(rows, group + blocks * together, part);
        float sum = sums_of<SUMS>(acc);
        if (a.split > 1) {
            if (lane < SUMS) shares[warp * SUMS + lane] = sum;
            __syncthreads();
            if (part == 0)
                for (u32 p = 1; p < a.split; p++) sum += shares[(warp + p) * SUMS + lane % SUMS];
            __syncthreads();
        }
        if (part == 0) end(group, lane, product(sum, factor));
    }
}

// As `gemv`, for the block's tokens.
template <int K, int R, int U>
DEVICE void gemv_each(const EachArgs& e, u32 from, u32 to, u32 out, u32 block, u32 blocks) {
    let_next_start();
    const GemvArgs& a = e.one;
    const Company company(e);
    u32 all = 0;
    for (u32 p = from; p < to; p++) all += a.parts[p].rows;
    auto begin = [&](Rows<K, R, U>& rows, u32 group, u32 part) {
        Matrix m[R];
        u32 r[R];
#pragma unroll
        for (int i = 0; i < R; i++) {
            u32 row = min(group * R + i, all - 1);
            m[i] = a.parts[part_of(a, from, to, row)];
            r[i] = row + m[i].first;
        }
        rows.begin(m, r, part, a.split);
    };
    auto end = [&](u32 group, u32 lane, float sum) {
        const u32 m = lane / R, index = group * R + lane % R;
        if (m >= company.count || index >= all) return;
        u32 row = index;
        const u32 p = part_of(a, from, to, row);
        const u64 at = (u64)(company.first + m) * e.stride + out + index;
        if (a.bias[p]) sum += __ldg(a.bias[p] + row);
        if (a.residual) sum += a.residual[at];
        a.out[at] = sum;
    };
    multiply_each<K, R, U>(e, company, (all + R - 1) / R, block, blocks, begin, end);
}

// As `swiglu`, for the block's tokens: R rows of gate and up each at a time.
template <int K, int R, int U> DEVICE void swiglu_each(const EachArgs& e) {
    let_next_start();
    const GemvArgs& a = e.one;
    const Company company(e);
    const u32 all = a.parts[0].rows;
    auto begin = [&](Rows<K, 2 * R, U>& rows, u32 group, u32 part) {
        Matrix m[2 * R];
        u32 r[2 * R];
#pragma unroll
        for (int i = 0; i < 2 * R; i++) {
            m[i] = a.parts[i % 2];
            r[i] = min(group * R + i / 2, all - 1) + m[i].first;
        }
        rows.begin(m, r, part, a.split);
    };
    auto end = [&](u32 group, u32 lane, float sum) {
        // Its neighbour has the other one of gate and up.
        const u32 m = lane / (2 * R), row = group * R + lane % (2 * R) / 2;
        const bool there = m < company.count && row < all;
        if (there && a.bias[lane % 2]) sum += __ldg(a.bias[lane % 2] + row);
        const float up = __shfl_xor_sync(FULL, sum, 1);
        if (there && lane % 2 == 0) a.out[(u64)(company.first + m) * e.stride + row] = silu(sum) * up;
    };
    multiply_each<K, 2 * R, U>(e, company, (all + R - 1) / R, blockIdx.y, gridDim.y, begin, end);
}

#define EACH(name, K, R, U) \
    KERNEL(gemv_each_##name, EachArgs, __launch_bounds__(THREADS, 2)) { \
        gemv_each<K, R, U>(a, 0, a.one.n_parts, 0, blockIdx.y, gridDim.y); \
    } \
    KERNEL(swiglu_each_##name, EachArgs, __launch_bounds__(THREADS, 2)) { \
        swiglu_each<K, R / 2, U>(a); \
    }
EACH(f32, F32, 4, 2)
EACH(f16, F16, 4, 2)
EACH(bf16, BF16, 4, 2)
EACH(q8, Q8, 2, 1)
EACH(q4, Q4, 2, 1)
EACH(q5, Q5, 2, 1)
EACH(q6, Q6, 2, 1)
EACH(q3, Q3, 2, 1)
EACH(q2, Q2, 2, 1)

// As `gemv_mixed`.
struct MixedEachArgs {
    EachArgs each;
    u32 blocks[MOST_PARTS];
};
KERNEL(gemv_each_mixed, MixedEachArgs, __launch_bounds__(THREADS, 2)) {
    const GemvArgs& one = a.each.one;
    u32 p = 0, block = blockIdx.y, out = 0;
    while (p + 1 < one.n_parts && block >= a.blocks[p]) {
        block -= a.blocks[p];
        out += one.parts[p++].rows;
    }
    switch (one.parts[p].kind) {
        case Q8: return gemv_each<Q8, 2, 1>(a.each, p, p + 1, out, block, a.blocks[p]);
        case Q4: return gemv_each<Q4, 2, 1>(a.each, p, p + 1, out, block, a.blocks[p]);
        case Q5: return gemv_each<Q5, 2, 1>(a.each, p, p + 1, out, block, a.blocks[p]);
        case Q6: return gemv_each<Q6, 2, 1>(a.each, p, p + 1, out, block, a.blocks[p]);
        case Q3: return gemv_each<Q3, 2, 1>(a.each, p, p + 1, out, block, a.blocks[p]);
        case Q2: return gemv_each<Q2, 2, 1>(a.each, p, p + 1, out, block, a.blocks[p]);
    }
}
