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

// What one late pixel takes.
static size_t entry_bytes(ptrdiff_t pixel_bytes) {
    return sizeof(char *) + static_cast<size_t>((pixel_bytes + 7) / 8 * 8);
}

void Scratch::write_late(char *target, const void *pixel, ptrdiff_t bytes) {
    const size_t entry = entry_bytes(bytes), used = late_count++ * entry;
    if (used + entry > late.size()) late.reserve(std::max<size_t>(4096, 2 * used), used);
    char *const to = late.data() + used;
    std::memcpy(to, &target, sizeof target);
    std::memcpy(to + sizeof target, pixel, static_cast<size_t>(bytes));
}

void Scratch::flush_late(ptrdiff_t bytes) {
    const char *from = late.data();
    for (; late_count > 0; --late_count, from += entry_bytes(bytes)) {
        char *target;
        std::memcpy(&target, from, sizeof target);
        std::memcpy(target, from + sizeof target, static_cast<size_t>(bytes));
    }
}

}  // namespace unetfast
