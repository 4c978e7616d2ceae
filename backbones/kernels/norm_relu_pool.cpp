#include "backbones/kernels/norm_relu_pool.h"

#include <torch/autograd.h>
#include <torch/custom_class.h>

#include <algorithm>
#include <cmath>

#include "backbones/kernels/loops.h"

namespace fewatoms {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

Tensor image_layout(const Tensor& t) { return t.contiguous(at::MemoryFormat::ChannelsLast); }

loops::Shape shape_of(const Tensor& x) { return {x.size(0), x.size(2), x.size(3), x.size(1)}; }

Tensor empty_images(at::IntArrayRef sizes, const Tensor& like, at::ScalarType type) {
  return at::empty(sizes, like.options().dtype(type).memory_format(at::MemoryFormat::ChannelsLast));
}
Tensor empty_images(at::IntArrayRef sizes, const Tensor& like) { return empty_images(sizes, like, like.scalar_type()); }

Tensor empty_sums(int64_t channels) { return at::empty({channels}, at::kDouble); }

/// Gradients that nobody passed down arrive undefined: they are zeros.
Tensor defined_or_zeros(const Tensor& t, at::IntArrayRef sizes, const Tensor& like) {
  return t.defined() ? t : at::zeros(sizes, like.options());
}

void forbid_third_order() {
  TORCH_CHECK(!at::GradMode::is_enabled(), "norm_relu_pool is differentiable to second order, a third was asked for");
}

/// (g, p, s) -> gradients of max(0, s*p + t) by p, s and t; y is its value.
struct AffineReluBackward : Function<AffineReluBackward> {
  static variable_list forward(AutogradContext* ctx, const Tensor& g, const Tensor& p, const Tensor& s,
                               const Tensor& y) {
    const int64_t c = p.size(1), rows = p.numel() / c;
    Tensor gp = empty_images(p.sizes(), p), gs = empty_sums(c), gt = empty_sums(c);
    AT_DISPATCH_FLOATING_TYPES(p.scalar_type(), "affine_relu_backward", [&] {
      loops::loops<scalar_t>().affine_relu_backward(
          rows, c, g.data_ptr<scalar_t>(), p.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), s.data_ptr<scalar_t>(),
          gp.data_ptr<scalar_t>(), gs.data_ptr<double>(), gt.data_ptr<double>());
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
    const Tensor us = defined_or_zeros(grads[1], s.sizes(), p).contiguous(),
                 ut = defined_or_zeros(grads[2], s.sizes(), p).contiguous();
    Tensor dg = empty_images(p.sizes(), p), dp = empty_images(p.sizes(), p), ds = empty_sums(c);
    AT_DISPATCH_FLOATING_TYPES(p.scalar_type(), "affine_relu_double_backward", [&] {
      loops::loops<scalar_t>().affine_relu_double_backward(
          rows, c, up.data_ptr<scalar_t>(), us.data_ptr<scalar_t>(), ut.data_ptr<scalar_t>(), g.data_ptr<scalar_t>(),
          p.data_ptr<scalar_t>(), y.data_ptr<scalar_t>(), s.data_ptr<scalar_t>(), dg.data_ptr<scalar_t>(),
          dp.data_ptr<scalar_t>(), ds.data_ptr<double>());
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
      loops::loops<scalar_t>().affine_relu(p.numel() / c, c, p.data_ptr<scalar_t>(), s.data_ptr<scalar_t>(),
                                           t.data_ptr<scalar_t>(), y.data_ptr<scalar_t>());
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

/// Numbers by channel in double, the small algebra between the passes over memory.
using Channels = std::vector<double>;

Channels channels_of(const Tensor& t) {
  const Tensor wide = t.to(at::kDouble).contiguous();
  return {wide.data_ptr<double>(), wide.data_ptr<double>() + wide.numel()};
}

Tensor tensor_of(const Channels& values, const Tensor& like) {
  return at::tensor(values, at::TensorOptions(at::kDouble)).to(like.scalar_type());
}

template <class F>
Channels by_channel(size_t count, F&& f) {
  Channels result(count);
  for (size_t i = 0; i < count; ++i) result[i] = f(i);
  return result;
}

/// What the forward pass leaves for the others. With m the mean, r = 1 / sqrt(variance + epsilon), h the gradient of y
/// where y > 0 and c the scale, the value is y = max(0, c r (p - m) + shift) on what was pooled, p.
struct Statistics {
  Channels mean, rstd, scale;
  double share = 0;  // of one pixel in the statistics: 1 / (N H W), or 0 if they were given
};
struct Normed : Statistics {
  Tensor x, p, y, index;  // [N, C, H, W], the others of the pooled size

  Normed(const Statistics& statistics, const Tensor& x, const Tensor& p, const Tensor& y, const Tensor& index)
      : Statistics(statistics), x(x.detach()), p(p.detach()), y(y.detach()), index(index) {}
  size_t channels() const { return mean.size(); }
  loops::Shape shape() const { return shape_of(x); }
  int64_t rows() const { return p.numel() / p.size(1); }
  Tensor slope() const {
    return tensor_of(by_channel(channels(), [&](size_t i) { return scale[i] * rstd[i]; }), x);
  }
};

/// Part of a gradient by x: constant + by_x * x + by_u * u + taken at the windows' positions.
struct DenseGradient {
  Channels constant, by_x, by_u;
  Tensor u, taken;
};

/// Gradients by x that the second derivative has found, until the node of the forward pass, whose turn comes after all
/// of them, writes them with its own in one pass.
struct Shared : torch::CustomClassHolder {
  Statistics statistics;
  std::vector<DenseGradient> pending;
};
using SharedPointer = c10::intrusive_ptr<torch::CustomClassHolder>;
Shared& shared_of(const SharedPointer& pointer) { return static_cast<Shared&>(*pointer); }

Tensor write(const Normed& of, const DenseGradient& d) {
  Tensor out = empty_images(of.x.sizes(), of.x);
  const Tensor a = tensor_of(d.constant, of.x), b = tensor_of(d.by_x, of.x),
               bu = d.u.defined() ? tensor_of(d.by_u, of.x) : Tensor();
  AT_DISPATCH_FLOATING_TYPES(of.x.scalar_type(), "scatter_affine", [&] {
    loops::loops<scalar_t>().scatter_affine(
        of.shape(), of.x.data_ptr<scalar_t>(), d.taken.data_ptr<scalar_t>(), of.index.data_ptr<uint8_t>(),
        a.data_ptr<scalar_t>(), b.data_ptr<scalar_t>(), d.u.defined() ? d.u.data_ptr<scalar_t>() : nullptr,
        d.u.defined() ? bu.data_ptr<scalar_t>() : nullptr, out.data_ptr<scalar_t>());
  });
  return out;
}

/// The first derivative, for the gradient g of y.
struct FirstOrder {
  DenseGradient by_x;
  Channels sum, centred;  // sum of h, sum of h (p - m)
  Tensor by_scale, by_shift;
};

FirstOrder first_order(const Normed& of, const Tensor& g) {
  const size_t c = of.channels();
  const Tensor slope = of.slope();
  FirstOrder result;
  result.by_x.taken = empty_images(of.p.sizes(), of.p);
  Channels products(c);
  result.sum.resize(c);
  AT_DISPATCH_FLOATING_TYPES(of.p.scalar_type(), "affine_relu_backward", [&] {
    loops::loops<scalar_t>().affine_relu_backward(of.rows(), static_cast<int64_t>(c), g.data_ptr<scalar_t>(),
                                                  of.p.data_ptr<scalar_t>(), of.y.data_ptr<scalar_t>(),
                                                  slope.data_ptr<scalar_t>(), result.by_x.taken.data_ptr<scalar_t>(),
                                                  products.data(), result.sum.data());
  });
  result.centred = by_channel(c, [&](size_t i) { return products[i] - of.mean[i] * result.sum[i]; });
  result.by_scale = tensor_of(by_channel(c, [&](size_t i) { return of.rstd[i] * result.centred[i]; }), of.x);
  result.by_shift = tensor_of(result.sum, of.x);
  // Through the statistics: mean and variance are means over all pixels.
  result.by_x.by_x =
      by_channel(c, [&](size_t i) { return -of.share * of.scale[i] * std::pow(of.rstd[i], 3) * result.centred[i]; });
  result.by_x.constant = by_channel(c, [&](size_t i) {
    return -of.share * of.scale[i] * of.rstd[i] * result.sum[i] - result.by_x.by_x[i] * of.mean[i];
  });
  return result;
}

/// (g, scale) -> gradients by x, scale and shift. Its derivative by x goes to Shared::pending; `token` is the output of
/// the forward node that makes that wait.
struct NormBackward : Function<NormBackward> {
  static variable_list forward(AutogradContext* ctx, const Tensor& /*token*/, const Tensor& g, const Tensor& /*scale*/,
                               const Normed& of, const SharedPointer& shared) {
    const FirstOrder first = first_order(of, g);
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({g, of.x, of.p, of.y, of.index});
    ctx->saved_data["shared"] = at::IValue::make_capsule(shared);
    ctx->saved_data["sum"] = first.sum;
    ctx->saved_data["centred"] = first.centred;
    return {write(of, first.by_x), first.by_scale, first.by_shift};
  }

  /// For cotangents u of the gradient by x, us and ut of those by scale and shift: the derivative of
  ///   c r (sum h u_p - share H U) + D k + ut H,   k = us r - share c r^3 W,
  /// with H = sum h, D = sum h (p - m), U = sum u, W = sum u (x - m), and u_p what of u is at the windows' positions.
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    forbid_third_order();
    const auto saved = ctx->get_saved_variables();
    const Tensor& g = saved[0];
    const SharedPointer pointer = ctx->saved_data["shared"].toCapsule();
    const Normed of(shared_of(pointer).statistics, saved[1], saved[2], saved[3], saved[4]);
    const size_t c = of.channels();
    const Channels sum = ctx->saved_data["sum"].toDoubleVector(), centred = ctx->saved_data["centred"].toDoubleVector();
    const Channels zeros(c), us = grads[1].defined() ? channels_of(grads[1]) : zeros,
                             ut = grads[2].defined() ? channels_of(grads[2]) : zeros;

    Channels u_sum(c), u_x(c);
    DenseGradient by_x;
    Tensor taken;
    if (grads[0].defined()) {
      by_x.u = image_layout(grads[0]);
      taken = empty_images(of.p.sizes(), of.p);
      AT_DISPATCH_FLOATING_TYPES(of.x.scalar_type(), "gather_sums", [&] {
        loops::loops<scalar_t>().gather_sums(of.shape(), by_x.u.data_ptr<scalar_t>(), of.x.data_ptr<scalar_t>(),
                                             of.index.data_ptr<uint8_t>(), taken.data_ptr<scalar_t>(), u_sum.data(),
                                             u_x.data());
      });
    } else {
      taken = at::zeros_like(of.p);
    }
    const auto w = [&](size_t i) { return u_x[i] - of.mean[i] * u_sum[i]; };
    const auto slope = [&](size_t i) { return of.scale[i] * of.rstd[i]; };
    const Channels k = by_channel(
        c, [&](size_t i) { return us[i] * of.rstd[i] - of.share * slope(i) * of.rstd[i] * of.rstd[i] * w(i); });
    const Channels constant =
        by_channel(c, [&](size_t i) { return ut[i] - of.share * slope(i) * u_sum[i] - k[i] * of.mean[i]; });

    Tensor by_g = empty_images(of.p.sizes(), of.p);
    by_x.taken = empty_images(of.p.sizes(), of.p);
    Channels products(c);  // sum h u_p
    const Tensor s = of.slope(), tk = tensor_of(k, of.x), tc = tensor_of(constant, of.x);
    AT_DISPATCH_FLOATING_TYPES(of.p.scalar_type(), "affine_relu_double_backward", [&] {
      loops::loops<scalar_t>().affine_relu_double_backward(
          of.rows(), static_cast<int64_t>(c), taken.data_ptr<scalar_t>(), tk.data_ptr<scalar_t>(),
          tc.data_ptr<scalar_t>(), g.data_ptr<scalar_t>(), of.p.data_ptr<scalar_t>(), of.y.data_ptr<scalar_t>(),
          s.data_ptr<scalar_t>(), by_g.data_ptr<scalar_t>(), by_x.taken.data_ptr<scalar_t>(), products.data());
    });
    const auto first = [&](size_t i) { return products[i] - of.share * sum[i] * u_sum[i]; };
    const Tensor by_scale = tensor_of(
        by_channel(
            c,
            [&](size_t i) { return of.rstd[i] * first(i) - of.share * std::pow(of.rstd[i], 3) * centred[i] * w(i); }),
        of.x);
    if (ctx->needs_input_grad(0)) {
      by_x.by_u =
          by_channel(c, [&](size_t i) { return -of.share * of.scale[i] * std::pow(of.rstd[i], 3) * centred[i]; });
      by_x.by_x = by_channel(c, [&](size_t i) {
        const double by_rstd =
            of.scale[i] * first(i) + centred[i] * (us[i] - 3 * of.share * of.scale[i] * of.rstd[i] * of.rstd[i] * w(i));
        return -of.share * std::pow(of.rstd[i], 3) * by_rstd;
      });
      by_x.constant = by_channel(c, [&](size_t i) {
        return -of.share * (sum[i] * k[i] + u_sum[i] * by_x.by_u[i]) - by_x.by_x[i] * of.mean[i];
      });
      shared_of(pointer).pending.push_back(std::move(by_x));
    }
    return {Tensor(), by_g, by_scale, Tensor(), Tensor()};
  }
};

/// The moments about the mean found before, of the channels whose variance has cancelled; those of all others stay, to
/// the bit, whatever their neighbours are.
void take_again_where_they_cancel(const Tensor& x, Channels& mean, Channels& variance) {
  const size_t c = mean.size();
  std::vector<size_t> lost;
  for (size_t i = 0; i < c; ++i)
    if (cancels(mean[i], variance[i])) lost.push_back(i);
  if (lost.empty()) return;
  const Tensor pivot = tensor_of(mean, x);
  const Channels about = channels_of(pivot);
  const int64_t rows = x.numel() / x.size(1);
  Channels sum(c), square_sum(c);
  AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "sums_about", [&] {
    loops::loops<scalar_t>().sums_about(rows, x.size(1), x.data_ptr<scalar_t>(), pivot.data_ptr<scalar_t>(), sum.data(),
                                        square_sum.data());
  });
  for (const size_t i : lost) {
    const double off = sum[i] / static_cast<double>(rows);
    mean[i] = about[i] + off;
    variance[i] = std::max(0.0, square_sum[i] / static_cast<double>(rows) - off * off);  // less than 0 by a rounding
  }
}

/// (x, scale, shift) -> y, and a token that carries no value.
struct NormForward : Function<NormForward> {
  static variable_list forward(AutogradContext* ctx, const Tensor& x, const Tensor& scale, const Tensor& shift,
                               const NormStatistics* given, NormStatistics* own) {
    const int64_t c = x.size(1);
    const std::vector<int64_t> half = {x.size(0), c, x.size(2) / 2, x.size(3) / 2};
    Tensor p = empty_images(half, x), y = empty_images(half, x), index = empty_images(half, x, at::kByte);
    const Tensor sign = signs(scale);
    Channels sum(c), square_sum(c);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "stats_and_gather", [&] {
      loops::loops<scalar_t>().stats_and_gather(shape_of(x), x.data_ptr<scalar_t>(), sign.data_ptr<scalar_t>(),
                                                sum.data(), square_sum.data(), p.data_ptr<scalar_t>(),
                                                index.data_ptr<uint8_t>());
    });
    const double pixels = static_cast<double>(x.numel() / c);
    Channels mean = by_channel(c, [&](size_t i) { return sum[i] / pixels; });
    Channels variance = by_channel(c, [&](size_t i) { return square_sum[i] / pixels - mean[i] * mean[i]; });
    take_again_where_they_cancel(x, mean, variance);
    if (own) *own = {tensor_of(mean, x), tensor_of(variance, x)};
    if (given) {
      const Channels given_mean = channels_of(given->mean);
      // The pooling loop may pass over a NaN, the mean of its channel does not: 0 * mean is 0 or NaN.
      mean = by_channel(c, [&](size_t i) { return given_mean[i] + 0 * mean[i]; });
      variance = channels_of(given->variance);
    }
    const auto shared = c10::make_intrusive<Shared>();
    shared->statistics = {mean, by_channel(c, [&](size_t i) { return 1 / std::sqrt(variance[i] + kNormEpsilon); }),
                          channels_of(scale), given ? 0 : 1 / pixels};
    const Normed of(shared->statistics, x, p, y, index);
    const Channels shifts = channels_of(shift);
    const Tensor slope = of.slope();
    const Tensor offset =
        tensor_of(by_channel(c, [&](size_t i) { return shifts[i] - of.scale[i] * of.rstd[i] * of.mean[i]; }), x);
    AT_DISPATCH_FLOATING_TYPES(x.scalar_type(), "affine_relu", [&] {
      loops::loops<scalar_t>().affine_relu(of.rows(), c, p.data_ptr<scalar_t>(), slope.data_ptr<scalar_t>(),
                                           offset.data_ptr<scalar_t>(), y.data_ptr<scalar_t>());
    });
    Tensor token = at::empty({0}, x.options());
    ctx->set_materialize_grads(false);
    ctx->save_for_backward({scale, token, x, p, y, index});
    ctx->saved_data["shared"] = at::IValue::make_capsule(shared);
    return {y, token};
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const SharedPointer pointer = ctx->saved_data["shared"].toCapsule();
    Shared& shared = shared_of(pointer);
    const Normed of(shared.statistics, saved[2], saved[3], saved[4], saved[5]);
    const Tensor g = grads[0].defined() ? image_layout(grads[0]) : at::zeros_like(of.p);
    if (at::GradMode::is_enabled()) {
      const variable_list by = NormBackward::apply(saved[1], g, saved[0], of, pointer);
      return {by[0], by[1], by[2], Tensor(), Tensor()};
    }
    FirstOrder first = first_order(of, g);
    DenseGradient& by_x = first.by_x;
    Tensor more;
    for (DenseGradient& found : shared.pending) {
      if (by_x.u.defined() && found.u.defined()) {  // two passes have one u each
        const Tensor other = write(of, found);
        more = more.defined() ? more + other : other;
        continue;
      }
      for (size_t i = 0; i < of.channels(); ++i) {
        by_x.constant[i] += found.constant[i];
        by_x.by_x[i] += found.by_x[i];
      }
      if (found.u.defined()) {
        by_x.u = found.u;
        by_x.by_u = found.by_u;
      }
      by_x.taken.add_(found.taken);
    }
    shared.pending.clear();
    if (!ctx->needs_input_grad(0)) return {Tensor(), first.by_scale, first.by_shift, Tensor(), Tensor()};
    const Tensor dense = write(of, by_x);
    return {more.defined() ? dense + more : dense, first.by_scale, first.by_shift, Tensor(), Tensor()};
  }
};

void require_shapes(const Tensor& x, const Tensor& scale, const Tensor& shift) {
  TORCH_CHECK(x.dim() == 4 && scale.numel() == x.size(1) && shift.numel() == x.size(1), "norm: input ", x.sizes(),
              ", scale ", scale.sizes(), ", shift ", shift.sizes(), " do not fit");
  TORCH_CHECK(x.size(2) >= 2 && x.size(3) >= 2, "2x2 pooling of ", x.size(2), "x", x.size(3), " pixels");
}

/// Batch norm by plain operations.
Tensor normalise(const Tensor& x, const Tensor& scale, const Tensor& shift, const NormStatistics* given,
                 NormStatistics* own) {
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

Tensor scaled_relu(const Tensor& p, const Tensor& scale, const Tensor& shift, const Tensor& mean,
                   const Tensor& variance) {
  const Tensor s = scale * (variance + kNormEpsilon).rsqrt();
  return AffineRelu::apply(p, s, shift - s * mean);
}

Tensor norm_relu_pool(const Tensor& x, const Tensor& scale, const Tensor& shift, const NormStatistics* given,
                      NormStatistics* own) {
  require_shapes(x, scale, shift);
  TORCH_CHECK(!given || !(given->mean.requires_grad() || given->variance.requires_grad()),
              "norm_relu_pool takes given statistics as constants, these require a gradient");
  return NormForward::apply(image_layout(x), scale, shift, given, own)[0];
}

Tensor batch_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, const NormStatistics* given,
                  NormStatistics* own) {
  if (given)
    return at::batch_norm(x, scale, shift, given->mean, given->variance, /*training=*/false, 0, kNormEpsilon, false);
  const auto [y, mean, rstd] = at::native_batch_norm(x, scale, shift, {}, {}, /*training=*/true, 0, kNormEpsilon);
  if (own) *own = {mean.detach(), (rstd.detach().pow(-2) - kNormEpsilon).clamp_min(0)};
  return y;
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
