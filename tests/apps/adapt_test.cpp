#include "tests/apps/program.h"

#include <cstdlib>
#include <sstream>

namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::HasSubstr;

json read_json(const fs::path& file) { return json::parse(read_file(file)); }

/// Class folders of pictures of any size in several formats, of stripes that tell the classes apart.
void write_pictures(const fs::path& root, const std::vector<std::string>& classes, int images, int first = 0) {
  const char* extensions[] = {".png", ".jpg", ".bmp", ".webp", ".tiff"};
  for (size_t c = 0; c < classes.size(); ++c)
    for (int i = first; i < first + images; ++i) {
      cv::Mat picture(40 + 9 * i, 50 + 7 * i, CV_8UC3);
      for (int y = 0; y < picture.rows; ++y)
        for (int x = 0; x < picture.cols; ++x) {
          const double at = c == 0   ? 8.0 * x / picture.cols
                            : c == 1 ? 8.0 * y / picture.rows
                                     : 5.0 * (1.0 * x / picture.cols + 1.0 * y / picture.rows);
          picture.at<cv::Vec3b>(y, x) = cv::Vec3b::all(static_cast<uint8_t>(128 + 90 * std::sin(3.14 * at + i)));
        }
      const fs::path file = root / classes[c] / (std::to_string(i) + extensions[i % 5]);
      fs::create_directories(file.parent_path());
      if (!cv::imwrite(file.string(), picture)) throw std::runtime_error("cannot write " + file.string());
    }
}

TEST(Adapt, FromFoldersOfPicturesToLabels) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string(), adapter = (folder / "task.safetensors").string(),
                    two = (folder / "two.safetensors").string();
  const auto before = contents(run);
  const std::vector<std::string> classes = {"across", "down", "slanted <b>"};
  write_pictures(folder / "support", classes, 5);
  write_pictures(folder / "query", classes, 3, 5);
  write_pictures(folder / "pair", {"left", "right"}, 2);

  const Finished adapted =
      run_well({"adapt", run, "--support", (folder / "support").string(), "--query", (folder / "query").string(),
                "--inner-steps", "20", "--out", adapter, "--json", (folder / "adapt.json").string()});
  EXPECT_THAT(adapted.out, HasSubstr("adapted to 3 classes by 15 images in 20 steps"));
  EXPECT_THAT(adapted.out, HasSubstr("162 atom, 27 head"));
  const json result = read_json(folder / "adapt.json");
  EXPECT_EQ(result.at("bytes"), fs::file_size(adapter));
  EXPECT_LT(result.at("bytes").get<int>(), 4096);
  EXPECT_EQ(result.at("query_images"), 9);

  run_well({"adapt", run, "--support", (folder / "pair").string(), "--out", two});  // a spare output is masked

  // Folders, files and standard input; alone and among others; several adapters.
  const Finished all = run_well({"predict", run, (folder / "query").string(), "--adapter", adapter, "--adapter", two,
                                 "--json", (folder / "all.json").string(), "--csv", (folder / "all.csv").string()});
  const json predictions = read_json(folder / "all.json");
  ASSERT_EQ(predictions.size(), 18U);
  int right = 0;
  for (size_t i = 0; i < predictions.size(); ++i) {
    const json& p = predictions[i];
    double sum = 0;
    for (const auto& [name, value] : p.at("probabilities").items()) sum += value.get<double>();
    EXPECT_NEAR(sum, 1, 1e-5);
    EXPECT_EQ(p.at("probabilities").size(), i % 2 == 0 ? 3U : 2U);
    EXPECT_EQ(p.at("probability"), p.at("probabilities").at(p.at("label").get<std::string>()));
    if (i % 2 == 0)
      right += fs::path(p.at("image").get<std::string>()).parent_path().filename() == p.at("label").get<std::string>();
  }
  EXPECT_NEAR(result.at("accuracy").get<double>(), right / 9.0, 1e-9);
  const std::string picture = predictions[6].at("image");
  const Finished alone =
      run_well({"predict", run, picture, "--adapter", adapter, "--json", (folder / "alone.json").string()});
  EXPECT_EQ(read_json(folder / "alone.json")[0], predictions[6]);
  EXPECT_THAT(all.out, HasSubstr(picture + "\t" + adapter + "\t"));
  const std::string answer = alone.out.substr(alone.out.find('\t'));
  const Finished behind =
      run_well({"predict", run, "--adapter", adapter, picture, picture});  // pictures are not adapters
  EXPECT_EQ(behind.out, alone.out + alone.out);
  const std::string predict =
      std::string("'") + FEWATOMS_PROGRAM + "' predict '" + run + "' - --adapter '" + adapter + "'";
  EXPECT_EQ(shell("printf '%s\\n' '" + picture + "' | " + predict), alone.out);
  EXPECT_EQ(shell(predict + " < '" + picture + "'"), "-" + answer);
  EXPECT_EQ(std::count(all.out.begin(), all.out.end(), '\n'), 18);
  EXPECT_THAT(read_file(folder / "all.csv"), ::testing::StartsWith("image,adapter,label,probability\n"));

  const Finished shown = run_well({"adapter", "inspect", adapter});
  for (const char* words :
       {"3 classes: across down slanted <b>", "acdc-maml", "15 support images, 20 inner steps", "block2.conv.atoms"})
    EXPECT_THAT(shown.out, HasSubstr(words));
  EXPECT_EQ(json::parse(run_well({"adapter", "inspect", adapter, "--json"}).out).at("adapted"), 189);
  EXPECT_EQ(contents(run), before);
}

// The example of the README says what `adapt` and `predict` say.
TEST(Adapt, TheEmbeddedProgramAgrees) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string(), adapter = (folder / "a.safetensors").string();
  write_pictures(folder / "support", {"a", "b", "c"}, 1);
  write_pictures(folder / "query", {"a", "b"}, 1, 1);
  const std::string unknown = (folder / "query" / "b" / "1.jpg").string();
  run_well({"adapt", run, "--support", (folder / "support").string(), "--out", adapter, "--inner-steps",
            "1"});  // as it was trained
  run_well({"predict", run, unknown, "--adapter", adapter, "--json", (folder / "p.json").string()});
  std::string command = std::string("'") + FEWATOMS_EMBED_EXAMPLE + "' '" + run + "'";
  for (const char* name : {"a", "b", "c"}) command += " '" + (folder / "support" / name / "0.png").string() + "'";
  std::istringstream answer(shell(command + " '" + unknown + "'"));
  int best = 0;
  double p[3] = {};
  answer >> best >> p[0] >> p[1] >> p[2];
  const json expected = read_json(folder / "p.json")[0];
  EXPECT_EQ(std::string(1, static_cast<char>('a' + best - 1)), expected.at("label").get<std::string>());
  for (int i = 0; i < 3; ++i)
    EXPECT_NEAR(p[i], expected.at("probabilities").at(std::string(1, static_cast<char>('a' + i))).get<double>(), 1e-4);
}

TEST(Export, WritesPlainKernelsOfTheRunOrOfATask) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string(), adapter = (folder / "a.safetensors").string();
  write_pictures(folder / "support", {"a", "b", "c"}, 2);
  run_well({"adapt", run, "--support", (folder / "support").string(), "--out", adapter, "--inner-steps", "3"});
  EXPECT_THAT(run_well({"export", run, "--out", (folder / "run.st").string()}).out,
              HasSubstr("22 tensors"));  // 4 blocks of 5, and a head
  run_well({"export", run, "--adapter", adapter, "--out", (folder / "task.st").string()});
  const SafeTensors plain = read_safetensors(folder / "run.st"), task = read_safetensors(folder / "task.st");
  ASSERT_EQ(plain.tensors.size(), task.tensors.size());
  EXPECT_EQ(plain.metadata.at("backbone"), "conv4");
  EXPECT_EQ(task.tensors.at("block2.conv.weight").sizes(), (std::vector<int64_t>{8, 8, 3, 3}));
  EXPECT_TRUE(
      task.tensors.at("block1.conv.weight").equal(plain.tensors.at("block1.conv.weight")));  // the stem has no atoms
  EXPECT_FALSE(task.tensors.at("block2.conv.weight").equal(plain.tensors.at("block2.conv.weight")));
  EXPECT_FALSE(task.tensors.at("head.weight").equal(plain.tensors.at("head.weight")));
  expect_refusals({{{"export", run, "--out", (folder / "x").string(), "--format", "onnx"}, {"onnx"}},
                   {{"export", run, "--out", (folder / "x").string(), "--adapter", run + "/best.safetensors"},
                    {"is not an adapter"}}});
}

TEST(Adapt, PicturesThatWereLearnedFromAreNoTest) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string();
  write_pictures(folder / "support", {"across", "down"}, 3);
  write_pictures(folder / "query", {"across", "down"}, 2, 3);
  const Arguments adapt = {
      "adapt", run, "--support", (folder / "support").string(), "--json", (folder / "a.json").string()};
  EXPECT_THAT(run_well(adapt + Arguments{"--query", (folder / "query").string()}).err,
              ::testing::Not(HasSubstr("note:")));
  fs::copy(folder / "support" / "down" / "1.jpg", folder / "query" / "down" / "copy.jpg");
  EXPECT_THAT(
      run_well(adapt + Arguments{"--query", (folder / "query").string()}).err,
      HasSubstr("note: 1 of the 5 pictures of --query are pictures of --support too, the first is 'down/copy.jpg'"));
  EXPECT_EQ(read_json(folder / "a.json").at("query_images_in_support"), 1);
  EXPECT_THAT(run_well(adapt + Arguments{"--query", (folder / "support").string()}).err,
              HasSubstr("note: 6 of the 6 pictures of --query are pictures of --support too"));
}

TEST(Adapt, OneBadPictureAmongManyLeavesTheOthersTheirLabels) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string(), adapter = (folder / "a.safetensors").string(),
                    csv = (folder / "p.csv").string();
  write_pictures(folder / "three", {"a", "b", "c"}, 2);
  run_well({"adapt", run, "--support", (folder / "three").string(), "--out", adapter});
  const Arguments predict = {"predict", run, (folder / "three").string(), "--adapter", adapter, "--csv", csv};
  const Finished good = run_well(predict);
  write_file(folder / "three" / "b" / "0bad.png", "no picture");
  write_file(folder / "three" / "c" / "0bad.jpg", "nor this");
  const Finished some = run_program(predict);
  EXPECT_EQ(some.code, 1);
  EXPECT_EQ(some.out, good.out);
  EXPECT_THAT(some.err, HasSubstr("b/0bad.png' cannot be decoded"));
  EXPECT_THAT(some.err, HasSubstr("c/0bad.jpg' cannot be decoded"));
  EXPECT_THAT(some.err, HasSubstr("fewatoms: 2 of 8 pictures cannot be read"));
  const std::string table = read_file(csv);
  EXPECT_EQ(std::count(table.begin(), table.end(), '\n'), 7);
  const Finished skipped = run_well(predict + Arguments{"--skip-bad"});
  EXPECT_EQ(skipped.out, good.out);
  EXPECT_THAT(skipped.err, HasSubstr("note: 2 of 8 pictures left out"));
  EXPECT_THAT(skipped.err, ::testing::Not(HasSubstr("fewatoms:")));
}

TEST(Adapt, RefusesWhatItCannotDo) {
  const TemporaryFolder folder;
  const std::string run = shared_run().path.string(), adapter = (folder / "a.safetensors").string();
  const auto path = [&](const char* name) { return (folder / name).string(); };
  write_pictures(folder / "four", {"a", "b", "c", "d"}, 1);
  write_pictures(folder / "three", {"a", "b", "c"}, 1);
  write_pictures(folder / "other", {"a", "bb"}, 1);
  write_pictures(folder / "empty", {"a", "b"}, 1);
  fs::create_directories(folder / "empty" / "c");
  write_file(folder / "bad" / "a" / "1.png", "no picture");
  write_file(folder / "bad" / "b" / "1.png", "no picture");
  fs::create_directories(folder / "nothing");
  run_well({"adapt", run, "--support", path("three"), "--out", adapter});
  run_well(small_training(folder / "run2", {"--quiet"}));
  expect_refusals({
      {{"adapt", run, "--support", path("four"), "--out", path("x")}, {"4 classes", "linear head", "3 ways"}},
      {{"adapt", run, "--support", path("three")}, {"--out", "--query"}},
      {{"adapt", run, "--support", path("none"), "--out", path("x")}, {"none", "does not exist"}},
      {{"adapt", run, "--support", path("nothing"), "--out", path("x")}, {"nothing"}},
      {{"adapt", run, "--support", path("empty"), "--out", path("x")}, {"class 'c' is empty"}, 1},
      {{"adapt", run, "--support", path("bad"), "--out", path("x")}, {"1.png", "cannot be decoded"}, 1},
      {{"adapt", run, "--support", path("three"), "--query", path("other")}, {"class 'bb'", "'b'"}},
      {{"adapt", path("nothing"), "--support", path("three"), "--out", path("x")}, {"not a run folder"}},
      {{"predict", path("run2"), path("three"), "--adapter", adapter, "--checkpoint", "last"},
       {"a.safetensors", "another run, 'run'", "best checkpoint, iteration", "seed is 5 there and 0 here"}},
      {{"predict", path("run2"), path("three"), "--adapter", adapter},
       {"a.safetensors", "another run, 'run'", "checkpoint 'best'", "run2", "has none"}},
      {{"predict", run, path("three"), "--adapter", (fs::path(run) / "best.safetensors").string()},
       {"is not an adapter"}},
      {{"predict", run, path("none.png"), "--adapter", adapter}, {"no picture or folder", "none.png"}},
      {{"predict", run, path("nothing"), "--adapter", adapter}, {"holds no pictures"}},
      {{"predict", run, path("bad"), "--adapter", adapter}, {"1.png", "cannot be decoded"}, 1},
      {{"predict", run, "-", "--adapter", adapter}, {"standard input"}},
      {{"predict", run, path("three")}, {"--adapter"}},
      {{"adapter", "inspect", path("none")}, {"no file"}},
  });
  EXPECT_FALSE(fs::exists(folder / "x"));
}

}  // namespace
}  // namespace fewatoms::test
