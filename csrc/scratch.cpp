#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "fill.h"

namespace unetfast {

Buffer::~Buffer() { std::free(data_); }

char *Buffer::reserve(size_t bytes, size_t kept) {
    if (bytes <= size_) return data_;
    bytes = (bytes + 63) / 64 * 64;
    auto *larger = static_cast<char *>(std::aligned_alloc(64, bytes));
    if (!larger) throw std::bad_alloc();
    if (kept) std::memcpy(larger, data_, kept);
    std::free(data_);
    data_ = larger;
    size_ = bytes;
    return data_;
}

void Scratch::write_late(char *target, const void *pixel, ptrdiff_t bytes) {
    const size_t used = late_count * sizeof(Late);
    if (used + sizeof(Late) > late.size()) late.reserve(std::max<size_t>(4096, 2 * used), used);
    Late &next = reinterpret_cast<Late *>(late.data())[late_count++];
    next.target = target;
    std::memcpy(next.pixel, pixel, static_cast<size_t>(bytes));
}

void Scratch::flush_late(ptrdiff_t bytes) {
    const auto *pixels = reinterpret_cast<const Late *>(late.data());
    for (size_t i = 0; i < late_count; ++i)
        std::memcpy(pixels[i].target, pixels[i].pixel, static_cast<size_t>(bytes));
    late_count = 0;
}

}  // namespace unetfast
