// The JPEG splicer on damaged files, for the sanitizers (tools/sanitize_kernel.sh).
//     test_splice CASES FILE.jpg...
// What it computes is tested from Python, against libjpeg (tests/test_imaging_jpeg.py).
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>

#include "jpeg_splice.h"

using namespace unetfast;

int main(int argc, char **argv) {
    const int cases = argc > 1 ? std::atoi(argv[1]) : 0;
    std::mt19937 random(1);
    long outcomes[4] = {};
    for (int i = 2; i < argc; ++i) {
        std::ifstream file(argv[i], std::ios::binary);
        const std::vector<uint8_t> whole((std::istreambuf_iterator<char>(file)), {});
        std::vector<int32_t> rows, columns;
        std::vector<int16_t> values;
        for (int n = 0; n < 20; ++n) {
            rows.push_back(static_cast<int32_t>(random() % 16));
            columns.push_back(static_cast<int32_t>(random() % 16));
            for (int k = 0; k < 64; ++k)
                values.push_back(random() % 4 ? int16_t{0} : static_cast<int16_t>(random() % 2047 - 1023));
        }
        std::vector<NewBlocks> some(3, {rows.data(), columns.data(), values.data(), rows.size()});
        std::string tables, scan;
        // Annex K's tables, as this file holds them, if it was not optimised.
        std::string spare;
        for (size_t at = 2; at + 4 < whole.size() && whole[at] == 0xFF && whole[at + 1] != 0xDA;) {
            const size_t length = static_cast<size_t>(whole[at + 2] << 8 | whole[at + 3]);
            if (whole[at + 1] == 0xC4) spare.append(whole.begin() + at + 4, whole.begin() + at + 2 + length);
            at += 2 + length;
        }
        SpliceStatus first = splice_jpeg(whole.data(), whole.size(), spare, some, &tables, &scan);
        if (first == SPLICE_BAD_ARGUMENT) {  // a grey file
            some.resize(1);
            first = splice_jpeg(whole.data(), whole.size(), spare, some, &tables, &scan);
        }
        if (first != SPLICE_OK) {
            std::fprintf(stderr, "%s: not spliced (%d)\n", argv[i], first);
            return 1;
        }
        for (int n = 0; n < cases; ++n) {
            std::vector<uint8_t> data = whole;
            for (unsigned hits = random() % 6 + 1; hits; --hits) {
                // half of the damage to the headers, which are a small part of a file
                const size_t reach = random() % 2 ? data.size() : std::min<size_t>(data.size(), 700);
                data[random() % reach] = static_cast<uint8_t>(random());
            }
            if (random() % 3 == 0) data.resize(random() % data.size());
            data.shrink_to_fit();  // so that a read beyond the end is seen
            ++outcomes[splice_jpeg(data.data(), data.size(), spare, some, &tables, &scan)];
        }
    }
    std::printf("splice: %ld written, %ld unsupported, %ld damaged, %ld bad argument\n", outcomes[0], outcomes[1],
                outcomes[2], outcomes[3]);
    return 0;
}
