/* The masked-median inpainting kernel of unetfast: a plain C interface, no Python anywhere.
 *
 * What it computes. Every masked pixel is replaced, channel by channel, by the lower median
 * (rank (n - 1) / 2 of the n sorted samples) of the ORIGINAL UNMASKED samples in the square
 * window of odd side `window_px` centred on it and clipped to the image. Where that window holds
 * no unmasked pixel it grows to the smallest odd side that holds at least one. A masked sample is
 * never read, so the result depends neither on an order nor on the number of threads, and
 * `target` may be `source`.
 *
 * By the width. With a `window_px` of 0 each masked pixel has the first side s of 15, 31 and 63 where no
 * masked pixel within (s + 1) / 2 of it, by the larger of the distances along x and y, is further than
 * (s + 1) / 4 from every unmasked one; else 127. That is about twice the width of what is masked there.
 *
 * Layout. Pixels are interleaved: channel c of pixel (y, x) stands at
 * `data + y * row_bytes + (x * channels + c) * sample_size`. Rows may be apart by any
 * distance, negative included. The mask has one byte per pixel; any non-zero byte is masked.
 *
 * float32. A pixel with a NaN in any channel counts as masked. Samples are ordered as IEEE 754
 * totalOrder has it: -0 before +0, infinities at the ends.
 *
 * Which windows take which path (figures: docs/inpainting.md, benchmarks/test_bench_inpaint.py).
 *   side 1 to 15     the median's byte is found bit by bit, counting samples in eight-bit counters
 *                    (225 at most). Each bit is found in the cheaper of two ways, which fill_lanes.h
 *                    estimates tile by tile: by columns, for one threshold after the other, the columns
 *                    of a tile being counted once and slid from row to row; or by comparing every
 *                    sample with a threshold of each pixel's own. Columns win the first bit or two at
 *                    side 7, and more the larger the window is.
 *   side 17 to 255   the same with sixteen-bit counters. The medians of a tile are much alike, the more
 *                    the larger the window, so few thresholds are needed: from side 31 on hardly a bit
 *                    is left to the samples.
 *   above            pixel by pixel (nth_element): counts outgrow sixteen bits.
 *   nothing intact   known from the mask's bits before anything is counted, and how far the nearest intact
 *                    pixel is; such a pixel takes the rim of the smallest window that holds something,
 *                    whatever the side.
 * Of uint16 and float32 a tile's samples are sorted instead, and a window walks from pixel to pixel with a count
 * of its samples below the last median (sort_lanes.h), where that is estimated to take less, up to side 191: in
 * cracks from side 15 (uint16) or 11 to 15 (float32) on. Elsewhere (small windows, single pixels) their further bytes
 * are searched by samples alone. uint8 does not sort: columns were cheaper at every side from 7 to 127.
 *
 * Memory. Two bits per pixel in blocks of 64 x 64 that hold a masked pixel (4 % of a grey uint8 frame for a
 * 2 % mask of curves, 25 % where masked pixels are everywhere), twice while the mask is dilated, up to five
 * times with windows by the width, a few hundred kilobytes a thread (1.5 MB at side 191), and in place with
 * several threads 16 to 24 bytes for each masked pixel within half a window of the edge of a thread's band
 * of rows.
 *
 * Threads. A call starts `threads - 1` threads and joins them before it returns; calls from
 * several threads at once are safe as long as their targets do not overlap anything they read.
 */
#ifndef UNETFAST_MEDIAN_H
#define UNETFAST_MEDIAN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Sample types; the value is the size of a sample in bytes. */
enum { UNETFAST_UINT8 = 1, UNETFAST_UINT16 = 2, UNETFAST_FLOAT32 = 4 };

enum {
    UNETFAST_OK = 0,
    UNETFAST_BAD_ARGUMENT = 1,    /* nothing was written */
    UNETFAST_NO_INTACT_PIXEL = 2, /* every pixel is masked; nothing was written */
    UNETFAST_NO_MEMORY = 3,       /* `target` may be half written */
    UNETFAST_UNKNOWN_ISA = 4      /* UNETFAST_ISA names a level that this machine or build lacks */
};

typedef struct {
    const void *source;
    ptrdiff_t source_row_bytes;
    void *target; /* `source` itself, or memory that does not overlap it */
    ptrdiff_t target_row_bytes;
    const uint8_t *mask;
    ptrdiff_t mask_row_bytes;
    ptrdiff_t height, width; /* both at least 1 */
    int channels;            /* 1 to 4 */
    int sample_type;         /* UNETFAST_UINT8, UNETFAST_UINT16 or UNETFAST_FLOAT32 */
    ptrdiff_t window_px;     /* the full side, odd, at least 1; 0: by the width of what is masked */
    ptrdiff_t dilate_px;     /* the mask first grows by a disc of this radius; 0 leaves it alone */
    int threads;             /* 0: one for each processor */
} unetfast_inpaint_job;

/* Copy source to target and replace the masked pixels. Returns UNETFAST_OK or an error above. */
int unetfast_inpaint_median(const unetfast_inpaint_job *job);

/* The instruction set in use, "scalar", "avx2" or "avx512"; NULL when UNETFAST_ISA is not one
 * that this machine can run. */
const char *unetfast_isa(void);

#ifdef __cplusplus
}
#endif
#endif
