#include "datasets/pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "datasets/survey.h"
#include "episodes/digest.h"
#include "episodes/episode.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

namespace fs = std::filesystem;

using test::class_names;
using test::message_of;
using test::pixels;
using test::read_file;
using test::TemporaryFolder;
using test::write_file;
using test::write_image;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// Classes, images, and the first episodes of a source, pixel by pixel, are those of another.
void expect_same(const ImageSource& a, const ImageSource& b, const EpisodeSpec& spec) {
  ASSERT_EQ(class_names(a), class_names(b));
  for (int c = 0; c < a.classes(); ++c) {
    EXPECT_EQ(a.class_size(c), b.class_size(c));
    EXPECT_EQ(a.class_group(c), b.class_group(c));
    EXPECT_TRUE(std::ranges::equal(a.image_groups(c), b.image_groups(c)));
    for (int i = 0; i < a.class_size(c); ++i) EXPECT_EQ(a.image_name({c, i}), b.image_name({c, i}));
  }
  EXPECT_EQ(a.info().dataset, b.info().dataset);
  EXPECT_EQ(a.info().split, b.info().split);
  EXPECT_EQ(a.info().split_rule, b.info().split_rule);
  EXPECT_EQ(a.info().crop, b.info().crop);
  for (int e = 0; e < 3; ++e) {
    const Episode one = draw_episode(a, spec, 3, e), other = draw_episode(b, spec, 3, e);
    for (const auto& [x, y] : {std::pair{&one.support, &other.support}, {&one.query, &other.query}})
      for (size_t i = 0; i < x->size(); ++i) EXPECT_EQ(pixels(a.image((*x)[i].ref)), pixels(b.image((*y)[i].ref)));
  }
}

class PackTest : public testing::Test {
 protected:
  PackTest() {
    for (int c = 0; c < 5; ++c)
      for (int i = 0; i < 4; ++i)
        write_image(folder / "photos" / ("class" + std::to_string(c)) / (std::to_string(i) + ".png"), 20 + c, 24 + i,
                    {20.0 * c, 50.0 * i, 100});
    write_pack(source(), file());
  }
  DatasetOptions source() { return {.name = "folders", .root = folder / "photos", .image_size = 16}; }
  DatasetOptions packed() { return {.name = "folders", .root = file(), .image_size = 16}; }
  fs::path file() { return folder / "photos.pack"; }
  std::string refusal_of(const std::string& bytes) {
    write_file(file(), bytes);
    return message_of<DataError>([&] { open_dataset(packed(), "train"); });
  }
  TemporaryFolder folder;
};

TEST_F(PackTest, GivesTheSameEpisodesAsItsSource) {
  EXPECT_EQ(present_splits(packed()), present_splits(source()));
  for (const char* split : {"train", "val", "test"})
    expect_same(*open_dataset(source(), split), *open_dataset(packed(), split), {1, 2, 2});
  EXPECT_EQ(open_dataset(packed(), "train")->info().form, "pack of class-folders");
}

TEST_F(PackTest, KeepsGroupsAndTheBoxesItWasMadeWith) {
  write_file(
      folder / "m.csv",
      "path,label,split,group,x,y,width,height\nphotos/class0/0.png,a,train,g,0,0,9,9\nphotos/class0/"
      "1.png,a,train,g,,,,\n"
      "photos/class0/2.png,a,train,h,3,3,9,9\nphotos/class1/0.png,b,train,i,,,,\nphotos/class1/1.png,b,train,j,,,,\n");
  DatasetOptions from{.name = "manifest", .root = folder / "m.csv", .image_size = 16, .crop = "bbox"};
  write_pack(from, folder / "m.pack");
  DatasetOptions to = from;
  to.root = folder / "m.pack";
  expect_same(*open_dataset(from, "train"), *open_dataset(to, "train"), {2, 1, 1});
  to.crop = "none";
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(to, "train"); }),
              HasSubstr("was packed with --crop bbox, asked is none"));
}

TEST_F(PackTest, DrawnCharactersNeedNoRootButMayBePacked) {
  write_pack({.name = "strokes", .image_size = 8}, folder / "strokes.pack");
  const DatasetOptions to{.name = "strokes", .root = folder / "strokes.pack", .image_size = 8};
  expect_same(*open_dataset({.name = "strokes", .image_size = 8}, "val"), *open_dataset(to, "val"), {5, 1, 2});
}

TEST_F(PackTest, HashIsThatOfTheImagesWhateverTheirForm) {
  write_file(folder / "split.csv", "label,split\nclass0,train\nclass1,train\nclass2,train\nclass3,val\nclass4,test\n");
  DatasetOptions by_list = source();
  by_list.split_file = folder / "split.csv";
  std::string manifest = "path,label,split\n";
  for (int c = 0; c < 5; ++c)
    for (int i = 0; i < 4; ++i)
      manifest += "photos/class" + std::to_string(c) + "/" + std::to_string(i) + ".png,class" + std::to_string(c) +
                  (c < 3    ? ",train\n"
                   : c == 3 ? ",val\n"
                            : ",test\n");
  write_file(folder / "m.csv", manifest);
  const std::string hash = write_pack(by_list, folder / "a.pack").source_hash;
  EXPECT_EQ(write_pack({.name = "manifest", .root = folder / "m.csv", .image_size = 16}, folder / "b.pack").source_hash,
            hash);
  EXPECT_EQ(hash.size(), 64u);
  write_image(folder / "photos" / "class0" / "0.png", 20, 24, {1, 0, 100});
  EXPECT_NE(write_pack(by_list, folder / "c.pack").source_hash, hash);
}

TEST_F(PackTest, TruncatedAtAnyLengthItIsRefused) {
  const std::string whole = read_file(file());
  for (const size_t length :
       {size_t{0}, size_t{7}, size_t{20}, size_t{48}, size_t{200}, size_t{4096}, whole.size() - 1})
    EXPECT_THAT(refusal_of(whole.substr(0, length)), HasSubstr("is truncated")) << length;
  EXPECT_THAT(refusal_of(whole + "x"), HasSubstr("was altered: it has " + std::to_string(whole.size() + 1) +
                                                 " bytes, expected " + std::to_string(whole.size())));
}

TEST_F(PackTest, AnyAlteredByteOfTheIndexIsFoundAtOpening) {
  const std::string whole = read_file(file());
  for (size_t at = 0; at < 4096; at += at < 60 ? 1 : 37) {  // header, index, checksums, and the zeros after them
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    EXPECT_FALSE(refusal_of(bytes).empty()) << at;
  }
}

TEST_F(PackTest, AnAlteredImageIsFoundWhenItIsRead) {
  std::string bytes = read_file(file());
  bytes[4096 + 16 * 16 * 3 + 5] ^= 1;  // the second image
  write_file(file(), bytes);
  const auto train = open_dataset(packed(), "train");
  EXPECT_NO_THROW(train->image({0, 0, 0}));
  EXPECT_THAT(message_of<DataError>([&] {
                train->image({0, 1, 0});
              }),
              HasSubstr("was altered or damaged: image 1 of class 'class"));
  EXPECT_NO_THROW(train->image({0, 2, 0}));
  EXPECT_THAT(message_of<DataError>([&] { verify_pack(file()); }), HasSubstr("image 1 of class"));
  const auto found = survey(packed());
  EXPECT_EQ(found[0].bad.size(), 1u);
}

// Someone who exchanges an image and mends the checksums is found by the hash.
TEST_F(PackTest, AnotherHashThanThatOfTheContentIsFoundByVerify) {
  EXPECT_NO_THROW(verify_pack(file()));
  std::string bytes = read_file(file());
  const size_t image_bytes = 16 * 16 * 3, images_at = 4096;
  uint64_t index_bytes = 0;
  std::memcpy(&index_bytes, &bytes[16], sizeof index_bytes);
  bytes[images_at + 5] ^= 1;
  const uint32_t of_image = crc32_of(std::string_view(bytes).substr(images_at, image_bytes));
  std::memcpy(&bytes[48 + index_bytes], &of_image, sizeof of_image);
  const uint32_t of_index = crc32_of(std::string_view(bytes).substr(16, images_at - 16));
  std::memcpy(&bytes[12], &of_index, sizeof of_index);
  write_file(file(), bytes);
  EXPECT_NO_THROW(open_dataset(packed(), "train")->image({0, 0, 0}));
  EXPECT_THAT(message_of<DataError>([&] { verify_pack(file()); }), HasSubstr("was altered: its content has the hash "));
}

/// The pack with another index, and the right checksum of it.
std::string with_index(const std::string& pack, const std::string& index) {
  uint64_t index_bytes = 0, images = 0, images_at = 0;
  std::memcpy(&index_bytes, &pack[16], 8);
  std::memcpy(&images, &pack[24], 8);
  std::memcpy(&images_at, &pack[40], 8);
  std::string start = pack.substr(0, 48) + index + pack.substr(48 + index_bytes, 4 * images);
  start.resize(images_at, '\0');
  index_bytes = index.size();
  std::memcpy(&start[16], &index_bytes, 8);
  const uint32_t crc = crc32_of(std::string_view(start).substr(16));
  std::memcpy(&start[12], &crc, 4);
  return start + pack.substr(images_at);
}

// A right checksum says nothing of who wrote an index: its numbers must not lead outside of the file.
TEST_F(PackTest, AnIndexThatLiesIsRefusedThoughItsChecksumIsRight) {
  const std::string whole = read_file(file());
  uint64_t index_bytes = 0;
  std::memcpy(&index_bytes, &whole[16], 8);
  using nlohmann::json;
  const json index = json::parse(whole.substr(48, index_bytes));
  const auto message = [&](const auto& change) {
    json changed = index;
    change(changed);
    write_file(file(), with_index(whole, changed.dump()));
    return message_of<DataError>([&] { open_dataset(packed(), "train"); });
  };
  const auto classes = [](json& j) -> json& { return j["splits"][0]["classes"]; };
  EXPECT_THAT(message([&](json& j) {  // the sum is right
                classes(j)[0]["images"] = -4;
                classes(j)[1]["images"] = 12;
              }),
              HasSubstr("class 'class0' has -4 images, expected 0 to 20"));
  EXPECT_THAT(message([&](json& j) { classes(j)[0]["images"] = 21; }), HasSubstr("has 21 images"));
  EXPECT_THAT(message([&](json& j) { classes(j)[0]["images"] = uint64_t{1} << 32; }),
              HasSubstr("has 4294967296 images"));
  EXPECT_THAT(message([&](json& j) { classes(j)[0]["images"] = 3; }), HasSubstr("names than of images"));
  EXPECT_THAT(message([&](json& j) { classes(j)[0]["image_groups"] = {1, 2}; }), HasSubstr("other numbers of groups"));
  for (const auto& [key, value] : std::vector<std::pair<std::string, json>>{{"splits", 5},
                                                                            {"dataset", 1},
                                                                            {"form", nullptr},
                                                                            {"source_hash", "x"},
                                                                            {"image_size", -16},
                                                                            {"image_size", 1 << 20},
                                                                            {"channels", 2},
                                                                            {"preparation", {{"colour", "all"}}},
                                                                            {"preparation", 3}})
    EXPECT_THAT(message([&, k = key, v = value](json& j) { j[k] = v; }),
                HasSubstr("was altered or damaged: its index does not describe its images, "))
        << key;
  EXPECT_THAT(message([&](json& j) { j.erase("splits"); }), HasSubstr("it is not the JSON that 'dataset pack' writes"));
  write_file(file(), with_index(whole, std::string(200, 'x')));
  EXPECT_THAT(message_of<DataError>([&] { open_dataset(packed(), "train"); }), HasSubstr("it is not the JSON"));
  json before = index;  // as it was written before there was an option
  before["preparation"].erase("background");
  write_file(file(), with_index(whole, before.dump()));
  EXPECT_NO_THROW(open_dataset(packed(), "train"));
  DatasetOptions white = packed();
  white.background = "white";
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(white, "train"); }),
              HasSubstr("was packed before there was --background, asked is white: expected auto"));
}

TEST_F(PackTest, RefusesToServeWhatItDoesNotHold) {
  const auto refusal = [&](const auto& change) {
    DatasetOptions asked = packed();
    change(asked);
    return message_of<UsageError>([&] { open_dataset(asked, "train"); });
  };
  EXPECT_THAT(refusal([](DatasetOptions& o) { o.name = "cub"; }),
              HasSubstr("packs data set 'folders', not 'cub': expected --dataset folders"));
  EXPECT_THAT(refusal([](DatasetOptions& o) { o.channels = 1; }),
              HasSubstr("was packed with --channels 3, asked is 1"));
  EXPECT_THAT(refusal([](DatasetOptions& o) { o.split_seed = 4; }),
              HasSubstr("holds the class split 'seed-0', asked is 'seed-4'"));
  EXPECT_THAT(refusal([](DatasetOptions& o) { o.exif = false; }),
              HasSubstr("was packed with --exif=true, asked is false"));
  EXPECT_THAT(refusal([](DatasetOptions& o) { o.background = "white"; }),
              HasSubstr("was packed with --background auto, asked is white"));
}

TEST_F(PackTest, OtherSizesAreMadeFromThePackedOneWithANotice) {
  DatasetOptions smaller = packed();
  smaller.image_size = 8;
  const auto train = open_dataset(smaller, "train");
  EXPECT_EQ(train->height(), 8);
  EXPECT_THAT(train->info().notices, ElementsAre(HasSubstr("packed at 16x16 pixels and resized to 8")));
  EXPECT_EQ(pixels(*train, 0, 1)[2], 100);
  DatasetOptions augmented = packed();
  augmented.augment = "crop-jitter-flip";
  const auto changed = open_dataset(augmented, "train");
  EXPECT_EQ(pixels(*changed, 0, 0), pixels(*open_dataset(packed(), "train"), 0, 0));
  EXPECT_NE(pixels(*changed, 0, 0, 5), pixels(*changed, 0, 0, 6));
}

TEST_F(PackTest, ABadImageLeavesNoFileBehind) {
  write_file(folder / "photos" / "class0" / "0.png", "no image");
  EXPECT_THAT(message_of<DataError>([&] { write_pack(source(), folder / "new.pack"); }),
              HasSubstr("0.png' cannot be decoded"));
  EXPECT_FALSE(fs::exists(folder / "new.pack"));
  const auto left = [&] { return std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()); };
  EXPECT_EQ(left(), 2);  // photographs and a pack
  DatasetOptions skipping = source();
  skipping.skip_bad = true;
  EXPECT_EQ(write_pack(skipping, folder / "new.pack").skipped, 1);
  EXPECT_THAT(message_of<DataError>([&] { write_pack(skipping, folder / "no" / "folder.pack"); }),
              HasSubstr("cannot be written"));
}

TEST_F(PackTest, ViewsOutliveTheSource) {
  auto train = open_dataset(packed(), "train");
  const ImageView view = train->image({0, 0, 0});
  train.reset();
  EXPECT_EQ(pixels(view)[2], 100);
}

TEST(PackOfSamples, PhotographsGiveTheSameEpisodes) {
  FEWATOMS_SAMPLE_OR_SKIP(root, "CUB_200_2011");
  const TemporaryFolder folder;
  const DatasetOptions from{.name = "cub", .root = root, .image_size = 84};
  write_pack(from, folder / "cub.pack");
  DatasetOptions to = from;
  to.root = folder / "cub.pack";
  for (const char* split : {"train", "val"})
    expect_same(*open_dataset(from, split), *open_dataset(to, split), {2, 1, 5});
}

}  // namespace
}  // namespace fewatoms
