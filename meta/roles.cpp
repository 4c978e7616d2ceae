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
    roles_ = {trainable_roles().begin(), trainable_roles().end()};
    roles_.erase(Role::kMeta);
    if (text == "body") roles_.erase(Role::kHead);
    return;
  }
  named_ = true;
  for (const std::string& name : cut(text, '+')) {
    Role role = Role::kMeta;
    try {
      role = role_from_string(name);
    } catch (const UsageError&) {
    }
    if (role == Role::kMeta) {
      std::vector<std::string> valid = {"all", "body", "none"};
      for (const Role r : trainable_roles())
        if (r != Role::kMeta) valid.push_back(to_string(r));
      throw UsageError(unknown_name("scope", name, valid) + ", roles may be joined by '+'");
    }
    if (!roles_.insert(role).second) throw UsageError("scope '" + text + "' names '" + name + "' twice");
  }
  if (roles_.empty()) throw UsageError("scope is empty, roles joined by '+', all, body or none was expected");
}

std::vector<size_t> Scope::select(const ParameterSet& parameters) const {
  std::vector<size_t> indices;
  std::set<Role> found;
  for (const size_t i : parameters.trainable())
    if (has(parameters[i].role)) {
      indices.push_back(i);
      found.insert(parameters[i].role);
    }
  if (named_)
    for (const Role role : roles_)
      if (!found.count(role)) {
        std::string present;
        for (const auto& [r, n] : parameters.count())
          if (r != Role::kStatistic) present += (present.empty() ? "" : ", ") + to_string(r);
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
      if (!named_.insert(role).second) fail("'" + to_string(role) + "' is named twice");
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

std::set<Role> roles_of(const ParameterSet& parameters, const std::vector<size_t>& indices) {
  std::set<Role> roles;
  for (const size_t i : indices) roles.insert(parameters[i].role);
  return roles;
}

}  // namespace fewatoms
