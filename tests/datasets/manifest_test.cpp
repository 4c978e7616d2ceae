#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "datasets/class_split.h"
#include "datasets/dataset.h"
#include "datasets/table.h"
#include "episodes/episode.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::class_names;
using test::message_of;
using test::pixels;
using test::TemporaryFolder;
using test::write_file;
using test::write_image;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ManifestTest : public testing::Test {
 protected:
  ManifestTest() {
    for (int i = 1; i <= 6; ++i)
      write_image(folder / "pictures" / (std::to_string(i) + ".png"), 8, 8, {10.0 * i, 10.0 * i, 10.0 * i});
  }
  DatasetOptions options(const std::string& file) {
    return {.name = "manifest", .root = folder / file, .image_size = 8};
  }
  std::shared_ptr<const ImageSource> open(const std::string& file, const std::string& text,
                                          const std::string& split = "train") {
    write_file(folder / file, text);
    return open_dataset(options(file), split);
  }
  /// The message that a manifest costs.
  template <class Error = DataError>
  std::string refusal(const std::string& text, const std::string& file = "m.csv") {
    return message_of<Error>([&] { open(file, text); });
  }
  TemporaryFolder folder;
};

TEST_F(ManifestTest, ReadsSplitsByColumnWithPathsBelowItsFolder) {
  const auto train =
      open("m.csv",
           "path,label,split\npictures/2.png,owl,train\npictures/1.png,owl,train\n\npictures/3.png,ant,train\n"
           "pictures/4.png,bee,validation\n");
  EXPECT_THAT(class_names(*train), ElementsAre("ant", "owl"));
  EXPECT_EQ(pixels(*train, 1, 0)[0], 20);  // in the order of the lines
  EXPECT_EQ(pixels(*train, 1, 1)[0], 10);
  EXPECT_EQ(train->info().form, "manifest");
  EXPECT_EQ(train->info().split_rule, "");
  EXPECT_THAT(present_splits(options("m.csv")), ElementsAre("train", "val"));
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(options("m.csv"), "test"); }),
              HasSubstr("there is train, val"));
}

// One table in the ways in which people's programs write it.
TEST_F(ManifestTest, IsTheSameInEveryWayOfWriting) {
  const std::string plain = "path,label,split\npictures/1.png,a,train\npictures/2.png,\"b, \"\"c\"\"\",train\n";
  std::string windows = "\xEF\xBB\xBF" + plain;
  for (size_t at = 0; (at = windows.find('\n', at)) != std::string::npos; at += 2) windows.replace(at, 1, "\r\n");
  std::string backslashes = plain;
  std::replace(backslashes.begin(), backslashes.end(), '/', '\\');
  const std::vector<std::pair<std::string, std::string>> ways{
      {"m.csv", plain},
      {"w.csv", windows},
      {"s.csv", backslashes},
      {"o.csv", "split,label,path\ntrain,\"b, \"\"c\"\"\",\"pictures/2.png\"\ntrain,a,./pictures/1.png"},
      {"m.tsv", "path\tlabel\tsplit\npictures/1.png\ta\ttrain\npictures/2.png\t\"b, \"\"c\"\"\"\ttrain\n"},
      {"m.jsonl",
       "{\"path\": \"pictures/1.png\", \"label\": \"a\", \"split\": \"train\"}\r\n"
       "{\"label\": \"b, \\\"c\\\"\", \"path\": \"pictures/2.png\", \"split\": \"train\"}\n"}};
  for (const auto& [file, text] : ways) {
    SCOPED_TRACE(file);
    const auto source = open(file, text);
    EXPECT_THAT(class_names(*source), ElementsAre("a", "b, \"c\""));
    EXPECT_EQ(pixels(*source, 0, 0)[0], 10);
    EXPECT_EQ(pixels(*source, 1, 0)[0], 20);
  }
}

TEST_F(ManifestTest, AFieldInQuotesMayHoldALineEndAndErrorsStillNameTheLine) {
  EXPECT_THAT(refusal("path,label,split\npictures/1.png,\"two\nlines\",train\npictures/2.png,b,tain\n"),
              HasSubstr("m.csv' line 4 has the split 'tain', expected train, val or test"));
}

TEST_F(ManifestTest, SplitsClassesByRuleWithoutAColumn) {
  std::string text = "path,label\n";
  for (int i = 1; i <= 6; ++i) text += "pictures/" + std::to_string(i) + ".png,class" + std::to_string(i) + "\n";
  const auto train = open("m.csv", text);
  EXPECT_EQ(train->info().split_rule, "seed-0");
  EXPECT_EQ(train->classes(), 4);
  DatasetOptions other = options("m.csv");
  other.split_fractions = "0.5,0,0.5";
  EXPECT_THAT(present_splits(other), ElementsAre("train", "test"));
  EXPECT_EQ(open_dataset(other, "test")->classes(), 3);
  EXPECT_EQ(open_dataset(other, "test")->info().split_rule, "seed-0-0.5,0,0.5");
  for (const char* bad : {"0.5,0.5", "1,1,1", "a,b,c", "0.5,0.25,0.25,0", "-0.5,1,0.5", "nan,0,1", ""}) {
    other.split_fractions = bad;
    EXPECT_THAT(message_of<UsageError>([&] { open_dataset(other, "train"); }), HasSubstr("sum to 1")) << bad;
  }
}

TEST_F(ManifestTest, SplitsClassesByList) {
  std::string text = "path,label\n";
  for (int i = 1; i <= 4; ++i) text += "pictures/" + std::to_string(i) + ".png,class" + std::to_string(i) + "\n";
  write_file(folder / "m.csv", text);
  DatasetOptions by_list = options("m.csv");
  by_list.split_file = folder / "split.csv";
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(by_list, "train"); }), HasSubstr("split.csv' does not exist"));
  write_file(by_list.split_file, "label,split\nclass2,train\nclass4,train\nclass1,test\n");
  const auto train = open_dataset(by_list, "train");
  EXPECT_THAT(class_names(*train), ElementsAre("class2", "class4"));
  EXPECT_THAT(train->info().split_rule, testing::StartsWith("list-"));
  EXPECT_THAT(train->info().notices, ElementsAre(HasSubstr("1 of the 4 classes are not in")));
  EXPECT_THAT(present_splits(by_list), ElementsAre("train", "test"));
  const auto bad_list = [&](const std::string& list) {
    write_file(by_list.split_file, list);
    return message_of<DataError>([&] { open_dataset(by_list, "train"); });
  };
  EXPECT_THAT(bad_list("class,split\nclass2,train\n"),
              HasSubstr("has the columns class, split, expected label and split"));
  EXPECT_THAT(bad_list("label,split\nclass9,train\n"),
              HasSubstr("split.csv' line 2 names class 'class9', which the data do not have"));
  EXPECT_THAT(bad_list("label,split\nclass1,train\nclass1,test\n"),
              HasSubstr("line 3 puts class 'class1' in test, an earlier line in train"));
}

TEST_F(ManifestTest, ImagesOfOneGroupAreOnOneSideOfEveryEpisode) {
  const auto source =
      open("m.csv",
           "path,label,split,group\npictures/1.png,a,train,p1\npictures/2.png,a,train,p1\npictures/3.png,a,train,\n"
           "pictures/4.png,b,train,p2\npictures/5.png,b,train,p2\npictures/6.png,b,train,p1\n");
  const auto a = source->image_groups(0), b = source->image_groups(1);
  ASSERT_EQ(a.size(), 3u);
  EXPECT_EQ(a[0], a[1]);
  EXPECT_NE(a[0], a[2]);
  EXPECT_EQ(b[0], b[1]);
  EXPECT_EQ(b[2], a[0]);  // a group is one across classes
  for (int i = 0; i < 50; ++i)
    for (const Episode& episode : {draw_episode(*source, {2, 1, 1}, 0, i)})
      for (const EpisodeImage& s : episode.support)
        for (const EpisodeImage& q : episode.query)
          EXPECT_NE(source->image_groups(s.ref.class_index)[s.ref.image_index],
                    source->image_groups(q.ref.class_index)[q.ref.image_index]);
}

TEST_F(ManifestTest, CutsBoxesOnRequest) {
  cv::Mat picture(8, 16, CV_8UC3, cv::Scalar::all(7));
  picture(cv::Rect(8, 0, 8, 8)) = cv::Scalar::all(200);
  cv::imwrite((folder / "two.png").string(), picture);
  const std::string text =
      "path,label,split,x,y,width,height\ntwo.png,left,train,0,0,8,8\ntwo.png,right,train,8,0,8,8\npictures/"
      "1.png,right,train,,,,\n";
  write_file(folder / "m.csv", text);
  DatasetOptions cut = options("m.csv");
  cut.crop = "bbox";
  const auto source = open_dataset(cut, "train");
  EXPECT_EQ(pixels(*source, 0, 0), std::vector<uint8_t>(8 * 8 * 3, 7));
  EXPECT_EQ(pixels(*source, 1, 0), std::vector<uint8_t>(8 * 8 * 3, 200));
  EXPECT_EQ(pixels(*source, 1, 1)[0], 10);
  EXPECT_THAT(refusal(text),
              HasSubstr("line 3 repeats image 'two.png' of line 2 (--crop bbox tells them apart by their boxes)"));
  EXPECT_THAT(open("one.csv", "path,label,split,x,y,width,height\ntwo.png,left,train,0,0,8,8\n")->info().notices,
              ElementsAre(HasSubstr("are not used (--crop bbox does)")));
}

TEST_F(ManifestTest, LiesInAFolderOrArchiveToo) {
  write_file(folder / "manifest.csv", "path,label,split\npictures/1.png,a,train\n");
  DatasetOptions in_folder = options("");
  in_folder.root = folder.path();
  EXPECT_EQ(open_dataset(in_folder, "train")->classes(), 1);
  write_file(folder / "manifest.tsv", "path\tlabel\n");
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(in_folder, "train"); }),
              HasSubstr("holds two manifests: manifest.csv and manifest.tsv"));
  in_folder.root = folder / "pictures";
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(in_folder, "train"); }), HasSubstr("holds no manifest.csv"));
  in_folder.root = folder / "gone.csv";
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(in_folder, "train"); }), HasSubstr("gone.csv' does not exist"));
}

TEST_F(ManifestTest, NamesLineAndReasonOfBadData) {
  const std::string header = "path,label,split\n", good = "pictures/1.png,a,train\n";
  const std::vector<std::pair<std::string, const char*>> table{
      {"", "m.csv' is empty, expected a header and rows"},
      {header, "m.csv' lists no images"},
      {"pictures/1.png,a\npictures/2.png,b\n",
       "has the columns 'pictures/1.png, a', expected a header with path and label"},
      {header + good + "pictures/2.png,b\n", "m.csv' line 3 has 2 fields, expected the header's 3: path, label, split"},
      {header + "pictures/2.png,\"b,train\n", "m.csv' line 2 opens a quote that nothing closes"},
      {header + "\"pictures/2.png\"x,b,train\n",
       "m.csv' line 2 has text after a closing quote, expected ',' or the line's end"},
      {header + ",b,train\n", "m.csv' line 2 has an empty path"},
      {header + "pictures/2.png,,train\n", "m.csv' line 2 has an empty label"},
      {header + good + "gone.png,a,train\n",
       "m.csv' line 3 names image 'gone.png', which is not there: expected it below"},
      {header + good + "./pictures/1.png,b,train\n", "m.csv' line 3 repeats image './pictures/1.png' of line 2"},
      {header + "../secret.png,a,train\n", "line 2 has the path '../secret.png', which leaves the manifest's folder"},
      {header + "/etc/passwd,a,train\n", "line 2 has the path '/etc/passwd', which leaves the manifest's folder"},
      {header + good + "pictures/2.png,a,test\n", "class 'a' is in two splits: train (an earlier line) and test ("},
      {"path,path,label\n" + good, "has column 'path' twice"},
      {"path,label,x,y,width\npictures/1.png,a,0,0,8\n", "has columns for a part of a box"},
      {"path,label,x,y,width,height\npictures/1.png,a,0,0,,8\n", "line 2 has a part of a box"},
      {"path,label,x,y,width,height\npictures/1.png,a,0,0,8,wide\n",
       "line 2 has 'wide' as height, expected a number of pixels"},
      {"path,label,x,y,width,height\npictures/1.png,a,0,0,0,8\n", "line 2 has a box without area"},
      {std::string("\xFF\xFEp\0", 4), "is UTF-16, expected UTF-8"},
  };
  for (const auto& [text, expected] : table) EXPECT_THAT(refusal(text), HasSubstr(expected));
  EXPECT_THAT(refusal("{\"path\": \"pictures/1.png\", \"label\": \"a\"}\n{\"path\"\n", "m.jsonl"),
              HasSubstr("m.jsonl' line 2 is '{\"path\"', expected a JSON object"));
  EXPECT_THAT(refusal("{\"path\": [1], \"label\": \"a\"}\n", "m.jsonl"),
              HasSubstr("m.jsonl' line 1 has [1] as 'path', expected text or a number"));
  DatasetOptions boxes = options("m.csv");
  boxes.crop = "bbox";
  write_file(folder / "m.csv", header + good);
  EXPECT_THAT(message_of<UsageError>([&] { open_dataset(boxes, "train"); }),
              HasSubstr("needs the columns x, y, width and height"));
}

TEST_F(ManifestTest, NamesColumnsItDoesNotUse) {
  EXPECT_THAT(open("m.csv", "path,label,split,camera\npictures/1.png,a,train,x\n")->info().notices,
              ElementsAre(HasSubstr("not used: 'camera'")));
}

// As spreadsheets of several countries and editors save a table, whatever its file is called.
TEST_F(ManifestTest, IsReadWhateverItsEndingSeparatorAndCapitals) {
  const std::string plain = "path,label,split\npictures/1.png,a,train\npictures/2.png,\"b;c\",train\n";
  std::string semicolons = "\xEF\xBB\xBF" + plain;
  std::replace(semicolons.begin(), semicolons.end(), ',', ';');
  std::string tabs = plain;
  std::replace(tabs.begin(), tabs.end(), ',', '\t');
  const std::vector<std::pair<std::string, std::string>> ways{
      {"m.CSV", plain},
      {"m.txt", plain},
      {"m.TXT", tabs},
      {"m.Tsv", tabs},
      {"s.csv", semicolons},
      {"t.csv", tabs},
      {"h.csv", "PATH, Label ,Split\n" + plain.substr(plain.find('\n') + 1)},
      {"m.JSONL",
       "{\"Path\": \"pictures/1.png\", \"label\": \"a\", \"SPLIT\": \"train\"}\n"
       "{\"Path\": \"pictures/2.png\", \"label\": \"b;c\", \"SPLIT\": \"train\"}\n"}};
  for (const auto& [file, text] : ways) {
    SCOPED_TRACE(file);
    EXPECT_THAT(class_names(*open(file, text)), ElementsAre("a", "b;c"));
  }
  DatasetOptions in_folder = options("");
  in_folder.root = folder.path();
  for (const char* name : {"Manifest.CSV", "manifest.txt"}) {
    write_file(folder / name, plain);
    EXPECT_EQ(open_dataset(in_folder, "train")->classes(), 2) << name;
    std::filesystem::remove(folder / name);
  }
}

TEST_F(ManifestTest, LabelsInAnotherEncodingAreEscapedAndWebPagesRefused) {
  EXPECT_THAT(class_names(*open("m.csv", "path,label,split\npictures/1.png,a,train\npictures/2.png,caf\xE9,train\n")),
              ElementsAre("a", "caf\\xE9"));
  EXPECT_THAT(class_names(*open("m.csv", "path,label,split\npictures/1.png,caf\xC3\xA9 \xF0\x9F\xA6\x89,train\n")),
              ElementsAre("caf\xC3\xA9 \xF0\x9F\xA6\x89"));
  EXPECT_THAT(refusal("<!doctype html>\n<html>"), HasSubstr("m.csv' is a web page (HTML), expected a table"));
}

/// 16 x 8: the left half 7, the right half 200.
void write_halves(const std::filesystem::path& file) {
  cv::Mat picture(8, 16, CV_8UC3, cv::Scalar::all(7));
  picture(cv::Rect(8, 0, 8, 8)) = cv::Scalar::all(200);
  cv::imwrite(file.string(), picture);
}

TEST_F(ManifestTest, BoxesInPartsOfThePictureAreScaled) {
  write_halves(folder / "two.png");
  DatasetOptions cut = options("m.csv");
  cut.crop = "bbox";
  const std::string header = "path,label,split,x,y,width,height\n";
  write_file(folder / "m.csv", header + "two.png,right,train,0.5,0,0.5,1\ntwo.png,left,train,0,0.25,0.5,0.5\n");
  const auto source = open_dataset(cut, "train");
  EXPECT_EQ(pixels(*source, 0, 0), std::vector<uint8_t>(8 * 8 * 3, 7));
  EXPECT_EQ(pixels(*source, 1, 0), std::vector<uint8_t>(8 * 8 * 3, 200));
  EXPECT_THAT(source->info().notices, ElementsAre(HasSubstr("are all within 0 to 1: taken as parts of the pictures'")));
  write_file(folder / "m.csv", header + "two.png,right,train,0.5,0,0.5,1\ntwo.png,left,train,0.25,0.5,0.5,1\n");
  EXPECT_THAT(
      message_of<DataError>([&] { open_dataset(cut, "train"); }),
      HasSubstr("m.csv' line 3 has a box in parts of the picture (0 to 1, as all of the file's) that reaches out of "
                "it: expected x and y of its left upper corner (YOLO's files have those of the centre)"));
}

TEST_F(ManifestTest, BoxesInPartsAndInPixelsAreNotMixed) {
  write_halves(folder / "two.png");
  DatasetOptions cut = options("m.csv");
  cut.crop = "bbox";
  const std::string header = "path,label,split,x,y,width,height\n";
  write_file(folder / "m.csv", header + "two.png,right,train,8,0,8,8\ntwo.png,left,train,0,0,0.5,0.5\n");
  EXPECT_THAT(message_of<DataError>([&] { open_dataset(cut, "train"); }),
              HasSubstr("m.csv' line 3 has a box of at most a pixel, others of the file are larger"));
  write_file(folder / "m.csv", header + "two.png,right,train,0.5,0,0.5,1.0005\n");  // by rounding
  EXPECT_EQ(pixels(*open_dataset(cut, "train"), 0, 0), std::vector<uint8_t>(8 * 8 * 3, 200));
}

TEST_F(ManifestTest, ABoxThatLeavesItsPictureIsAnErrorWithTheLine) {
  write_halves(folder / "two.png");
  DatasetOptions cut = options("m.csv");
  cut.crop = "bbox";
  const auto with = [&](const std::string& box) {
    write_file(folder / "m.csv",
               "path,label,split,x,y,width,height\npictures/1.png,a,train,,,,\ntwo.png,b,train," + box + "\n");
  };
  const auto message = [&](bool check) {
    cut.check_files = check;
    return message_of<DataError>([&] { open_dataset(cut, "train")->image({1, 0, 0}); });
  };
  for (const bool check : {true, false}) {
    with("8,0,20,8");
    EXPECT_THAT(message(check), HasSubstr("m.csv' line 3 has a box that reaches out of the picture of 16x8 pixels, '"));
    with("30,0,8,8");
    EXPECT_THAT(message(check), HasSubstr("m.csv' line 3 has a box that lies outside the picture of 16x8 pixels, '"));
    with("-3,0,8,8");
    EXPECT_THAT(message(check), HasSubstr("line 3"));
    with("8.4,0,8,8");  // by rounding
    EXPECT_NO_THROW(open_dataset(cut, "train")->image({1, 0, 0}));
  }
}

TEST(CsvField, IsReadBackAsItWas) {
  const TemporaryFolder folder;
  const std::vector<std::string> awkward{"plain", "a,b", "say \"hi\"", "two\nlines", " space ", ""};
  std::string text = "label,n\n";
  for (const auto& field : awkward) text += csv_field(field) + ",1\n";
  write_file(folder / "t.csv", text);
  const Table table = read_table(*open_file_tree(folder.path()), "t.csv");
  ASSERT_EQ(table.rows.size(), awkward.size());
  for (size_t i = 0; i < awkward.size(); ++i) EXPECT_EQ(table.rows[i].fields[0], awkward[i]);
}

}  // namespace
}  // namespace fewatoms
