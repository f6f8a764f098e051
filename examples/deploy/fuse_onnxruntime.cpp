// Fuse a pair in C++ with onnxruntime.
//
//   refinefuse export infrared-visible-small -o net.onnx --color
//   sh build.sh onnxruntime && ./fuse_onnxruntime net.onnx infrared.pgm visible.ppm fused.ppm
#include <onnxruntime_cxx_api.h>

#include <array>
#include <iostream>

#include "image.hpp"

int main(int argc, char** argv) try {
    if (argc != 5) throw std::runtime_error("usage: fuse_onnxruntime NETWORK INFRARED.pgm VISIBLE.ppm OUTPUT.ppm");
    Ort::Env env(ORT_LOGGING_LEVEL_WARNING, "refinefuse");
    Ort::SessionOptions options;
    options.AddConfigEntry("session.intra_op.allow_spinning", "0");  // leave the processor to others while waiting
    Ort::Session session(env, argv[1], options);

    std::array<Image, 2> sources{read_image(argv[2]), read_image(argv[3])};
    const auto memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);
    std::vector<Ort::Value> inputs;
    for (Image& x : sources) {
        const std::array<int64_t, 4> shape{1, x.channels, x.height, x.width};
        inputs.push_back(
            Ort::Value::CreateTensor<float>(memory, x.planes.data(), x.planes.size(), shape.data(), shape.size()));
    }
    const char* names[] = {"a", "b"};
    const char* results[] = {"fused"};
    auto outputs = session.Run(Ort::RunOptions{}, names, inputs.data(), inputs.size(), results, 1);

    Image fused = sources[1];
    const float* values = outputs[0].GetTensorData<float>();
    fused.planes.assign(values, values + fused.planes.size());
    write_image(argv[4], fused);
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
}
