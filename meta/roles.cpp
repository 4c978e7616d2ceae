#include "meta/roles.h"

#include <sstream>

#include "episodes/errors.h"
#include "episodes/numbers.h"

namespace fewatoms {
namespace {

std::vector<std::string> cut(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  if (!text.empty() && text.back() == separator) parts.emplace_back();  // "atom+" has an empty last part
  return parts;
}

}  // namespace

Scope::Scope(const std::string& text) : text_(text) {
  if (text == "none") return;
  if (text == "all" || text == "body") {
    for (const Role& role : all_roles())
      if (role.adaptable && (text == "all" || role.of_the_body)) roles_.insert(role);
    return;
  }
  named_ = true;
  for (const std::string& name : cut(text, '+')) {
    std::vector<std::string> valid = {"all", "body", "none"};
    const Role* found = nullptr;
    for (const Role& role : all_roles()) {
      if (!role.adaptable) continue;
      valid.push_back(to_string(role));
      if (role.name == name) found = &role;
    }
    if (found == nullptr) throw UsageError(unknown_name("scope", name, valid) + ", roles may be joined by '+'");
    if (!roles_.insert(*found).second) throw UsageError("scope '" + text + "' names '" + name + "' twice");
  }
  if (roles_.empty()) throw UsageError("scope is empty, roles joined by '+', all, body or none was expected");
}

std::vector<size_t> Scope::select(const Schema& schema) const {
  std::vector<size_t> indices;
  std::set<Role> found;
  for (size_t i = 0; i < schema.size(); ++i)
    if (has(schema[i].role)) {
      indices.push_back(i);
      found.insert(schema[i].role);
    }
  if (named_)
    for (const Role role : roles_)
      if (!found.count(role)) {
        std::string present;
        for (const Role& r : schema.roles())
          if (r.trainable) present.append(present.empty() ? "" : ", ").append(r.name);
        throw UsageError("scope '" + text_ + "': this network has no '" + to_string(role) + "' parameters (it has " +
                         present + ")");
      }
  return indices;
}

RoleRates::RoleRates(const std::string& what, const std::string& text) : what_(what), text_(text) {
  const auto fail = [&](const std::string& why) {
    throw UsageError(what_ + " '" + text_ + "': " + why + "; a number > 0, or role=number joined by ',', was expected");
  };
  bool first = true;
  for (const std::string& part : cut(text, ',')) {
    const size_t equals = part.find('=');
    const std::string number = equals == std::string::npos ? part : part.substr(equals + 1);
    const double rate = parsed_number<double>(number).value_or(0);
    if (!(rate > 0)) fail("'" + number + "' is not a finite number > 0");
    if (equals != std::string::npos) {
      const Role role = role_from_string(part.substr(0, equals));
      if (!named_.insert(role).second) fail(part + " names a role for the second time");
      rates_[role] = rate;
    } else if (first) {
      for (const Role role : trainable_roles()) rates_[role] = rate;
    } else {
      fail("the number for all roles comes first");
    }
    first = false;
  }
  if (rates_.empty()) fail("it is empty");
}

double RoleRates::operator[](Role role) const {
  const auto found = rates_.find(role);
  if (found == rates_.end())
    throw UsageError(what_ + " '" + text_ + "' gives no rate for role '" + to_string(role) + "'");
  return found->second;
}

void RoleRates::require(const std::set<Role>& roles) const {
  for (const Role role : named_)
    if (!roles.count(role))
      throw UsageError(what_ + " '" + text_ + "' names role '" + to_string(role) + "', which nothing here uses");
  for (const Role role : roles) (*this)[role];
}

std::set<Role> roles_of(const Schema& schema, const std::vector<size_t>& indices) {
  std::set<Role> roles;
  for (const size_t i : indices) roles.insert(schema[i].role);
  return roles;
}

}  // namespace fewatoms
