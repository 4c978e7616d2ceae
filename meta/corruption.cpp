#include "meta/corruption.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "episodes/errors.h"
#include "episodes/random.h"

namespace fewatoms {
namespace {

constexpr const char* kNames[] = {"noise", "blur", "brightness", "jpeg"};
using Strengths = std::array<double, kCorruptionStrengths>;
constexpr Strengths kNoise = {0.08, 0.12, 0.18, 0.26, 0.38}, kBlur = {1, 2, 3, 4, 6},
                    kBrightness = {0.1, 0.2, 0.3, 0.4, 0.5}, kQuality = {25, 18, 15, 10, 7};
constexpr double kBlurSize = 224;  // pixels, of the images that kBlur is for

Tensor noisy(const Tensor& image, double deviation, uint64_t key) {
  Random random{key, stream(Stream::kCorruption)};
  Tensor noise = at::empty(image.sizes(), at::kFloat);
  auto* to = noise.data_ptr<float>();
  for (int64_t i = 0; i < noise.numel(); ++i) to[i] = static_cast<float>(random.normal());
  return image + 255 * deviation * noise;
}

Tensor blurred(const Tensor& image, double deviation) {
  const auto radius = std::max<int64_t>(1, std::lround(3 * deviation));
  const Tensor x = at::arange(-radius, radius + 1, at::kFloat);
  const Tensor bell = (-x * x / (2 * deviation * deviation)).exp();
  const Tensor weights = bell / bell.sum();
  const auto side = [&](int64_t pixels) { return std::min(radius, pixels - 1); };
  Tensor y = image.unsqueeze(1);  // [C, 1, H, W]
  const Tensor across = weights.narrow(0, radius - side(y.size(3)), 2 * side(y.size(3)) + 1);
  y = at::conv2d(at::reflection_pad2d(y, {side(y.size(3)), side(y.size(3)), 0, 0}),
                 across.view({1, 1, 1, -1}) / across.sum());
  const Tensor down = weights.narrow(0, radius - side(y.size(2)), 2 * side(y.size(2)) + 1);
  y = at::conv2d(at::reflection_pad2d(y, {0, 0, side(y.size(2)), side(y.size(2))}),
                 down.view({1, 1, -1, 1}) / down.sum());
  return y.squeeze(1);
}

Tensor brighter(const Tensor& image, double by) {
  const Tensor value = image.amax(0, /*keepdim=*/true), target = (value + 255 * by).clamp_max(255);
  return at::where(value > 0, image * (target / value.clamp_min(1e-6)), target.expand_as(image));  // black becomes grey
}

/// Tables K.1 and K.2 of the JPEG standard (ITU-T T.81).
constexpr std::array<float, 64> kLumaTable = {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,
                                              14, 13, 16, 24, 40,  57,  69,  56,  14, 17, 22, 29, 51,  87,  80,  62,
                                              18, 22, 37, 56, 68,  109, 103, 77,  24, 35, 55, 64, 81,  104, 113, 92,
                                              49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99};
constexpr std::array<float, 64> kColourTable = {17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99,
                                                24, 26, 56, 99, 99, 99, 99, 99, 47, 66, 99, 99, 99, 99, 99, 99,
                                                99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
                                                99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99};

/// The table for a quality 1..100, as the Independent JPEG Group's library scales it.
Tensor quantisation(const std::array<float, 64>& table, double quality) {
  const double scale = quality < 50 ? std::floor(5000 / quality) : 200 - 2 * quality;
  const Tensor t = at::tensor(std::vector<float>(table.begin(), table.end())).view({8, 8});
  return ((t * scale + 50) / 100).floor().clamp(1, 255);
}

/// The orthogonal cosine transform [8, 8].
Tensor cosine_transform() {
  const Tensor k = at::arange(8, at::kFloat).unsqueeze(1), x = at::arange(8, at::kFloat).unsqueeze(0);
  Tensor d = ((2 * x + 1) * k * (M_PI / 16)).cos() * 0.5;
  d[0] *= std::sqrt(0.5);
  return d;
}

/// What is left of a plane [H, W] after its blocks of 8x8 were transformed and rounded to multiples of the table.
Tensor quantised_plane(const Tensor& plane, const Tensor& table) {
  const int64_t h = plane.size(0), w = plane.size(1), rows = (h + 7) / 8, columns = (w + 7) / 8;
  const Tensor filled = at::replication_pad2d(plane.unsqueeze(0), {0, 8 * columns - w, 0, 8 * rows - h});
  const Tensor d = cosine_transform(),
               blocks = filled.view({rows, 8, columns, 8}).transpose(1, 2) - 128;  // [rows, columns, 8, 8]
  const Tensor kept = (at::matmul(at::matmul(d, blocks), d.t()) / table).round() * table;
  const Tensor back = at::matmul(at::matmul(d.t(), kept), d) + 128;
  return back.transpose(1, 2).reshape({8 * rows, 8 * columns}).narrow(0, 0, h).narrow(1, 0, w).round().clamp(0, 255);
}

/// A plane [H, W] at half the resolution, where there is one, and back.
Tensor halved(const Tensor& plane, const Tensor& table) {
  const int64_t h = plane.size(0), w = plane.size(1);
  const Tensor even = at::replication_pad2d(plane.unsqueeze(0), {0, w % 2, 0, h % 2});
  const Tensor small = quantised_plane(at::avg_pool2d(even, {2, 2})[0].round(), table);
  return small.repeat_interleave(2, 0).repeat_interleave(2, 1).narrow(0, 0, h).narrow(1, 0, w);
}

Tensor after_jpeg(const Tensor& image, double quality) {
  const Tensor luma_table = quantisation(kLumaTable, quality), colour_table = quantisation(kColourTable, quality);
  if (image.size(0) == 1) return quantised_plane(image[0], luma_table).unsqueeze(0);
  const Tensor r = image[0], g = image[1], b = image[2];  // JFIF's colours
  const Tensor y = quantised_plane((0.299 * r + 0.587 * g + 0.114 * b).round(), luma_table);
  const Tensor cb = halved((128 - 0.168736 * r - 0.331264 * g + 0.5 * b).round(), colour_table) - 128;
  const Tensor cr = halved((128 + 0.5 * r - 0.418688 * g - 0.081312 * b).round(), colour_table) - 128;
  return at::stack({y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb});
}

class CorruptedSource final : public DerivedSource {
 public:
  CorruptedSource(std::shared_ptr<const ImageSource> clean, Corruption kind, int strength)
      : DerivedSource(std::move(clean)), kind_(kind), strength_(strength) {}

  ImageView image(const ImageRef& ref) const override {
    const ImageView clean = DerivedSource::image(ref);
    at::NoGradGuard no_graph;
    const Tensor pixels =
        at::from_blob(const_cast<uint8_t*>(clean.pixels), {clean.height, clean.width, clean.channels}, at::kByte);
    const uint64_t key =
        mix_key({static_cast<uint64_t>(ref.class_index), static_cast<uint64_t>(ref.image_index), ref.augment_key});
    const Tensor spoiled = corrupted(pixels.permute({2, 0, 1}).to(at::kFloat), kind_, strength_, key);
    auto owner = std::make_shared<const Tensor>(spoiled.permute({1, 2, 0}).to(at::kByte).contiguous());
    return {owner->data_ptr<uint8_t>(), clean.height, clean.width, clean.channels, owner};
  }

 private:
  Corruption kind_;
  int strength_;
};

}  // namespace

std::vector<std::string> corruption_names() { return {std::begin(kNames), std::end(kNames)}; }

Corruption corruption_from_string(const std::string& name) {
  for (size_t i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i]) return static_cast<Corruption>(i);
  throw UsageError(unknown_name("corruption", name, corruption_names()));
}

Tensor corrupted(const Tensor& image, Corruption kind, int strength, uint64_t key) {
  TORCH_CHECK(strength >= 1 && strength <= kCorruptionStrengths, "strength ", strength, " of a corruption");
  const auto at_strength = [&](const Strengths& strengths) { return strengths.at(strength - 1); };
  const Tensor whole = image.contiguous();
  Tensor result;
  switch (kind) {
    case Corruption::kNoise:
      result = noisy(whole, at_strength(kNoise), key);
      break;
    case Corruption::kBlur:
      result =
          blurred(whole, at_strength(kBlur) * static_cast<double>(std::min(image.size(1), image.size(2))) / kBlurSize);
      break;
    case Corruption::kBrightness:
      result = brighter(whole, at_strength(kBrightness));
      break;
    case Corruption::kJpeg:
      result = after_jpeg(whole, at_strength(kQuality));
      break;
  }
  return result.round().clamp(0, 255);
}

std::shared_ptr<const ImageSource> corrupted_source(std::shared_ptr<const ImageSource> whole, Corruption kind,
                                                    int strength) {
  TORCH_CHECK(strength >= 1 && strength <= kCorruptionStrengths, "strength ", strength, " of a corruption");
  return std::make_shared<CorruptedSource>(std::move(whole), kind, strength);
}

}  // namespace fewatoms
