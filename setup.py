"""Build of the C++ extension; everything else is in pyproject.toml."""

from glob import glob

from pybind11.setup_helpers import ParallelCompile, Pybind11Extension, build_ext
from setuptools import setup

ParallelCompile("NPY_NUM_BUILD_JOBS").install()

# Never -march=native: the kernel chooses its instruction set at run time (csrc/median.h).
# GCC and Clang: the kernel uses their vector types, which MSVC lacks.
flags = ["-O3", "-fvisibility=hidden", "-pthread"]

setup(
    ext_modules=[
        Pybind11Extension(
            "unetfast._native",
            sorted(glob("csrc/*.cpp")),
            depends=sorted(glob("csrc/*.h")),
            include_dirs=["csrc"],
            cxx_std=17,
            extra_compile_args=flags,
            extra_link_args=["-pthread"],
        )
    ],
    cmdclass={"build_ext": build_ext},
)
