// What lies between the convolutions of an encoder of speech. Signals are those of conv.cu.

// Adds samples, or their GELU. Block (channel; 256 samples).
struct AddSignalArgs {
    const float* x;  // [channels, stride]
    float* out;      // [channels, out_stride]
    u32 len, stride, out_stride;
    u32 gelu;
};
KERNEL(add_to_signal, AddSignalArgs) {
    let_next_start();
    wait_for_previous();
    const u32 t = blockIdx.y * blockDim.x + threadIdx.x;
    if (t >= a.len) return;
    const float x = a.x[(u64)blockIdx.x * a.stride + t];
    a.out[(u64)blockIdx.x * a.out_stride + t] += a.gelu ? gelu(x) : x;
}

// The mean over time, a sample of `out`. A block of 256 a channel.
KERNEL(mean_of_signal, PartArgs, __launch_bounds__(256)) {
    __shared__ float sums[8];
    let_next_start();
    wait_for_previous();
    const float* x = a.x + (u64)blockIdx.x * a.stride;
    float sum = 0.f;
    for (u32 t = threadIdx.x; t < a.len; t += blockDim.x) sum += x[t];
    sum = warp_sum(sum);
    if (threadIdx.x % WARP == 0) sums[threadIdx.x / WARP] = sum;
    __syncthreads();
    if (threadIdx.x > 0) return;
    float all = 0.f;
#pragma unroll
    for (int w = 0; w < 8; w++) all += sums[w];
    a.out[(u64)blockIdx.x * a.out_stride] = all / a.len;
}

struct GateSignalArgs {
    const float* gates;  // [channels, gate_stride]: one a channel, of which the sigmoid is taken
    const float* x;      // [channels, stride]
    float* out;          // The same: becomes itself times the gate, and `x`.
    u32 len, stride, gate_stride;
};
// Squeeze and excitation (Hu et al., 2018, arXiv:1709.01507). Block (channel; 256 samples).
KERNEL(gate_signal, GateSignalArgs) {
    let_next_start();
    wait_for_previous();
    const u32 t = blockIdx.y * blockDim.x + threadIdx.x;
    if (t >= a.len) return;
    const u64 at = (u64)blockIdx.x * a.stride + t;
    const float gate = 1.f / (1.f + expf(-a.gates[(u64)blockIdx.x * a.gate_stride]));
    a.out[at] = fmaf(a.out[at], gate, a.x[at]);
}

struct GeluGatedArgs {
    const float* x;  // [2 * channels, stride]: values, and behind them their gates
    float* out;      // [channels, stride]
    u32 channels, len, stride;
};
// Values times the GELU of their gates (Shazeer, 2020, arXiv:2002.05202). Block (channel; 256 samples).
KERNEL(gelu_gated, GeluGatedArgs) {
    let_next_start();
    wait_for_previous();
    const u32 t = blockIdx.y * blockDim.x + threadIdx.x;
    if (t >= a.len) return;
    const u64 at = (u64)blockIdx.x * a.stride + t;
    a.out[at] = a.x[at] * gelu(a.x[at + (u64)a.channels * a.stride]);
}

struct AttendSignalsArgs {
    const float* q;  // [heads * dim, q_stride]
    const float* k;  // [heads * dim, stride]
    const float* v;  // The same
    float* out;      // As `q`
    u32 dim;
    u32 queries, keys;
    u32 q_stride, stride;
    float scale;     // Of scores, as powers of two
};

enum {
    ATTEND_QUERIES = 64,
    ATTEND_KEYS = 32,
    ATTEND_THREADS = 128,
    ATTEND_STEP = ATTEND_KEYS + 4,  // Numbers from one row of values to the next: two rows meet in no bank.
};

// Every query sees every key, by an online softmax (Milakov & Gimelshein, 2018, arXiv:1805.02867). Block (64 queries;
// head), of DIM dimensions at most, 32 keys at a time. A thread has four neighbouring queries: with four keys first, then
// with every eighth dimension.
template <int DIM> DEVICE void attend_signals(const AttendSignalsArgs& a) {
    __shared__ float4 factors[ATTEND_QUERIES / 4];
    let_next_start();
    wait_for_previous();
    float* queries = (float*)shared_memory;        // [DIM, 64]
    float* keys = queries + DIM * ATTEND_QUERIES;  // [DIM, 32]
    float* values = keys + DIM * ATTEND_KEYS;      // [DIM, 36]
    float* scores = values + DIM * ATTEND_STEP;    // [32, 64]
    const u32 first = blockIdx.x * ATTEND_QUERIES, row = blockIdx.y * a.dim;
    const u32 four = threadIdx.x % 16, part = threadIdx.x / 16;
    for (u32 i = threadIdx.x; i < DIM * ATTEND_QUERIES; i += ATTEND_THREADS) {
        const u32 d = i / ATTEND_QUERIES, t = first + i % ATTEND_QUERIES;
        const bool there = d < a.dim && t < a.queries;
        queries[i] = there ? a.q[(u64)(row + d) * a.q_stride + t] * a.scale : 0.f;
    }
    float found[DIM / 8][4];
#pragma unroll
    for (int i = 0; i < DIM / 8; i++)
#pragma unroll
        for (int c = 0; c < 4; c++) found[i][c] = 0.f;
    // Of the softmax of query `threadIdx.x / 2`.
    float most = -INFINITE, sum = 0.f;
    float* factor_of = (float*)factors + threadIdx.x / 2;
    for (u32 from = 0; from < a.keys; from += ATTEND_KEYS) {
        // All are done with the keys before.
        __syncthreads();
        for (u32 i = threadIdx.x; i < DIM * ATTEND_KEYS; i += ATTEND_THREADS) {
            const u32 d = i / ATTEND_KEYS, t = from + i % ATTEND_KEYS;
            const bool there = d < a.dim && t < a.keys;
            const u64 at = (u64)(row + d) * a.stride + t;
            keys[i] = there ? a.k[at] : 0.f;
            values[d * ATTEND_STEP + i % ATTEND_KEYS] = there ? a.v[at] : 0.f;
        }
        __syncthreads();
        float s[4][4];
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int c = 0; c < 4; c++) s[j][c] = 0.f;
#pragma unroll 8
        for (u32 d = 0; d < a.dim; d++) {
            const float4 q = *(const float4*)(queries + d * ATTEND_QUERIES + four * 4);
            const float4 k = *(const float4*)(keys + d * ATTEND_KEYS + part * 4);
            const float each[4] = {k.x, k.y, k.z, k.w};
#pragma unroll
            for (int j = 0; j < 4; j++) {
                s[j][0] = fmaf(q.x, each[j], s[j][0]);
                s[j][1] = fmaf(q.y, each[j], s[j][1]);
                s[j][2] = fmaf(q.z, each[j], s[j][2]);
                s[j][3] = fmaf(q.w, each[j], s[j][3]);
            }
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
            const bool there = from + part * 4 + j < a.keys;
            *(float4*)(scores + (part * 4 + j) * ATTEND_QUERIES + four * 4) =
                there ? make_float4(s[j][0], s[j][1], s[j][2], s[j][3])
                      : make_float4(-INFINITE, -INFINITE, -INFINITE, -INFINITE);
        }
        __syncthreads();
        // Two threads a query, every other key each; the first key of all is always there.
        float* own = scores + threadIdx.x / 2;
        float now = most;
#pragma unroll 4
        for (u32 j = threadIdx.x % 2; j < ATTEND_KEYS; j += 2) now = fmaxf(now, own[j * ATTEND_QUERIES]);
        now = fmaxf(now, __shfl_xor_sync(FULL, now, 1));
        const float keep = exp2f(most - now);
        float added = 0.f;
#pragma unroll 4
        for (u32 j = threadIdx.x % 2; j < ATTEND_KEYS; j += 2) {
            const float p = exp2f(own[j * ATTEND_QUERIES] - now);
            own[j * ATTEND_QUERIES] = p;
            added += p;
        }
        sum = fmaf(sum, keep, added + __shfl_xor_sync(FULL, added, 1));
        most = now;
        if (threadIdx.x % 2 == 0) *factor_of = keep;
        __syncthreads();
        const float4 kept = factors[four];
#pragma unroll
        for (int i = 0; i < DIM / 8; i++) {
            found[i][0] *= kept.x;
            found[i][1] *= kept.y;
            found[i][2] *= kept.z;
            found[i][3] *= kept.w;
        }
#pragma unroll 2
        for (u32 j = 0; j < ATTEND_KEYS; j += 4) {
            float4 p[4];
#pragma unroll
            for (int k = 0; k < 4; k++) p[k] = *(const float4*)(scores + (j + k) * ATTEND_QUERIES + four * 4);
#pragma unroll
            for (int i = 0; i < DIM / 8; i++) {
                const float4 v = *(const float4*)(values + (i * 8 + part) * ATTEND_STEP + j);
                const float each[4] = {v.x, v.y, v.z, v.w};
#pragma unroll
                for (int k = 0; k < 4; k++) {
                    found[i][0] = fmaf(each[k], p[k].x, found[i][0]);
                    found[i][1] = fmaf(each[k], p[k].y, found[i][1]);
                    found[i][2] = fmaf(each[k], p[k].z, found[i][2]);
                    found[i][3] = fmaf(each[k], p[k].w, found[i][3]);
                }
            }
        }
    }
    __syncthreads();
    if (threadIdx.x % 2 == 0) *factor_of = 1.f / sum;
    __syncthreads();
    const float4 end = factors[four];
    const u32 t = first + four * 4;
    if (t >= a.queries) return;
#pragma unroll
    for (int i = 0; i < DIM / 8; i++) {
        const u32 d = i * 8 + part;
        if (d >= a.dim) continue;
        *(float4*)(a.out + (u64)(row + d) * a.q_stride + t) =
            make_float4(found[i][0] * end.x, found[i][1] * end.y, found[i][2] * end.z, found[i][3] * end.w);
    }
}
KERNEL(attend_signals_64, AttendSignalsArgs, __launch_bounds__(ATTEND_THREADS)) {
    attend_signals<64>(a);
}
KERNEL(attend_signals_128, AttendSignalsArgs, __launch_bounds__(ATTEND_THREADS)) {
    attend_signals<128>(a);
}
