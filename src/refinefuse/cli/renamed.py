"""Options of version 0.1 that have another name now: the old one is answered with the new one."""

RENAMED = {
    "--explain": "--weight-map", "--sheet": "--montage", "--every": "--frame-stride", "--suv": "--suv-range",
    "--range-each": "--range-per-image", "--white-hot": "--polarity white-hot", "--black-hot": "--polarity black-hot",
    "--model": "--transform-type", "--coverage": "--valid-mask", "--jobs": "--num-workers",
    "--workers": "--num-workers", "--data": "--data-root", "--rounds": "--repeats", "--calibrate": "--reference",
    "--int8": "--precision int8", "--calibration": "--calibration-data", "--val": "--val-fraction",
    "--test": "--test-fraction", "--scene": "--scene-regex",
}  # fmt: skip
