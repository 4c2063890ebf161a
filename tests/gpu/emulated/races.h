// Who comes to which memory, told to `races.cpp` where a driver is built with it (RACES).
#pragma once
#include <cstddef>

// Where a thread of a kernel stands. Kernels and blocks are numbered in the order in which they began, from 1.
struct Standing {
    unsigned kernel, block, thread;
    unsigned ended;               // All kernels up to this one had ended when its own began,
    bool waited;                  // and by now all before its own have.
    bool ahead;                   // It has not come to `wait_for_previous`.
    bool looks;                   // Whether shared memory counts: of many blocks that of one in four, drawn.
    unsigned all, some, in_warp;  // The last meeting of the block, of its first warps and of the warp that it left.
    unsigned fences;              // How often it called `__threadfence`.
};

// A static that no kernel can have meant: those without it are the kernels' shared memory.
#define OWN __attribute__((section(".data.own")))
// A function whose accesses are nobody's.
#define UNSEEN __attribute__((no_sanitize("thread"), noinline))

#ifdef RACES
extern "C" {
extern const Standing* standing;  // Of the thread that runs; null between threads.

// Of the block whose thread runs: its threads, how many warps came to meeting `index` of the first ones, and its own
// shared memory.
const Standing& standing_of(unsigned thread);
unsigned threads_of_block();
unsigned warps_at(unsigned index);
bool is_shared(const void* at);

// Memory that all blocks have.
void watch(const void* from, size_t bytes);
void watch_no_more(const void* from);

// What the compiler does not tell.
void comes_to_read(const void* at, size_t bytes);
void comes_to_write(const void* at, size_t bytes);
void comes_to_add(const void* at, size_t bytes);

// Says what else is known of a race, and ends.
[[noreturn]] void stop_for_race(const char* what, const void* first, const void* second);
}
#else
static inline void watch(const void*, size_t) {}
static inline void watch_no_more(const void*) {}
static inline void comes_to_read(const void*, size_t) {}
static inline void comes_to_write(const void*, size_t) {}
static inline void comes_to_add(const void*, size_t) {}
#endif
