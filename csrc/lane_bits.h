// The lanes of a comparison as the bits of a word. Included like select.h.

#ifdef UNETFAST_AVX2

// Bit i is set where lane i is -1; the others are 0.
inline uint64_t bits_of(i8 lanes) { return (uint32_t)_mm256_movemask_epi8((__m256i)lanes); }

// The place of the set bit before which n are set.
inline int nth_bit(uint64_t bits, ptrdiff_t n) { return __builtin_ctzll(_pdep_u64(uint64_t{1} << n, bits)); }

#else

inline uint64_t bits_of(i8 lanes) {
    uint64_t words[N / 8], bits = 0;
    __builtin_memcpy(words, &lanes, N);
    // One bit of each byte; the product adds them up in its highest byte.
    for (int i = 0; i < N / 8; ++i)
        bits |= (words[i] & 0x8040201008040201u) * 0x0101010101010101u >> 56 << 8 * i;
    return bits;
}

inline int nth_bit(uint64_t bits, ptrdiff_t n) {
    for (; n > 0; --n) bits &= bits - 1;
    return __builtin_ctzll(bits);
}

#endif
