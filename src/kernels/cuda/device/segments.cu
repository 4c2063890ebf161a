// Attention of image encoders: each query sees the patches of its segment, before and behind it.

struct SegmentRows {
    const void* q;        // [patches, heads, padded], times log2(e) / sqrt(dim)
    const void* keys;
    const void* values;
    const uint4* tiles;   // Of queries: the first one, their end, and the first and the end of the patches they see.
    u32 heads;
    u32 dim;
    u32 padded;
    u32 kind;             // Of `out`.
    void* out;            // [patches, heads, dim]
};

// A byte of a tile in shared memory: rows of DIM halves and, where that is an even number of sixteen bytes, sixteen
// more, so that eight rows of a column meet no bank twice.
template <int DIM> DEVICE u32 padded_at(u32 row, u32 sixteen) { return (row * (DIM / 8 | 1) + sixteen) * 16; }

// Attention by tensor cores (Dao, 2023, arXiv:2307.08691) over halves, DIM being what is `padded`. Block (tile of
// 64 · M queries, head), a warp 16 · M of them. Shared memory: the queries, keys and values of a tile, and the same
// for the next tile where there is more than one.
template <int DIM, int M> DEVICE void segments(const SegmentRows& a) {
    let_next_start();
    wait_for_previous();
    const uint4 tile = a.tiles[blockIdx.x];
    const u32 head = blockIdx.y, lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const u32 queries = shared_address(shared_memory);
    const u32 tile_bytes = padded_at<DIM>(KEYS, 0), pair = queries + M * tile_bytes;
    const u32 tiles = (tile.w - tile.z + KEYS - 1) / KEYS;

    auto load = [&](const void* from, u32 first, u32 count, u32 end, u32 to) {
        for (u32 i = threadIdx.x; i < count * (DIM / 8); i += FLASH_THREADS) {
            const u32 row = i / (DIM / 8), c = i % (DIM / 8);
            const bool there = first + row < end;
            const u64 at = ((u64)(there ? first + row : 0) * a.heads + head) * DIM + c * 8;
            copy_async(to + padded_at<DIM>(row, c), (const u16*)from + at, there);
        }
    };
    auto load_pair = [&](u32 t) {
        const u32 to = pair + t % 2 * 2 * tile_bytes;
        load(a.keys, tile.z + t * KEYS, KEYS, tile.w, to);
        load(a.values, tile.z + t * KEYS, KEYS, tile.w, to + tile_bytes);
        commit();
    };
    load(a.q, tile.x, M * QUERIES, tile.y, queries);
    load_pair(0);
    if (tiles > 1) {
        load_pair(1);
        wait_group<1>();
    } else {
        wait_group<0>();
    }
    __syncthreads();
    u32 q[M][DIM / 16][4];
    float out[M][DIM / 8][4], largest[M][2], sum[M][2];
#pragma unroll
    for (int m = 0; m < M; m++) {
#pragma unroll
        for (int k = 0; k < DIM / 16; k++)
            load_matrices(q[m][k], queries + padded_at<DIM>((warp * M + m) * 16 + lane % 16, k * 2 + lane / 16));
#pragma unroll
        for (int i = 0; i < DIM / 8; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) out[m][i][j] = 0.f;
        largest[m][0] = largest[m][1] = -INFINITE;
        sum[m][0] = sum[m][1] = 0.f;
    }

    for (u32 t = 0;; t++) {
        const u32 token = tile.z + t * KEYS, keys = pair + t % 2 * 2 * tile_bytes, values = keys + tile_bytes;
        float s[M][KEYS / 8][4];
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (int j = 0; j < 4; j++) s[m][n][j] = 0.f;
#pragma unroll
        for (int k = 0; k < DIM / 16; k++) {
#pragma unroll
            for (int n = 0; n < KEYS / 16; n++) {
                // Keys 16n .. 16n + 8 and .. + 16, dimensions 16k .. 16k + 8 and .. + 16.
                u32 b[4];
                load_matrices(b, keys + padded_at<DIM>(n * 16 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
#pragma unroll
                for (int m = 0; m < M; m++) {
                    multiply_halves(s[m][2 * n], q[m][k], b[0], b[1]);
                    multiply_halves(s[m][2 * n + 1], q[m][k], b[2], b[3]);
                }
            }
        }
        if (token + KEYS > tile.w) {
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    if (token + n * 8 + lane % 4 * 2 + j % 2 >= tile.w)
#pragma unroll
                        for (int m = 0; m < M; m++) s[m][n][j] = -INFINITE;
        }
        // Rows lane / 4 and lane / 4 + 8 of sixteen queries. Each tile has a key that is seen: `most` is finite.
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float most = largest[m][half];
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++)
                    most = fmaxf(most, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
                most = fmaxf(most, __shfl_xor_sync(FULL, most, 1));
                most = fmaxf(most, __shfl_xor_sync(FULL, most, 2));
                const float keep = exp2f(largest[m][half] - most);
                largest[m][half] = most;
                float all = 0.f;
#pragma unroll
                for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                    for (int j = 2 * half; j < 2 * half + 2; j++) {
                        s[m][n][j] = exp2f(s[m][n][j] - most);
                        all += s[m][n][j];
                    }
                sum[m][half] = sum[m][half] * keep + all;
#pragma unroll
                for (int i = 0; i < DIM / 8; i++) {
                    out[m][i][2 * half] *= keep;
                    out[m][i][2 * half + 1] *= keep;
                }
            }
#pragma unroll
        for (int n = 0; n < KEYS / 16; n++) {
            u32 p[M][4];
#pragma unroll
            for (int m = 0; m < M; m++) {
                p[m][0] = pack_half(s[m][2 * n][0], s[m][2 * n][1]);
                p[m][1] = pack_half(s[m][2 * n][2], s[m][2 * n][3]);
                p[m][2] = pack_half(s[m][2 * n + 1][0], s[m][2 * n + 1][1]);
                p[m][3] = pack_half(s[m][2 * n + 1][2], s[m][2 * n + 1][3]);
            }
#pragma unroll
            for (int i = 0; i < DIM / 16; i++) {
                // Keys 16n .. 16n + 8 and .. + 16 at dimensions 16i .. 16i + 8, then the same at the next eight.
                u32 b[4];
                load_transposed(b, values + padded_at<DIM>(n * 16 + lane % 16, i * 2 + lane / 16));
#pragma unroll
                for (int m = 0; m < M; m++) {
                    multiply_halves(out[m][2 * i], p[m], b[0], b[1]);
                    multiply_halves(out[m][2 * i + 1], p[m], b[2], b[3]);
                }
            }
        }
        if (t + 1 == tiles) break;
        // All warps are done with the pair whose place the one after the next takes.
        __syncthreads();
        if (t + 2 < tiles) {
            load_pair(t + 2);
            wait_group<1>();
        } else {
            wait_group<0>();
        }
        __syncthreads();
    }
#pragma unroll
    for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float all = sum[m][half];
            all += __shfl_xor_sync(FULL, all, 1);
            all += __shfl_xor_sync(FULL, all, 2);
            const float inverse = 1.f / all;
            const u32 query = tile.x + (warp * M + m) * 16 + lane / 4 + half * 8;
            if (query < tile.y) {
                const u64 to = ((u64)query * a.heads + head) * a.dim;
#pragma unroll
                for (int i = 0; i < DIM / 8; i++) {
                    const u32 d = i * 8 + lane % 4 * 2;
                    if (d >= a.dim) continue;
                    const float2 x = make_float2(out[m][i][2 * half] * inverse, out[m][i][2 * half + 1] * inverse);
                    if (a.kind == BF16) Few<BF16>::put(a.out, to + d, x);
                    else Few<F16>::put(a.out, to + d, x);
                }
            }
        }
}
#define SEGMENTS(DIM, M) \
    KERNEL(segments_##DIM##_##M, SegmentRows, __launch_bounds__(FLASH_THREADS)) { \
        segments<DIM, M>(a); \
    }
SEGMENTS(64, 1)
SEGMENTS(64, 2)
SEGMENTS(80, 1)
SEGMENTS(80, 2)
SEGMENTS(96, 1)
SEGMENTS(128, 1)

enum { PLAIN_QUERIES = 16, PLAIN_KEYS = 32, PLAIN_DIMS = 256 };

// The same over floats with plain arithmetic, for heads of up to 256 numbers. Block (tile of 16 queries, head), sixteen
// threads a query. Shared memory: [16 + 2 · 32, padded + 4] and [16, 32] floats.
DEVICE void plain_segments(const SegmentRows& a) {
    let_next_start();
    wait_for_previous();
    const uint4 tile = a.tiles[blockIdx.x];
    const u32 head = blockIdx.y, mine = threadIdx.x / 16, lane = threadIdx.x % 16;
    // An odd number of sixteen bytes: rows of a column lie in different banks.
    const u32 stride = a.padded + 4, fours = a.padded / 4;
    float* q = (float*)shared_memory;
    float* keys = q + PLAIN_QUERIES * stride;
    float* values = keys + PLAIN_KEYS * stride;
    float* p = values + PLAIN_KEYS * stride;
    auto load = [&](const void* from, u32 first, u32 count, u32 end, float* to) {
        for (u32 i = threadIdx.x; i < count * fours; i += blockDim.x) {
            const u32 row = i / fours, c = i % fours * 4;
            float4 x = make_float4(0.f, 0.f, 0.f, 0.f);
            if (first + row < end)
                x = *(const float4*)((const float*)from + ((u64)(first + row) * a.heads + head) * a.padded + c);
            *(float4*)(to + row * stride + c) = x;
        }
    };
    load(a.q, tile.x, PLAIN_QUERIES, tile.y, q);
    float acc[PLAIN_DIMS / 16], largest = -INFINITE, sum = 0.f;
#pragma unroll
    for (int j = 0; j < PLAIN_DIMS / 16; j++) acc[j] = 0.f;
    for (u32 token = tile.z; token < tile.w; token += PLAIN_KEYS) {
        __syncthreads();
        load(a.keys, token, PLAIN_KEYS, tile.w, keys);
        load(a.values, token, PLAIN_KEYS, tile.w, values);
        __syncthreads();
        float s[2];
#pragma unroll
        for (int j = 0; j < 2; j++) {
            const float* k = keys + (lane + 16 * j) * stride;
            s[j] = 0.f;
            for (u32 c = 0; c < a.padded; c += 4) {
                const float4 x = *(const float4*)(q + mine * stride + c), y = *(const float4*)(k + c);
                s[j] += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
            }
            if (token + lane + 16 * j >= tile.w) s[j] = -INFINITE;
        }
        float most = fmaxf(largest, fmaxf(s[0], s[1]));
#pragma unroll
        for (int d = 8; d > 0; d /= 2) most = fmaxf(most, __shfl_xor_sync(FULL, most, d));
        const float keep = exp2f(largest - most);
        largest = most;
        float all = 0.f;
#pragma unroll
        for (int j = 0; j < 2; j++) {
            s[j] = exp2f(s[j] - most);
            all += s[j];
            p[mine * PLAIN_KEYS + lane + 16 * j] = s[j];
        }
#pragma unroll
        for (int d = 8; d > 0; d /= 2) all += __shfl_xor_sync(FULL, all, d);
        sum = sum * keep + all;
        // A query's threads are of one warp.
        __syncwarp();
#pragma unroll
        for (int j = 0; j < PLAIN_DIMS / 16; j++) acc[j] *= keep;
        for (u32 k = 0; k < PLAIN_KEYS; k++) {
            const float weight = p[mine * PLAIN_KEYS + k];
#pragma unroll
            for (int j = 0; j < PLAIN_DIMS / 16; j++)
                if (lane + 16 * j < a.padded) acc[j] += weight * values[k * stride + lane + 16 * j];
        }
    }
    if (tile.x + mine >= tile.y) return;
    const u64 to = ((u64)(tile.x + mine) * a.heads + head) * a.dim;
#pragma unroll
    for (int j = 0; j < PLAIN_DIMS / 16; j++) {
        const u32 d = lane + 16 * j;
        if (d >= a.dim) continue;
        const float x = acc[j] / sum;
        if (a.kind == F32) ((float*)a.out)[to + d] = x;
        else if (a.kind == F16) ((u16*)a.out)[to + d] = Number<F16>::make(x);
        else ((u16*)a.out)[to + d] = Number<BF16>::make(x);
    }
}
KERNEL(segments_plain, SegmentRows, __launch_bounds__(256)) {
    plain_segments(a);
}
