#!/bin/sh
# Build the kernel's own test (tools/test_kernel.cpp) with a sanitizer and run it on every instruction
# set of this machine; then that of the JPEG splicer (tools/test_splice.cpp) on damaged files.
#     tools/sanitize_kernel.sh                  AddressSanitizer and UndefinedBehaviorSanitizer, as in CI
#     tools/sanitize_kernel.sh thread           ThreadSanitizer
#     tools/sanitize_kernel.sh thread 2000      with so many random cases (default 150)
set -eu
cd "$(dirname "$0")/.."
build=$(mktemp -d)
trap 'rm -rf "$build"' EXIT
sources=$(ls csrc/*.cpp | grep -v bindings.cpp)
sanitizer=${1:-address,undefined}
# -O1 keeps the build short; the lanes are the same code.
for source in $sources tools/test_kernel.cpp tools/test_splice.cpp; do
    echo "$source"
done | xargs -P 2 -I{} sh -c '"${CXX:-c++}" -std=c++17 -O1 -g -fno-omit-frame-pointer -Icsrc \
    -fsanitize="$1" -fno-sanitize-recover=all -c "$2" -o "$3/$(basename "$2" .cpp).o"' sh "$sanitizer" {} "$build"
for test in test_kernel test_splice; do
    objects=$(ls "$build"/*.o | grep -v test_)
    "${CXX:-c++}" -fsanitize="$sanitizer" -pthread $objects "$build/$test.o" -o "$build/$test"
done
for level in scalar avx2 avx512; do
    UNETFAST_ISA=$level "$build/test_kernel" "${2:-150}"
done
"$build/test_splice" "${2:-150}" examples/*.jpg
