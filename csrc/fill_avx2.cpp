// 32 lanes for processors with AVX2 (x86-64 from 2013 on).
#if defined(__x86_64__)
#include <immintrin.h>

#include "fill.h"

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,bmi,bmi2,popcnt"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,bmi,bmi2,popcnt")
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

// All that the target above names.
static bool available() {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}

const Level avx2_level = {"avx2", available, fill};

}  // namespace unetfast
#endif
