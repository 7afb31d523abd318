// Replaces single 8x8 blocks of a sequential Huffman-coded JPEG; every other block keeps its bits.
//
// What it does. The scan is read symbol by symbol (ITU-T T.81, F.2.2) and written again with the
// same Huffman codes: an untouched block's AC symbols come out as they are, its DC difference is
// coded anew only where the block before it was replaced. Nothing is dequantised, so that no
// coefficient outside the given blocks can change. Restart intervals are kept.
//
// Which files. One scan of all components, 8 bits, baseline or extended sequential (SOF0, SOF1).
// Others (progressive, arithmetic, several scans) are refused before anything is written.
//
// Huffman tables. A file with optimised tables may lack a code that a new block needs; then that
// one table gives way to the `spare` one in the same slot (T.81's Annex K has every code), which
// is returned in `tables` and must stand after the file's own.
//
// Trust. `source` is foreign input: every read is checked, and damage is SPLICE_DAMAGED.
#ifndef UNETFAST_JPEG_SPLICE_H
#define UNETFAST_JPEG_SPLICE_H

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace unetfast {

enum SpliceStatus { SPLICE_OK, SPLICE_UNSUPPORTED, SPLICE_DAMAGED, SPLICE_BAD_ARGUMENT };

// The new blocks of one component.
struct NewBlocks {
    const int32_t *rows, *columns;  // in blocks of 8x8 samples of this component
    const int16_t *values;          // quantised coefficients, 64 a block, row by row (not zigzag)
    size_t count;
};

// What follows the headers of `source`, from its SOS marker to EOI, goes to `scan`; the body of a
// DHT segment that must stand before it, mostly empty, to `tables`. `spare` is such a body too.
SpliceStatus splice_jpeg(const uint8_t *source, size_t size, const std::string &spare,
                         const std::vector<NewBlocks> &blocks, std::string *tables, std::string *scan);

}  // namespace unetfast
#endif
