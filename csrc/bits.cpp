#include "bits.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace unetfast {
namespace {

// One bit for each of 64 bytes, set where the byte is not zero.
#if defined(__SSE2__)
uint64_t nonzero_bytes(const uint8_t *mask) {
    uint64_t zero = 0;
    for (int i = 0; i < 4; ++i) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i *>(mask) + i);
        const int flags = _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_setzero_si128()));
        zero |= static_cast<uint64_t>(flags) << (16 * i);
    }
    return ~zero;
}
#else
// Of eight bytes, little-endian.
uint64_t nonzero_bytes(uint64_t bytes) {
    const uint64_t low7 = 0x7f7f7f7f7f7f7f7f;
    const uint64_t flags = (((bytes & low7) + low7) | bytes) & ~low7;  // 0x80 in each such byte
    return ((flags >> 7) * 0x0102040810204080) >> 56;
}

uint64_t nonzero_bytes(const uint8_t *mask) {
    uint64_t bytes[8], word = 0;
    std::memcpy(bytes, mask, sizeof bytes);
    for (int i = 0; i < 8; ++i) word |= nonzero_bytes(bytes[i]) << (8 * i);
    return word;
}
#endif

bool any_of_256(const uint8_t *mask) {
    uint64_t bytes[32], any = 0;
    std::memcpy(bytes, mask, sizeof bytes);
    for (uint64_t part : bytes) any |= part;
    return any;
}

// The first x in [x, width) whose bit is `set`, or width.
ptrdiff_t find(const uint64_t *row, ptrdiff_t x, ptrdiff_t width, bool set) {
    for (; x < width; x = (x / 64 + 1) * 64) {
        const uint64_t word = (set ? row[x / 64] : ~row[x / 64]) >> (x % 64);
        if (word) return std::min<ptrdiff_t>(width, x + __builtin_ctzll(word));
    }
    return width;
}

// Transpose 64 x 64 bits in place by swapping ever smaller off-diagonal blocks (Hacker's Delight 7-3).
void transpose(uint64_t block[64]) {
    uint64_t mask = 0x00000000ffffffff;
    for (int size = 32; size; size >>= 1, mask ^= mask << size)
        for (int i = 0; i < 64; i = (i + size + 1) & ~size) {
            const uint64_t swap = (block[i] >> size ^ block[i + size]) & mask;
            block[i] ^= swap << size;
            block[i + size] ^= swap;
        }
}

// Set the bits outside `height` rows of `width` pixels as `outside` has them, and make the columns from the rows.
void finish(Block &block, ptrdiff_t height, ptrdiff_t width, uint64_t outside) {
    for (ptrdiff_t y = 0; y < 64; ++y) block.rows[y] |= (y < height ? ~low_bits(width) : ~uint64_t{0}) & outside;
    std::memcpy(block.columns, block.rows, sizeof block.rows);
    transpose(block.columns);
}

int count_bits(const uint64_t *words, int n) {
    int total = 0;
    for (int i = 0; i < n; ++i) total += __builtin_popcountll(words[i]);
    return total;
}

struct Rows {
    uint64_t bits[64];
};

// The 64 x 64 pixels from (y, x) on, each set where every pixel of `mask`, or no one if `inverted`, is set as far
// as `radius`, 32 at most, in either direction.
Rows all_around(const BitMask &mask, ptrdiff_t y, ptrdiff_t x, ptrdiff_t radius, bool inverted) {
    const ptrdiff_t side = 2 * radius + 1;
    const uint64_t flip = inverted ? ~uint64_t{0} : 0;
    uint64_t low[128], high[128];  // 128 pixels per row
    for (ptrdiff_t i = 0; i < 64 + 2 * radius; ++i) {
        low[i] = mask.row(y - radius + i, x - radius) ^ flip;
        high[i] = mask.row(y - radius + i, x - radius + 64) ^ flip;
    }
    conjoin(low, side, 64);
    conjoin(high, side, 64);
    const auto conjoin_right = [&](ptrdiff_t distance) {
        for (int i = 0; i < 64; ++i) low[i] &= BitMask::window(low[i], high[i], distance);
        for (int i = 0; i < 64; ++i) high[i] &= high[i] >> distance;
    };
    ptrdiff_t reach = 1;
    for (; 2 * reach <= side; reach *= 2) conjoin_right(reach);
    conjoin_right(side - reach);
    Rows rows;
    std::copy(low, low + 64, rows.bits);
    return rows;
}

}  // namespace

Strip::Strip(ptrdiff_t y0, ptrdiff_t height, ptrdiff_t width)
    : y0_(y0), y1_(std::min(height, y0 + 64)), width_(width), words_(static_cast<size_t>((width + 63) / 64 * 64)) {}

void Strip::pack(const uint8_t *mask, ptrdiff_t mask_row_bytes) {
    for (ptrdiff_t y = y0_; y < y1_; ++y) {
        const uint8_t *const row = mask + y * mask_row_bytes;
        ptrdiff_t x = 0;
        while (x + 64 <= width_) {
            // Most of a mask is zero.
            if (x + 256 <= width_ && !any_of_256(row + x)) {
                x += 256;
                continue;
            }
            for (const ptrdiff_t end = std::min(x + 256, width_ - 63); x < end; x += 64)
                word(y, x / 64) |= nonzero_bytes(row + x);
        }
        for (; x < width_; ++x)
            if (row[x]) word(y, x / 64) |= uint64_t{1} << (x % 64);
    }
}

void Strip::pack_nan(const char *image, ptrdiff_t row_bytes, int channels) {
    for (ptrdiff_t y = y0_; y < y1_; ++y) {
        const auto *samples = reinterpret_cast<const float *>(image + y * row_bytes);
        for (ptrdiff_t x = 0; x < width_; ++x)
            for (int c = 0; c < channels; ++c)
                if (std::isnan(samples[x * channels + c])) word(y, x / 64) |= uint64_t{1} << (x % 64);
    }
}

void Strip::dilate(const BitMask &mask, ptrdiff_t radius) {
    std::vector<uint64_t> line(static_cast<size_t>(mask.across()));
    for (ptrdiff_t y = std::max<ptrdiff_t>(0, y0_ - radius); y < std::min(mask.height(), y1_ + radius); ++y) {
        const ptrdiff_t top = std::max(y0_, y - radius), bottom = std::min(y1_ - 1, y + radius);
        for (ptrdiff_t block = 0; block < mask.across(); ++block)
            line[static_cast<size_t>(block)] = mask.block(y / 64, block).rows[y % 64];
        line.back() &= low_bits(width_ - 64 * (mask.across() - 1));
        ptrdiff_t end = 0;
        for (;;) {
            const ptrdiff_t start = find(line.data(), end, width_, true);
            if (start == width_) break;
            end = find(line.data(), start, width_, false);
            for (ptrdiff_t v = top; v <= bottom; ++v) {
                const ptrdiff_t dy = v - y;
                auto half = static_cast<ptrdiff_t>(std::sqrt(static_cast<double>(radius * radius - dy * dy)));
                set_range(v, std::max<ptrdiff_t>(0, start - half), std::min(width_, end + half));
            }
        }
    }
}

void Strip::erode(const BitMask &mask, ptrdiff_t radius) {
    for (ptrdiff_t block = 0; block < mask.across(); ++block) {
        if (!mask.block(y0_ / 64, block).any()) continue;
        const Rows deep = all_around(mask, y0_, 64 * block, radius, false);
        for (ptrdiff_t y = y0_; y < y1_; ++y) word(y, block) = deep.bits[y - y0_] & low_bits(width_ - 64 * block);
    }
}

Strip Strip::split(const BitMask &mask, const BitMask &seeds, ptrdiff_t radius) {
    Strip rest = *this;
    for (ptrdiff_t block = 0; block < mask.across(); ++block) {
        if (!mask.block(y0_ / 64, block).any()) continue;
        Rows far;
        std::fill(far.bits, far.bits + 64, ~uint64_t{0});
        if (seeds.any_near(y0_ / 64, block)) far = all_around(seeds, y0_, 64 * block, radius, true);
        for (ptrdiff_t y = y0_; y < y1_; ++y) {
            const uint64_t row = mask.row(y, 64 * block) & low_bits(width_ - 64 * block);
            word(y, block) = row & ~far.bits[y - y0_];
            rest.word(y, block) = row & far.bits[y - y0_];
        }
    }
    return rest;
}

void Strip::set_range(ptrdiff_t y, ptrdiff_t x0, ptrdiff_t x1) {
    for (; x0 < x1; x0 = (x0 / 64 + 1) * 64)
        word(y, x0 / 64) |= low_bits(std::min<ptrdiff_t>(64 - x0 % 64, x1 - x0)) << (x0 % 64);
}

BitMask::BitMask(ptrdiff_t height, ptrdiff_t width, bool outside)
    : height_(height), width_(width), outside_(outside ? ~uint64_t{0} : 0) {
    pitch_ = across() + 2 * border;
    table_.resize(static_cast<size_t>(pitch_ * (down() + 2 * border)));
    stored_.resize(static_cast<size_t>(down()));
    // Outside the image; in the corner; in the last row of blocks; in the last column; elsewhere.
    shared_.reset(new Block[5]());
    const ptrdiff_t last_height = height - 64 * (down() - 1), last_width = width - 64 * (across() - 1);
    finish(shared_[0], 0, 0, outside_);
    finish(shared_[1], last_height, last_width, outside_);
    finish(shared_[2], last_height, 64, outside_);
    finish(shared_[3], 64, last_width, outside_);
    for (ptrdiff_t y = -border; y < down() + border; ++y)
        for (ptrdiff_t x = -border; x < across() + border; ++x) {
            const bool inside = y >= 0 && y < down() && x >= 0 && x < across();
            const unsigned kind = 1 + (y == down() - 1 ? 0U : 2U) + (x == across() - 1 ? 0U : 1U);
            *at(y, x) = &shared_[inside ? kind : 0];
        }
}

void BitMask::store(Strip &strip) {
    const ptrdiff_t y = strip.y0_ / 64;
    const auto words_of = [&](ptrdiff_t x) { return strip.words_.data() + 64 * x; };
    const auto is_empty = [&](ptrdiff_t x) {
        uint64_t any = 0;
        for (int i = 0; i < 64; ++i) any |= words_of(x)[i];
        return !any;
    };
    size_t count = 0;
    for (ptrdiff_t x = 0; x < across(); ++x) count += !is_empty(x);
    stored_[static_cast<size_t>(y)].reset(new Block[count]);
    Block *next = stored_[static_cast<size_t>(y)].get();
    for (ptrdiff_t x = 0; x < across(); ++x) {
        if (is_empty(x)) continue;
        std::memcpy(next->rows, words_of(x), sizeof next->rows);
        for (int half = 0; half < 2; ++half) next->masked[half] = count_bits(next->rows + 32 * half, 32);
        finish(*next, height_ - 64 * y, width_ - 64 * x, outside_);
        *at(y, x) = next++;
    }
}

ptrdiff_t BitMask::count(ptrdiff_t y) const {
    ptrdiff_t total = 0;
    for (ptrdiff_t x = 0; x < across(); ++x) total += block(y / 64, x).masked[y / 32 % 2];
    return total;
}

bool BitMask::any_near(ptrdiff_t down, ptrdiff_t across) const {
    bool any = false;
    for (ptrdiff_t y = down - 1; y <= down + 1; ++y)
        for (ptrdiff_t x = across - 1; x <= across + 1; ++x) any |= block(y, x).any();
    return any;
}

ptrdiff_t BitMask::count() const {
    ptrdiff_t total = 0;
    for (ptrdiff_t y = 0; y < height_; y += 32) total += count(y);
    return total;
}

}  // namespace unetfast
