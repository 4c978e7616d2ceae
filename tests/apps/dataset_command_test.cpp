#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include <opencv2/imgcodecs.hpp>

#include "tests/apps/program.h"

// dataset verify, split, pack and inspect's looks at images, as a user calls them.
namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

TEST(DatasetVerify, ListsBadImagesAndExitsWithOne) {
  const TemporaryFolder folder;
  write_class_folders(folder.path(), 3, 4);
  const std::string root = folder.path().string();
  const Finished good = run_well({"dataset", "verify", "folders", "--data-root", root});
  EXPECT_THAT(good.out, HasSubstr("36 images of 3 splits, all good"));
  EXPECT_EQ(good.err, "");

  write_file(folder / "train" / "class1" / "2.png", "no image");
  write_file(folder / "val" / "val-class0" / "0.png", "");
  const Finished bad = run_program({"dataset", "verify", "folders", "--data-root", root});
  EXPECT_EQ(bad.code, 1);
  EXPECT_THAT(bad.out, HasSubstr("train class 'class1': '" + root +
                                 "/train/class1/2.png' cannot be decoded as an image: it is "
                                 "damaged, or of no kind that is read\n"));
  EXPECT_THAT(bad.out,
              HasSubstr("val class 'val-class0': '" + root + "/val/val-class0/0.png' is empty, expected an image\n"));
  EXPECT_EQ(bad.err, "fewatoms: 2 of 36 images of '" + root + "' are bad (--skip-bad goes on without them)\n");

  const json inspected = json::parse(run_well({"dataset", "inspect", "folders", "--data-root", root, "--json"}).out);
  const json& train = inspected.at("splits").at(0);
  EXPECT_EQ(train.at("broken").size(), 1U);
  EXPECT_EQ(train.at("sizes"), json::parse(R"([{"width": 32, "height": 32, "images": 11}])"));
  EXPECT_EQ(train.at("published_split"), "unknown");
  EXPECT_EQ(train.at("serves").at("5-way 1-shot"), false);
  EXPECT_GT(inspected.at("duplicates").at("across_splits"), 0);  // train and test have the same pictures there
}

// With --skip-bad training and evaluation go on, and the result says how many were left out.
TEST(DatasetVerify, SkipBadCountsInTheResult) {
  const TemporaryFolder folder;
  write_class_folders(folder / "photos", 3, 4);
  write_file(folder / "photos" / "train" / "class1" / "2.png", "no image");
  write_file(folder / "photos" / "test" / "test-class1" / "2.png", "no image");
  const Arguments data{"--dataset", "folders", "--data-root", (folder / "photos").string(), "--image-size", "28"};
  expect_refusal({{"train"}, {"2.png' cannot be decoded"}, 1},
                 run_program(small_training(folder / "stopped", data + Arguments{"--quiet"})));
  const Finished trained = run_well(small_training(folder / "run", data + Arguments{"--skip-bad"}));
  EXPECT_THAT(trained.err, HasSubstr("left out 1 bad image (--skip-bad)"));
  run_well({"eval", (folder / "run").string(), "--episodes", "2", "--json", (folder / "result.json").string()});
  EXPECT_EQ(json::parse(read_file(folder / "result.json")).at("skipped_images"), 1);
  expect_refusal({{"eval"}, {"class 'test-class1' has 3 images, 4 are needed (1 shot + 3 queries)"}, 1},
                 run_program({"eval", (folder / "run").string(), "--queries", "3"}));
}

// A validation that comes hours later must not be what finds a bad file.
TEST(DatasetVerify, ABadValidationImageStopsATrainingBeforeItStarts) {
  const TemporaryFolder folder;
  write_class_folders(folder / "photos", 3, 4, ".jpg");
  const auto image = folder / "photos" / "val" / "val-class2" / "3.jpg";
  const std::string whole = read_file(image);
  write_file(image, whole.substr(0, whole.size() / 2));
  const Arguments data{"--dataset",      "folders", "--data-root", (folder / "photos").string(),
                       "--image-size",   "28",      "--val-every", "1",
                       "--val-episodes", "2"};
  expect_refusal(
      {{"train"},
       {"3.jpg' is truncated or damaged: expected a JPEG image up to its end marker (1 bad file in split 'val': "
        "--skip-bad leaves such images out"},
       1},
      run_program(small_training(folder / "run", data)));
  EXPECT_FALSE(std::filesystem::exists(folder / "run"));
  EXPECT_THAT(run_well(small_training(folder / "run", data + Arguments{"--skip-bad"})).err,
              HasSubstr("note (val): left out 1 bad image (--skip-bad): '" + image.string() + "' is truncated"));
}

// What is decided of pictures is said once, and stays with the run: ground, orientation.
TEST(DatasetPixels, AreDecidedAloudAndStayWithTheRun) {
  const TemporaryFolder folder;
  write_class_folders(folder / "photos", 3, 4);
  for (int c = 0; c < 3; ++c)
    for (int i = 0; i < 4; ++i) {  // black ink on a ground that nobody sees
      cv::Mat ink(32, 32, CV_8UC4, cv::Scalar::all(0));
      ink(cv::Rect(4 * i, 8 * c, 16, 12)) = cv::Scalar(0, 0, 0, 255);
      const auto name = "class" + std::to_string(c) + "/" + std::to_string(i) + ".png";
      cv::imwrite((folder / "photos" / "train" / name).string(), ink);
    }
  const std::string root = (folder / "photos").string();
  const Arguments data{"--dataset", "folders", "--data-root", root, "--image-size", "28"};
  const Finished trained = run_well(small_training(folder / "run", data));
  EXPECT_THAT(trained.err, testing::ContainsRegex(
                               "note: '.*/train/class[012]/[0-3].png' is transparent in part and laid on white: "));
  EXPECT_EQ(trained.err.find("is transparent"), trained.err.rfind("is transparent"));
  const std::string config = read_file(folder / "run" / "config.toml");
  EXPECT_THAT(config, HasSubstr("\nexif = true\nbackground = 'auto'\n"));
  EXPECT_THAT(run_well(small_training(folder / "white", data + Arguments{"--background", "white"})).err,
              testing::Not(HasSubstr("is transparent")));
  const std::string pack = (folder / "photos.pack").string();
  run_well({"dataset", "pack", "folders", "--data-root", root, "--exif=false", "--out", pack});
  expect_refusal({{"inspect"}, {"photos.pack' was packed with --exif=false, asked is true"}, 2},
                 run_program({"dataset", "inspect", "folders", "--data-root", pack}));
  run_well({"dataset", "inspect", "folders", "--data-root", pack, "--exif=false", "--quick"});
}

TEST(DatasetSplit, WritesWhatSplitFileReads) {
  const TemporaryFolder folder;
  for (int c = 0; c < 8; ++c) write_image(folder / "photos" / ("class" + std::to_string(c)) / "0.png");
  const std::string root = (folder / "photos").string(), file = (folder / "split.csv").string();
  const Finished made = run_well({"dataset", "split", "folders", "--data-root", root, "--split-seed", "3",
                                  "--split-fractions", "0.5,0.25,0.25", "--out", file});
  EXPECT_THAT(made.out, HasSubstr("4 train, 2 val, 2 test"));
  EXPECT_THAT(read_file(file), ::testing::StartsWith("label,split\n"));
  const auto classes = [&](const Arguments& more) {
    const Arguments inspect{"dataset", "inspect", "folders", "--data-root", root, "--json", "--quick"};
    const json inspected = json::parse(run_well(inspect + more).out);
    json of_split = json::object();
    for (const json& s : inspected.at("splits")) of_split[s.at("split").get<std::string>()] = s.at("class_sizes");
    return of_split;
  };
  const json listed = classes({"--split-file", file});
  EXPECT_EQ(listed.size(), 3U);
  EXPECT_EQ(listed, classes({"--split-seed", "3", "--split-fractions", "0.5,0.25,0.25"}));
}

TEST(DatasetPack, TrainsAndEvaluatesToTheSameNumbers) {
  const TemporaryFolder folder;
  write_class_folders(folder / "photos", 3, 4);
  const std::string pack = (folder / "photos.pack").string();
  const Finished packed = run_well(
      {"dataset", "pack", "folders", "--data-root", (folder / "photos").string(), "--image-size", "28", "--out", pack});
  EXPECT_THAT(packed.out, HasSubstr("36 images"));
  EXPECT_THAT(run_well({"dataset", "verify", "folders", "--data-root", pack}).out, HasSubstr("all good"));
  const Arguments data{"--dataset", "folders", "--image-size", "28", "--iterations", "2", "--data-root"};
  run_well(small_training(folder / "a", data + Arguments{(folder / "photos").string()}));
  run_well(small_training(folder / "b", data + Arguments{pack}));
  expect_same_checkpoint(folder / "a" / "last.safetensors", folder / "b" / "last.safetensors");

  const std::string whole = read_file(pack);
  write_file(pack, whole.substr(0, whole.size() - 10));
  expect_refusals({{{"eval", (folder / "b").string()}, {"photos.pack' is truncated or altered: it has"}, 1},
                   {{"dataset", "inspect", "cub", "--data-root", pack}, {"photos.pack' is truncated"}, 1}});
}

// Too few classes to split can be looked at and checked; what is passed over is said once.
TEST(DatasetInspect, ShowsTwoClassesAsOneSplit) {
  const TemporaryFolder folder;
  for (const char* image : {"ant/1.png", "ant/more/2.png", "bee/1.png"}) write_image(folder / "two" / image, 9, 9);
  write_file(folder / "two" / "bee" / "notes.txt", "x");
  const std::string root = (folder / "two").string();
  const Finished shown = run_well({"dataset", "inspect", "folders", "--data-root", root});
  EXPECT_THAT(shown.out, HasSubstr("split seed-0-0,0,1"));
  EXPECT_THAT(shown.out, HasSubstr("pictures of test: all 9x9 pixels; 3 in colour"));
  EXPECT_THAT(shown.out, HasSubstr("note: ignored 1 file without an image extension: '" + root + "/bee/notes.txt'\n"));
  EXPECT_THAT(shown.out, HasSubstr("2 classes, at least 3 are needed to make the splits"));
  const Finished few = run_well({"dataset", "inspect", "folders", "--data-root", root, "--min-images", "2", "--json"});
  EXPECT_EQ(json::parse(few.out).at("splits").at(0).at("class_sizes"), json({{"ant", 2}}));
  const Finished verified = run_well({"dataset", "verify", "folders", "--data-root", root});
  EXPECT_THAT(verified.out,
              HasSubstr("note: read 1 image in folders inside class folders: '" + root + "/ant/more/2.png'\n"));
  EXPECT_THAT(verified.out, HasSubstr("3 images of 1 splits, all good"));
}

TEST(DatasetManifest, BadLinesCostOneLine) {
  const TemporaryFolder folder;
  write_image(folder / "a.png");
  write_file(folder / "m.csv", "path,label\na.png,x\nb.png,y\n");
  const std::string file = (folder / "m.csv").string(), gone = (folder / "gone.csv").string();
  expect_refusals({{{"dataset", "split", "manifest", "--data-root", file, "--out", (folder / "s.csv").string()},
                    {"m.csv", "2 classes, at least 3 are needed", "--split-fractions 0,0,1"}},
                   {{"dataset", "inspect", "manifest", "--data-root", file, "--split-fractions", "1,0,0"},
                    {"m.csv' line 3 names image 'b.png', which is not there"},
                    1},
                   {{"dataset", "inspect", "manifest", "--data-root", gone}, {"gone.csv' does not exist"}},
                   {{"dataset", "pack", "manifest", "--data-root", file}, {"--out"}}});
}

}  // namespace
}  // namespace fewatoms::test
