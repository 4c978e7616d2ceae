#include "backbones/kernels/norm_relu_pool.h"

#include <torch/autograd.h>

#include "backbones/kernels/loops.h"

namespace fewatoms {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

Tensor image_layout(const Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); }

loops::Shape shape_of(const Tensor& x) { return {x.size(0), x.size(2), x.size(3), x.size(1)}; }

Tensor empty_images(at::IntArrayRef sizes, const Tensor& like, c10::optional<at::ScalarType> type = c10::nullopt) {
  auto options = like.options().memory_format(at::MemoryFormat::ChannelsLast);
  return at::empty(sizes, type ? options.dtype(*type) : options);
}

Tensor empty_sums(int64_t channels) { return at::empty({channels}, at::kDouble); }

/// Gradients that nobody passed down arrive undefined: they are zeros.
Tensor defined_or_zeros(const Tensor& t, at::IntArrayRef sizes, const Tensor& like) {
  return t.defined() ? t : at::zeros(sizes, like.options());
}

void forbid_third_order() {
  TORCH_CHECK(!at::GradMode::is_enabled(), "norm_relu_pool is differentiable to second order, a third was asked for");
}

/// out = a + b*x + scatter(v): the gradient of StatsAndGather by x.
struct ScatterAffine : Function<ScatterAffine> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& v, const Tensor& a, const Tensor& b,
                        const Tensor& index) {
    Tensor out = empty_images(x.sizes(), x);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "scatter_affine", [&] {
      loops::loops<scalar_t>().scatter_affine(shape_of(x), x.data_ptr<scalar_t>(), v.data_ptr<scalar_t>(), index.data_ptr<uint8_t>(),
                            a.data_ptr<scalar_t>(), b.data_ptr<scalar_t>(), out.data_ptr<scalar_t>());
    });
    ctx->save_for_backward({x, b, index});
    return out;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    forbid_third_order();
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &b = saved[1], &index = saved[2];
    const Tensor u = image_layout(grads[0]);
    Tensor dv = empty_images(index.sizes(), x), dx = empty_images(x.sizes(), x);
    Tensor da = empty_sums(x.size(1)), db = empty_sums(x.size(1));
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "scatter_affine_backward", [&] {
      loops::loops<scalar_t>().scatter_affine_backward(shape_of(x), u.data_ptr<scalar_t>(), x.data_ptr<scalar_t>(), index.data_ptr<uint8_t>(),
                                     b.data_ptr<scalar_t>(), dv.data_ptr<scalar_t>(), da.data_ptr<double>(),
                                     db.data_ptr<double>(), dx.data_ptr<scalar_t>());
    });
    return {dx, dv, da.to(x.scalar_type()), db.to(x.scalar_type()), Tensor()};
  }
};

/// x -> (mean, variance, largest element of each 2x2 window after the sign of the scale).
struct StatsAndGather : Function<StatsAndGather> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& sign) {
    const int64_t c = x.size(1);
    const std::vector<int64_t> half = {x.size(0), c, x.size(2) / 2, x.size(3) / 2};
    Tensor pooled = empty_images(half, x), index = empty_images(half, x, at::kByte);
    Tensor sum = empty_sums(c), square_sum = empty_sums(c);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "stats_and_gather", [&] {
      loops::loops<scalar_t>().stats_and_gather(shape_of(x), x.data_ptr<scalar_t>(), sign.data_ptr<scalar_t>(), sum.data_ptr<double>(),
                              square_sum.data_ptr<double>(), pooled.data_ptr<scalar_t>(), index.data_ptr<uint8_t>());
    });
    const double count = static_cast<double>(x.numel() / c);
    Tensor mean = sum / count, variance = (square_sum / count - mean * mean).clamp_min(0);
    mean = mean.to(x.scalar_type());
    variance = variance.to(x.scalar_type());
    ctx->save_for_backward({x, mean, index});
    return {mean, variance, pooled};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &mean = saved[1], &index = saved[2];
    const double count = static_cast<double>(x.numel() / x.size(1));
    const Tensor by_mean = defined_or_zeros(grads[0], mean.sizes(), x), by_variance = defined_or_zeros(grads[1], mean.sizes(), x);
    const Tensor v = image_layout(defined_or_zeros(grads[2], index.sizes(), x));
    const Tensor b = by_variance * (2 / count);
    const Tensor a = by_mean / count - b * mean;
    return {ScatterAffine::apply(x, v, a, b, index), Tensor()};
  }
};

/// (g, p, s) -> gradients of max(0, s*p + t) by p, s and t; y is its value.
struct AffineReluBackward : Function<AffineReluBackward> {
  static variable_list forward(AutogradContext* ctx, const Tensor& g, const Tensor& p, const Tensor& s, const Tensor& y) {
    const int64_t c = p.size(1), rows = p.numel() / c;
    Tensor gp = empty_images(p.sizes(), p), gs = empty_sums(c), gt = empty_sums(c);
    AT_DISPATCH_FLOATING_TYPES(p.scalar_type(), "affine_relu_backward", [&] {
      loops::loops<scalar_t>().affine_relu_backward(rows, c, g.data_ptr<scalar_t>(), p.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(),
                                  s.data_ptr<scalar_t>(), gp.data_ptr<scalar_t>(), gs.data_ptr<double>(),
                                  gt.data_ptr<double>());
    });
    ctx->save_for_backward({g, p, s, y});
    return {gp, gs.to(p.scalar_type()), gt.to(p.scalar_type())};
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    forbid_third_order();
    const auto saved = ctx->get_saved_variables();
    const Tensor &g = saved[0], &p = saved[1], &s = saved[2], &y = saved[3];
    const int64_t c = p.size(1), rows = p.numel() / c;
    const Tensor up = image_layout(defined_or_zeros(grads[0], p.sizes(), p));
    const Tensor us = defined_or_zeros(grads[1], s.sizes(), p).contiguous(), ut = defined_or_zeros(grads[2], s.sizes(), p).contiguous();
    Tensor dg = empty_images(p.sizes(), p), dp = empty_images(p.sizes(), p), ds = empty_sums(c);
    AT_DISPATCH_FLOATING_TYPES(p.scalar_type(), "affine_relu_double_backward", [&] {
      loops::loops<scalar_t>().affine_relu_double_backward(rows, c, up.data_ptr<scalar_t>(), us.data_ptr<scalar_t>(), ut.data_ptr<scalar_t>(),
                                         g.data_ptr<scalar_t>(), p.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(),
                                         s.data_ptr<scalar_t>(), dg.data_ptr<scalar_t>(), dp.data_ptr<scalar_t>(),
                                         ds.data_ptr<double>());
    });
    return {dg, dp, ds.to(p.scalar_type()), Tensor()};
  }
};

/// y = max(0, s*p + t), s and t by channel.
struct AffineRelu : Function<AffineRelu> {
  static Tensor forward(AutogradContext* ctx, const Tensor& p, const Tensor& s, const Tensor& t) {
    Tensor y = empty_images(p.sizes(), p);
    const int64_t c = p.size(1);
    AT_DISPATCH_FLOATING_TYPES(p.scalar_type(), "affine_relu", [&] {
      loops::loops<scalar_t>().affine_relu(p.numel() / c, c, p.data_ptr<scalar_t>(), s.data_ptr<scalar_t>(), t.data_ptr<scalar_t>(),
                         y.data_ptr<scalar_t>());
    });
    ctx->save_for_backward({p, s, y});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    // Whether an output is live is constant: the second derivative must not run through y.
    return AffineReluBackward::apply(image_layout(grads[0]), saved[0], saved[1], saved[2].detach());
  }
};

void require_shapes(const Tensor& x, const Tensor& scale, const Tensor& shift) {
  TORCH_CHECK(x.dim() == 4 && scale.numel() == x.size(1) && shift.numel() == x.size(1), "norm: input ", x.sizes(), ", scale ",
              scale.sizes(), ", shift ", shift.sizes(), " do not fit");
  TORCH_CHECK(x.size(2) >= 2 && x.size(3) >= 2, "2x2 pooling of ", x.size(2), "x", x.size(3), " pixels");
}

/// Batch norm by plain operations.
Tensor normalise(const Tensor& x, const Tensor& scale, const Tensor& shift, const NormStatistics* given, NormStatistics* own) {
  require_shapes(x, scale, shift);
  const auto by_channel = [](const Tensor& t) { return t.view({1, -1, 1, 1}); };
  const Tensor mean = given ? given->mean : x.mean(at::IntArrayRef{0, 2, 3});
  const Tensor centred = x - by_channel(mean);
  const Tensor variance = given ? given->variance : (centred * centred).mean(at::IntArrayRef{0, 2, 3});
  if (own) *own = {mean.detach(), variance.detach()};
  return centred * by_channel(scale * (variance + kNormEpsilon).rsqrt()) + by_channel(shift);
}

}  // namespace

Tensor signs(const Tensor& scale) { return at::where(scale.detach() < 0, -1.0, 1.0).to(scale.scalar_type()); }

Tensor scaled_relu(const Tensor& p, const Tensor& scale, const Tensor& shift, const Tensor& mean, const Tensor& variance) {
  const Tensor s = scale * (variance + kNormEpsilon).rsqrt();
  return AffineRelu::apply(p, s, shift - s * mean);
}

Tensor norm_relu_pool(const Tensor& x, const Tensor& scale, const Tensor& shift, const NormStatistics* given,
                      NormStatistics* own) {
  require_shapes(x, scale, shift);
  const auto outputs = StatsAndGather::apply(image_layout(x), signs(scale));
  // The pooling loop may pass over a NaN, the mean of its channel does not: 0 * mean is 0 or NaN.
  const Tensor mean = given ? given->mean + 0 * outputs[0].detach() : outputs[0];
  const Tensor variance = given ? given->variance : outputs[1];
  if (own) *own = {mean.detach(), variance.detach()};
  return scaled_relu(outputs[2], scale, shift, mean, variance);
}

Tensor norm_relu_pool_reference(const Tensor& x, const Tensor& scale, const Tensor& shift, const NormStatistics* given,
                                NormStatistics* own) {
  return at::max_pool2d(normalise(x, scale, shift, given, own).relu(), {2, 2});
}

Tensor norm_softplus_pool(const Tensor& x, const Tensor& scale, const Tensor& shift, const NormStatistics* given,
                          NormStatistics* own) {
  return at::avg_pool2d(at::softplus(normalise(x, scale, shift, given, own)), {2, 2});
}

}  // namespace fewatoms
