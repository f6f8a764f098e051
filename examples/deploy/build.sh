#!/bin/sh
# Build a C++ example against the runtime that pip installed: sh build.sh onnxruntime|openvino [OUTPUT]
#
# OpenVINO's headers come with it. onnxruntime's are those of its releases: give their folder as ONNXRUNTIME_INCLUDE.
# Without it they are taken from an npm package that carries them. PYTHON: the interpreter that has the runtime.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
runtime=$1 output=${2:-fuse_$1} python=${PYTHON:-python3}
package=$($python -c "import importlib.util as u, sys; print(u.find_spec(sys.argv[1]).submodule_search_locations[0])" "$runtime")
case $runtime in
onnxruntime)
    include=${ONNXRUNTIME_INCLUDE:-} libraries=$package/capi
    if [ -z "$include" ]; then
        cache=$(mktemp -d)
        trap 'rm -rf "$cache"' EXIT
        (cd "$cache" && npm pack --silent com.github.asus4.onnxruntime && tar xzf ./*.tgz) >/dev/null
        include=$(dirname "$(find "$cache" -name onnxruntime_cxx_api.h | head -n 1)")
    fi
    ;;
openvino) include=$package/include libraries=$package/libs ;;
*) echo "usage: build.sh onnxruntime|openvino [OUTPUT]" >&2 && exit 2 ;;
esac
library=$(find "$libraries" -name "lib$runtime.so*" | head -n 1)
${CXX:-g++} -std=c++17 -O2 -Wall -Wextra -isystem "$include" "$here/fuse_$runtime.cpp" "$library" \
    -Wl,-rpath,'$ORIGIN',-rpath,"$libraries",-rpath-link,"$libraries" -o "$output"
# The loader asks for the short name of the library, and pip installs it by the long one alone.
wanted=$(objdump -p "$output" | sed -n "s/^ *NEEDED *\(lib$runtime\.so[^ ]*\)/\1/p")
[ -e "$libraries/$wanted" ] || ln -sf "$library" "$(dirname "$output")/$wanted"
