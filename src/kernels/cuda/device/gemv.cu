// A matrix times one token: y = W · x + b.

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
            squares += dot(v, v);
            if (a.norm) {
                const bool known = j < GAINS && first == threadIdx.x * 4;
                const float4 n = known ? gains.all[j < GAINS ? j : 0] : __ldg((const float4*)(a.norm + i));
                v.x = product(v.x, n.x);
                v.y = product(v.y, n.y);
                v.z = product(v.z, n.z);
                v.w = product(v.w, n.w);
            }
            *(float4*)(xs + place<K>(i)) = v;
            if (K == Q4 || K == Q5 || K == Q2) {
                // Eight neighbours hold the 32 numbers of a chunk.
                float s = v.x + v.y + v.z + v.w;
                const u32 mask = 0xffu << (threadIdx.x % WARP & 24);
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
    return norm_factor(a, scratch, width);
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
            sum = product(sum, factor);
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
            gate = product(gate, factor);
            up = product(up, factor);
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
