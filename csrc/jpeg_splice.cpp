#include "jpeg_splice.h"

#include <algorithm>
#include <cstdlib>

#include "huffman.h"

namespace unetfast {
namespace {

constexpr uint8_t ZIGZAG[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

struct Tables {
    HuffmanTable slot[2][4];  // DC and AC

    // Take the body of a DHT segment: one or more tables.
    bool define(const uint8_t *body, size_t size) {
        while (size > 0) {
            if (size < 17 || body[0] >> 4 > 1 || (body[0] & 15) > 3) return false;
            int total = 0;
            for (int i = 1; i <= 16; ++i) total += body[i];
            if (total > 256 || size < 17 + static_cast<size_t>(total)) return false;
            if (!slot[body[0] >> 4][body[0] & 15].define(body + 1, body + 17, total)) return false;
            body += 17 + total;
            size -= 17 + static_cast<size_t>(total);
        }
        return true;
    }
};

struct Component {
    int id = 0, across = 1, down = 1;        // sampling factors
    int dc = 0, ac = 0;                      // table slots
    int64_t rows = 0, columns = 0;           // blocks in the scan, the padding of MCUs included
    const int16_t *values = nullptr;         // of the new blocks
    std::vector<int32_t> replaced;           // by block: index into them, or -1
    int before_in = 0, before_out = 0;       // DC predictors
    const HuffmanTable *dc_in = nullptr, *ac_in = nullptr, *dc_out = nullptr, *ac_out = nullptr;
};

struct File {
    Tables tables;
    std::vector<Component> components;
    int64_t mcus_across = 0, mcus_down = 0;
    int restart = 0;
    const uint8_t *sos = nullptr;  // its marker
    const uint8_t *scan = nullptr, *end = nullptr;
};

int word(const uint8_t *at) { return at[0] << 8 | at[1]; }

SpliceStatus read_frame(const uint8_t *body, size_t size, File *file) {
    if (size < 6 || size != 6 + 3u * body[5]) return SPLICE_DAMAGED;
    const int height = word(body + 1), width = word(body + 3), count = body[5];
    if (body[0] != 8 || height == 0 || width == 0 || count < 1 || count > 4) return SPLICE_UNSUPPORTED;
    int across = 1, down = 1;
    file->components.resize(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
        Component &component = file->components[static_cast<size_t>(i)];
        component.id = body[6 + 3 * i];
        component.across = body[7 + 3 * i] >> 4;
        component.down = body[7 + 3 * i] & 15;
        if (component.across < 1 || component.across > 4 || component.down < 1 || component.down > 4)
            return SPLICE_DAMAGED;
        across = std::max(across, component.across);
        down = std::max(down, component.down);
    }
    // A scan of a single component has one block an MCU, whatever its factors (T.81, A.2.2).
    if (count == 1) across = down = file->components[0].across = file->components[0].down = 1;
    file->mcus_across = (width + 8 * across - 1) / (8 * across);
    file->mcus_down = (height + 8 * down - 1) / (8 * down);
    for (Component &component : file->components) {
        component.rows = file->mcus_down * component.down;
        component.columns = file->mcus_across * component.across;
    }
    return SPLICE_OK;
}

SpliceStatus read_scan_header(const uint8_t *body, size_t size, File *file) {
    const size_t count = file->components.size();
    if (count == 0 || size < 1 || size != 4 + 2u * body[0]) return SPLICE_DAMAGED;
    if (body[0] != count || body[1 + 2 * count] != 0 || body[2 + 2 * count] != 63) return SPLICE_UNSUPPORTED;
    for (size_t i = 0; i < count; ++i) {
        Component &component = file->components[i];
        if (body[1 + 2 * i] != component.id) return SPLICE_UNSUPPORTED;
        component.dc = body[2 + 2 * i] >> 4;
        component.ac = body[2 + 2 * i] & 15;
        if (component.dc > 3 || component.ac > 3) return SPLICE_DAMAGED;
        component.dc_in = &file->tables.slot[0][component.dc];
        component.ac_in = &file->tables.slot[1][component.ac];
        if (!component.dc_in->defined() || !component.ac_in->defined()) return SPLICE_UNSUPPORTED;
    }
    return SPLICE_OK;
}

// Read everything up to the first scan.
SpliceStatus read_headers(const uint8_t *source, size_t size, File *file) {
    size_t at = 2;
    while (at + 4 <= size) {
        if (source[at] != 0xFF) return SPLICE_DAMAGED;
        const uint8_t marker = source[at + 1];
        if (marker == 0xFF) {  // a fill byte
            ++at;
            continue;
        }
        if (marker == 0x01 || (marker >= 0xD0 && marker <= 0xD7)) {
            at += 2;
            continue;
        }
        const size_t length = static_cast<size_t>(word(source + at + 2));
        if (length < 2 || at + 2 + length > size) return SPLICE_DAMAGED;
        const uint8_t *body = source + at + 4;
        SpliceStatus status = SPLICE_OK;
        if (marker == 0xC4) {
            if (!file->tables.define(body, length - 2)) return SPLICE_DAMAGED;
        } else if (marker == 0xC0 || marker == 0xC1) {
            status = read_frame(body, length - 2, file);
        } else if (marker >= 0xC2 && marker <= 0xCF && marker != 0xC8) {
            return SPLICE_UNSUPPORTED;  // progressive, lossless, arithmetic
        } else if (marker == 0xDD) {
            if (length != 4) return SPLICE_DAMAGED;
            file->restart = word(body);
        } else if (marker == 0xDA) {
            file->sos = source + at;
            file->scan = body + length - 2;
            file->end = source + size;
            return read_scan_header(body, length - 2, file);
        } else if (marker == 0xD8 || marker == 0xD9) {
            return SPLICE_DAMAGED;
        }
        if (status != SPLICE_OK) return status;
        at += 2 + length;
    }
    return SPLICE_DAMAGED;
}

// Remember which blocks are new; false for one that is outside the picture.
bool index_blocks(const NewBlocks &blocks, Component *component) {
    component->values = blocks.values;
    if (blocks.count == 0) return true;
    component->replaced.assign(static_cast<size_t>(component->rows * component->columns), -1);
    for (size_t i = 0; i < blocks.count; ++i) {
        const int64_t row = blocks.rows[i], column = blocks.columns[i];
        if (row < 0 || row >= component->rows || column < 0 || column >= component->columns) return false;
        component->replaced[static_cast<size_t>(row * component->columns + column)] = static_cast<int32_t>(i);
    }
    return true;
}

// A number as JPEG codes it: its category, and that many bits (T.81, F.1.2.1).
int category_of(int value) {
    int count = 0;
    for (int rest = std::abs(value); rest; rest >>= 1) ++count;
    return count;
}
uint32_t bits_of(int value, int category) {
    return static_cast<uint32_t>(value < 0 ? value - 1 : value) & ((1u << category) - 1);
}

// One pass over the scan. A code that the tables out lack ends it with the slot in `missing`.
class Pass {
  public:
    Pass(File *file, std::string *out)
        : file_(file), reader_(file->scan, static_cast<size_t>(file->end - file->scan)), writer_(out) {}

    const HuffmanTable *missing = nullptr;

    SpliceStatus run() {
        int64_t mcu = 0;
        for (Component &component : file_->components) component.before_in = component.before_out = 0;
        for (int64_t y = 0; y < file_->mcus_down; ++y)
            for (int64_t x = 0; x < file_->mcus_across; ++x, ++mcu) {
                if (file_->restart && mcu && mcu % file_->restart == 0 && !restart(mcu)) return SPLICE_DAMAGED;
                for (Component &component : file_->components)
                    for (int i = 0; i < component.across * component.down; ++i)
                        if (!block(&component, y * component.down + i / component.across,
                                   x * component.across + i % component.across))
                            return missing ? SPLICE_OK : SPLICE_DAMAGED;
            }
        if (reader_.overrun()) return SPLICE_DAMAGED;
        const int next = reader_.marker();
        if (next != 0xD9) return next < 0 ? SPLICE_DAMAGED : SPLICE_UNSUPPORTED;  // more scans
        writer_.marker(0xD9);
        return SPLICE_OK;
    }

  private:
    bool restart(int64_t mcu) {
        const auto wanted = static_cast<uint8_t>(0xD0 + (mcu / file_->restart - 1) % 8);
        if (reader_.overrun() || reader_.marker() != wanted) return false;
        writer_.marker(wanted);
        for (Component &component : file_->components) component.before_in = component.before_out = 0;
        return true;
    }

    bool block(Component *component, int64_t row, int64_t column) {
        const int32_t index =
            component->replaced.empty() ? -1 : component->replaced[static_cast<size_t>(row * component->columns + column)];
        const int16_t *fresh = index < 0 ? nullptr : component->values + 64 * static_cast<ptrdiff_t>(index);
        if (reader_.overrun()) return false;
        reader_.fill();
        const int category = reader_.symbol(*component->dc_in);
        if (category < 0 || category > 15) return false;
        int value = component->before_in;
        if (category) {
            const int bits = static_cast<int>(reader_.peek(category));
            reader_.skip(category);
            value += bits >> (category - 1) ? bits : bits - (1 << category) + 1;
        }
        component->before_in = value;
        if (fresh) value = fresh[0];
        const int difference = value - component->before_out;
        component->before_out = value;
        const int size = category_of(difference);
        if (size > 15 || !put(*component->dc_out, size, bits_of(difference, size), size)) return false;
        return fresh ? pass_over(*component->ac_in) && write(*component->ac_out, fresh)
                     : copy(*component->ac_in, *component->ac_out);
    }

    bool put(const HuffmanTable &table, int symbol, uint32_t bits, int count) {
        const int length = table.length[static_cast<size_t>(symbol)];
        if (length == 0) {
            missing = &table;
            return false;
        }
        writer_.put(static_cast<uint32_t>(table.code[static_cast<size_t>(symbol)]) << count | bits, length + count);
        return true;
    }

    // Go through the AC symbols of a block; hand each, with its bits, to `use`.
    template <class Use>
    bool symbols(const HuffmanTable &table, Use use) {
        for (int k = 1; k < 64; ++k) {
            reader_.fill();
            const int symbol = reader_.symbol(table);
            if (symbol < 0) return false;
            const int run = symbol >> 4, size = symbol & 15;
            uint32_t bits = 0;
            if (size) {
                bits = reader_.peek(size);
                reader_.skip(size);
            } else if (run != 0 && run != 15) {
                return false;
            }
            if (!use(symbol, bits, size)) return false;
            if (symbol == 0) break;
            k += run;
            if (k > 63) return false;
        }
        return true;
    }
    bool copy(const HuffmanTable &in, const HuffmanTable &out) {
        return symbols(in, [&](int symbol, uint32_t bits, int size) { return put(out, symbol, bits, size); });
    }
    bool pass_over(const HuffmanTable &in) {
        return symbols(in, [](int, uint32_t, int) { return true; });
    }

    bool write(const HuffmanTable &table, const int16_t *values) {
        int run = 0;
        for (int k = 1; k < 64; ++k) {
            const int value = values[ZIGZAG[k]];
            if (value == 0) {
                ++run;
                continue;
            }
            for (; run > 15; run -= 16)
                if (!put(table, 0xF0, 0, 0)) return false;
            const int size = category_of(value);
            if (size > 15 || !put(table, run << 4 | size, bits_of(value, size), size)) return false;
            run = 0;
        }
        return run == 0 || put(table, 0, 0, 0);
    }

    File *file_;
    BitReader reader_;
    BitWriter writer_;
};

}  // namespace

SpliceStatus splice_jpeg(const uint8_t *source, size_t size, const std::string &spare,
                         const std::vector<NewBlocks> &blocks, std::string *tables, std::string *scan) {
    File file;
    if (const SpliceStatus status = read_headers(source, size, &file)) return status;
    if (blocks.size() != file.components.size()) return SPLICE_BAD_ARGUMENT;
    for (size_t i = 0; i < blocks.size(); ++i)
        if (!index_blocks(blocks[i], &file.components[i])) return SPLICE_BAD_ARGUMENT;
    Tables other;
    if (!other.define(reinterpret_cast<const uint8_t *>(spare.data()), spare.size())) return SPLICE_BAD_ARGUMENT;
    for (Component &component : file.components) {
        component.dc_out = component.dc_in;
        component.ac_out = component.ac_in;
    }
    tables->clear();
    const std::string header(reinterpret_cast<const char *>(file.sos), static_cast<size_t>(file.scan - file.sos));
    for (;;) {
        *scan = header;
        scan->reserve(header.size() + static_cast<size_t>(file.end - file.scan) + 65536);
        Pass pass(&file, scan);
        const SpliceStatus status = pass.run();
        if (!pass.missing) return status;
        // Once a slot: a code that the spare table lacks too is one that no 8-bit JPEG has.
        bool exchanged = false;
        for (int kind = 0; kind < 2; ++kind)
            for (int slot = 0; slot < 4; ++slot) {
                const HuffmanTable &better = other.slot[kind][slot ? 1 : 0];
                if (pass.missing != &file.tables.slot[kind][slot] || !better.defined()) continue;
                for (Component &component : file.components) {
                    if (kind == 0 && component.dc == slot) component.dc_out = &better;
                    if (kind == 1 && component.ac == slot) component.ac_out = &better;
                }
                tables->push_back(static_cast<char>(kind << 4 | slot));
                tables->append(better.body);
                exchanged = true;
            }
        if (!exchanged) return SPLICE_DAMAGED;
    }
}

}  // namespace unetfast
