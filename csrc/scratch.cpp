#include <algorithm>
#include <cstring>
#include <new>

#include "fill.h"

namespace unetfast {

// Not std::aligned_alloc, which Windows lacks.
constexpr std::align_val_t alignment{64};

Buffer::~Buffer() { ::operator delete(data_, alignment); }

char *Buffer::reserve(size_t bytes, size_t kept) {
    if (bytes <= size_) return data_;
    auto *larger = static_cast<char *>(::operator new(bytes, alignment));
    if (kept) std::memcpy(larger, data_, kept);
    ::operator delete(data_, alignment);
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
