// Binary PGM and PPM files of 8 bits as planes of float in [0, 1]: enough for the examples, without a library.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

struct Image {
    int64_t channels = 0, height = 0, width = 0;
    std::vector<float> planes;  // channels x height x width
};

inline Image read_image(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    int maximum = 0;
    Image image;
    file >> kind >> image.width >> image.height >> maximum;
    file.get();  // the one space before the pixels
    if (!file || (kind != "P5" && kind != "P6") || maximum != 255 || image.width < 1 || image.height < 1)
        throw std::runtime_error(path + " is not a binary PGM or PPM file of 8 bits without comments");
    image.channels = kind == "P5" ? 1 : 3;
    const int64_t pixels = image.height * image.width;
    std::vector<uint8_t> bytes(image.channels * pixels);
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file) throw std::runtime_error(path + " ends too early");
    image.planes.resize(bytes.size());
    for (int64_t c = 0; c < image.channels; ++c)
        for (int64_t i = 0; i < pixels; ++i) image.planes[c * pixels + i] = bytes[i * image.channels + c] / 255.0f;
    return image;
}

inline void write_image(const std::string& path, const Image& image) {
    const int64_t pixels = image.height * image.width;
    std::vector<uint8_t> bytes(image.channels * pixels);
    for (int64_t c = 0; c < image.channels; ++c)
        for (int64_t i = 0; i < pixels; ++i)
            bytes[i * image.channels + c] =
                static_cast<uint8_t>(std::floor(std::clamp(image.planes[c * pixels + i], 0.0f, 1.0f) * 255.0f + 0.5f));
    std::ofstream file(path, std::ios::binary);
    file << (image.channels == 1 ? "P5\n" : "P6\n") << image.width << ' ' << image.height << "\n255\n";
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file) throw std::runtime_error("cannot write " + path);
}
