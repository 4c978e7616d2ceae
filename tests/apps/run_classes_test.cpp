#include "apps/run_classes.h"

#include "episodes/errors.h"
#include "tests/apps/program.h"

// What a run remembers of its classes, and what it is told when they have changed.
namespace fewatoms::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

SplitClasses split(const std::string& name, const std::vector<std::string>& classes, int images = 4) {
  SplitClasses split;
  split.split = name;
  for (const std::string& c : classes) split.classes.push_back({.name = c, .images = images, .files = "names"});
  return split;
}

/// Trained on a, b, c and d, of which d is there for validation; e is val, f and g are test; z was trained earlier.
RunClasses trained() {
  RunClasses classes;
  classes.dataset = "folders";
  classes.form = "class-folders";
  classes.split_rule = "seed-0";
  classes.splits = {split("train", {"a", "b", "c"}), split("val-from-train", {"d"}), split("val", {"e"}),
                    split("test", {"f", "g"})};
  classes.trained_before = {"z"};
  return classes;
}

std::vector<std::string> tested(const SplitClasses& classes, bool own = true, bool allow = false) {
  return check_tested("run", trained(), classes, own, allow);
}
std::string refused(const SplitClasses& classes, bool own = true) {
  return message_of<UsageError>([&] { tested(classes, own); });
}

TEST(RunClasses, TestingWhatWasTrainedOrChangedItsSplitIsRefused) {
  EXPECT_THAT(tested(split("test", {"f", "g"})), IsEmpty());
  EXPECT_THAT(refused(split("test", {"b", "f"})),
              AllOf(HasSubstr("run 'run' was trained on 1 of the 2 classes of split test ('b')"),
                    HasSubstr("class 'b' was in train and is in test now"), HasSubstr("--allow-class-overlap")));
  EXPECT_THAT(refused(split("test", {"e", "f", "g"})),
              AllOf(HasSubstr("split anew"), HasSubstr("class 'e' was in val and is in test now")));
  EXPECT_THAT(refused(split("test", {"d", "f"})), HasSubstr("class 'd' was in train and is in test now"));
  EXPECT_THAT(refused(split("test", {"f", "z"})), HasSubstr("trained on 1 of the 2 classes"));
  EXPECT_THAT(refused(split("val", {"e", "g"})), HasSubstr("class 'g' was in test and is in val now"));
  EXPECT_THAT(refused(split("all", {"a", "b", "c", "d", "e", "f", "g"})), HasSubstr("trained on 3 of the 7"));
  EXPECT_THAT(tested(split("test", {"b", "e", "f"}), true, true),
              ElementsAre(HasSubstr("trained on 1 of the 3"), HasSubstr("lacks 1 class ('g')")));
}

TEST(RunClasses, ClassesThatWereAddedOrLeftOutGetANotice) {
  EXPECT_THAT(tested(split("test", {"f", "h"})), ElementsAre(HasSubstr("split test has 1 class ('h') that run 'run'"),
                                                             HasSubstr("split test lacks 1 class ('g')")));
  RunClasses unread = trained();
  unread.splits.pop_back();  // a test split that could not be opened says nothing
  EXPECT_THAT(check_tested("run", unread, split("test", {"x"}), true, false), IsEmpty());
}

TEST(RunClasses, TrainingClassesMayBeTestedOnPurpose) {
  EXPECT_THAT(tested(split("train", {"a", "b", "c", "d"})), ElementsAre(HasSubstr("trained on 3 of the classes")));
  EXPECT_THAT(refused(split("train", {"a", "f"})), HasSubstr("class 'f' was in test and is in train now"));
  RunClasses shared = trained();  // a data set whose splits have the same classes, with other images
  shared.splits = {split("train", {"a", "b"}), split("test", {"a", "b"})};
  EXPECT_THAT(check_tested("run", shared, split("test", {"a", "b"}), true, false),
              ElementsAre(HasSubstr("trained on the classes of split test")));
}

TEST(RunClasses, OtherDataMustHaveNoClassThatWasTrained) {
  EXPECT_THAT(tested(split("test", {"x", "y"}), false), IsEmpty());
  EXPECT_THAT(tested(split("all", {"f", "x"}), false), IsEmpty());
  EXPECT_THAT(tested(split("all", {"d", "e", "x"}), false), ElementsAre(HasSubstr("validated on 2 classes")));
  EXPECT_THAT(refused(split("train", {"a", "x"}), false), HasSubstr("('a')"));
  EXPECT_THAT(refused(split("all", {"z"}), false), HasSubstr("('z')"));
}

TEST(RunClasses, AResumedRunMustFindItsClassesWhereTheyWere) {
  const auto resumed = [](const RunClasses& now, bool same_images = false, bool allow = false) {
    return check_resumed("run", trained(), now, same_images, allow);
  };
  const auto refused_to_resume = [&](const RunClasses& now, bool same_images = false) {
    return message_of<UsageError>([&] { resumed(now, same_images); });
  };
  EXPECT_THAT(resumed(trained(), true), IsEmpty());
  RunClasses now = trained();
  now.splits[0] = split("train", {"a", "b", "d"});  // what validation took is not what it took before
  now.splits[1] = split("val-from-train", {"c"});
  EXPECT_THAT(refused_to_resume(now), AllOf(HasSubstr("class 'c' was in train and is in val-from-train now"),
                                            HasSubstr("1 more"), HasSubstr("--allow-class-overlap")));
  EXPECT_THAT(resumed(now, false, true), ElementsAre(HasSubstr("split anew")));
  EXPECT_THAT(with_history(now, trained()).trained_before, ElementsAre("c", "z"));

  now = trained();
  now.splits[0] = split("train", {"a", "b", "h"});
  EXPECT_THAT(resumed(now), ElementsAre(HasSubstr("has 1 class ('h')"), HasSubstr("lacks 1 class ('c')")));
  EXPECT_THAT(refused_to_resume(now, true), AllOf(HasSubstr("has 1 class ('h')"), HasSubstr("--init")));
  now = trained();
  now.splits[0].classes[1].images = 3;
  EXPECT_THAT(resumed(now), ElementsAre(HasSubstr("class 'b' has 3 images, it had 4")));
  EXPECT_THAT(refused_to_resume(now, true), HasSubstr("class 'b' has 3 images, it had 4"));
  now.splits[0].skipped = 1;  // --skip-bad
  EXPECT_THAT(resumed(now, true), IsEmpty());
  now = trained();
  now.splits[0].classes[2].files = "others";
  EXPECT_THAT(refused_to_resume(now, true), HasSubstr("class 'c' has images of other names"));
  RunClasses before = trained();
  before.splits[0].classes[0].brightness = 100;
  now = before;
  now.splits[0].classes[0].brightness = 100.5;  // as another decoder has it
  EXPECT_THAT(check_resumed("run", before, now, true, false), IsEmpty());
  now.splits[0].classes[0].brightness = 120;
  EXPECT_THAT(message_of<UsageError>([&] { check_resumed("run", before, now, true, false); }),
              HasSubstr("class 'a' has other pictures under the same names"));
}

TEST(RunClasses, AreReadAsTheyWereWrittenOrRefused) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_run_classes(folder.path()), std::nullopt);
  RunClasses classes = trained();
  classes.splits[0].classes[0].name = "\"owl\"\n\xc3\xa9";
  classes.splits[0].classes[0].brightness = 12.25;
  write_run_classes(folder.path(), classes);
  const RunClasses read = read_run_classes(folder.path()).value();
  EXPECT_TRUE(same_classes(read, classes));
  EXPECT_EQ(read.splits[0].classes[0].name, classes.splits[0].classes[0].name);
  EXPECT_EQ(read.splits[0].classes[0].brightness, 12.25);
  EXPECT_EQ(read.splits[1].split, "val-from-train");
  EXPECT_EQ(read.trained_before, classes.trained_before);

  const std::string text = read_file(folder / "classes.json");
  const auto damaged = [&](const std::string& bytes) {
    write_file(folder / "classes.json", bytes);
    return message_of<DataError>([&] { read_run_classes(folder.path()); });
  };
  EXPECT_THAT(damaged(text.substr(0, text.size() / 2)), HasSubstr("classes.json' is damaged"));
  EXPECT_THAT(damaged("[]"), HasSubstr("classes.json' is damaged"));
  std::string other = text;
  other.replace(other.find("\"b\""), 3, "\"B\"");
  EXPECT_THAT(damaged(other), HasSubstr("was altered"));
  other = text;
  other.replace(other.find("\"version\": 1"), 12, "\"version\": 2");
  EXPECT_THAT(damaged(other), HasSubstr("version 2, expected fewatoms-classes of version 1"));
}

/// `count` class folders of three pictures each, from class `first` on.
void write_photos(const fs::path& root, int count, int first = 0, double shade = 0) {
  for (int c = first; c < first + count; ++c)
    for (int i = 0; i < 3; ++i)
      write_image(root / ("class" + std::to_string(100 + c)) / (std::to_string(i) + ".png"), 28, 28,
                  {20.0 * (c % 10), 250.0 - 20 * (c % 10), shade + 20.0 * i});
}

Arguments photo_training(const fs::path& out, const fs::path& root, const Arguments& more = {}) {
  return small_training(out, Arguments{"--method", "protonet", "--inner-steps", "0", "--width", "4", "--ways", "2",
                                       "--queries", "1", "--meta-batch", "1", "--dataset", "folders", "--data-root",
                                       root.string(), "--image-size", "28", "--quiet"} +
                                 more);
}

Arguments photo_eval(const fs::path& run, const Arguments& more = {}) {
  return Arguments{"eval", run.string(), "--episodes", "2", "--threads", "1"} + more;
}

size_t notes(const Finished& finished) {
  size_t count = 0;
  for (size_t at = finished.err.find("note: "); at != finished.err.npos; at = finished.err.find("note: ", at + 1))
    ++count;
  return count;
}

TEST(RunClasses, AFolderAddedToTheDataReshufflesThemAndEveryCommandSaysSo) {
  const TemporaryFolder folder;
  const fs::path photos = folder / "photos", run = folder / "run";
  write_photos(photos, 10);
  run_well(photo_training(run, photos));
  const json classes = json::parse(read_file(run / "classes.json"));
  EXPECT_EQ(classes.at("format"), "fewatoms-classes");
  EXPECT_EQ(classes.at("split_rule"), "seed-0");
  std::vector<size_t> sizes;
  for (const json& s : classes.at("splits")) sizes.push_back(s.at("classes").size());
  EXPECT_THAT(sizes, ElementsAre(6U, 2U, 2U));
  const Finished before = run_well(photo_eval(run));
  EXPECT_EQ(before.err, "");
  EXPECT_THAT(run_well(photo_eval(run, {"--split", "train"})).err,
              AllOf(HasSubstr("note: run '"), HasSubstr("was trained on the classes of split train")));

  write_photos(photos, 1, 50);
  const std::string why = "split anew", way = "--allow-class-overlap";
  expect_refusals({
      {photo_eval(run), {run.string(), way}},
      {{"speed", run.string(), "--episodes", "2"}, {run.string(), way}},
      {{"report", run.string(), "--episodes", "2", "--out", (folder / "page.html").string()}, {run.string(), way}},
      {{"train", "--resume", "--out", run.string(), "--iterations", "2"}, {run.string(), why, way}},
  });
  EXPECT_FALSE(fs::exists(folder / "page.html"));
  EXPECT_FALSE(fs::exists(run / ".lock"));
  const Finished allowed = run_well(photo_eval(run, {way, "--json", (folder / "1.json").string()}));
  EXPECT_THAT(allowed.err, HasSubstr("note: "));
  EXPECT_GE(json::parse(read_file(folder / "1.json")).at("notices").size(), 1U);
  fs::remove_all(photos / "class150");
  EXPECT_EQ(run_well(photo_eval(run)).out, before.out);
}

TEST(RunClasses, AResumedRunGoesOnWithItsOwnImagesAlone) {
  const TemporaryFolder folder;
  const fs::path photos = folder / "photos", run = folder / "run";
  write_photos(photos, 10);
  write_photos(folder / "others", 10, 0, 90);  // other pictures under the same names
  fs::copy(photos, folder / "moved", fs::copy_options::recursive);
  fs::copy(photos, folder / "fewer", fs::copy_options::recursive);
  for (const auto& entry : fs::directory_iterator(folder / "fewer")) fs::remove(entry.path() / "2.png");
  run_well(photo_training(run, photos));
  const Arguments resumed = {"train", "--resume", "--out", run.string(), "--iterations", "2", "--quiet"};
  expect_refusals({
      {resumed + Arguments{"--data-root", (folder / "others").string()},
       {"the data root has others", "other pictures under the same names", "--init"}},
      {resumed + Arguments{"--data-root", (folder / "fewer").string()}, {"has 2 images, it had 3"}},
      {resumed + Arguments{"--outer-lr", "0.5"}, {"outer-lr is ", "--init '" + run.string() + "'"}},
  });
  run_well(resumed + Arguments{"--data-root", (folder / "moved").string(), "--skip-bad", "--cache-mb", "7",
                               "--log-level", "off", "--checkpoint-every", "3"});
  EXPECT_EQ(run_well(photo_eval(run)).err, "");
  const std::string config = read_file(run / "config.toml");
  for (const char* line : {"skip-bad = true", "cache-mb = 7", "iterations = 2"}) EXPECT_THAT(config, HasSubstr(line));
}

TEST(RunClasses, OtherDataWithoutSplitsAreTestedWhole) {
  const TemporaryFolder folder;
  const fs::path photos = folder / "photos", birds = folder / "birds", run = folder / "run";
  write_photos(photos, 8);
  write_photos(birds, 5, 60);
  write_file(folder / "split.csv",
             "label,split\nclass100,train\nclass101,train\nclass102,train\nclass103,test\nclass104,test\n");
  run_well(photo_training(run, photos, {"--split-file", (folder / "split.csv").string()}));
  const auto on_birds = [&](const Arguments& more = {}) {
    return photo_eval(run, Arguments{"--data-root", birds.string()} + more);
  };
  const Finished whole = run_well(on_birds({"--ways", "5"}));
  EXPECT_THAT(whole.err, HasSubstr("none of their 5 classes: all are tested"));
  EXPECT_THAT(whole.out, HasSubstr("on folders all: 5-way"));
  const Finished part = run_well(on_birds({"--split", "test", "--split-fractions", "0.4,0,0.6"}));
  EXPECT_EQ(part.err, "");
  EXPECT_THAT(part.out, HasSubstr("on folders test: 2-way"));
  write_file(folder / "birds.csv", "label,split\nclass160,test\nclass161,test\nclass164,train\n");
  const Finished listed = run_well(on_birds({"--split-file", (folder / "birds.csv").string()}));
  EXPECT_THAT(listed.err, HasSubstr("2 of the 5 classes are not in"));

  expect_refusals({
      {on_birds({"--split-fractions", "0.4,0,0.6", "--ways", "4"}), {"4", "3 classes"}},
      {photo_eval(run, {"--split", "all"}), {"trained on 3 of the 8 classes of split all", "--allow-class-overlap"}},
      {on_birds({"--split-file", "x", "--split-seed", "1"}), {"--split-file says"}},
      {photo_eval(run, {"--split", "every"}), {"'every'"}},
  });
  EXPECT_THAT(run_well(photo_eval(run, {"--split", "all", "--allow-class-overlap", "--ways", "8"})).out,
              HasSubstr("on folders all: 8-way"));
  run_well({"report", run.string(), "--data-root", birds.string(), "--episodes", "2", "--timed-tasks", "0", "--out",
            (folder / "page.html").string()});
  EXPECT_THAT(read_file(folder / "page.html"), HasSubstr("--split all"));
  EXPECT_THAT(run_well({"speed", run.string(), "--data-root", birds.string(), "--episodes", "2"}).out,
              HasSubstr("folders all, 2-way"));
}

TEST(RunClasses, ARunThatDoesNotKnowThemWorksWithOneNotice) {
  const TemporaryFolder folder;
  const fs::path run = copy_of_shared_run(folder);
  fs::remove(run / "classes.json");
  const Finished eval = run_well({"eval", run.string(), "--episodes", "2"});
  EXPECT_EQ(notes(eval), 1U) << eval.err;
  EXPECT_THAT(eval.err, HasSubstr("it has no classes.json"));
  const Finished resumed = run_well({"train", "--resume", "--out", run.string(), "--iterations", "5"});
  EXPECT_THAT(resumed.err, HasSubstr("from here on it remembers them"));
  EXPECT_TRUE(fs::exists(run / "classes.json"));
  EXPECT_EQ(run_well({"eval", run.string(), "--episodes", "2"}).err, "");
  write_file(run / "classes.json", "{}");
  expect_refusals({{{"eval", run.string(), "--episodes", "2"}, {"classes.json' is damaged"}, 1}});
}

TEST(RunClasses, ARunRemembersWhatTheRunThatItStartedFromWasTrainedOn) {
  const TemporaryFolder folder;
  write_photos(folder / "photos", 10);
  run_well(photo_training(folder / "first", folder / "photos"));
  run_well(photo_training(folder / "second", folder / "photos",
                          {"--split-seed", "1", "--init", (folder / "first").string()}));
  expect_refusals({{photo_eval(folder / "second"), {"was trained on", "classes of split test"}}});
}

TEST(RunClasses, ACompareGoesOnWithChangedDataAsItsRunsWould) {
  const TemporaryFolder folder;
  const fs::path list = folder / "list.csv";
  const auto write_list = [&](const std::vector<std::pair<std::string, std::string>>& classes) {
    std::string text = "path,label,split\n";
    for (const auto& [name, in] : classes)
      for (int i = 0; i < 3; ++i) {
        const std::string path = name + std::to_string(i) + ".png";
        write_image(folder / path, 28, 28, {20.0 * i, 60.0 * i, 90});
        text += path + "," + name + "," + in + "\n";
      }
    write_file(list, text);
  };
  const std::vector<std::pair<std::string, std::string>> classes = {
      {"a", "train"}, {"b", "train"}, {"c", "train"}, {"d", "test"}, {"e", "test"}};
  write_list(classes);
  write_file(folder / "grid.toml",
             "dataset = 'manifest'\ndata-root = '" + list.string() +
                 "'\nimage-size = 28\nmethod = 'protonet'\nwidth = 4\nways = 2\nqueries = 1\nmeta-batch = 1\nval-every "
                 "= 0\niterations = 1\n[[target]]\nepisodes = 2\n");
  const Arguments compare = {
      "compare",           "--config", (folder / "grid.toml").string(), "--out", (folder / "out").string(),
      "--report-episodes", "0"};
  EXPECT_THAT(run_well(compare).err, Not(HasSubstr("note: ")));
  EXPECT_THAT(run_well(compare).err, Not(HasSubstr("evaluation on")));

  auto more = classes;
  more.emplace_back("f", "test");
  write_list(more);
  const Finished added = run_well(compare);  // its test has one class more
  EXPECT_THAT(added.err, AllOf(HasSubstr("split test has 1 class ('f')"), HasSubstr("evaluation on")));
  auto moved = classes;
  moved[0].second = "test";
  write_list(moved);
  expect_refusals({{compare, {"was trained on 1 of the 3 classes of split test ('a')", "--allow-class-overlap"}}});
  EXPECT_THAT(run_well(compare + Arguments{"--allow-class-overlap"}).err, HasSubstr("note: run '"));
}

}  // namespace
}  // namespace fewatoms::test
