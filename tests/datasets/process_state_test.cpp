// The libraries leave the process as they found it.

#include <gtest/gtest.h>
#include <hdf5.h>

#include <clocale>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>

#include "datasets/dataset.h"
#include "datasets/hdf5_images.h"
#include "episodes/errors.h"
#include "tests/datasets/images.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

herr_t print_nothing(hid_t, void*) { return 0; }

TEST(ProcessState, ReadingHdf5LeavesItsErrorHandlerAndPlugins) {
  const test::TemporaryFolder folder;
  test::write_file(folder / "broken.hdf5", "\x89HDF\r\n\x1a\n and nothing more");
  int mine = 0;
  H5Eset_auto2(H5E_DEFAULT, print_nothing, &mine);
  H5PLset_loading_state(H5PL_FILTER_PLUGIN);
  EXPECT_THROW(hdf5_names(open_file_tree(folder.path()), "broken.hdf5", "datasets"), DataError);
  H5E_auto2_t handler = nullptr;
  void* data = nullptr;
  unsigned loading = 0;
  H5Eget_auto2(H5E_DEFAULT, &handler, &data);
  H5PLget_loading_state(&loading);
  EXPECT_EQ(handler, print_nothing);
  EXPECT_EQ(data, &mine);
  EXPECT_EQ(loading, static_cast<unsigned>(H5PL_FILTER_PLUGIN));
}

TEST(ProcessState, ReadingPicturesLeavesOpenCvsThreadsAndLogAndTheLocale) {
  const int threads = cv::getNumThreads();
  const auto level = cv::utils::logging::getLogLevel();
  const std::string locale = std::setlocale(LC_ALL, nullptr);
  cv::setNumThreads(3);
  const int three = cv::getNumThreads();
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_ERROR);
  const auto source = open_dataset({}, "test");
  EXPECT_FALSE(test::pixels(*source, 0, 0).empty());
  EXPECT_EQ(cv::getNumThreads(), three);
  EXPECT_EQ(cv::utils::logging::getLogLevel(), cv::utils::logging::LOG_LEVEL_ERROR);
  EXPECT_EQ(std::setlocale(LC_ALL, nullptr), locale);
  cv::setNumThreads(threads);
  cv::utils::logging::setLogLevel(level);
}

}  // namespace
}  // namespace fewatoms
