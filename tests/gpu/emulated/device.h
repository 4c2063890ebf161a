// A CPU in place of `src/kernels/cuda/device/instructions.cuh`: the words of CUDA's C++ and the instructions, each as
// the PTX manual describes it, for the one block of `machine.h`.
#pragma once
#include <algorithm>
#include <cmath>

#include "machine.h"

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { u32 x, y; };
struct alignas(16) uint4 { u32 x, y, z, w; };
static inline float2 make_float2(float x, float y) { return {x, y}; }
static inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
static inline uint2 make_uint2(u32 x, u32 y) { return {x, y}; }
static inline uint4 make_uint4(u32 x, u32 y, u32 z, u32 w) { return {x, y, z, w}; }

#define DEVICE inline
#define WARP 32
#define FULL 0xffffffffu
#define INFINITE INFINITY
#define __shared__ static
#define __launch_bounds__(threads, ...) threads
#define threadIdx (this_fiber->thread)
#define blockIdx (this_block->index)
#define blockDim (this_block->size)
#define gridDim (this_block->grid)
#define shared_memory ((float4*)this_block->shared)

static std::vector<Kernel>& kernels() {
    static std::vector<Kernel> all;
    return all;
}
struct Registered {
    Registered(const char* name, size_t bytes, void (*run)(const void*), u32 most_threads = MOST_THREADS) {
        kernels().push_back({name, bytes, run, most_threads});
    }
};
#define KERNEL(name, Arguments, ...) \
    static void name(const Arguments& a); \
    static Registered registered_##name{#name, sizeof(Arguments), \
                                        [](const void* a) { name(*(const Arguments*)a); } __VA_OPT__(,) __VA_ARGS__}; \
    static void name(const Arguments& a)

using std::max;
using std::min;
static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
#define __expf expf
// The compiler is told to fuse nothing by itself.
static inline float product(float a, float b) { return a * b; }
static inline u32 __float_as_uint(float x) { u32 bits; memcpy(&bits, &x, 4); return bits; }
static inline float __uint_as_float(u32 bits) { float x; memcpy(&x, &bits, 4); return x; }
template <class T> static inline T __ldg(const T* p) { return *p; }
template <class T> static inline T __ldcg(const T* p) { return *p; }
UNSEEN static u32 add(u32* p, u32 x) { const u32 before = *p; *p += x; return before; }
static inline u32 atomicAdd(u32* p, u32 x) {
    comes_to_add(p, sizeof *p);
    return add(p, x);
}
static inline void __threadfence() { this_fiber->standing.fences++; }
static inline u32 __byte_perm(u32 x, u32 y, u32 selector) {
    const u64 both = (u64)y << 32 | x;
    u32 out = 0;
    for (int i = 0; i < 4; i++) out |= (u32)(both >> (selector >> 4 * i & 7) * 8 & 0xff) << 8 * i;
    return out;
}

static inline void __syncthreads() { this_fiber->standing.all = meet_at(this_block->all, this_block->size.x); }
static inline void __syncwarp() {
    meet_at(warp_barrier(), WARP);
    this_fiber->standing.in_warp++;
}
static inline void meet(u32 warps) {
    const unsigned which = meet_at(this_block->first, warps * WARP);
    this_block->came.resize(which + 1, warps);
    this_fiber->standing.some = which;
}

// Lanes meet in pairs; who else is in the mask does not matter to them.
template <class T> static inline T __shfl_xor_sync(u32, T x, int distance) {
    const int which = distance == 1 ? 0 : distance == 2 ? 1 : distance == 4 ? 2 : distance == 8 ? 3 : 4;
    if (1 << which != distance) stop("an exchange over no power of two");
    Fiber& other = this_block->fibers[threadIdx.x ^ distance];
    const u32 times = this_fiber->exchanged[which]++;
    memcpy(&this_fiber->given[which][times % 2], &x, sizeof x);
    while (other.exchanged[which] == times) wait_until_changed(other.exchanged[which], times);
    T y;
    memcpy(&y, &other.given[which][times % 2], sizeof y);
    return y;
}
// A warp's words, from when all have written theirs until the next time.
typedef u32 Words[WARP][6];
static inline Words& exchange() {
    meet_at(warp_barrier(), WARP);
    return this_block->words[threadIdx.x / WARP];
}
static inline u32* own_words() { return this_block->words[threadIdx.x / WARP][threadIdx.x % WARP]; }
template <class T> static inline T __shfl_down_sync(u32, T x, u32 distance) {
    memcpy(own_words(), &x, sizeof x);
    Words& all = exchange();
    T y = x;
    if (threadIdx.x % WARP + distance < WARP) memcpy(&y, all[threadIdx.x % WARP + distance], sizeof y);
    meet_at(warp_barrier(), WARP);
    return y;
}

static inline void wait_for_previous() {
    this_block->waited = true;
    while (!this_block->released) {
        this_fiber->state = IS_HELD;
        to_scheduler();
    }
    this_fiber->standing.waited = true;
    this_fiber->standing.ahead = false;
}
static inline void let_next_start() { this_block->lets_next = true; }

static float* halves() {
    float* const all = new float[1 << 16];
    for (u32 h = 0; h < 1 << 16; h++) {
        const u32 exponent = h >> 10 & 31, fraction = h & 1023;
        const float x = exponent == 31 ? (fraction ? NAN : INFINITY)
                        : exponent     ? ldexpf((float)(1024 + fraction), (int)exponent - 25)
                                       : ldexpf((float)fraction, -24);
        all[h] = h & 0x8000 ? -x : x;
    }
    return all;
}
static OWN const float* half_numbers = halves();
static inline float half_to_float(u16 h) { return half_numbers[h]; }
static inline u32 half_of(float x) {
    const u32 bits = __float_as_uint(x), sign = bits >> 16 & 0x8000;
    const float size = fabsf(x);
    if (std::isnan(x)) return 0x7fff;
    if (size >= 65520.f) return sign | 0x7c00;
    if (size == 0.f) return sign;
    // Steps of 2^-24 at the least, of 2^-10 of the power of two below otherwise; the mode is to the nearest, or even.
    int exponent;
    frexpf(size, &exponent);
    const int step = std::max(exponent - 11, -24);
    const u32 count = (u32)nearbyintf(ldexpf(size, -step));
    return sign | (step == -24 ? count : ((u32)(step + 24) << 10) + count);
}
static inline u32 round_to_halves(float low, float high) { return half_of(high) << 16 | half_of(low); }
static inline u32 bf16_of(float x) {
    const u32 bits = __float_as_uint(x);
    return std::isnan(x) ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
static inline u32 pack_bf16(float low, float high) { return bf16_of(high) << 16 | bf16_of(low); }

static inline void aligned(const void* p, size_t bytes) {
    if ((size_t)p % bytes) stop("an address that is not aligned");
}
static inline uint4 load16(const void* p) { aligned(p, 16); return *(const uint4*)p; }
static inline float4 load_now(const float4* p) { aligned(p, 16); return *p; }
static inline float4 load_written(const float4* p) { aligned(p, 16); return *p; }

static inline u32 shared_address(const void* p) { return (u32)(size_t)p; }
// Addresses in shared memory are the lower halves of real ones, of the launch's memory or of a static.
static inline char* near(char* place, u32 at) { return place + (int)(at - shared_address(place)); }
static inline char* shared_at(u32 at) {
    static char anchor;
    char* found = near(this_block->shared, at);
    const bool inside = found >= this_block->shared && found <= this_block->shared_pages.end;
    return inside ? found : near(&anchor, at);
}
static inline void copy_later(u32 to, const void* from, bool there, size_t bytes) {
    char* at = shared_at(to);
    aligned(at, bytes);
    aligned(from, bytes);
    // It may arrive at any time from now on until it is waited for.
    comes_to_write(at, bytes);
    if (there) comes_to_read(from, bytes);
    this_fiber->copies.push_back({at, there ? (const char*)from : NULL, bytes});
}
static inline void copy_async(u32 to, const void* from, bool there) { copy_later(to, from, there, 16); }
static inline void copy_number(u32 to, const float* from, bool there) { copy_later(to, from, there, 4); }
static inline void commit() {
    size_t in_groups = 0;
    for (size_t each : this_fiber->groups) in_groups += each;
    this_fiber->groups.push_back(this_fiber->copies.size() - in_groups);
}
template <int N> static inline void wait_group() {
    auto& copies = this_fiber->copies;
    auto& groups = this_fiber->groups;
    if (groups.size() <= N) return;
    size_t arrived = 0;
    for (size_t i = 0; i < groups.size() - N; i++) arrived += groups[i];
    for (size_t i = 0; i < arrived; i++) {
        comes_to_write(copies[i].to, copies[i].bytes);
        if (copies[i].from) memcpy(copies[i].to, copies[i].from, copies[i].bytes);
        else memset(copies[i].to, 0, copies[i].bytes);
    }
    copies.erase(copies.begin(), copies.begin() + arrived);
    groups.erase(groups.begin(), groups.end() - N);
}

static inline void load_four(u32* r, u32 at, bool transposed) {
    own_words()[0] = at;
    Words& all = exchange();
    const u32 lane = threadIdx.x % WARP;
    for (u32 matrix = 0; matrix < 4; matrix++) {
        u16 pair[2];
        for (u32 i = 0; i < 2; i++) {
            const u32 outer = lane / 4, inner = lane % 4 * 2 + i;
            const char* row = shared_at(all[matrix * 8 + (transposed ? inner : outer)][0]);
            aligned(row, 16);
            pair[i] = ((const u16*)row)[transposed ? outer : inner];
        }
        r[matrix] = pair[0] | (u32)pair[1] << 16;
    }
    meet_at(warp_barrier(), WARP);
}
static inline void load_matrices(u32* r, u32 at) { load_four(r, at, false); }
static inline void load_transposed(u32* r, u32 at) { load_four(r, at, true); }

template <class F> static inline void multiply(float* c, const u32* a, u32 b0, u32 b1, F number) {
    u32* mine = own_words();
    for (int i = 0; i < 4; i++) mine[i] = a[i];
    mine[4] = b0;
    mine[5] = b1;
    Words& all = exchange();
    const u32 lane = threadIdx.x % WARP;
    for (u32 i = 0; i < 4; i++) {
        const u32 row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        float sum = c[i];
        for (u32 k = 0; k < 16; k++) {
            const u32 x = all[row % 8 * 4 + k % 8 / 2][row / 8 + k / 8 * 2];
            const u32 y = all[column * 4 + k % 8 / 2][4 + k / 8];
            sum += number(x >> k % 2 * 16 & 0xffff) * number(y >> k % 2 * 16 & 0xffff);
        }
        c[i] = sum;
    }
    meet_at(warp_barrier(), WARP);
}
static inline void multiply_halves(float* c, const u32* a, u32 b0, u32 b1) {
    multiply(c, a, b0, b1, [](u32 h) { return half_to_float((u16)h); });
}
static inline void multiply_bf16(float* c, const u32* a, u32 b0, u32 b1) {
    multiply(c, a, b0, b1, [](u32 h) { return __uint_as_float(h << 16); });
}
