// What is known of values while a pattern is found: constants, and numbers that decide at a point.
// Private; one thread at a time.
#pragma once

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include <dualtape/core/program.hpp>

namespace dualtape::detail {

class KnownValues {
 public:
  // With `point`, what decides is evaluated there.
  explicit KnownValues(Graph& graph, const std::vector<Feed>* point = nullptr)
      : graph_(graph), point_(point) {}

  // Whether a value of this graph is computed from constants alone.
  bool is_constant(Var var);
  // Its value, where it is.
  std::optional<Tensor> constant(Var var);
  // The same, or the value at the point of what decides where elements go, which is noted.
  std::optional<Tensor> decided(Var var);

  struct Decision {
    Var var;
    Tensor value;
  };
  const std::vector<Decision>& decisions() const { return decisions_; }

 private:
  Graph& graph_;
  const std::vector<Feed>* point_;
  std::vector<bool> constant_;  // by node
  std::map<std::pair<NodeId, std::uint32_t>, Tensor> values_;
  std::vector<Decision> decisions_;
};

}  // namespace dualtape::detail
