#include "datasets/forms.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "datasets/dataset.h"
#include "episodes/episode.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/datasets/python.h"
#include "tests/testing.h"

// Every form that Python's tools write (make_forms.py) holds the same images: counts, mean pixel and first episode
// agree.

namespace fewatoms {
namespace {

using nlohmann::json;
using test::class_names;

/// What is compared of a split.
struct Content {
  std::vector<std::string> names;
  std::vector<int> sizes;
  double mean = 0;               // of all pixels
  std::vector<uint8_t> episode;  // the pixels of the first episode, support then query
};

Content content_of(const ImageSource& source) {
  Content content;
  content.names = class_names(source);
  double sum = 0;
  size_t count = 0;
  for (int c = 0; c < source.classes(); ++c) {
    content.sizes.push_back(source.class_size(c));
    for (int i = 0; i < source.class_size(c); ++i) {
      const ImageView view = source.image({c, i, 0});
      for (size_t p = 0; p < view.bytes(); ++p) sum += view.pixels[p];
      count += view.bytes();
    }
  }
  content.mean = sum / static_cast<double>(count);
  const Episode episode = draw_episode(source, {.ways = 2, .shots = 1, .queries = 4}, 0, 0);
  for (const auto* part : {&episode.support, &episode.query})
    for (const EpisodeImage& image : *part) {
      const auto pixels = test::pixels(source.image(image.ref));
      content.episode.insert(content.episode.end(), pixels.begin(), pixels.end());
    }
  return content;
}

class Forms : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    const std::string python = test::python_with("h5py, numpy, PIL");
    if (python.empty()) return;
    folder_ = std::make_unique<test::TemporaryFolder>();
    const auto real = test::sample_folder("mini-imagenet");
    const std::string command = python + " '" + FEWATOMS_SOURCE_DIR + "/tests/datasets/make_forms.py' '" +
                                folder_->path().string() + "'" +
                                (real.empty() ? std::string() : " '" + real.string() + "'");
    ASSERT_EQ(std::system(command.c_str()), 0) << command;
    all_ = json::parse(test::read_file(*folder_ / "forms.json"));
  }
  static void TearDownTestSuite() { folder_.reset(); }
  void SetUp() override {
    if (!folder_)
      GTEST_SKIP() << "no Python 3 with h5py, numpy and PIL (Debian: python3-h5py, python3-numpy, python3-pil)";
  }

  static DatasetOptions options_of(const json& form) {
    DatasetOptions options{
        .name = form["dataset"], .root = *folder_ / form["root"].get<std::string>(), .image_size = form["size"]};
    options.crop = form.value("crop", "none");
    options.split_rule = form.value("split_rule", "");
    return options;
  }

  static std::unique_ptr<test::TemporaryFolder> folder_;
  static json all_;
};
std::unique_ptr<test::TemporaryFolder> Forms::folder_;
json Forms::all_;

TEST_F(Forms, OfTheSameImagesAreTheSame) {
  std::map<std::string, Content> first;                  // by group and split
  std::map<std::string, std::vector<uint8_t>> episodes;  // and by data set, whose name decides which images are drawn
  std::set<std::string> seen;
  for (const json& form : all_["forms"]) {
    SCOPED_TRACE(form.dump());
    const std::string group = form["group"];
    for (const char* split : {"train", "val", "test"}) {
      if (group == "fashion" && split == std::string("val")) continue;
      SCOPED_TRACE(split);
      std::shared_ptr<const ImageSource> source;
      ASSERT_NO_THROW(source = open_dataset(options_of(form), split));
      EXPECT_EQ(source->info().form, form["form"].get<std::string>());
      for (int c = 0; form.value("groups", false) && c < source->classes(); ++c)
        EXPECT_EQ(source->class_group(c), "super_" + std::string(split));
      const Content content = content_of(*source);
      const auto [reference, is_first] = first.emplace(group + " " + split, content);
      const auto [episode, is_new] =
          episodes.emplace(group + " " + split + " " + form["dataset"].get<std::string>(), content.episode);
      EXPECT_TRUE(content.episode == episode->second);
      if (all_["means"].contains(group)) {
        EXPECT_NEAR(content.mean, all_["means"][group][split].get<double>(), 1e-9);
      }
      if (is_first) continue;
      EXPECT_EQ(content.names, reference->second.names);
      EXPECT_EQ(content.sizes, reference->second.sizes);
      EXPECT_EQ(content.mean, reference->second.mean);
    }
    seen.insert(form["dataset"].get<std::string>() + " " + form["form"].get<std::string>());
  }
  EXPECT_EQ(seen.size(), 27u) << "forms that were written";
}

TEST_F(Forms, TwoUnderOneRootAreRefusedByName) {
  const test::TemporaryFolder both;
  for (const char* from : {"mini/ren-protocol4", "mini/hdf5-raw"})
    for (const auto& file : std::filesystem::directory_iterator(*folder_ / from))
      std::filesystem::copy(file.path(), both / file.path().filename());
  const auto message =
      test::message_of<UsageError>([&] { open_dataset({.name = "mini-imagenet", .root = both.path()}, "train"); });
  EXPECT_THAT(message, testing::HasSubstr("two forms of mini-imagenet: pickle-ren ("));
  EXPECT_THAT(message, testing::HasSubstr("mini-imagenet-cache-train.pkl"));
  EXPECT_THAT(message, testing::HasSubstr("torchmeta-hdf5 ("));
  EXPECT_THAT(message, testing::HasSubstr("train_data.hdf5"));
}

// CIFAR's own files know neither of the two data sets made of it: their published splits are built in.
TEST_F(Forms, CifarsOwnFilesAreSplitAsPublished) {
  const test::TemporaryFolder folder;
  test::write_file(
      folder / "write.py",
      "import pickle, sys\nimport numpy as np\nat = sys.argv[1] + '/cifar-100-python/'\n"
      "fine = ['apple', 'beaver', 'bed', 'bear', 'aquarium_fish']\n"
      "coarse = ['aquatic_mammals', 'fish', 'fruit_and_vegetables', 'household_furniture', 'large_carnivores']\n"
      "of = [2, 0, 3, 4, 1]\n"
      "def dump(name, content): pickle.dump(content, open(at + name, 'wb'), protocol=2)\n"
      "dump('meta', {b'fine_label_names': fine, b'coarse_label_names': coarse})\n"
      "for name, each, base in (('train', 2, 0), ('test', 1, 100)):\n"
      "    labels = [i % 5 for i in range(5 * each)]\n"
      "    data = np.zeros((len(labels), 3, 32, 32), np.uint8)\n"
      "    for i, label in enumerate(labels): data[i, 0] = base + i; data[i, 1] = label; data[i, 2, :, 16:] = 9\n"
      "    dump(name, {b'data': data.reshape(len(labels), 3072), b'fine_labels': labels,\n"
      "                b'coarse_labels': [of[l] for l in labels], b'filenames': [b'x'] * len(labels)})\n");
  std::filesystem::create_directories(folder / "cifar-100-python");
  ASSERT_EQ(
      std::system(
          (test::python_with("numpy") + " " + (folder / "write.py").string() + " " + folder.path().string()).c_str()),
      0);
  const auto classes = [&](const char* name, const char* split) {
    return class_names(*open_dataset({.name = name, .root = folder.path()}, split));
  };
  EXPECT_THAT(classes("cifar-fs", "train"), testing::ElementsAre("apple", "aquarium_fish", "bear"));
  EXPECT_THAT(classes("cifar-fs", "val"), testing::ElementsAre("beaver"));
  EXPECT_THAT(classes("cifar-fs", "test"), testing::ElementsAre("bed"));
  EXPECT_THAT(classes("fc100", "train"), testing::ElementsAre("apple", "aquarium_fish", "bed"));
  EXPECT_THAT(classes("fc100", "val"), testing::ElementsAre("bear"));
  EXPECT_THAT(classes("fc100", "test"), testing::ElementsAre("beaver"));
  const auto bed = open_dataset({.name = "cifar-fs", .root = folder / "cifar-100-python"}, "test");
  EXPECT_EQ(bed->info().form, "cifar-python");
  EXPECT_EQ(bed->class_group(0), "household_furniture");
  ASSERT_EQ(bed->class_size(0), 3);  // two of train and one of test
  for (const auto& [image, red] : {std::pair{0, 2}, {1, 7}, {2, 102}}) {
    const auto p = test::pixels(*bed, 0, image);
    EXPECT_THAT((std::vector<int>{p[0], p[1], p[2], p[31 * 3 + 2]}), testing::ElementsAre(red, 2, 0, 9));
  }
  const std::string train = test::read_file(folder / "cifar-100-python/train");
  test::write_file(folder / "cifar-100-python/train", "<html>");
  EXPECT_THAT(test::message_of<DataError>([&] { classes("fc100", "val"); }),
              testing::HasSubstr("train' is a web page (HTML), expected a pickle"));
}

/// Of a filter that nobody knows, and of h5py's own.
TEST_F(Forms, CompressedHdf5IsReadOrItsFilterIsNamed) {
  const test::TemporaryFolder folder;
  test::write_file(
      folder / "write.py",
      "import sys\nimport h5py\nimport numpy as np\n"
      "data = np.kron(np.random.RandomState(0).randint(0, 256, (6, 4, 4, 3)), np.ones((1, 3, 3, 1))).astype(np.uint8)\n"
      "for split in ('train', 'test'):\n"
      "    with h5py.File(sys.argv[1] + '/' + split + '_data.hdf5', 'w') as f:\n"
      "        f.create_dataset('datasets/' + split, data=data, compression='lzf', shuffle=split == 'test')\n"
      "with h5py.File(sys.argv[1] + '/val_data.hdf5', 'w') as f:\n"
      "    space = h5py.h5s.create_simple(data.shape); plan = h5py.h5p.create(h5py.h5p.DATASET_CREATE)\n"
      "    plan.set_chunk((1, 12, 12, 3)); plan.set_filter(32001, h5py.h5z.FLAG_OPTIONAL, (1,))\n"
      "    h5py.h5d.create(f.create_group('datasets').id, b'val', h5py.h5t.STD_U8LE, space, plan)\n"
      "np.save(sys.argv[1] + '/data.npy', data)\n");
  ASSERT_EQ(
      std::system(
          (test::python_with("h5py") + " " + (folder / "write.py").string() + " " + folder.path().string()).c_str()),
      0);
  const std::string expected = test::read_file(folder / "data.npy").substr(128);
  const DatasetOptions options{.name = "mini-imagenet", .root = folder.path(), .image_size = 12};
  for (const char* split : {"train", "test"}) {
    const auto source = open_dataset(options, split);
    for (int i = 0; i < 6; ++i) {
      const auto p = test::pixels(*source, 0, i);
      EXPECT_EQ(std::string(p.begin(), p.end()), expected.substr(static_cast<size_t>(i) * p.size(), p.size()))
          << split << i;
    }
  }
  EXPECT_THAT(test::message_of<DataError>([&] { open_dataset(options, "val"); }),
              testing::HasSubstr("is compressed by HDF5's filter 32001"));
  std::string damaged = test::read_file(folder / "train_data.hdf5");
  std::fill(damaged.end() - 60, damaged.end() - 20, '\xFF');
  test::write_file(folder / "train_data.hdf5", damaged);
  const auto source = open_dataset(options, "train");
  EXPECT_THAT(test::message_of<DataError>([&] {
                for (int i = 0; i < 6; ++i) source->image({0, i, 0});
              }),
              testing::HasSubstr("cannot be read"));
}

/// Bad data in a copy of a form: what is done to it, and part of the line that says so.
struct Bad {
  std::string root;  // the form that is copied
  std::string dataset;
  std::function<void(const std::filesystem::path&)> spoil;
  std::vector<std::string> expected;
  std::string split = "train";
};

void replace_in(const std::filesystem::path& file, const std::string& from, const std::string& to) {
  std::string bytes = test::read_file(file);
  const size_t at = bytes.find(from);
  ASSERT_NE(at, std::string::npos) << file << " without " << from;
  test::write_file(file, bytes.replace(at, from.size(), to));
}

void cut(const std::filesystem::path& file, double share) {
  const std::string bytes = test::read_file(file);
  test::write_file(file, bytes.substr(0, static_cast<size_t>(static_cast<double>(bytes.size()) * share)));
}

/// Decodes everything: some faults show only then.
void read_all(const DatasetOptions& options, const std::string& split) {
  const auto source = open_dataset(options, split);
  for (int c = 0; c < source->classes(); ++c)
    for (int i = 0; i < source->class_size(c); ++i) source->image({c, i, 0});
}

TEST_F(Forms, BadDataIsOneLineThatNamesTheFile) {
  const std::string label =
      open_dataset({.name = "mini-imagenet", .root = *folder_ / "mini/csv-flat"}, "train")->class_name(0);
  const std::string other =
      open_dataset({.name = "mini-imagenet", .root = *folder_ / "mini/csv-flat"}, "val")->class_name(0);
  const auto json_file = [](const std::filesystem::path& file, auto&& change) {
    json content = json::parse(test::read_file(file));
    change(content);
    test::write_file(file, content.dump());
  };
  const std::vector<Bad> table{
      {"mini/csv-flat",
       "mini-imagenet",
       [&](const auto& r) { std::filesystem::remove(r / "images" / (label + "00000001.jpg")); },
       {"train.csv' line", label + "00000001.jpg"}},
      {"mini/csv-flat",
       "mini-imagenet",
       [&](const auto& r) { cut(r / "images" / (label + "00000001.jpg"), 0.6); },
       {label + "00000001.jpg", "truncated"}},
      {"mini/csv-flat",
       "mini-imagenet",
       [&](const auto& r) { replace_in(r / "train.csv", "filename,label\n", ""); },
       {"train.csv'", "expected the header"}},
      {"mini/csv-flat",
       "mini-imagenet",
       [&](const auto& r) { replace_in(r / "val.csv", "," + other, "," + label); },
       {"class '" + label + "' is in two splits", "train.csv", "val.csv"}},
      {"mini/csv-flat",
       "mini-imagenet",
       [&](const auto& r) { replace_in(r / "train.csv", label + "00000002.jpg", label + "00000001.jpg"); },
       {"line 3 repeats image"}},
      {"mini/csv-flat",
       "mini-imagenet",
       [&](const auto& r) { replace_in(r / "train.csv", label + "00000002.jpg", "../../x.jpg"); },
       {"line 3", "leaves the data root"}},
      {"mini/csv-flat",
       "mini-imagenet",
       [&](const auto& r) {
         std::filesystem::remove(r / "images" / (label + "00000002.jpg"));
         std::filesystem::create_symlink("/etc/passwd", r / "images" / (label + "00000002.jpg"));
       },
       {label + "00000002.jpg", "link out of the data root"}},
      {"mini/split-folders",
       "mini-imagenet",
       [](const auto& r) { std::filesystem::create_directories(r / "train/n99999999"); },
       {"class 'n99999999' is empty"}},
      {"mini/ren-protocol4",
       "mini-imagenet",
       [](const auto& r) { cut(r / "mini-imagenet-cache-train.pkl", 0.9); },
       {"cache-train.pkl' is truncated"}},
      {"mini/ren-protocol4",
       "mini-imagenet",
       [](const auto& r) { test::write_file(r / "mini-imagenet-cache-train.pkl", "cos\nsystem\n(S'true'\ntR."); },
       {"cache-train.pkl' asks for the Python global 'os.system', which is refused"}},
      {"mini/ren-python2",
       "mini-imagenet",
       [](const auto& r) { replace_in(r / "mini-imagenet-cache-train.pkl", "(K\x08K\x09", "(K\x08K\xC8"); },
       {"has 32 images, but class", "refers to number 200"}},
      {"mini/ren-python2",
       "mini-imagenet",
       [](const auto& r) { replace_in(r / "mini-imagenet-cache-train.pkl", "(K\x08K\x09", "(K\x08K\x07"); },
       {"has image 7 twice"}},
      {"mini/ren-python2",
       "mini-imagenet",
       [](const auto& r) { replace_in(r / "mini-imagenet-cache-train.pkl", "image_data", "image_date"); },
       {"has no key 'image_data', it has 'image_date'"}},
      {"mini/gidaris-protocol2",
       "mini-imagenet",
       [](const auto& r) {
         replace_in(r / "miniImageNet_category_split_train_phase_train.pickle", "K\x01K\x01K\x01K\x01",
                    "K\x01K\x01K\x01K\x63");
       },
       {"train_phase_train.pickle' gives image", "the label 99"}},
      {"mini/hdf5-raw",
       "mini-imagenet",
       [](const auto& r) { cut(r / "train_data.hdf5", 0.8); },
       {"train_data.hdf5' cannot be opened as HDF5", "truncated"}},
      {"mini/hdf5-raw",
       "mini-imagenet",
       [](const auto& r) { test::write_file(r / "train_data.hdf5", "text"); },
       {"train_data.hdf5' cannot be opened as HDF5"}},
      {"mini/hdf5-raw",
       "mini-imagenet",
       [&](const auto& r) { json_file(r / "train_labels.json", [](json& j) { j.push_back("n99999999"); }); },
       {"train_data.hdf5' has no 'datasets/n99999999'"}},
      {"mini/hdf5-raw",
       "mini-imagenet",
       [&](const auto& r) { test::write_file(r / "train_labels.json", "[\"n1\","); },
       {"train_labels.json' is no JSON"}},
      {"mini/hdf5-encoded",
       "mini-imagenet",
       [&](const auto& r) { replace_in(r / "train_data.hdf5", "\xFF\xD9", "\xFF\xD0"); },
       {"train_data.hdf5' dataset 'datasets/", "truncated or damaged"}},
      {"tiered/npz",
       "tiered-imagenet",
       [](const auto& r) { cut(r / "train_images.npz", 0.7); },
       {"train_images.npz' is damaged or truncated"}},
      {"tiered/npz",
       "tiered-imagenet",
       [](const auto& r) { std::filesystem::remove(r / "train_labels.pkl"); },
       {"train_labels.pkl' cannot be opened"}},
      {"tiered/npz",
       "tiered-imagenet",
       [](const auto& r) {
         std::filesystem::copy_file(r / "val_labels.pkl", r / "train_labels.pkl",
                                    std::filesystem::copy_options::overwrite_existing);
       },
       {"train_images.npz' has 32 images for 24 labels"}},
      {"tiered/png-protocol4",
       "tiered-imagenet",
       [](const auto& r) { cut(r / "train_images_png.pkl", 0.5); },
       {"train_images_png.pkl' is truncated"}},
      {"folders/filelist",
       "folders",
       [&](const auto& r) { json_file(r / "base.json", [](json& j) { j["image_labels"][3] = 10; }); },
       {"base.json' image 3 has the label 10, expected 0 to 9"}},
      {"folders/filelist",
       "folders",
       [&](const auto& r) { json_file(r / "base.json", [](json& j) { j["image_names"][3] = j["image_names"][2]; }); },
       {"base.json' image 3 repeats"}},
      {"folders/filelist",
       "folders",
       [&](const auto& r) { json_file(r / "base.json", [](json& j) { j["image_names"][3] = "../x.jpg"; }); },
       {"base.json' image 3", "leaves the data root"}},
      {"folders/filelist",
       "folders",
       [&](const auto& r) { json_file(r / "base.json", [](json& j) { j.erase("label_names"); }); },
       {"base.json' has no list 'label_names'"}},
      {"folders/classes-plain",
       "folders",
       [&](const auto& r) { json_file(r / "train.json", [](json& j) { j.push_back("gone"); }); },
       {"train.json' class 'gone' has no folder"}},
      {"folders/classes-plain",
       "folders",
       [&](const auto& r) { json_file(r / "train.json", [&](json& j) { j.push_back(other); }); },
       {"class '" + other + "' is in two splits"}},
      {"folders/npy",
       "folders",
       [&](const auto& r) { cut(r / "train" / label / "0000.npy", 0.9); },
       {"0000.npy' has", "bytes, expected 21168"}},
      {"cub/official",
       "cub",
       [](const auto& r) { replace_in(r / "CUB_200_2011/image_class_labels.txt", "1 1", "1 201"); },
       {"image_class_labels.txt' line 1", "expected a class from 1 to 200"}},
      {"fashion/gz",
       "fashion-mnist",
       [](const auto& r) { cut(r / "train-images-idx3-ubyte.gz", 0.5); },
       {"idx3-ubyte.gz' is truncated or damaged"}},
      {"omniglot/zips",
       "omniglot",
       [](const auto& r) { cut(r / "images_background.zip", 0.5); },
       {"images_background.zip' is damaged or truncated"}},
  };
  for (const Bad& bad : table) {
    const test::TemporaryFolder copy;
    std::filesystem::copy(*folder_ / bad.root, copy / "root", std::filesystem::copy_options::recursive);
    bad.spoil(copy / "root");
    const auto message =
        test::message_of<DataError>([&] { read_all({.name = bad.dataset, .root = copy / "root"}, bad.split); });
    for (const auto& expected : bad.expected) EXPECT_THAT(message, testing::HasSubstr(expected));
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    if (std::getenv("FEWATOMS_SHOW_LINES") != nullptr) std::printf("%s: %s\n", bad.root.c_str(), message.c_str());
  }
}

}  // namespace
}  // namespace fewatoms
