#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/file_tree.h"
#include "datasets/nd_array.h"

namespace fewatoms {

/// A value of a pickle. Text and bytes point into the file.
struct PickleValue {
  enum class Kind : uint8_t {
    kNone,
    kBool,
    kInt,
    kFloat,
    kText,
    kBytes,
    kList,
    kTuple,
    kDict,
    kArray,
    kMark,
    kGlobal,
    kType
  };
  Kind kind = Kind::kNone;
  union {
    int64_t integer = 0;  // kBool, kInt; the function of a kGlobal; the element type of a kType
    double real;
    const char* start;  // kText, kBytes
    uint32_t index;     // kList, kTuple, kDict, kArray: which one
  };
  uint64_t length = 0;  // kText, kBytes
};

/// A pickle, as Python's pickle module writes it in protocols 0 to 5, read by a machine of our own that executes
/// nothing: numbers, text, bytes, lists, tuples, dicts and numpy arrays of numbers are all it knows. Any other global
/// is refused by name. Text and bytes stay in the file, so memory grows with the number of objects alone, of which
/// there may be 20 million.
class Pickle {
 public:
  /// Throws DataError, naming the file and the byte: truncated, damaged, an opcode or a global that it does not know.
  Pickle(const FileTree& tree, const std::string& path);
  ~Pickle();
  Pickle(const Pickle&) = delete;
  Pickle& operator=(const Pickle&) = delete;

  const PickleValue& root() const { return root_; }

  /// Elements of a list or tuple, or of an array of objects. `what` is for the message of the DataError if it is none.
  const std::vector<PickleValue>& items(const PickleValue& value, const std::string& what) const;
  /// The value of a text (or bytes) key of a dict; null if it is not there. Throws DataError if `dict` is no dict.
  const PickleValue* find(const PickleValue& dict, std::string_view key) const;
  /// The same, throwing DataError if it is not there.
  const PickleValue& at(const PickleValue& dict, std::string_view key) const;
  /// Keys and values in turn. Throws DataError if `dict` is no dict.
  const std::vector<PickleValue>& entries(const PickleValue& dict, const std::string& what) const;
  /// Text or bytes. Throws DataError, as do the following.
  std::string_view text(const PickleValue& value, const std::string& what) const;
  /// Bytes, or an array of uint8. Like arrays, they outlive this object.
  FileBytes bytes(const PickleValue& value, const std::string& what) const;
  /// An array of numbers.
  NdArray array(const PickleValue& value, const std::string& what) const;
  /// A list or an array of integers.
  std::vector<int64_t> integers(const PickleValue& value, const std::string& what) const;

  /// "'FILE'", for messages.
  const std::string& name() const { return name_; }

 private:
  class Machine;
  struct Storage;
  struct Array;

  [[noreturn]] void unexpected(const PickleValue& value, const std::string& what, const std::string& expected) const;

  std::string name_;
  std::shared_ptr<Storage> storage_;
  PickleValue root_;
  std::deque<std::vector<PickleValue>> containers_;
  std::deque<Array> arrays_;
};

}  // namespace fewatoms
