// The mask as one bit a pixel: 4 % of an RGB photo, small enough for the cache, 64 pixels a test.
#ifndef UNETFAST_BITS_H
#define UNETFAST_BITS_H

#include <cstddef>
#include <cstdint>

namespace unetfast {

// Bits in 64-bit words, bit x of row y at bit x % 64 of word x / 64 of that row. Bits past the width are
// set (outside the image is masked), and each row ends in one more word of them, so that window() may
// read across the end.
struct BitImage {
    uint64_t *words = nullptr;
    ptrdiff_t height = 0, width = 0;
    ptrdiff_t stride = 0, step = 0;  // words from row to row, and from word to word of a row

    BitImage() = default;
    // All clear inside. A row's words lie together, or, `interleaved`, the first words of all rows do,
    // then the second. Throws std::bad_alloc.
    BitImage(ptrdiff_t height, ptrdiff_t width, bool interleaved = false);
    ~BitImage();
    BitImage(const BitImage &) = delete;
    BitImage &operator=(const BitImage &) = delete;
    void swap(BitImage &other);

    ptrdiff_t row_words() const { return (width + 63) / 64; }  // the one at the end not counted
    uint64_t *row(ptrdiff_t y) { return words + y * stride; }
    const uint64_t *row(ptrdiff_t y) const { return words + y * stride; }
};

// The 64 bits of a row from bit x on, 0 <= x < width.
static inline uint64_t window(const uint64_t *row, ptrdiff_t x, ptrdiff_t step = 1) {
    const uint64_t *word = row + (x >> 6) * step;
    const int shift = static_cast<int>(x & 63);
    return word[0] >> shift | (word[step] << 1) << (63 - shift);
}

// The lowest `count` bits, 0 <= count <= 64.
static inline uint64_t low_bits(ptrdiff_t count) {
    return count >= 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
}

// Set the bits of the non-zero bytes of rows y0 .. y1.
void pack(BitImage &bits, const uint8_t *mask, ptrdiff_t mask_row_bytes, ptrdiff_t y0, ptrdiff_t y1);

// Set the bits of the pixels that hold a NaN in rows y0 .. y1 of a float image.
void pack_nan(BitImage &bits, const char *image, ptrdiff_t row_bytes, int channels, ptrdiff_t y0,
              ptrdiff_t y1);

// Set in rows y0 .. y1 of `grown` every pixel within `radius` (Euclidean) of a set pixel of `bits`.
void dilate(BitImage &grown, const BitImage &bits, ptrdiff_t radius, ptrdiff_t y0, ptrdiff_t y1);

// Set in `columns`, the interleaved transpose of `bits`, what rows y0 .. y1 say; y0 must be a multiple of 64 and
// y1 no more than 64 further.
void transpose(BitImage &columns, const BitImage &bits, ptrdiff_t y0, ptrdiff_t y1);

// Find the pixels, x to x + 63 of `rows` rows from y on, whose square window of that radius (0 to 127)
// has every bit set or outside; false if there is none. x must be a multiple of 64, `rows` 1 to 32.
bool find_empty(const BitImage &bits, ptrdiff_t x, ptrdiff_t y, ptrdiff_t rows, ptrdiff_t radius,
                uint64_t *empty);

// How many of a row's pixels are set.
ptrdiff_t count(const BitImage &bits, ptrdiff_t y);

}  // namespace unetfast
#endif
