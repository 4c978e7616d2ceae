#include "backbones/standard_form.h"

#include "tests/testing.h"

namespace fewatoms {
namespace {

struct Case {
  std::string backbone;
  ConvOptions conv;
};

// The plain network with these kernels computes the same features.
TEST(StandardForm, APlainNetworkOfItComputesTheSame) {
  ConvOptions acdc{.kind = "acdc"}, layer = acdc, grouped = acdc;
  layer.sharing = "layer";
  layer.decompose_stem = true;
  grouped.group = 4;
  for (const auto& [backbone, conv] :
       {Case{"conv4", {}}, Case{"conv4", acdc}, Case{"conv4", layer}, Case{"conv4", grouped},
        Case{"conv4", {.kind = "separable"}}, Case{"resnet12", acdc}}) {
    SCOPED_TRACE(backbone + " " + conv.kind);
    NetworkOptions options{
        .backbone = backbone, .width = 8, .image_size = 32, .channels = 3, .running_statistics = true, .conv = conv};
    ParameterSet initial, moved, plain_initial, plain_parameters;
    const auto network = make_backbone(options, 1, initial);
    for (const Parameter& p : initial)
      moved.add(p.name, p.tensor + 0.05 * normal_tensor(p.tensor.sizes(), 1, 3, p.name).abs(), p.role);
    const auto form = standard_form(*network, conv, moved);

    options.conv = {};
    const auto plain = make_backbone(options, 2, plain_initial);
    const auto plain_form = standard_form(*plain, {}, plain_initial);
    ASSERT_EQ(form.size(), plain_form.size());
    for (const Parameter& p :
         plain_initial) {  // its own names, by the form of the plain network: tensors are the same objects there
      const Tensor* given = nullptr;
      for (const auto& [name, tensor] : plain_form)
        if (tensor.data_ptr() == p.tensor.data_ptr()) given = &form.at(name);
      ASSERT_NE(given, nullptr) << p.name;
      ASSERT_EQ(given->sizes(), p.tensor.sizes()) << p.name;
      plain_parameters.add(p.name, *given, p.role);
    }
    const Tensor images = normal_tensor({3, 3, 32, 32}, 1, 5, "images").contiguous(at::MemoryFormat::ChannelsLast);
    at::NoGradGuard no_graph;
    const Tensor a = network->forward(images, moved, NormMode::kRunning).x,
                 b = plain->forward(images, plain_parameters, NormMode::kRunning).x;
    EXPECT_LE((a - b).abs().max().item<double>(), 1e-4 * (1 + b.abs().max().item<double>()));
  }
}

TEST(StandardForm, NamesArePyTorchs) {
  ParameterSet parameters;
  const NetworkOptions options{.width = 8, .image_size = 32, .running_statistics = true, .conv = {.kind = "acdc"}};
  const auto network = make_backbone(options, 1, parameters);
  parameters.add("head.weight", at::zeros({5, 32}), Role::kHead);
  parameters.add("inner_lr", at::zeros({1}), Role::kMeta);
  const auto form = standard_form(*network, options.conv, parameters);
  for (const char* name : {"block1.conv.weight", "block4.conv.weight", "block2.norm.weight", "block2.norm.bias",
                           "block2.norm.running_mean", "block2.norm.running_var", "head.weight"})
    EXPECT_EQ(form.count(name), 1U) << name;
  EXPECT_EQ(form.size(), 4U * 5U + 1U);
}

}  // namespace
}  // namespace fewatoms
