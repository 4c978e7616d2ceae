#include "spectrograms.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "datasets/prepared_source.h"
#include "episodes/random.h"

using namespace fewatoms;

namespace {

constexpr int kWindow = 2 * Spectrograms::kSize, kHop = 32;  // samples of a frame, and between frames
constexpr double kTurn = 2 * std::numbers::pi;

/// A tone that glides: frequency in bands (of kSize), at the start and at the end.
struct Tone {
  double from, to, loudness;
};

std::vector<Tone> chord(int number) {
  Random random{1, static_cast<uint64_t>(number)};
  std::vector<Tone> tones(2 + random.below(3));
  for (Tone& tone : tones) tone = {random.uniform(2, 30), random.uniform(2, 30), random.uniform(0.5, 1)};
  return tones;
}

/// One performance: a little out of tune, a little late, in noise.
std::vector<double> waveform(std::vector<Tone> tones, Random& random) {
  const int samples = kWindow + (Spectrograms::kSize - 1) * kHop;
  const double detuned = random.uniform(-1.5, 1.5), late = random.uniform(0, 0.2);
  std::vector<double> wave(samples);
  for (const Tone& tone : tones) {
    double phase = random.uniform(0, kTurn);
    for (int t = 0; t < samples; ++t) {
      const double part = static_cast<double>(t) / samples;
      phase += kTurn * std::clamp(tone.from + (tone.to - tone.from) * part + detuned, 0.0, 31.0) / kWindow;
      if (part >= late) wave[t] += tone.loudness * std::sin(phase);
    }
  }
  for (double& sample : wave) sample += 0.2 * random.normal();
  return wave;
}

}  // namespace

Spectrograms::Spectrograms(const std::string& split) {
  first_ = split == "train" ? 0 : split == "val" ? 64 : 80;
  const int count = split == "train" ? 64 : split == "val" ? 16 : 20;
  info_.dataset = "spectrograms";
  info_.split = split;
  info_.form = "generated";
  info_.crop = "none";
  for (int c = 0; c < count; ++c) names_.push_back("chord" + std::to_string(first_ + c));
}

ImageView Spectrograms::image(const ImageRef& ref) const {
  const int number = first_ + ref.class_index;
  Random random{2, static_cast<uint64_t>(number), static_cast<uint64_t>(ref.image_index)};  // the same pixels, always
  const std::vector<double> wave = waveform(chord(number), random);
  auto pixels = std::make_shared<std::vector<uint8_t>>(kSize * kSize);
  for (int frame = 0; frame < kSize; ++frame)
    for (int band = 0; band < kSize; ++band) {
      double real = 0, imaginary = 0;
      for (int t = 0; t < kWindow; ++t) {
        const double windowed = wave[frame * kHop + t] * (0.5 - 0.5 * std::cos(kTurn * t / kWindow));  // Hann
        real += windowed * std::cos(kTurn * band * t / kWindow);
        imaginary += windowed * std::sin(kTurn * band * t / kWindow);
      }
      const double decibels = 10 * std::log10(real * real + imaginary * imaginary + 1e-6);
      (*pixels)[(kSize - 1 - band) * kSize + frame] = static_cast<uint8_t>(std::clamp(8 * decibels + 60, 0.0, 255.0));
    }
  return {pixels->data(), kSize, kSize, 1, pixels};
}

std::shared_ptr<const ImageSource> Spectrograms::open(const DatasetOptions& options, const std::string& split) {
  return prepared_source(std::make_shared<Spectrograms>(split),
                         options);  // resized, cached and augmented as the options say
}
