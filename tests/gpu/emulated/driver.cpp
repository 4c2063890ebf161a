// A driver, a run-time compiler and a cuBLASLt whose GPU is this CPU: the kernels of `src/kernels/cuda/device` compute,
// slowly. Work on a stream is done when somebody waits for it, or a little earlier. What it is told by the environment
// stands in `machine.h`; and:
//
//   EMULATE_CAPABILITY        compute capability, as 90    (90)
//   EMULATE_MULTIPROCESSORS   how many                     (132)
//   EMULATE_SHARED            KiB of shared memory a block (227)
//   EMULATE_FAIL              a kernel whose launch fails ...
//   EMULATE_AFTER             ... after so many that do not (0)
#include "device.h"

namespace device {
namespace {
#include "../../../src/kernels/cuda/device/common.cuh"
#include "../../../src/kernels/cuda/device/products.cuh"
#include "../../../src/kernels/cuda/device/gemv.cu"
#include "../../../src/kernels/cuda/device/tiles.cu"
#include "../../../src/kernels/cuda/device/each.cu"
#include "../../../src/kernels/cuda/device/each_tiles.cu"
#include "../../../src/kernels/cuda/device/rows.cu"
#include "../../../src/kernels/cuda/device/heads.cu"
#include "../../../src/kernels/cuda/device/attention.cu"
#include "../../../src/kernels/cuda/device/each_attention.cu"
#include "../../../src/kernels/cuda/device/flash.cu"
#include "../../../src/kernels/cuda/device/choice.cu"
#include "../../../src/kernels/cuda/device/encoder.cu"
#include "../../../src/kernels/cuda/device/segments.cu"
#include "../../../src/kernels/cuda/device/conv.cu"
#include "../../../src/kernels/cuda/device/signals.cu"
}  // namespace
}  // namespace device

#include <map>
#include <mutex>

enum { OUT_OF_MEMORY = 2, NOT_FOUND = 500, INVALID = 1, LAUNCH_FAILED = 719 };
static const size_t MEMORY = 16ull << 30;
static int most_shared() { return std::min((int)told("EMULATE_SHARED", MOST_SHARED >> 10) << 10, (int)MOST_SHARED); }

// One call at a time.
static std::recursive_mutex busy;
#define ALONE std::lock_guard<std::recursive_mutex> alone(busy)

typedef std::vector<std::function<void()>> Recording;
struct Stream {
    Recording* recording = NULL;
};
static void put(void* stream, std::function<void()> work) {
    Recording* recording = ((Stream*)stream)->recording;
    if (recording) recording->push_back(std::move(work));
    else work();
}

struct Function {
    Kernel kernel;
    u32 most_shared;
};
struct LaunchConfig {
    u32 grid[3], threads[3], shared;
    void* stream;
    void* attributes;
    u32 attribute_count;
};

static std::map<u64, std::unique_ptr<Guarded>> memory;
static size_t held = 0;

static void say_where(int) {
    stop("memory that is not there");
}

extern "C" {
int cuInit(u32) {
    struct sigaction action = {};
    action.sa_handler = say_where;
    sigaction(SIGSEGV, &action, NULL);
    return 0;
}
int cuDriverGetVersion(int* version) { *version = 13000; return 0; }
int cuDeviceGetCount(int* count) { *count = 1; return 0; }
int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char* name, int length, int) { snprintf(name, length, "Emulated"); return 0; }
int cuDeviceTotalMem_v2(size_t* bytes, int) { *bytes = MEMORY; return 0; }
int cuDeviceGetAttribute(int* value, int which, int) {
    const int capability = (int)told("EMULATE_CAPABILITY", 90);
    *value = which == 16   ? (int)told("EMULATE_MULTIPROCESSORS", 132)
             : which == 75 ? capability / 10
             : which == 76 ? capability % 10
             : which == 97 ? most_shared()
                           : 0;
    return 0;
}
int cuGetErrorString(int, const char** text) { *text = "an error of the emulated driver"; return 0; }

int cuDevicePrimaryCtxRetain(void** context, int) { *context = (void*)8; return 0; }
int cuDevicePrimaryCtxRelease_v2(int) { return 0; }
int cuCtxSetCurrent(void*) { return 0; }
int cuModuleLoadData(void** module, const void*) { *module = (void*)8; return 0; }
int cuModuleUnload(void*) { return 0; }
int cuModuleGetFunction(void** function, void*, const char* name) {
    for (const Kernel& kernel : kernels())
        if (!strcmp(kernel.name, name)) {
            *function = new Function{kernel, 48 << 10};
            return 0;
        }
    return NOT_FOUND;
}
int cuFuncSetAttribute(void* function, int which, int value) {
    if (which != 8 || value > most_shared()) return INVALID;
    ((Function*)function)->most_shared = value;
    return 0;
}
int cuLaunchKernelEx(const LaunchConfig* config, void* of, void** arguments, void**) {
    ALONE;
    const Function& function = *(Function*)of;
    static int launched = 0;
    const char* fails = getenv("EMULATE_FAIL");
    if (fails && !strcmp(fails, function.kernel.name) && launched++ >= told("EMULATE_AFTER", 0)) return LAUNCH_FAILED;
    const u32* grid = config->grid;
    const u32 threads = config->threads[0];
    if (!grid[0] || !grid[1] || !grid[2] || grid[1] > 65535 || grid[2] > 65535 || !threads ||
        threads > function.kernel.most_threads || config->shared > function.most_shared)
        return INVALID;
    const char* argument = (const char*)arguments[0];
    std::vector<char> copy(argument, argument + function.kernel.bytes);
    const Dim blocks = {grid[0], grid[1], grid[2]};
    const size_t shared = config->shared;
    const bool early = config->attribute_count > 0;
    put(config->stream, [=, kernel = function.kernel] { launch(kernel, copy, blocks, threads, shared, early); });
    return 0;
}

int cuMemGetInfo_v2(size_t* free, size_t* total) {
    *free = held < MEMORY ? MEMORY - held : 0;
    *total = MEMORY;
    return 0;
}
int cuMemAlloc_v2(u64* address, size_t bytes) {
    ALONE;
    auto pages = std::make_unique<Guarded>(bytes);
    if (!pages->pages) return OUT_OF_MEMORY;
    char* at = pages->last(bytes);
    memset(at, 0xff, pages->end - at);
    held += pages->bytes;
    watch(at, pages->end - at);
    *address = (u64)at;
    memory[*address] = std::move(pages);
    return 0;
}
int cuMemFree_v2(u64 address) {
    ALONE;
    // On a GPU too this waits for what was put on streams before.
    finish_all();
    auto found = memory.find(address);
    if (found == memory.end()) return INVALID;
    held -= found->second->bytes;
    watch_no_more((void*)address);
    memory.erase(found);
    return 0;
}
int cuMemHostAlloc(void** at, size_t bytes, u32) { *at = calloc(bytes, 1); return *at ? 0 : OUT_OF_MEMORY; }
int cuMemFreeHost(void* at) {
    ALONE;
    finish_all();
    free(at);
    return 0;
}
static int copy(void* to, const void* from, size_t bytes, void* stream) {
    ALONE;
    put(stream, [=] {
        finish_all();
        memcpy(to, from, bytes);
    });
    return 0;
}
int cuMemsetD8Async(u64 at, u8 value, size_t bytes, void* stream) {
    ALONE;
    put(stream, [=] {
        finish_all();
        memset((void*)at, value, bytes);
    });
    return 0;
}
int cuMemcpyHtoDAsync_v2(u64 to, const void* from, size_t bytes, void* stream) { return copy((void*)to, from, bytes, stream); }
int cuMemcpyDtoHAsync_v2(void* to, u64 from, size_t bytes, void* stream) { return copy(to, (void*)from, bytes, stream); }
int cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t bytes, void* stream) { return copy((void*)to, (void*)from, bytes, stream); }

int cuStreamCreate(void** stream, u32) { *stream = new Stream; return 0; }
int cuStreamDestroy_v2(void* stream) { delete (Stream*)stream; return 0; }
int cuStreamSynchronize(void* stream) {
    ALONE;
    if (((Stream*)stream)->recording) return INVALID;
    finish_all();
    return 0;
}
int cuStreamBeginCapture_v2(void* stream, int) {
    ALONE;
    ((Stream*)stream)->recording = new Recording;
    return 0;
}
int cuStreamEndCapture(void* stream, void** graph) {
    ALONE;
    *graph = ((Stream*)stream)->recording;
    ((Stream*)stream)->recording = NULL;
    return *graph ? 0 : INVALID;
}
int cuGraphInstantiateWithFlags(void** ready, void* graph, u64) { *ready = new Recording(*(Recording*)graph); return 0; }
int cuGraphDestroy(void* graph) { delete (Recording*)graph; return 0; }
int cuGraphExecDestroy(void* graph) {
    ALONE;
    finish_all();
    delete (Recording*)graph;
    return 0;
}
int cuGraphLaunch(void* graph, void*) {
    ALONE;
    for (auto& work : *(Recording*)graph) work();
    return 0;
}
int cuEventCreate(void** event, u32) { *event = (void*)8; return 0; }
int cuEventRecord(void*, void*) { return 0; }
int cuEventSynchronize(void*) {
    ALONE;
    finish_all();
    return 0;
}
int cuEventQuery(void*) { return 0; }
int cuEventElapsedTime(float* ms, void*, void*) { *ms = 1.f; return 0; }
int cuEventDestroy_v2(void*) { return 0; }

int nvrtcVersion(int* major, int* minor) { *major = 13; *minor = 0; return 0; }
int nvrtcCreateProgram(void** program, const char*, const char*, int, const char* const*, const char* const*) { *program = (void*)8; return 0; }
int nvrtcCompileProgram(void*, int, const char* const*) { return 0; }
int nvrtcDestroyProgram(void**) { return 0; }
int nvrtcGetPTXSize(void*, size_t* bytes) { *bytes = 1; return 0; }
int nvrtcGetPTX(void*, char* ptx) { *ptx = 0; return 0; }
int nvrtcGetProgramLogSize(void*, size_t* bytes) { *bytes = 1; return 0; }
int nvrtcGetProgramLog(void*, char* log) { *log = 0; return 0; }

// Columns of `rows` numbers, `stride` from one to the next.
struct Layout {
    int type;
    u64 rows, columns;
    long long stride;
};
int cublasLtCreate(void** handle) { *handle = (void*)8; return 0; }
int cublasLtDestroy(void*) { return 0; }
int cublasLtMatmulDescCreate(void** made, int, int) { *made = (void*)8; return 0; }
int cublasLtMatmulDescDestroy(void*) { return 0; }
int cublasLtMatmulDescSetAttribute(void*, int, const void*, size_t) { return 0; }
int cublasLtMatmulPreferenceCreate(void** made) { *made = (void*)8; return 0; }
int cublasLtMatmulPreferenceDestroy(void*) { return 0; }
int cublasLtMatmulPreferenceSetAttribute(void*, int, const void*, size_t) { return 0; }
int cublasLtMatrixLayoutCreate(void** made, int type, u64 rows, u64 columns, long long stride) {
    *made = new Layout{type, rows, columns, stride};
    return 0;
}
int cublasLtMatrixLayoutDestroy(void* layout) { delete (Layout*)layout; return 0; }
int cublasLtMatmulAlgoGetHeuristic(void*, void*, void*, void*, void*, void*, void*, int, void* results, int* count) {
    memset(results, 0, 96);
    *count = 1;
    return 0;
}
}

// The columns as floats, one behind the other.
static std::vector<float> floats(const Layout& of, u64 at) {
    std::vector<float> all(of.rows * of.columns);
    for (u64 column = 0; column < of.columns; column++)
        for (u64 row = 0; row < of.rows; row++) {
            const u64 i = column * of.stride + row;
            all[column * of.rows + row] = of.type == 0   ? ((const float*)at)[i]
                                          : of.type == 2 ? half_to_float(((const u16*)at)[i])
                                                         : __uint_as_float((u32)((const u16*)at)[i] << 16);
        }
    return all;
}

// out = aᵀ · b + beta · out, the one shape of product that crane asks for.
static void product(const Layout& a_is, u64 a, const Layout& b_is, u64 b, float beta, const Layout& out_is, u64 out) {
    const u64 width = a_is.rows;
    const std::vector<float> left = floats(a_is, a), right = floats(b_is, b);
    for (u64 column = 0; column < out_is.columns; column++)
        for (u64 row = 0; row < out_is.rows; row++) {
            enum { LANES = 16 };
            const float *x = &left[row * width], *y = &right[column * width];
            float sums[LANES] = {}, sum = 0;
            u64 k = 0;
            for (; k + LANES <= width; k += LANES)
                for (int lane = 0; lane < LANES; lane++) sums[lane] += x[k + lane] * y[k + lane];
            for (; k < width; k++) sum += x[k] * y[k];
            for (float each : sums) sum += each;
            const u64 i = column * out_is.stride + row;
            if (out_is.type == 0) {
                float* to = (float*)out + i;
                *to = sum + (beta != 0.f ? beta * *to : 0.f);
            } else {
                ((u16*)out)[i] = out_is.type == 2 ? half_of(sum) : bf16_of(sum);
            }
        }
}

extern "C" int cublasLtMatmul(void*, void*, const float*, u64 a, const Layout* a_is, u64 b, const Layout* b_is,
                              const float* beta, u64, const Layout*, u64 out, const Layout* out_is, const void*, void*,
                              size_t, void* stream) {
    ALONE;
    const bool fits = a_is->rows == b_is->rows && a_is->columns == out_is->rows && b_is->columns == out_is->columns;
    // CUBLAS_STATUS_INVALID_VALUE
    if (!fits || a_is->type != b_is->type || (a | b | out) % 16 || (*beta != 0.f && out_is->type != 0)) return 7;
    const Layout left = *a_is, right = *b_is, to = *out_is;
    const float add = *beta;
    put(stream, [=] {
        finish_all();
        product(left, a, right, b, add, to, out);
    });
    return 0;
}
