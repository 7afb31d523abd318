// Fill the masked pixels of a band, N byte lanes at once. Compiled once for each instruction set by
// fill_scalar.cpp, fill_avx2.cpp and fill_avx512.cpp, inside a namespace of their own and after
// they have set the target: nothing here may instantiate a template of the standard library, whose
// copy the linker would share with code that runs on older processors.
//
// The band is walked in tiles, 16 rows of one mask word (64 pixels). Where a tile holds a masked
// pixel, its surroundings are copied once into a patch: one byte a sample and plane, masked samples
// and those outside the image as the largest byte. The samples at one place of the window then lie
// side by side for neighbouring pixels and channels, and one load fetches them for N lanes.

constexpr ptrdiff_t tile_rows = 16;

inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
inline ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

inline uint32_t float_key(uint32_t bits) {
    // Negative floats order backwards: flip them whole; of the others only the sign.
    return bits ^ (static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31) | 0x80000000u);
}

// Split n samples into planes; `outside` is 255 for a masked lane.
inline void split(const uint8_t *samples, const uint8_t *outside, int8_t *const planes[4], ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; ++i) planes[0][i] = (int8_t)((samples[i] | outside[i]) ^ 128);
}

inline void split(const uint16_t *samples, const uint8_t *outside, int8_t *const planes[4], ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; ++i) planes[0][i] = (int8_t)(((samples[i] >> 8) | outside[i]) ^ 128);
    for (ptrdiff_t i = 0; i < n; ++i) planes[1][i] = (int8_t)((samples[i] | outside[i]) ^ 128);
}

inline void split(const uint32_t *samples, const uint8_t *outside, int8_t *const planes[4], ptrdiff_t n) {
    for (int plane = 0; plane < 4; ++plane)
        for (ptrdiff_t i = 0; i < n; ++i)
            planes[plane][i] = (int8_t)(((float_key(samples[i]) >> (24 - 8 * plane)) | outside[i]) ^ 128);
}

// Put the sample of one lane together again.
inline void join(const int8_t *found, ptrdiff_t plane_step, uint8_t *sample) {
    (void)plane_step;
    *sample = (uint8_t)(found[0] ^ 128);
}

inline void join(const int8_t *found, ptrdiff_t plane_step, uint16_t *sample) {
    *sample = (uint16_t)((uint8_t)(found[0] ^ 128) << 8 | (uint8_t)(found[plane_step] ^ 128));
}

inline void join(const int8_t *found, ptrdiff_t plane_step, uint32_t *sample) {
    uint32_t key = 0;
    for (int plane = 0; plane < 4; ++plane) key = key << 8 | (uint8_t)(found[plane * plane_step] ^ 128);
    *sample = key & 0x80000000u ? key ^ 0x80000000u : ~key;
}

template <class T>
struct Filler {
    static constexpr int planes = sizeof(T);

    const Scene &scene;
    Scratch &scratch;
    const ptrdiff_t width, height, channels, radius, side;
    ptrdiff_t pitch = 0;               // bytes from one row of the patch to the next
    uint8_t *expand = nullptr;         // for each byte of mask bits its 8 * channels lanes, 0 or 255
    uint8_t *outside = nullptr;        // one row of lanes
    int8_t *patch[4] = {};
    uint8_t *intact = nullptr;         // 1 for each sample of the patch that may be used
    uint8_t *column = nullptr;         // how many of those the window's rows hold in each lane
    int8_t *workspace = nullptr;       // for select_sample
    ptrdiff_t patch_x = 0, patch_y = 0;  // the image pixel of the patch's corner

    Filler(const Scene &scene, Scratch &scratch)
        : scene(scene),
          scratch(scratch),
          width(scene.job.width),
          height(scene.job.height),
          channels(scene.job.channels),
          radius(scene.radius),
          side(2 * scene.radius + 1) {}

    void make_room() {
        const ptrdiff_t rows = tile_rows + side;
        // A segment may start at the tile's last pixel and take max_lanes more.
        pitch = ((64 + side) * channels + 2 * max_lanes + 63) / 64 * 64;
        const ptrdiff_t staged = planes > 1 ? 2 * side * side * max_lanes : 0;
        const ptrdiff_t table = 256 * 8 * channels + 64;
        char *at = scratch.reserve((size_t)(table + pitch * (2 + rows * (planes + 1)) + staged + 64));
        expand = (uint8_t *)at;
        at += table;
        outside = (uint8_t *)at;
        at += pitch;
        column = (uint8_t *)at;
        at += pitch;
        intact = (uint8_t *)at;
        at += pitch * rows;
        for (int plane = 0; plane < planes; ++plane, at += pitch * rows) patch[plane] = (int8_t *)at;
        workspace = (int8_t *)at;
        for (ptrdiff_t byte = 0; byte < 256; ++byte)
            for (ptrdiff_t lane = 0; lane < 8 * channels; ++lane)
                expand[byte * 8 * channels + lane] = byte >> (lane / channels) & 1 ? 255 : 0;
    }

    // Fill row `row` of the patch, `pixels` wide from patch_x on.
    void load_row(ptrdiff_t row, ptrdiff_t pixels) {
        const ptrdiff_t y = patch_y + row;
        const ptrdiff_t x0 = larger(0, patch_x), x1 = smaller(width, patch_x + pixels);
        uint8_t *ok = intact + row * pitch;
        const bool inside = y >= 0 && y < height;
        const ptrdiff_t before = inside ? (x0 - patch_x) * channels : pitch;
        const ptrdiff_t after = inside ? (x1 - patch_x) * channels : pitch;
        for (int plane = 0; plane < planes; ++plane) {
            __builtin_memset(patch[plane] + row * pitch, 127, (size_t)before);
            __builtin_memset(patch[plane] + row * pitch + after, 127, (size_t)(pitch - after));
        }
        __builtin_memset(ok, 0, (size_t)before);
        __builtin_memset(ok + after, 0, (size_t)(pitch - after));
        if (!inside) return;

        const uint64_t *bits = scene.masked.row(y);
        for (ptrdiff_t x = x0, at = 0; x < x1; x += 8, at += 8 * channels)
            __builtin_memcpy(outside + at, expand + (window(bits, x) & 255) * 8 * channels, 32);
        const ptrdiff_t n = (x1 - x0) * channels;
        for (ptrdiff_t i = 0; i < n; ++i) ok[before + i] = (uint8_t)(outside[i] + 1);
        int8_t *to[4] = {};
        for (int plane = 0; plane < planes; ++plane) to[plane] = patch[plane] + row * pitch + before;
        split((const T *)scene.source_row(y) + x0 * channels, outside, to, n);
    }

    void start_columns() {
        __builtin_memset(column, 0, (size_t)pitch);
        for (ptrdiff_t row = 0; row < side; ++row)
            for (ptrdiff_t i = 0; i < pitch; ++i) column[i] += intact[row * pitch + i];
    }

    // Let the window's rows, that begin at patch row `row`, begin one lower.
    void slide_columns(ptrdiff_t row) {
        const uint8_t *leaves = intact + row * pitch, *enters = leaves + side * pitch;
        for (ptrdiff_t i = 0; i < pitch; ++i) column[i] = (uint8_t)(column[i] + enters[i] - leaves[i]);
    }

    void write(ptrdiff_t y, ptrdiff_t x, const T *pixel, bool late) {
        T *target = (T *)scene.target_row(y) + x * channels;
        if (late)
            scratch.write_late((char *)target, (const char *)pixel, channels * (ptrdiff_t)sizeof(T));
        else
            for (ptrdiff_t c = 0; c < channels; ++c) target[c] = pixel[c];
    }

    // Fill the pixels x + i of row y for every bit i of `todo`: at most N / channels of them.
    template <int N, class Counts>
    void fill_segment(ptrdiff_t y, ptrdiff_t x, uint64_t todo, bool late) {
        const ptrdiff_t offset = (x - radius - patch_x) * channels;
        Samples samples{{}, side, pitch, side, channels};
        for (int plane = 0; plane < planes; ++plane)
            samples.plane[plane] = patch[plane] + (y - radius - patch_y) * pitch + offset;
        Counts intact_count = Counts::zero();
        for (ptrdiff_t i = 0; i < side; ++i)
            intact_count.add((typename Lanes<N>::u8)load<N>((const int8_t *)column + offset + i * channels));

        alignas(64) int8_t found[planes * N + 4], empty[N];
        const typename Lanes<N>::i8 none = intact_count.is_zero();
        __builtin_memcpy(empty, &none, N);
        select_sample<N, Counts>(samples, planes, intact_count.lower_rank(), workspace, found);
        for (; todo; todo &= todo - 1) {
            const int i = __builtin_ctzll(todo);
            if (empty[i * channels]) {
                scratch.leave(y, x + i);
                continue;
            }
            T pixel[4];
            for (int c = 0; c < 4; ++c) join(found + i * channels + c, N, pixel + c);
            write(y, x + i, pixel, late);
        }
    }

    template <class Dispatch>
    void fill_tile(ptrdiff_t y0, ptrdiff_t rows, ptrdiff_t word, ptrdiff_t *next, const Band &band,
                   Dispatch fill) {
        uint64_t todo[tile_rows], any = 0;
        const ptrdiff_t tile_x = word * 64;
        ptrdiff_t first = rows, last = 0;
        for (ptrdiff_t row = 0; row < rows; ++row) {
            const ptrdiff_t done = smaller(64, larger(0, next[row] - tile_x));
            todo[row] = scene.masked.row(y0 + row)[word] & ~low_bits(done) & low_bits(width - tile_x);
            any |= todo[row];
            if (todo[row]) {
                first = smaller(first, row);
                last = row;
            }
        }
        if (!any) return;
        const ptrdiff_t low = __builtin_ctzll(any), high = 63 - __builtin_clzll(any);
        patch_x = tile_x + low - radius;
        patch_y = y0 + first - radius;
        const ptrdiff_t pixels = high - low + side + max_lanes / channels;
        for (ptrdiff_t row = 0; row < last - first + side; ++row) load_row(row, pixels);
        start_columns();
        for (ptrdiff_t row = first; row <= last; ++row) {
            const ptrdiff_t y = y0 + row;
            const bool late = scene.in_place && (y < band.late_above || y >= band.late_below);
            while (todo[row]) {
                const ptrdiff_t x = tile_x + __builtin_ctzll(todo[row]);
                const ptrdiff_t taken = fill(y, x, late);
                next[row] = x + taken;
                todo[row] &= ~low_bits(smaller(64, next[row] - tile_x));
            }
            if (row < last) slide_columns(row - first);
        }
    }

    // Fill from pixel x on as many pixels as it takes lanes for; return how many.
    template <int N, class Counts>
    ptrdiff_t fill_from(ptrdiff_t y, ptrdiff_t x, bool late) {
        const ptrdiff_t taken = N / channels;
        const uint64_t todo = window(scene.masked.row(y), x) & low_bits(smaller(taken, width - x));
        fill_segment<N, Counts>(y, x, todo, late);
        return taken;
    }

    template <template <int> class Counts>
    void fill_band(const Band &band) {
        make_room();
        for (ptrdiff_t y = band.y0; y < band.y1; y += tile_rows) {
            const ptrdiff_t rows = smaller(tile_rows, band.y1 - y);
            ptrdiff_t next[tile_rows] = {};
            if (!scene.in_place)
                for (ptrdiff_t row = y; row < y + rows; ++row)
                    __builtin_memcpy(scene.target_row(row), scene.source_row(row),
                                     (size_t)(width * scene.pixel_bytes()));
            for (ptrdiff_t word = 0; word < scene.masked.stride - 1; ++word)
                fill_tile(y, rows, word, next, band, [&](ptrdiff_t row, ptrdiff_t x, bool late) {
                    const uint64_t rest = window(scene.masked.row(row), x) >> (max_lanes / 2 / channels);
                    const ptrdiff_t half = max_lanes / 2 / channels;
                    if (max_lanes > 32 && !(rest & low_bits(half)))
                        return fill_from<max_lanes / 2, Counts<max_lanes / 2>>(row, x, late);
                    return fill_from<max_lanes, Counts<max_lanes>>(row, x, late);
                });
        }
    }
};

template <class T>
void fill_typed(const Scene &scene, const Band &band, Scratch &scratch) {
    Filler<T> filler(scene, scratch);
    if (filler.side * filler.side <= 255)
        filler.template fill_band<Narrow>(band);
    else
        filler.template fill_band<Wide>(band);
}

void fill(const Scene &scene, const Band &band, Scratch &scratch) {
    switch (scene.job.sample_type) {
        case UNETFAST_UINT8: return fill_typed<uint8_t>(scene, band, scratch);
        case UNETFAST_UINT16: return fill_typed<uint16_t>(scene, band, scratch);
        default: return fill_typed<uint32_t>(scene, band, scratch);
    }
}
