// Convolution over time. Samples lie channel by channel, in rows that begin at 16 bytes; what lies in a row past its
// samples is whatever it is. Each result is summed in an order that depends on the filter alone, not on where it lies in
// the signal: a part of a signal, with enough around it, gives the bits of the whole.

enum Function { IDENTITY = 0, SNAKE = 1, GELU = 2, TANH = 3, RELU = 4, RELU_AFFINE = 5 };

// What becomes of the sums.
struct ConvOut {
    const float* bias;   // [rows]
    float* plain;        // Results, [rows, stride], or null,
    float* active;       // and a function of them, or null.
    const float* alpha;  // [rows], of Snake; the factors of a batch norm
    const float* shift;  // [rows], of a batch norm
    u32 rows, len;       // Results of a phase
    u32 stride;          // Numbers from one row to the next
    u32 add;             // What `plain` holds is added.
    u32 function;
};

// sin(x)^2: its period is pi, so a polynomial of the sine on +-pi/2 does without a case for the sign.
DEVICE float sin_squared(float x) {
    const float n = rintf(x * 0.318309886f);
    // pi in three parts, the first two exact in few bits (Cody and Waite, 1980).
    float r = fmaf(n, -3.140625f, x);
    r = fmaf(n, -9.6702576e-4f, r);
    r = fmaf(n, -6.277114e-7f, r);
    const float square = r * r;
    float p = 1.6059044e-10f;
    p = fmaf(p, square, -2.5052108e-8f);
    p = fmaf(p, square, 2.7557319e-6f);
    p = fmaf(p, square, -1.984127e-4f);
    p = fmaf(p, square, 8.333333e-3f);
    p = fmaf(p, square, -0.16666667f);
    const float sine = fmaf(p * square, r, r);
    return sine * sine;
}

// A row's own numbers of the function of the results.
struct RowFunction {
    u32 function;
    float alpha, shift;

    DEVICE RowFunction(const ConvOut& o, u32 row) : function(o.function) {
        const bool affine = function == RELU_AFFINE;
        alpha = function == SNAKE || affine ? __ldg(o.alpha + row) : 0.f;
        shift = affine ? __ldg(o.shift + row) : 0.f;
    }
    DEVICE float operator()(float x) const {
        switch (function) {
            case SNAKE: return fmaf(sin_squared(alpha * x), 1.f / (alpha + 1e-9f), x);
            case GELU: return gelu(x);
            case TANH: return tanhf(x);
            case RELU: return fmaxf(x, 0.f);
            case RELU_AFFINE: return fmaf(fmaxf(x, 0.f), alpha, shift);
        }
        return x;
    }
};

// A result.
DEVICE void finish(const ConvOut& o, u32 row, u64 at, float sum) {
    float v = sum + __ldg(o.bias + row);
    if (o.add) v += o.plain[at];
    if (o.plain) o.plain[at] = v;
    if (o.active) o.active[at] = RowFunction(o, row)(v);
}
// Four neighbouring ones, `at` a multiple of four: what is written past the samples of a row is never read.
DEVICE void finish_four(const ConvOut& o, u32 row, u64 at, const float4& sum) {
    const float bias = __ldg(o.bias + row);
    float4 v = make_float4(sum.x + bias, sum.y + bias, sum.z + bias, sum.w + bias);
    if (o.add) {
        const float4 old = *(const float4*)(o.plain + at);
        v = make_float4(v.x + old.x, v.y + old.y, v.z + old.z, v.w + old.w);
    }
    if (o.plain) *(float4*)(o.plain + at) = v;
    if (!o.active) return;
    const RowFunction f(o, row);
    *(float4*)(o.active + at) = make_float4(f(v.x), f(v.y), f(v.z), f(v.w));
}

// The kernel of one sample that is written for each that is read: of a transposed convolution there are several.
struct ConvPhase {
    u32 first;  // The first of its tiles of weights.
    u32 taps;
    int ahead;  // Where the first tap reads, in samples after the result's own.
    u32 unused;
};

struct ConvArgs {
    const float* x;           // [channels, stride]
    const float* weights;     // Tiles [phases][rows / 96][channels / 16][taps][16][96], padded with zeros.
    const ConvPhase* phases;
    float* partial;           // [tiles, splits, 96 * 64], where there are several splits,
    u32* tickets;             // [tiles]: 0, and 0 again when the kernel ends.
    ConvOut out;
    u32 channels, len, stride;
    u32 n_phases;
    u32 splits;               // Blocks that share the sums of a tile.
    u32 step;                 // Samples from what one result reads to what the next does,
    int next;                 // and from one tap to the next.
};

enum {
    CONV_ROWS = 96,
    CONV_COLUMNS = 64,
    CONV_DEPTH = 16,
    CONV_STAGES = 3,
    CONV_THREADS = 128,
    CONV_WEIGHTS = CONV_DEPTH * CONV_ROWS / 4,     // float4 of a step
    CONV_SAMPLES = CONV_DEPTH * CONV_COLUMNS / 4,
    CONV_RESULTS = CONV_ROWS * CONV_COLUMNS / 4,
};

// Block (64 results; 96 rows; phase and split). A step is 16 channels at one tap; the first two warps multiply eight of
// them, the other two the other eight. A thread has 12 rows and 8 columns, in groups of four.
KERNEL(convolve, ConvArgs, __launch_bounds__(CONV_THREADS)) {
    __shared__ float4 staged[CONV_STAGES * (CONV_WEIGHTS + CONV_SAMPLES)];
    __shared__ bool last;
    let_next_start();
    const u32 phase = blockIdx.z % a.n_phases, split = blockIdx.z / a.n_phases;
    const ConvPhase p = a.phases[phase];
    const u32 steps = (a.channels + CONV_DEPTH - 1) / CONV_DEPTH * p.taps;
    const u32 begin = steps * split / a.splits, end = steps * (split + 1) / a.splits;
    const float4* tiles = (const float4*)a.weights + ((u64)p.first + (u64)blockIdx.y * steps) * CONV_WEIGHTS;
    const u32 half = threadIdx.x / CONV_COLUMNS, column = threadIdx.x % CONV_COLUMNS;
    const u32 t = blockIdx.x * CONV_COLUMNS + column;
    const u32 base = shared_address(staged);

    auto place = [&](u32 step) { return (step - begin) % CONV_STAGES * (CONV_WEIGHTS + CONV_SAMPLES); };
    auto load_weights = [&](u32 step) {
        const u32 to = base + place(step) * 16;
        for (u32 i = threadIdx.x; i < CONV_WEIGHTS; i += CONV_THREADS)
            copy_async(to + i * 16, tiles + (u64)step * CONV_WEIGHTS + i, true);
    };
    auto load_samples = [&](u32 step) {
        const u32 block = step / p.taps, tap = step - block * p.taps;
        const int at = (int)(t * a.step) + p.ahead + (int)tap * a.next;
        const bool inside = t < a.out.len && at >= 0 && at < (int)a.len;
        const u32 channel = block * CONV_DEPTH + half * (CONV_DEPTH / 2);
        const float* from = a.x + (u64)channel * a.stride + (inside ? at : 0);
        const u32 to = base + (place(step) + CONV_WEIGHTS) * 16 + (half * (CONV_DEPTH / 2) * CONV_COLUMNS + column) * 4;
#pragma unroll
        for (u32 k = 0; k < CONV_DEPTH / 2; k++) {
            const bool there = inside && channel + k < a.channels;
            copy_number(to + k * CONV_COLUMNS * 4, there ? from + (u64)k * a.stride : a.x, there);
        }
    };

    for (u32 s = begin; s < min(begin + CONV_STAGES - 1, end); s++) load_weights(s);
    wait_for_previous();
    for (u32 s = begin; s < begin + CONV_STAGES - 1; s++) {
        if (s < end) load_samples(s);
        commit();
    }
    const u32 lane = threadIdx.x % WARP, warp = column / WARP;
    const u32 lane_row = lane / 8, lane_column = lane % 8;
    float sums[12][8];
#pragma unroll
    for (int r = 0; r < 12; r++)
#pragma unroll
        for (int c = 0; c < 8; c++) sums[r][c] = 0.f;
    for (u32 step = begin; step < end; step++) {
        wait_group<CONV_STAGES - 2>();
        // What all threads have copied is there, and all are done with the place of the step before.
        __syncthreads();
        if (step + CONV_STAGES - 1 < end) {
            load_weights(step + CONV_STAGES - 1);
            load_samples(step + CONV_STAGES - 1);
        }
        commit();
        const float4* w = staged + place(step) + half * (CONV_WEIGHTS / 2) + warp * 12 + lane_row;
        const float4* x = staged + place(step) + CONV_WEIGHTS + half * (CONV_SAMPLES / 2) + lane_column;
#pragma unroll
        for (int k = 0; k < CONV_DEPTH / 2; k++) {
            const float4 w0 = w[k * (CONV_ROWS / 4)], w1 = w[k * (CONV_ROWS / 4) + 4], w2 = w[k * (CONV_ROWS / 4) + 8];
            const float4 x0 = x[k * (CONV_COLUMNS / 4)], x1 = x[k * (CONV_COLUMNS / 4) + 8];
            const float rows[12] = {w0.x, w0.y, w0.z, w0.w, w1.x, w1.y, w1.z, w1.w, w2.x, w2.y, w2.z, w2.w};
            const float columns[8] = {x0.x, x0.y, x0.z, x0.w, x1.x, x1.y, x1.z, x1.w};
#pragma unroll
            for (int r = 0; r < 12; r++)
#pragma unroll
                for (int c = 0; c < 8; c++) sums[r][c] = fmaf(rows[r], columns[c], sums[r][c]);
        }
    }
    wait_group<0>();
    __syncthreads();

    // The halves come together where the steps were: result `e` of all threads, then the next. Result 2 * r + h has the
    // columns of group h in row r.
    float4* held = staged;
    if (half == 1) {
#pragma unroll
        for (int e = 0; e < 24; e++) {
            const float* s = sums[e / 2] + e % 2 * 4;
            held[e * CONV_COLUMNS + column] = make_float4(s[0], s[1], s[2], s[3]);
        }
    }
    __syncthreads();
    if (half == 0) {
#pragma unroll
        for (int e = 0; e < 24; e++) {
            const float* s = sums[e / 2] + e % 2 * 4;
            const float4 other = held[e * CONV_COLUMNS + column];
            held[e * CONV_COLUMNS + column] = make_float4(s[0] + other.x, s[1] + other.y, s[2] + other.z, s[3] + other.w);
        }
    }
    __syncthreads();

    const u32 tile = (phase * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    float4* partial = (float4*)a.partial + (u64)tile * a.splits * CONV_RESULTS;
    if (a.splits > 1) {
        for (u32 i = threadIdx.x; i < CONV_RESULTS; i += CONV_THREADS) partial[split * CONV_RESULTS + i] = held[i];
        __threadfence();
        __syncthreads();
        if (threadIdx.x == 0) last = atomicAdd(a.tickets + tile, 1) == a.splits - 1;
        __syncthreads();
        if (!last) return;
        __threadfence();
    }
    for (u32 i = threadIdx.x; i < CONV_RESULTS; i += CONV_THREADS) {
        const u32 e = i / CONV_COLUMNS, thread = i % CONV_COLUMNS, r = e / 2;
        const u32 row = blockIdx.y * CONV_ROWS + thread / WARP * 48 + r / 4 * 16 + thread % WARP / 8 * 4 + r % 4;
        const u32 first = blockIdx.x * CONV_COLUMNS + e % 2 * 32 + thread % 8 * 4;
        if (row >= a.out.rows || first >= a.out.len) continue;
        float4 sum = held[i];
        if (a.splits > 1) {
            sum = make_float4(0.f, 0.f, 0.f, 0.f);
#pragma unroll 4
            for (u32 s = 0; s < a.splits; s++) {
                const float4 part = load_written(partial + s * CONV_RESULTS + i);
                sum = make_float4(sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w);
            }
        }
        const u64 at = (u64)row * a.out.stride;
        if (a.n_phases == 1) {
            finish_four(a.out, row, at + first, sum);
            continue;
        }
        const float each[4] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
        for (u32 j = 0; j < 4; j++)
            if (first + j < a.out.len) finish(a.out, row, at + (u64)(first + j) * a.n_phases + phase, each[j]);
    }
    if (a.splits > 1 && threadIdx.x == 0) a.tickets[tile] = 0;
}

struct NarrowArgs {
    const float* x;        // [channels, stride]
    const float* weights;  // [rows, channels, taps]
    ConvOut out;
    u32 channels, len, stride;
    u32 taps;
    int ahead;
    u32 step;
    int next;
};

// The same of few rows. Block (32 results; row), a warp an eighth of the channels.
KERNEL(convolve_narrow, NarrowArgs) {
    __shared__ float sums[8][WARP];
    let_next_start();
    wait_for_previous();
    const u32 column = threadIdx.x % WARP, warp = threadIdx.x / WARP, row = blockIdx.y;
    const u32 t = blockIdx.x * WARP + column;
    const float* weights = a.weights + (u64)row * a.channels * a.taps;
    float sum = 0.f;
    for (u32 c = warp; c < a.channels; c += 8) {
        const float* x = a.x + (u64)c * a.stride;
#pragma unroll 4
        for (u32 tap = 0; tap < a.taps; tap++) {
            const int at = (int)(t * a.step) + a.ahead + (int)tap * a.next;
            const bool inside = t < a.out.len && at >= 0 && at < (int)a.len;
            sum = fmaf(__ldg(weights + c * a.taps + tap), inside ? x[at] : 0.f, sum);
        }
    }
    sums[warp][column] = sum;
    __syncthreads();
    if (warp > 0 || t >= a.out.len) return;
    float all = 0.f;
#pragma unroll
    for (int w = 0; w < 8; w++) all += sums[w][column];
    finish(a.out, row, (u64)row * a.out.stride + t, all);
}

struct ChannelNormArgs {
    const float* x;          // [channels, stride]
    const float* taps;       // [channels, size]: each channel is convolved by itself first; or null
    const float* taps_bias;  // [channels]
    const float* scale;      // [channels], which a kernel may have made
    const float* shift;
    float* out;              // [channels, out_stride]
    u32 size;
    u32 channels, len, stride, out_stride;
    float eps;
    u32 gelu;                // The GELU of the norm
};

enum { NORM_SAMPLES = 8, NORM_THREADS = 512, NORM_GROUPS = NORM_THREADS / NORM_SAMPLES };

// The sum over all threads of a sample, in shared memory for the time being.
DEVICE float over_channels(float x, float (*sums)[NORM_SAMPLES]) {
    x += __shfl_xor_sync(FULL, x, 8);
    x += __shfl_xor_sync(FULL, x, 16);
    if (threadIdx.x % WARP < NORM_SAMPLES) sums[threadIdx.x / WARP][threadIdx.x % WARP] = x;
    __syncthreads();
    float all = 0.f;
#pragma unroll
    for (int w = 0; w < NORM_THREADS / WARP; w++) all += sums[w][threadIdx.x % NORM_SAMPLES];
    __syncthreads();
    return all;
}

// Mean 0 and variance 1 over the channels of each sample. A block 8 samples; a thread every 64th channel of one.
KERNEL(channel_norm, ChannelNormArgs, __launch_bounds__(NORM_THREADS)) {
    __shared__ float sums[NORM_THREADS / WARP][NORM_SAMPLES];
    let_next_start();
    wait_for_previous();
    // [channels, 8]; each thread reads what it wrote.
    float* y = (float*)shared_memory + threadIdx.x % NORM_SAMPLES;
    const u32 group = threadIdx.x / NORM_SAMPLES, t = blockIdx.x * NORM_SAMPLES + threadIdx.x % NORM_SAMPLES;
    const bool there = t < a.len;
    float sum = 0.f;
    for (u32 c = group; c < a.channels; c += NORM_GROUPS) {
        const float* x = a.x + (u64)c * a.stride;
        float v = 0.f;
        if (there && a.taps) {
            v = __ldg(a.taps_bias + c);
#pragma unroll 7
            for (u32 k = 0; k < a.size; k++) {
                const int at = (int)(t + k) - (int)(a.size / 2);
                const bool inside = at >= 0 && at < (int)a.len;
                v = fmaf(__ldg(a.taps + (u64)c * a.size + k), inside ? x[at] : 0.f, v);
            }
        } else if (there) {
            v = x[t];
        }
        y[c * NORM_SAMPLES] = v;
        sum += v;
    }
    const float mean = over_channels(sum, sums) / a.channels;
    float squares = 0.f;
    for (u32 c = group; c < a.channels; c += NORM_GROUPS) {
        const float d = y[c * NORM_SAMPLES] - mean;
        squares = fmaf(d, d, squares);
    }
    const float factor = rsqrtf(over_channels(squares, sums) / a.channels + a.eps);
    if (!there) return;
    for (u32 c = group; c < a.channels; c += NORM_GROUPS) {
        const float v = fmaf((y[c * NORM_SAMPLES] - mean) * factor, a.scale[c], a.shift[c]);
        a.out[(u64)c * a.out_stride + t] = a.gelu ? gelu(v) : v;
    }
}

struct AffineArgs {
    const float* weights;  // [rows, width]
    const float* bias;     // [rows]
    const float* x;        // [width]
    float* out;            // [rows]
    u32 rows;
    u32 width;
};

// One vector times a matrix; a warp a row.
KERNEL(affine, AffineArgs) {
    let_next_start();
    wait_for_previous();
    const u32 row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= a.rows) return;
    const float* weights = a.weights + (u64)row * a.width;
    float sum = 0.f;
#pragma unroll 8
    for (u32 i = lane; i < a.width; i += WARP) sum = fmaf(__ldg(weights + i), a.x[i], sum);
    sum = warp_sum(sum);
    if (lane == 0) a.out[row] = __ldg(a.bias + row) + sum;
}

struct PartArgs {
    const float* x;  // [channels, stride], from its first sample on that is wanted
    float* out;      // [channels, out_stride]
    u32 len, stride, out_stride;
};

// Some samples of each channel. Block (channel; 256 samples).
KERNEL(part_of_signal, PartArgs) {
    let_next_start();
    wait_for_previous();
    const u32 t = blockIdx.y * blockDim.x + threadIdx.x;
    if (t < a.len) a.out[(u64)blockIdx.x * a.out_stride + t] = a.x[(u64)blockIdx.x * a.stride + t];
}
