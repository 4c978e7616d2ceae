#include "backbones/kernels/conv2d.h"

#include <torch/autograd.h>

#include "backbones/kernels/loops.h"

namespace fewatoms {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

/// Shapes and window of one convolution, carried from function to function.
struct Window {
  int64_t stride = 1;
  int64_t padding = 0;
  std::vector<int64_t> x_sizes, w_sizes;
};

void save(AutogradContext* ctx, const Window& window) {
  ctx->saved_data["stride"] = window.stride;
  ctx->saved_data["padding"] = window.padding;
  ctx->saved_data["x_sizes"] = window.x_sizes;
  ctx->saved_data["w_sizes"] = window.w_sizes;
}

Window load(AutogradContext* ctx) {
  return {ctx->saved_data["stride"].toInt(), ctx->saved_data["padding"].toInt(),
          ctx->saved_data["x_sizes"].toIntVector(), ctx->saved_data["w_sizes"].toIntVector()};
}

Tensor image_layout(const Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); }

/// A 1x1 convolution does not care which pixels are neighbours. LibTorch gives it to oneDNN only for batches of 16 and
/// more: each row counts as an image then.
bool is_mix(const Window& v) { return v.w_sizes[2] == 1 && v.w_sizes[3] == 1 && v.stride == 1 && v.padding == 0; }
Tensor rows_as_images(const Tensor& x) {
  return x.permute({0, 2, 3, 1}).view({x.size(0) * x.size(2), 1, x.size(3), x.size(1)}).permute({0, 3, 1, 2});
}
Tensor images_again(const Tensor& rows, const std::vector<int64_t>& x_sizes) {
  return rows.permute({0, 2, 3, 1}).reshape({x_sizes[0], x_sizes[2], x_sizes[3], -1}).permute({0, 3, 1, 2});
}

/// Convolutions that our own kernels do, in 4/9 of the multiply-adds (loops_winograd.inl); oneDNN does all others.
bool is_winograd(const Window& v) {
  return v.w_sizes[2] == 3 && v.w_sizes[3] == 3 && v.stride == 1 && v.padding == 1 &&
         v.w_sizes[0] >= loops::kLeastChannels && v.w_sizes[1] >= loops::kLeastChannels;
}

/// x [n, in, h, w] to [n, out, h, w] channels last; `backwards` goes from out to in by the transposed kernel.
Tensor winograd(const Tensor& x, const Tensor& kernel, bool backwards) {
  const Tensor w = kernel.contiguous();
  const int64_t out = w.size(backwards ? 1 : 0), in = w.size(backwards ? 0 : 1);
  const loops::ConvShape d{x.size(0), x.size(2), x.size(3), in, out};
  Tensor y = at::empty({d.n, out, d.h, d.w}, x.options().memory_format(at::MemoryFormat::ChannelsLast));
  const Tensor memory = at::empty({d.kernel_numbers() + d.scratch_numbers()}, w.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "winograd", [&] {
    const auto& l = loops::loops<scalar_t>();
    auto* transformed = memory.data_ptr<scalar_t>();
    l.winograd_kernel(in, out, w.data_ptr<scalar_t>(), backwards ? 9 * out : 9, backwards ? 9 : 9 * in, backwards,
                      transformed);
    l.winograd(d, x.data_ptr<scalar_t>(), transformed, y.data_ptr<scalar_t>(), transformed + d.kernel_numbers());
  });
  return y;
}

Tensor winograd_kernel_gradient(const Tensor& x, const Tensor& g) {
  const loops::ConvShape d{x.size(0), x.size(2), x.size(3), x.size(1), g.size(1)};
  Tensor w = at::empty({d.out, d.in, 3, 3}, at::TensorOptions(x.scalar_type()));
  const Tensor memory = at::empty({d.kernel_numbers() + d.scratch_numbers()}, w.options());
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "winograd_kernel_gradient", [&] {
    const auto& l = loops::loops<scalar_t>();
    auto* transformed = memory.data_ptr<scalar_t>();
    l.winograd_kernel_gradient(d, x.data_ptr<scalar_t>(), g.data_ptr<scalar_t>(), transformed,
                               transformed + d.kernel_numbers());
    l.winograd_kernel_adjoint(d.in, d.out, transformed, w.data_ptr<scalar_t>(), 9, 9 * d.in);
  });
  return w;
}

Tensor convolve(const Tensor& x, const Tensor& w, const Window& v) {
  if (is_winograd(v)) return winograd(image_layout(x), w, /*backwards=*/false);
  if (is_mix(v))
    return images_again(at::convolution(rows_as_images(x), w, {}, {1, 1}, {0, 0}, {1, 1}, false, {0, 0}, 1), v.x_sizes);
  return at::convolution(x, w, {}, {v.stride, v.stride}, {v.padding, v.padding}, {1, 1}, false, {0, 0}, 1);
}

/// Gradient by x or by w from the gradient by y. The tensor whose values do not matter is given by its shape alone.
Tensor convolve_backward(const Tensor& g, const Tensor& x, const Tensor& w, const Window& v, bool by_x) {
  if (is_winograd(v))
    return by_x ? winograd(image_layout(g), w, /*backwards=*/true)
                : winograd_kernel_gradient(image_layout(x), image_layout(g));
  const bool mix = is_mix(v);
  auto [gx, gw, gb] = at::convolution_backward(mix ? rows_as_images(g) : g, mix ? rows_as_images(x) : x, w,
                                               /*bias_sizes=*/{}, {v.stride, v.stride}, {v.padding, v.padding}, {1, 1},
                                               false, {0, 0}, 1, {by_x, !by_x, false});
  return !by_x ? gw : mix ? images_again(gx, v.x_sizes) : gx;
}

/// A tensor of the right shape without memory behind its elements.
Tensor shape_of(const std::vector<int64_t>& sizes, const Tensor& like) {
  auto t = at::empty(sizes, like.options().memory_format(at::MemoryFormat::ChannelsLast));
  return t;
}

Tensor input_gradient(const Tensor& g, const Tensor& w, const Window& window);
Tensor weight_gradient(const Tensor& x, const Tensor& g, const Window& window);
Tensor convolution(const Tensor& x, const Tensor& w, const Window& window);

/// y = x * w.
struct Convolution : Function<Convolution> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& w, const Window& window) {
    save(ctx, window);
    ctx->save_for_backward({x, w});
    return convolve(x, w, window);
  }
  static variable_list backward(AutogradContext* ctx, variable_list g) {
    const auto saved = ctx->get_saved_variables();
    const Window window = load(ctx);
    return {ctx->needs_input_grad(0) ? input_gradient(g[0], saved[1], window) : Tensor(),
            ctx->needs_input_grad(1) ? weight_gradient(saved[0], g[0], window) : Tensor(), Tensor()};
  }
};

/// gx = transposed convolution of g by w: linear in g and in w.
struct InputGradient : Function<InputGradient> {
  static Tensor forward(AutogradContext* ctx, const Tensor& g, const Tensor& w, const Window& window) {
    save(ctx, window);
    ctx->save_for_backward({g, w});
    return convolve_backward(g, shape_of(window.x_sizes, g), w, window, /*by_x=*/true);
  }
  static variable_list backward(AutogradContext* ctx, variable_list u) {
    const auto saved = ctx->get_saved_variables();
    const Window window = load(ctx);
    const Tensor ux = image_layout(u[0]);
    return {ctx->needs_input_grad(0) ? convolution(ux, saved[1], window) : Tensor(),
            ctx->needs_input_grad(1) ? weight_gradient(ux, saved[0], window) : Tensor(), Tensor()};
  }
};

/// gw = correlation of x with g: linear in x and in g.
struct WeightGradient : Function<WeightGradient> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& g, const Window& window) {
    save(ctx, window);
    ctx->save_for_backward({x, g});
    return convolve_backward(g, x, shape_of(window.w_sizes, g), window, /*by_x=*/false);
  }
  static variable_list backward(AutogradContext* ctx, variable_list u) {
    const auto saved = ctx->get_saved_variables();
    const Window window = load(ctx);
    return {ctx->needs_input_grad(0) ? input_gradient(saved[1], u[0], window) : Tensor(),
            ctx->needs_input_grad(1) ? convolution(saved[0], u[0], window) : Tensor(), Tensor()};
  }
};

Tensor convolution(const Tensor& x, const Tensor& w, const Window& window) { return Convolution::apply(x, w, window); }
Tensor input_gradient(const Tensor& g, const Tensor& w, const Window& window) {
  return InputGradient::apply(image_layout(g), w, window);
}
Tensor weight_gradient(const Tensor& x, const Tensor& g, const Window& window) {
  return WeightGradient::apply(x, image_layout(g), window);
}

}  // namespace

torch::Tensor conv2d(const torch::Tensor& x, const torch::Tensor& w, int64_t stride, int64_t padding) {
  TORCH_CHECK(x.dim() == 4 && w.dim() == 4 && x.size(1) == w.size(1), "conv2d: input ", x.sizes(), " and kernel ",
              w.sizes(), " do not fit");
  return convolution(image_layout(x), w, {stride, padding, x.sizes().vec(), w.sizes().vec()});
}

}  // namespace fewatoms
