// The mask as one bit a pixel: 4 % of an RGB photo, small enough for the cache, 64 pixels a test.
#ifndef UNETFAST_BITS_H
#define UNETFAST_BITS_H

#include <cstddef>
#include <cstdint>

namespace unetfast {

// Rows of 64-bit words, pixel x of a row at bit x % 64 of word x / 64. Bits past the width are set
// (outside the image is masked), and each row ends in one more word of them, so that window() may
// read across the end.
struct BitImage {
    uint64_t *words = nullptr;
    ptrdiff_t height = 0, width = 0;
    ptrdiff_t stride = 0;  // words from row to row

    BitImage() = default;
    BitImage(ptrdiff_t height, ptrdiff_t width);  // all clear inside; throws std::bad_alloc
    ~BitImage();
    BitImage(const BitImage &) = delete;
    BitImage &operator=(const BitImage &) = delete;
    void swap(BitImage &other);

    uint64_t *row(ptrdiff_t y) { return words + y * stride; }
    const uint64_t *row(ptrdiff_t y) const { return words + y * stride; }
};

// The 64 bits of a row from bit x on, 0 <= x < width.
static inline uint64_t window(const uint64_t *row, ptrdiff_t x) {
    const uint64_t *word = row + (x >> 6);
    const int shift = static_cast<int>(x & 63);
    return word[0] >> shift | (word[1] << 1) << (63 - shift);
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

// Set rows y0 .. y1 of the transpose of `bits`; y0 must be a multiple of 64, and so must y1 unless
// it is the last row.
void transpose(BitImage &columns, const BitImage &bits, ptrdiff_t y0, ptrdiff_t y1);

// How many of a row's pixels are set.
ptrdiff_t count(const BitImage &bits, ptrdiff_t y);

}  // namespace unetfast
#endif
