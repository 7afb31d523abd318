#include "bits.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace unetfast {

BitImage::BitImage(ptrdiff_t height, ptrdiff_t width, bool interleaved) : height(height), width(width) {
    stride = interleaved ? 1 : row_words() + 1;
    step = interleaved ? height : 1;
    words = static_cast<uint64_t *>(std::calloc(static_cast<size_t>(height * (row_words() + 1)), sizeof *words));
    if (!words) throw std::bad_alloc();
    for (ptrdiff_t y = 0; y < height; ++y) {
        if (width % 64) row(y)[(row_words() - 1) * step] = ~low_bits(width % 64);
        row(y)[row_words() * step] = ~uint64_t{0};
    }
}

BitImage::~BitImage() { std::free(words); }

void BitImage::swap(BitImage &other) {
    std::swap(words, other.words);
    std::swap(height, other.height);
    std::swap(width, other.width);
    std::swap(stride, other.stride);
    std::swap(step, other.step);
}

namespace {

// One bit for each of eight bytes, set where the byte is not zero. Little-endian.
uint64_t nonzero_bytes(uint64_t bytes) {
    const uint64_t low7 = 0x7f7f7f7f7f7f7f7f;
    const uint64_t flags = (((bytes & low7) + low7) | bytes) & ~low7;  // 0x80 in each such byte
    return ((flags >> 7) * 0x0102040810204080) >> 56;
}

void pack_row(uint64_t *row, const uint8_t *mask, ptrdiff_t width) {
    ptrdiff_t x = 0;
    for (; x + 64 <= width; x += 64) {
        uint64_t bytes[8], any = 0;
        std::memcpy(bytes, mask + x, 64);
        for (uint64_t part : bytes) any |= part;
        if (!any) continue;
        uint64_t word = 0;
        for (int i = 0; i < 8; ++i) word |= nonzero_bytes(bytes[i]) << (8 * i);
        row[x / 64] |= word;
    }
    for (; x < width; ++x)
        if (mask[x]) row[x / 64] |= uint64_t{1} << (x % 64);
}

// The first x in [x, width) whose bit is `set`, or width.
ptrdiff_t find(const uint64_t *row, ptrdiff_t x, ptrdiff_t width, bool set) {
    for (; x < width; x = (x / 64 + 1) * 64) {
        const uint64_t word = (set ? row[x / 64] : ~row[x / 64]) >> (x % 64);
        if (word) return std::min<ptrdiff_t>(width, x + __builtin_ctzll(word));
    }
    return width;
}

void set_range(uint64_t *row, ptrdiff_t x0, ptrdiff_t x1) {
    for (; x0 < x1; x0 = (x0 / 64 + 1) * 64)
        row[x0 / 64] |= low_bits(std::min<ptrdiff_t>(64 - x0 % 64, x1 - x0)) << (x0 % 64);
}

// Transpose 64 x 64 bits in place by swapping ever smaller off-diagonal blocks (Hacker's Delight 7-3).
void transpose_block(uint64_t block[64]) {
    uint64_t mask = 0x00000000ffffffff;
    for (int size = 32; size; size >>= 1, mask ^= mask << size)
        for (int i = 0; i < 64; i = (i + size + 1) & ~size) {
            const uint64_t swap = (block[i] >> size ^ block[i + size]) & mask;
            block[i] ^= swap << size;
            block[i + size] ^= swap;
        }
}

uint64_t word_or_set(const BitImage &bits, ptrdiff_t word, ptrdiff_t y) {
    const bool inside = y >= 0 && y < bits.height && word >= 0 && word < bits.row_words();
    return inside ? bits.row(y)[word] : ~uint64_t{0};
}

}  // namespace

void pack(BitImage &bits, const uint8_t *mask, ptrdiff_t mask_row_bytes, ptrdiff_t y0, ptrdiff_t y1) {
    for (ptrdiff_t y = y0; y < y1; ++y) pack_row(bits.row(y), mask + y * mask_row_bytes, bits.width);
}

void pack_nan(BitImage &bits, const char *image, ptrdiff_t row_bytes, int channels, ptrdiff_t y0,
              ptrdiff_t y1) {
    for (ptrdiff_t y = y0; y < y1; ++y) {
        const auto *samples = reinterpret_cast<const float *>(image + y * row_bytes);
        for (ptrdiff_t x = 0; x < bits.width; ++x)
            for (int c = 0; c < channels; ++c)
                if (std::isnan(samples[x * channels + c])) bits.row(y)[x / 64] |= uint64_t{1} << (x % 64);
    }
}

void dilate(BitImage &grown, const BitImage &bits, ptrdiff_t radius, ptrdiff_t y0, ptrdiff_t y1) {
    const ptrdiff_t width = bits.width;
    for (ptrdiff_t y = std::max<ptrdiff_t>(0, y0 - radius); y < std::min(bits.height, y1 + radius); ++y) {
        const ptrdiff_t top = std::max(y0, y - radius), bottom = std::min(y1 - 1, y + radius);
        ptrdiff_t end = 0;
        for (;;) {
            const ptrdiff_t start = find(bits.row(y), end, width, true);
            if (start == width) break;
            end = find(bits.row(y), start, width, false);
            for (ptrdiff_t v = top; v <= bottom; ++v) {
                const ptrdiff_t dy = v - y;
                auto half = static_cast<ptrdiff_t>(std::sqrt(static_cast<double>(radius * radius - dy * dy)));
                set_range(grown.row(v), std::max<ptrdiff_t>(0, start - half), std::min(width, end + half));
            }
        }
    }
}

void transpose(BitImage &columns, const BitImage &bits, ptrdiff_t y0, ptrdiff_t y1) {
    for (ptrdiff_t x = 0; x < bits.width; x += 64) {
        uint64_t block[64] = {}, any = 0;
        for (ptrdiff_t y = y0; y < y1; ++y) any |= block[y - y0] = bits.row(y)[x / 64];
        if (!any) continue;
        transpose_block(block);
        uint64_t *const to = columns.row(x) + y0 / 64 * columns.step;
        for (ptrdiff_t i = 0; i < std::min<ptrdiff_t>(64, bits.width - x); ++i) to[i] |= block[i];
    }
}

bool find_empty(const BitImage &bits, ptrdiff_t x, ptrdiff_t y, ptrdiff_t rows, ptrdiff_t radius,
                uint64_t *empty) {
    const ptrdiff_t margin = (radius + 63) / 64, words = 1 + 2 * margin, side = 2 * radius + 1;
    uint64_t around[(32 + 254 + 1) * 5];
    // Each line of `around` becomes the conjunction of `side` lines, twice as many at each step.
    const ptrdiff_t lines = rows + 2 * radius;
    for (ptrdiff_t line = 0; line < lines; ++line)
        for (ptrdiff_t word = 0; word < words; ++word)
            around[line * words + word] = word_or_set(bits, x / 64 - margin + word, y - radius + line);
    const auto conjoin = [&](ptrdiff_t distance, ptrdiff_t left) {
        for (ptrdiff_t i = 0; i < left * words; ++i) around[i] &= around[i + distance * words];
    };
    ptrdiff_t reach = 1;
    for (; 2 * reach <= side; reach *= 2) conjoin(reach, lines - 2 * reach + 1);
    conjoin(side - reach, rows);
    // The same along the rows.
    uint64_t any = 0;
    for (ptrdiff_t row = 0; row < rows; ++row) {
        uint64_t line[6];
        std::memcpy(line, around + row * words, static_cast<size_t>(words) * sizeof *line);
        line[words] = 0;
        const auto conjoin_bits = [&](ptrdiff_t distance) {
            for (ptrdiff_t word = 0; word < words - distance / 64; ++word)
                line[word] &= window(line, 64 * word + distance);
        };
        for (reach = 1; 2 * reach <= side; reach *= 2) conjoin_bits(reach);
        conjoin_bits(side - reach);
        any |= empty[row] = window(line, 64 * margin - radius);
    }
    return any != 0;
}

ptrdiff_t count(const BitImage &bits, ptrdiff_t y) {
    ptrdiff_t total = 0;
    for (ptrdiff_t i = 0; i < bits.row_words(); ++i)
        if (bits.row(y)[i]) total += __builtin_popcountll(bits.row(y)[i]);
    const ptrdiff_t outside = bits.row_words() * 64 - bits.width;
    return total - outside;
}

}  // namespace unetfast
