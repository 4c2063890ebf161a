// A matrix of 16-bit numbers times one token, by tensor cores: sixteen rows of numbers meet the token in one instruction
// where plain arithmetic takes fifty, so that little time passes between the arrival of the weights and the result.
// (Where a matrix is so large that this does not count, whole rows a warp read memory faster: gemv.)
//
// The token's numbers are split into a high and a low part of the matrix's type, which are two columns of the
// instruction's second operand: a product is as exact as one with floats. A tile is eight rows. Its sixteen rows of the
// first operand are the first halves of these and their second halves, which meet two columns each; or, for gate and up,
// eight rows of both.

template <int K> DEVICE void tile_product(float* c, const u32* a, u32 b0, u32 b1) {
    if (K == F16) multiply_halves(c, a, b0, b1);
    else multiply_bf16(c, a, b0, b1);
}
template <int K> DEVICE u32 pack(float low, float high) { return K == F16 ? pack_half(low, high) : pack_bf16(low, high); }
template <int K> DEVICE float low_of(u32 x) { return K == F16 ? low_half(x) : low_bf16(x); }
template <int K> DEVICE float high_of(u32 x) { return K == F16 ? high_half(x) : high_bf16(x); }

// Bytes from one part of the staged token, of so many numbers, to the next: lanes that read two parts together meet
// different banks.
DEVICE u32 part_bytes(u32 numbers) { return (numbers * 2 + 127) / 128 * 128 + 64; }

// Puts numbers i .. i + 4 of a token where they belong, as a high and a low part each.
template <int K> DEVICE void put_parts(u8* xs, u32 stride, u32 numbers, u32 i, const float4& v) {
    const u32 h0 = pack<K>(v.x, v.y), h1 = pack<K>(v.z, v.w);
    const u32 l0 = pack<K>(v.x - low_of<K>(h0), v.y - high_of<K>(h0));
    const u32 l1 = pack<K>(v.z - low_of<K>(h1), v.w - high_of<K>(h1));
    u8* to = i < numbers ? xs + i * 2 : xs + 2 * stride + (i - numbers) * 2;
    *(uint2*)to = make_uint2(h0, h1);
    *(uint2*)(to + stride) = make_uint2(l0, l1);
}

// Brings x · norm into shared memory: `halves` runs of `numbers` numbers (a multiple of 32; what is past the width is 0),
// each as a high and a low part. Returns what the products still have to be multiplied with.
template <int K>
DEVICE float stage_parts(const GemvArgs& a, const Gains& gains, u32 width, u32 numbers, u32 halves, u8* xs,
                         float* scratch) {
    const u32 stride = part_bytes(numbers), step = blockDim.x * 4, end = numbers * halves;
    float squares = 0.f;
    for (u32 first = threadIdx.x * 4; first < end; first += STAGED * step) {
        float4 all[STAGED];
#pragma unroll
        for (int j = 0; j < STAGED; j++) {
            const u32 i = first + j * step;
            all[j] = i < width ? *(const float4*)(a.x + i) : make_float4(0.f, 0.f, 0.f, 0.f);
        }
#pragma unroll
        for (int j = 0; j < STAGED; j++) {
            const u32 i = first + j * step;
            if (i >= end) break;
            float4 v = all[j];
            squares += dot(v, v);
            if (a.norm && i < width) {
                const bool known = j < GAINS && first == threadIdx.x * 4;
                const float4 n = known ? gains.all[j < GAINS ? j : 0] : __ldg((const float4*)(a.norm + i));
                v.x = product(v.x, n.x);
                v.y = product(v.y, n.y);
                v.z = product(v.z, n.z);
                v.w = product(v.w, n.w);
            }
            put_parts<K>(xs, stride, numbers, i, v);
        }
    }
    if (a.norm) {
        squares = warp_sum(squares);
        if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = squares;
    }
    __syncthreads();
    if (!a.norm) return 1.f;
    float all = 0.f;
#pragma unroll
    for (u32 w = 0; w < THREADS / WARP; w++) all += scratch[w];
    return rsqrtf(all / width + a.eps);
}

// A warp's share of a tile: steps of 32 numbers, of which the first U are loaded ahead.
template <int K, int U> struct Tile {
    uint4 upper[U], lower[U];
    const u8* row[2];
    u32 left[2];  // Numbers of either row.

    // Row `index` of part `p`, in halves of so many `numbers`; or those of gate and up.
    template <bool PAIRS> DEVICE void begin(const GemvArgs& a, u32 p, u32 index, u32 width, u32 numbers) {
        if (PAIRS) {
#pragma unroll
            for (int i = 0; i < 2; i++) {
                row[i] = a.parts[i].data + (u64)(index + a.parts[i].first) * width * 2;
                left[i] = width;
            }
        } else {
            const Matrix& m = a.parts[p];
            row[0] = m.data + (u64)(index + m.first) * width * 2;
            row[1] = row[0] + numbers * 2;
            left[0] = min(numbers, width);
            left[1] = width - left[0];
        }
    }
    DEVICE void load(u32 from, u32 end) {
        const u32 k = threadIdx.x % 4 * 8;
#pragma unroll
        for (int u = 0; u < U; u++) {
            const u32 at = (from + u) * 32 + k;
            const bool mine = from + u < end;
            upper[u] = mine && at < left[0] ? load16(row[0] + at * 2) : make_uint4(0, 0, 0, 0);
            lower[u] = mine && at < left[1] ? load16(row[1] + at * 2) : make_uint4(0, 0, 0, 0);
        }
    }
    // `x` is where this lane's column of the token begins, or null where it is 0.
    DEVICE void products(const u8* x, u32 from, u32 end, float* c) {
        const u32 k = threadIdx.x % 4 * 16;
        for (u32 step = from; step < end; step += U) {
            if (step != from) load(step, end);
#pragma unroll
            for (int u = 0; u < U; u++) {
                if (step + u >= end) break;
                const uint4 b = x ? *(const uint4*)(x + (step + u) * 64 + k) : make_uint4(0, 0, 0, 0);
                multiply(u, b, c);
            }
        }
    }
    // Step u of those that are loaded, with the numbers `b` of this lane's column.
    DEVICE void multiply(int u, const uint4& b, float* c) const {
        const u32 first[4] = {upper[u].x, lower[u].x, upper[u].y, lower[u].y};
        tile_product<K>(c, first, b.x, b.y);
        const u32 second[4] = {upper[u].z, lower[u].z, upper[u].w, lower[u].w};
        tile_product<K>(c, second, b.z, b.w);
    }
};

// `split` warps share a tile: each takes steps that lie together, and their sums meet in shared memory. PAIRS: out =
// silu(part 0 · x) * (part 1 · x).
template <int K, int U, bool PAIRS> DEVICE void tiles(const GemvArgs& a) {
    let_next_start();
    const u32 width = a.parts[0].width;
    const u32 numbers = PAIRS ? (width + 31) / 32 * 32 : (width / 2 + 31) / 32 * 32;
    u8* xs = (u8*)shared_memory;
    float* scratch = (float*)(xs + (PAIRS ? 2 : 4) * part_bytes(numbers));  // [warps]
    float* sums = scratch + THREADS / WARP;                                  // [warps, 16]
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
        bias[0] = bias[1] = 0.f;
        const u32 p = PAIRS ? 0 : part_of(a, 0, a.n_parts, row);
        tile.template begin<PAIRS>(a, p, row, width, numbers);
        tile.load(from, end);
        if (part == 0 && t == 0) {
            u32 own = min(index * 8 + g, all - 1);
            const u32 p = PAIRS ? 0 : part_of(a, 0, a.n_parts, own);
            if (a.bias[p]) bias[0] = __ldg(a.bias[p] + own);
            if (PAIRS && a.bias[1]) bias[1] = __ldg(a.bias[1] + own);
        }
    };
    u32 first = blockIdx.x * together;
    if (first < count) begin(first + mine);
    Gains gains;
    gains.load(a.norm, width);
    wait_for_previous();
    const u32 row = (first + mine) * 8 + g;
    float before = a.residual && part == 0 && t == 0 && row < all ? a.residual[row] : 0.f;
    const float factor = stage_parts<K>(a, gains, width, numbers, PAIRS ? 1 : 2, xs, scratch);
    const u8* x = g < (PAIRS ? 2 : 4) ? xs + g * part_bytes(numbers) : 0;
    for (; first < count; first += gridDim.x * together) {
        float c[4] = {0.f, 0.f, 0.f, 0.f};
        tile.products(x, from, end, c);
        const float known[2] = {bias[0], bias[1]};
        const u32 next = first + gridDim.x * together;
        if (next < count) begin(next + mine);
        // The row's sum, or gate's and up's, in the lane of t = 0.
        float one, two = 0.f;
        if (PAIRS) {
            one = c[0] + c[1];
            two = c[2] + c[3];
        } else {
            one = t == 0 ? c[0] + c[1] : c[2] + c[3];
            one += __shfl_down_sync(FULL, one, 1);
        }
        if (t == 0) {
            sums[warp * 16 + g] = one;
            if (PAIRS) sums[warp * 16 + 8 + g] = two;
        }
        __syncthreads();
        const u32 to = (first + mine) * 8 + g;
        if (part == 0 && t == 0 && to < all) {
            for (u32 p = 1; p < a.split; p++) {
                one += sums[(warp + p) * 16 + g];
                if (PAIRS) two += sums[(warp + p) * 16 + 8 + g];
            }
            one = fmaf(one, factor, known[0]);
            if (PAIRS) a.out[to] = silu(one) * fmaf(two, factor, known[1]);
            else a.out[to] = one + before;
        }
        if (next >= count) break;
        __syncthreads();
        const u32 row = (next + mine) * 8 + g;
        before = a.residual && part == 0 && t == 0 && row < all ? a.residual[row] : 0.f;
    }
}

#define TILES(name, K) \
    KERNEL(tiles_##name, GemvArgs, __launch_bounds__(THREADS, 2)) { \
        tiles<K, 8, false>(a); \
    } \
    KERNEL(tile_pairs_##name, GemvArgs, __launch_bounds__(THREADS, 2)) { \
        tiles<K, 8, true>(a); \
    }
TILES(f16, F16)
TILES(bf16, BF16)
