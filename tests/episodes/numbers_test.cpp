#include "episodes/numbers.h"

#include <gmock/gmock.h>

#include <cstdio>

#include "tests/testing.h"

namespace fewatoms {
namespace {

using test::CommaLocale;
using test::message_of;
using ::testing::HasSubstr;

TEST(Numbers, LeadingZerosHaveNoMeaning) {
  EXPECT_EQ(parsed_number<int>("010"), 10);
  EXPECT_EQ(parsed_number<int>("08"), 8);
  EXPECT_EQ(parsed_number<uint64_t>("0100"), 100U);
  EXPECT_EQ(parsed_number<double>("007.50"), 7.5);
  EXPECT_EQ(parsed_number<int>("-03"), -3);
}

TEST(Numbers, TheWholeTextIsADecimalNumber) {
  for (const char* text : {"", " ", " 1", "1 ", "+1", "0x10", "0b1", "1_000", "1'000", "1,5", "one", "-", "1e3", "1.0",
                           "nan", "inf", "\xD9\xA1"})
    EXPECT_EQ(parsed_number<int>(text), std::nullopt) << text;
  for (const char* text : {"", "1,5", "nan", "inf", "-inf", "NaN", "1e999", "0x1p3", "1.2.3", "1e", "+1", " 1"})
    EXPECT_EQ(parsed_number<double>(text), std::nullopt) << text;
  EXPECT_EQ(parsed_number<double>("1e-3"), 1e-3);
}

TEST(Numbers, WhatTheTypeCannotHoldIsNone) {
  EXPECT_EQ(parsed_number<uint64_t>("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(parsed_number<uint64_t>("18446744073709551616"), std::nullopt);
  EXPECT_EQ(parsed_number<uint64_t>("-1"), std::nullopt);
  EXPECT_EQ(parsed_number<int>("2147483648"), std::nullopt);
  EXPECT_EQ(parsed_number<int64_t>("-9223372036854775808"), INT64_MIN);
}

TEST(Numbers, ARefusalSaysWhatWasGivenAndWhatWasExpected) {
  EXPECT_EQ(number_error("08x", 0, 1024), "'08x' is not a whole number from 0 to 1024");
  EXPECT_EQ(number_error("1025", 0, 1024), "'1025' is not a whole number from 0 to 1024");
  EXPECT_EQ(number_error("1024", 0, 1024), "");
  EXPECT_EQ(number_error("-1", uint64_t{0}, UINT64_MAX), "'-1' is not a whole number from 0 to 18446744073709551615");
  EXPECT_EQ(number_error<double>("x"), "'x' is not a number");
  EXPECT_EQ(number_error("-1", 0.0, std::numeric_limits<double>::max()), "'-1' is not a number of at least 0");
  EXPECT_EQ(number_error("1e-10", 1e-9, 1e9), "'1e-10' is not a number from 1e-09 to 1e+09");
  EXPECT_EQ(read_number("12", 0, 12), 12);
  EXPECT_EQ(message_of<UsageError>([] { read_number("13", 0, 12); }), "'13' is not a whole number from 0 to 12");
  EXPECT_EQ((message_of<DataError>([] { read_number<int, DataError>("x", 0, 1, "'a.csv' line 3: "); })),
            "'a.csv' line 3: 'x' is not a whole number from 0 to 1");
}

TEST(Numbers, ListsHaveOneSeparatorBetween) {
  EXPECT_EQ(parsed_numbers<int>("0,01,5"), (std::vector<int>{0, 1, 5}));
  EXPECT_EQ(parsed_numbers<double>("0.25"), std::vector<double>{0.25});
  for (const char* text : {"", ",", "1,", ",1", "1,,2", "1;2", "1, 2"})
    EXPECT_EQ(parsed_numbers<int>(text), std::nullopt) << text;
}

TEST(Numbers, TextReadsBackToTheSameNumber) {
  for (const double value : {0.1, 1.0 / 3, 1e300, 5e-324, -0.05, 1e9, 123456789.125})
    EXPECT_EQ(parsed_number<double>(number_text(value)), value);
  EXPECT_EQ(number_text(0.05), "0.05");
  EXPECT_EQ(real_text(1), "1.0");
  EXPECT_EQ(real_text(0.5), "0.5");
  EXPECT_EQ(real_text(1e9), "1e+09");
  for (const double value : {0.0, 1.0 / 3, 12.345, -2.5, 99.995, 1e17, 1e300}) {
    char printed[400];
    std::snprintf(printed, sizeof printed, "%.2f", value);
    EXPECT_EQ(fixed_text(value, 2), printed);
  }
}

TEST(Numbers, NoLocaleChangesThem) {
  const CommaLocale locale;
  EXPECT_EQ(parsed_number<double>("0.5"), 0.5);
  EXPECT_EQ(parsed_number<double>("0,5"), std::nullopt);
  EXPECT_EQ(number_text(0.05), "0.05");
  EXPECT_EQ(number_text(1234567), "1234567");
  EXPECT_EQ(real_text(12345), "12345.0");
  EXPECT_EQ(fixed_text(1234.5, 2), "1234.50");
}

}  // namespace
}  // namespace fewatoms
