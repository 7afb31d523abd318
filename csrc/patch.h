// The surroundings of a tile, made ready for the lanes: samples as byte planes (select.h), masked
// samples and those outside the image as the largest byte. Included like select.h.

inline ptrdiff_t rounded_up(ptrdiff_t n, ptrdiff_t multiple) { return (n + multiple - 1) / multiple * multiple; }

template <class T>
struct Patch {
    static constexpr int planes = sizeof(T);

    const Scene &scene;
    const ptrdiff_t width, height, channels, side;
    ptrdiff_t pitch;               // bytes from one row to the next
    ptrdiff_t used = 0;            // of those, how many the present tile needs
    uint8_t *expand = nullptr;     // for each byte of mask bits its 8 * channels lanes, 0 or 255
    int8_t *plane[4] = {};         // the samples
    int8_t *masked = nullptr;      // -1 for each that must not be used, else 0
    ptrdiff_t x = 0, y = 0;        // the image pixel of the corner

    // A patch for tiles of `tile_rows` rows of 64 pixels whose last lanes may lie `lanes` further on.
    Patch(const Scene &scene)
        : scene(scene),
          width(scene.job.width),
          height(scene.job.height),
          channels(scene.job.channels),
          side(2 * scene.radius + 1),
          pitch(rounded_up((64 + side) * channels + 2 * N, 64) + 64) {}

    ptrdiff_t table_bytes() const { return 256 * 8 * channels + 64; }
    ptrdiff_t bytes() const { return pitch * (tile_rows + side) * (planes + 1); }

    // The table keeps its content from tile to tile; the rest need not.
    void place(char *table, char *memory) {
        expand = (uint8_t *)table;
        masked = (int8_t *)memory;
        int8_t *at = masked + pitch * (tile_rows + side);
        for (int p = 0; p < planes; ++p, at += pitch * (tile_rows + side)) plane[p] = at;
        for (ptrdiff_t byte = 0; byte < 256; ++byte)
            for (ptrdiff_t lane = 0; lane < 8 * channels; ++lane)
                expand[byte * 8 * channels + lane] = byte >> (lane / channels) & 1 ? 255 : 0;
    }

    void load_rows(ptrdiff_t from_x, ptrdiff_t from_y, ptrdiff_t pixels, ptrdiff_t rows) {
        x = from_x;
        y = from_y;
        used = rounded_up(pixels * channels + N, N);
        for (ptrdiff_t row = 0; row < rows; ++row) load_row(row, pixels);
    }

    void load_row(ptrdiff_t row, ptrdiff_t pixels) {
        const ptrdiff_t image_y = y + row, x0 = larger(0, x), x1 = smaller(width, x + pixels);
        int8_t *out = masked + row * pitch, *to[4] = {};
        for (int p = 0; p < planes; ++p) to[p] = plane[p] + row * pitch;
        if (image_y < 0 || image_y >= height) return blank(out, to, 0, used);

        const ptrdiff_t before = (x0 - x) * channels, after = (x1 - x) * channels;
        int8_t *lane = out + before;
        for (ptrdiff_t pixel = x0; pixel < x1; pixel += 64) {
            uint64_t bits = scene.masked.row(image_y, pixel);
            for (ptrdiff_t left = smaller(64, x1 - pixel); left > 0; left -= 8, bits >>= 8, lane += 8 * channels)
                __builtin_memcpy(lane, expand + (ptrdiff_t)(bits & 255) * 8 * channels, 32);
        }
        int8_t *inside[4] = {};
        for (int p = 0; p < planes; ++p) inside[p] = to[p] + before;
        split((const T *)scene.source_row(image_y) + x0 * channels, after - before, inside);
        for (int p = 0; p < planes; ++p) mask_out(inside[p], out + before, after - before);
        if (before > 0) blank(out, to, 0, before);
        if (x1 < x + pixels) blank(out, to, after, used);
    }

    static void blank(int8_t *out, int8_t *const *to, ptrdiff_t from, ptrdiff_t until) {
        __builtin_memset(out + from, -1, (size_t)(until - from));
        for (int p = 0; p < planes; ++p) __builtin_memset(to[p] + from, 127, (size_t)(until - from));
    }

    // -1 in the lanes of those pixels of a segment, else 0.
    i8 lanes_of(uint64_t pixels) const {
        alignas(64) int8_t lanes[N + 64];
        for (ptrdiff_t lane = 0; lane < N; lane += 8 * channels, pixels >>= 8)
            __builtin_memcpy(lanes + lane, expand + (ptrdiff_t)(pixels & 255) * 8 * channels, 32);
        return load(lanes);
    }
};
