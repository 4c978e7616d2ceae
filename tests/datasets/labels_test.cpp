#include "datasets/labels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "datasets/class_split.h"
#include "datasets/dataset.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

// A class is one class however its name is typed: spaces at the ends do not count, and names that differ in case or in
// how letters are composed alone are said, and never in two splits.

namespace fewatoms {
namespace {

using test::class_names;
using test::message_of;
using test::TemporaryFolder;
using test::write_file;
using test::write_image;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kComposed = "caf\xC3\xA9", kDecomposed = "cafe\xCC\x81";

TEST(Labels, AreCleanedAndCompared) {
  for (const char* given : {"owl", " owl", "owl \t", "owl\r", "\xC2\xA0owl\xE3\x80\x80", "\xEF\xBB\xBFowl"})
    EXPECT_EQ(clean_label(given), "owl");
  EXPECT_EQ(clean_label("barn owl"), "barn owl");
  EXPECT_EQ(clean_label("  "), "");
  EXPECT_EQ(clean_label("p\xE8re\n2 "), "p\\xE8re\\x0A2");
  EXPECT_EQ(label_key("N01"), label_key("n01"));
  EXPECT_EQ(label_key(kComposed), label_key(kDecomposed));
  EXPECT_EQ(label_key("STRASSE \xC3\x89"), label_key("stra\xC3\x9F"
                                                     "e \xC3\xA9"));
  EXPECT_NE(label_key("a"), label_key("\xC3\xA1"));
  EXPECT_EQ(label_difference(kComposed, kDecomposed), "in how letters are composed");
  EXPECT_EQ(label_difference("a", "A"), "in case");
  EXPECT_THAT(twin_notices({"a", "b"}), IsEmpty());
  EXPECT_THAT(twin_notices({"A", "B", "a", "b"}),
              ElementsAre(testing::AllOf(HasSubstr("'A' and 'a' differ in case"), HasSubstr("2 such pairs"))));
}

/// The same classes in every form whose labels people type: owl once with a space at its end, and its twin.
class TypedLabels : public testing::TestWithParam<std::string> {
 protected:
  /// Writes classes 'owl ' and 'owl' (two images) and the other one in train, and that of `test_label` in test.
  DatasetOptions write(const std::string& other, const std::string& test_label) {
    const std::string form = GetParam();
    const auto root = folder.path();
    DatasetOptions options{.name = "folders", .root = root, .image_size = 8};
    const auto image = [&](const std::string& path) { write_image(root / path, 8, 8); };
    for (const char* name : {"1", "2", "3", "4"}) image("photos/" + std::string(name) + ".png");
    if (form == "manifest") {
      options.name = "manifest";
      options.root = root / "m.csv";
      write_file(options.root, "path,label,split\nphotos/1.png,owl ,train\nphotos/2.png,owl,train\nphotos/3.png," +
                                   other + ",train\nphotos/4.png," + test_label + ",test\n");
    } else if (form == "csv") {
      options.name = "mini-imagenet";
      for (const char* name : {"1", "2", "3", "4"}) image("images/" + std::string(name) + ".png");
      write_file(root / "train.csv", "filename,label\n1.png,owl \n2.png,owl\n3.png," + other + "\n");
      write_file(root / "test.csv", "filename,label\n4.png," + test_label + "\n");
    } else if (form == "filelist") {
      write_file(root / "base.json", "{\"label_names\":[\"owl \",\"owl\",\"" + other +
                                         "\"],\"image_names\":[\"photos/1.png\",\"photos/2.png\",\"photos/3.png\"],"
                                         "\"image_labels\":[0,1,2]}");
      write_file(root / "novel.json",
                 "{\"label_names\":[\"" + test_label + "\"],\"image_names\":[\"photos/4.png\"],\"image_labels\":[0]}");
    } else if (form == "split-folders") {
      options.root = root / "split";
      image("split/train/owl /1.png");
      image("split/train/owl/2.png");
      image("split/train/" + other + "/3.png");
      image("split/test/" + test_label + "/4.png");
    } else {
      options.root = root / "plain";
      image("plain/owl /1.png");
      image("plain/owl/2.png");
      image("plain/" + other + "/3.png");
      image("plain/" + test_label + "/4.png");
      if (form == "class-lists") {
        write_file(options.root / "train.txt", "owl \nowl\n" + other + "\n");
        write_file(options.root / "test.txt", test_label + "  \n");
      } else {
        options.split_file = root / "split.csv";
        write_file(options.split_file, "label,split\nowl ,train\n" + other + ",train\n" + test_label + " ,test\n");
      }
    }
    return options;
  }
  TemporaryFolder folder;
};

TEST_P(TypedLabels, WithSpacesAtTheEndAreOneClassWithANotice) {
  const auto source = open_dataset(write("ant", "bee"), "train");
  EXPECT_THAT(class_names(*source), ElementsAre("ant", "owl"));
  EXPECT_EQ(source->class_size(1), 2);
  EXPECT_THAT(source->info().notices, Contains(HasSubstr("trimmed the spaces of 1 label: 'owl '")));
}

TEST_P(TypedLabels, ThatDifferInCaseOrCompositionGetANotice) {
  EXPECT_THAT(open_dataset(write("Owl", "bee"), "train")->info().notices,
              Contains(HasSubstr("classes 'Owl' and 'owl' differ in case alone")));
}

TEST_P(TypedLabels, ThatDifferInCaseOrCompositionAreRefusedAcrossSplits) {
  for (const auto& [other, twin, difference] : {std::tuple{std::string("ant"), std::string("OWL"), "differ in case"},
                                                {std::string("n01"), std::string("N01"), "differ in case"},
                                                {kComposed, kDecomposed, "in how letters are composed"}}) {
    std::filesystem::remove_all(folder.path());
    const DatasetOptions options = write(other, twin);
    for (const char* split : {"train", "test"}) {
      const auto message = message_of<DataError>([&] { open_dataset(options, split); });
      EXPECT_THAT(message, HasSubstr(twin));
      EXPECT_THAT(message, HasSubstr(std::string(difference).substr(7)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Forms, TypedLabels,
                         testing::Values("manifest", "csv", "filelist", "split-folders", "class-lists", "split-file"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST(Labels, ASplitFileSaysWhichClassWasMeant) {
  const TemporaryFolder folder;
  for (const char* name : {"owl", "ant", "bee"}) write_image(folder / "photos" / name / "1.png", 8, 8);
  DatasetOptions options{.name = "folders", .root = folder / "photos", .image_size = 8};
  options.split_file = folder / "s\xE9.csv";
  write_file(options.split_file, "label,split\nOwl,train\n");
  EXPECT_THAT(message_of<DataError>([&] { open_dataset(options, "train"); }),
              HasSubstr("s\\xE9.csv' line 2 names class 'Owl', which the data do not have: they have 'owl', which "
                        "differs in case alone"));
}

TEST(Labels, ASplitBySeedKeepsTwinsTogether) {
  std::vector<std::string> names;
  for (char c = 'A'; c <= 'Z'; ++c) names.push_back(std::string(1, c));
  for (char c = 'a'; c <= 'z'; ++c) names.push_back(std::string(1, c));
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const ClassSplit split = split_classes(names, {.split_seed = seed}, "letters");
    EXPECT_THAT(split.splits(), ElementsAre("train", "val", "test"));
    for (char c = 'A'; c <= 'Z'; ++c)
      EXPECT_EQ(split.split_of.at(std::string(1, c)), split.split_of.at(std::string(1, static_cast<char>(c + 32))));
  }
  EXPECT_THROW(split_classes({"a", "b"}, {}, "x"), TooFewClasses);
}

}  // namespace
}  // namespace fewatoms
