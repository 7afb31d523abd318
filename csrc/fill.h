// What the parts of the kernel share: the scene of one call, each thread's scratch, and the function
// that every instruction set has of its own.
#ifndef UNETFAST_FILL_H
#define UNETFAST_FILL_H

#include <cstddef>
#include <cstdint>

#include "bits.h"
#include "median.h"

namespace unetfast {

// Steps that must not be inlined into one another: the compiler then keeps the counters of the inner loops
// in memory, which made side 31 half as fast again (tools/compare_inpaint.py).
#define APART __attribute__((noinline))

// The piece of the image that is filled at once: rows of one mask word (fill_lanes.h).
constexpr ptrdiff_t tile_rows = 32;

struct Tile {
    ptrdiff_t y, x;         // the first row, and the first pixel of its mask word
    ptrdiff_t first, last;  // the rows that hold something to fill, counted from y
    ptrdiff_t low, high;    // and the pixels, counted from x
    uint64_t todo[tile_rows];
};

struct Scene {
    unetfast_inpaint_job job;
    BitMask masked;       // what is never read: the mask, dilated, and the pixels with a NaN
    const BitMask *todo;  // which of them are to be filled now
    ptrdiff_t radius;     // from windows of that radius
    bool in_place;
    bool copied;          // whether the target holds the intact pixels

    const char *source_row(ptrdiff_t y) const {
        return static_cast<const char *>(job.source) + y * job.source_row_bytes;
    }
    char *target_row(ptrdiff_t y) const {
        return static_cast<char *>(job.target) + y * job.target_row_bytes;
    }
    ptrdiff_t pixel_bytes() const { return ptrdiff_t{job.channels} * job.sample_type; }
};

// Memory, 64-byte aligned, that is kept from one use to the next. Throws std::bad_alloc.
class Buffer {
  public:
    Buffer() = default;
    ~Buffer();
    Buffer(const Buffer &) = delete;
    Buffer &operator=(const Buffer &) = delete;
    char *data() { return data_; }
    size_t size() const { return size_; }
    // At least that many bytes, the first `kept` of which keep their content.
    char *reserve(size_t bytes, size_t kept = 0);

  private:
    char *data_ = nullptr;
    size_t size_ = 0;
};

// What one thread keeps.
struct Scratch {
    Buffer tile, rim;  // of Filler and Grower

    // Pixels that are to be written when nobody reads near them any more: of each where to, and then the pixel.
    Buffer late;
    size_t late_count = 0;

    void write_late(char *target, const void *pixel, ptrdiff_t bytes);
    void flush_late(ptrdiff_t bytes);
};

// Rows of the image for one thread to fill. Where the target is the source, pixels of rows before
// `late_above` and from `late_below` on are written late: a neighbouring band may be reading them
// (it throws what it read away, but a data race it would be).
struct Band {
    ptrdiff_t y0, y1, late_above, late_below;

    bool is_late(ptrdiff_t y) const { return y < late_above || y >= late_below; }
};

// The implementation of one instruction set: copies the band's rows and fills what is masked.
struct Level {
    const char *name;
    bool (*available)();  // whether this processor has every instruction that `fill` was compiled with
    void (*fill)(const Scene &, const Band &, Scratch &);
};

extern const Level scalar_level;
#if defined(__x86_64__)
extern const Level avx2_level, avx512_level;
#endif

// Compute one pixel from the window of that radius, whatever its size; false when the window holds
// nothing intact. Slow, and for windows that are too large for the lanes.
bool fill_one(const Scene &scene, ptrdiff_t y, ptrdiff_t x, ptrdiff_t radius, void *pixel);

}  // namespace unetfast
#endif
