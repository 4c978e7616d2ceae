// The benchmark of single kernels: the convolutions and the norm block of a network, one thread.

#include <torch/autograd.h>

#include <cstdio>

#include "apps/bench.h"
#include "apps/command_line.h"
#include "backbones/kernels/atom_maps.h"
#include "backbones/kernels/conv2d.h"
#include "meta/cost.h"

namespace fewatoms {
namespace {

/// A forward pass, and one with the gradients after it.
struct Passes {
  Timing forward, both;

  BenchResult json() const {
    return {{"forward_ms", 1e3 * forward.median()}, {"forward_backward_ms", 1e3 * both.median()}};
  }
};

/// Times y = f() alone, and with the gradient of sum(u y) by `inputs`.
template <class F>
Passes time_passes(int repeat, const std::vector<Tensor>& inputs, F f) {
  Tensor u;
  {
    at::NoGradGuard no_graph;
    u = at::rand_like(f());
  }
  Passes passes;
  for (int i = -1; i < repeat; ++i) {  // the first is a warm-up
    const double forward = seconds_of([&] {
      at::NoGradGuard no_graph;
      f();
    });
    const double both = seconds_of([&] { torch::autograd::grad({f()}, inputs, {u}); });
    if (i < 0) continue;
    passes.forward.seconds.push_back(forward);
    passes.both.seconds.push_back(both);
  }
  return passes;
}

Tensor images(int64_t n, int64_t channels, int64_t size) {
  return at::rand({n, channels, size, size}).contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace

BenchResult bench_kernels(const BenchOptions& o) {
  const double peak = o.machine.one.gflops;
  BenchResult rows = BenchResult::array();
  std::printf(
      "one thread; convolution with gradients by kernel and, behind the stem, input; two-stage with frozen "
      "coefficients, GFLOP/s of both by the\n"
      "composed kernel's count; maps: atoms on mixed maps that are there already, with the gradient by atoms; ratios: "
      "to the convolution, forward and with gradients\n");
  std::printf("%5s %4s %4s %6s | %9s %8s %6s %9s %8s %6s | %2s %9s %9s %6s %6s | %9s %9s %6s %6s | %9s %6s %9s %6s\n",
              "width", "in", "size", "images", "fwd ms", "GFLOP/s", "peak", "+bwd ms", "GFLOP/s", "peak", "M",
              "two fwd", "+bwd ms", "ratio", "ratio", "maps fwd", "+bwd ms", "ratio", "ratio", "norm fwd", "GB/s",
              "+bwd ms", "GB/s");
  with_threads(1, [&] {
    at::AutoGradMode grad_mode(true);
    for (const int width : o.widths) {
      NetworkOptions network = o.settings.learner.network;
      network.width = width;
      Schema unused;
      const std::vector<ConvLayer> layers = make_backbone(network, unused)->layers();
      for (size_t block = 0; block < layers.size(); ++block)
        for (const int64_t n : {5, 25, 75}) {
          const ConvLayer& layer = layers[block];
          const bool stem = layer.stem, plain = stays_plain(layer, {.kind = "acdc"});
          const Tensor x = images(n, layer.in, layer.size).requires_grad_(!stem);
          const Tensor w = at::randn({layer.out, layer.in, layer.kernel, layer.kernel}).requires_grad_(true);
          const double gflop = 2e-9 * static_cast<double>(n * layer.multiply_adds());
          const std::vector<Tensor> inputs = stem ? std::vector<Tensor>{w} : std::vector<Tensor>{x, w};
          const Passes conv = time_passes(o.repeat, inputs, [&] { return conv2d(x, w, layer.stride, layer.padding); });
          const double forward = gflop / conv.forward.median(), both = gflop * (stem ? 2 : 3) / conv.both.median();

          const Tensor map = images(n, layer.out, layer.out_size()).requires_grad_(true);
          const Tensor scale = at::ones({layer.out}).requires_grad_(true),
                       shift = at::zeros({layer.out}).requires_grad_(true);
          const Passes norm = time_passes(o.repeat, {map, scale, shift},
                                          [&] { return norm_relu_pool(map, scale, shift, nullptr, nullptr); });
          const double map_gb = 4e-9 * static_cast<double>(map.numel());
          const double norm_forward = 1.25 * map_gb / norm.forward.median();  // reads the map, writes the pooled one
          const double norm_both =
              3.5 * map_gb / norm.both.median();  // and reads both again, writes the map's gradient

          BenchResult row = {{"width", width}, {"in", layer.in},        {"size", layer.size},
                             {"images", n},    {"conv2d", conv.json()}, {"norm_relu_pool", norm.json()}};
          row["conv2d"].update({{"forward_gflops", forward},
                                {"forward_backward_gflops", both},
                                {"forward_share", forward / peak},
                                {"forward_backward_share", both / peak}});
          row["norm_relu_pool"].update({{"forward_gb_per_s", norm_forward}, {"forward_backward_gb_per_s", norm_both}});
          const auto print = [&](const char* atoms, const Passes* two, const Passes* maps) {
            std::printf("%5d %4d %4d %6d | %9.3f %8.1f %6.2f %9.3f %8.1f %6.2f | %2s ", width,
                        static_cast<int>(layer.in), static_cast<int>(layer.size), static_cast<int>(n),
                        1e3 * conv.forward.median(), forward, forward / peak, 1e3 * conv.both.median(), both,
                        both / peak, atoms);
            for (const Passes* passes : {two, maps})
              if (passes != nullptr)
                std::printf("%9.3f %9.3f %6.2f %6.2f | ", 1e3 * passes->forward.median(), 1e3 * passes->both.median(),
                            passes->forward.median() / conv.forward.median(),
                            passes->both.median() / conv.both.median());
              else
                std::printf("%9s %9s %6s %6s | ", "", "", "", "");
            std::printf("%9.3f %6.1f %9.3f %6.1f\n", 1e3 * norm.forward.median(), norm_forward,
                        1e3 * norm.both.median(), norm_both);
          };
          if (plain) print("", nullptr, nullptr);
          for (const int64_t atoms : {3, 6}) {
            if (plain) break;
            const Tensor coefficients = at::randn({layer.out, layer.in, atoms});
            const Tensor psi = at::randn({atoms, layer.kernel, layer.kernel}).requires_grad_(true);
            const Passes two = time_passes(o.repeat, {x, psi}, [&] {
              return two_stage_convolution(x, coefficients, psi, layer.stride, layer.padding);
            });
            const auto add = [&](const std::string& name, const Passes& passes) {
              BenchResult& entry = row[name + "_" + std::to_string(atoms)] = passes.json();
              entry["forward_gflops"] = gflop / passes.forward.median();
              entry["forward_backward_gflops"] = 3 * gflop / passes.both.median();
              entry["forward_ratio"] = passes.forward.median() / conv.forward.median();
              entry["forward_backward_ratio"] = passes.both.median() / conv.both.median();
            };
            add("two_stage", two);
            if (!layer.keeps_size_3x3()) {
              print(std::to_string(atoms).c_str(), &two, nullptr);
              continue;
            }
            const AtomMaps mixed = make_atom_maps(x.detach(), coefficients);
            const Passes maps = time_passes(o.repeat, {psi}, [&] { return apply_atoms(mixed, psi); });
            add("maps", maps);
            print(std::to_string(atoms).c_str(), &two, &maps);
          }
          rows.push_back(std::move(row));
        }
    }
  });
  return {{"shapes", rows}};
}

}  // namespace fewatoms
