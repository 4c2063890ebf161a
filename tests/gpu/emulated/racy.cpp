// Kernels with one mistake each, for `races.cpp` to find: `racy KERNEL wrong` must say so, `racy KERNEL right` nothing.
#include "device.h"

namespace {

struct Args {
    u32* out;
    u32* ticket;
    bool right;
};
enum { THREADS = 64, BLOCKS = 2 };
#define NUMBERS ((u32*)shared_memory)

KERNEL(warps_wait_for_each_other, Args) {
    NUMBERS[threadIdx.x] = threadIdx.x;
    if (a.right) __syncthreads();
    else __syncwarp();
    a.out[blockIdx.x * THREADS + threadIdx.x] = NUMBERS[threadIdx.x ^ WARP];
}
KERNEL(first_warps_wait_for_each_other, Args) {
    NUMBERS[threadIdx.x] = threadIdx.x;
    // Whoever is in no meeting is not ordered by it.
    if (a.right || threadIdx.x < WARP) meet(a.right ? 2 : 1);
    a.out[blockIdx.x * THREADS + threadIdx.x] = NUMBERS[threadIdx.x ^ WARP];
}
KERNEL(lanes_wait_for_each_other, Args) {
    NUMBERS[threadIdx.x] = threadIdx.x;
    // An exchange orders no memory.
    if (a.right) __syncwarp();
    else __shfl_xor_sync(FULL, threadIdx.x, 1);
    a.out[blockIdx.x * THREADS + threadIdx.x] = NUMBERS[threadIdx.x ^ 1];
}
KERNEL(nothing_is_overwritten_early, Args) {
    NUMBERS[threadIdx.x] = threadIdx.x;
    __syncthreads();
    const u32 x = NUMBERS[threadIdx.x ^ WARP];
    if (a.right) __syncthreads();
    NUMBERS[threadIdx.x] = x + 1;
}
KERNEL(halves_of_a_word_are_two_places, Args) {
    u16* halves = (u16*)shared_memory;
    halves[a.right ? threadIdx.x : threadIdx.x / 2] = 1;
}
KERNEL(copies_are_waited_for_before_the_barrier, Args) {
    copy_async(shared_address(shared_memory + threadIdx.x), a.out, true);
    commit();
    if (a.right) wait_group<0>();
    __syncthreads();
    const u32 x = *(volatile u32*)(shared_memory + (threadIdx.x ^ 1));
    if (!a.right) wait_group<0>();
}
KERNEL(copies_start_behind_the_barrier, Args) {
    const u32 x = *(volatile u32*)(shared_memory + (threadIdx.x ^ 1));
    if (a.right) __syncthreads();
    copy_async(shared_address(shared_memory + threadIdx.x), a.out, true);
    commit();
    wait_group<0>();
}
KERNEL(sums_are_complete, Args) {
    __shared__ u32 sum;
    atomicAdd(&sum, 1);
    if (a.right) __syncthreads();
    a.out[blockIdx.x * THREADS + threadIdx.x] = sum;
}
KERNEL(blocks_write_to_places_of_their_own, Args) { a.out[a.right ? blockIdx.x * THREADS + threadIdx.x : threadIdx.x] = 1; }
KERNEL(the_last_block_sees_what_all_wrote, Args) {
    a.out[blockIdx.x * THREADS + threadIdx.x] = 1;
    if (a.right) __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) NUMBERS[0] = atomicAdd(a.ticket, 1);
    __syncthreads();
    if (NUMBERS[0] != BLOCKS - 1) return;
    __threadfence();
    for (u32 block = 0; block < BLOCKS; block++) a.ticket[1 + threadIdx.x] += a.out[block * THREADS + threadIdx.x];
}
KERNEL(the_last_block_knows_it_by_a_barrier, Args) {
    a.out[blockIdx.x * THREADS + threadIdx.x] = 1;
    __threadfence();
    if (a.right) __syncthreads();
    if (threadIdx.x == 0) NUMBERS[0] = atomicAdd(a.ticket, 1);
    __syncthreads();
    if (NUMBERS[0] != BLOCKS - 1) return;
    __threadfence();
    for (u32 block = 0; block < BLOCKS; block++) a.ticket[1 + threadIdx.x] += a.out[block * THREADS + threadIdx.x];
}
KERNEL(writes_early, Args) {
    let_next_start();
    wait_for_previous();
    a.out[blockIdx.x * THREADS + threadIdx.x] = 1;
}
// Behind `writes_early`, and started before it has ended.
KERNEL(kernels_read_when_they_have_waited, Args) {
    if (a.right) wait_for_previous();
    const u32 x = a.out[blockIdx.x * THREADS + threadIdx.x];
    wait_for_previous();
    a.ticket[1 + blockIdx.x * THREADS + threadIdx.x] = x;
}
KERNEL(kernels_write_when_they_have_waited, Args) {
    if (a.right) wait_for_previous();
    a.out[blockIdx.x * THREADS + threadIdx.x] = 2;
    wait_for_previous();
}

}  // namespace

static const Kernel* named(const char* name) {
    for (const Kernel& kernel : kernels())
        if (!strcmp(kernel.name, name)) return &kernel;
    return NULL;
}

// Without arguments the names of all kernels.
int main(int count, char** arguments) {
    if (count < 3) {
        for (const Kernel& kernel : kernels()) puts(kernel.name);
        return 0;
    }
    const Kernel* kernel = named(arguments[1]);
    if (!kernel) return 2;
    const Guarded out(4096), ticket(4096);
    memset(ticket.pages, 0, 4096);
    for (const Guarded* each : {&out, &ticket}) watch(each->pages, 4096);
    const Args args = {(u32*)out.pages, (u32*)ticket.pages, !strcmp(arguments[2], "right")};
    const std::vector<char> argument((const char*)&args, (const char*)(&args + 1));
    auto put = [&](const Kernel& which, bool early) {
        launch(which, argument, {BLOCKS, 1, 1}, THREADS, THREADS * sizeof(uint4), early);
    };
    const bool early = strstr(kernel->name, "kernels_");
    for (int i = 0; i < 2; i++) {
        put(*named("writes_early"), early);
        if (i == 0) finish_all();
    }
    put(*kernel, early);
    finish_all();
}
