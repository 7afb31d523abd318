// The mask as one bit per pixel, in blocks of 64 x 64, of which only those with a masked pixel are stored:
// a 2 % mask of curves takes 0.4 bits per pixel, table included.
#ifndef UNETFAST_BITS_H
#define UNETFAST_BITS_H

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace unetfast {

// 64 x 64 pixels, so that 64 of them in either direction are one word.
struct Block {
    uint64_t rows[64], columns[64];  // bit x of rows[y] is bit y of columns[x]
    int masked[2];                   // how many are masked in the upper and in the lower 32 rows

    bool any() const { return masked[0] || masked[1]; }
};

// 64 rows of bits while they are being set.
class Strip {
  public:
    // The strip of row y0, a multiple of 64, with no bit set. Throws std::bad_alloc.
    Strip(ptrdiff_t y0, ptrdiff_t height, ptrdiff_t width);

    // Set the bits of the non-zero bytes of a mask.
    void pack(const uint8_t *mask, ptrdiff_t mask_row_bytes);
    // Set the bits of the pixels that hold a NaN in a float image.
    void pack_nan(const char *image, ptrdiff_t row_bytes, int channels);
    // Set every pixel within `radius` (Euclidean) of a set pixel of `mask`.
    void dilate(const class BitMask &mask, ptrdiff_t radius);
    // Set every pixel of `mask` around which it is set as far as `radius`, 32 at most, in either direction.
    void erode(const BitMask &mask, ptrdiff_t radius);
    // Set every pixel of `mask` with a pixel of `seeds` as near as that, and return the other pixels of `mask`.
    Strip split(const BitMask &mask, const BitMask &seeds, ptrdiff_t radius);

  private:
    friend class BitMask;
    uint64_t &word(ptrdiff_t y, ptrdiff_t block) { return words_[static_cast<size_t>(64 * block + y - y0_)]; }
    void set_range(ptrdiff_t y, ptrdiff_t x0, ptrdiff_t x1);

    ptrdiff_t y0_, y1_, width_;
    std::vector<uint64_t> words_;  // block after block, row after row
};

class BitMask {
  public:
    BitMask() = default;
    // Nothing masked, but all or no pixels outside the image set. Throws std::bad_alloc.
    BitMask(ptrdiff_t height, ptrdiff_t width, bool outside = true);
    BitMask(BitMask &&) = default;
    BitMask &operator=(BitMask &&) = default;

    // Blocks that may be asked for on each side of the image.
    static constexpr ptrdiff_t border = 3;

    ptrdiff_t height() const { return height_; }
    ptrdiff_t width() const { return width_; }
    ptrdiff_t down() const { return (height_ + 63) / 64; }  // how many blocks
    ptrdiff_t across() const { return (width_ + 63) / 64; }
    const Block &block(ptrdiff_t down, ptrdiff_t across) const { return **at(down, across); }

    // The 64 pixels of row y from x on, and those of column x from y on. Rims take many: they must not be calls.
    __attribute__((always_inline)) uint64_t row(ptrdiff_t y, ptrdiff_t x) const {
        const Block *const *blocks = at(y >> 6, x >> 6);
        return window(blocks[0]->rows[y & 63], blocks[1]->rows[y & 63], x & 63);
    }
    __attribute__((always_inline)) uint64_t column(ptrdiff_t x, ptrdiff_t y) const {
        return columns(y)(x);
    }

    // The columns from row y on: what they have in common is looked up once.
    struct Columns {
        const Block *const *line;
        ptrdiff_t pitch, shift;

        __attribute__((always_inline)) uint64_t operator()(ptrdiff_t x) const {
            const Block *const *blocks = line + (x >> 6);
            return window(blocks[0]->columns[x & 63], blocks[pitch]->columns[x & 63], shift);
        }
    };
    __attribute__((always_inline)) Columns columns(ptrdiff_t y) const { return {at(y >> 6, 0), pitch_, y & 63}; }

    // 64 bits of two words, from bit `shift` of the first on.
    __attribute__((always_inline)) static uint64_t window(uint64_t word, uint64_t next, ptrdiff_t shift) {
        return word >> shift | (next << 1) << (63 - shift);
    }

    // Take over what a strip has set; the strips may come from several threads.
    void store(Strip &strip);
    // How many pixels are masked in the 32 rows from y on, y a multiple of 32; and in all.
    ptrdiff_t count(ptrdiff_t y) const;
    ptrdiff_t count() const;
    // Whether any is in that block or in the eight around it.
    bool any_near(ptrdiff_t down, ptrdiff_t across) const;

  private:
    const Block *const *at(ptrdiff_t down, ptrdiff_t across) const {
        return table_.data() + (down + border) * pitch_ + across + border;
    }
    const Block **at(ptrdiff_t down, ptrdiff_t across) {
        return table_.data() + (down + border) * pitch_ + across + border;
    }

    ptrdiff_t height_ = 0, width_ = 0, pitch_ = 0;
    uint64_t outside_ = 0;
    std::vector<const Block *> table_;
    std::vector<std::unique_ptr<Block[]>> stored_;  // of each strip
    std::unique_ptr<Block[]> shared_;               // what blocks without a masked pixel point to
};

// The lowest `count` bits, 0 <= count <= 64.
static inline uint64_t low_bits(ptrdiff_t count) {
    return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

// Make each of `count` words the conjunction of the `side` words from it on, of twice as many at each step.
__attribute__((always_inline)) static inline void conjoin(uint64_t *words, ptrdiff_t side, ptrdiff_t count) {
    ptrdiff_t reach = 1;
    for (; 2 * reach <= side; reach *= 2)
        for (ptrdiff_t i = 0; i < count + side - 2 * reach; ++i) words[i] &= words[i + reach];
    for (ptrdiff_t i = 0; i < count; ++i) words[i] &= words[i + side - reach];
}

}  // namespace unetfast
#endif
