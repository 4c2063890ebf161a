// One token of each of several sequences, each over its own cache: as the step of one (attention.cu), whose blocks a
// sequence has as many of as it would have alone.

// Where the keys and values of a sequence lie in a layer.
struct CacheAt {
    void* keys;
    void* values;
};
// The same in every layer.
struct SequenceAt {
    u32 capacity;     // Tokens that its cache has room for.
    u32 splits;       // Blocks that share a key head, where nothing else bounds them.
};

struct EachAttention {
    StepAttention one;            // What all share; what is a sequence's own is that of the first one, or not set.
    const CacheAt* caches;        // [sequences]; no kernel writes these tables.
    const SequenceAt* sequences;  // [sequences]
    u32 groups;                   // Blocks of a key head; gridDim.z of all sequences.
    u32 few;                      // Up to so many splits each head has its own blocks when a sequence is alone, and
    u32 most_few;                 // so many splits at most;
    u32 most_many;                // else so many.
    u32 words;                    // From what the host says of a sequence to what it says of the next.
};

// Block (split, kv head, G of its heads of a sequence).
template <int G, int LANES, int C> DEVICE void each_attention(const EachAttention& e) {
    const u32 s = blockIdx.z / e.groups, group = blockIdx.z - s * e.groups;
    const CacheAt cache = e.caches[s];
    const SequenceAt sequence = e.sequences[s];
    StepAttention a = e.one;
    a.qkv += (u64)s * (a.heads + 2 * a.kv_heads) * a.dim;
    a.angles += (u64)s * (a.dim / 2);
    a.keys = cache.keys;
    a.values = cache.values;
    a.cached += s * e.words;
    a.capacity = sequence.capacity;
    a.splits = min(sequence.splits, sequence.splits <= e.few ? e.most_few : e.most_many);
    a.partial += (u64)s * a.heads * gridDim.x * (a.dim + 2);
    a.tickets += s * a.kv_heads * e.groups;
    a.out += (u64)s * a.heads * a.dim;
    step_attention<G, LANES, C>(a, group, e.groups);
}

#define EACH_ATTENTION(G, LANES, name, C) \
    KERNEL(each_##name##_##G##_##LANES, EachAttention, __launch_bounds__(256)) { \
        each_attention<G, LANES, C>(a); \
    }
#define EACH_GROUPS(LANES, name, C) \
    EACH_ATTENTION(1, LANES, name, C) \
    EACH_ATTENTION(2, LANES, name, C) \
    EACH_ATTENTION(4, LANES, name, C)
#define EACH_WIDTHS(name, C) \
    EACH_GROUPS(8, name, C) \
    EACH_GROUPS(16, name, C) \
    EACH_GROUPS(32, name, C)
EACH_WIDTHS(f16, F16)
EACH_WIDTHS(f32, F32)
