#!/bin/sh
# Fuse a first pair: a real one where the datasets are at hand, else one that the package renders itself.
# usage: first_pair.sh DATA OUT   (DATA may be empty)
set -eu
data=$1 out=$2
mkdir -p "$out"
a=$data/RoadScene/test/ir/FLIR_04484.jpg b=$data/RoadScene/test/vi/FLIR_04484.jpg
if [ ! -f "$a" ] || [ ! -f "$b" ]; then
    refinefuse sample "$out/samples" --overwrite
    a=$out/samples/ir/night_street.png b=$out/samples/vi/night_street.png
fi
refinefuse fuse "$a" "$b" -o "$out/fused.png" --montage "$out/montage.png" --weight-map "$out/weight_map.png" --overwrite
echo "Fused '$a' and '$b'. Look at $out/fused.png, and at $out/montage.png for all three side by side."
