// The likeliest tokens.

// Orders as the logits do.
DEVICE u32 logit_key(float x) {
    const u32 bits = __float_as_uint(x);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}
DEVICE bool no_logit(float x) { return !(x < INFINITE); }

struct BestArgs {
    const float* logits;
    u32 count;
    u64* partial;   // [blocks]
    u32* ticket;    // 0, and 0 again when the kernel ends
    u32* best;      // The token, and whether some logit was no number or all were infinite; the host's memory
};
// Of equal logits the first is the best one. What is no logit is above all.
DEVICE u64 best_key(float x, u32 id) {
    return no_logit(x) ? ~0ull : ((u64)logit_key(x) << 32) | (0xffffffffu - id);
}
DEVICE u64 block_best(u64 key, u64* scratch) {
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        const u64 other = __shfl_xor_sync(FULL, key, d);
        key = other > key ? other : key;
    }
    if (threadIdx.x % WARP == 0) scratch[threadIdx.x / WARP] = key;
    __syncthreads();
    key = threadIdx.x < blockDim.x / WARP ? scratch[threadIdx.x] : 0;
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        const u64 other = __shfl_xor_sync(FULL, key, d);
        key = other > key ? other : key;
    }
    __syncthreads();
    return key;
}
// Whether this block is the last of all to come here; then it sees what the others wrote before.
DEVICE bool comes_last(u32* ticket) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) last = atomicAdd(ticket, 1) == gridDim.x - 1;
    __syncthreads();
    if (last) {
        __threadfence();
        if (threadIdx.x == 0) *ticket = 0;
    }
    return last;
}
KERNEL(best_token, BestArgs) {
    __shared__ u64 scratch[32];
    wait_for_previous();
    let_next_start();
    u64 key = 0;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < a.count; i += gridDim.x * blockDim.x) {
        const u64 other = best_key(a.logits[i], i);
        key = other > key ? other : key;
    }
    key = block_best(key, scratch);
    if (threadIdx.x == 0) a.partial[blockIdx.x] = key;
    if (!comes_last(a.ticket)) return;
    key = 0;
    for (u32 i = threadIdx.x; i < gridDim.x; i += blockDim.x) {
        const u64 other = ((volatile u64*)a.partial)[i];
        key = other > key ? other : key;
    }
    key = block_best(key, scratch);
    if (threadIdx.x == 0) {
        a.best[0] = 0xffffffffu - (u32)key;
        a.best[1] = key == ~0ull || (key >> 32) <= logit_key(-INFINITE);
    }
}

// The `k` likeliest tokens, and others that come close: all whose logits begin with the same twelve bits as that of
// the k-th, or with higher ones.
enum { BINS = 4096 };
struct FewArgs {
    const float* logits;
    u32 count;
    u32 k;
    u32* bins;      // [BINS], 0, and 0 again at the end
    u32* state;     // Two tickets, the least bin, how many were found, whether some logit was no number; 0 at the end
    u32* found;     // The host's: how many there are, whether some logit was no number, then token and logit of each
    u32 room;       // As many of these at most
};
KERNEL(count_bins, FewArgs) {
    __shared__ u32 bins[BINS];
    __shared__ u32 above[256];
    wait_for_previous();
    let_next_start();
    for (u32 i = threadIdx.x; i < BINS; i += blockDim.x) bins[i] = 0;
    __syncthreads();
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < a.count; i += gridDim.x * blockDim.x) {
        const float x = a.logits[i];
        if (no_logit(x)) a.state[4] = 1;
        atomicAdd(bins + (logit_key(x) >> 20), 1);
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < BINS; i += blockDim.x)
        if (bins[i]) atomicAdd(a.bins + i, bins[i]);
    if (!comes_last(a.state)) return;
    // A thread sums its share of the bins, the highest first.
    const u32 each = BINS / 256;
    u32 sum = 0;
    for (u32 i = 0; i < each; i++) sum += ((volatile u32*)a.bins)[BINS - 1 - (threadIdx.x * each + i)];
    above[threadIdx.x] = sum;
    __syncthreads();
    u32 before = 0;
    for (u32 i = 0; i < threadIdx.x; i++) before += above[i];
    if (before < a.k && (before + sum >= a.k || threadIdx.x == 255)) {
        u32 bin = BINS - 1 - threadIdx.x * each;
        u32 least = bin - (each - 1);
        for (u32 i = 0; i < each; i++, bin--) {
            before += ((volatile u32*)a.bins)[bin];
            if (before >= a.k) {
                least = bin;
                break;
            }
        }
        a.state[2] = least;
    }
    __syncthreads();
    for (u32 i = threadIdx.x; i < BINS; i += blockDim.x) a.bins[i] = 0;
}
KERNEL(gather_few, FewArgs) {
    wait_for_previous();
    let_next_start();
    const u32 least = a.state[2];
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < a.count; i += gridDim.x * blockDim.x) {
        const float x = a.logits[i];
        if (logit_key(x) >> 20 < least) continue;
        const u32 at = atomicAdd(a.state + 3, 1);
        if (at < a.room) {
            a.found[2 + 2 * at] = i;
            a.found[3 + 2 * at] = __float_as_uint(x);
        }
    }
    if (!comes_last(a.state + 1)) return;
    if (threadIdx.x == 0) {
        a.found[0] = ((volatile u32*)a.state)[3];
        a.found[1] = ((volatile u32*)a.state)[4];
        a.state[3] = a.state[4] = 0;
    }
}
