// The innermost part: the sample of a given rank, in N byte lanes at once. Included by the
// fill_*.cpp, which set N and the instruction set; fill_lanes.h says how.
//
// Samples are split into byte planes, the most significant first, each byte with its top bit
// flipped so that a signed comparison, the only one that SSE2 and AVX2 have, orders it. A masked
// sample is the largest byte: no search ever counts it as smaller than anything.
//
// A byte is found bit by bit: it is the largest t with at most `rank` samples below it, so as many
// times as it has unknown bits, "count the samples below t" decides one. Each count is one compare
// and one subtract a sample, whatever the values, with no branch.

typedef int8_t i8 __attribute__((vector_size(N)));
typedef uint8_t u8 __attribute__((vector_size(N)));
typedef uint16_t u16 __attribute__((vector_size(N)));

inline i8 load(const void *from) {
    i8 lanes;
    __builtin_memcpy(&lanes, from, N);
    return lanes;
}

inline u8 all(uint8_t value) { return u8{} + value; }

inline void store(void *to, i8 lanes) { __builtin_memcpy(to, &lanes, N); }

// A number for each lane, up to 255.
struct Narrow {
    static constexpr bool is_narrow = true;
    u8 value;

    static Narrow zero() { return {u8{}}; }
    static Narrow number(ptrdiff_t n) { return {all((uint8_t)n)}; }
    // How many rows of numbers up to `largest` may be added up in bytes.
    static ptrdiff_t at_once(ptrdiff_t rows, ptrdiff_t) { return rows; }
    void add(u8 more) { value += more; }
    i8 at_most(const Narrow &other) const { return (i8)(value <= other.value); }
    Narrow operator-(const Narrow &other) const { return {value - other.value}; }
    Narrow lower_rank() const { return {(value - 1) >> 1}; }
    static Narrow choose(i8 first, const Narrow &a, const Narrow &b) { return {first ? a.value : b.value}; }
    void set(int lane, unsigned number) { value[lane] = static_cast<uint8_t>(number); }
};

// A number for each lane, up to 65535; even and odd lanes apart, so that widening moves none.
struct Wide {
    static constexpr bool is_narrow = false;
    u16 even, odd;

    static Wide zero() { return {u16{}, u16{}}; }
    static Wide number(ptrdiff_t n) { return {u16{} + (uint16_t)n, u16{} + (uint16_t)n}; }
    static ptrdiff_t at_once(ptrdiff_t, ptrdiff_t largest) { return 255 / largest; }
    void add(u8 more) {
        even += (u16)more & 255;
        odd += (u16)more >> 8;
    }
    static i8 join(u16 even, u16 odd) { return (i8)((even & 255) | (odd << 8)); }
    i8 at_most(const Wide &other) const { return join((u16)(even <= other.even), (u16)(odd <= other.odd)); }
    Wide operator-(const Wide &other) const { return {even - other.even, odd - other.odd}; }
    Wide lower_rank() const { return {(even - 1) >> 1, (odd - 1) >> 1}; }
    static Wide choose(i8 first, const Wide &a, const Wide &b) {
        const u16 both = (u16)first;  // each byte is 0 or 255
        const u16 in_even = -(both & 1), in_odd = -(both >> 15);
        return {(a.even & in_even) | (b.even & ~in_even), (a.odd & in_odd) | (b.odd & ~in_odd)};
    }
    void set(int lane, unsigned number) {
        u16 &half = lane & 1 ? odd : even;  // GCC 12 with UBSan subscripts a copy of the conditional itself
        half[lane / 2] = static_cast<uint16_t>(number);
    }
};

// Where the samples of N windows lie: `rows` rows of `count` samples each, N lanes a sample.
struct Samples {
    const int8_t *plane[4];
    ptrdiff_t rows, row_step, count, step;
};

// What is known of the bytes that are looked for: the one of rank `rank` is found .. found + 2^bits
// - 1, and `below` samples are below `found`.
template <class Counts>
struct Search {
    Counts rank, below;
    i8 found;
    int bits;
};

// How many of a few rows of samples are below `trial`, 255 at most. COUNT is the number of samples
// of a row where it is known at compile time, else 0.
template <int COUNT>
inline u8 count_rows(const int8_t *row, ptrdiff_t rows, const Samples &samples, i8 trial) {
    const ptrdiff_t count = COUNT ? COUNT : samples.count, step = samples.step;
    u8 even{}, odd{};  // two chains, so that an add need not wait for the one before
    for (; rows > 0; --rows, row += samples.row_step) {
        const int8_t *sample = row;
        ptrdiff_t left = count;
        for (; left >= 4; left -= 4, sample += 4 * step) {
            even -= (u8)(load(sample) < trial);
            odd -= (u8)(load(sample + step) < trial);
            even -= (u8)(load(sample + 2 * step) < trial);
            odd -= (u8)(load(sample + 3 * step) < trial);
        }
        for (; left > 0; --left, sample += step) even -= (u8)(load(sample) < trial);
    }
    return even + odd;
}

template <class Counts, int COUNT>
inline Counts count_below(const Samples &samples, int plane, i8 trial) {
    Counts total = Counts::zero();
    const ptrdiff_t at_once = Counts::at_once(samples.rows, samples.count);
    for (ptrdiff_t row = 0; row < samples.rows; row += at_once) {
        const ptrdiff_t rows = at_once < samples.rows - row ? at_once : samples.rows - row;
        total.add(count_rows<COUNT>(samples.plane[plane] + row * samples.row_step, rows, samples, trial));
    }
    return total;
}

// Find the bits of one plane that are not known yet.
template <class Counts, int COUNT>
inline void search_plane(const Samples &samples, int plane, Search<Counts> &search) {
    for (int bit = 1 << search.bits >> 1; bit; bit >>= 1) {
        const i8 trial = (i8)((u8)search.found + all((uint8_t)bit));
        const Counts counts = count_below<Counts, COUNT>(samples, plane, trial);
        const i8 take = counts.at_most(search.rank);
        search.found = take ? trial : search.found;
        search.below = Counts::choose(take, counts, search.below);
    }
}

// Copy to `staged` plane number PLANE of the samples whose bytes before it are the ones found; the others
// become masked.
template <int PLANE>
inline void stage(const Samples &samples, const int8_t *found, int8_t *staged) {
    i8 wanted[PLANE];
    for (int p = 0; p < PLANE; ++p) wanted[p] = load(found + p * N);
    for (ptrdiff_t row = 0; row < samples.rows; ++row)
        for (ptrdiff_t i = 0; i < samples.count; ++i, staged += N) {
            const ptrdiff_t offset = row * samples.row_step + i * samples.step;
            i8 equal = (i8)all(255);
            for (int p = 0; p < PLANE; ++p) equal &= (i8)(load(samples.plane[p] + offset) == wanted[p]);
            store(staged, (load(samples.plane[PLANE] + offset) & equal) | (127 & ~equal));
        }
}

template <class Counts, int COUNT>
__attribute__((noinline)) void search_planes(const Samples &samples, int planes, Search<Counts> &search,
                                             int8_t *workspace, int8_t *found) {
    search_plane<Counts, COUNT>(samples, 0, search);
    store(found, search.found);
    const Samples staged{{workspace}, samples.rows, samples.count * N, samples.count, N};
    for (int plane = 1; plane < planes; ++plane) {
        switch (plane) {
            case 1: stage<1>(samples, found, workspace); break;
            case 2: stage<2>(samples, found, workspace); break;
            default: stage<3>(samples, found, workspace);
        }
        search = {search.rank - search.below, Counts::zero(), (i8)all(128), 8};
        search_plane<Counts, COUNT>(staged, 0, search);
        store(found + plane * N, search.found);
    }
}

// Rows whose length the compiler knows are a third faster, up to this one (benchmarks/test_bench_inpaint.py).
constexpr ptrdiff_t longest_known_row = 11;

// Find the samples: found[plane * N + lane]. `search` says what is known of the first plane.
// `workspace` holds a byte for each sample and lane when there are several planes.
template <class Counts>
inline void search_samples(const Samples &samples, int planes, Search<Counts> &search, int8_t *workspace,
                           int8_t *found) {
    if (Counts::is_narrow) {
        switch (samples.count) {
            case 3: return search_planes<Counts, 3>(samples, planes, search, workspace, found);
            case 5: return search_planes<Counts, 5>(samples, planes, search, workspace, found);
            case 7: return search_planes<Counts, 7>(samples, planes, search, workspace, found);
            case 9: return search_planes<Counts, 9>(samples, planes, search, workspace, found);
            case longest_known_row: return search_planes<Counts, longest_known_row>(samples, planes, search, workspace, found);
        }
    }
    search_planes<Counts, 0>(samples, planes, search, workspace, found);
}
