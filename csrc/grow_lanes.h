// Fill the pixels whose window holds nothing intact. Compiled like fill_lanes.h.
//
// The window grows to radius d, the Chebyshev distance to the nearest intact pixel, so all its
// intact samples lie on its rim: two pieces of rows of the mask and two of columns, 64 bits a test.
// The distance of a neighbour differs by at most one, which leaves few radii to try, and no
// distance map is ever stored. The samples of as many pixels as there are lanes are collected side
// by side and ranked together.

// Call each(i) for every clear bit i of row[from .. to), until it returns true; say whether it did.
template <class Each>
inline bool each_clear(const uint64_t *row, ptrdiff_t from, ptrdiff_t to, Each each) {
    for (; from < to; from += 64)
        for (uint64_t clear = ~window(row, from) & low_bits(to - from); clear; clear &= clear - 1)
            if (each(from + __builtin_ctzll(clear))) return true;
    return false;
}

// Call each(y, x) for every intact pixel on the rim of the window, until it returns true.
template <class Each>
inline bool each_on_rim(const Scene &scene, ptrdiff_t y, ptrdiff_t x, ptrdiff_t radius, Each each) {
    const ptrdiff_t height = scene.job.height, width = scene.job.width;
    const ptrdiff_t left = larger(0, x - radius), right = smaller(width, x + radius + 1);
    const ptrdiff_t top = larger(0, y - radius + 1), bottom = smaller(height, y + radius);
    const auto in_row = [&](ptrdiff_t v) {
        return v >= 0 && v < height &&
               each_clear(scene.masked.row(v), left, right, [&](ptrdiff_t u) { return each(v, u); });
    };
    const auto in_column = [&](ptrdiff_t u) {
        return u >= 0 && u < width &&
               each_clear(scene.columns.row(u), top, bottom, [&](ptrdiff_t v) { return each(v, u); });
    };
    return in_row(y - radius) || in_row(y + radius) || in_column(x - radius) || in_column(x + radius);
}

struct Place {
    ptrdiff_t y, x, distance;
};

// The distance of pixel (y, x) to the nearest intact one, known to be more than scene.radius; `near`
// are places whose distance is known.
inline ptrdiff_t distance_of(const Scene &scene, ptrdiff_t y, ptrdiff_t x, const Place (&near)[2]) {
    ptrdiff_t distance = scene.radius + 1;
    for (const Place &place : near) {
        const ptrdiff_t dy = larger(y - place.y, place.y - y), dx = larger(x - place.x, place.x - x);
        distance = larger(distance, place.distance - larger(dy, dx));
    }
    while (!each_on_rim(scene, y, x, distance, [](ptrdiff_t, ptrdiff_t) { return true; })) ++distance;
    return distance;
}

template <class T, int N>
struct Grower {
    static constexpr int planes = sizeof(T);

    const Scene &scene;
    Scratch &scratch;
    const ptrdiff_t channels, pixels;  // how many pixels the lanes take
    ptrdiff_t capacity = 0;            // samples that there is room for
    int8_t *plane[4] = {};             // (capacity, N): sample i of each lane
    ptrdiff_t filled = 0;              // samples made ready: masked until written
    Place place[N];
    ptrdiff_t count[N];
    int held = 0;

    Grower(const Scene &scene, Scratch &scratch)
        : scene(scene), scratch(scratch), channels(scene.job.channels), pixels(N / scene.job.channels) {}

    // Planes lie interleaved, so that growing keeps what is there: sample i of plane p at
    // (i * planes + p) * N.
    void make_room(ptrdiff_t samples) {
        if (samples <= capacity) return;
        const ptrdiff_t kept = filled * planes * N;
        capacity = (samples + samples / 2 + 255) / 256 * 256;
        const size_t bytes = (size_t)(capacity * planes * N), staged = planes > 1 ? (size_t)(capacity * 2 * N) : 0;
        char *memory = scratch.grow((size_t)kept, bytes + staged);
        for (int p = 0; p < planes; ++p) plane[p] = (int8_t *)memory + p * N;
    }

    void make_ready(ptrdiff_t samples) {
        for (; filled < samples; ++filled) __builtin_memset(plane[0] + filled * planes * N, 127, planes * N);
    }

    void add(const Place &next) {
        make_room(filled + 8 * next.distance + 256);
        place[held] = next;
        ptrdiff_t n = 0;
        const ptrdiff_t lane = held * channels;
        each_on_rim(scene, next.y, next.x, next.distance, [&](ptrdiff_t y, ptrdiff_t x) {
            if (n == filled) make_ready(n + 1);
            static const uint8_t outside[4] = {};
            int8_t *to[4];
            for (int p = 0; p < planes; ++p) to[p] = plane[p] + n * planes * N + lane;
            split((const T *)scene.source_row(y) + x * channels, outside, to, channels);
            ++n;
            return false;
        });
        count[held++] = n;
        if (held == pixels) flush();
    }

    void flush() {
        if (!held) return;
        if (filled <= 255)
            rank<Narrow<N>>();
        else
            rank<Wide<N>>();
        held = 0;
        filled = 0;
    }

    template <class Counts>
    void rank() {
        const ptrdiff_t rows = (filled + 127) / 128, row_count = (filled + rows - 1) / rows;
        make_ready(rows * row_count);
        const ptrdiff_t step = planes * N;
        Samples samples{{}, rows, row_count * step, row_count, step};
        Counts ranks = Counts::zero();
        for (int p = 0; p < planes; ++p) samples.plane[p] = plane[p];
        for (int i = 0; i < held; ++i)
            for (ptrdiff_t c = 0; c < channels; ++c)
                ranks.set((int)(i * channels + c), (unsigned)(count[i] - 1) / 2);
        alignas(64) int8_t found[planes * N];
        select_sample<N, Counts>(samples, planes, ranks, plane[0] + capacity * step, found);
        for (int i = 0; i < held; ++i) {
            T *target = (T *)scene.target_row(place[i].y) + place[i].x * channels;
            for (ptrdiff_t c = 0; c < channels; ++c) join(found + i * channels + c, N, target + c);
        }
    }
};

template <class T>
void grow_typed(const Scene &scene, const Run *runs, size_t run_count, Scratch &scratch) {
    constexpr int N = max_lanes;
    Grower<T, N> grower(scene, scratch);
    Place near[2] = {};  // the last pixel, and the first of its run
    for (size_t i = 0; i < run_count; ++i)
        for (ptrdiff_t x = runs[i].x0; x < runs[i].x1; ++x) {
            const ptrdiff_t y = runs[i].y;
            const Place next{y, x, distance_of(scene, y, x, near)};
            near[0] = next;
            if (x == runs[i].x0) near[1] = next;
            if (8 * next.distance > 65535)
                fill_one(scene, y, x, next.distance, scene.target_row(y) + x * scene.pixel_bytes());
            else
                grower.add(next);
        }
    grower.flush();
}

void grow(const Scene &scene, const Run *runs, size_t run_count, Scratch &scratch) {
    switch (scene.job.sample_type) {
        case UNETFAST_UINT8: return grow_typed<uint8_t>(scene, runs, run_count, scratch);
        case UNETFAST_UINT16: return grow_typed<uint16_t>(scene, runs, run_count, scratch);
        default: return grow_typed<uint32_t>(scene, runs, run_count, scratch);
    }
}
