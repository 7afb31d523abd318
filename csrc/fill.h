// What the parts of the kernel share: the scene of one call, each thread's scratch, and the two
// functions that every instruction set has of its own.
#ifndef UNETFAST_FILL_H
#define UNETFAST_FILL_H

#include <cstddef>
#include <cstdint>

#include "bits.h"
#include "median.h"

namespace unetfast {

struct Scene {
    unetfast_inpaint_job job;
    BitImage masked;   // what is to be filled: the mask, dilated, and the pixels with a NaN
    BitImage columns;  // its transpose; made only when a window must grow
    ptrdiff_t radius;  // of the window
    bool in_place;

    const char *source_row(ptrdiff_t y) const {
        return static_cast<const char *>(job.source) + y * job.source_row_bytes;
    }
    char *target_row(ptrdiff_t y) const {
        return static_cast<char *>(job.target) + y * job.target_row_bytes;
    }
    ptrdiff_t pixel_bytes() const { return ptrdiff_t{job.channels} * job.sample_type; }
};

// A run of pixels whose windows hold nothing intact.
struct Run {
    ptrdiff_t y, x0, x1;
};

// What one thread keeps. Growing any of it throws std::bad_alloc.
struct Scratch {
    char *memory = nullptr;
    size_t size = 0;
    Run *runs = nullptr;  // of pixels left for grow()
    size_t run_count = 0, run_capacity = 0;
    struct Late {
        char *target;
        char pixel[16];
    };
    Late *late = nullptr;  // pixels to be written when nobody reads near them any more
    size_t late_count = 0, late_capacity = 0;

    Scratch() = default;
    ~Scratch();
    Scratch(const Scratch &) = delete;
    Scratch &operator=(const Scratch &) = delete;

    char *reserve(size_t bytes);               // 64-byte aligned; the content is not kept
    char *grow(size_t kept, size_t bytes);     // the same, with the first `kept` bytes kept
    void leave(ptrdiff_t y, ptrdiff_t x);      // a pixel for grow(), joined to the last run if it can be
    void write_late(char *target, const char *pixel, ptrdiff_t bytes);
};

// Rows of the image for one thread to fill. Where the target is the source, pixels of rows before
// `late_above` and from `late_below` on are written late: a neighbouring band may be reading them
// (it throws what it read away, but a data race it would be).
struct Band {
    ptrdiff_t y0, y1, late_above, late_below;
};

// The implementations of one instruction set.
struct Level {
    const char *name;
    bool (*available)();
    // Fill the pixels of the band whose window holds an intact pixel; leave the others in scratch.
    void (*fill)(const Scene &, const Band &, Scratch &);
    // Fill pixels by the smallest larger window that holds one.
    void (*grow)(const Scene &, const Run *, size_t, Scratch &);
};

extern const Level scalar_level;
#if defined(__x86_64__)
extern const Level avx2_level, avx512_level;
#endif

// Compute one pixel from the window of that radius, whatever its size; false when the window holds
// nothing intact. Slow, and for windows that are too large for the others.
bool fill_one(const Scene &scene, ptrdiff_t y, ptrdiff_t x, ptrdiff_t radius, char *pixel);

// Level::fill by fill_one alone.
void fill_large(const Scene &scene, const Band &band, Scratch &scratch);

// The largest window side of Level::fill: its counters have eight bits a column.
constexpr ptrdiff_t largest_side = 255;

}  // namespace unetfast
#endif
