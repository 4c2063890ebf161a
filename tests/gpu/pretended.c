// A driver, a run-time compiler and a cuBLASLt of GPUs that are not there: memory is this machine's, and nothing is
// computed. What it pretends to be is told by the environment; what differs between GPUs may be a list by commas, whose
// last word holds for all after it:
//
//   PRETEND_COUNT       how many                                        (1)
//   PRETEND_FREE        bytes that are free at first                    (8 GiB)
//   PRETEND_DRIVER      the driver's CUDA, as 13000                     (13000)
//   PRETEND_CAPABILITY  compute capability, as 90                       (80)
//   PRETEND_SHARED      KiB of shared memory a block                    (99)
//   PRETEND_ONLY        the GPU that alone fails                        (all do)
//   PRETEND_FAIL        a call, or a kernel whose launch, fails ...
//   PRETEND_CODE        ... with this error                             (700)
//   PRETEND_AFTER       ... after so many that succeed                  (0)
//   PRETEND_LOST        with it every call fails from then on
//   PRETEND_LOG         a file that calls, and kernels that are launched, are named in, a line each
//   PRETEND_PEAK        a file that the most bytes held are written to, once more for each time that none were between
//
// With -DOLD it lacks calls of newer libraries.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef unsigned long long u64;

static u64 number(const char* name, u64 otherwise) {
    const char* text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

// That of GPU `device`.
static u64 number_of(int device, const char* name, u64 otherwise) {
    const char* text = getenv(name);
    if (!text) return otherwise;
    for (const char* next; device > 0 && (next = strchr(text, ',')); device--) text = next + 1;
    return strtoull(text, NULL, 10);
}

// The GPU of this thread's context.
static __thread int current = 0;

// The error that `call` ends with.
static int result(const char* call) {
    static u64 succeeded = 0;
    static int lost = 0;
    const char* fails = getenv("PRETEND_FAIL");
    const char* file = getenv("PRETEND_LOG");
    FILE* log = file ? fopen(file, "a") : NULL;
    if (log) fprintf(log, "%s\n", call), fclose(log);
    if (lost) return (int)number("PRETEND_CODE", 700);
    if (!fails || strcmp(fails, call)) return 0;
    if (number("PRETEND_ONLY", current) != (u64)current) return 0;
    if (succeeded++ < number("PRETEND_AFTER", 0)) return 0;
    lost = getenv("PRETEND_LOST") != NULL;
    return (int)number("PRETEND_CODE", 700);
}

enum { TIMES = 1000, MOST_GPUS = 8 };
static u64 held = 0, held_by[MOST_GPUS], peaks[TIMES];
static int last = 0;

// As a GPU gives out memory: in pages of 2 MiB, those that are much smaller together in one.
static u64 taken(u64 bytes) {
    u64 unit = bytes < (1 << 20) ? 512 : 2 << 20;
    return (bytes + unit - 1) / unit * unit;
}

static u64 free_bytes(void) {
    u64 all = number_of(current, "PRETEND_FREE", 8ull << 30);
    return all > held_by[current] ? all - held_by[current] : 0;
}

int cuInit(unsigned flags) { return result("cuInit"); }
int cuDriverGetVersion(int* version) { *version = (int)number("PRETEND_DRIVER", 13000); return 0; }
int cuDeviceGetCount(int* count) { *count = (int)number("PRETEND_COUNT", 1); return 0; }
int cuDeviceGet(int* device, int ordinal) { *device = ordinal; return 0; }
int cuDeviceGetName(char* name, int len, int device) { snprintf(name, len, "Pretended"); return 0; }
int cuDeviceTotalMem_v2(size_t* bytes, int device) { *bytes = 24ull << 30; return 0; }
int cuDeviceGetAttribute(int* value, int which, int device) {
    int capability = (int)number_of(device, "PRETEND_CAPABILITY", 80);
    *value = which == 75   ? capability / 10
             : which == 76 ? capability % 10
             : which == 97 ? (int)number("PRETEND_SHARED", 99) << 10
                           : 4;
    return 0;
}
int cuGetErrorString(int error, const char** text) { *text = "an error of the pretended driver"; return 0; }

int cuDevicePrimaryCtxRetain(void** context, int device) {
    *context = (void*)(8 + (u64)device);
    current = device;
    return result("cuDevicePrimaryCtxRetain");
}
int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuCtxSetCurrent(void* context) { current = (int)((u64)context - 8); return result("cuCtxSetCurrent"); }
int cuModuleLoadData(void** module, const void* image) { *module = (void*)8; return result("cuModuleLoadData"); }
int cuModuleUnload(void* module) { return 0; }
int cuModuleGetFunction(void** function, void* module, const char* name) { *function = strdup(name); return result("cuModuleGetFunction"); }
int cuFuncSetAttribute(void* function, int attribute, int value) { return 0; }

#ifndef OLD
int cuMemGetInfo_v2(size_t* free, size_t* total) {
    *free = free_bytes();
    *total = 24ull << 30;
    return result("cuMemGetInfo_v2");
}
#endif
int cuMemAlloc_v2(u64* address, size_t bytes) {
    int error = result("cuMemAlloc_v2");
    if (error) return error;
    if (taken(bytes) > free_bytes()) return 2;
    u64* block = calloc(bytes + 64, 1);
    if (!block) return 2;
    block[0] = taken(bytes);
    block[1] = current;
    held += block[0];
    held_by[current] += block[0];
    const char* file = getenv("PRETEND_PEAK");
    if (file && held > peaks[last]) {
        peaks[last] = held;
        FILE* out = fopen(file, "w");
        for (int i = 0; out && i <= last; i++) fprintf(out, "%llu\n", peaks[i]);
        if (out) fclose(out);
    }
    *address = (u64)(block + 8);
    return 0;
}
int cuMemFree_v2(u64 address) {
    int error = result("cuMemFree_v2");
    if (error) return error;
    u64* block = (u64*)address - 8;
    held -= block[0];
    held_by[block[1]] -= block[0];
    if (!held && last + 1 < TIMES) last++;
    free(block);
    return 0;
}
int cuMemHostAlloc(void** at, size_t bytes, unsigned flags) { *at = calloc(bytes, 1); return *at ? 0 : 2; }
int cuMemFreeHost(void* at) { free(at); return 0; }
int cuMemsetD8Async(u64 at, unsigned char value, size_t bytes, void* stream) { memset((void*)at, value, bytes); return result("cuMemsetD8Async"); }
int cuMemcpyHtoDAsync_v2(u64 to, const void* from, size_t bytes, void* stream) { memcpy((void*)to, from, bytes); return result("cuMemcpyHtoDAsync_v2"); }
int cuMemcpyDtoHAsync_v2(void* to, u64 from, size_t bytes, void* stream) { memcpy(to, (void*)from, bytes); return result("cuMemcpyDtoHAsync_v2"); }
int cuMemcpyDtoDAsync_v2(u64 to, u64 from, size_t bytes, void* stream) { memcpy((void*)to, (void*)from, bytes); return result("cuMemcpyDtoDAsync_v2"); }

int cuStreamCreate(void** stream, unsigned flags) { *stream = (void*)8; return 0; }
int cuStreamDestroy_v2(void* stream) { return 0; }
int cuStreamSynchronize(void* stream) { return result("cuStreamSynchronize"); }
int cuStreamBeginCapture_v2(void* stream, int mode) { return 0; }
int cuStreamEndCapture(void* stream, void** graph) { *graph = (void*)8; return 0; }
int cuGraphInstantiateWithFlags(void** ready, void* graph, u64 flags) { *ready = (void*)8; return 0; }
int cuGraphDestroy(void* graph) { return 0; }
int cuGraphExecDestroy(void* graph) { return 0; }
int cuGraphLaunch(void* graph, void* stream) { return result("cuGraphLaunch"); }
int cuLaunchKernelEx(const void* config, void* function, void** parameters, void** extra) {
    int error = result("cuLaunchKernelEx");
    return error ? error : result(function);
}

int cuEventCreate(void** event, unsigned flags) { *event = (void*)8; return 0; }
int cuEventDestroy_v2(void* event) { return 0; }
int cuEventRecord(void* event, void* stream) { return 0; }
int cuEventSynchronize(void* event) { return result("cuEventSynchronize"); }

int nvrtcVersion(int* major, int* minor) { *major = 13; *minor = 0; return 0; }
int nvrtcCreateProgram(void** program, const char* source, const char* name, int n, const char* const* headers, const char* const* names) { *program = (void*)8; return 0; }
int nvrtcCompileProgram(void* program, int n, const char* const* options) { return 0; }
int nvrtcDestroyProgram(void** program) { return 0; }
int nvrtcGetPTXSize(void* program, size_t* bytes) { *bytes = 1; return 0; }
int nvrtcGetPTX(void* program, char* ptx) { *ptx = 0; return 0; }
int nvrtcGetProgramLogSize(void* program, size_t* bytes) { *bytes = 1; return 0; }
int nvrtcGetProgramLog(void* program, char* log) { *log = 0; return 0; }

int cublasLtCreate(void** handle) { *handle = (void*)8; return result("cublasLtCreate"); }
int cublasLtDestroy(void* handle) { return 0; }
int cublasLtMatmulDescCreate(void** made, int compute, int scale) { *made = (void*)8; return 0; }
int cublasLtMatmulDescDestroy(void* made) { return 0; }
int cublasLtMatmulDescSetAttribute(void* of, int which, const void* value, size_t bytes) { return 0; }
int cublasLtMatmulPreferenceCreate(void** made) { *made = (void*)8; return 0; }
int cublasLtMatmulPreferenceDestroy(void* made) { return 0; }
int cublasLtMatmulPreferenceSetAttribute(void* of, int which, const void* value, size_t bytes) { return 0; }
int cublasLtMatrixLayoutCreate(void** made, int kind, u64 rows, u64 columns, long long stride) { *made = (void*)8; return 0; }
int cublasLtMatrixLayoutDestroy(void* made) { return 0; }
int cublasLtMatmulAlgoGetHeuristic(void* handle, void* operation, void* a, void* b, void* c, void* d, void* preference, int wanted, void* results, int* count) {
    // cublasLtMatmulHeuristicResult_t has 64, 8, 4, 4 and 16 bytes.
    memset(results, 0, 96);
    *count = 1;
    return 0;
}
#ifndef OLD
int cublasLtMatmul(void) { return result("cublasLtMatmul"); }
#endif
