#include "episodes/errors.h"

#include <gtest/gtest.h>

namespace fewatoms {
namespace {

TEST(UnknownName, OffersTheNearestAndListsAll) {
  EXPECT_EQ(unknown_name("method", "mamml", {"anil", "maml", "fomaml"}),
            "unknown method 'mamml', did you mean 'maml'? (one of anil, maml, fomaml)");
}

TEST(UnknownName, CountsInsertionsDeletionsAndSubstitutions) {
  EXPECT_NE(unknown_name("x", "abc", {"zzzzzz", "bc"}).find("'bc'?"), std::string::npos);
  EXPECT_NE(unknown_name("x", "", {"long-name", "a"}).find("'a'?"), std::string::npos);
}

TEST(Errors, CallersMistakesAndBadDataAreDifferentTypes) {
  EXPECT_THROW(throw UsageError("u"), UsageError);
  try {
    throw DataError("d");
  } catch (const UsageError&) {
    FAIL();
  } catch (const std::runtime_error& error) {
    EXPECT_STREQ(error.what(), "d");
  }
}

}  // namespace
}  // namespace fewatoms
