// A matrix of 16-bit numbers times some tokens, by tensor cores: as tiles.cu, whose one token takes four of the eight
// columns of an instruction's second operand, or two for gate and up. Here its neighbours take the others, and what is
// loaded of the matrix meets as many instructions as all of them need.
//
// That a token's result is that of tiles.cu, to the last bit, rests on what the hardware is known to do and NVIDIA does
// not promise: a column of the result depends on its own column of the operand alone, wherever that stands.

template <int K, int U, bool PAIRS> DEVICE void tiles_each(const EachArgs& e) {
    enum {
        PARTS = PAIRS ? 2 : 4,        // Columns of a token,
        AT_ONCE = 8 / PARTS,          // tokens of an instruction,
        SETS = TOGETHER / AT_ONCE,    // and instructions for all.
        WARPS = THREADS / WARP,
    };
    let_next_start();
    const GemvArgs& a = e.one;
    const Company company(e);
    const u32 width = a.parts[0].width;
    const u32 numbers = PAIRS ? (width + 31) / 32 * 32 : (width / 2 + 31) / 32 * 32;
    const u32 column = part_bytes(numbers);
    u8* xs = (u8*)shared_memory;                                    // [each, PARTS] columns
    float* squares = (float*)(xs + e.each * PARTS * column);        // [TOGETHER, warps]
    float* sums = squares + TOGETHER * WARPS;                       // [warps, TOGETHER, 2, 8]
    const u32 warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    u32 all = 0;
    if (PAIRS) all = a.parts[0].rows;
    else for (u32 p = 0; p < a.n_parts; p++) all += a.parts[p].rows;
    const u32 count = (all + 7) / 8;
    // The split is 4 or 8.
    const u32 together = a.split == 4 ? 2 : 1, mine = a.split == 4 ? warp / 4 : 0, part = warp - mine * a.split;
    const u32 steps = numbers / 32, share = a.split == 4 ? (steps + 3) / 4 : (steps + 7) / 8;
    const u32 from = min(part * share, steps), end = min(from + share, steps);
    Tile<K, U> tile;
    float bias[2];
    auto begin = [&](u32 index) {
        u32 row = min(index * 8 + g, all - 1);
        const u32 own = row;
        const u32 p = PAIRS ? 0 : part_of(a, 0, a.n_parts, row);
        tile.template begin<PAIRS>(a, p, row, width, numbers);
        tile.load(from, end);
        bias[0] = bias[1] = 0.f;
        if (part == 0) {
            if (a.bias[p]) bias[0] = __ldg(a.bias[p] + (PAIRS ? own : row));
            if (PAIRS && a.bias[1]) bias[1] = __ldg(a.bias[1] + own);
        }
    };
    u32 first = blockIdx.y * together;
    if (first < count) begin(first + mine);
    Gains gains;
    gains.load(a.norm, width);
    wait_for_previous();
    stage_each(e, company, gains, numbers * (PAIRS ? 1 : 2), squares, [&](u32 m, u32 i, const float4& v) {
        put_parts<K>(xs + m * PARTS * column, column, numbers, i, v);
    });
    __syncthreads();
    float factors[2];
#pragma unroll
    for (int j = 0; j < 2; j++) factors[j] = norm_factor(a, squares + (t + 4 * j) * WARPS, width);
    for (; first < count; first += gridDim.y * together) {
        float c[SETS][4];
#pragma unroll
        for (int s = 0; s < SETS; s++) c[s][0] = c[s][1] = c[s][2] = c[s][3] = 0.f;
        for (u32 step = from; step < end; step += U) {
            if (step != from) tile.load(step, end);
#pragma unroll
            for (int u = 0; u < U; u++) {
                if (step + u >= end) break;
#pragma unroll
                for (int s = 0; s < SETS; s++) {
                    if (s * AT_ONCE >= company.count) break;
                    const bool there = s * AT_ONCE + g / PARTS < company.count;
                    const u8* x = xs + (s * 8 + g) * column + (step + u) * 64 + t * 16;
                    tile.multiply(u, there ? *(const uint4*)x : make_uint4(0, 0, 0, 0), c[s]);
                }
            }
        }
        const float known[2] = {bias[0], bias[1]};
        const u32 next = first + gridDim.y * together;
        if (next < count) begin(next + mine);
#pragma unroll
        for (int s = 0; s < SETS; s++) {
            if (s * AT_ONCE >= company.count) break;
            // The row's sum of a token in one lane; of gate and up in every lane.
            float one = PAIRS || t % 2 == 0 ? c[s][0] + c[s][1] : c[s][2] + c[s][3];
            const float two = c[s][2] + c[s][3];
            if (!PAIRS) one += __shfl_down_sync(FULL, one, 1);
            const u32 m = s * AT_ONCE + (PAIRS ? t : t / 2);
            float* to = sums + (warp * TOGETHER + m) * 16 + g;
            if (PAIRS || t % 2 == 0) to[0] = one;
            if (PAIRS) to[8] = two;
        }
        __syncthreads();
        const u32 row = (first + mine) * 8 + g;
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const u32 m = t + 4 * j;
            if (part != 0 || m >= company.count || row >= all) continue;
            const float* shares = sums + (warp * TOGETHER + m) * 16 + g;
            float one = shares[0], two = PAIRS ? shares[8] : 0.f;
            for (u32 p = 1; p < a.split; p++) {
                one += shares[p * TOGETHER * 16];
                if (PAIRS) two += shares[p * TOGETHER * 16 + 8];
            }
            one = fmaf(one, factors[j], known[0]);
            const u64 at = (u64)(company.first + m) * e.stride + row;
            if (PAIRS) a.out[at] = silu(one) * fmaf(two, factors[j], known[1]);
            else a.out[at] = one + (a.residual ? a.residual[at] : 0.f);
        }
        __syncthreads();
    }
}

#define TILES_EACH(name, K) \
    KERNEL(tiles_each_##name, EachArgs, __launch_bounds__(THREADS, 2)) { \
        tiles_each<K, 4, false>(a); \
    } \
    KERNEL(tile_pairs_each_##name, EachArgs, __launch_bounds__(THREADS, 2)) { \
        tiles_each<K, 4, true>(a); \
    }
TILES_EACH(f16, F16)
TILES_EACH(bf16, BF16)
