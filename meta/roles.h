#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "backbones/schema.h"

namespace fewatoms {

/// Which roles the inner loop may change.
class Scope {
 public:
  /// `text` is roles joined by '+' ("atom+head"), or "all", "body" (all but head) or "none".
  /// Throws UsageError on an unknown or repeated role.
  explicit Scope(const std::string& text = "none");

  const std::string& text() const { return text_; }
  bool has(Role role) const { return roles_.count(role) > 0; }

  /// Indices of the tensors it selects. Throws UsageError if a role that the text names selects nothing.
  std::vector<size_t> select(const Schema& schema) const;

 private:
  std::string text_;
  std::set<Role> roles_;
  bool named_ = false;  // by roles, rather than by "all" or "body"
};

/// A number for each role, such as step sizes.
class RoleRates {
 public:
  /// `text` is one number for all roles ("0.05"), numbers by role ("atom=0.2,head=0.05"), or both, the number first
  /// ("0.05,atom=0.5"). Roles left out have no rate. `what` names the option in errors.
  /// Throws UsageError on an unknown role or a number that is not finite and > 0.
  RoleRates(const std::string& what, const std::string& text);

  /// Throws UsageError if the role has no rate.
  double operator[](Role role) const;
  /// Throws UsageError unless every role named one by one is among `roles`, and each of `roles` has a rate.
  void require(const std::set<Role>& roles) const;

 private:
  std::string what_, text_;
  std::map<Role, double> rates_;
  std::set<Role> named_;
};

/// The roles of some tensors.
std::set<Role> roles_of(const Schema& schema, const std::vector<size_t>& indices);

}  // namespace fewatoms
