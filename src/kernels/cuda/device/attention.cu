// Attention over the cache, [capacity, kv_heads, head_dim] each for keys and values.

// Eight neighbouring numbers of a cache as they lie there.
template <int C> struct Eight;
template <> struct Eight<F16> {
    uint4 raw;
    DEVICE void load(const void* p, u64 at) { raw = *(const uint4*)((const u16*)p + at); }
    DEVICE void clear() { raw = make_uint4(0, 0, 0, 0); }
    DEVICE void numbers(float* x) const {
        x[0] = low_half(raw.x);
        x[1] = high_half(raw.x);
        x[2] = low_half(raw.y);
        x[3] = high_half(raw.y);
        x[4] = low_half(raw.z);
        x[5] = high_half(raw.z);
        x[6] = low_half(raw.w);
        x[7] = high_half(raw.w);
    }
};
template <> struct Eight<F32> {
    float4 raw[2];
    DEVICE void load(const void* p, u64 at) {
        raw[0] = *(const float4*)((const float*)p + at);
        raw[1] = *(const float4*)((const float*)p + at + 4);
    }
    DEVICE void clear() { raw[0] = raw[1] = make_float4(0.f, 0.f, 0.f, 0.f); }
    DEVICE void numbers(float* x) const {
        x[0] = raw[0].x;
        x[1] = raw[0].y;
        x[2] = raw[0].z;
        x[3] = raw[0].w;
        x[4] = raw[1].x;
        x[5] = raw[1].y;
        x[6] = raw[1].z;
        x[7] = raw[1].w;
    }
};

// Keys and values that a lane has loaded ahead: eight dimensions of two tokens.
template <int LANES, int C> struct Ahead {
    Eight<C> keys[2], values[2];

    // Of the token at `token`, if it is before `end`.
    DEVICE void load(int slot, const void* k, const void* v, u32 token, u32 end, u32 kv_head, u32 kv_heads, u32 dim) {
        const u32 d = threadIdx.x % LANES * 8;
        if (token < end && d < dim) {
            const u64 at = ((u64)token * kv_heads + kv_head) * dim + d;
            keys[slot].load(k, at);
            values[slot].load(v, at);
        } else {
            keys[slot].clear();
            values[slot].clear();
        }
    }
};
// The token of a lane: a warp has the next WARP / LANES, then comes the next of `warps`.
template <int LANES> DEVICE u32 own_token(u32 round, u32 warps) {
    return (round * warps + threadIdx.x / WARP) * (WARP / LANES) + threadIdx.x % WARP / LANES;
}

// A warp normalises (Qwen3) and rotates a head, and multiplies it.
DEVICE void rotate_head(const float* x, const float* norm, float eps, const float2* angles, u32 neighbours, u32 dim,
                        float factor, float* out) {
    const u32 lane = threadIdx.x % WARP, half = dim / 2;
    float inverse = 1.f;
    if (norm) {
        float squares = 0.f;
        for (u32 i = lane; i < dim; i += WARP) squares += x[i] * x[i];
        inverse = rsqrtf(warp_sum(squares) / dim + eps);
    }
    for (u32 i = lane; i < half; i += WARP) {
        const u32 at = neighbours ? 2 * i : i, to = neighbours ? 2 * i + 1 : i + half;
        float a = x[at] * inverse, b = x[to] * inverse;
        if (norm) {
            a *= __ldg(norm + at);
            b *= __ldg(norm + to);
        }
        const float2 angle = angles[i];
        out[at] = (a * angle.x - b * angle.y) * factor;
        out[to] = (a * angle.y + b * angle.x) * factor;
    }
}

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
    u32 splits;             // gridDim.x
    u32 least;              // Tokens that a split has at least.
    float* partial;         // [heads, splits, dim + 2]
    u32* tickets;           // [kv_heads · gridDim.z], 0, and 0 again when the kernel ends
    float* out;             // [heads, dim]
};

enum {
    STEP_WARPS = 8,
    MOST_SPLITS = 64,  // As the host has it.
};

// The online softmax of some heads over some tokens (Milakov & Gimelshein, 2018, arXiv:1805.02867): eight dimensions a lane.
template <int G> struct Stream {
    float largest[G], sum[G], acc[G][8];

    DEVICE void begin() {
#pragma unroll
        for (int g = 0; g < G; g++) {
            largest[g] = -INFINITE;
            sum[g] = 0.f;
#pragma unroll
            for (int i = 0; i < 8; i++) acc[g][i] = 0.f;
        }
    }
    DEVICE void add(const float* scores, const float* v) {
#pragma unroll
        for (int g = 0; g < G; g++) {
            const float now = fmaxf(largest[g], scores[g]);
            const float keep = exp2f(largest[g] - now), p = exp2f(scores[g] - now);
            largest[g] = now;
            sum[g] = sum[g] * keep + p;
#pragma unroll
            for (int i = 0; i < 8; i++) acc[g][i] = acc[g][i] * keep + p * v[i];
        }
    }
    // Joins the stream of the lane `d` away.
    DEVICE void join(int d) {
#pragma unroll
        for (int g = 0; g < G; g++) {
            const float other = __shfl_xor_sync(FULL, largest[g], d);
            const float now = fmaxf(largest[g], other);
            const float keep = largest[g] == -INFINITE ? 0.f : exp2f(largest[g] - now);
            const float theirs = other == -INFINITE ? 0.f : exp2f(other - now);
            largest[g] = now;
            sum[g] = sum[g] * keep + __shfl_xor_sync(FULL, sum[g], d) * theirs;
#pragma unroll
            for (int i = 0; i < 8; i++)
                acc[g][i] = acc[g][i] * keep + __shfl_xor_sync(FULL, acc[g][i], d) * theirs;
        }
    }
};

// G heads `q` ([G, dim] in shared memory) over the tokens `from .. to`, of which the first two of each lane are in
// `ahead`. Token `to - 1` is read from shared memory where `newest` is given. The streams of all warps are left in shared
// memory: `acc` [warps, G, dim], `ends` [warps, G, 2].
template <int G, int LANES, int C>
DEVICE void attend(const float* q, Ahead<LANES, C>& ahead, const void* keys, const void* values, u32 kv_head,
                   u32 kv_heads, u32 dim, u32 from, u32 to, const float* newest, float* acc, float* ends, u32 warps) {
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP;
    const u32 d = lane % LANES * 8;
    const bool mine = d < dim;
    float mq[G][8];
#pragma unroll
    for (int g = 0; g < G; g++)
#pragma unroll
        for (int i = 0; i < 8; i++) mq[g][i] = mine ? q[g * dim + d + i] : 0.f;
    Stream<G> stream;
    stream.begin();
    const u32 together = WARP / LANES;
    // All lanes of a warp go on as long as one has a token: they exchange sums.
    for (u32 round = 0; from + (round * warps + warp) * together < to; round += 2) {
#pragma unroll
        for (int j = 0; j < 2; j++) {
            if (from + ((round + j) * warps + warp) * together >= to) break;
            const u32 token = from + own_token<LANES>(round + j, warps);
            const bool there = token < to;
            float k[8], v[8];
            ahead.keys[j].numbers(k);
            ahead.values[j].numbers(v);
            ahead.load(j, keys, values, from + own_token<LANES>(round + j + 2, warps), to, kv_head, kv_heads, dim);
            if (newest && token == to - 1 && mine) {
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    k[i] = newest[d + i];
                    v[i] = newest[dim + d + i];
                }
            }
            float scores[G];
#pragma unroll
            for (int g = 0; g < G; g++) {
                float s = 0.f;
#pragma unroll
                for (int i = 0; i < 8; i++) s = fmaf(mq[g][i], k[i], s);
#pragma unroll
                for (int x = LANES / 2; x > 0; x /= 2) s += __shfl_xor_sync(FULL, s, x);
                scores[g] = s;
            }
            if (there) stream.add(scores, v);
        }
    }
#pragma unroll
    for (int x = LANES; x < WARP; x *= 2) stream.join(x);
    if (lane < LANES && mine) {
#pragma unroll
        for (int g = 0; g < G; g++)
#pragma unroll
            for (int i = 0; i < 8; i++) acc[(warp * G + g) * dim + d + i] = stream.acc[g][i];
    }
    if (lane == 0) {
#pragma unroll
        for (int g = 0; g < G; g++) {
            ends[(warp * G + g) * 2] = stream.largest[g];
            ends[(warp * G + g) * 2 + 1] = stream.sum[g];
        }
    }
    meet(warps);
}

// Joins the streams that W warps left of one head, at one dimension: the weighted sum, and what it ends with.
template <int W>
DEVICE float join_warps(const float* acc, const float* ends, u32 step, u32 end_step, float& most, float& sum) {
    float largest[W], x = 0.f;
    most = -INFINITE;
    sum = 0.f;
#pragma unroll
    for (int w = 0; w < W; w++) {
        largest[w] = ends[w * end_step];
        most = fmaxf(most, largest[w]);
    }
#pragma unroll
    for (int w = 0; w < W; w++) {
        const float factor = largest[w] == -INFINITE ? 0.f : exp2f(largest[w] - most);
        sum = fmaf(ends[w * end_step + 1], factor, sum);
        x = fmaf(acc[w * step], factor, x);
    }
    return x;
}
// Joins what the blocks have found of one head: the weights of the `count` parts become shared by the warp's lanes in
// `weights`.
DEVICE void weigh_parts(const float* ends, u32 count, u32 step, float* weights) {
    const u32 lane = threadIdx.x % WARP;
    float most = -INFINITE, sum = 0.f;
    for (u32 w = lane; w < count; w += WARP) most = fmaxf(most, __ldcg(ends + w * step));
    most = warp_max(most);
    for (u32 w = lane; w < count; w += WARP) {
        const float l = __ldcg(ends + w * step), factor = l == -INFINITE ? 0.f : exp2f(l - most);
        weights[w] = factor;
        sum += __ldcg(ends + w * step + 1) * factor;
    }
    sum = 1.f / warp_sum(sum);
    for (u32 w = lane; w < count; w += WARP) weights[w] *= sum;
}

extern __shared__ float4 shared_memory[];

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
    if (!known) {
#pragma unroll
        for (int j = 0; j < 2; j++)
            ahead.load(j, a.keys, a.values, from + own_token<LANES>(j, warps), to, kv_head, a.kv_heads, dim);
    }
    const float* own = to == len ? newest : 0;
    meet(W);
    attend<G, LANES, C>(q, ahead, a.keys, a.values, kv_head, a.kv_heads, dim, from, to, own, acc, ends,
                        W);
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


// Block (split, kv head, G of its heads).
template <int G, int LANES, int C> DEVICE void step_attention(const StepAttention& a) {
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
    attend_step<G, LANES, C, STEP_WARPS>(a, cached, blockIdx.x, blockIdx.y, blockIdx.z, gridDim.z, ahead, known,
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
    extern "C" __global__ void __launch_bounds__(256) step_##name##_##G##_##LANES( \
        const __grid_constant__ StepAttention a) { \
        step_attention<G, LANES, C>(a); \
    } \
    extern "C" __global__ void __launch_bounds__(256) row_##name##_##G##_##LANES( \
        const __grid_constant__ RowAttention a) { \
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
extern "C" __global__ void append_f16(const __grid_constant__ AppendArgs a) { append<F16>(a); }
extern "C" __global__ void append_f32(const __grid_constant__ AppendArgs a) { append<F32>(a); }
