#include "backbones/safetensors.h"

#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <limits>
#include <thread>

#include "episodes/errors.h"
#include "episodes/random.h"
#include "tests/disk.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using torch::Tensor;

SafeTensors example() {
  SafeTensors contents;
  contents.tensors["kernel"] = at::arange(24, at::kFloat).view({2, 3, 4}) * 0.1;
  contents.tensors["double"] = at::full({1}, 1.0 / 3, at::kDouble);
  contents.tensors["long"] = at::arange(5, at::kLong) - 3;
  contents.tensors["byte"] = at::arange(7, at::kByte);
  contents.tensors["scalar"] = at::full({}, 2.5F);
  contents.tensors["empty"] = at::empty({0, 3}, at::kFloat);
  contents.metadata = {{"format", "test"}, {"text", "line\n\"quoted\" \xC3\xA4"}};
  return contents;
}

void expect_equal(const SafeTensors& a, const SafeTensors& b) {
  EXPECT_EQ(a.metadata, b.metadata);
  ASSERT_EQ(a.tensors.size(), b.tensors.size());
  for (const auto& [name, tensor] : a.tensors) {
    ASSERT_TRUE(b.tensors.count(name)) << name;
    EXPECT_EQ(tensor.scalar_type(), b.tensors.at(name).scalar_type()) << name;
    EXPECT_TRUE(tensor.equal(b.tensors.at(name))) << name;
  }
}

std::string file_of(const std::string& header, const std::string& data = "") {
  const uint64_t length = header.size();
  std::string bytes(sizeof length, '\0');
  std::memcpy(bytes.data(), &length, sizeof length);
  return bytes + header + data;
}

/// Writes the bytes and reads them; returns the DataError's message, which must name the file and be one line.
std::string refusal(const std::string& bytes) {
  const test::TemporaryFolder folder;
  const auto path = folder / "damaged.safetensors";
  test::write_file(path, bytes);
  const std::string message = test::message_of<DataError>([&] { read_safetensors(path); });
  EXPECT_NE(message.find(path.string()), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

TEST(Safetensors, WhatIsWrittenReadsBackIdentical) {
  const test::TemporaryFolder folder;
  const auto path = folder / "file.safetensors";
  write_safetensors(path, example());
  expect_equal(example(), read_safetensors(path));
  write_safetensors(path, {});  // replaces
  expect_equal({}, read_safetensors(path));
}

TEST(Safetensors, EveryBitOfAFloatSurvives) {
  const test::TemporaryFolder folder;
  SafeTensors contents;
  contents.tensors["odd"] =
      torch::tensor({-0.0F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(),
                     std::numeric_limits<float>::denorm_min()});
  write_safetensors(folder / "f", contents);
  const Tensor read = read_safetensors(folder / "f").tensors.at("odd");
  EXPECT_EQ(std::memcmp(read.data_ptr(), contents.tensors["odd"].data_ptr(), 16), 0);
}

TEST(Safetensors, ViewsAreWrittenByValue) {
  const test::TemporaryFolder folder;
  const Tensor whole = at::arange(24, at::kFloat).view({4, 6});
  SafeTensors contents;
  contents.tensors["transposed"] = whole.t();
  contents.tensors["narrowed"] = whole.narrow(1, 2, 2);
  contents.tensors["in a graph"] = (whole.clone().requires_grad_(true) * 2).narrow(0, 1, 2);
  contents.tensors["channels last"] =
      at::arange(24, at::kFloat).view({1, 2, 3, 4}).contiguous(at::MemoryFormat::ChannelsLast);
  write_safetensors(folder / "f", contents);
  for (const auto& [name, tensor] : read_safetensors(folder / "f").tensors)
    EXPECT_TRUE(tensor.equal(contents.tensors.at(name).detach())) << name;
}

TEST(Safetensors, PlainPythonReadsTheFormat) {
  if (std::system("python3 -c pass >/dev/null 2>&1") != 0) GTEST_SKIP() << "no python3";
  const test::TemporaryFolder folder;
  write_safetensors(folder / "file.safetensors", example());
  test::write_file(folder / "read.py", R"(
import json, struct, sys
data = open(sys.argv[1], 'rb').read()
n, = struct.unpack('<Q', data[:8])
header = json.loads(data[8:8 + n])
assert n % 8 == 0
assert header.pop('__metadata__') == {'format': 'test', 'text': 'line\n"quoted" \u00e4'}
body, end = data[8 + n:], 0
for name, t in sorted(header.items(), key=lambda item: item[1]['data_offsets']):
    assert t['data_offsets'][0] == end, 'a hole'
    end = t['data_offsets'][1]
assert end == len(body)
def values(name, code):
    a, b = header[name]['data_offsets']
    return list(struct.unpack('<%d%s' % ((b - a) // struct.calcsize(code), code), body[a:b]))
assert header['kernel']['dtype'] == 'F32' and header['kernel']['shape'] == [2, 3, 4]
assert all(abs(x - 0.1 * i) < 1e-6 for i, x in enumerate(values('kernel', 'f')))
assert header['double']['dtype'] == 'F64' and values('double', 'd') == [1 / 3]
assert header['long']['dtype'] == 'I64' and values('long', 'q') == [-3, -2, -1, 0, 1]
assert header['byte']['dtype'] == 'U8' and values('byte', 'B') == list(range(7))
assert header['scalar']['shape'] == [] and values('scalar', 'f') == [2.5]
assert header['empty']['shape'] == [0, 3] and values('empty', 'f') == []
)");
  const std::string command =
      "python3 '" + (folder / "read.py").string() + "' '" + (folder / "file.safetensors").string() + "' 2>&1";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST(Safetensors, NoTemporaryFileStays) {
  const test::TemporaryFolder folder;
  write_safetensors(folder / "file.safetensors", example());
  int files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++files;
  EXPECT_EQ(files, 1);
  // A write that fails leaves the old file and nothing else.
  EXPECT_THROW(write_safetensors(folder / "missing" / "file", example()), UsageError);
  std::filesystem::create_directory(folder / "taken");
  EXPECT_THROW(write_safetensors(folder / "taken", example()), UsageError);
  EXPECT_THROW(write_file_atomically(folder / "missing" / "file", "text"), UsageError);
  files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder.path())) ++files;
  EXPECT_EQ(files, 2);
  write_file_atomically(folder / "note", "text");
  EXPECT_EQ(test::read_file(folder / "note"), "text");
}

TEST(Safetensors, TheMetadataAreReadWithoutTheData) {
  const test::TemporaryFolder folder;
  SafeTensors contents = example();
  contents.metadata = {{"iteration", "7"}};
  write_safetensors(folder / "file", contents);
  EXPECT_EQ(read_safetensors_metadata(folder / "file"), contents.metadata);
  const std::string bytes = test::read_file(folder / "file");
  uint64_t header = 0;
  std::memcpy(&header, bytes.data(), sizeof header);
  test::write_file(folder / "header", bytes.substr(0, sizeof header + header));
  EXPECT_EQ(read_safetensors_metadata(folder / "header"), contents.metadata);
  EXPECT_THROW(read_safetensors(folder / "header"), DataError);
  test::write_file(folder / "cut", bytes.substr(0, header));
  EXPECT_THROW(read_safetensors_metadata(folder / "cut"), DataError);
  EXPECT_THROW(read_safetensors_metadata(folder / "none"), UsageError);
}

TEST(Safetensors, AFullDiskIsNoMistakeOfTheCallersAndKeepsTheOldFile) {
  const test::TemporaryFolder folder;
  const auto path = folder / "file.safetensors";
  write_safetensors(path, example());
  const std::string before = test::read_file(path);
  SafeTensors larger = example();
  larger.tensors["large"] = at::ones({1000}, at::kDouble);
  const std::string message = test::message_of<DataError>([&] {
    const test::FileSizeLimit limit(4096);
    write_safetensors(path, larger);
  });
  EXPECT_EQ(message, "cannot write '" + path.string() + "': File too large");
  EXPECT_EQ(test::read_file(path), before);
  EXPECT_EQ(test::names_in(folder.path()), std::vector<std::string>{"file.safetensors"});
  EXPECT_THROW(write_file_atomically("/dev/full", "text"), DataError);  // ENOSPC
}

TEST(Safetensors, DevicesGetTheBytesAndLinksStay) {
  const test::TemporaryFolder folder;
  write_file_atomically("/dev/null", "text");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  write_file_atomically(folder / "file", "old");
  std::filesystem::create_symlink("file", folder / "link");
  write_file_atomically(folder / "link", "new");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "link"));
  EXPECT_EQ(test::read_file(folder / "file"), "new");
}

TEST(Safetensors, WritersOfOneNameDoNotMix) {
  const test::TemporaryFolder folder;
  const auto path = folder / "file";
  const std::string texts[] = {std::string(300'000, 'a'), std::string(300'000, 'b')};
  std::vector<std::thread> writers;
  for (const std::string& text : texts)
    writers.emplace_back([&] {
      for (int i = 0; i < 20; ++i) write_file_atomically(path, text);
    });
  for (int i = 0; i < 50; ++i) {
    const std::string seen = test::read_file(path);
    EXPECT_TRUE(seen.empty() || seen == texts[0] || seen == texts[1]);  // empty: not there yet
  }
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(test::names_in(folder.path()), std::vector<std::string>{"file"});
}

TEST(Safetensors, WhatAKilledWriterLeftIsInNobodysWay) {
  const test::TemporaryFolder folder;
  const auto path = folder / "file";
  for (int i = 0; i < 200; ++i)
    test::write_file(path.string() + ".tmp" + std::to_string(getpid()) + "-" + std::to_string(i), "");
  write_file_atomically(path, "text");
  EXPECT_EQ(test::read_file(path), "text");
}

TEST(Safetensors, AMissingFileIsTheCallersMistake) {
  const test::TemporaryFolder folder;
  EXPECT_NE(test::message_of<UsageError>([&] { read_safetensors(folder / "none"); }).find("none"), std::string::npos);
  EXPECT_THROW(read_safetensors(folder.path()), UsageError);
}

TEST(Safetensors, TruncationIsFoundWhereverItIs) {
  const test::TemporaryFolder folder;
  write_safetensors(folder / "whole", example());
  const std::string whole = test::read_file(folder / "whole");
  for (size_t size = 0; size < whole.size(); size += size < 16 ? 1 : 23) refusal(whole.substr(0, size));
  refusal(whole.substr(0, whole.size() - 1));
}

TEST(Safetensors, RandomBytesAreRefused) {
  Random random{5};
  for (int file = 0; file < 60; ++file) {
    std::string bytes(random.below(300), '\0');
    for (char& byte : bytes) byte = static_cast<char>(random.below(256));
    refusal(bytes);
    refusal(file_of(bytes));  // random header of the right length
  }
}

TEST(Safetensors, ChangedHeaderBytesNeverCrash) {
  const test::TemporaryFolder folder;
  write_safetensors(folder / "whole", example());
  const std::string whole = test::read_file(folder / "whole");
  Random random{6};
  int refused = 0;
  for (int i = 0; i < 400; ++i) {
    std::string bytes = whole;
    const uint64_t header = 450;
    bytes[random.below(std::min<uint64_t>(header, bytes.size()))] = static_cast<char>(random.below(256));
    test::write_file(folder / "changed", bytes);
    try {
      read_safetensors(folder / "changed");
    } catch (const DataError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

TEST(Safetensors, HeaderLengthsBeyondTheFileAreRefusedBeforeMemoryIsTaken) {
  for (const uint64_t length :
       {uint64_t{3}, uint64_t{100}, uint64_t{5'000'000'000}, uint64_t{1} << 40, ~uint64_t{0}, ~uint64_t{0} - 7}) {
    std::string bytes(sizeof length, '\0');
    std::memcpy(bytes.data(), &length, sizeof length);
    const std::string message = refusal(bytes + "{}");
    EXPECT_NE(message.find(std::to_string(length)), std::string::npos) << message;
  }
}

TEST(Safetensors, HeadersThatAreNoObjectAreRefused) {
  for (const char* header : {"", " ", "x", "[]", "3", "null", "\"text\"", "{\"a\":", "{} {}", "{\"a\": 1}",
                             "{\"a\": {}}", "{\"a\": []}", "{\"__metadata__\": 3}", "{\"__metadata__\": {\"a\": 1}}"})
    refusal(file_of(header));
  std::string deep(20'000, '[');
  refusal(file_of(deep));
  refusal(file_of(deep + std::string(20'000, ']')));
}

std::string tensor_header(const std::string& dtype, const std::string& shape, const std::string& offsets) {
  return "{\"t\":{\"dtype\":" + dtype + ",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
}

TEST(Safetensors, EveryByteOfTheDataBelongsToOneTensor) {
  const auto header = [](const std::string& tensors) { return file_of("{" + tensors + "}", std::string(16, 'x')); };
  const auto tensor = [](const std::string& name, int begin, int end) {
    return "\"" + name + "\":{\"dtype\":\"U8\",\"shape\":[" + std::to_string(end - begin) + "],\"data_offsets\":[" +
           std::to_string(begin) + "," + std::to_string(end) + "]}";
  };
  {
    const test::TemporaryFolder folder;  // in any order, empty tensors anywhere
    test::write_file(folder / "good",
                     header(tensor("b", 0, 4) + "," + tensor("a", 4, 16) + "," + tensor("none", 7, 7)));
    EXPECT_EQ(read_safetensors(folder / "good").tensors.size(), 3U);
  }
  const auto refused = [&](const std::string& tensors, const std::string& why) {
    const std::string message = refusal(header(tensors));
    EXPECT_NE(message.find(why), std::string::npos) << message;
  };
  refused(tensor("a", 0, 12), "end at byte 12 of the data, which has 16");
  refused(tensor("a", 4, 16), "'a' begins at byte 4 of the data, 0 was expected");
  refused(tensor("a", 0, 4) + "," + tensor("b", 6, 16), "'b' begins at byte 6 of the data, 4 was expected");
  refused(tensor("a", 0, 8) + "," + tensor("b", 6, 16), "'b' begins at byte 6 of the data, 8 was expected");
  refused(tensor("a", 0, 16) + "," + tensor("b", 0, 16), "lies where tensor");
  refused(tensor("a", 0, 16) + "," + tensor("a", 0, 16), "names 'a' twice");
  refused("\"__metadata__\":{},\"__metadata__\":{}," + tensor("a", 0, 16), "names '__metadata__' twice");
}

TEST(Safetensors, TensorsThatDoNotAgreeWithTheDataAreNamed) {
  const std::string data(16, 'x');
  const auto message = [&](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return refusal(file_of(tensor_header(dtype, shape, offsets), data));
  };
  {
    const test::TemporaryFolder folder;
    test::write_file(folder / "good", file_of(tensor_header("\"F32\"", "[2,2]", "[0,16]"), data));
    EXPECT_NO_THROW(read_safetensors(folder / "good"));
  }
  for (const char* offsets : {"[0,12]", "[0,20]", "[4,20]", "[16,0]", "[8,8]", "[-16,0]", "[18446744073709551600,0]",
                              "[18446744073709551612,12]", "[0]", "[0,8,16]", "[]"})
    EXPECT_NE(message("\"F32\"", "[2,2]", offsets).find("'t' lies outside"), std::string::npos) << offsets;
  // Refused before a terabyte is asked for.
  EXPECT_NE(message("\"F32\"", "[1000000000000]", "[0,4000000000000]").find("'t' lies outside"), std::string::npos);
  for (const char* shape : {"[2]", "[3,2]", "[-2,-2]", "[-1]", "[9223372036854775807]", "[4294967296,4294967296]",
                            "[4294967296,4294967296,4294967296]", "[18446744073709551615]", "[4611686018427387905]"})
    EXPECT_NE(message("\"F32\"", shape, "[0,16]").find("'t'"), std::string::npos) << shape;
  // An empty tensor must not carry an overflowing shape past the check.
  for (const char* shape :
       {"[0,4611686018427387904,4611686018427387904]", "[4611686018427387904,4611686018427387904,0]"})
    message("\"F32\"", shape, "[0,0]");
  for (const char* dtype : {"\"F8_E4M3\"", "\"U16\"", "\"f32\"", "\"\"", "\"I128\""})
    EXPECT_NE(message(dtype, "[2,2]", "[0,16]").find("F32, F64, F16, BF16"), std::string::npos) << dtype;
  for (const char* wrong : {"3", "null", "[]", "{}"}) message(wrong, "[2,2]", "[0,16]");
  for (const char* wrong : {"3", "null", "\"2\"", "[\"2\"]", "[null]", "{}", "[[2,2]]", "[2.5,2]"})
    message("\"F32\"", wrong, "[0,16]");
  for (const char* wrong : {"3", "null", "[\"0\",\"16\"]", "{}", "[0,16.5]"}) message("\"F32\"", "[2,2]", wrong);
}

}  // namespace
}  // namespace fewatoms
