// One token, or each token of a pass, over the cache; and the pass's keys and values on their way there.

struct StepAttention {
    const float* qkv;       // Query, key and value heads of the token.
    const float* q_norm;    // [head_dim], or null
    const float* k_norm;
    float eps;
    u32 neighbours;         // Whether neighbours are rotated together, not halves.
    const float2* angles;   // [head_dim / 2]
    void* keys;
    void* values;
    const u32* cached;      // Tokens in the cache before this one.
    u32 capacity;           // Tokens that it has room for.
    u32 heads, kv_heads, dim;
    u32 group;              // Heads of a key head.
    u32 window;             // 0: all are seen.
    float scale;            // Of the scores, times log2(e).
    u32 splits;             // Blocks that share a key head at most; gridDim.x has as many, or more.
    u32 least;              // Tokens that a split has at least.
    float* partial;         // [heads, splits, dim + 2]
    u32* tickets;           // [kv_heads · gridDim.z], 0, and 0 again when the kernel ends
    float* out;             // [heads, dim]
};

// One token behind the `cached` ones, of which split `split` of `a.splits` is this block's work: G heads from number
// `group` · G on of key head `kv_head`. `ahead` holds what was read where `known`.
template <int G, int LANES, int C, int W>
DEVICE void attend_step(const StepAttention& a, u32 cached, u32 split, u32 kv_head, u32 group, u32 groups,
                        Ahead<LANES, C>& ahead, bool known, float* memory) {
    __shared__ bool last_block;
    const u32 dim = a.dim, all = a.group, threads = W * WARP, warps = W;
    const u32 first = kv_head * all + group * G;
    const u32 count = min((u32)G, all - group * G);
    const u32 warp = threadIdx.x / WARP;
    float* q = memory;                      // [G, dim]
    float* newest = q + G * dim;            // key and value, [2, dim]
    float* acc = newest + 2 * dim;          // [warps, G, dim]
    float* ends = acc + warps * G * dim;    // [warps, G, 2]
    for (u32 g = warp; g < G + 2; g += warps) {
        if (g < count) {
            rotate_head(a.qkv + (first + g) * dim, a.q_norm, a.eps, a.angles, a.neighbours, dim, a.scale, q + g * dim);
        } else if (g < G) {
            for (u32 i = threadIdx.x % WARP; i < dim; i += WARP) q[g * dim + i] = 0.f;
        } else {
            // Key and value of the token, as the cache will have them.
            typedef typename Number<C>::type N;
            const bool key = g == G;
            const float* x = a.qkv + (a.heads + (key ? 0 : a.kv_heads) + kv_head) * dim;
            float* to = key ? newest : newest + dim;
            if (key) rotate_head(x, a.k_norm, a.eps, a.angles, a.neighbours, dim, 1.f, to);
            __syncwarp();
            N* place = (N*)(key ? a.keys : a.values) + ((u64)cached * a.kv_heads + kv_head) * dim;
            for (u32 i = threadIdx.x % WARP; i < dim; i += WARP) {
                const N n = Number<C>::make(key ? to[i] : x[i]);
                to[i] = Number<C>::read(n);
                if (group == 0 && split == 0) place[i] = n;
            }
        }
    }
    const u32 len = cached + 1;
    const u32 start = a.window && len > a.window ? len - a.window : 0;
    const u32 seen = len - start;
    u32 each = seen, splits = 1;
    if (a.splits > 1) {
        each = max(a.least, (seen + a.splits - 1) / a.splits);
        splits = (seen + each - 1) / each;
    }
    if (split >= splits) return;
    const u32 from = start + split * each, to = splits == 1 ? len : min(from + each, len);
    const u32 stored = min(to, cached);
    if (!known) {
#pragma unroll
        for (int j = 0; j < 2; j++)
            ahead.load(j, a.keys, a.values, from + own_token<LANES>(j, warps), stored, kv_head, a.kv_heads, dim);
    }
    const float* own = to == len ? newest : 0;
    meet(W);
    attend<G, LANES, C>(q, ahead, a.keys, a.values, kv_head, a.kv_heads, dim, from, to, own, acc, ends, W);
    // Heads and dimensions in turn over the threads, without a division.
    u32 g = 0, d = threadIdx.x;
    for (u32 i = threadIdx.x; i < count * dim; i += threads, d += threads) {
        while (d >= dim) {
            d -= dim;
            g++;
        }
        float most, sum;
        const float x = join_warps<W>(acc + i, ends + g * 2, G * dim, G * 2, most, sum);
        if (splits == 1) {
            a.out[first * dim + i] = x / sum;
            continue;
        }
        float* to = a.partial + ((u64)(first + g) * a.splits + split) * (dim + 2);
        to[d] = x;
        if (d == 0) {
            to[dim] = most;
            to[dim + 1] = sum;
        }
    }
    if (splits == 1) return;
    // The block that comes last joins what all have found.
    __threadfence();
    meet(warps);
    u32* ticket = a.tickets + kv_head * groups + group;
    if (threadIdx.x == 0) last_block = atomicAdd(ticket, 1) == splits - 1;
    meet(warps);
    if (!last_block) return;
    __threadfence();
    const float* parts = a.partial + (u64)first * a.splits * (dim + 2);
    const u32 step = dim + 2, head_step = a.splits * step;
    if (warp < count) weigh_parts(parts + warp * head_step + dim, splits, step, acc + warp * MOST_SPLITS);
    meet(W);
    g = 0, d = threadIdx.x;
    for (u32 i = threadIdx.x; i < count * dim; i += threads, d += threads) {
        while (d >= dim) {
            d -= dim;
            g++;
        }
        float x = 0.f;
#pragma unroll 8
        for (u32 w = 0; w < splits; w++)
            x = fmaf(__ldcg(parts + g * head_step + w * step + d), acc[g * MOST_SPLITS + w], x);
        a.out[first * dim + i] = x;
    }
    if (threadIdx.x == 0) *ticket = 0;
}

// Block (split, kv head, `group`: G of its heads).
template <int G, int LANES, int C> DEVICE void step_attention(const StepAttention& a, u32 group, u32 groups) {
    // What stands in the cache was written by steps before this one, so that it may be read before the wait; where it
    // begins is known if it is not shared out. What lies behind the cached tokens is read too, and not used.
    const bool known = a.splits == 1 && !a.window;
    Ahead<LANES, C> ahead;
    if (known) {
#pragma unroll
        for (int j = 0; j < 2; j++)
            ahead.load(j, a.keys, a.values, own_token<LANES>(j, STEP_WARPS), a.capacity, blockIdx.y, a.kv_heads, a.dim);
    }
    let_next_start();
    wait_for_previous();
    const u32 cached = *(volatile const u32*)a.cached;
    attend_step<G, LANES, C, STEP_WARPS>(a, cached, blockIdx.x, blockIdx.y, group, groups, ahead, known,
                                         (float*)shared_memory);
}

// Queries of a pass whose keys and values are in the cache already: rotated and scaled, [tokens, heads, dim] in f32.
struct RowAttention {
    const float* q;
    const void* keys;
    const void* values;
    u32 cached;             // Tokens before those of the pass.
    u32 heads, kv_heads, dim;
    u32 window;
    void* out;              // [tokens, heads, dim], of kind `kind`
    u32 kind;
};

// Block (token, kv head, G of its heads).
template <int G, int LANES, int C> DEVICE void row_attention(const RowAttention& a) {
    let_next_start();
    wait_for_previous();
    const u32 token = blockIdx.x, kv_head = blockIdx.y, len = a.cached + token + 1;
    const u32 start = a.window && len > a.window ? len - a.window : 0;
    const u32 group = a.heads / a.kv_heads;
    const u32 first = kv_head * group + blockIdx.z * G;
    const u32 count = min((u32)G, group - blockIdx.z * G);
    const u32 dim = a.dim, warps = blockDim.x / WARP;
    float* q = (float*)shared_memory;
    float* acc = q + (G + 2) * dim;
    float* ends = acc + warps * G * dim;
    for (u32 i = threadIdx.x; i < G * dim; i += blockDim.x)
        q[i] = i < count * dim ? a.q[((u64)token * a.heads + first) * dim + i] : 0.f;
    __syncthreads();
    Ahead<LANES, C> ahead;
#pragma unroll
    for (int j = 0; j < 2; j++)
        ahead.load(j, a.keys, a.values, start + own_token<LANES>(j, warps), len, kv_head, a.kv_heads, dim);
    attend<G, LANES, C>(q, ahead, a.keys, a.values, kv_head, a.kv_heads, dim, start, len, 0, acc, ends, warps);
    for (u32 i = threadIdx.x; i < count * dim; i += blockDim.x) {
        const u32 g = i / dim, d = i % dim;
        float most, sum;
        float x = join_warps<STEP_WARPS>(acc + g * dim + d, ends + g * 2, G * dim, G * 2, most, sum);
        x /= sum;
        const u64 to = ((u64)token * a.heads + first) * dim + i;
        if (a.kind == F32) ((float*)a.out)[to] = x;
        else if (a.kind == F16) ((u16*)a.out)[to] = Number<F16>::make(x);
        else ((u16*)a.out)[to] = Number<BF16>::make(x);
    }
}

#define ATTENTION(G, LANES, name, C) \
    KERNEL(step_##name##_##G##_##LANES, StepAttention, __launch_bounds__(256)) { \
        step_attention<G, LANES, C>(a, blockIdx.z, gridDim.z); \
    } \
    KERNEL(row_##name##_##G##_##LANES, RowAttention, __launch_bounds__(256)) { \
        row_attention<G, LANES, C>(a); \
    }
#define GROUPS(LANES, name, C) \
    ATTENTION(1, LANES, name, C) \
    ATTENTION(2, LANES, name, C) \
    ATTENTION(4, LANES, name, C)
#define WIDTHS(name, C) \
    GROUPS(8, name, C) \
    GROUPS(16, name, C) \
    GROUPS(32, name, C)
WIDTHS(f16, F16)
WIDTHS(f32, F32)

struct AppendArgs {
    const float* qkv;       // [tokens, heads + 2 kv_heads, dim]
    const float* bias;      // [heads + 2 kv_heads, dim], or null
    const float* q_norm;    // [dim], or null
    const float* k_norm;
    float eps;
    u32 neighbours;
    const float2* angles;   // [tokens, dim / 2]
    void* keys;
    void* values;
    u32 cached;
    u32 heads, kv_heads, dim;
    float scale;
    void* q;                // [tokens, heads, dim], of the cache's kind, or floats
    u32 q_floats;
};

// Rotates queries and keys of a pass; keys and values go to the cache. A warp a head, block (token, heads / 8).
template <int C> DEVICE void append(const AppendArgs& a) {
    typedef typename Number<C>::type N;
    let_next_start();
    wait_for_previous();
    const u32 all = a.heads + 2 * a.kv_heads, warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const u32 head = blockIdx.y * (blockDim.x / WARP) + warp;
    if (head >= all) return;
    const u64 token = blockIdx.x;
    float* x = (float*)shared_memory + warp * 2 * a.dim;
    float* y = x + a.dim;
    const float* from = a.qkv + (token * all + head) * a.dim;
    for (u32 i = lane; i < a.dim; i += WARP) x[i] = from[i] + (a.bias ? __ldg(a.bias + head * a.dim + i) : 0.f);
    __syncwarp();
    const float2* angles = a.angles + token * (a.dim / 2);
    N* to;
    if (head < a.heads) {
        rotate_head(x, a.q_norm, a.eps, angles, a.neighbours, a.dim, a.scale, y);
        const u64 at = (token * a.heads + head) * a.dim;
        to = (N*)a.q + at;
        if (a.q_floats) {
            __syncwarp();
            for (u32 i = lane; i < a.dim; i += WARP) ((float*)a.q)[at + i] = y[i];
            return;
        }
    } else if (head < a.heads + a.kv_heads) {
        rotate_head(x, a.k_norm, a.eps, angles, a.neighbours, a.dim, 1.f, y);
        to = (N*)a.keys + ((a.cached + token) * a.kv_heads + head - a.heads) * a.dim;
    } else {
        y = x;
        to = (N*)a.values + ((a.cached + token) * a.kv_heads + head - a.heads - a.kv_heads) * a.dim;
    }
    __syncwarp();
    for (u32 i = lane; i < a.dim; i += WARP) to[i] = Number<C>::make(y[i]);
}
KERNEL(append_f16, AppendArgs) { append<F16>(a); }
KERNEL(append_f32, AppendArgs) { append<F32>(a); }
