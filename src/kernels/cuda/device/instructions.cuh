// What all kernels stand on: types, how a kernel is declared, and the instructions that C++ has no word for. Nothing
// else is particular to a GPU: `tests/gpu/emulated` puts a CPU in this file's place. No header is included, so that the
// run-time compiler needs none.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define DEVICE __device__ __forceinline__
#define WARP 32
#define FULL 0xffffffffu
#define INFINITE __int_as_float(0x7f800000)

// A kernel of one argument `a`; behind its type come launch bounds, where it has some.
#define KERNEL(name, Arguments, ...) \
    extern "C" __global__ void __VA_ARGS__ name(const __grid_constant__ Arguments a)

// As many bytes as the launch asks for.
extern __shared__ float4 shared_memory[];
DEVICE u32 shared_address(const void* p) { return (u32)__cvta_generic_to_shared(p); }

// Programmatic dependent launch: a kernel starts while the one before it still runs, reads what no kernel writes, and
// waits here for the rest. Every block waits, also one that has nothing to do: the kernel after it relies on that.
DEVICE void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}
DEVICE void let_next_start() {
#if __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

// Where the first `warps` warps of a block wait for each other.
DEVICE void meet(u32 warps) { asm volatile("bar.sync 1, %0;" ::"r"(warps * WARP) : "memory"); }

DEVICE float half_to_float(u16 h) {
    float f;
    asm("cvt.f32.f16 %0, %1;" : "=f"(f) : "h"(h));
    return f;
}
// A product that no compiler fuses with a sum. Where a step of one token and one of many share a sum, this and `fmaf`
// say how it is rounded: they give the same bits.
DEVICE float product(float a, float b) { return __fmul_rn(a, b); }

// To the nearest, the even one of two.
DEVICE u32 round_to_halves(float low, float high) {
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
DEVICE u32 pack_bf16(float low, float high) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

// What no kernel writes and nobody reads twice.
DEVICE uint4 load16(const void* p) {
    uint4 v;
    asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "l"(p));
    return v;
}
// What no kernel writes, read here and not where a compiler puts it: ptxas moves other loads behind the wait for the
// kernel before, also volatile ones.
DEVICE float4 load_now(const float4* p) {
    float4 v;
    asm volatile("ld.global.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "l"(p)
                 : "memory");
    return v;
}
// Past the first cache, which knows nothing of what other multiprocessors write.
DEVICE float4 load_written(const float4* p) {
    float4 v;
    asm volatile("ld.global.cg.v4.f32 {%0,%1,%2,%3}, [%4];"
                 : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
                 : "l"(p));
    return v;
}

// Copies to shared memory that nobody waits for yet; zeros where nothing is `there`.
DEVICE void copy_async(u32 to, const void* from, bool there) {
    const int bytes = there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes));
}
DEVICE void copy_number(u32 to, const float* from, bool there) {
    const int bytes = there ? 4 : 0;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to), "l"(from), "r"(bytes));
}
DEVICE void commit() { asm volatile("cp.async.commit_group;"); }
template <int N> DEVICE void wait_group() { asm volatile("cp.async.wait_group %0;" ::"n"(N)); }

// Tensor cores: four 8 × 8 matrices of 16 bits from shared memory, and 16 × 16 times 16 × 8.
DEVICE void load_matrices(u32* r, u32 at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}
DEVICE void load_transposed(u32* r, u32 at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at));
}
DEVICE void multiply_halves(float* c, const u32* a, u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
DEVICE void multiply_bf16(float* c, const u32* a, u32 b0, u32 b1) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
