// Finds races: two threads that come to one place in memory, at least one to write there, which nothing puts in order.
//
// The kernels are compiled as for ThreadSanitizer, whose calls ahead of each access arrive here in place of its own
// library. That a race was computed in a harmless order does not hide it: what counts is which barriers, fences and
// atomic sums lie between the two, and for kernels that started early, which of them waited. The rules are those of the
// CUDA C++ programming guide; an exchange between lanes (`__shfl_sync`) orders no memory.
#include "races.h"

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <memory>
#include <unordered_map>
#include <vector>

const Standing* standing = NULL;

namespace {

enum { WARP_SIZE = 32, PAGE = 4096, GRAIN = 2 };

// An access, or several of which each is ordered before the next access if this one is.
struct Access {
    enum Kind : uint8_t { NONE, ONE, OF_A_WARP, OF_A_BLOCK, OF_BLOCKS } kind = NONE;
    bool adds = false, ahead = false;
    uint16_t thread = 0, all = 0, some = 0, in_warp = 0, fences = 0;
    unsigned kernel = 0, block = 0;
    const void* code = NULL;

    Access() = default;
    Access(const Standing& by, bool adds, const void* code)
        : kind(ONE), adds(adds), ahead(by.ahead), thread((uint16_t)by.thread), all((uint16_t)by.all), some((uint16_t)by.some),
          in_warp((uint16_t)by.in_warp), fences((uint16_t)by.fences), kernel(by.kernel), block(by.block), code(code) {}
};

struct Grain {
    Access write, read;
};
struct Page {
    Grain grains[PAGE / GRAIN];
};

// Whether barriers lie between `first` and where a thread of the same block stands.
bool barrier_between(const Access& first, const Standing& now) {
    if (first.all < now.all) return true;
    if (first.kind == Access::ONE && first.thread == now.thread) return true;
    const bool same_warp = first.thread / WARP_SIZE == now.thread / WARP_SIZE;
    if (first.kind <= Access::OF_A_WARP && same_warp && first.in_warp < now.in_warp) return true;
    for (unsigned index = first.some + 1; index <= now.some; index++) {
        const unsigned came = warps_at(index) * WARP_SIZE;
        const bool first_came = first.kind == Access::OF_A_BLOCK ? came >= threads_of_block() : first.thread < came;
        if (first_came && now.thread < came) return true;
    }
    return false;
}

// An atomic sum: what its block had done, and what later ones at the same place learn of.
struct Sum {
    Standing by;
    std::vector<unsigned> fences;  // Of each thread of the block.
    std::vector<unsigned> warps;   // At each meeting of the first warps.
};
std::unordered_map<const void*, std::vector<std::shared_ptr<Sum>>> sums;
struct Learned {
    std::shared_ptr<Sum> own;
    std::vector<std::shared_ptr<Sum>> of;
};
// Of the block whose thread runs.
std::vector<Learned> learned;
unsigned learned_by = 0, summed_by = 0;

bool before_sum(const Access& first, const Sum& sum) {
    if (first.fences >= sum.fences[first.thread]) return false;
    if (first.all < sum.by.all || first.thread == sum.by.thread) return true;
    for (unsigned index = first.some + 1; index <= sum.by.some; index++)
        if (first.thread < sum.warps[index] * WARP_SIZE && sum.by.thread < sum.warps[index] * WARP_SIZE) return true;
    return false;
}

// Whether the block whose thread runs has learned, by an atomic sum, of what another one did.
bool learned_of(const Access& first, const Standing& now) {
    if (learned_by != now.block) return false;
    for (const Learned& each : learned) {
        Access own(each.own->by, true, NULL);
        if (!barrier_between(own, now) || now.fences <= each.own->fences[now.thread]) continue;
        if (first.kind == Access::OF_BLOCKS) return true;
        for (const auto& sum : each.of)
            if (sum->by.block == first.block && before_sum(first, *sum)) return true;
    }
    return false;
}

bool ordered(const Access& first, const Standing& now) {
    if (first.kernel > now.kernel) return false;
    if (first.kernel < now.kernel) return first.kernel <= now.ended || now.waited;
    if (first.kind != Access::OF_BLOCKS && first.block == now.block) return barrier_between(first, now);
    return learned_of(first, now);
}

// Attention reads ahead of its wait what lies behind the cached tokens, where its own kernel writes, and does not use it:
// whether it does is left to the results.
bool read_ahead(bool shared, unsigned reader, bool reads_ahead, unsigned writer, bool writes_ahead) {
    return !shared && reader == writer && reads_ahead && !writes_ahead;
}

// Reads of others are kept as one, the latest of each number.
void add_read(Access& all, const Access& next) {
    if (all.kind == Access::NONE || all.kernel < next.kernel) {
        all = next;
    } else if (all.kernel == next.kernel && all.block != next.block) {
        all = next;
        all.kind = Access::OF_BLOCKS;
    } else if (all.kernel == next.kernel && all.kind != Access::OF_BLOCKS) {
        if (all.all < next.all || (all.kind == Access::ONE && all.thread == next.thread)) {
            all = next;
            return;
        }
        const bool same_warp = all.kind <= Access::OF_A_WARP && all.thread / WARP_SIZE == next.thread / WARP_SIZE;
        const uint16_t some = all.some > next.some ? all.some : next.some;
        const uint16_t in_warp = all.in_warp > next.in_warp ? all.in_warp : next.in_warp;
        all = next;
        all.kind = same_warp ? Access::OF_A_WARP : Access::OF_A_BLOCK;
        all.some = some;
        all.in_warp = in_warp;
    }
}

std::map<uintptr_t, size_t> watched;
std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages;

bool is_watched(uintptr_t at) {
    auto after = watched.upper_bound(at);
    if (after == watched.begin()) return false;
    --after;
    return at - after->first < after->second;
}

// What was found of a page lately.
struct Known {
    uintptr_t number;
    bool is_watched;
    Page* page;
};
Known known_pages[4096];

// The page of `at`, if anybody watches it. Of memory that all blocks have, none is made before a kernel writes there.
Page* page_of(uintptr_t at, bool shared, bool writes) {
    const uintptr_t number = at / PAGE;
    Known& here = known_pages[number % 4096];
    // A page may hold shared memory and other things.
    if (here.number != number || (shared && !here.is_watched)) {
        const auto found = pages.find(number);
        here = {number, shared || is_watched(at), found == pages.end() ? NULL : found->second.get()};
    }
    if (!here.page && here.is_watched && (shared || writes)) {
        auto& made = pages[number];
        made = std::make_unique<Page>();
        here.page = made.get();
    }
    return here.is_watched ? here.page : NULL;
}

// While it lives what is done is not that of a thread: the driver is compiled as the kernels are.
struct Aside {
    const Standing* const who = standing;
    Aside() { standing = NULL; }
    ~Aside() { standing = who; }
};

enum Intent { READS, WRITES, ADDS };

void come(const void* to, size_t bytes, Intent intent, const void* code) {
    if (!standing) return;
    const Aside aside;
    const Standing& now = *aside.who;
    const bool shared = is_shared(to);
    if (shared && !now.looks) return;
    const uintptr_t from = (uintptr_t)to / GRAIN * GRAIN, end = (uintptr_t)to + bytes;
    Page* page = NULL;
    for (uintptr_t at = from; at < end; at += GRAIN) {
        if (at == from || at % PAGE == 0) page = page_of(at, shared, intent != READS);
        if (!page) continue;
        Grain& grain = page->grains[at % PAGE / GRAIN];
        // Another block's shared memory was another memory.
        if (shared && grain.write.block != now.block) grain.write = Access();
        if (shared && grain.read.block != now.block) grain.read = Access();
        const Access access(now, intent == ADDS, code);
        const bool both_add = grain.write.adds && access.adds;
        const bool unused = intent == READS && read_ahead(shared, now.kernel, now.ahead, grain.write.kernel, grain.write.ahead);
        if (grain.write.kind && !both_add && !unused && !ordered(grain.write, now)) {
            const char* what = intent == READS ? "a race: a read of what another thread writes" : "a race: two threads write";
            stop_for_race(what, grain.write.code, code);
        }
        if (intent == READS) {
            add_read(grain.read, access);
            continue;
        }
        const bool was_unused = read_ahead(shared, grain.read.kernel, grain.read.ahead, now.kernel, now.ahead);
        if (grain.read.kind && !was_unused && !ordered(grain.read, now))
            stop_for_race("a race: a write of what another thread reads", grain.read.code, code);
        grain.write = access;
        grain.read = Access();
    }
}

}  // namespace

extern "C" {

void watch(const void* from, size_t bytes) {
    watched[(uintptr_t)from] = bytes;
    memset(known_pages, 0, sizeof known_pages);
}
void watch_no_more(const void* from) {
    const auto found = watched.find((uintptr_t)from);
    if (found == watched.end()) return;
    // Others may have begun in its last page, whose records are of kernels that have ended.
    for (uintptr_t at = found->first / PAGE; at <= (found->first + found->second) / PAGE; at++) {
        auto known = pages.find(at);
        if (known != pages.end()) *known->second = Page();
    }
    watched.erase(found);
    memset(known_pages, 0, sizeof known_pages);
}

#define CODE __builtin_return_address(0)
void comes_to_read(const void* at, size_t bytes) { come(at, bytes, READS, CODE); }
void comes_to_write(const void* at, size_t bytes) { come(at, bytes, WRITES, CODE); }
void comes_to_add(const void* at, size_t bytes) {
    come(at, bytes, ADDS, CODE);
    if (!standing) return;
    const Aside aside;
    if (is_shared(at)) return;
    const Standing& now = *aside.who;
    if (summed_by != now.kernel) sums.clear();
    summed_by = now.kernel;
    if (learned_by != now.block) learned.clear();
    learned_by = now.block;
    auto sum = std::make_shared<Sum>();
    sum->by = now;
    for (unsigned i = 0; i < threads_of_block(); i++) sum->fences.push_back(standing_of(i).fences);
    for (unsigned i = 0; i <= now.some; i++) sum->warps.push_back(warps_at(i));
    learned.push_back({sum, sums[at]});
    sums[at].push_back(sum);
}

#define ACCESS(bytes) \
    void __tsan_read##bytes(void* at) { come(at, bytes, READS, CODE); } \
    void __tsan_write##bytes(void* at) { come(at, bytes, WRITES, CODE); } \
    void __tsan_unaligned_read##bytes(void* at) { come(at, bytes, READS, CODE); } \
    void __tsan_unaligned_write##bytes(void* at) { come(at, bytes, WRITES, CODE); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void* at, size_t bytes) { come(at, bytes, READS, CODE); }
void __tsan_write_range(void* at, size_t bytes) { come(at, bytes, WRITES, CODE); }
// The guard of a static.
unsigned char __tsan_atomic8_load(const volatile unsigned char* at, int) { return __atomic_load_n(at, __ATOMIC_ACQUIRE); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void* __tsan_memcpy(void* to, const void* from, size_t bytes) { return memcpy(to, from, bytes); }
void* __tsan_memmove(void* to, const void* from, size_t bytes) { return memmove(to, from, bytes); }
void* __tsan_memset(void* to, int value, size_t bytes) { return memset(to, value, bytes); }
}
