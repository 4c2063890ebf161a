// What some query heads find in a cache, [capacity, kv_heads, head_dim] each for keys and values.

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
        for (u32 i = lane; i < dim; i += WARP) squares = fmaf(x[i], x[i], squares);
        inverse = rsqrtf(warp_sum(squares) / dim + eps);
    }
    for (u32 i = lane; i < half; i += WARP) {
        const u32 at = neighbours ? 2 * i : i, to = neighbours ? 2 * i + 1 : i + half;
        float a = product(x[at], inverse), b = product(x[to], inverse);
        if (norm) {
            a = product(a, __ldg(norm + at));
            b = product(b, __ldg(norm + to));
        }
        const float2 angle = angles[i];
        out[at] = fmaf(a, angle.x, -product(b, angle.y)) * factor;
        out[to] = two_products(a, angle.y, b, angle.x) * factor;
    }
}

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
            sum[g] = fmaf(sum[g], keep, p);
#pragma unroll
            for (int i = 0; i < 8; i++) acc[g][i] = two_products(acc[g][i], keep, p, v[i]);
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
            sum[g] = two_products(sum[g], keep, __shfl_xor_sync(FULL, sum[g], d), theirs);
#pragma unroll
            for (int i = 0; i < 8; i++)
                acc[g][i] = two_products(acc[g][i], keep, __shfl_xor_sync(FULL, acc[g][i], d), theirs);
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
    const u32 together = WARP / LANES, stored = newest ? to - 1 : to;
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
            ahead.load(j, keys, values, from + own_token<LANES>(round + j + 2, warps), stored, kv_head, kv_heads, dim);
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
// What the `count` parts that blocks have found of one head weigh, by a warp: `weights`, whose weighted sum is the result.
DEVICE void weigh_parts(const float* ends, u32 count, u32 step, float* weights) {
    const u32 lane = threadIdx.x % WARP;
    float most = -INFINITE, sum = 0.f;
    for (u32 w = lane; w < count; w += WARP) most = fmaxf(most, __ldcg(ends + w * step));
    most = warp_max(most);
    for (u32 w = lane; w < count; w += WARP) {
        const float l = __ldcg(ends + w * step), factor = l == -INFINITE ? 0.f : exp2f(l - most);
        weights[w] = factor;
        sum = fmaf(__ldcg(ends + w * step + 1), factor, sum);
    }
    sum = 1.f / warp_sum(sum);
    for (u32 w = lane; w < count; w += WARP) weights[w] *= sum;
}
