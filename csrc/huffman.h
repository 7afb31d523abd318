// Huffman codes of JPEG (ITU-T T.81, Annexes C and F): tables, and the two ends of a bit stream.
#ifndef UNETFAST_HUFFMAN_H
#define UNETFAST_HUFFMAN_H

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

namespace unetfast {

struct HuffmanTable {
    static constexpr int FAST_BITS = 10;

    std::string body;                           // as in a DHT segment: 16 counts, then the symbols
    std::array<uint16_t, 1 << FAST_BITS> fast;  // length << 8 | symbol of short codes, 0: longer
    std::array<int32_t, 18> last;               // by length: one past the last code, shifted to 16 bits
    std::array<int32_t, 17> offset;             // by length: index of a symbol minus its code
    std::array<uint16_t, 256> code;
    std::array<uint8_t, 256> length;  // 0: the symbol has no code

    bool defined() const { return !body.empty(); }

    // Take `counts[16]` and the symbols behind it; false for counts that are no prefix code.
    bool define(const uint8_t *counts, const uint8_t *symbols, int total) {
        body.assign(reinterpret_cast<const char *>(counts), 16);
        body.append(reinterpret_cast<const char *>(symbols), static_cast<size_t>(total));
        fast.fill(0);
        code.fill(0);
        length.fill(0);
        last.fill(0);
        int next = 0, index = 0;
        for (int bits = 1; bits <= 16; ++bits) {
            offset[bits] = index - next;
            for (int i = 0; i < counts[bits - 1]; ++i, ++index, ++next) {
                if (next >= 1 << bits) return false;
                const uint8_t symbol = symbols[index];
                code[symbol] = static_cast<uint16_t>(next);
                length[symbol] = static_cast<uint8_t>(bits);
                if (bits > FAST_BITS) continue;
                const int first = next << (FAST_BITS - bits);
                for (int j = 0; j < 1 << (FAST_BITS - bits); ++j)
                    fast[first + j] = static_cast<uint16_t>(bits << 8 | symbol);
            }
            last[bits] = next << (16 - bits);
            next <<= 1;
        }
        last[17] = 1 << 16;
        return true;
    }
};

// The bits of a scan; stuffed zeros are taken out, and it stops at the first marker.
class BitReader {
  public:
    BitReader(const uint8_t *data, size_t size) : data_(data), size_(size) {}

    // Make at least 32 bits available; beyond the marker they are zeros, and `overrun` tells.
    void fill() {
        while (have_ <= 56) {
            uint64_t byte = 0;
            if (at_ < size_ && data_[at_] != 0xFF) {
                byte = data_[at_++];
            } else if (at_ + 1 < size_ && data_[at_ + 1] == 0) {
                byte = 0xFF;
                at_ += 2;
            } else {
                invented_ += 8;
            }
            bits_ |= byte << (56 - have_);
            have_ += 8;
        }
    }
    uint32_t peek(int count) const { return static_cast<uint32_t>(bits_ >> 32) >> (32 - count); }  // 1 to 32
    void skip(int count) {
        bits_ <<= count;
        have_ -= count;
    }
    bool overrun() const { return invented_ > have_; }

    // Forget the rest of the entropy-coded segment; return the marker behind it, or -1.
    int marker() {
        bits_ = 0;
        have_ = invented_ = 0;
        for (; at_ + 1 < size_; ++at_)
            if (data_[at_] == 0xFF && data_[at_ + 1] != 0 && data_[at_ + 1] != 0xFF) {
                at_ += 2;
                return data_[at_ - 1];
            }
        return -1;
    }

    // The next symbol, or -1 where the bits are no code. Needs 16 bits.
    int symbol(const HuffmanTable &table) {
        const uint32_t next = peek(16);
        if (const uint16_t hit = table.fast[next >> (16 - HuffmanTable::FAST_BITS)]) {
            skip(hit >> 8);
            return hit & 0xFF;
        }
        int bits = HuffmanTable::FAST_BITS + 1;
        while (bits <= 16 && static_cast<int32_t>(next) >= table.last[bits]) ++bits;
        if (bits > 16) return -1;
        skip(bits);
        const int index = static_cast<int>(next >> (16 - bits)) + table.offset[bits];
        if (index < 0 || static_cast<size_t>(index) + 16 >= table.body.size()) return -1;
        return static_cast<uint8_t>(table.body[16 + static_cast<size_t>(index)]);
    }

  private:
    const uint8_t *data_;
    size_t size_, at_ = 0;
    uint64_t bits_ = 0;
    int have_ = 0, invented_ = 0;
};

class BitWriter {
  public:
    explicit BitWriter(std::string *out) : out_(out) {}

    void put(uint32_t value, int count) {  // at most 32
        bits_ |= static_cast<uint64_t>(value) << (64 - have_ - count);
        have_ += count;
        if (have_ >= 32) drain();
    }
    // End the entropy-coded segment with ones, as T.81 F.1.2.3 asks, and a marker.
    void marker(uint8_t code) {
        if (const int loose = have_ & 7) put((1u << (8 - loose)) - 1, 8 - loose);
        drain();
        out_->push_back('\xFF');
        out_->push_back(static_cast<char>(code));
    }

  private:
    void drain() {
        for (; have_ >= 8; have_ -= 8, bits_ <<= 8) {
            const char byte = static_cast<char>(bits_ >> 56);
            out_->push_back(byte);
            if (byte == '\xFF') out_->push_back('\0');
        }
    }

    std::string *out_;
    uint64_t bits_ = 0;
    int have_ = 0;
};

}  // namespace unetfast
#endif
