#include "datasets/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>
#include <string>

#include "datasets/file_tree.h"
#include "episodes/errors.h"
#include "tests/datasets/python.h"
#include "tests/testing.h"

namespace fewatoms {
namespace {

using namespace std::string_literals;
using test::message_of;
using testing::ElementsAre;
using testing::HasSubstr;
using Kind = PickleValue::Kind;

class PickleFile : public testing::Test {
 protected:
  Pickle read(const std::string& bytes) {
    test::write_file(folder / "x.pkl", bytes);
    return Pickle(*open_file_tree(folder.path()), "x.pkl");
  }
  std::string error(const std::string& bytes) {
    const auto message = message_of<DataError>([&] { read(bytes); });
    EXPECT_THAT(message, HasSubstr("x.pkl'"));
    EXPECT_EQ(message.find('\n'), std::string::npos);
    return message;
  }
  test::TemporaryFolder folder;
};

/// {"a": uint8 array [2, 3] of 1..6, "l": [10, 300, -1], b"b": u"text"} at protocol 2, as Python 2 writes it.
std::string python2() {
  return "\x80\x02}q\x00(U\x01"
         "aq\x01"
         "cnumpy.core.multiarray\n_reconstruct\nq\x02"
         "cnumpy\nndarray\nq\x03K\x00\x85U\x01"
         "b\x87R(K\x01K\x02K\x03\x86"
         "cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
         "T\x06\x00\x00\x00\x01\x02\x03\x04\x05\x06tb"
         "U\x01l](K\nM\x2c\x01J\xff\xff\xff\xff"
         "eU\x01"
         "bX\x04\x00\x00\x00textu."s;
}

TEST_F(PickleFile, ReadsWhatPython2Wrote) {
  const Pickle pickle = read(python2());
  const NdArray array = pickle.array(pickle.at(pickle.root(), "a"), "a");
  EXPECT_EQ(array.extent(), "[2, 3]");
  EXPECT_EQ(array.type(), "uint8");
  EXPECT_EQ(integer_at(element(array, 1), 2), 6);
  EXPECT_THAT(pickle.integers(pickle.at(pickle.root(), "l"), "l"), ElementsAre(10, 300, -1));
  EXPECT_EQ(pickle.text(pickle.at(pickle.root(), "b"), "b"), "text");
  EXPECT_EQ(pickle.find(pickle.root(), "z"), nullptr);
  EXPECT_THAT(message_of<DataError>([&] { pickle.at(pickle.root(), "z"); }),
              HasSubstr("no key 'z', it has 'a', 'l', 'b'"));
  EXPECT_THAT(message_of<DataError>([&] { pickle.integers(pickle.at(pickle.root(), "b"), "b"); }),
              HasSubstr("b is text, expected a list"));
}

TEST_F(PickleFile, ArraysOutliveIt) {
  NdArray array;
  {
    const Pickle pickle = read(python2());
    array = pickle.array(pickle.at(pickle.root(), "a"), "a");
  }
  EXPECT_EQ(array.data[5], 6);
}

TEST_F(PickleFile, CutAnywhereIsATruncatedFile) {
  const std::string whole = python2();
  for (size_t length = 0; length < whole.size(); ++length) {
    const auto message = error(whole.substr(0, length));
    EXPECT_THAT(message, HasSubstr(length == 0 ? "is empty" : "truncated")) << length;
  }
}

TEST_F(PickleFile, AnyByteChangedIsReadOrRefused) {
  const std::string whole = python2();
  for (size_t at = 0; at < whole.size(); ++at)
    for (int change = 1; change < 256; change += 7) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ change);
      try {
        const Pickle pickle = read(changed);
        if (pickle.root().kind != Kind::kDict) continue;
        const auto& entries = pickle.entries(pickle.root(), "root");
        for (const PickleValue& value : entries) {
          if (value.kind == Kind::kArray) pickle.array(value, "an array");
          if (value.kind == Kind::kList) pickle.integers(value, "a list");
        }
      } catch (const DataError&) {
      }
    }
}

TEST_F(PickleFile, UnknownGlobalsAreRefusedByName) {
  EXPECT_THAT(error("cos\nsystem\n(S'echo owned'\ntR."),
              HasSubstr("asks for the Python global 'os.system', which is refused"));
  EXPECT_THAT(error("\x80\x04\x8c\x08"s + "builtins\x8c\x04"s + "eval\x93\x8c\x01x\x85R."),
              HasSubstr("'builtins.eval'"));
  EXPECT_THAT(error("c__main__\nBird\n)\x81."), HasSubstr("'__main__.Bird'"));
}

TEST_F(PickleFile, WhatArraysDoNotUseIsRefused) {
  EXPECT_THAT(error("(i__main__\nBird\n."), HasSubstr("at byte 1 there is opcode 0x69"));
  EXPECT_THAT(error("\x80\x06N."), HasSubstr("protocol above 5"));
  EXPECT_THAT(error("\x80\x05\x97."), HasSubstr("out-of-band buffer"));
  EXPECT_THAT(error("Pid\n."), HasSubstr("opcode 0x50"));
  EXPECT_THAT(error("K\x01K\x02R."), HasSubstr("a call of an int"));
  EXPECT_THAT(error("h\x05."), HasSubstr("memo entry 5 is read before it is written"));
  EXPECT_THAT(error("]r\xff\xff\xff\xff."s), HasSubstr("memo entry"));
  EXPECT_THAT(error("\x8a\x09"s + std::string(9, '\x7f') + "."), HasSubstr("more than 64 bits"));
  EXPECT_THAT(error("."), HasSubstr("stack is empty"));
}

TEST_F(PickleFile, AWebPageIsNamedAsOne) {
  EXPECT_THAT(error("\n<!DOCTYPE html><html lang=en><title>Quota exceeded</title>"),
              HasSubstr("x.pkl' is a web page (HTML), expected a pickle"));
}

TEST_F(PickleFile, LengthsBeyondTheFileTakeNoMemory) {
  EXPECT_THAT(error("\x8e\xff\xff\xff\xff\xff\xff\xff\x7f."s), HasSubstr("truncated"));
  EXPECT_THAT(error("T\xff\xff\xff\xff."s), HasSubstr("truncated"));
}

TEST_F(PickleFile, NestingWithoutEndIsNotFollowed) {
  read(std::string(200'000, ']') + ".");
  std::string nested;
  for (int i = 0; i < 200'000; ++i) nested += "](";
  read(nested + "e.");
  const Pickle itself = read("]q\x00h\x00"s + "a.");  // a list that holds itself
  EXPECT_THAT(message_of<DataError>([&] { itself.integers(itself.root(), "it"); }),
              HasSubstr("is a list, expected an integer"));
}

TEST_F(PickleFile, ShapesMustFitTheBytes) {
  std::string bytes = python2();
  bytes[bytes.find("K\x02K\x03\x86") + 1] = '\x07';
  const Pickle pickle = read(bytes);
  EXPECT_THAT(message_of<DataError>([&] { pickle.array(pickle.at(pickle.root(), "a"), "a"); }),
              HasSubstr("has 6 bytes, expected 21 for [7, 3] of uint8"));
}

/// Values of every kind, by Python itself, at every protocol.
TEST_F(PickleFile, ReadsWhatPythonWritesAtEveryProtocol) {
  const std::string python = test::python_with("numpy");
  if (python.empty()) GTEST_SKIP() << "no Python 3 with numpy";
  const std::string script =
      "import pickle, sys, collections, numpy as np\n"
      "v = collections.OrderedDict(none=None, yes=True, no=False, ints=[0, 1, 255, 256, 65536, -1, -70000, 2**40, "
      "-2**62],\n"
      "  real=[1.5, -2.25], text='h\\u00e4h\\n\\\\ \\u4e2d \\U0001f426', raw=bytes(range(256)), "
      "array=bytearray(b'\\x00\\xffz'),\n"
      "  empty=b'', t=(1, (2,), (3, 4), (5, 6, 7), (8, 9, 10, 11)), scalar=np.int16(-3), numbers=[np.int64(5), "
      "np.uint8(6)],\n"
      "  u1=np.arange(24, dtype=np.uint8).reshape(2, 3, 4), i2=np.arange(-3, 3, dtype='>i2'), i8=np.arange(4), "
      "b=np.array([True, False]),\n"
      "  f=np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)), long='x' * 70000, large=b'\\xe9' * 3000000)\n"
      "for p in range(6): pickle.dump(v, open('%s/p%d.pkl' % (sys.argv[1], p), 'wb'), p)\n";
  test::write_file(folder / "write.py", script);
  ASSERT_EQ(std::system((python + " " + (folder / "write.py").string() + " " + folder.path().string()).c_str()), 0);
  for (int protocol = 0; protocol < 6; ++protocol) {
    SCOPED_TRACE(protocol);
    const Pickle p(*open_file_tree(folder.path()), "p" + std::to_string(protocol) + ".pkl");
    const auto at = [&](const char* key) { return p.at(p.root(), key); };
    EXPECT_EQ(at("none").kind, Kind::kNone);
    EXPECT_EQ(at("yes").kind, Kind::kBool);
    EXPECT_EQ(at("yes").integer, 1);
    EXPECT_EQ(at("no").integer, 0);
    EXPECT_THAT(p.integers(at("ints"), "ints"),
                ElementsAre(0, 1, 255, 256, 65536, -1, -70000, int64_t{1} << 40, -(int64_t{1} << 62)));
    EXPECT_EQ(p.items(at("real"), "real")[1].real, -2.25);
    EXPECT_EQ(p.text(at("text"), "text"), "h\xC3\xA4h\n\\ \xE4\xB8\xAD \xF0\x9F\x90\xA6");
    std::string raw;
    for (int i = 0; i < 256; ++i) raw += static_cast<char>(i);
    EXPECT_EQ(p.text(at("raw"), "raw"), raw);
    EXPECT_EQ(p.text(at("array"), "array"), "\0\xffz"s);
    EXPECT_EQ(p.text(at("empty"), "empty"), "");
    EXPECT_EQ(p.items(p.items(at("t"), "t")[4], "t[4]").size(), 4u);
    EXPECT_EQ(at("scalar").integer, -3);
    EXPECT_THAT(p.integers(at("numbers"), "numbers"), ElementsAre(5, 6));
    const NdArray u1 = p.array(at("u1"), "u1");
    EXPECT_EQ(u1.extent(), "[2, 3, 4]");
    EXPECT_EQ(integer_at(element(element(u1, 1), 2), 3), 23);
    EXPECT_THAT(p.integers(at("i2"), "i2"), ElementsAre(-3, -2, -1, 0, 1, 2));
    EXPECT_THAT(p.integers(at("i8"), "i8"), ElementsAre(0, 1, 2, 3));
    EXPECT_THAT(p.integers(at("b"), "b"), ElementsAre(1, 0));
    const NdArray f = p.array(at("f"), "f");
    EXPECT_EQ(integer_at(element(f, 1), 0), 3);
    EXPECT_EQ(integer_at(element(f, 0), 2), 2);
    EXPECT_EQ(p.text(at("long"), "long").size(), 70000u);
    EXPECT_EQ(p.text(at("large"), "large"), std::string(3'000'000, '\xe9'));
  }
}

}  // namespace
}  // namespace fewatoms
