#include "datasets/pickle.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstring>
#include <iterator>

#include "datasets/files.h"
#include "datasets/mapped_file.h"
#include "episodes/errors.h"

// Opcodes and their arguments: Lib/pickletools.py of Python.

namespace fewatoms {
namespace {

using Kind = PickleValue::Kind;

constexpr size_t kMostObjects = 20'000'000;
constexpr size_t kLargeText = size_t{1} << 20;  // re-encoded text beyond this goes into a temporary file

/// The functions and classes that pickles of arrays name, under the names of Python 2 and 3 and of numpy 1 and 2.
enum Global : int64_t {
  kReconstruct,
  kNdarray,
  kDtype,
  kScalar,
  kFromBuffer,
  kEncode,
  kBytesType,
  kBytearrayType,
  kDictType
};
struct KnownGlobal {
  const char* name;
  Global global;
};
constexpr KnownGlobal kGlobals[] = {
    {"numpy.core.multiarray._reconstruct", kReconstruct},
    {"numpy._core.multiarray._reconstruct", kReconstruct},
    {"numpy.core.multiarray.scalar", kScalar},
    {"numpy._core.multiarray.scalar", kScalar},
    {"numpy.core.numeric._frombuffer", kFromBuffer},
    {"numpy._core.numeric._frombuffer", kFromBuffer},
    {"numpy.ndarray", kNdarray},
    {"numpy.dtype", kDtype},
    {"_codecs.encode", kEncode},
    {"__builtin__.bytes", kBytesType},
    {"builtins.bytes", kBytesType},
    {"__builtin__.bytearray", kBytearrayType},
    {"builtins.bytearray", kBytearrayType},
    {"collections.OrderedDict", kDictType},
};

PickleValue value_of(Kind kind, int64_t integer = 0) {
  PickleValue value;
  value.kind = kind;
  value.integer = integer;
  return value;
}

PickleValue string_value(Kind kind, std::string_view text) {
  PickleValue value;
  value.kind = kind;
  value.start = text.data();
  value.length = text.size();
  return value;
}

std::string_view view_of(const PickleValue& value) { return {value.start, value.length}; }
bool is_string(const PickleValue& value) { return value.kind == Kind::kText || value.kind == Kind::kBytes; }

/// A few printable characters of it, for messages.
std::string shown(std::string_view text) {
  std::string result(1, '\'');
  for (const char c : text.substr(0, 60)) result += c >= ' ' && c < 127 ? c : '?';
  return result += text.size() > 60 ? "...'" : "'";
}

const char* kind_name(Kind kind) {
  static constexpr const char* kNames[] = {"None",   "a bool",     "an int",         "a float", "text",
                                           "bytes",  "a list",     "a tuple",        "a dict",  "an array",
                                           "a mark", "a function", "an element type"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace

/// What values and arrays point into.
struct Pickle::Storage {
  FileBytes file;
  std::deque<std::string> texts;  // what is not in the file as it is: escaped or re-encoded; names of element types
  std::deque<FileBytes> spilled;  // the same when it is large
};

/// An array, or what will be one when its state arrives.
struct Pickle::Array {
  PickleValue bytes;  // kBytes, or kList: an array of objects
  uint32_t type = 0;  // index into the storage's texts
  std::vector<int64_t> shape;
  bool fortran = false;
  bool complete = false;
};

class Pickle::Machine {
 public:
  explicit Machine(Pickle& into) : p_(into), all_(into.storage_->file.view) {}

  void run() {
    while (true) {
      at_ = next_;
      const char opcode = take(1).front();
      if (opcode == '.') break;
      step(opcode);
    }
    p_.root_ = pop();
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw DataError(p_.name_ + " is no pickle that can be read: at byte " + std::to_string(at_) + " " + what);
  }

  // --- the file

  std::string_view take(uint64_t count) {
    if (count > all_.size() - next_)
      throw DataError(p_.name_ + " is truncated: the pickle needs more than its " + std::to_string(all_.size()) +
                      " bytes");
    const auto result = all_.substr(next_, count);
    next_ += count;
    return result;
  }
  uint64_t number(int bytes) {
    const auto text = take(bytes);
    uint64_t result = 0;
    for (int i = bytes; i-- > 0;) result = result << 8 | static_cast<unsigned char>(text[i]);
    return result;
  }
  std::string_view line() {
    const size_t end = all_.find('\n', next_);
    if (end == std::string_view::npos) throw DataError(p_.name_ + " is truncated: the pickle ends within a line");
    const auto result = all_.substr(next_, end - next_);
    next_ = end + 1;
    return result;
  }
  template <class Number>
  Number parsed(std::string_view text) const {
    Number result{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result);
    if (error != std::errc() || end != text.data() + text.size())
      fail("there is " + shown(text) + ", expected a number");
    return result;
  }

  // --- stack, memo, containers

  void count() {
    if (++objects_ > kMostObjects)
      fail("there are more than " + std::to_string(kMostObjects) + " objects, expected a data set's file");
  }
  void push(const PickleValue& value) {
    count();
    stack_.push_back(value);
  }
  PickleValue pop() {
    if (stack_.empty() || stack_.back().kind == Kind::kMark) fail("the stack is empty");
    const PickleValue value = stack_.back();
    stack_.pop_back();
    return value;
  }
  PickleValue& top() {
    if (stack_.empty() || stack_.back().kind == Kind::kMark) fail("the stack is empty");
    return stack_.back();
  }
  std::vector<PickleValue> pop_to_mark() {
    const auto mark = std::find_if(stack_.rbegin(), stack_.rend(), [](const auto& v) { return v.kind == Kind::kMark; });
    if (mark == stack_.rend()) fail("there is no mark on the stack");
    std::vector<PickleValue> result(mark.base(), stack_.end());
    stack_.erase(std::prev(mark.base()), stack_.end());
    return result;
  }
  PickleValue container(Kind kind, std::vector<PickleValue> items) {
    count();
    PickleValue value = value_of(kind);
    value.index = static_cast<uint32_t>(p_.containers_.size());
    p_.containers_.push_back(std::move(items));
    return value;
  }
  std::vector<PickleValue>& inside(const PickleValue& value) { return p_.containers_[value.index]; }
  void append(const PickleValue& to, const std::vector<PickleValue>& items) {
    if (to.kind != Kind::kList) fail(std::string("there is an append to ") + kind_name(to.kind));
    auto& list = inside(to);
    list.insert(list.end(), items.begin(), items.end());
  }
  void set_items(const PickleValue& to, const std::vector<PickleValue>& items) {
    if (to.kind != Kind::kDict || items.size() % 2 != 0)
      fail(std::string("there are items set in ") + kind_name(to.kind));
    auto& dict = inside(to);
    dict.insert(dict.end(), items.begin(), items.end());
  }
  void put(uint64_t key) {
    if (key > kMostObjects) fail("there is memo entry " + std::to_string(key));
    if (memo_.size() <= key) memo_.resize(key + 1, value_of(Kind::kMark));
    memo_[key] = top();
  }
  void get(uint64_t key) {
    if (key >= memo_.size() || memo_[key].kind == Kind::kMark)
      fail("memo entry " + std::to_string(key) + " is read before it is written");
    push(memo_[key]);
  }

  // --- texts that are not in the file as they are

  /// Text as it is made: in memory while it is small.
  class Builder {
   public:
    void add(char c) {
      part_ += c;
      if (part_.size() < kLargeText) return;
      if (!spill_) spill_ = std::make_unique<SpillFile>();
      spill_->append(part_);
      part_.clear();
    }
    void add_utf8(uint32_t code) {
      if (code < 0x80) return add(static_cast<char>(code));
      const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;  // bytes that follow the first
      static constexpr int kFirst[] = {0, 0xC0, 0xE0, 0xF0};
      add(static_cast<char>(kFirst[more] | (code >> (6 * more) & (0x3F >> more))));
      for (int i = more; i-- > 0;) add(static_cast<char>(0x80 | (code >> (6 * i) & 0x3F)));
    }
    PickleValue finish(Kind kind, Storage& into) {
      if (!spill_) return string_value(kind, into.texts.emplace_back(std::move(part_)));
      spill_->append(part_);
      return string_value(kind, into.spilled.emplace_back(spill_->map()).view);
    }

   private:
    std::string part_;
    std::unique_ptr<SpillFile> spill_;
  };

  /// The number that `count` hexadecimal digits make.
  uint32_t hexadecimal(std::string_view text, size_t at, size_t count) const {
    uint32_t code = 0;
    if (at > text.size() || count > text.size() - at ||
        std::from_chars(text.data() + at, text.data() + at + count, code, 16).ptr != text.data() + at + count)
      fail("there is a damaged escape in a string");
    return code;
  }

  /// What Python 2's repr wrote: quotes and escapes.
  PickleValue quoted(std::string_view text) {
    if (text.size() < 2 || text.front() != text.back() || (text.front() != '\'' && text.front() != '"'))
      fail("there is " + shown(text) + ", expected a quoted string");
    text = text.substr(1, text.size() - 2);
    Builder result;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '\\') {
        result.add(text[i]);
        continue;
      }
      static constexpr std::string_view kEscapes = "\\'\"abfnrtv", kMeanings = "\\'\"\a\b\f\n\r\t\v";
      const char escape = ++i < text.size() ? text[i] : '\0';
      const size_t known = kEscapes.find(escape);
      if (known == std::string_view::npos && escape != 'x') fail("there is a damaged escape in a string");
      result.add(escape == 'x' ? static_cast<char>(hexadecimal(text, i + 1, 2)) : kMeanings[known]);
      if (escape == 'x') i += 2;
    }
    return result.finish(Kind::kBytes, *p_.storage_);
  }

  /// Raw-unicode-escape: Latin-1 with \uXXXX and \UXXXXXXXX.
  PickleValue raw_unicode(std::string_view text) {
    Builder result;
    for (size_t i = 0; i < text.size(); ++i) {
      const size_t digits = text[i] != '\\' || i + 1 == text.size() ? 0
                            : text[i + 1] == 'u'                    ? 4
                            : text[i + 1] == 'U'                    ? 8
                                                                    : 0;
      result.add_utf8(digits == 0 ? static_cast<unsigned char>(text[i]) : hexadecimal(text, i + 2, digits));
      if (digits > 0) i += 1 + digits;
    }
    return result.finish(Kind::kText, *p_.storage_);
  }

  /// UTF-8 to Latin-1: how protocol 2 of Python 3 carries bytes.
  PickleValue latin1(std::string_view text) {
    Builder result;
    for (size_t i = 0; i < text.size(); ++i) {
      const auto c = static_cast<unsigned char>(text[i]);
      const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
      if (c < 0x80) {
        result.add(text[i]);
      } else if ((c == 0xC2 || c == 0xC3) && (next & 0xC0) == 0x80) {
        result.add(static_cast<char>((c & 3) << 6 | (next & 0x3F)));
        ++i;
      } else {
        fail("there is text to be encoded as Latin-1 that cannot be");
      }
    }
    return result.finish(Kind::kBytes, *p_.storage_);
  }

  // --- functions

  void global(std::string_view module, std::string_view name) {
    const std::string full = std::string(module) + "." + std::string(name);
    for (const KnownGlobal& known : kGlobals)
      if (full == known.name) return push(value_of(Kind::kGlobal, known.global));
    std::string safe = shown(full);
    throw DataError(p_.name_ + " asks for the Python global " + safe +
                    ", which is refused: expected a pickle of lists, dicts, numbers, text and numpy arrays alone");
  }

  const std::vector<PickleValue>& arguments(const PickleValue& value, size_t least) {
    if (value.kind != Kind::kTuple || inside(value).size() < least) fail("a function gets the wrong arguments");
    return inside(value);
  }

  PickleValue element_type(std::string_view text) {
    p_.storage_->texts.emplace_back(text);
    return value_of(Kind::kType, static_cast<int64_t>(p_.storage_->texts.size() - 1));
  }

  std::vector<int64_t> shape_of(const PickleValue& value) {
    std::vector<int64_t> shape;
    if (value.kind == Kind::kInt) return {value.integer};
    if (value.kind != Kind::kTuple || inside(value).size() > 8) fail("an array has no shape");
    for (const PickleValue& side : inside(value)) {
      if (side.kind != Kind::kInt) fail("an array has a shape that is not of integers");
      shape.push_back(side.integer);
    }
    return shape;
  }

  PickleValue array(Array made) {
    count();
    PickleValue value = value_of(Kind::kArray);
    value.index = static_cast<uint32_t>(p_.arrays_.size());
    p_.arrays_.push_back(std::move(made));
    return value;
  }

  PickleValue call(const PickleValue& function, const PickleValue& given) {
    if (function.kind != Kind::kGlobal) fail(std::string("there is a call of ") + kind_name(function.kind));
    switch (function.integer) {
      case kReconstruct: {  // (ndarray, (0,), b'b'); the state follows
        const auto& a = arguments(given, 3);
        if (a[0].kind != Kind::kGlobal || a[0].integer != kNdarray)
          fail("an array is to be of a class that is not numpy.ndarray");
        return array({});
      }
      case kDtype: {
        const auto& a = arguments(given, 1);
        if (!is_string(a[0])) fail("numpy.dtype gets no name");
        return element_type(view_of(a[0]));
      }
      case kScalar: {
        const auto& a = arguments(given, 2);
        if (a[0].kind != Kind::kType || !is_string(a[1])) fail("numpy's scalar gets the wrong arguments");
        const NdArray number = nd_array({nullptr, view_of(a[1])}, p_.storage_->texts[static_cast<size_t>(a[0].integer)],
                                        {1}, false, p_.name_ + ": a number in it");
        if (number.kind == 'f') return value_of(Kind::kNone);  // no form needs it
        return value_of(number.kind == 'b' ? Kind::kBool : Kind::kInt, integer_at(number, 0));
      }
      case kFromBuffer: {
        const auto& a = arguments(given, 4);
        if (a[0].kind != Kind::kBytes || a[1].kind != Kind::kType || !is_string(a[3]))
          fail("numpy's _frombuffer gets the wrong arguments");
        return array({a[0], static_cast<uint32_t>(a[1].integer), shape_of(a[2]), view_of(a[3]) == "F", true});
      }
      case kEncode: {
        const auto& a = arguments(given, 2);
        if (a[0].kind != Kind::kText || !is_string(a[1]) || (view_of(a[1]) != "latin1" && view_of(a[1]) != "latin-1"))
          fail("_codecs.encode gets something else than text and 'latin1'");
        return latin1(view_of(a[0]));
      }
      case kBytesType:
      case kBytearrayType: {
        const auto& a = arguments(given, 0);
        if (a.empty()) return string_value(Kind::kBytes, {});
        if (a.size() == 2 && a[0].kind == Kind::kText && is_string(a[1]) && view_of(a[1]).starts_with("latin"))
          return latin1(view_of(a[0]));
        if (a.size() == 1 && a[0].kind == Kind::kBytes) return a[0];
        fail("bytes get the wrong arguments");
      }
      case kDictType: {
        PickleValue dict = container(Kind::kDict, {});
        const auto a = arguments(given, 0);
        if (a.empty()) return dict;
        if (a.size() != 1 || a[0].kind != Kind::kList) fail("OrderedDict gets the wrong arguments");
        for (const PickleValue& pair : std::vector<PickleValue>(inside(a[0]))) set_items(dict, arguments(pair, 2));
        return dict;
      }
      default:
        fail("there is a call of a class that is not called in pickles of arrays");
    }
  }

  void build(const PickleValue& object, const PickleValue& state) {
    if (object.kind == Kind::kType) {  // (version, byte order, ...)
      const auto& s = arguments(state, 2);
      if (!is_string(s[1]) || view_of(s[1]).size() != 1) fail("an element type has no byte order");
      std::string& text = p_.storage_->texts[static_cast<size_t>(object.integer)];
      if (text.empty() || !std::strchr("<>|=", text[0])) text.insert(0, view_of(s[1]));
    } else if (object.kind == Kind::kArray) {  // (version, shape, type, is Fortran order, bytes or list)
      const auto& s = arguments(state, 5);
      if (s[2].kind != Kind::kType || s[3].kind > Kind::kInt || (!is_string(s[4]) && s[4].kind != Kind::kList))
        fail("an array has a damaged state");
      p_.arrays_[object.index] = {s[4], static_cast<uint32_t>(s[2].integer), shape_of(s[1]), s[3].integer != 0, true};
    } else {
      fail(std::string("there is a state for ") + kind_name(object.kind));
    }
  }

  // --- opcodes

  void step(char opcode) {
    switch (opcode) {
      case '\x80':  // PROTO
        if (number(1) > 5) fail("there is a protocol above 5");
        return;
      case '\x95':
        take(8);
        return;  // FRAME: a hint for reading ahead
      case '(':
        return stack_.push_back(value_of(Kind::kMark)), count();
      case '0':  // POP
        if (stack_.empty()) fail("the stack is empty");
        return stack_.pop_back();
      case '1':
        pop_to_mark();
        return;  // POP_MARK
      case '2':
        return push(PickleValue(top()));  // DUP

      case 'N':
        return push(value_of(Kind::kNone));
      case '\x88':
        return push(value_of(Kind::kBool, 1));
      case '\x89':
        return push(value_of(Kind::kBool, 0));
      case 'I': {  // INT; "00" and "01" are bools
        const auto text = line();
        if (text == "00" || text == "01") return push(value_of(Kind::kBool, text == "01"));
        return push(value_of(Kind::kInt, parsed<int64_t>(text)));
      }
      case 'L': {  // LONG
        auto text = line();
        if (!text.empty() && text.back() == 'L') text.remove_suffix(1);
        return push(value_of(Kind::kInt, parsed<int64_t>(text)));
      }
      case 'J':
        return push(value_of(Kind::kInt, static_cast<int32_t>(number(4))));
      case 'K':
        return push(value_of(Kind::kInt, static_cast<int64_t>(number(1))));
      case 'M':
        return push(value_of(Kind::kInt, static_cast<int64_t>(number(2))));
      case '\x8a':    // LONG1
      case '\x8b': {  // LONG4
        const uint64_t bytes = number(opcode == '\x8a' ? 1 : 4);
        if (bytes > 8) fail("there is an integer of more than 64 bits");
        if (bytes == 0) return push(value_of(Kind::kInt, 0));
        const int unused = 64 - 8 * static_cast<int>(bytes);
        return push(value_of(Kind::kInt, static_cast<int64_t>(number(static_cast<int>(bytes)) << unused) >> unused));
      }
      case 'F': {  // FLOAT
        PickleValue value = value_of(Kind::kFloat);
        value.real = parsed<double>(line());
        return push(value);
      }
      case 'G': {  // BINFLOAT, big-endian
        uint64_t bits = 0;
        for (const char c : take(8)) bits = bits << 8 | static_cast<unsigned char>(c);
        PickleValue value = value_of(Kind::kFloat);
        std::memcpy(&value.real, &bits, 8);
        return push(value);
      }

      case 'S':
        return push(quoted(line()));
      case 'T':
        return push(string_value(Kind::kBytes, take(number(4))));  // BINSTRING
      case 'U':
        return push(string_value(Kind::kBytes, take(number(1))));
      case 'B':
        return push(string_value(Kind::kBytes, take(number(4))));  // BINBYTES
      case 'C':
        return push(string_value(Kind::kBytes, take(number(1))));
      case '\x8e':  // BINBYTES8
      case '\x96':
        return push(string_value(Kind::kBytes, take(number(8))));  // BYTEARRAY8
      case 'V':
        return push(raw_unicode(line()));
      case 'X':
        return push(string_value(Kind::kText, take(number(4))));  // BINUNICODE
      case '\x8c':
        return push(string_value(Kind::kText, take(number(1))));
      case '\x8d':
        return push(string_value(Kind::kText, take(number(8))));

      case ']':
        return push(container(Kind::kList, {}));
      case ')':
        return push(container(Kind::kTuple, {}));
      case '}':
        return push(container(Kind::kDict, {}));
      case 'l':
        return push(container(Kind::kList, pop_to_mark()));
      case 't':
        return push(container(Kind::kTuple, pop_to_mark()));
      case 'd': {
        const auto items = pop_to_mark();
        push(container(Kind::kDict, {}));
        return set_items(top(), items);
      }
      case '\x85':    // TUPLE1
      case '\x86':    // TUPLE2
      case '\x87': {  // TUPLE3
        std::vector<PickleValue> items(static_cast<size_t>(static_cast<unsigned char>(opcode) - 0x84));
        for (size_t i = items.size(); i-- > 0;) items[i] = pop();
        return push(container(Kind::kTuple, std::move(items)));
      }
      case 'a': {  // APPEND
        const PickleValue item = pop();
        return append(top(), {item});
      }
      case 'e': {  // APPENDS
        const auto items = pop_to_mark();
        return append(top(), items);
      }
      case 's': {  // SETITEM
        const PickleValue value = pop(), key = pop();
        return set_items(top(), {key, value});
      }
      case 'u': {  // SETITEMS
        const auto items = pop_to_mark();
        return set_items(top(), items);
      }

      case 'p':
        return put(parsed<uint64_t>(line()));
      case 'q':
        return put(number(1));
      case 'r':
        return put(number(4));
      case '\x94':
        return put(memo_.size());  // MEMOIZE
      case 'g':
        return get(parsed<uint64_t>(line()));
      case 'h':
        return get(number(1));
      case 'j':
        return get(number(4));

      case 'c': {  // GLOBAL
        const auto module = line(), name = line();
        return global(module, name);
      }
      case '\x93': {  // STACK_GLOBAL
        const PickleValue name = pop(), module = pop();
        if (!is_string(name) || !is_string(module)) fail("a global has no name");
        return global(view_of(module), view_of(name));
      }
      case 'R': {  // REDUCE
        const PickleValue given = pop(), function = pop();
        return push(call(function, given));
      }
      case 'b': {  // BUILD
        const PickleValue state = pop();
        return build(top(), state);
      }
      case '\x97':
        fail("there is an out-of-band buffer (protocol 5), expected the data in the file itself");
      case '\x98':
        return;  // READONLY_BUFFER
      default: {
        char text[8];
        std::snprintf(text, sizeof text, "0x%02x", static_cast<unsigned char>(opcode));
        fail(std::string("there is opcode ") + text + ", which pickles of arrays do not use");
      }
    }
  }

  Pickle& p_;
  const std::string_view all_;
  size_t next_ = 0, at_ = 0;
  size_t objects_ = 0;
  std::vector<PickleValue> stack_, memo_;
};

Pickle::Pickle(const FileTree& tree, const std::string& path)
    : name_(tree.name(path)), storage_(std::make_shared<Storage>()) {
  storage_->file = tree.map(path);
  if (storage_->file.view.empty()) throw DataError(name_ + " is empty, expected a pickle");
  require_not_foreign(storage_->file.view, name_, "a pickle");
  Machine(*this).run();
}

Pickle::~Pickle() = default;

void Pickle::unexpected(const PickleValue& value, const std::string& what, const std::string& expected) const {
  throw DataError(name_ + ": " + what + " is " + kind_name(value.kind) + ", expected " + expected);
}

const std::vector<PickleValue>& Pickle::items(const PickleValue& value, const std::string& what) const {
  if (value.kind == Kind::kArray && arrays_[value.index].complete && arrays_[value.index].bytes.kind == Kind::kList)
    return containers_[arrays_[value.index].bytes.index];
  if (value.kind != Kind::kList && value.kind != Kind::kTuple) unexpected(value, what, "a list");
  return containers_[value.index];
}

const std::vector<PickleValue>& Pickle::entries(const PickleValue& dict, const std::string& what) const {
  if (dict.kind != Kind::kDict) unexpected(dict, what, "a dict");
  return containers_[dict.index];
}

const PickleValue* Pickle::find(const PickleValue& dict, std::string_view key) const {
  const PickleValue* found = nullptr;  // a later entry replaces an earlier one
  const auto& all = entries(dict, "what should hold '" + std::string(key) + "'");
  for (size_t i = 0; i + 1 < all.size(); i += 2)
    if (is_string(all[i]) && view_of(all[i]) == key) found = &all[i + 1];
  return found;
}

const PickleValue& Pickle::at(const PickleValue& dict, std::string_view key) const {
  if (const PickleValue* found = find(dict, key)) return *found;
  std::vector<std::string> keys;
  for (size_t i = 0; i + 1 < containers_[dict.index].size() && keys.size() < 8; i += 2) {
    const PickleValue& k = containers_[dict.index][i];
    if (is_string(k)) keys.push_back(shown(view_of(k)));
  }
  std::string text;
  for (const auto& k : keys) text += (text.empty() ? "" : ", ") + k;
  throw DataError(name_ + " has no key '" + std::string(key) + "', it has " + (text.empty() ? "none" : text));
}

std::string_view Pickle::text(const PickleValue& value, const std::string& what) const {
  if (!is_string(value)) unexpected(value, what, "text");
  return view_of(value);
}

NdArray Pickle::array(const PickleValue& value, const std::string& what) const {
  if (value.kind != Kind::kArray || !arrays_[value.index].complete || !is_string(arrays_[value.index].bytes))
    unexpected(value, what, "a numpy array of numbers");
  const Array& a = arrays_[value.index];
  return nd_array({storage_, view_of(a.bytes)}, storage_->texts[a.type], a.shape, a.fortran, name_ + ": " + what);
}

FileBytes Pickle::bytes(const PickleValue& value, const std::string& what) const {
  if (is_string(value)) return {storage_, view_of(value)};
  const NdArray numbers = array(value, what);
  if (numbers.item_bytes != 1) throw DataError(name_ + ": " + what + " holds " + numbers.type() + ", expected bytes");
  return {storage_, view_of(arrays_[value.index].bytes)};
}

std::vector<int64_t> Pickle::integers(const PickleValue& value, const std::string& what) const {
  std::vector<int64_t> result;
  if (value.kind == Kind::kArray && is_string(arrays_[value.index].bytes)) {
    const NdArray numbers = array(value, what);
    if (numbers.shape.size() != 1)
      throw DataError(name_ + ": " + what + " is " + numbers.extent() + ", expected a list of integers");
    for (int64_t i = 0; i < numbers.shape[0]; ++i) result.push_back(integer_at(numbers, i));
    return result;
  }
  for (const PickleValue& item : items(value, what)) {
    if (item.kind != Kind::kInt) unexpected(item, "an element of " + what, "an integer");
    result.push_back(item.integer);
  }
  return result;
}

}  // namespace fewatoms
