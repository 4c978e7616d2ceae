#include "backbones/kernels/stem.h"

#include <torch/autograd.h>

#include "backbones/kernels/loops.h"

namespace fewatoms {
namespace {

using torch::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

loops::StemShape shape_of(const Tensor& padded, int64_t out) {
  return {padded.size(0), padded.size(1) - 2, padded.size(2) - 2, padded.size(3), out};
}

Tensor empty_pooled(const loops::StemShape& d, const at::TensorOptions& options) {
  return at::empty({d.n, d.out, d.h / 2, d.w / 2}, options.memory_format(at::MemoryFormat::ChannelsLast));
}

/// A kernel as the loops read it: [out, in, 3, 3] -> [taps, out].
Tensor taps_first(const Tensor& kernel) { return kernel.permute({2, 3, 1, 0}).contiguous().view({-1, kernel.size(0)}); }

/// The convolution at chosen positions, one of each 2x2 window, and its gradient by the kernel: each other's
/// derivative.
struct ConvolveAt : Function<ConvolveAt> {
  static Tensor forward(AutogradContext* ctx, const Tensor& padded, const Tensor& taps, const Tensor& index);
  static variable_list backward(AutogradContext* ctx, variable_list g);
};
struct KernelGradient : Function<KernelGradient> {
  static Tensor forward(AutogradContext* ctx, const Tensor& padded, const Tensor& index, const Tensor& g) {
    const loops::StemShape d = shape_of(padded, g.size(1));
    Tensor taps = at::empty({d.taps(), d.out}, at::kDouble);
    AT_DISPATCH_FLOATING_TYPES(padded.scalar_type(), "stem_kernel_gradient", [&] {
      loops::loops<scalar_t>().stem_kernel_gradient(d, padded.data_ptr<scalar_t>(), index.data_ptr<uint8_t>(),
                                                    g.data_ptr<scalar_t>(), taps.data_ptr<double>());
    });
    ctx->save_for_backward({padded, index});
    return taps.to(padded.scalar_type());
  }
  static variable_list backward(AutogradContext* ctx, variable_list u) {
    const auto saved = ctx->get_saved_variables();
    return {Tensor(), Tensor(), ConvolveAt::apply(saved[0], u[0].contiguous(), saved[1])};
  }
};

Tensor kernel_gradient(const Tensor& padded, const Tensor& index, const Tensor& g) {
  return KernelGradient::apply(padded, index, g.contiguous(at::MemoryFormat::ChannelsLast));
}

Tensor ConvolveAt::forward(AutogradContext* ctx, const Tensor& padded, const Tensor& taps, const Tensor& index) {
  const loops::StemShape d = shape_of(padded, taps.size(1));
  Tensor z = empty_pooled(d, padded.options());
  AT_DISPATCH_FLOATING_TYPES(padded.scalar_type(), "stem_at", [&] {
    loops::loops<scalar_t>().stem_at(d, padded.data_ptr<scalar_t>(), taps.data_ptr<scalar_t>(),
                                     index.data_ptr<uint8_t>(), z.data_ptr<scalar_t>());
  });
  ctx->save_for_backward({padded, index});
  return z;
}
variable_list ConvolveAt::backward(AutogradContext* ctx, variable_list g) {
  const auto saved = ctx->get_saved_variables();
  return {Tensor(), kernel_gradient(saved[0], saved[1], g[0]), Tensor()};
}

/// kernel -> of each window of the convolution the element that is pooled: ConvolveAt that finds the positions itself.
struct Extremes : Function<Extremes> {
  static Tensor forward(AutogradContext* ctx, const Tensor& padded, const Tensor& taps, const Tensor& sign) {
    const loops::StemShape d = shape_of(padded, taps.size(1));
    Tensor z = empty_pooled(d, padded.options()), index = empty_pooled(d, padded.options().dtype(at::kByte));
    AT_DISPATCH_FLOATING_TYPES(padded.scalar_type(), "stem_extremes", [&] {
      loops::loops<scalar_t>().stem_extremes(d, padded.data_ptr<scalar_t>(), taps.data_ptr<scalar_t>(),
                                             sign.data_ptr<scalar_t>(), z.data_ptr<scalar_t>(),
                                             index.data_ptr<uint8_t>());
    });
    ctx->save_for_backward({padded, index});
    return z;
  }
  static variable_list backward(AutogradContext* ctx, variable_list g) { return ConvolveAt::backward(ctx, g); }
};

/// Mean and covariance of the patches of padded images. A patch is three rows of 3*in numbers; the products of rows
/// that are 0, 1 and 2 apart, for every row of the padded image, give all products by summing over the image's rows.
template <class T>
void patch_moments(const Tensor& padded, double* mean, double* covariance) {
  const loops::StemShape d = shape_of(padded, 0);
  const int64_t f = 3 * d.in, taps = 3 * f, stride = (d.w + 2) * d.in;
  std::vector<double> sums(f), products(3 * f * f);
  const T* rows = padded.data_ptr<T>();
  for (int64_t image = 0; image < d.n; ++image)
    for (int64_t y = 0; y < d.h + 2; ++y) {
      const int64_t deltas = std::min<int64_t>(3, d.h + 2 - y);
      loops::loops<T>().patch_row_products(d.w, d.in, deltas, rows + (image * (d.h + 2) + y) * stride, stride,
                                           sums.data(), products.data());
      for (int64_t k = 0; k < 3; ++k) {  // as row k of the patches around pixel row y - k
        if (y - k < 0 || y - k >= d.h) continue;
        for (int64_t i = 0; i < f; ++i) mean[k * f + i] += sums[i];
        for (int64_t delta = 0; delta + k < 3; ++delta)
          for (int64_t i = 0; i < f; ++i)
            for (int64_t j = 0; j < f; ++j) {
              const double product = products[(delta * f + i) * f + j];
              covariance[(k * f + i) * taps + (k + delta) * f + j] += product;
              if (delta > 0) covariance[((k + delta) * f + j) * taps + k * f + i] += product;
            }
      }
    }
  const double count = static_cast<double>(d.n * d.h * d.w);
  for (int64_t i = 0; i < taps; ++i) mean[i] /= count;
  for (int64_t i = 0; i < taps; ++i)
    for (int64_t j = 0; j < taps; ++j) covariance[i * taps + j] = covariance[i * taps + j] / count - mean[i] * mean[j];
}

void take_moments(StemImages& stem, const Tensor& padded) {
  const int64_t taps = 9 * padded.size(3);
  stem.mean = at::zeros({taps}, at::kDouble);
  stem.covariance = at::zeros({taps, taps}, at::kDouble);
  AT_DISPATCH_FLOATING_TYPES(padded.scalar_type(), "patch_moments", [&] {
    patch_moments<scalar_t>(padded, stem.mean.data_ptr<double>(), stem.covariance.data_ptr<double>());
  });
}

/// Zeros, and memory behind them: the loops read whole registers, beyond the last number.
Tensor with_room(int64_t numbers, const at::TensorOptions& options) {
  return at::zeros({numbers + loops::kLeastChannels}, options).narrow(0, 0, numbers);
}

}  // namespace

bool stem_fits(const Tensor& images, int64_t out) {
  return !images.requires_grad() && (images.size(1) == 1 || images.size(1) == 3) && out >= loops::kLeastChannels &&
         images.size(2) >= 2 && images.size(3) >= 2;
}

StemImages stem_images(const Tensor& images) {
  const int64_t n = images.size(0), in = images.size(1), h = images.size(2), w = images.size(3);
  TORCH_CHECK(!images.requires_grad(), "stem_images has no gradient by the images, these require one");
  const int64_t numbers = n * (h + 2) * (w + 2) * in;
  StemImages stem;
  stem.padded = with_room(numbers, images.options()).view({n, h + 2, w + 2, in});
  stem.padded.narrow(1, 1, h).narrow(2, 1, w).copy_(images.permute({0, 2, 3, 1}));
  take_moments(stem, stem.padded);
  // The patches' middle: the channel's own pixels, without the border.
  const auto middle = [&](const Tensor& by_tap) { return by_tap.narrow(0, 4 * in, in); };
  const Tensor mean = middle(stem.mean), variance = middle(stem.covariance.diagonal());
  bool again = false;
  for (int64_t c = 0; c < in; ++c) again |= cancels(mean[c].item<double>(), variance[c].item<double>());
  if (!again) return stem;
  const Tensor pivot = mean.to(images.scalar_type());
  const Tensor centred = with_room(numbers, images.options()).view(stem.padded.sizes());
  centred.copy_(stem.padded - pivot);
  take_moments(stem, centred);
  stem.mean += pivot.to(at::kDouble).repeat({9});
  return stem;
}

Tensor stem_norm_relu_pool(const StemImages& images, const Tensor& kernel, const Tensor& scale, const Tensor& shift,
                           const NormStatistics* given, NormStatistics* own) {
  const Tensor taps = taps_first(kernel);
  const Tensor pooled = Extremes::apply(images.padded, taps, signs(scale));
  const Tensor wide = taps.to(at::kDouble).t();  // [out, taps]
  const Tensor own_mean = at::mv(wide, images.mean).to(kernel.scalar_type());
  const Tensor mean =
      given ? given->mean + 0 * own_mean.detach() : own_mean;  // pooling may pass over a NaN, this does not
  const Tensor variance =
      given ? given->variance : (at::mm(wide, images.covariance) * wide).sum(1).clamp_min(0).to(kernel.scalar_type());
  if (own) *own = {mean.detach(), variance.detach()};
  return scaled_relu(pooled, scale, shift, mean, variance);
}

}  // namespace fewatoms
