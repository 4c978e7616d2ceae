#include "meta/corruption.h"

#include "episodes/errors.h"
#include "tests/meta/small.h"

namespace fewatoms {
namespace {

Tensor picture(int64_t channels, int64_t height = 28, int64_t width = 36) {
  const test::SyntheticSource source(1, 1, 40, static_cast<int>(channels));
  const ImageView view = source.image({0, 0, 0});
  const Tensor all =
      at::from_blob(const_cast<uint8_t*>(view.pixels), {40, 40, channels}, at::kByte).permute({2, 0, 1}).to(at::kFloat);
  // Blurred a little, as pictures are smoother than noise.
  return at::avg_pool2d(all.unsqueeze(0), {3, 3}, {1, 1}, {1, 1})[0]
      .narrow(1, 0, height)
      .narrow(2, 0, width)
      .round()
      .contiguous();
}

double distance(const Tensor& a, const Tensor& b) { return (a - b).pow(2).mean().item<double>(); }

TEST(Corruption, IsAPureFunctionIntoPixelsAndStrongerSpoilsMore) {
  for (const std::string& name : corruption_names()) {
    const Corruption kind = corruption_from_string(name);
    for (const int64_t channels : {1, 3}) {
      SCOPED_TRACE(name + " " + std::to_string(channels));
      const Tensor image = picture(channels), before = image.clone();
      double last = 0;
      for (int strength = 1; strength <= kCorruptionStrengths; ++strength) {
        const Tensor spoiled = corrupted(image, kind, strength, 7);
        ASSERT_EQ(spoiled.sizes(), image.sizes());
        EXPECT_TRUE(spoiled.equal(corrupted(image, kind, strength, 7)));
        EXPECT_TRUE(spoiled.equal(spoiled.round())) << "not whole";
        EXPECT_GE(spoiled.min().item<float>(), 0);
        EXPECT_LE(spoiled.max().item<float>(), 255);
        EXPECT_GE(distance(spoiled, image), last) << strength;  // a weak blur of a small image rounds to none
        last = distance(spoiled, image);
      }
      EXPECT_GT(last, 1);
      EXPECT_TRUE(image.equal(before));
    }
  }
}

TEST(Corruption, WhatEachKeeps) {
  const Tensor flat = at::full({3, 16, 16}, 100.0F);
  EXPECT_TRUE(corrupted(flat, Corruption::kBlur, 5, 0).equal(flat));
  EXPECT_LE(distance(corrupted(flat, Corruption::kJpeg, 5, 0), flat), 16);  // one rounded coefficient
  const Tensor grey = corrupted(flat, Corruption::kBrightness, 2, 0);
  EXPECT_TRUE(grey.equal(at::full({3, 16, 16}, 151.0F)));  // 100 + 0.2 * 255
  EXPECT_TRUE(corrupted(at::zeros({3, 2, 2}), Corruption::kBrightness, 1, 0).equal(at::full({3, 2, 2}, 26.0F)));
  Tensor red = at::zeros({3, 1, 1});
  red[0] = 100.0F;
  red[1] = 50.0F;
  const Tensor brighter = corrupted(red, Corruption::kBrightness, 2, 0);
  EXPECT_NEAR(brighter[1].item<double>() / brighter[0].item<double>(), 0.5, 0.01);  // hue and saturation stay
  EXPECT_EQ(brighter[2].item<float>(), 0);
  const Tensor noise = corrupted(at::full({1, 200, 200}, 128.0F), Corruption::kNoise, 1, 3) - 128;
  EXPECT_NEAR(noise.mean().item<double>(), 0, 0.5);
  EXPECT_NEAR(noise.std().item<double>(), 0.08 * 255, 0.5);
  EXPECT_FALSE(corrupted(flat, Corruption::kNoise, 1, 1).equal(corrupted(flat, Corruption::kNoise, 1, 2)));
}

TEST(Corruption, SmallImagesAndOddSizesWork) {
  for (const std::string& name : corruption_names())
    for (const auto& [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {2, 3}, {9, 17}})
      EXPECT_EQ(corrupted(picture(3, h, w), corruption_from_string(name), 5, 0).size(2), w) << name;
}

TEST(Corruption, ASourceOfSpoiledImagesIsTheOtherOneBesides) {
  const auto whole = std::make_shared<const test::SyntheticSource>(std::vector<int>{3, 2}, 28, 3);
  const auto spoiled = corrupted_source(whole, Corruption::kNoise, 2);
  EXPECT_EQ(spoiled->classes(), 2);
  EXPECT_EQ(spoiled->class_size(1), 2);
  const std::vector<ImageRef> one = {{1, 0, 0}}, other = {{1, 1, 0}};
  const Tensor a = load_images(*spoiled, one, PixelNorm::kUnit), clean = load_images(*whole, one, PixelNorm::kUnit);
  EXPECT_TRUE(a.equal(load_images(*spoiled, one, PixelNorm::kUnit)));
  EXPECT_NEAR((a - clean).std().item<double>(), 0.12, 0.03);
  // Another image has other noise.
  const Tensor b = load_images(*spoiled, other, PixelNorm::kUnit) - load_images(*whole, other, PixelNorm::kUnit);
  EXPECT_GT(((a - clean) - b).abs().mean().item<double>(), 0.02);
}

TEST(Corruption, UnknownNamesOfferTheNearest) {
  const std::string text = test::message_of<UsageError>([] { corruption_from_string("blurr"); });
  EXPECT_NE(text.find("did you mean 'blur'"), std::string::npos) << text;
}

}  // namespace
}  // namespace fewatoms
