#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>

#include "fill.h"

namespace unetfast {
namespace {

char *aligned(size_t bytes) {
    bytes = (bytes + 63) / 64 * 64;
    auto *memory = static_cast<char *>(std::aligned_alloc(64, bytes));
    if (!memory) throw std::bad_alloc();
    return memory;
}

// Room for one more item: twice the room whenever it is used up.
template <class Item>
void make_room(Item *&items, size_t count, size_t &capacity) {
    if (count < capacity) return;
    const size_t more = std::max<size_t>(256, 2 * capacity);
    auto *moved = static_cast<Item *>(std::realloc(static_cast<void *>(items), more * sizeof(Item)));
    if (!moved) throw std::bad_alloc();
    items = moved;
    capacity = more;
}

}  // namespace

Scratch::~Scratch() {
    std::free(memory);
    std::free(runs);
    std::free(late);
}

char *Scratch::reserve(size_t bytes) {
    if (bytes > size) {
        std::free(memory);
        memory = nullptr;
        size = 0;
        memory = aligned(bytes);
        size = bytes;
    }
    return memory;
}

char *Scratch::grow(size_t kept, size_t bytes) {
    if (bytes > size) {
        char *larger = aligned(bytes);
        if (kept) std::memcpy(larger, memory, kept);
        std::free(memory);
        memory = larger;
        size = bytes;
    }
    return memory;
}

void Scratch::leave(ptrdiff_t y, ptrdiff_t x) {
    if (run_count && runs[run_count - 1].y == y && runs[run_count - 1].x1 == x) {
        ++runs[run_count - 1].x1;
        return;
    }
    make_room(runs, run_count, run_capacity);
    runs[run_count++] = {y, x, x + 1};
}

void Scratch::write_late(char *target, const char *pixel, ptrdiff_t bytes) {
    make_room(late, late_count, late_capacity);
    late[late_count].target = target;
    std::memcpy(late[late_count].pixel, pixel, static_cast<size_t>(bytes));
    ++late_count;
}

}  // namespace unetfast
