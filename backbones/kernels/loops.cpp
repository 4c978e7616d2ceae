#include "backbones/kernels/loops.h"

#include <atomic>
#include <cstdlib>
#include <stdexcept>

namespace fewatoms::loops {

// One of each from every compilation of loops_level.cpp.
extern const Loops<float> kFloatBaseline;
extern const Loops<double> kDoubleBaseline;
#ifdef FEWATOMS_X86_LEVELS
extern const Loops<float> kFloatAvx2, kFloatAvx512;
extern const Loops<double> kDoubleAvx2, kDoubleAvx512;
#endif
#ifdef FEWATOMS_ARM_LEVELS
extern const Loops<float> kFloatNeon;
extern const Loops<double> kDoubleNeon;
#endif

namespace {

struct Level {
  const char* name;
  bool (*available)();
  const Loops<float>* of_float;
  const Loops<double>* of_double;
};

const Level kLevels[] = {
    {"baseline", [] { return true; }, &kFloatBaseline, &kDoubleBaseline},
#ifdef FEWATOMS_X86_LEVELS
    {"avx2",
     [] { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"); },
     &kFloatAvx2, &kDoubleAvx2},
    {"avx512",
     [] {
       return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
              __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma");
     },
     &kFloatAvx512, &kDoubleAvx512},
#endif
#ifdef FEWATOMS_ARM_LEVELS
    {"neon", [] { return true; }, &kFloatNeon, &kDoubleNeon},  // every aarch64 has it
#endif
};

const Level* find(const std::string& name) {
  std::string known;
  for (const Level& level : kLevels)
    if (level.available()) {
      if (name == level.name) return &level;
      known += std::string(known.empty() ? "" : ", ") + level.name;
    }
  throw std::runtime_error("kernel level '" + name + "' is not one that this processor runs: " + known);
}

std::atomic<const Level*>& current() {
  static std::atomic<const Level*> level = [] {
    const char* wanted = std::getenv("FEWATOMS_CPU_LEVEL");
    return find(wanted && *wanted ? wanted : available_levels().back());
  }();
  return level;
}

}  // namespace

template <>
const Loops<float>& loops<float>() {
  return *current().load()->of_float;
}
template <>
const Loops<double>& loops<double>() {
  return *current().load()->of_double;
}

std::vector<std::string> available_levels() {
  std::vector<std::string> names;
  for (const Level& level : kLevels)
    if (level.available()) names.emplace_back(level.name);
  return names;
}

std::string level() { return current().load()->name; }
void set_level(const std::string& name) { current() = find(name); }

}  // namespace fewatoms::loops
