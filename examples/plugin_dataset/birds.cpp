// A data set as a plugin: drawn birds, of as many species as asked for. Nothing but the standard library is needed.
//   fewatoms train --dataset plugin --plugin ./libbirds.so --plugin-option species=60 --image-size 32 --out runs/birds
#include <algorithm>
#include <array>
#include <cmath>

#include "episodes/errors.h"
#include "episodes/plugin.h"
#include "episodes/random.h"

namespace {

using namespace fewatoms;

constexpr int kSize = 48, kImages = 40;  // pixels; images of each species
using Colour = std::array<double, 3>;    // RGB, 0..255

/// What a species' birds have in common, or one of them: lengths in parts of the picture.
struct Bird {
  Colour body, wing, beak;
  double length, height, head, beak_length, x, y;
};

Colour any_colour(Random& random) { return {random.uniform(0, 255), random.uniform(0, 255), random.uniform(0, 255)}; }

Bird species(uint64_t seed, int number) {
  Random random{seed, static_cast<uint64_t>(number)};
  Bird bird{};
  bird.body = any_colour(random);
  bird.wing = any_colour(random);
  bird.beak = any_colour(random);
  bird.length = random.uniform(0.2, 0.35);
  bird.height = random.uniform(0.1, 0.2);
  bird.head = random.uniform(0.06, 0.12);
  bird.beak_length = random.uniform(0.05, 0.2);
  bird.x = bird.y = 0.5;
  return bird;
}

/// One bird of a species: somewhere else, a little larger or smaller.
Bird individual(Bird bird, Random& random) {
  const double scale = random.uniform(0.8, 1.2);
  for (double* length : {&bird.length, &bird.height, &bird.head, &bird.beak_length}) *length *= scale;
  bird.x += random.uniform(-0.1, 0.1);
  bird.y += random.uniform(-0.1, 0.1);
  return bird;
}

class Birds final : public ImageSource {
 public:
  Birds(uint64_t seed, int first, int classes, const std::string& split) : seed_(seed), first_(first) {
    info_.dataset = "birds";
    info_.split = split;
    for (int c = 0; c < classes; ++c) names_.push_back("species" + std::to_string(first + c));
  }

  const SourceInfo& info() const override { return info_; }
  int classes() const override { return static_cast<int>(names_.size()); }
  const std::string& class_name(int c) const override { return names_.at(c); }
  int class_size(int) const override { return kImages; }
  int height() const override { return kSize; }
  int width() const override { return kSize; }
  int channels() const override { return 3; }

  ImageView image(const ImageRef& ref) const override {
    const int number = first_ + ref.class_index;
    Random random{seed_, static_cast<uint64_t>(number),
                  static_cast<uint64_t>(ref.image_index)};  // the same pixels, always
    const Bird bird = individual(species(seed_, number), random);
    const Colour sky{random.uniform(150, 220), random.uniform(170, 230), 240};
    const auto inside = [](double x, double y, double width, double height) {
      return x * x / (width * width) + y * y / (height * height) < 1;
    };
    auto pixels = std::make_shared<std::vector<uint8_t>>();
    pixels->reserve(kSize * kSize * 3);
    for (int row = 0; row < kSize; ++row)
      for (int column = 0; column < kSize; ++column) {
        const double x = (column + 0.5) / kSize - bird.x, y = (row + 0.5) / kSize - bird.y;
        const double head_x = x - bird.length, head_y = y + bird.height;
        const Colour* colour = &sky;
        if (head_x > 0 && head_x < bird.head + bird.beak_length && std::abs(head_y) < 0.03) colour = &bird.beak;
        if (inside(x, y, bird.length, bird.height) || inside(head_x, head_y, bird.head, bird.head)) colour = &bird.body;
        if (inside(x + 0.05, y, bird.length / 2, bird.height / 2)) colour = &bird.wing;
        for (const double value : *colour)
          pixels->push_back(static_cast<uint8_t>(std::clamp(value + random.uniform(-12, 12), 0.0, 255.0)));
      }
    return {pixels->data(), kSize, kSize, 3, pixels};
  }

 private:
  uint64_t seed_;
  int first_;  // species of the split's first class
  SourceInfo info_;
  std::vector<std::string> names_;
};

std::vector<std::string> splits(const PluginOptions&) { return {"train", "val", "test"}; }

/// Options: species (15 to 10000; 60 % train, 20 % val, 20 % test) and seed.
std::shared_ptr<const ImageSource> open(const PluginOptions& options, const std::string& split) {
  options.require_known({"species", "seed"});
  const auto all = static_cast<int>(options.number("species", 100, 15, 10'000));
  const auto seed = static_cast<uint64_t>(options.number("seed", 0, 0, 1'000'000));
  const int train = all * 6 / 10, val = all * 2 / 10;
  if (split == "train") return std::make_shared<Birds>(seed, 0, train, split);
  if (split == "val") return std::make_shared<Birds>(seed, train, val, split);
  return std::make_shared<Birds>(seed, train + val, all - train - val, split);
}

}  // namespace

FEWATOMS_PLUGIN(splits, open);
