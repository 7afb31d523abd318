// The kernel against a plain median, from C++ alone, so that sanitizers see nothing but the kernel:
// random shapes, windows, masks, strides, sample types, threads; in place and out of place.
// Usage: test_kernel [cases]. Run by tools/sanitize_kernel.sh.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "median.h"

namespace {

std::mt19937 generator(1);

ptrdiff_t pick(ptrdiff_t low, ptrdiff_t high) {
    return std::uniform_int_distribution<ptrdiff_t>(low, high)(generator);
}

uint32_t key(uint8_t value) { return value; }
uint32_t key(uint16_t value) { return value; }
uint32_t key(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, 4);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

template <class T>
T plain_median(const T *image, const uint8_t *mask, ptrdiff_t height, ptrdiff_t width, int channels,
               ptrdiff_t stride, ptrdiff_t y, ptrdiff_t x, int c, ptrdiff_t radius) {
    for (;; ++radius) {
        std::vector<T> samples;
        for (ptrdiff_t v = std::max<ptrdiff_t>(0, y - radius); v <= std::min(height - 1, y + radius); ++v)
            for (ptrdiff_t u = std::max<ptrdiff_t>(0, x - radius); u <= std::min(width - 1, x + radius); ++u)
                if (!mask[v * width + u]) samples.push_back(image[v * stride + u * channels + c]);
        if (samples.empty()) continue;
        std::sort(samples.begin(), samples.end(), [](T a, T b) { return key(a) < key(b); });
        return samples[(samples.size() - 1) / 2];
    }
}

template <class T>
bool one_case(int sample_type) {
    const ptrdiff_t height = pick(1, 50), width = pick(1, 90), radius = pick(0, 17);
    const int channels = static_cast<int>(pick(1, 4));
    const ptrdiff_t stride = width * channels + pick(0, 3);  // samples from row to row
    // Exactly as large as the rows need, so that AddressSanitizer sees a byte too many.
    const auto size = static_cast<size_t>((height - 1) * stride + width * channels);
    const auto pixels = static_cast<size_t>(height * width);
    std::unique_ptr<T[]> image(new T[size]), target(new T[size]);
    std::unique_ptr<uint8_t[]> mask(new uint8_t[pixels]);
    for (size_t i = 0; i < size; ++i) image[i] = static_cast<T>(pick(0, 70000)) - static_cast<T>(pick(0, 9));
    const ptrdiff_t density = pick(0, 100);
    for (size_t i = 0; i < pixels; ++i) mask[i] = pick(0, 99) < density;
    mask[static_cast<size_t>(pick(0, height * width - 1))] = 0;
    std::copy(image.get(), image.get() + size, target.get());

    const bool in_place = pick(0, 1);
    const auto row_bytes = static_cast<ptrdiff_t>(stride * sizeof(T));
    unetfast_inpaint_job job{};
    job.source = in_place ? target.get() : image.get();
    job.target = target.get();
    job.source_row_bytes = job.target_row_bytes = row_bytes;
    job.mask = mask.get();
    job.mask_row_bytes = width;
    job.height = height;
    job.width = width;
    job.channels = channels;
    job.sample_type = sample_type;
    job.window_px = 2 * radius + 1;
    job.threads = static_cast<int>(pick(1, 4));
    if (unetfast_inpaint_median(&job) != UNETFAST_OK) return false;
    for (ptrdiff_t y = 0; y < height; ++y)
        for (ptrdiff_t x = 0; x < width; ++x)
            for (int c = 0; c < channels; ++c) {
                const ptrdiff_t at = y * stride + x * channels + c;
                const T expected = mask[y * width + x]
                                       ? plain_median(image.get(), mask.get(), height, width, channels, stride, y,
                                                      x, c, radius)
                                       : image[at];
                if (key(target[at]) != key(expected)) return false;
            }
    return true;
}

// The side of the window of each pixel by the width of what is masked around it, as median.h says.
std::vector<ptrdiff_t> plain_sides(const std::vector<uint8_t> &mask, ptrdiff_t height, ptrdiff_t width) {
    // The largest or the least within `radius`, along rows and then along columns.
    const auto extreme = [&](std::vector<uint8_t> image, ptrdiff_t radius, bool largest) {
        for (const bool along_x : {true, false}) {
            const std::vector<uint8_t> before = image;
            for (ptrdiff_t y = 0; y < height; ++y)
                for (ptrdiff_t x = 0; x < width; ++x)
                    for (ptrdiff_t d = -radius; d <= radius; ++d) {
                        const ptrdiff_t v = along_x ? y : y + d, u = along_x ? x + d : x;
                        if (v < 0 || v >= height || u < 0 || u >= width) continue;
                        uint8_t &to = image[static_cast<size_t>(y * width + x)];
                        const uint8_t from = before[static_cast<size_t>(v * width + u)];
                        to = largest ? std::max(to, from) : std::min(to, from);
                    }
        }
        return image;
    };
    std::vector<ptrdiff_t> sides(mask.size(), 127);
    for (const ptrdiff_t side : {63, 31, 15}) {
        const std::vector<uint8_t> deep = extreme(mask, (side + 1) / 4, false);
        const std::vector<uint8_t> near = extreme(deep, (side + 1) / 2, true);
        for (size_t i = 0; i < mask.size(); ++i)
            if (!near[i]) sides[i] = side;
    }
    return sides;
}

// Windows by the width: each pixel as with its own window everywhere.
bool one_case_by_width() {
    const ptrdiff_t height = pick(1, 200), width = pick(1, 300);
    const auto pixels = static_cast<size_t>(height * width);
    std::vector<uint8_t> mask(pixels, pick(0, 3) == 0);
    for (ptrdiff_t n = pick(0, 6); n > 0; --n) {
        const ptrdiff_t y0 = pick(-40, height), x0 = pick(-40, width), y1 = y0 + pick(1, 90), x1 = x0 + pick(1, 90);
        for (ptrdiff_t y = std::max<ptrdiff_t>(0, y0); y < std::min(height, y1); ++y)
            for (ptrdiff_t x = std::max<ptrdiff_t>(0, x0); x < std::min(width, x1); ++x)
                mask[static_cast<size_t>(y * width + x)] = 1;
    }
    for (ptrdiff_t n = pick(1, 4); n > 0; --n) mask[static_cast<size_t>(pick(0, height * width - 1))] = 0;
    std::vector<uint16_t> image(pixels), expected(pixels), target(pixels);
    for (uint16_t &sample : image) sample = static_cast<uint16_t>(pick(0, 65535));

    unetfast_inpaint_job job{};
    job.source = image.data();
    job.source_row_bytes = job.target_row_bytes = 2 * width;
    job.mask = mask.data();
    job.mask_row_bytes = width;
    job.height = height;
    job.width = width;
    job.channels = 1;
    job.sample_type = UNETFAST_UINT16;
    job.threads = static_cast<int>(pick(1, 4));
    const std::vector<ptrdiff_t> sides = plain_sides(mask, height, width);
    for (const ptrdiff_t side : {15, 31, 63, 127}) {
        job.window_px = side;
        job.target = target.data();
        if (unetfast_inpaint_median(&job) != UNETFAST_OK) return false;
        for (size_t i = 0; i < pixels; ++i)
            if (sides[i] == side) expected[i] = target[i];
    }
    job.window_px = 0;
    if (pick(0, 1)) job.target = image.data();
    if (unetfast_inpaint_median(&job) != UNETFAST_OK) return false;
    return !std::memcmp(job.target, expected.data(), 2 * pixels);
}

bool refuses_bad_arguments() {
    uint8_t pixel[1] = {}, full[1] = {1};
    unetfast_inpaint_job job{pixel, 1, pixel, 1, full, 1, 1, 1, 1, UNETFAST_UINT8, 3, 0, 1};
    if (unetfast_inpaint_median(&job) != UNETFAST_NO_INTACT_PIXEL) return false;
    job.window_px = 2;
    if (unetfast_inpaint_median(&job) != UNETFAST_BAD_ARGUMENT) return false;
    return unetfast_inpaint_median(nullptr) == UNETFAST_BAD_ARGUMENT;
}

}  // namespace

int main(int argc, char **argv) {
    if (!unetfast_isa()) {
        std::printf("this machine has no %s\n", std::getenv("UNETFAST_ISA"));
        return 0;
    }
    const int cases = argc > 1 ? std::atoi(argv[1]) : 300;
    bool good = refuses_bad_arguments();
    for (int i = 0; good && i < cases; ++i) {
        good = i % 4 == 0   ? one_case<uint8_t>(UNETFAST_UINT8)
               : i % 4 == 1 ? one_case<uint16_t>(UNETFAST_UINT16)
               : i % 4 == 2 ? one_case<float>(UNETFAST_FLOAT32)
                            : one_case_by_width();
        if (!good) std::printf("case %d differs\n", i);
    }
    std::printf("%s: %s\n", unetfast_isa(), good ? "ok" : "FAILED");
    return good ? 0 : 1;
}
