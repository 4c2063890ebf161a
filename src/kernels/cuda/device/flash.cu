// Attention of many tokens over a cache of halves, by tensor cores (Dao, 2023, arXiv:2307.08691).

struct FlashArgs {
    const u16* q;       // [tokens, heads, DIM], rotated, scaled by log2(e) / sqrt(DIM)
    const u16* keys;    // [.., kv_heads, DIM]
    const u16* values;
    u32 tokens, cached;
    u32 heads, kv_heads;
    u32 window;         // 0: all are seen.
    u16* out;           // [tokens, heads, DIM]
    u32 bf16;           // Whether `out` is of bf16, not of halves.
};

enum { QUERIES = 64, KEYS = 64, FLASH_THREADS = 128 };

// Bytes of 16 that lie in rows of DIM halves, mixed so that eight rows of a column meet no bank twice.
template <int DIM> DEVICE u32 tile_at(u32 row, u32 sixteen) { return row * DIM * 2 + ((sixteen ^ (row % 8)) * 16); }

// Block (64 queries, the last ones first; head), a warp 16 queries.
template <int DIM> DEVICE void flash(const FlashArgs& a) {
    let_next_start();
    wait_for_previous();
    const u32 tile = gridDim.x - 1 - blockIdx.x, head = blockIdx.y, kv_head = head / (a.heads / a.kv_heads);
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const u32 first = tile * QUERIES;
    const u32 base = shared_address(shared_memory);
    const u32 tile_bytes = KEYS * DIM * 2;
    const u32 last_query = min(first + QUERIES, a.tokens) - 1;
    const u32 end = a.cached + last_query + 1;
    const u32 begin_token = a.cached + first + 1;
    const u32 begin = (a.window && begin_token > a.window ? begin_token - a.window : 0) / KEYS;
    const u32 tiles = (end + KEYS - 1) / KEYS;
    const u32 sixteens = DIM / 8;

    auto load_tile = [&](const u16* from, u32 token, u32 to) {
        for (u32 i = threadIdx.x; i < KEYS * sixteens; i += FLASH_THREADS) {
            const u32 row = i / sixteens, c = i % sixteens;
            const bool there = token + row < end;
            const u64 at = ((u64)(there ? token + row : 0) * a.kv_heads + kv_head) * DIM + c * 8;
            copy_async(to + tile_at<DIM>(row, c), from + at, there);
        }
    };
    // Queries pass through the place of the first keys.
    for (u32 i = threadIdx.x; i < QUERIES * sixteens; i += FLASH_THREADS) {
        const u32 row = i / sixteens, c = i % sixteens;
        const bool there = first + row < a.tokens;
        const u64 at = ((u64)(there ? first + row : 0) * a.heads + head) * DIM + c * 8;
        copy_async(base + tile_at<DIM>(row, c), a.q + at, there);
    }
    commit();
    wait_group<0>();
    __syncthreads();
    u32 q[DIM / 16][4];
#pragma unroll
    for (int k = 0; k < DIM / 16; k++)
        load_matrices(q[k], base + tile_at<DIM>(warp * 16 + lane % 16, k * 2 + lane / 16));
    __syncthreads();

    float out[DIM / 8][4];
#pragma unroll
    for (int i = 0; i < DIM / 8; i++)
#pragma unroll
        for (int j = 0; j < 4; j++) out[i][j] = 0.f;
    float largest[2] = {-INFINITE, -INFINITE}, sum[2] = {0.f, 0.f};

    load_tile(a.keys, begin * KEYS, base);
    load_tile(a.values, begin * KEYS, base + 2 * tile_bytes);
    commit();
    for (u32 t = begin; t < tiles; t++) {
        const u32 now = (t - begin) % 2, token = t * KEYS;
        if (t + 1 < tiles) {
            load_tile(a.keys, token + KEYS, base + (1 - now) * tile_bytes);
            load_tile(a.values, token + KEYS, base + (3 - now) * tile_bytes);
            commit();
            wait_group<1>();
        } else {
            wait_group<0>();
        }
        __syncthreads();
        const u32 keys = base + now * tile_bytes, values = base + (2 + now) * tile_bytes;
        float s[KEYS / 8][4];
#pragma unroll
        for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
            for (int j = 0; j < 4; j++) s[n][j] = 0.f;
#pragma unroll
        for (int k = 0; k < DIM / 16; k++) {
#pragma unroll
            for (int n = 0; n < KEYS / 16; n++) {
                // Keys 16n .. 16n + 8 and .. + 16, dimensions 16k .. 16k + 8 and .. + 16.
                u32 b[4];
                load_matrices(b, keys + tile_at<DIM>(n * 16 + lane / 16 * 8 + lane % 8, k * 2 + lane / 8 % 2));
                multiply_halves(s[2 * n], q[k], b[0], b[1]);
                multiply_halves(s[2 * n + 1], q[k], b[2], b[3]);
            }
        }
        // Rows lane / 4 and lane / 4 + 8 of the warp's queries, columns 2 · (lane % 4) and the next.
        const u32 row = a.cached + first + warp * 16 + lane / 4;
        const bool edge = token + KEYS > a.cached + first + 1 || (a.window && token + a.window < end);
        if (edge) {
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++)
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    const u32 key = token + n * 8 + lane % 4 * 2 + j % 2, query = row + j / 2 * 8;
                    if (key > query || (a.window && key + a.window <= query)) s[n][j] = -INFINITE;
                }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float most = largest[half];
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) most = fmaxf(most, fmaxf(s[n][2 * half], s[n][2 * half + 1]));
            most = fmaxf(most, __shfl_xor_sync(FULL, most, 1));
            most = fmaxf(most, __shfl_xor_sync(FULL, most, 2));
            const float from = most == -INFINITE ? 0.f : most;
            const float keep = exp2f(largest[half] - from);
            largest[half] = most;
            float all = 0.f;
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
                s[n][2 * half] = exp2f(s[n][2 * half] - from);
                s[n][2 * half + 1] = exp2f(s[n][2 * half + 1] - from);
                all += s[n][2 * half] + s[n][2 * half + 1];
            }
            sum[half] = sum[half] * keep + all;
#pragma unroll
            for (int i = 0; i < DIM / 8; i++) {
                out[i][2 * half] *= keep;
                out[i][2 * half + 1] *= keep;
            }
        }
#pragma unroll
        for (int n = 0; n < KEYS / 16; n++) {
            u32 p[4];
            p[0] = pack_half(s[2 * n][0], s[2 * n][1]);
            p[1] = pack_half(s[2 * n][2], s[2 * n][3]);
            p[2] = pack_half(s[2 * n + 1][0], s[2 * n + 1][1]);
            p[3] = pack_half(s[2 * n + 1][2], s[2 * n + 1][3]);
#pragma unroll
            for (int i = 0; i < DIM / 16; i++) {
                // Keys 16n .. 16n + 8 and .. + 16 at dimensions 16i .. 16i + 8, then the same at the next eight.
                u32 b[4];
                load_transposed(b, values + tile_at<DIM>(n * 16 + lane % 16, i * 2 + lane / 16));
                multiply_halves(out[2 * i], p, b[0], b[1]);
                multiply_halves(out[2 * i + 1], p, b[2], b[3]);
            }
        }
        __syncthreads();
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float all = sum[half];
        all += __shfl_xor_sync(FULL, all, 1);
        all += __shfl_xor_sync(FULL, all, 2);
        const float inverse = 1.f / all;
        const u32 query = first + warp * 16 + lane / 4 + half * 8;
        if (query >= a.tokens) continue;
        u32* to = (u32*)(a.out + ((u64)query * a.heads + head) * DIM) + lane % 4;
#pragma unroll
        for (int i = 0; i < DIM / 8; i++) {
            const float x = out[i][2 * half] * inverse, y = out[i][2 * half + 1] * inverse;
            to[i * 4] = a.bf16 ? pack_bf16(x, y) : pack_half(x, y);
        }
    }
}
KERNEL(flash_64, FlashArgs, __launch_bounds__(FLASH_THREADS)) { flash<64>(a); }
KERNEL(flash_128, FlashArgs, __launch_bounds__(FLASH_THREADS)) { flash<128>(a); }
