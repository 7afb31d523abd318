// The C interface: check the job, choose the instruction set, and lead the threads through the steps.
#include "median.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "bits.h"
#include "fill.h"
#include "team.h"

namespace unetfast {
namespace {

const Level *const levels[] = {
#if defined(__x86_64__)
    &avx512_level, &avx2_level,
#endif
    &scalar_level};

// The best level of this machine, or the one that UNETFAST_ISA asks for; null when there is none.
const Level *chosen_level() {
    const char *wanted = std::getenv("UNETFAST_ISA");
    for (const Level *level : levels)
        if (level->available() && (!wanted || !*wanted || !std::strcmp(wanted, level->name))) return level;
    return nullptr;
}

bool is_valid(const unetfast_inpaint_job *job) {
    return job && job->source && job->target && job->mask && job->height >= 1 && job->width >= 1 &&
           job->channels >= 1 && job->channels <= 4 &&
           (job->sample_type == UNETFAST_UINT8 || job->sample_type == UNETFAST_UINT16 ||
            job->sample_type == UNETFAST_FLOAT32) &&
           (job->window_px == 0 || (job->window_px >= 1 && job->window_px % 2 == 1)) && job->dilate_px >= 0 &&
           job->threads >= 0 &&
           (job->target != job->source || job->target_row_bytes == job->source_row_bytes);
}

// Run work(item, member) for every item, each on whichever thread is free, and pass on an exception.
template <class Work>
void over_items(Team &team, size_t items, Work work) {
    std::atomic<size_t> next{0};
    std::atomic<bool> failed{false};
    team.run([&](int member) {
        try {
            for (size_t i; (i = next.fetch_add(1)) < items && !failed;) work(i, static_cast<size_t>(member));
        } catch (const std::bad_alloc &) {
            failed = true;
        }
    });
    if (failed) throw std::bad_alloc();
}

// Do work(strip) for every strip of 64 rows.
template <class Work>
void over_strips(const unetfast_inpaint_job &job, Team &team, Work work) {
    over_items(team, static_cast<size_t>((job.height + 63) / 64), [&](size_t i, size_t) {
        Strip strip(static_cast<ptrdiff_t>(64 * i), job.height, job.width);
        work(strip);
    });
}

// Find out what is masked.
BitMask build_mask(const unetfast_inpaint_job &job, Team &team) {
    const auto finish = [&](BitMask &masked, Strip &strip) {
        if (job.sample_type == UNETFAST_FLOAT32)
            strip.pack_nan(static_cast<const char *>(job.source), job.source_row_bytes, job.channels);
        masked.store(strip);
    };
    BitMask masked(job.height, job.width);
    over_strips(job, team, [&](Strip &strip) {
        strip.pack(job.mask, job.mask_row_bytes);
        job.dilate_px ? masked.store(strip) : finish(masked, strip);
    });
    if (!job.dilate_px) return masked;
    BitMask grown(job.height, job.width);
    const ptrdiff_t radius = std::min(job.dilate_px, job.height + job.width);  // its square does not overflow
    over_strips(job, team, [&](Strip &strip) {
        strip.dilate(masked, radius);
        finish(grown, strip);
    });
    return grown;
}

// Share the masked pixels among windows by the width of what is masked around them: fill(side, pixels) for
// every side that occurs.
template <class Fill>
void share_by_width(const unetfast_inpaint_job &job, const BitMask &masked, Team &team, Fill fill) {
    BitMask wide;  // what no side before serves
    const BitMask *left = &masked;
    ptrdiff_t side = 15;
    for (; side < 127; side = 2 * side + 1) {
        const ptrdiff_t depth = (side + 1) / 4;
        BitMask deep(job.height, job.width, false), served(job.height, job.width), wider(job.height, job.width);
        over_strips(job, team, [&](Strip &strip) {
            strip.erode(*left, depth);
            deep.store(strip);
        });
        if (!deep.count()) break;
        over_strips(job, team, [&](Strip &strip) {
            Strip rest = strip.split(*left, deep, 2 * depth);
            served.store(rest);
            wider.store(strip);
        });
        fill(side, served);
        wide = std::move(wider);
        left = &wide;
    }
    fill(side, *left);
}

// Cut the rows into bands of whole tiles, each with a fair part of the work that is left: large ones
// first, since around their edges rows are written late; small ones last, so that all threads end together.
std::vector<Band> cut(const Scene &scene, int threads) {
    const ptrdiff_t height = scene.job.height;
    // A masked pixel costs about as much as 64 pixels that are only copied.
    const auto work_of = [&](ptrdiff_t y) { return 64 * scene.todo->count(y) + tile_rows * scene.job.width; };
    ptrdiff_t left = 0, work = 0, y0 = 0;
    for (ptrdiff_t y = 0; y < height; y += tile_rows) left += work_of(y);
    std::vector<Band> bands;
    for (ptrdiff_t y = 0; y < height; y += tile_rows) {
        work += work_of(y);
        const ptrdiff_t y1 = std::min(height, y + tile_rows);
        if (y1 < height && work < left / (threads == 1 ? 1 : 2 * threads)) continue;
        const ptrdiff_t above = y0 == 0 ? 0 : y0 + scene.radius;
        const ptrdiff_t below = y1 == height ? y1 : y1 - scene.radius;
        bands.push_back({y0, y1, above, below});
        y0 = y1;
        left -= work;
        work = 0;
    }
    return bands;
}

int inpaint(const unetfast_inpaint_job &job, const Level &level) {
    Scene scene;
    scene.job = job;
    scene.in_place = scene.copied = job.source == job.target;
    const unsigned processors = std::max(1u, std::thread::hardware_concurrency());
    const ptrdiff_t wanted = job.threads ? job.threads : static_cast<ptrdiff_t>(processors);
    // There are no more bands than rows of tiles: of a small image further threads would only be started.
    Team team(static_cast<int>(std::min(wanted, (job.height + tile_rows - 1) / tile_rows)));

    scene.masked = build_mask(job, team);
    if (scene.masked.count() == job.height * job.width) return UNETFAST_NO_INTACT_PIXEL;

    std::vector<Scratch> scratches(static_cast<size_t>(team.size()));
    const auto fill = [&](ptrdiff_t side, const BitMask &todo) {
        scene.todo = &todo;
        scene.radius = side / 2;
        const std::vector<Band> bands = cut(scene, team.size());
        over_items(team, bands.size(),
                   [&](size_t i, size_t member) { level.fill(scene, bands[i], scratches[member]); });
        for (Scratch &scratch : scratches) scratch.flush_late(scene.pixel_bytes());
        scene.copied = true;
    };
    if (job.window_px)
        fill(job.window_px, scene.masked);
    else
        share_by_width(job, scene.masked, team, fill);
    return UNETFAST_OK;
}

}  // namespace
}  // namespace unetfast

extern "C" const char *unetfast_isa(void) {
    const unetfast::Level *level = unetfast::chosen_level();
    return level ? level->name : nullptr;
}

extern "C" int unetfast_inpaint_median(const unetfast_inpaint_job *job) {
    if (!unetfast::is_valid(job)) return UNETFAST_BAD_ARGUMENT;
    const unetfast::Level *level = unetfast::chosen_level();
    if (!level) return UNETFAST_UNKNOWN_ISA;
    try {
        return unetfast::inpaint(*job, *level);
    } catch (const std::bad_alloc &) {
        return UNETFAST_NO_MEMORY;
    }
}
