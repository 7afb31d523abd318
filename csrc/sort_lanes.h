// The other way to fill a tile, for samples of several bytes: by their order. Included like fill_lanes.h.
//
// The samples of a patch are sorted, channel by channel, and the sorted list is cut into chunks, 254 at
// most, so that a sample's chunk is a byte. The window then walks from pixel to pixel (Huang 1979) and keeps
// count of its samples that are in chunks below the one where the median was last: a step is one line of
// samples that leaves and one that enters, one comparison for N of each. The chunk that holds the rank is
// near. There the samples' places, in order, are compared with the window, N at once: the median is the one
// inside that has the rest of the rank inside before it.
//
// Sorting costs the same whatever the samples are and however large the window is; a pixel costs about the
// same as well. When it is worth it: sorting_pays() in fill_lanes.h.

// Entry: the key of a sample, 16 bits up, and its place in the patch, 256 y + x.
template <class T>
struct Sortable {
    typedef uint32_t Entry;
    static T key(T sample) { return sample; }
    static T sample(T key) { return key; }
};
template <>
struct Sortable<uint32_t> {
    typedef uint64_t Entry;
    static uint32_t key(uint32_t sample) { return float_key(sample); }
    static uint32_t sample(uint32_t key) { return float_bits(key); }
};

template <class T>
struct Sorter {
    typedef typename Sortable<T>::Entry Entry;

    // Up to this side a place is two bytes, and x = 255 is outside every window. One byte is found by columns,
    // which are cheaper at every side.
    static constexpr ptrdiff_t most_side = sizeof(T) > 1 ? 191 : 0;

    // A step of the window's path through the tile: a line of samples leaves and one enters, or, where
    // `leaves` is `jump`, all are new.
    struct Step {
        uint32_t leaves, enters;  // places in `lines`
        uint16_t rank;            // of the median to be found here, or `passing`
        uint8_t x, y;             // the window's corner
    };
    // What a step and the pixel's search take on Zen 3: SSE2 by vector types has no instruction for bits_of().
    static constexpr ptrdiff_t step_cycles = N == 32 ? 80 : 250;
    static constexpr uint32_t jump = 0xffffffff;
    static constexpr uint16_t passing = 0xffff;
    // Two ways across the tile in each row.
    static constexpr ptrdiff_t most_steps = 2 * 64 * tile_rows;

    static constexpr ptrdiff_t pitch = 256;   // from one line to the next
    static constexpr int8_t no_chunk = 127;   // of a sample that is not to be used

    const Scene &scene;
    const ptrdiff_t channels, side, most_samples;
    const ptrdiff_t columns;            // the number of the first column in `lines`, after the rows
    const ptrdiff_t line_bytes;         // of `lines`
    int8_t *lines = nullptr;            // each sample's chunk, by rows and again by columns; the first is -128
    Entry *entries = nullptr, *spare = nullptr;
    uint8_t *xs = nullptr, *ys = nullptr;  // the places of the sorted samples
    Step *path = nullptr;
    T *found = nullptr;                 // the pixels of the steps
    ptrdiff_t steps = 0, sample_count = 0;
    ptrdiff_t chunk = 0, chunks = 0;    // samples a chunk, and how many of those
    ptrdiff_t x = 0, y = 0, width = 0, height = 0;  // of the patch

    Sorter(const Scene &scene)
        : scene(scene),
          channels(scene.job.channels),
          side(2 * scene.radius + 1),
          most_samples((64 + side) * (tile_rows + side) + 256),  // the last chunk is filled up
          columns(tile_rows + side),
          line_bytes(rounded_up(pitch * (columns + 64 + side) + N, 64)) {}

    // 0 where it cannot be used.
    ptrdiff_t bytes() const {
        if (side > most_side) return 0;
        const ptrdiff_t sample_bytes = 2 * (ptrdiff_t)sizeof(Entry) + 2;
        const ptrdiff_t step_bytes = (ptrdiff_t)(sizeof(Step) + 4 * sizeof(T));
        return line_bytes + most_samples * sample_bytes + most_steps * step_bytes;
    }

    void place(char *memory) {
        lines = (int8_t *)memory;
        entries = (Entry *)(memory + line_bytes);
        spare = entries + most_samples;
        path = (Step *)(spare + most_samples);
        found = (T *)(path + most_steps);
        xs = (uint8_t *)(found + 4 * most_steps);
        ys = xs + most_samples;
    }

    APART void fill(const Band &band, Scratch &scratch, const Tile &tile) {
        x = tile.x + tile.low - scene.radius;
        y = tile.y + tile.first - scene.radius;
        width = tile.high - tile.low + side;
        height = tile.last - tile.first + side;
        __builtin_memset(lines, no_chunk, (size_t)(pitch * height));
        __builtin_memset(lines + pitch * columns, no_chunk, (size_t)(pitch * width));
        lay_path(tile);
        for (ptrdiff_t channel = 0; channel < channels; ++channel) {
            list_samples(channel);
            cut();
            if (channel == 0) count_ranks();
            search(found + channel);
        }
        for (ptrdiff_t i = 0; i < steps; ++i)
            if (path[i].rank != passing)
                write_pixel(scene, band, scratch, y + path[i].y + scene.radius, x + path[i].x + scene.radius,
                            found + i * channels);
    }

    // Row by row, to and fro, since there the next pixel is near.
    void lay_path(const Tile &tile) {
        steps = 0;
        for (ptrdiff_t row = tile.first; row <= tile.last; ++row)
            for (uint64_t todo = tile.todo[row]; todo;) {
                const int pixel = row & 1 ? __builtin_ctzll(todo) : 63 - __builtin_clzll(todo);
                walk(pixel - tile.low, row - tile.first);
                todo ^= uint64_t{1} << pixel;
            }
    }

    void walk(ptrdiff_t to_x, ptrdiff_t to_y) {
        if (!steps) return add_step({jump, 0, 0, (uint8_t)to_x, (uint8_t)to_y});
        ptrdiff_t u = path[steps - 1].x, v = path[steps - 1].y;
        if (larger(to_x - u, u - to_x) + to_y - v > side / 2)  // as dear as all of them
            return add_step({jump, 0, 0, (uint8_t)to_x, (uint8_t)to_y});
        for (; v < to_y; ++v) pass(v, v + side, u, u, v + 1);
        for (; u < to_x; ++u) pass(columns + u, columns + u + side, v, u + 1, v);
        for (; u > to_x; --u) pass(columns + u + side - 1, columns + u - 1, v, u - 1, v);
        path[steps - 1].rank = 0;
    }

    // Step on: of those lines what is in the window starts `from` samples from their beginning.
    void pass(ptrdiff_t leaves, ptrdiff_t enters, ptrdiff_t from, ptrdiff_t to_x, ptrdiff_t to_y) {
        add_step({(uint32_t)(leaves * pitch + from), (uint32_t)(enters * pitch + from), passing, (uint8_t)to_x,
                  (uint8_t)to_y});
    }

    void add_step(const Step &step) { path[steps++] = step; }

    // List the patch's intact samples of a channel, the smallest first.
    APART void list_samples(ptrdiff_t channel) {
        uint16_t counts[sizeof(T)][256] = {};  // of each byte's values
        Entry *entry = entries;
        const ptrdiff_t x0 = larger(0, x), x1 = smaller(scene.job.width, x + width);
        for (ptrdiff_t v = larger(y, 0); v < smaller(scene.job.height, y + height); ++v)
            for (ptrdiff_t u = x0; u < x1; u += 64) {
                const T *samples = (const T *)scene.source_row(v) + u * channels + channel;
                const Entry place = (Entry)(pitch * (v - y) + u - x);
                for (uint64_t intact = ~scene.masked.row(v, u) & low_bits(x1 - u); intact;) {
                    const int first = __builtin_ctzll(intact);
                    const uint64_t after = ~(intact >> first);
                    const int count = after ? __builtin_ctzll(after) : 64;
                    entry = list_run(samples + first * channels, place + (Entry)first, count, entry, counts);
                    intact &= ~(low_bits(count) << first);
                }
            }
        sample_count = entry - entries;
        for (int byte = 0; byte < (int)sizeof(T); ++byte) sort_by(byte, counts[byte]);
    }

    Entry *list_run(const T *__restrict sample, Entry place, int count, Entry *__restrict entry,
                    uint16_t (*counts)[256]) const {
        const ptrdiff_t step = channels;
        for (; count > 0; --count, sample += step) {
            const Entry key = Sortable<T>::key(*sample);
            *entry++ = key << 16 | place++;
            for (size_t byte = 0; byte < sizeof(T); ++byte) ++counts[byte][key >> 8 * byte & 255];
        }
        return entry;
    }

    // Sort by one byte of the keys, each of whose values is there so many times; equals stay in order.
    void sort_by(int byte, uint16_t *__restrict counts) {
        const int shift = 16 + 8 * byte;
        if (counts[entries[0] >> shift & 255] == sample_count) return;  // floats are much alike in the first
        for (int value = 0, total = 0; value < 256; ++value) {
            const int before = total;
            total += counts[value];
            counts[value] = (uint16_t)before;
        }
        const Entry *__restrict from = entries;
        Entry *__restrict to = spare;
        for (ptrdiff_t i = 0; i < sample_count; ++i) to[counts[from[i] >> shift & 255]++] = from[i];
        spare = entries;
        entries = to;
    }

    // Cut the list into chunks.
    APART void cut() {
        chunk = rounded_up((sample_count + 253) / 254, 64);
        chunks = (sample_count + chunk - 1) / chunk;
        int8_t *__restrict row = lines, *__restrict column = lines + pitch * columns;
        int8_t id = -128;
        for (ptrdiff_t from = 0; from < sample_count; from += chunk, ++id) {
            const Entry *const end = entries + smaller(sample_count, from + chunk);
            for (const Entry *entry = entries + from; entry < end; ++entry) {
                const uint16_t place = (uint16_t)*entry;
                row[place] = id;
                column[__builtin_bswap16(place)] = id;
            }
        }
        list_places(entries, sample_count, xs, ys);
        __builtin_memset(xs + sample_count, 255, (size_t)(chunks * chunk - sample_count));
    }

    static void list_places(const Entry *__restrict entry, ptrdiff_t n, uint8_t *__restrict xs,
                            uint8_t *__restrict ys) {
        for (ptrdiff_t i = 0; i < n; ++i) xs[i] = (uint8_t)entry[i];
        for (ptrdiff_t i = 0; i < n; ++i) ys[i] = (uint8_t)(entry[i] >> 8);
    }

    void count_ranks() {
        ptrdiff_t intact = 0;
        for (Step *step = path; step < path + steps; ++step) {
            intact = count_below(no_chunk, *step, intact);
            if (step->rank != passing) step->rank = (uint16_t)((intact - 1) / 2);
        }
    }

    // How many of the window's samples are in chunks below that one after a step; before it was `below`.
    ptrdiff_t count_below(ptrdiff_t id, const Step &step, ptrdiff_t below) const {
        const i8 limit = i8{} + (int8_t)id;
        if (step.leaves != jump)
            return below + count_line(lines + step.enters, limit) - count_line(lines + step.leaves, limit);
        const int8_t *row = lines + step.y * pitch + step.x;
        below = 0;
        for (ptrdiff_t i = 0; i < side; ++i, row += pitch) below += count_line(row, limit);
        return below;
    }

    ptrdiff_t count_line(const int8_t *line, i8 limit) const {
        ptrdiff_t count = 0, left = side;
        for (; left > N; left -= N, line += N) count += __builtin_popcountll(bits_of((i8)(load(line) < limit)));
        return count + __builtin_popcountll(bits_of((i8)(load(line) < limit)) & low_bits(left));
    }

    // Which of 64 samples of the list, from number `at` on, lie in the window.
    uint64_t inside(const Step &step, ptrdiff_t at) const {
        // 0 <= d < side where d - 128 < side - 128, in bytes with a sign.
        const i8 end = i8{} + (int8_t)(side - 128);
        const u8 minus_x = all((uint8_t)(128 - step.x)), minus_y = all((uint8_t)(128 - step.y));
        uint64_t bits = 0;
        for (ptrdiff_t i = 0; i < 64; i += N) {
            const i8 dx = (i8)((u8)load(xs + at + i) + minus_x), dy = (i8)((u8)load(ys + at + i) + minus_y);
            bits |= bits_of((i8)(dx < end) & (i8)(dy < end)) << i;
        }
        return bits;
    }

    ptrdiff_t count_chunk(const Step &step, ptrdiff_t id) const {
        ptrdiff_t count = 0;
        for (ptrdiff_t at = id * chunk; at < (id + 1) * chunk; at += 64)
            count += __builtin_popcountll(inside(step, at));
        return count;
    }

    // Find the medians of one channel.
    APART void search(T *to) {
        ptrdiff_t id = chunks / 2, below = 0;
        for (const Step *step = path; step < path + steps; ++step, to += channels) {
            below = count_below(id - 128, *step, below);
            if (step->rank == passing) continue;
            while (below > step->rank) below -= count_chunk(*step, --id);
            ptrdiff_t at = id * chunk, before = below;
            uint64_t bits;
            for (;;) {
                bits = inside(*step, at);
                const ptrdiff_t count = __builtin_popcountll(bits);
                if (before + count > step->rank) break;
                before += count;
                at += 64;
                if (at == (id + 1) * chunk) {
                    ++id;
                    below = before;
                }
            }
            at += nth_bit(bits, step->rank - before);
            *to = Sortable<T>::sample((T)(entries[at] >> 16));
        }
    }
};
