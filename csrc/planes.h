// Samples as byte planes, the most significant first, each byte with its top bit flipped (select.h
// says why). Compiled like fill_lanes.h.

inline ptrdiff_t smaller(ptrdiff_t a, ptrdiff_t b) { return a < b ? a : b; }
inline ptrdiff_t larger(ptrdiff_t a, ptrdiff_t b) { return a > b ? a : b; }

inline uint32_t float_key(uint32_t bits) {
    // Negative floats order backwards: flip them whole; of the others only the sign.
    return bits ^ (static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31) | 0x80000000u);
}

inline uint32_t float_bits(uint32_t key) { return key & 0x80000000u ? key ^ 0x80000000u : ~key; }

// Split n samples into planes. Bytes may alias anything: the loops vectorise only on restricted
// pointers.
inline void split(const uint8_t *__restrict samples, ptrdiff_t n, int8_t *const *planes) {
    int8_t *__restrict only = planes[0];
    for (ptrdiff_t i = 0; i < n; ++i) only[i] = (int8_t)(samples[i] ^ 128);
}

inline void split(const uint16_t *__restrict samples, ptrdiff_t n, int8_t *const *planes) {
    int8_t *__restrict high = planes[0], *__restrict low = planes[1];
    for (ptrdiff_t i = 0; i < n; ++i) high[i] = (int8_t)((samples[i] >> 8) ^ 128);
    for (ptrdiff_t i = 0; i < n; ++i) low[i] = (int8_t)(samples[i] ^ 128);
}

inline void split(const uint32_t *__restrict samples, ptrdiff_t n, int8_t *const *planes) {
    for (int plane = 0; plane < 4; ++plane) {
        int8_t *__restrict byte = planes[plane];
        for (ptrdiff_t i = 0; i < n; ++i) byte[i] = (int8_t)((float_key(samples[i]) >> (24 - 8 * plane)) ^ 128);
    }
}

// Make the bytes of the masked lanes (-1; the others are 0) the largest.
inline void mask_out(int8_t *__restrict plane, const int8_t *__restrict masked, ptrdiff_t n) {
    for (ptrdiff_t i = 0; i < n; ++i) plane[i] = (int8_t)((plane[i] & ~masked[i]) | (127 & masked[i]));
}

// Put the sample of one lane together again.
inline void join(const int8_t *found, uint8_t *sample) {
    *sample = (uint8_t)(found[0] ^ 128);
}

inline void join(const int8_t *found, uint16_t *sample) {
    *sample = (uint16_t)((uint8_t)(found[0] ^ 128) << 8 | (uint8_t)(found[N] ^ 128));
}

inline void join(const int8_t *found, uint32_t *sample) {
    uint32_t key = 0;
    for (int plane = 0; plane < 4; ++plane) key = key << 8 | (uint8_t)(found[plane * N] ^ 128);
    *sample = float_bits(key);
}

template <class T>
inline void join_lanes(const int8_t *__restrict found, T *__restrict samples) {
    for (int lane = 0; lane < N; ++lane) join(found + lane, samples + lane);
}

inline void copy_rows(const Scene &scene, ptrdiff_t y0, ptrdiff_t y1) {
    if (scene.copied) return;
    for (ptrdiff_t y = y0; y < y1; ++y)
        __builtin_memcpy(scene.target_row(y), scene.source_row(y),
                         (size_t)(scene.job.width * scene.pixel_bytes()));
}

// Write neighbouring pixels of a row, as one copy: in cracks they come three and more at a time.
template <class T>
inline void write_run(const Scene &scene, const Band &band, Scratch &scratch, ptrdiff_t y, ptrdiff_t x,
                      const T *pixels, ptrdiff_t count) {
    const ptrdiff_t bytes = scene.pixel_bytes();
    char *target = scene.target_row(y) + x * bytes;
    if (!(scene.in_place && band.is_late(y))) {
        __builtin_memcpy(target, pixels, (size_t)(count * bytes));
        return;
    }
    const char *pixel = (const char *)pixels;
    for (; count > 0; --count, target += bytes, pixel += bytes) scratch.write_late(target, pixel, bytes);
}

template <class T>
inline void write_pixel(const Scene &scene, const Band &band, Scratch &scratch, ptrdiff_t y, ptrdiff_t x,
                        const T *pixel) {
    T *target = (T *)scene.target_row(y) + x * scene.job.channels;
    if (scene.in_place && band.is_late(y)) return scratch.write_late((char *)target, pixel, scene.pixel_bytes());
    switch (scene.job.channels) {  // a copy of known size is a move or two
        case 1: __builtin_memcpy(target, pixel, sizeof(T)); return;
        case 2: __builtin_memcpy(target, pixel, 2 * sizeof(T)); return;
        case 3: __builtin_memcpy(target, pixel, 3 * sizeof(T)); return;
        default: __builtin_memcpy(target, pixel, 4 * sizeof(T)); return;
    }
}
