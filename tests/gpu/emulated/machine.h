// Blocks of threads, one block at a time: each thread is a fiber, which runs until it waits for others.
//
// What a GPU leaves open is settled so that mistakes show: a warp runs as far ahead of the others as it can (the first
// one, or with EMULATE_ORDER=backward the last one); copies to shared memory arrive only when they are waited for; what
// was not written is NaN; and a kernel that may start early has its first block run to `wait_for_previous` before the
// kernels ahead of it, EMULATE_EARLY of them (3), do anything.
#pragma once
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <dlfcn.h>
#include <functional>
#include <memory>
#include <sys/mman.h>
#include <ucontext.h>
#include <vector>

#include "races.h"

enum { WARP_SIZE = 32, MOST_THREADS = 1024, MOST_SHARED = 227 << 10, STACK = 256 << 10 };
const size_t PAGE = 4096;

static unsigned long long told(const char* name, unsigned long long otherwise) {
    const char* text = getenv(name);
    return text ? strtoull(text, NULL, 10) : otherwise;
}

[[noreturn]] static void stop(const char* what);

// Memory that ends where a page begins which nobody may touch.
struct Guarded {
    char* pages;
    size_t bytes;
    char* end;
    explicit Guarded(size_t size) {
        const size_t whole = (size + PAGE - 1) / PAGE * PAGE;
        bytes = whole + PAGE;
        void* at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        pages = at == MAP_FAILED ? NULL : (char*)at;
        end = pages + whole;
        if (pages) mprotect(end, PAGE, PROT_NONE);
    }
    ~Guarded() {
        if (pages) munmap(pages, bytes);
    }
    Guarded(const Guarded&) = delete;
    // The last `size` bytes, at a multiple of 16.
    char* last(size_t size) const { return end - (size + 15) / 16 * 16; }
};

struct Dim {
    unsigned x, y, z;
};

// Arrivals of those who wait for each other, and how often all had come.
struct Barrier {
    unsigned arrived = 0, times = 0;
};

enum State { RUNS, WAITS, IS_HELD, IS_DONE };

struct Copy {
    char* to;
    const char* from;  // Null: zeros.
    size_t bytes;
};

struct Fiber {
    ucontext_t context;
    jmp_buf at;
    bool started = false;
    State state = IS_DONE;
    const unsigned* watched;  // WAITS: until this is no longer `seen`.
    unsigned seen;
    Dim thread;
    Standing standing;
    // For each distance: how often lanes this far apart exchanged, and the last two words of this one.
    unsigned exchanged[5];
    unsigned long long given[5][2];
    std::vector<Copy> copies;    // To shared memory, not arrived yet; the oldest group first.
    std::vector<size_t> groups;  // Copies of each; what is left is in none.
};

struct Kernel {
    const char* name;
    size_t bytes;  // Of its argument.
    void (*run)(const void*);
    unsigned most_threads;
};

struct Block {
    Kernel kernel;
    unsigned number, ended;  // This kernel, and the last of those that had ended when it began.
    std::vector<char> argument;
    Dim grid, size, index;
    size_t shared_bytes;
    char* shared;
    bool early;      // The kernel may start before the one ahead of it has ended.
    bool released;   // And need not wait for it any more.
    bool waited;     // Some thread of this block came to `wait_for_previous`.
    bool lets_next;  // Or to `let_next_start`.
    Barrier all, first, warps[MOST_THREADS / WARP_SIZE];
    std::vector<unsigned> came;  // How many warps to each meeting of the first ones.
    unsigned words[MOST_THREADS / WARP_SIZE][WARP_SIZE][6];  // What the lanes of a warp tell each other.
    Guarded shared_pages{MOST_SHARED};
    Guarded stacks{(size_t)MOST_THREADS * STACK};
    std::vector<Fiber> fibers{MOST_THREADS};
};

static OWN Block* this_block;  // Whose fiber runs,
static OWN Fiber* this_fiber;  // this one.
static jmp_buf scheduler;
static unsigned kernels_begun = 0, blocks_begun = 0;

[[noreturn]] static void stop(const char* what) {
    fprintf(stderr, "emulated GPU: %s", what);
    if (this_block) {
        const Dim index = this_block->index, grid = this_block->grid;
        fprintf(stderr, ", in %s, block (%u, %u, %u) of (%u, %u, %u)", this_block->kernel.name, index.x, index.y,
                index.z, grid.x, grid.y, grid.z);
        if (this_fiber) fprintf(stderr, ", thread %u of %u", this_fiber->thread.x, this_block->size.x);
    }
    fprintf(stderr, "\n");
    abort();
}

static void to_scheduler() {
    if (!_setjmp(this_fiber->at)) _longjmp(scheduler, 1);
}

// A fiber runs the kernel again and again, once for each block.
static void live() {
    for (;;) {
        this_block->kernel.run(this_block->argument.data());
        if (!this_fiber->copies.empty()) stop("a thread ended before its copies had arrived");
        this_fiber->state = IS_DONE;
        to_scheduler();
    }
}

UNSEEN static void resume(Fiber& next) {
    this_fiber = &next;
#ifdef RACES
    standing = &next.standing;
#endif
    if (!_setjmp(scheduler)) {
        if (next.started) _longjmp(next.at, 1);
        next.started = true;
        getcontext(&next.context);
        next.context.uc_stack.ss_sp = this_block->stacks.pages + (size_t)next.thread.x * STACK;
        next.context.uc_stack.ss_size = STACK;
        next.context.uc_link = NULL;
        makecontext(&next.context, live, 0);
        setcontext(&next.context);
    }
#ifdef RACES
    standing = NULL;
#endif
    this_fiber = NULL;
}

static void wait_until_changed(const unsigned& watched, unsigned seen) {
    this_fiber->watched = &watched;
    this_fiber->seen = seen;
    while (watched == seen) {
        this_fiber->state = WAITS;
        to_scheduler();
    }
}

// Returns which meeting it was, from 1.
static unsigned meet_at(Barrier& barrier, unsigned expected) {
    const unsigned times = barrier.times;
    if (++barrier.arrived == expected) {
        barrier.arrived = 0;
        barrier.times++;
    } else {
        wait_until_changed(barrier.times, times);
    }
    return times + 1;
}

static Barrier& warp_barrier() { return this_block->warps[this_fiber->thread.x / WARP_SIZE]; }

// Runs the fibers until each is done or held.
static void run_fibers(Block& of) {
    static const bool backward = getenv("EMULATE_ORDER") && !strcmp(getenv("EMULATE_ORDER"), "backward");
    this_block = &of;
    const unsigned threads = of.size.x, warps = (threads + WARP_SIZE - 1) / WARP_SIZE;
    bool progress = true, waiting = false, held = false;
    while (progress) {
        progress = waiting = held = false;
        for (unsigned i = 0; i < warps; i++) {
            const unsigned warp = backward ? warps - 1 - i : i;
            for (bool again = true; again;) {
                again = false;
                for (unsigned j = 0; j < WARP_SIZE; j++) {
                    const unsigned thread = warp * WARP_SIZE + (backward ? WARP_SIZE - 1 - j : j);
                    if (thread >= threads || of.fibers[thread].state == IS_DONE) continue;
                    Fiber& next = of.fibers[thread];
                    if (next.state == IS_HELD && !of.released) {
                        held = true;
                    } else if (next.state == WAITS && *next.watched == next.seen) {
                        waiting = true;
                    } else {
                        next.state = RUNS;
                        resume(next);
                        again = progress = true;
                    }
                }
            }
        }
    }
    // Those that wait for threads which are held go on later.
    if (waiting && !held) stop("threads wait for each other for ever");
    this_block = NULL;
}

// Puts the fibers at the beginning of block `index`.
static void enter(Block& of, Dim index) {
    of.index = index;
    of.waited = false;
    of.came = {0};
    blocks_begun++;
    of.all = of.first = Barrier();
    for (Barrier& barrier : of.warps) barrier = Barrier();
    of.shared = of.shared_pages.last(of.shared_bytes);
    memset(of.shared, 0xff, of.shared_pages.end - of.shared);
    const bool looks = of.grid.x * of.grid.y * of.grid.z < 4 || blocks_begun * 2654435761u >> 30 == 0;
    for (unsigned i = 0; i < of.size.x; i++) {
        Fiber& each = of.fibers[i];
        each.state = RUNS;
        each.thread = {i, 0, 0};
        each.standing = {of.number, blocks_begun, i, of.ended, !of.early, true, looks};
        memset(each.exchanged, 0, sizeof each.exchanged);
    }
}

// The kernels that began and have not ended, the oldest first.
static std::deque<std::unique_ptr<Block>> underway;
static std::vector<std::unique_ptr<Block>> idle;

static void leave(Block& of) {
    // Later kernels rely on it: that this one has ended then means that all before it have.
    this_block = &of;
    if (of.early && !of.waited) stop("a block ends without wait_for_previous");
    this_block = NULL;
}

static void finish_oldest() {
    std::unique_ptr<Block> oldest = std::move(underway.front());
    underway.pop_front();
    Block& of = *oldest;
    of.released = true;
    if (of.early) {
        run_fibers(of);
        leave(of);
    }
    for (unsigned z = 0; z < of.grid.z; z++)
        for (unsigned y = 0; y < of.grid.y; y++)
            for (unsigned x = of.early && y == 0 && z == 0 ? 1 : 0; x < of.grid.x; x++) {
                enter(of, {x, y, z});
                run_fibers(of);
                leave(of);
            }
    idle.push_back(std::move(oldest));
}

static void finish_all() {
    while (!underway.empty()) finish_oldest();
}

static void launch(const Kernel& kernel, std::vector<char> argument, Dim grid, unsigned threads, size_t shared,
                   bool early) {
    static const size_t ahead = told("EMULATE_EARLY", 3);
    early = early && ahead;
    if (!early) finish_all();
    while (underway.size() > ahead) finish_oldest();
    // What the last one does before it lets this one start is done after all ahead of it.
    if (!underway.empty() && !underway.back()->lets_next)
        while (underway.size() > 1) finish_oldest();
    if (idle.empty()) idle.push_back(std::make_unique<Block>());
    std::unique_ptr<Block> next = std::move(idle.back());
    idle.pop_back();
    next->kernel = kernel;
    next->argument = std::move(argument);
    next->grid = grid;
    next->size = {threads, 1, 1};
    next->shared_bytes = shared;
    next->early = early;
    next->released = !early;
    next->lets_next = false;
    next->number = ++kernels_begun;
    next->ended = underway.empty() ? kernels_begun - 1
                  : underway.back()->lets_next ? underway.back()->ended
                                               : underway.back()->number - 1;
    if (early) {
        enter(*next, {0, 0, 0});
        run_fibers(*next);
    }
    underway.push_back(std::move(next));
    if (!early) finish_all();
}

#ifdef RACES
extern "C" {
// Where the kernels' own shared numbers lie, which are statics here.
extern __attribute__((visibility("hidden"))) char __bss_start[], _end[];
const Standing& standing_of(unsigned thread) { return this_block->fibers[thread].standing; }
unsigned threads_of_block() { return this_block->size.x; }
unsigned warps_at(unsigned index) { return this_block->came[index]; }
bool is_shared(const void* at) {
    const char* place = (const char*)at;
    return (place >= this_block->shared && place < this_block->shared_pages.end) ||
           (place >= __bss_start && place < _end);
}
void stop_for_race(const char* what, const void* first, const void* second) {
    Dl_info library;
    dladdr(second, &library);
    char text[512];
    snprintf(text, sizeof text, "%s (addr2line -e %s %#zx %#zx)", what, library.dli_fname,
             (size_t)first - (size_t)library.dli_fbase, (size_t)second - (size_t)library.dli_fbase);
    stop(text);
}
}
#endif
