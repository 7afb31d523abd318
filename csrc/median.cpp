#include "median.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

namespace {

uint32_t key_of(uint8_t v) { return v; }
uint32_t key_of(uint16_t v) { return v; }
uint32_t key_of(float v) {
    uint32_t bits;
    std::memcpy(&bits, &v, 4);
    return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

template <class T>
bool sample_before(T a, T b) { return key_of(a) < key_of(b); }

struct Masked {  // the effective mask: given, dilated, NaN
    ptrdiff_t height, width;
    std::vector<uint8_t> bytes;
    bool operator()(ptrdiff_t y, ptrdiff_t x) const { return bytes[y * width + x]; }
};

Masked effective_mask(const unetfast_inpaint_job &job) {
    const ptrdiff_t H = job.height, W = job.width, R = job.dilate_px;
    Masked masked{H, W, std::vector<uint8_t>(H * W)};
    for (ptrdiff_t y = 0; y < H; ++y)
        for (ptrdiff_t x = 0; x < W; ++x) {
            if (!job.mask[y * job.mask_row_bytes + x]) continue;
            for (ptrdiff_t dy = std::max(-R, -y); dy <= std::min(R, H - 1 - y); ++dy)
                for (ptrdiff_t dx = std::max(-R, -x); dx <= std::min(R, W - 1 - x); ++dx)
                    if (dy * dy + dx * dx <= R * R) masked.bytes[(y + dy) * W + x + dx] = 1;
        }
    if (job.sample_type == UNETFAST_FLOAT32)
        for (ptrdiff_t y = 0; y < H; ++y) {
            auto row = reinterpret_cast<const float *>(static_cast<const char *>(job.source) +
                                                       y * job.source_row_bytes);
            for (ptrdiff_t i = 0; i < W * job.channels; ++i)
                if (std::isnan(row[i])) masked.bytes[y * W + i / job.channels] = 1;
        }
    return masked;
}

template <class T>
void rows(const unetfast_inpaint_job &job, const Masked &masked, ptrdiff_t y0, ptrdiff_t y1) {
    const ptrdiff_t H = job.height, W = job.width, C = job.channels;
    auto at = [&](ptrdiff_t y) {
        return reinterpret_cast<const T *>(static_cast<const char *>(job.source) + y * job.source_row_bytes);
    };
    std::vector<T> samples[4];
    for (ptrdiff_t y = y0; y < y1; ++y) {
        auto out = reinterpret_cast<T *>(static_cast<char *>(job.target) + y * job.target_row_bytes);
        for (ptrdiff_t x = 0; x < W; ++x) {
            if (!masked(y, x)) continue;
            for (ptrdiff_t r = job.window_px / 2;; ++r) {
                for (auto &channel : samples) channel.clear();
                for (ptrdiff_t v = std::max<ptrdiff_t>(0, y - r); v <= std::min(H - 1, y + r); ++v)
                    for (ptrdiff_t u = std::max<ptrdiff_t>(0, x - r); u <= std::min(W - 1, x + r); ++u)
                        if (!masked(v, u))
                            for (ptrdiff_t c = 0; c < C; ++c) samples[c].push_back(at(v)[u * C + c]);
                if (!samples[0].empty()) break;
            }
            for (ptrdiff_t c = 0; c < C; ++c) {
                auto middle = samples[c].begin() + (samples[c].size() - 1) / 2;
                std::nth_element(samples[c].begin(), middle, samples[c].end(), sample_before<T>);
                out[x * C + c] = *middle;
            }
        }
    }
}

int run(const unetfast_inpaint_job &job) {
    const Masked masked = effective_mask(job);
    if (std::find(masked.bytes.begin(), masked.bytes.end(), 0) == masked.bytes.end())
        return UNETFAST_NO_INTACT_PIXEL;
    if (job.target != job.source)
        for (ptrdiff_t y = 0; y < job.height; ++y)
            std::memcpy(static_cast<char *>(job.target) + y * job.target_row_bytes,
                        static_cast<const char *>(job.source) + y * job.source_row_bytes,
                        job.width * job.channels * job.sample_type);
    const auto work = job.sample_type == UNETFAST_UINT8    ? rows<uint8_t>
                      : job.sample_type == UNETFAST_UINT16 ? rows<uint16_t>
                                                           : rows<float>;
    ptrdiff_t threads = job.threads ? job.threads : std::max(1u, std::thread::hardware_concurrency());
    threads = std::min(threads, job.height);
    std::vector<std::thread> pool;
    for (ptrdiff_t i = 0; i < threads; ++i)
        pool.emplace_back(work, std::cref(job), std::cref(masked), job.height * i / threads,
                          job.height * (i + 1) / threads);
    for (auto &thread : pool) thread.join();
    return UNETFAST_OK;
}

}  // namespace

extern "C" const char *unetfast_isa(void) { return "scalar"; }

extern "C" int unetfast_inpaint_median(const unetfast_inpaint_job *job) {
    if (!job || !job->source || !job->target || !job->mask || job->height < 1 || job->width < 1 ||
        job->channels < 1 || job->channels > 4 || job->window_px < 1 || job->window_px % 2 == 0 ||
        job->dilate_px < 0 || job->threads < 0)
        return UNETFAST_BAD_ARGUMENT;
    if (job->sample_type != UNETFAST_UINT8 && job->sample_type != UNETFAST_UINT16 &&
        job->sample_type != UNETFAST_FLOAT32)
        return UNETFAST_BAD_ARGUMENT;
    try {
        return run(*job);
    } catch (const std::bad_alloc &) {
        return UNETFAST_NO_MEMORY;
    }
}
