// The only file that knows Python: checks layout, releases the GIL, turns error codes into exceptions.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <stdexcept>
#include <string>
#include <vector>

#include "jpeg_splice.h"
#include "median.h"

namespace py = pybind11;

namespace {

int sample_type_of(const py::array &image) {
    if (image.dtype().equal(py::dtype::of<uint8_t>())) return UNETFAST_UINT8;
    if (image.dtype().equal(py::dtype::of<uint16_t>())) return UNETFAST_UINT16;
    if (image.dtype().equal(py::dtype::of<float>())) return UNETFAST_FLOAT32;
    throw std::invalid_argument("image must be uint8, uint16 or float32");
}

// (H, W, C) with samples and pixels packed; rows may be apart.
void check_layout(const py::array &image, const char *name) {
    if (image.ndim() != 3) throw std::invalid_argument(std::string(name) + " must be (H, W, C)");
    const py::ssize_t sample = image.itemsize();
    const bool packed = (image.shape(2) == 1 || image.strides(2) == sample) &&
                        (image.shape(1) == 1 || image.strides(1) == sample * image.shape(2));
    if (!packed) throw std::invalid_argument(std::string(name) + " must have packed rows");
}

void inpaint_median(const py::array &image, const py::array &mask, py::array out, py::ssize_t window_px,
                    py::ssize_t dilate_px, int threads) {
    check_layout(image, "image");
    check_layout(out, "out");
    if (!out.dtype().equal(image.dtype())) throw std::invalid_argument("out must have the image's dtype");
    for (int axis = 0; axis < 3; ++axis)
        if (out.shape(axis) != image.shape(axis))
            throw std::invalid_argument("out must have the image's shape");
    if (mask.ndim() != 2 || mask.itemsize() != 1 || mask.shape(0) != image.shape(0) ||
        mask.shape(1) != image.shape(1) || (mask.shape(1) > 1 && mask.strides(1) != 1))
        throw std::invalid_argument("mask must be (H, W), one byte per pixel, with packed rows");

    unetfast_inpaint_job job{};
    job.source = image.data();
    job.source_row_bytes = image.strides(0);
    job.target = out.mutable_data();  // throws for a read-only array
    job.target_row_bytes = out.strides(0);
    job.mask = static_cast<const uint8_t *>(mask.data());
    job.mask_row_bytes = mask.strides(0);
    job.height = image.shape(0);
    job.width = image.shape(1);
    job.channels = static_cast<int>(image.shape(2));
    job.sample_type = sample_type_of(image);
    job.window_px = window_px;
    job.dilate_px = dilate_px;
    job.threads = threads;

    int status;
    {
        py::gil_scoped_release release;
        status = unetfast_inpaint_median(&job);
    }
    switch (status) {
        case UNETFAST_OK: return;
        case UNETFAST_NO_INTACT_PIXEL:
            throw std::invalid_argument("every pixel is masked: there is nothing to take a median of");
        case UNETFAST_NO_MEMORY: throw std::bad_alloc();
        case UNETFAST_UNKNOWN_ISA:
            throw std::runtime_error("UNETFAST_ISA names an instruction set that this machine lacks");
        default: throw std::invalid_argument("the kernel refused its arguments");
    }
}

std::string isa() {
    const char *name = unetfast_isa();
    if (!name) throw std::runtime_error("UNETFAST_ISA names an instruction set that this machine lacks");
    return name;
}

using Rows = py::array_t<int32_t, py::array::c_style>;
using Values = py::array_t<int16_t, py::array::c_style>;

py::tuple splice_jpeg(const py::bytes &source, const py::bytes &spare,
                      const std::vector<std::tuple<Rows, Rows, Values>> &blocks) {
    std::vector<unetfast::NewBlocks> given;
    for (const auto &[rows, columns, values] : blocks) {
        const py::ssize_t count = rows.size();
        if (columns.size() != count || values.size() != 64 * count)
            throw std::invalid_argument("each block needs a row, a column and 64 values");
        given.push_back({rows.data(), columns.data(), values.data(), static_cast<size_t>(count)});
    }
    const std::string_view file(source);
    const std::string other(spare);
    std::string tables, scan;
    unetfast::SpliceStatus status;
    {
        py::gil_scoped_release release;
        status = unetfast::splice_jpeg(reinterpret_cast<const uint8_t *>(file.data()), file.size(), other, given,
                                       &tables, &scan);
    }
    switch (status) {
        case unetfast::SPLICE_OK: return py::make_tuple(py::bytes(tables), py::bytes(scan));
        case unetfast::SPLICE_UNSUPPORTED: throw py::value_error("not one sequential Huffman-coded scan");
        case unetfast::SPLICE_DAMAGED: throw py::value_error("the scan is damaged");
        default: throw std::invalid_argument("a block lies outside the picture");
    }
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "C++ kernels of unetfast.";
    module.def("inpaint_median", &inpaint_median, py::arg("image"), py::arg("mask"), py::arg("out"),
               py::arg("window_px"), py::arg("dilate_px"), py::arg("threads"),
               "Fill the masked pixels of image (H, W, C) into out; see csrc/median.h for the definition.");
    module.def("splice_jpeg", &splice_jpeg, py::arg("source"), py::arg("spare"), py::arg("blocks"),
               "Replace 8x8 blocks of a JPEG: (DHT body to add, scan); see csrc/jpeg_splice.h.");
    module.def("isa", &isa, "The instruction set in use: scalar, avx2 or avx512.");
}
