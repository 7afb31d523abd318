// Fill the pixels whose window holds nothing intact. Compiled like fill_lanes.h.
//
// The window grows to radius d, the Chebyshev distance to the nearest intact pixel, so all its
// intact samples lie on its rim: two pieces of rows of the mask and two of columns, 64 bits a test.
// Up to Rings::furthest the distance is known (rings.h). Beyond, that of a neighbour, from which it
// differs by at most one, leaves few radii to try. The samples of as many pixels as there are lanes
// are collected side by side and ranked together.

struct Place {
    ptrdiff_t y, x, distance;
};

template <class T>
struct Grower {
    static constexpr int planes = sizeof(T);
    // Splits into the largest bytes: NaN for floats, whose largest key it is.
    static constexpr T masked_sample = (T)(sizeof(T) == 4 ? 0x7fffffff : 0xffff);

    // Up to this distance the rim has 64 pixels at most.
    static constexpr ptrdiff_t short_distance = 8;

    const Scene &scene;
    const Band &band;
    Scratch &scratch;
    const ptrdiff_t channels, capacity_px;  // how many pixels the lanes take
    ptrdiff_t capacity = 0;            // samples that there is room for
    ptrdiff_t filled = 0;              // samples made ready: masked until written
    T *samples = nullptr;              // (capacity, N), and the same again as planes
    Place place[N];
    ptrdiff_t count[N];
    int held = 0;
    ptrdiff_t rim[short_distance + 1][64];
    // Pixels whose distance is known bound that of the next: the one before, and by column the latest.
    Place last = {}, latest[64] = {};

    Grower(const Scene &scene, const Band &band, Scratch &scratch)
        : scene(scene),
          band(band),
          scratch(scratch),
          channels(scene.job.channels),
          capacity_px(N / scene.job.channels) {
        lay_rims();
    }

    // Take in the pixels of row y that `pixels` has set, counted from x on, which are known to be that far
    // from the nearest intact one.
    void take(ptrdiff_t y, ptrdiff_t x, uint64_t pixels, ptrdiff_t distance) {
        if (!pixels) return;
        switch (channels) {
            case 1: return take_pixels<1>(y, x, pixels, distance);
            case 2: return take_pixels<2>(y, x, pixels, distance);
            case 3: return take_pixels<3>(y, x, pixels, distance);
            default: return take_pixels<4>(y, x, pixels, distance);
        }
    }

    template <int CHANNELS>
    void take_pixels(ptrdiff_t y, ptrdiff_t x, uint64_t pixels, ptrdiff_t distance) {
        if (distance <= short_distance) return take_short<CHANNELS>(y, x, pixels, distance);
        for (; pixels; pixels &= pixels - 1) take_pixel<CHANNELS>(y, x + __builtin_ctzll(pixels), distance);
    }

    // The same where a rim fits a word; in cracks few of its pixels are intact, and most of the work is to find
    // them. What the pixels have in common is looked up once.
    template <int CHANNELS>
    void take_short(ptrdiff_t y, ptrdiff_t x, uint64_t pixels, ptrdiff_t distance) {
        const ptrdiff_t across = 2 * distance + 1, down = across - 2;
        const BitMask &masked = scene.masked;
        const ptrdiff_t top = y - distance, bottom = y + distance, left = x - distance;
        const uint64_t above = masked.row(top, left), above_next = masked.row(top, left + 64);
        const uint64_t below = masked.row(bottom, left), below_next = masked.row(bottom, left + 64);
        const BitMask::Columns columns = masked.columns(top + 1);
        const char *const row = scene.source_row(y) + x * scene.pixel_bytes();
        make_room(256);
        for (; pixels; pixels &= pixels - 1) {
            const ptrdiff_t i = __builtin_ctzll(pixels);
            uint64_t intact = ~BitMask::window(above, above_next, i) & low_bits(across);
            intact |= (~BitMask::window(below, below_next, i) & low_bits(across)) << across;
            intact |= (~columns(x + i - distance) & low_bits(down)) << 2 * across;
            intact |= (~columns(x + i + distance) & low_bits(down)) << (2 * across + down);
            T *to = room<CHANNELS>(intact, 0);
            count[held] = __builtin_popcountll(intact);
            set(place[held], y, x + i, distance);
            const char *const pixel = row + i * CHANNELS * (ptrdiff_t)sizeof(T);
            for (const ptrdiff_t *const at = rim[distance]; intact; intact &= intact - 1, to += N)
                __builtin_memcpy(to, pixel + at[__builtin_ctzll(intact)], CHANNELS * sizeof(T));
            if (++held == capacity_px) flush();
        }
    }

    // Take in one pixel; false if it is further from anything intact.
    template <int CHANNELS>
    bool take_pixel(ptrdiff_t y, ptrdiff_t x, ptrdiff_t distance) {
        make_room(8 * distance + 256);
        count[held] = collect<CHANNELS>(y, x, distance);
        if (!count[held]) return false;
        set(place[held], y, x, distance);
        if (++held == capacity_px) flush();
        return true;
    }

    // Take in a pixel whose window holds nothing intact, nobody knows how far around it.
    void search(ptrdiff_t y, ptrdiff_t x) {
        ptrdiff_t distance = larger(least_distance(y, x, last), least_distance(y, x, latest[x & 63]));
        while (!try_distance(y, x, distance)) ++distance;
        // Member by member: a copy of what was just stored would wait for the store.
        set(last, y, x, distance);
        set(latest[x & 63], y, x, distance);
    }

    bool try_distance(ptrdiff_t y, ptrdiff_t x, ptrdiff_t distance) {
        switch (channels) {
            case 1: return take_pixel<1>(y, x, distance);
            case 2: return take_pixel<2>(y, x, distance);
            case 3: return take_pixel<3>(y, x, distance);
            default: return take_pixel<4>(y, x, distance);
        }
    }

    static void set(Place &place, ptrdiff_t y, ptrdiff_t x, ptrdiff_t distance) {
        place.y = y;
        place.x = x;
        place.distance = distance;
    }

    // A lower bound of the distance: that of another pixel, less the way to it.
    ptrdiff_t least_distance(ptrdiff_t y, ptrdiff_t x, const Place &known) const {
        const ptrdiff_t dy = larger(y - known.y, known.y - y), dx = larger(x - known.x, known.x - x);
        return larger(scene.radius + 1, known.distance - larger(dy, dx));
    }

    // Put the intact samples on the rim at that distance into the lanes of the next pixel; return
    // how many there are.
    template <int CHANNELS>
    ptrdiff_t collect(ptrdiff_t y, ptrdiff_t x, ptrdiff_t distance) {
        if (distance < 32) return collect_near<CHANNELS>(y, x, distance);
        const ptrdiff_t height = scene.job.height, width = scene.job.width;
        const ptrdiff_t pixel_bytes = CHANNELS * sizeof(T), row_bytes = scene.job.source_row_bytes;
        const ptrdiff_t left = larger(0, x - distance), right = smaller(width, x + distance + 1);
        // The corners belong to the rows.
        const ptrdiff_t top = larger(0, y - distance + 1), bottom = smaller(height, y + distance);
        const auto along = [this](ptrdiff_t v) { return [this, v](ptrdiff_t u) { return scene.masked.row(v, u); }; };
        const auto down = [this](ptrdiff_t u) { return [this, u](ptrdiff_t v) { return scene.masked.column(u, v); }; };
        const char *row = scene.source_row(0) + left * pixel_bytes;
        const char *column = scene.source_row(top);
        ptrdiff_t n = 0;
        if (y - distance >= 0)
            n = collect_side<CHANNELS>(along(y - distance), left, right, row + (y - distance) * row_bytes, pixel_bytes, n);
        if (y + distance < height)
            n = collect_side<CHANNELS>(along(y + distance), left, right, row + (y + distance) * row_bytes, pixel_bytes, n);
        if (x - distance >= 0)
            n = collect_side<CHANNELS>(down(x - distance), top, bottom, column + (x - distance) * pixel_bytes, row_bytes, n);
        if (x + distance < width)
            n = collect_side<CHANNELS>(down(x + distance), top, bottom, column + (x + distance) * pixel_bytes, row_bytes, n);
        return n;
    }

    // The same where each side fits a word.
    template <int CHANNELS>
    ptrdiff_t collect_near(ptrdiff_t y, ptrdiff_t x, ptrdiff_t distance) {
        const ptrdiff_t across = 2 * distance + 1, down = across - 2;
        const BitMask &masked = scene.masked;
        const uint64_t above = ~masked.row(y - distance, x - distance) & low_bits(across);
        const uint64_t below = ~masked.row(y + distance, x - distance) & low_bits(across);
        const uint64_t before = ~masked.column(x - distance, y - distance + 1) & low_bits(down);
        const uint64_t after = ~masked.column(x + distance, y - distance + 1) & low_bits(down);
        const char *pixel = scene.source_row(y) + x * scene.pixel_bytes();
        ptrdiff_t n = 0;
        const ptrdiff_t pixel_bytes = CHANNELS * sizeof(T), row_bytes = scene.job.source_row_bytes;
        const char *const corner = pixel - distance * (row_bytes + pixel_bytes);
        n = collect_word<CHANNELS>(above, corner, pixel_bytes, n);
        n = collect_word<CHANNELS>(below, corner + 2 * distance * row_bytes, pixel_bytes, n);
        n = collect_word<CHANNELS>(before, corner + row_bytes, row_bytes, n);
        return collect_word<CHANNELS>(after, corner + row_bytes + 2 * distance * pixel_bytes, row_bytes, n);
    }

    template <int CHANNELS>
    ptrdiff_t collect_word(uint64_t intact, const char *pixels_from, ptrdiff_t step, ptrdiff_t n) {
        if (!intact) return n;
        T *to = room<CHANNELS>(intact, n);
        for (; intact; intact &= intact - 1, ++n, to += N)
            __builtin_memcpy(to, pixels_from + __builtin_ctzll(intact) * step, CHANNELS * sizeof(T));
        return n;
    }

    // How far the pixels of a short rim lie from the centre, in the order of take_short().
    void lay_rims() {
        const ptrdiff_t row_bytes = scene.job.source_row_bytes, pixel_bytes = scene.pixel_bytes();
        for (ptrdiff_t d = 1; d <= short_distance; ++d) {
            ptrdiff_t *to = rim[d];
            for (ptrdiff_t dx = -d; dx <= d; ++dx) *to++ = -d * row_bytes + dx * pixel_bytes;
            for (ptrdiff_t dx = -d; dx <= d; ++dx) *to++ = d * row_bytes + dx * pixel_bytes;
            for (ptrdiff_t dy = 1 - d; dy < d; ++dy) *to++ = dy * row_bytes - d * pixel_bytes;
            for (ptrdiff_t dy = 1 - d; dy < d; ++dy) *to++ = dy * row_bytes + d * pixel_bytes;
        }
    }

    // The same for one side, from pixel `from` on, which lies at `pixels_from`; masked(i) is the mask from i on.
    template <int CHANNELS, class Masked>
    ptrdiff_t collect_side(Masked masked, ptrdiff_t from, ptrdiff_t to, const char *pixels_from, ptrdiff_t step,
                           ptrdiff_t n) {
        for (; from < to; from += 64, pixels_from += 64 * step)
            n = collect_word<CHANNELS>(~masked(from) & low_bits(to - from), pixels_from, step, n);
        return n;
    }

    // Where the next pixel's samples from number n on go, one for each bit of `intact`.
    template <int CHANNELS>
    T *room(uint64_t intact, ptrdiff_t n) {
        make_ready(n + __builtin_popcountll(intact));
        return samples + n * N + held * CHANNELS;
    }

    void make_room(ptrdiff_t wanted) {
        if (wanted <= capacity) return;
        capacity = wanted + wanted / 2;
        const size_t bytes = (size_t)(capacity * N) * (2 * sizeof(T) + (planes > 1 ? 1 : 0));
        samples = (T *)scratch.rim.reserve(bytes, (size_t)(filled * N) * sizeof(T));
    }

    void make_ready(ptrdiff_t wanted) {
        if (wanted <= filled) return;
        T *const from = samples + filled * N;
        const ptrdiff_t n = (wanted - filled) * N;
        for (ptrdiff_t i = 0; i < n; ++i) from[i] = masked_sample;
        filled = wanted;
    }

    void flush() {
        if (!held) return;
        if (filled <= 255)
            rank<Narrow>();
        else if (filled <= 65535)
            rank<Wide>();
        else
            rank_one_by_one();
        held = 0;
        filled = 0;
    }

    template <class Counts>
    void rank() {
        const ptrdiff_t rows = (filled + 127) / 128, row_count = (filled + rows - 1) / rows;
        make_ready(rows * row_count);
        Samples samples_of{{}, rows, row_count * N, row_count, N};
        int8_t *to[sizeof(T)], *after = (int8_t *)(samples + capacity * N);
        for (int p = 0; p < planes; ++p, after += capacity * N) samples_of.plane[p] = to[p] = after;
        split(samples, filled * N, to);
        Counts ranks = Counts::zero();
        for (int i = 0; i < held; ++i)
            for (ptrdiff_t c = 0; c < channels; ++c)
                ranks.set((int)(i * channels + c), (unsigned)(count[i] - 1) / 2);
        alignas(64) int8_t found[planes * N];
        Search<Counts> search{ranks, Counts::zero(), (i8)all(128), 8};
        search_samples(samples_of, planes, search, after, found);
        T pixels[N];
        join_lanes(found, pixels);
        for (int i = 0; i < held; ++i)
            write_pixel(scene, band, scratch, place[i].y, place[i].x, pixels + i * channels);
    }

    void rank_one_by_one() {
        for (int i = 0; i < held; ++i) {
            T pixel[4];
            fill_one(scene, place[i].y, place[i].x, place[i].distance, pixel);
            write_pixel(scene, band, scratch, place[i].y, place[i].x, pixel);
        }
    }
};
