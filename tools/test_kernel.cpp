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
    std::unique_ptr<uint8_t[]> mask(new uint8_t[pixels]), only(new uint8_t[pixels]);
    const bool in_part = pick(0, 3) == 0;
    for (size_t i = 0; i < pixels; ++i) only[i] = !in_part || pick(0, 3) == 0;
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
    job.only = in_part ? only.get() : nullptr;
    job.only_row_bytes = width;
    if (unetfast_inpaint_median(&job) != UNETFAST_OK) return false;
    for (ptrdiff_t y = 0; y < height; ++y)
        for (ptrdiff_t x = 0; x < width; ++x)
            for (int c = 0; c < channels; ++c) {
                const ptrdiff_t at = y * stride + x * channels + c;
                const T expected = mask[y * width + x] && only[y * width + x]
                                       ? plain_median(image.get(), mask.get(), height, width, channels, stride, y,
                                                      x, c, radius)
                                       : image[at];
                if (key(target[at]) != key(expected)) return false;
            }
    return true;
}

bool refuses_bad_arguments() {
    uint8_t pixel[1] = {}, full[1] = {1};
    unetfast_inpaint_job job{pixel, 1, pixel, 1, full, 1, 1, 1, 1, UNETFAST_UINT8, 3, 0, 1, nullptr, 0};
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
        good = i % 3 == 0   ? one_case<uint8_t>(UNETFAST_UINT8)
               : i % 3 == 1 ? one_case<uint16_t>(UNETFAST_UINT16)
                            : one_case<float>(UNETFAST_FLOAT32);
        if (!good) std::printf("case %d differs\n", i);
    }
    std::printf("%s: %s\n", unetfast_isa(), good ? "ok" : "FAILED");
    return good ? 0 : 1;
}
