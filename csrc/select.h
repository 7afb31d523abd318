// The innermost part: the sample of a given rank, in N byte lanes at once.
//
// Included by fill_lanes.h, that is compiled once for each instruction set; see there. Samples are
// split into byte planes, the most significant first, each byte with its top bit flipped so that a
// signed comparison, the only one that SSE2 and AVX2 have, orders it. A masked sample is the
// largest byte: no search ever counts it as smaller than anything.
//
// A byte is found bit by bit: it is the largest t with at most `rank` samples below it, so eight
// times "count the samples below t" decide it. Each count is one compare and one subtract a sample,
// whatever the values, with no branch.

template <int N>
struct Lanes {
    typedef int8_t i8 __attribute__((vector_size(N)));
    typedef uint8_t u8 __attribute__((vector_size(N)));
    typedef uint16_t u16 __attribute__((vector_size(N)));
};

template <int N>
inline typename Lanes<N>::i8 load(const int8_t *from) {
    typename Lanes<N>::i8 lanes;
    __builtin_memcpy(&lanes, from, N);
    return lanes;
}

// Add one to the lanes of `counts` whose sample is below `trial`.
template <int N>
inline void tally(typename Lanes<N>::u8 &counts, const int8_t *samples, typename Lanes<N>::i8 trial) {
    counts -= (typename Lanes<N>::u8)(load<N>(samples) < trial);
}

#if defined(UNETFAST_AVX512)
// The compiler would turn the mask register into a vector first, three instructions for two.
template <>
inline void tally<64>(Lanes<64>::u8 &counts, const int8_t *samples, Lanes<64>::i8 trial) {
    const __mmask64 below = _mm512_cmplt_epi8_mask(_mm512_loadu_si512(samples), (__m512i)trial);
    counts = (Lanes<64>::u8)_mm512_mask_add_epi8((__m512i)counts, below, (__m512i)counts, _mm512_set1_epi8(1));
}
#endif

// Where the samples of N windows lie: `rows` rows of `count` samples each, N lanes a sample.
struct Samples {
    const int8_t *plane[4];
    ptrdiff_t rows, row_step, count, step;
};

// A number for each lane, up to 255.
template <int N>
struct Narrow {
    typedef typename Lanes<N>::i8 i8;
    typedef typename Lanes<N>::u8 u8;
    u8 value;

    static ptrdiff_t rows_at_once(const Samples &samples) { return samples.rows; }
    static Narrow zero() { return {u8{}}; }
    void add(u8 more) { value += more; }
    i8 at_most(const Narrow &other) const { return (i8)(value <= other.value); }
    Narrow operator-(const Narrow &other) const { return {(u8)(value - other.value)}; }
    Narrow lower_rank() const { return {(u8)((value - 1) >> 1)}; }
    i8 is_zero() const { return (i8)(value == 0); }
    static Narrow choose(i8 first, const Narrow &a, const Narrow &b) {
        return {(u8)(first ? (i8)a.value : (i8)b.value)};
    }
    void set(int lane, unsigned number) { value[lane] = static_cast<uint8_t>(number); }
};

// A number for each lane, up to 65535, even and odd lanes apart: no lane has to move to widen.
template <int N>
struct Wide {
    typedef typename Lanes<N>::i8 i8;
    typedef typename Lanes<N>::u8 u8;
    typedef typename Lanes<N>::u16 u16;
    u16 even, odd;

    static ptrdiff_t rows_at_once(const Samples &samples) { return 255 / samples.count; }
    static Wide zero() { return {u16{}, u16{}}; }
    void add(u8 more) {
        even += (u16)more & 255;
        odd += (u16)more >> 8;
    }
    static i8 join(u16 even, u16 odd) { return (i8)((even & 255) | (odd << 8)); }
    i8 at_most(const Wide &other) const { return join((u16)(even <= other.even), (u16)(odd <= other.odd)); }
    Wide operator-(const Wide &other) const { return {(u16)(even - other.even), (u16)(odd - other.odd)}; }
    Wide lower_rank() const { return {(u16)((even - 1) >> 1), (u16)((odd - 1) >> 1)}; }
    i8 is_zero() const { return join((u16)(even == 0), (u16)(odd == 0)); }
    static Wide choose(i8 first, const Wide &a, const Wide &b) {
        const u16 both = (u16)first;  // each byte is 0 or 255
        const u16 take_even = -(both & 1), take_odd = -(both >> 15);
        return {(u16)((a.even & take_even) | (b.even & ~take_even)),
                (u16)((a.odd & take_odd) | (b.odd & ~take_odd))};
    }
    void set(int lane, unsigned number) { (lane & 1 ? odd : even)[lane / 2] = static_cast<uint16_t>(number); }
};

template <int N, class Counts>
inline Counts count_below(const Samples &samples, int plane, typename Lanes<N>::i8 trial) {
    typedef typename Lanes<N>::u8 u8;
    Counts total = Counts::zero();
    const ptrdiff_t rows_at_once = Counts::rows_at_once(samples);
    const int8_t *row = samples.plane[plane];
    for (ptrdiff_t done = 0; done < samples.rows;) {
        const ptrdiff_t until = done + rows_at_once < samples.rows ? done + rows_at_once : samples.rows;
        u8 even{}, odd{};  // two chains, so that an add need not wait for the one before
        for (; done < until; ++done, row += samples.row_step) {
            const int8_t *sample = row;
            ptrdiff_t left = samples.count;
            for (; left >= 4; left -= 4, sample += 4 * samples.step) {
                tally<N>(even, sample, trial);
                tally<N>(odd, sample + samples.step, trial);
                tally<N>(even, sample + 2 * samples.step, trial);
                tally<N>(odd, sample + 3 * samples.step, trial);
            }
            for (; left > 0; --left, sample += samples.step) tally<N>(even, sample, trial);
        }
        total.add(even + odd);
    }
    return total;
}

// The byte of rank `rank` in each lane; `below` becomes how many samples are smaller than it.
template <int N, class Counts>
inline typename Lanes<N>::i8 select_byte(const Samples &samples, int plane, const Counts &rank,
                                         Counts &below) {
    typedef typename Lanes<N>::i8 i8;
    typedef typename Lanes<N>::u8 u8;
    i8 found = (i8)(u8{} + 128);
    below = Counts::zero();
    for (int bit = 128; bit; bit >>= 1) {
        const i8 trial = (i8)((u8)found + (uint8_t)bit);
        const Counts counts = count_below<N, Counts>(samples, plane, trial);
        const i8 take = counts.at_most(rank);
        found = take ? trial : found;
        below = Counts::choose(take, counts, below);
    }
    return found;
}

// Copy to `staged` the next plane of the samples whose bytes so far are the ones found; the others
// become masked. `match` (the same layout) remembers which those are.
template <int N>
inline void stage(const Samples &samples, int plane, typename Lanes<N>::i8 found, int8_t *staged,
                  int8_t *match, bool last) {
    typedef typename Lanes<N>::i8 i8;
    ptrdiff_t at = 0;
    for (ptrdiff_t row = 0; row < samples.rows; ++row)
        for (ptrdiff_t i = 0; i < samples.count; ++i, at += N) {
            const ptrdiff_t offset = row * samples.row_step + i * samples.step;
            i8 equal = (i8)(load<N>(samples.plane[plane] + offset) == found);
            if (plane > 0) equal &= load<N>(match + at);
            if (!last) __builtin_memcpy(match + at, &equal, N);
            const i8 next = (load<N>(samples.plane[plane + 1] + offset) & equal) | (127 & ~equal);
            __builtin_memcpy(staged + at, &next, N);
        }
}

// The samples of rank `rank`: found[plane * N + lane]. `workspace` holds two bytes for each sample
// and lane when there are several planes.
template <int N, class Counts>
inline void select_sample(const Samples &samples, int planes, Counts rank, int8_t *workspace, int8_t *found) {
    Counts below;
    typename Lanes<N>::i8 byte = select_byte<N, Counts>(samples, 0, rank, below);
    __builtin_memcpy(found, &byte, N);
    int8_t *match = workspace + samples.rows * samples.count * N;
    const Samples staged{{workspace}, samples.rows, samples.count * N, samples.count, N};
    for (int plane = 1; plane < planes; ++plane) {
        rank = rank - below;
        stage<N>(samples, plane - 1, byte, workspace, match, plane == planes - 1);
        byte = select_byte<N, Counts>(staged, 0, rank, below);
        __builtin_memcpy(found + plane * N, &byte, N);
    }
}
