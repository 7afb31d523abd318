// Fill the masked pixels of a band, N byte lanes at once. Compiled once for each instruction set by
// fill_scalar.cpp, fill_avx2.cpp and fill_avx512.cpp, inside a namespace of their own and after
// they have set the target: nothing here may instantiate a template of the standard library, whose
// copy the linker would share with code that runs on older processors.
//
// The band is walked in tiles, 32 rows of one mask word (64 pixels). Where a tile holds a masked
// pixel, its surroundings become a patch. There the samples at one place of the window lie side by
// side for neighbouring pixels and channels, and one load fetches them for N lanes: a segment. Samples of
// several bytes are sorted instead (sort_lanes.h) where that is cheaper.

template <class T, class Counts>
struct Filler {
    static constexpr int planes = sizeof(T);

    struct Segment {
        ptrdiff_t y, x;
        uint64_t todo;  // which of its pixels, from x on, are to be filled
        i8 wanted;      // the lanes of those
        Search<Counts> search;
    };

    const Scene &scene;
    const Band &band;
    Scratch &scratch;
    Grower<T> grower;
    Patch<T> patch;
    Sorter<T> sorter;
    Rings rings;
    const ptrdiff_t channels, radius, side, segment_pixels;
    int8_t *columns = nullptr;     // for each lane and row of the tile a count over the window's rows
    int8_t *workspace = nullptr;   // for search_samples
    Segment *segments = nullptr;   // of the tile
    ptrdiff_t segment_count = 0;
    alignas(64) int8_t threshold[N + 8];  // for each lane a threshold, again and again those of the channels

    Filler(const Scene &scene, const Band &band, Scratch &scratch)
        : scene(scene),
          band(band),
          scratch(scratch),
          grower(scene, band, scratch),
          patch(scene),
          sorter(scene),
          channels(scene.job.channels),
          radius(scene.radius),
          side(2 * scene.radius + 1),
          segment_pixels(N / channels) {
        const ptrdiff_t staged = planes > 1 ? side * side * N : 0;
        const ptrdiff_t segment_bytes = tile_rows * (64 / segment_pixels + 1) * (ptrdiff_t)sizeof(Segment);
        const ptrdiff_t kept = rounded_up(patch.table_bytes() + segment_bytes, 64);
        const ptrdiff_t searched = patch.bytes() + tile_rows * patch.pitch;
        // A tile is searched or sorted: the two share their memory.
        const ptrdiff_t shared = larger(searched + staged, sorter.bytes());
        char *memory = scratch.tile.reserve((size_t)(kept + shared));
        // Lanes past a tile's last pixel are computed and thrown away; let them be something.
        __builtin_memset(memory, 0, (size_t)(kept + searched));
        segments = (Segment *)memory;
        patch.place(memory + segment_bytes, memory + kept);
        columns = (int8_t *)memory + kept + patch.bytes();
        workspace = columns + tile_rows * patch.pitch;
        if (sorter.bytes()) sorter.place(memory + kept);
    }

    void fill_band() {
        for (ptrdiff_t y = band.y0; y < band.y1; y += tile_rows) {
            const ptrdiff_t rows = smaller(tile_rows, band.y1 - y);
            copy_rows(scene, y, y + rows);
            for (ptrdiff_t x = 0; x < scene.job.width; x += 64) {
                if (!scene.todo->block(y / 64, x / 64).masked[y / 32 % 2]) continue;
                Tile tile = tile_of(y, x, rows);
                if (!bound(tile)) continue;
                touch(tile);
                set_empty_apart(tile);
                if (bound(tile)) fill_tile(tile);
            }
        }
        grower.flush();
    }

    // The pixels to fill in `rows` rows of 64 from (y, x) on.
    Tile tile_of(ptrdiff_t y, ptrdiff_t x, ptrdiff_t rows) const {
        const uint64_t *todo = scene.todo->block(y / 64, x / 64).rows + y % 64;
        const uint64_t inside = low_bits(scene.job.width - x);
        Tile tile;
        tile.y = y;
        tile.x = x;
        for (ptrdiff_t row = 0; row < tile_rows; ++row)
            tile.todo[row] = row < rows ? todo[row] & inside : 0;
        return tile;
    }

    // Find the smallest rectangle around what is to be filled; false if there is none.
    static bool bound(Tile &tile) {
        uint64_t any = 0;
        tile.first = tile_rows;
        for (ptrdiff_t row = 0; row < tile_rows; ++row) {
            if (!tile.todo[row]) continue;
            any |= tile.todo[row];
            tile.first = smaller(tile.first, row);
            tile.last = row;
        }
        if (!any) return false;
        tile.low = __builtin_ctzll(any);
        tile.high = 63 - __builtin_clzll(any);
        return true;
    }

    // Leave the pixels whose window holds nothing intact to the grower, the nearest to something intact first.
    APART void set_empty_apart(Tile &tile) {
        const ptrdiff_t y = tile.y + tile.first, rows = tile.last - tile.first + 1;
        uint64_t *const todo = tile.todo + tile.first, empty[tile_rows], any = 0;
        rings.start(scene.masked, tile.x, y, rows, radius, 15);  // wide enough for most cracks
        for (ptrdiff_t row = 0; row < rows; ++row) {
            empty[row] = todo[row] & rings.row(row);
            any |= empty[row];
            todo[row] ^= empty[row];
        }
        for (ptrdiff_t distance = radius; any;) {
            if (!rings.left) {
                if (distance + 63 > Rings::furthest) return search_rims(tile, y, rows, empty);
                rings.start(scene.masked, tile.x, y, rows, distance, 63);
            }
            rings.grow();
            ++distance;
            any = 0;
            for (ptrdiff_t row = 0; row < rows; ++row) {
                grower.take(y + row, tile.x, empty[row] & ~rings.row(row), distance);
                any |= empty[row] &= rings.row(row);
            }
        }
    }

    // What is further from anything intact than the rings see.
    void search_rims(const Tile &tile, ptrdiff_t y, ptrdiff_t rows, const uint64_t *empty) {
        for (ptrdiff_t row = 0; row < rows; ++row)
            for (uint64_t pixels = empty[row]; pixels; pixels &= pixels - 1)
                grower.search(y + row, tile.x + __builtin_ctzll(pixels));
    }

    // Read a byte of every cache line that the tile will need. A photo is larger than the caches and a
    // patch's rows are pages apart: left to themselves they come one by one, and prefetch instructions
    // are dropped where the page is not known yet.
    void touch(const Tile &tile) const {
        const ptrdiff_t bytes = scene.pixel_bytes();
        const ptrdiff_t top = larger(0, tile.y + tile.first - radius);
        const ptrdiff_t bottom = smaller(scene.job.height - 1, tile.y + tile.last + radius);
        const ptrdiff_t left = larger(0, tile.x + tile.low - radius) * bytes;
        const ptrdiff_t right = smaller(scene.job.width, tile.x + tile.high + radius + 1) * bytes;
        for (ptrdiff_t row = top; row <= bottom; ++row)
            for (ptrdiff_t at = left; at < right + 63; at += 64)
                (void)*(const volatile char *)(scene.source_row(row) + smaller(at, right - 1));
    }

    void fill_tile(const Tile &tile) {
        list_segments(tile);
        if constexpr (planes > 1)
            if (sorting_pays(tile)) return sorter.fill(band, scratch, tile);
        patch.load_rows(tile.x + tile.low - radius, tile.y + tile.first - radius,
                        tile.high - tile.low + side + segment_pixels, tile.last - tile.first + side);
        count_intact(tile);
        search_columns(tile);
        for (ptrdiff_t i = 0; i < segment_count; ++i) fill_segment(segments[i]);
    }

    // Cover what is to be filled by segments.
    void list_segments(const Tile &tile) {
        segment_count = 0;
        for (ptrdiff_t row = tile.first; row <= tile.last; ++row)
            for (uint64_t todo = tile.todo[row]; todo;) {
                Segment &segment = segments[segment_count++];
                segment.y = tile.y + row;
                const int first = __builtin_ctzll(todo);
                segment.x = tile.x + first;
                segment.todo = todo >> first & low_bits(segment_pixels);
                todo ^= segment.todo << first;
            }
    }

    // Whether sorting the patch takes less than searching the samples of every segment's windows, in cycles of
    // Zen 3. Fitted to both ways' times for windows of 3 to 63 pixels, one and three channels, cracks, discs and
    // noise (docs/inpainting.md says how well).
    bool sorting_pays(const Tile &tile) const {
        if (side > Sorter<T>::most_side) return false;
        ptrdiff_t pixels = 0;
        for (ptrdiff_t i = 0; i < segment_count; ++i) pixels += __builtin_popcountll(segments[i].todo);
        const ptrdiff_t samples = (tile.high - tile.low + side) * (tile.last - tile.first + side);
        const ptrdiff_t by_order = channels * (12 * planes * samples + Sorter<T>::step_cycles * pixels);
        const ptrdiff_t sample_cycles = side <= longest_known_row ? 14 : 24;
        const ptrdiff_t by_samples = segment_count * side * side * sample_cycles * (planes - 1);
        return by_order < by_samples;
    }

    // Count the intact samples of the segments' windows.
    APART void count_intact(const Tile &tile) {
        const Counts whole = Counts::number(side * side);
        __builtin_memset(threshold, 0, sizeof threshold);  // masked is -1
        count_columns(patch.masked, tile.last - tile.first + 1);
        for (Segment *segment = segments; segment < segments + segment_count; ++segment) {
            const Counts intact = whole - count_window(*segment);
            segment->wanted = patch.lanes_of(segment->todo);
            segment->search = {intact.lower_rank(), Counts::zero(), (i8)all(128), 8};
        }
    }

    // Find the first bits of the segments' bytes. For one threshold, the same for all pixels, how many
    // samples of each column are below it is counted once, and from row to row only the samples that
    // leave and enter. At each step the bytes lie in intervals of one size and each is halved; the
    // medians of a tile are much alike, so few intervals hold any.
    APART void search_columns(const Tile &tile) {
        const ptrdiff_t rows = tile.last - tile.first + 1;
        int bits = 8;
        for (; bits > 0; --bits) {
            const ptrdiff_t intervals = set_first_threshold(bits);
            if (!columns_pay(intervals, rows)) break;
            for (ptrdiff_t i = 0; i < intervals; ++i) {
                count_columns(patch.plane[0], rows);
                const i8 trial = load(threshold);
                for (Segment *segment = segments; segment < segments + segment_count; ++segment) {
                    const Counts counts = count_window(*segment);
                    const i8 take = counts.at_most(segment->search.rank) & (i8)(trial > segment->search.found);
                    segment->search.found = take ? trial : segment->search.found;
                    if (planes > 1) segment->search.below = Counts::choose(take, counts, segment->search.below);
                }
                for (int8_t &each : threshold) each = (int8_t)(each + (1 << bits));
            }
        }
        for (ptrdiff_t i = 0; i < segment_count; ++i) segments[i].search.bits = bits;
    }

    // Set for each channel the middle of the lowest interval of 2^bits that holds a byte, and return how
    // many intervals reach to the highest, in the channel where they are most.
    ptrdiff_t set_first_threshold(int bits) {
        // What follows the last lane is neither least nor most.
        alignas(64) int8_t least[2 * N], most[2 * N];
        i8 low = (i8)all(127), high = (i8)all(128);
        store(least + N, low);
        store(most + N, high);
        for (const Segment *segment = segments; segment < segments + segment_count; ++segment) {
            const i8 found = segment->search.found, wanted = segment->wanted;
            low = (i8)(found < low) & wanted ? found : low;
            high = (i8)(found > high) & wanted ? found : high;
        }
        store(least, low);
        store(most, high);
        for (ptrdiff_t lane = channels; lane < segment_pixels * channels; lane += channels) {
            const i8 lows = load(least + lane), highs = load(most + lane);
            low = lows < low ? lows : low;
            high = highs > high ? highs : high;
        }
        int spread = 0;
        int8_t first[4] = {};
        for (ptrdiff_t c = 0; c < channels; ++c) {
            spread = high[c] - low[c] > spread ? high[c] - low[c] : spread;
            first[c] = (int8_t)(low[c] + (1 << bits >> 1));
        }
        for (ptrdiff_t lane = 0; lane < N + 4; lane += channels) __builtin_memcpy(threshold + lane, first, 4);
        return (spread >> bits) + 1;
    }

    // Whether that many thresholds by columns take less than one bit by samples, counted in operations
    // on N lanes.
    bool columns_pay(ptrdiff_t thresholds, ptrdiff_t rows) const {
        const ptrdiff_t columns_once = patch.used / N * (2 * side + 5 * rows);
        const ptrdiff_t windows = segment_count * (side + 16);
        return thresholds * (columns_once + windows) < 2 * side * side * segment_count;
    }

    // For each lane of `rows` rows, how many samples of the window's rows are below the channel's
    // threshold.
    void count_columns(const int8_t *samples, ptrdiff_t rows) {
        // Copies: of the members the compiler thinks that each store may change them (a third of side 31's time).
        const ptrdiff_t pitch = patch.pitch, used = patch.used;
        ptrdiff_t channel = 0;  // of the first lane
        for (ptrdiff_t lane = 0; lane < used; lane += N) {
            const i8 trial = load(threshold + channel);
            channel = (channel + N) % channels;
            const int8_t *enters = samples + lane, *leaves = enters;
            int8_t *to = columns + lane;
            u8 count{};
            for (ptrdiff_t row = 1; row < side; ++row, enters += pitch) count -= (u8)(load(enters) < trial);
            for (ptrdiff_t row = 0; row < rows; ++row, enters += pitch, leaves += pitch, to += pitch) {
                count -= (u8)(load(enters) < trial);
                store(to, (i8)count);
                count += (u8)(load(leaves) < trial);
            }
        }
    }

    // The first lane of a segment's windows in a row of the patch.
    ptrdiff_t first_lane(const Segment &segment) const { return (segment.x - radius - patch.x) * channels; }

    // Add up the columns of a segment's windows.
    Counts count_window(const Segment &segment) const {
        Counts total = Counts::zero();
        const int8_t *column = columns + (segment.y - radius - patch.y) * patch.pitch + first_lane(segment);
        const ptrdiff_t at_once = Counts::at_once(side, side);
        for (ptrdiff_t left = side; left > 0; left -= at_once) {
            u8 even{}, odd{};
            ptrdiff_t i = smaller(left, at_once);
            for (; i >= 4; i -= 4, column += 4 * channels) {
                even += (u8)load(column) + (u8)load(column + channels);
                odd += (u8)load(column + 2 * channels) + (u8)load(column + 3 * channels);
            }
            for (; i > 0; --i, column += channels) even += (u8)load(column);
            total.add(even + odd);
        }
        return total;
    }

    APART void fill_segment(Segment &segment) {
        const ptrdiff_t offset = (segment.y - radius - patch.y) * patch.pitch + first_lane(segment);
        Samples samples{{}, side, patch.pitch, side, channels};
        for (int p = 0; p < planes; ++p) samples.plane[p] = patch.plane[p] + offset;
        alignas(64) int8_t found[planes * N];
        search_samples(samples, planes, segment.search, workspace, found);
        T pixels[N];
        join_lanes(found, pixels);
        for (uint64_t todo = segment.todo; todo;) {
            const int first = __builtin_ctzll(todo), count = __builtin_ctzll(~(todo >> first));
            write_run(scene, band, scratch, segment.y, segment.x + first, pixels + first * channels, count);
            todo &= ~(low_bits(count) << first);
        }
    }
};

// For windows whose counts outgrow sixteen bits: pixel by pixel.
template <class T>
void fill_large(const Scene &scene, const Band &band, Scratch &scratch) {
    Grower<T> grower(scene, band, scratch);
    copy_rows(scene, band.y0, band.y1);
    for (ptrdiff_t y = band.y0; y < band.y1; ++y)
        for (ptrdiff_t x = 0; x < scene.job.width; ++x) {
            if (!(scene.todo->row(y, x) & 1)) continue;
            T pixel[4];
            if (fill_one(scene, y, x, scene.radius, pixel))
                write_pixel(scene, band, scratch, y, x, pixel);
            else
                grower.search(y, x);
        }
    grower.flush();
}

template <class T>
void fill_typed(const Scene &scene, const Band &band, Scratch &scratch) {
    const ptrdiff_t side = 2 * scene.radius + 1;
    if (side <= 15)  // 225 samples: counts fit eight bits
        Filler<T, Narrow>(scene, band, scratch).fill_band();
    else if (side <= 255)  // 65025: sixteen; and a column's eight
        Filler<T, Wide>(scene, band, scratch).fill_band();
    else
        fill_large<T>(scene, band, scratch);
}

void fill(const Scene &scene, const Band &band, Scratch &scratch) {
    switch (scene.job.sample_type) {
        case UNETFAST_UINT8: return fill_typed<uint8_t>(scene, band, scratch);
        case UNETFAST_UINT16: return fill_typed<uint16_t>(scene, band, scratch);
        default: return fill_typed<uint32_t>(scene, band, scratch);
    }
}
