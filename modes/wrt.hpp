// With respect to what: the arguments modes share.
#pragma once

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <dualtape/core/graph.hpp>

namespace dualtape {

// A Var or a Parameter to differentiate by, with the user's line.
class Wrt {
 public:
  Wrt(Var var, Location where = Location::current()) : var_(var), where_(where) {}
  Wrt(const Parameter& parameter, Location where = Location::current())
      : parameter_(parameter), where_(where) {}

  // The Var in `graph`; for a Parameter the node that reads it. Throws GraphError if it has none
  // there or belongs to another graph, TypeError if it is no floating value, at the line of the
  // mode's call, `where`.
  Var in(Graph& graph, std::string_view mode, Location where) const;
  Var var() const { return var_; }  // empty for a Parameter
  const std::optional<Parameter>& parameter() const { return parameter_; }
  Location where() const { return where_; }

 private:
  Var var_;
  std::optional<Parameter> parameter_;
  Location where_;
};

// What modes differentiate by: {w, b}, {x, y}, or a model's parameters() as they are.
class WrtList : public std::vector<Wrt> {
 public:
  WrtList(std::initializer_list<Wrt> list) : std::vector<Wrt>(list) {}
  WrtList(const std::vector<Wrt>& list) : std::vector<Wrt>(list) {}
  WrtList(const std::vector<Var>& vars, Location where = Location::current()) {
    for (const Var& var : vars) emplace_back(var, where);
  }
  WrtList(const std::vector<Parameter>& parameters, Location where = Location::current()) {
    for (const Parameter& parameter : parameters) emplace_back(parameter, where);
  }
  template <class Iterator>
  WrtList(Iterator first, Iterator last) : std::vector<Wrt>(first, last) {}

  // Wrt::in() of each, with its errors; GraphError if one is listed twice, as a parameter or as the
  // Var that reads it.
  std::vector<Var> in(Graph& graph, std::string_view mode, Location where) const;
};

// What to do about an input the output does not depend on.
enum class Unreachable : std::uint8_t {
  error,  // DerivativeError: it is nearly always a mistake
  zero,   // its derivative is a constant zero
};

// One Var per Wrt: gradients, or estimates of them.
class Gradients {
 public:
  // ShapeError or TypeError unless a gradient is of the shape and dtype of what it is by.
  void add(const Wrt& wrt, Var of, Var gradient, Location where = Location::current());
  // GraphError if it was not among those differentiated by.
  Var operator[](const Wrt& of) const;
  const std::vector<Var>& all() const& { return values_; }  // in the order asked for
  // Of one that is about to go: `for (dt::Var g : dt::reverse(y, x).all())` is right.
  std::vector<Var> all() && { return std::move(values_); }
  std::size_t size() const { return values_.size(); }

 private:
  std::vector<Var> of_;
  std::vector<std::optional<Parameter>> parameters_;
  std::vector<Var> values_;
};

}  // namespace dualtape
