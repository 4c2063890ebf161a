// Attention over the cache, [capacity, kv_heads, head_dim] each for keys and values.

// One number of a cache.
template <int C> struct Eight;
template <> struct Eight<F16> {
    static DEVICE void read(const void* p, u64 at, float* x) {
        const uint4 v = *(const uint4*)((const u16*)p + at);
        x[0] = low_half(v.x);
        x[1] = high_half(v.x);
        x[2] = low_half(v.y);
        x[3] = high_half(v.y);
        x[4] = low_half(v.z);
        x[5] = high_half(v.z);
        x[6] = low_half(v.w);
        x[7] = high_half(v.w);
    }
};
template <> struct Eight<F32> {
    static DEVICE void read(const void* p, u64 at, float* x) {
        const float4 a = *(const float4*)((const float*)p + at), b = *(const float4*)((const float*)p + at + 4);
        x[0] = a.x;
        x[1] = a.y;
        x[2] = a.z;
        x[3] = a.w;
        x[4] = b.x;
        x[5] = b.y;
        x[6] = b.z;
        x[7] = b.w;
    }
};

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
    u32 heads, kv_heads, dim;
    u32 window;             // 0: all are seen.
    float scale;            // Of the scores, times log2(e).
    u32 splits;             // gridDim.x
    u32 least;              // Tokens that a split has at least.
    float* partial;         // [heads, splits, dim + 2]
    u32* tickets;           // [kv_heads · gridDim.z], 0, and 0 again when the kernel ends
    float* out;             // [heads, dim]
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

// G heads `q` ([G, dim] in shared memory) over the tokens `from .. to`. Token `to - 1` is read from shared memory where
// `newest` is given. The streams of all warps are left in shared memory: `acc` [warps, G, dim], `ends` [warps, G, 2].
template <int G, int LANES, int C>
DEVICE void attend(const float* q, const void* keys, const void* values, u32 kv_head, u32 kv_heads, u32 dim, u32 from,
                   u32 to, const float* newest, float* acc, float* ends) {
    const u32 lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;
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
    const u64 stride = (u64)kv_heads * dim;
    // All lanes of a warp go on as long as one has a token: they exchange sums.
    for (u32 first = from + warp * together; first < to; first += warps * together) {
        const u32 token = first + lane / LANES;
        const bool there = token < to;
        float k[8], v[8];
#pragma unroll
        for (int i = 0; i < 8; i++) k[i] = v[i] = 0.f;
        if (there && mine) {
            if (newest && token == to - 1) {
#pragma unroll
                for (int i = 0; i < 8; i++) {
                    k[i] = newest[d + i];
                    v[i] = newest[dim + d + i];
                }
            } else {
                const u64 at = token * stride + (u64)kv_head * dim + d;
                Eight<C>::read(keys, at, k);
                Eight<C>::read(values, at, v);
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
    __syncthreads();
}

// Joins the `count` streams of head `g`, `step` apart, at dimension `d`: the weighted sum, and what it ends with.
DEVICE float joined(const float* acc, const float* ends, u32 count, u32 acc_step, u32 end_step, float& largest,
                    float& sum) {
    largest = -INFINITE;
    for (u32 w = 0; w < count; w++) largest = fmaxf(largest, ends[w * end_step]);
    sum = 0.f;
    float x = 0.f;
    for (u32 w = 0; w < count; w++) {
        const float l = ends[w * end_step];
        const float factor = l == -INFINITE ? 0.f : exp2f(l - largest);
        sum += ends[w * end_step + 1] * factor;
        x += acc[(u64)w * acc_step] * factor;
    }
    return x;
}

extern __shared__ float4 shared_memory[];

// One token behind the cached ones. Block (split, kv head, G of its heads).
template <int G, int LANES, int C> DEVICE void step_attention(const StepAttention& a) {
    __shared__ bool last_block;
    let_next_start();
    wait_for_previous();
    const u32 cached = *a.cached, len = cached + 1;
    const u32 start = a.window && len > a.window ? len - a.window : 0;
    const u32 seen = len - start;
    u32 each = (seen + a.splits - 1) / a.splits;
    each = each > a.least ? each : a.least;
    const u32 splits = (seen + each - 1) / each;
    const u32 split = blockIdx.x, kv_head = blockIdx.y;
    if (split >= splits) return;
    const u32 from = start + split * each, to = min(from + each, len);
    const u32 group = a.heads / a.kv_heads;
    const u32 first = kv_head * group + blockIdx.z * G;
    const u32 count = min((u32)G, group - blockIdx.z * G);
    const u32 dim = a.dim, warp = threadIdx.x / WARP, warps = blockDim.x / WARP;

    float* q = (float*)shared_memory;       // [G, dim]
    float* newest = q + G * dim;            // key and value, [2, dim]
    float* acc = newest + 2 * dim;          // [warps, G, dim]
    float* ends = acc + warps * G * dim;    // [warps, G, 2]
    const bool appends = to == len;
    for (u32 g = warp; g < G + 2; g += warps) {
        if (g < count) {
            rotate_head(a.qkv + (first + g) * dim, a.q_norm, a.eps, a.angles, a.neighbours, dim, a.scale, q + g * dim);
        } else if (g < G) {
            for (u32 i = threadIdx.x % WARP; i < dim; i += WARP) q[g * dim + i] = 0.f;
        } else if (appends && g == G) {
            rotate_head(a.qkv + (a.heads + kv_head) * dim, a.k_norm, a.eps, a.angles, a.neighbours, dim, 1.f, newest);
        } else if (appends) {
            const float* v = a.qkv + (a.heads + a.kv_heads + kv_head) * dim;
            for (u32 i = threadIdx.x % WARP; i < dim; i += WARP) newest[dim + i] = v[i];
        }
    }
    __syncthreads();
    if (appends) {
        typedef typename Number<C>::type N;
        const u64 at = ((u64)cached * a.kv_heads + kv_head) * dim;
        for (u32 i = threadIdx.x; i < dim; i += blockDim.x) {
            const N k = Number<C>::make(newest[i]), v = Number<C>::make(newest[dim + i]);
            if (blockIdx.z == 0) {
                ((N*)a.keys)[at + i] = k;
                ((N*)a.values)[at + i] = v;
            }
            newest[i] = Number<C>::read(k);
            newest[dim + i] = Number<C>::read(v);
        }
        __syncthreads();
    }
    attend<G, LANES, C>(q, a.keys, a.values, kv_head, a.kv_heads, dim, from, to, appends ? newest : 0, acc, ends);
    for (u32 i = threadIdx.x; i < count * dim; i += blockDim.x) {
        const u32 g = i / dim, d = i % dim;
        float largest, sum;
        const float x = joined(acc + g * dim + d, ends + g * 2, warps, G * dim, G * 2, largest, sum);
        if (splits == 1) {
            a.out[first * dim + i] = x / sum;
        } else {
            float* to = a.partial + ((u64)(first + g) * a.splits + split) * (dim + 2);
            to[d] = x;
            if (d == 0) {
                to[dim] = largest;
                to[dim + 1] = sum;
            }
        }
    }
    if (splits == 1) return;
    // The block that comes last joins what all have found.
    __threadfence();
    __syncthreads();
    u32* ticket = a.tickets + kv_head * gridDim.z + blockIdx.z;
    if (threadIdx.x == 0) last_block = atomicAdd(ticket, 1) == splits - 1;
    __syncthreads();
    if (!last_block) return;
    __threadfence();
    for (u32 i = threadIdx.x; i < count * dim; i += blockDim.x) {
        const u32 g = i / dim, d = i % dim;
        const float* of = a.partial + (u64)(first + g) * a.splits * (dim + 2);
        float largest, sum;
        const float x = joined(of + d, of + dim, splits, dim + 2, dim + 2, largest, sum);
        a.out[first * dim + i] = x / sum;
    }
    if (threadIdx.x == 0) *ticket = 0;
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
    attend<G, LANES, C>(q, a.keys, a.values, kv_head, a.kv_heads, dim, start, len, 0, acc, ends);
    for (u32 i = threadIdx.x; i < count * dim; i += blockDim.x) {
        const u32 g = i / dim, d = i % dim;
        float largest, sum;
        float x = joined(acc + g * dim + d, ends + g * 2, warps, G * dim, G * 2, largest, sum);
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
