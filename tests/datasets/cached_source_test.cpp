#include "datasets/cached_source.h"

#include <gtest/gtest.h>
#include <tbb/parallel_for.h>

#include <atomic>
#include <numeric>
#include <thread>

#include "episodes/errors.h"
#include "tests/datasets/images.h"

namespace fewatoms {
namespace {

using test::pixels;

/// A loader that counts its calls: 16 x 16 pixels of class * 16 + image.
struct Counting {
  std::atomic<int> calls{0};
  std::shared_ptr<const ImageSource> source(DatasetOptions options, int classes = 4, int images = 10) {
    return cached_source({}, std::vector<ClassSize>(classes, {"c", images}), options, [this](int c, int i) {
      ++calls;
      return cv::Mat(16, 16, CV_8U, cv::Scalar(c * 16 + i));
    });
  }
};

DatasetOptions options(int64_t cache_mb, int size = 16) {
  return {.name = "folders", .image_size = size, .channels = 1, .cache_mb = cache_mb};
}

std::vector<ImageRef> all_images(const ImageSource& source) {
  std::vector<ImageRef> refs;
  for (int c = 0; c < source.classes(); ++c)
    for (int i = 0; i < source.class_size(c); ++i) refs.push_back({c, i, 0});
  return refs;
}

TEST(CachedSource, LoadsAnImageOnce) {
  Counting loader;
  const auto source = loader.source(options(1));
  for (int repeat = 0; repeat < 3; ++repeat)
    for (const ImageRef& ref : all_images(*source))
      EXPECT_EQ(pixels(source->image(ref)), std::vector<uint8_t>(256, ref.class_index * 16 + ref.image_index));
  EXPECT_EQ(loader.calls, 40);
}

TEST(CachedSource, WithoutACacheLoadsEveryTime) {
  Counting loader;
  const auto source = loader.source(options(0));
  source->prefetch(all_images(*source));  // has nowhere to put them
  EXPECT_EQ(loader.calls, 0);
  for (int repeat = 0; repeat < 3; ++repeat) EXPECT_EQ(pixels(*source, 1, 2), std::vector<uint8_t>(256, 18));
  EXPECT_EQ(loader.calls, 3);
}

TEST(CachedSource, FullCacheStillGivesTheSamePixels) {
  Counting loader;
  const auto source = loader.source(options(1, 512));  // 256 KiB an image: three stay, and none fits into what passes
  const auto refs = all_images(*source);
  for (int repeat = 0; repeat < 2; ++repeat)
    for (const ImageRef& ref : refs) EXPECT_EQ(source->image(ref).pixels[1000], ref.class_index * 16 + ref.image_index);
  EXPECT_EQ(loader.calls, 40 + 37);
  source->prefetch(refs);
  EXPECT_EQ(loader.calls, 40 + 37);
}

// 1 MiB for images of 16 KiB: 56 stay, 8 pass through.
TEST(CachedSource, OfDataLargerThanMemoryAShareStaysWhateverTheOrder) {
  Counting loader;
  const auto source = loader.source(options(1, 128), 4, 40);
  const auto refs = all_images(*source);
  for (const ImageRef& ref : refs) source->image(ref);
  for (int pass = 0; pass < 3; ++pass) {  // reading in a circle is what would throw everything out of a plain queue
    loader.calls = 0;
    for (const ImageRef& ref : refs) EXPECT_EQ(source->image(ref).pixels[1000], ref.class_index * 16 + ref.image_index);
    EXPECT_EQ(loader.calls, 160 - 56);
  }
}

TEST(CachedSource, AFullCacheStillHoldsWhatPrefetchMakesUntilItIsUsed) {
  Counting loader;
  const auto source = loader.source(options(1, 128), 4, 40);
  const auto refs = all_images(*source);
  for (const ImageRef& ref : refs) source->image(ref);
  for (size_t first = 60; first + 8 <= refs.size(); first += 8) {
    loader.calls = 0;
    const std::span<const ImageRef> wanted(&refs[first], 8);
    source->prefetch(wanted);
    const int made = loader.calls;
    for (const ImageRef& ref : wanted) source->image(ref);
    EXPECT_EQ(loader.calls, made);
  }
}

TEST(CachedSource, ViewsOutliveTheSource) {
  Counting loader;
  auto source = loader.source(options(1));
  const ImageView view = source->image({2, 3, 0});
  source.reset();
  EXPECT_EQ(pixels(view), std::vector<uint8_t>(256, 35));
}

TEST(CachedSource, PrefetchLoadsWhatIsAskedFor) {
  Counting loader;
  const auto source = loader.source(options(1));
  source->prefetch(all_images(*source));
  EXPECT_EQ(loader.calls, 40);
  pixels(*source, 3, 9);
  EXPECT_EQ(loader.calls, 40);
}

TEST(CachedSource, PrefetchPassesErrorsOn) {
  const auto source = cached_source({}, {{"c", 5}}, options(1), [](int, int) -> cv::Mat { throw DataError("broken"); });
  EXPECT_THROW(source->prefetch(all_images(*source)), DataError);
}

TEST(CachedSource, OneImageFromSeveralThreadsIsOneImage) {
  Counting loader;
  const auto source = loader.source(options(1));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) wrong += pixels(*source, 1, i % 2) == std::vector<uint8_t>(256, 16 + i % 2) ? 0 : 1;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

TEST(CachedSource, ReadsInParallelAsInSequence) {
  const DatasetOptions drawn = resolve({.channels = 3});
  const auto sequential = open_dataset(drawn, "test"), parallel = open_dataset(drawn, "test");
  std::vector<ImageRef> refs;
  for (int c = 0; c < 20; ++c)
    for (int i = 0; i < 20; ++i) refs.push_back({c, i, 0});
  std::vector<std::vector<uint8_t>> one(refs.size()), other(refs.size());
  for (size_t i = 0; i < refs.size(); ++i) one[i] = pixels(sequential->image(refs[i]));
  tbb::parallel_for(size_t{0}, refs.size(), [&](size_t i) { other[i] = pixels(parallel->image(refs[i])); });
  EXPECT_EQ(one, other);
}

TEST(CachedSource, WithoutAugmentationKeysAreIgnored) {
  Counting loader;
  const auto source = loader.source(options(1));
  EXPECT_EQ(pixels(*source, 1, 1, 99), pixels(*source, 1, 1, 0));
}

TEST(CachedSource, WithAugmentationKeepsAtMostTwiceTheSize) {
  // 40 x 60 pixels become 32 x 48 in the cache, which shows in the budget: 7/8 of a MiB hold 597 of them.
  std::atomic<int> calls{0};
  DatasetOptions with = options(1, 16);
  with.augment = "crop-jitter-flip";
  const auto source = cached_source({}, {{"c", 800}}, with, [&](int, int) {
    ++calls;
    return cv::Mat(40, 60, CV_8U, cv::Scalar(100));
  });
  for (int repeat = 0; repeat < 2; ++repeat)
    for (int i = 0; i < 800; ++i) EXPECT_EQ(source->image({0, i, 0}).bytes(), 256u);
  EXPECT_EQ(calls, 800 + (800 - 597));
}

}  // namespace
}  // namespace fewatoms
