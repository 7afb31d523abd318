// One pixel, plainly: the slow twin of the lanes, for windows of more than 65535 samples.
#include <algorithm>
#include <cstring>
#include <vector>

#include "fill.h"

namespace unetfast {
namespace {

bool before(uint8_t a, uint8_t b) { return a < b; }
bool before(uint16_t a, uint16_t b) { return a < b; }
bool before(float a, float b) {  // IEEE 754 totalOrder; no NaN comes here
    uint32_t x, y;
    std::memcpy(&x, &a, 4);
    std::memcpy(&y, &b, 4);
    const auto key = [](uint32_t bits) { return bits & 0x80000000u ? ~bits : bits | 0x80000000u; };
    return key(x) < key(y);
}

template <class T>
bool fill_one(const Scene &scene, ptrdiff_t y, ptrdiff_t x, ptrdiff_t radius, T *pixel) {
    const ptrdiff_t channels = scene.job.channels;
    const ptrdiff_t top = std::max<ptrdiff_t>(0, y - radius), bottom = std::min(scene.job.height, y + radius + 1);
    const ptrdiff_t left = std::max<ptrdiff_t>(0, x - radius), right = std::min(scene.job.width, x + radius + 1);
    std::vector<T> samples[4];
    for (ptrdiff_t v = top; v < bottom; ++v) {
        const T *row = reinterpret_cast<const T *>(scene.source_row(v));
        for (ptrdiff_t u = left; u < right; ++u)
            if (!(scene.masked.row(v, u) & 1))
                for (ptrdiff_t c = 0; c < channels; ++c) samples[c].push_back(row[u * channels + c]);
    }
    if (samples[0].empty()) return false;
    for (ptrdiff_t c = 0; c < channels; ++c) {
        const auto middle = samples[c].begin() + (static_cast<ptrdiff_t>(samples[c].size()) - 1) / 2;
        std::nth_element(samples[c].begin(), middle, samples[c].end(), [](T a, T b) { return before(a, b); });
        pixel[c] = *middle;
    }
    return true;
}

}  // namespace

bool fill_one(const Scene &scene, ptrdiff_t y, ptrdiff_t x, ptrdiff_t radius, void *pixel) {
    switch (scene.job.sample_type) {
        case UNETFAST_UINT8: return fill_one(scene, y, x, radius, static_cast<uint8_t *>(pixel));
        case UNETFAST_UINT16: return fill_one(scene, y, x, radius, static_cast<uint16_t *>(pixel));
        default: return fill_one(scene, y, x, radius, static_cast<float *>(pixel));
    }
}

}  // namespace unetfast
