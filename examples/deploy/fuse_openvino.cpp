// Fuse a pair in C++ with OpenVINO.
//
//   refinefuse export infrared-visible-small -o net.onnx --color
//   sh build.sh openvino && ./fuse_openvino net.onnx infrared.pgm visible.ppm fused.ppm
#include <iostream>
#include <openvino/openvino.hpp>

#include "image.hpp"

int main(int argc, char** argv) try {
    if (argc != 5) throw std::runtime_error("usage: fuse_openvino NETWORK INFRARED.pgm VISIBLE.ppm OUTPUT.ppm");
    Image a = read_image(argv[2]), b = read_image(argv[3]);
    const auto shape = [](const Image& x) {
        const auto side = [](int64_t n) { return static_cast<size_t>(n); };
        return ov::Shape{1, side(x.channels), side(x.height), side(x.width)};
    };
    ov::Core core;
    auto model = core.read_model(argv[1]);
    model->reshape({{"a", shape(a)}, {"b", shape(b)}});  // one size computes faster than any size
    auto compiled = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32));
    auto request = compiled.create_infer_request();
    request.set_tensor("a", ov::Tensor(ov::element::f32, shape(a), a.planes.data()));
    request.set_tensor("b", ov::Tensor(ov::element::f32, shape(b), b.planes.data()));
    request.infer();

    const float* values = request.get_tensor("fused").data<float>();
    b.planes.assign(values, values + b.planes.size());
    write_image(argv[4], b);
} catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
}
