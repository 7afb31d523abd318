// 32 lanes too, with AVX-512's registers and three-operand logic (BW and VL): 64 lanes were slower on
// Zen 4 (docs/inpainting.md).
#if defined(__x86_64__)
#include <immintrin.h>

#include "fill.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl"))), \
                             apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt,avx512f,avx512bw,avx512vl")
#endif

namespace unetfast {
namespace {

constexpr int N = 32;
#define UNETFAST_AVX2
#include "planes.h"
#include "select.h"
#include "grow_lanes.h"
#include "patch.h"
#include "rings.h"
#include "lane_bits.h"
#include "sort_lanes.h"
#include "fill_lanes.h"

}  // namespace
}  // namespace unetfast

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace unetfast {

// All that the target above names: what avx2 needs, and three more.
static bool available() {
    return avx2_level.available() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

const Level avx512_level = {"avx512", available, fill};

}  // namespace unetfast
#endif
