// What a plugin of another version looks like: to call its entry would crash.
struct Entry {
  void (*splits)();
  void (*open)();
};
extern "C" const char fewatoms_plugin_abi[] = "fewatoms-plugin-0 c++abi-1002 cxx11-strings-0";
extern "C" const Entry fewatoms_plugin = {reinterpret_cast<void (*)()>(1), reinterpret_cast<void (*)()>(1)};
