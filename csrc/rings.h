// How far the masked pixels of a tile are from the nearest intact one, by bits: a window of radius r + 1
// holds nothing intact where the windows of radius r around a pixel and its eight neighbours do not.
// Included like fill_lanes.h, for the instruction set.

struct Rings {
    // What can be seen: as far as the mask's border reaches.
    static constexpr ptrdiff_t furthest = 64 * BitMask::border - 2;
    static constexpr ptrdiff_t widest = 1 + 2 * BitMask::border, longest = tile_rows + 2 * furthest;

    ptrdiff_t lines = 0;   // of `empty`: the tile's, and `margin` before and after
    ptrdiff_t margin = 0;
    ptrdiff_t left = 0;    // how often it may grow still
    // The pixels whose window holds nothing intact: the block before the tile's, its own, the next.
    uint64_t empty[3][longest];
    uint64_t around[widest + 2][longest];

    // Those of the tile's row.
    uint64_t row(ptrdiff_t y) const { return empty[1][margin + y]; }

    // Look at windows of that radius, around `rows` rows of 64 pixels from (x, y) on; x is a multiple of 64.
    // Then grow() may be called up to `times` times, 63 at most; radius + times is `furthest` at most.
    void start(const BitMask &mask, ptrdiff_t x, ptrdiff_t y, ptrdiff_t rows, ptrdiff_t radius, ptrdiff_t times) {
        const ptrdiff_t blocks = (radius + times + 63) / 64;
        margin = left = times;
        lines = rows + 2 * margin;
        load(mask, x, y - margin - radius, lines + 2 * radius, blocks);
        // Each bit becomes the conjunction of `side` bits downwards; then to the right, twice as many at each step.
        const ptrdiff_t side = 2 * radius + 1, words = 1 + 2 * blocks;
        for (ptrdiff_t word = 1; word <= words; ++word) conjoin(around[word], side, lines);
        ptrdiff_t reach = 1;
        for (; 2 * reach <= side; reach *= 2) conjoin_right(words, reach);
        conjoin_right(words, side - reach);
        for (ptrdiff_t word = 0; word < 3; ++word) shift(empty[word], 64 * (blocks - 1 + word) - radius);
    }

    void load(const BitMask &mask, ptrdiff_t x, ptrdiff_t y, ptrdiff_t count, ptrdiff_t blocks) {
        for (ptrdiff_t word = -blocks; word <= blocks; ++word) {
            uint64_t *to = around[1 + blocks + word];
            for (ptrdiff_t line = y; line < y + count;) {
                const ptrdiff_t end = smaller(y + count, (line | 63) + 1);
                const Block &block = mask.block(line >> 6, (x >> 6) + word);
                __builtin_memcpy(to, block.rows + (line & 63), (size_t)(end - line) * sizeof *to);
                to += end - line;
                line = end;
            }
        }
        // What is not seen counts as intact.
        __builtin_memset(around[0], 0, (size_t)count * sizeof around[0][0]);
        __builtin_memset(around[2 + 2 * blocks], 0, (size_t)count * sizeof around[0][0]);
    }

    void conjoin_right(ptrdiff_t words, ptrdiff_t distance) {
        uint64_t moved[longest];
        for (ptrdiff_t word = 1; word <= words - distance / 64; ++word) {
            shift(moved, 64 * (word - 1) + distance);
            for (ptrdiff_t i = 0; i < lines; ++i) around[word][i] &= moved[i];
        }
    }

    // The words of `around` from that bit on, counted from the second word; -64 is the least.
    void shift(uint64_t *to, ptrdiff_t bit) const {
        const uint64_t *word = around[1 + (bit >> 6)], *next = around[2 + (bit >> 6)];
        const ptrdiff_t by = bit & 63;
        for (ptrdiff_t i = 0; i < lines; ++i) to[i] = word[i] >> by | (next[i] << 1) << (63 - by);
    }

    // Pass on to windows whose radius is larger by one.
    void grow() {
        uint64_t *const before = empty[0], *const own = empty[1], *const after = empty[2];
        uint64_t across[3][longest];
        for (ptrdiff_t i = 0; i < lines; ++i) {
            const uint64_t a = before[i], b = own[i], c = after[i];
            across[0][i] = a & a << 1 & (a >> 1 | b << 63);
            across[1][i] = b & (b << 1 | a >> 63) & (b >> 1 | c << 63);
            across[2][i] = c & (c << 1 | b >> 63) & c >> 1;
        }
        for (ptrdiff_t word = 0; word < 3; ++word)
            for (ptrdiff_t i = 1; i < lines - 1; ++i)
                empty[word][i] = across[word][i - 1] & across[word][i] & across[word][i + 1];
        --left;
    }
};
