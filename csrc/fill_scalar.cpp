// What every processor of the target runs: 16 lanes, that the compiler makes SSE2 of on x86-64 and
// NEON on ARM, both part of their base instruction sets.
#include "fill.h"

namespace unetfast {
namespace {

constexpr int N = 16;
#include "planes.h"
#include "select.h"
#include "grow_lanes.h"
#include "patch.h"
#include "rings.h"
#include "lane_bits.h"
#include "sort_lanes.h"
#include "fill_lanes.h"

bool available() { return true; }

}  // namespace

const Level scalar_level = {"scalar", available, fill};

}  // namespace unetfast
