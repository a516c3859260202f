#include <dualtape/modes/linearize.hpp>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <dualtape/core/leaves.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/modes/walk/copy.hpp>
#include <dualtape/modes/walk/linearity.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape {

struct LinearMap::Impl {
  Graph graph;  // of the linear map alone: directions and coefficients come in
  std::vector<Var> directions;
  Var value;                       // J v; zeros where it does not depend on v
  std::vector<Feed> coefficients;  // as they were at the point
  std::optional<Program> forward;
  Var cotangent;
  std::vector<Var> transposed;
  std::optional<Program> backward;
};

namespace {

// The nodes of one graph that depend on some, copied into another; what they read besides becomes
// an input of it.
class Cut {
 public:
  Cut(Graph& from, Graph& to, Location where) : from_(from), to_(to), where_(where) {}

  void start(Var old, Var made) {
    if (moving_.empty()) moving_.resize(from_.size());
    moving_[old.id()] = true;
    made_[old.id()] = {made};
  }
  // `out` in the new graph.
  Var copy(Var out) {
    for (NodeId id = 0; id <= out.id(); ++id) {
      const Node& node = from_.node(id);
      bool moves = false;
      for (const Ref& ref : node.inputs()) moves = moves || moving_[ref.node];
      if (!moves || moving_[id]) continue;
      moving_[id] = true;
      std::vector<Var> operands;
      for (const Ref& ref : node.inputs())
        operands.push_back(moving_[ref.node] ? made_[ref.node][ref.output]
                                             : coefficient(from_.var(ref)));
      const NodeId made = to_.add(*node.op, operands, node.attributes, node.where);
      for (std::uint32_t k = 0; k < node.output_count; ++k) made_[id].push_back(to_.var(made, k));
    }
    return made_[out.id()][out.output()];
  }
  bool moves(Var var) const { return var.id() < moving_.size() && moving_[var.id()]; }
  const std::vector<Var>& coefficients() const { return coefficients_; }
  const std::vector<Var>& inputs() const { return inputs_; }

 private:
  Var coefficient(Var old) {
    const Node& node = from_.node(old.id());
    if (node.op == &constant_op())
      return to_.constant(node.attributes.get<Tensor>("value"), node.where);
    std::vector<Var>& made = made_[old.id()];
    made.resize(node.output_count);
    if (made[old.output()].defined()) return made[old.output()];
    coefficients_.push_back(old);
    inputs_.push_back(to_.input("coefficient" + std::to_string(inputs_.size()), old.shape(),
                                old.dtype(), where_));
    return made[old.output()] = inputs_.back();
  }

  Graph& from_;
  Graph& to_;
  Location where_;
  std::vector<bool> moving_;
  std::unordered_map<NodeId, std::vector<Var>> made_;
  std::vector<Var> coefficients_;  // of the old graph
  std::vector<Var> inputs_;        // what they are in the new one
};

void require_type(const Tensor& given, const Type& wanted, const char* what, Location where) {
  if (given.type() == wanted) return;
  const Complaint complaint{
      .op = "LinearMap",
      .what = std::string(what) + " is " + to_string(given.type()) + ", not " + to_string(wanted),
      .where = where,
      .help =
          "a direction has the type of its input, a cotangent that of "
          "the value"};
  if (given.shape() != wanted.shape) fail<ShapeError>(complaint);
  fail<TypeError>(complaint);
}

template <class Impl>
Impl& require_map(const std::shared_ptr<Impl>& impl, Location where) {
  if (impl != nullptr) return *impl;
  fail<GraphError>({.op = "LinearMap",
                    .what = "it belongs to no function: it was made by default or moved from",
                    .where = where,
                    .help = "take it from dt::linearize(f, x)"});
}

}  // namespace

Tensor LinearMap::operator()(const std::vector<Tensor>& v, Location where) const {
  Impl& impl = require_map(impl_, where);
  if (v.size() != impl.directions.size())
    fail<ValueError>({.op = "LinearMap",
                      .what = std::to_string(v.size()) + " directions for " +
                              std::to_string(impl.directions.size()) + " inputs",
                      .where = where,
                      .help = "give one for each input, as a std::vector for several"});
  std::vector<Feed> feeds = impl.coefficients;
  for (std::size_t i = 0; i < v.size(); ++i) {
    require_type(v[i], impl.directions[i].type(), "the direction", where);
    feeds.emplace_back(impl.directions[i], v[i], where);
  }
  if (!impl.forward) impl.forward = compile({impl.value}, {}, where);
  return impl.forward->run(feeds, where)[impl.value];
}
Tensor LinearMap::operator()(const Tensor& v, Location where) const {
  return (*this)(std::vector<Tensor>{v}, where);
}

std::vector<Tensor> LinearMap::transpose_all(const Tensor& c, Location where) const {
  Impl& impl = require_map(impl_, where);
  require_type(c, impl.value.type(), "the cotangent", where);
  if (!impl.backward) {
    impl.cotangent = impl.graph.input("cotangent", impl.value.shape(), impl.value.dtype(), where);
    impl.transposed =
        vjp({impl.value}, {impl.directions, where}, {impl.cotangent}, Unreachable::zero, where)
            .all();
    impl.backward = compile(impl.transposed, {}, where);
  }
  std::vector<Feed> feeds = impl.coefficients;
  feeds.emplace_back(impl.cotangent, c, where);
  const Outputs out = impl.backward->run(feeds, where);
  std::vector<Tensor> results;
  for (const Var& var : impl.transposed) results.push_back(out[var]);
  return results;
}
Tensor LinearMap::transpose(const Tensor& c, Location where) const {
  if (const std::size_t inputs = require_map(impl_, where).directions.size(); inputs != 1)
    fail<ValueError>({.op = "LinearMap",
                      .what = "the function has " + std::to_string(inputs) +
                              " inputs, so that there are as many cotangents",
                      .where = where,
                      .help = "transpose_all() gives them all"});
  return transpose_all(c, where)[0];
}

// With access to what a LinearMap keeps.
struct LinearizeAt {
  static Linearization at(const VarFunction& f, const std::vector<Tensor>& x, Location where) {
    Graph graph;
    std::vector<Var> inputs, directions;
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const std::string number = std::to_string(i);
      inputs.push_back(graph.input("x" + number, x[i].shape(), x[i].dtype(), where));
      directions.push_back(graph.input("v" + number, x[i].shape(), x[i].dtype(), where));
      feeds.emplace_back(inputs.back(), x[i], where);
    }
    const Var y = detail::require_alive(f(inputs), "linearize", "what the function returns", where);
    const MaybeVar dy = detail::linear_along(y, inputs, directions, where);

    auto impl = std::make_shared<LinearMap::Impl>();
    Cut cut(graph, impl->graph, where);
    for (const Var& direction : directions) {
      impl->directions.push_back(
          impl->graph.input(direction.label(), direction.shape(), direction.dtype(), where));
      cut.start(direction, impl->directions.back());
    }
    impl->value =
        dy ? cut.copy(*dy) : impl->graph.constant(zeros(y.shape(), y.dtype(), where), where);
    std::vector<Var> wanted{y};
    wanted.insert(wanted.end(), cut.coefficients().begin(), cut.coefficients().end());
    const Outputs out = compile(wanted, {}, where).run(feeds, where);
    for (std::size_t i = 0; i < cut.inputs().size(); ++i)
      impl->coefficients.emplace_back(cut.inputs()[i], out[cut.coefficients()[i]], where);
    Linearization result;
    result.value = out[y];
    result.linear.impl_ = std::move(impl);
    return result;
  }
};

MaybeVar detail::linear_along(Var y, const std::vector<Var>& inputs,
                              const std::vector<Var>& directions, Location where) {
  const Linearized linear({y}, {inputs, where}, where);
  const MaybeVar along = copy_of_entries(linear, directions, y.graph(),
                                         [](Var coefficient) { return coefficient; })[0];
  if (!along) return {};
  return broadcast_as(*along, y.shape());
}

Linearization detail::linearize_at(const VarFunction& f, const std::vector<Tensor>& x,
                                   Location where) {
  return LinearizeAt::at(f, x, where);
}

// ---- transpose ----------------------------------------------------------------------------------

namespace {

// What stands for the argument while the graph of a linear function is built. Its transpose depends
// on no value of it, though a loop may compute with one.
Var argument(Graph& graph, const Type& type, std::size_t number) {
  const Var one = graph.constant(static_cast<double>(number), type.dtype);
  return broadcast_to(one, type.shape);
}

// DerivativeError unless the value is linear in the arguments.
void require_linear(Var value, const std::vector<Var>& arguments, Location where) {
  const Graph& graph = value.graph();
  const detail::Linearity found = detail::linearity_of(arguments, std::array{value});
  if (found.broken_by) {
    const Node& node = graph.node(*found.broken_by);
    fail<DerivativeError>(
        {.op = "transpose",
         .label = graph.label(*found.broken_by),
         .what = "the function is not linear in its arguments: it applies '" +
                 std::string(node.op->name()) + "', at " + to_string(node.where) +
                 ", to what depends on them, which is not linear there" + found.within,
         .where = where,
         .help = "linearize() gives the linear map that a function is near a point"});
  }
  if (found.moves[0] || is_zero_constant(value)) return;
  fail<DerivativeError>({.op = "transpose",
                         .label = value.label(),
                         .what = "the function is not linear in its arguments: its value does not "
                                 "depend on them and is not zero",
                         .where = where,
                         .help = "compute it from the Vars that the function is given"});
}

}  // namespace

TransposedFunction::TransposedFunction(VarFunction f, std::vector<Type> arguments, Location where)
    : f_(std::move(f)),
      arguments_(std::move(arguments)),
      where_(where),
      cache_(std::make_shared<detail::FunctionCache>(CompileOptions{}, where)) {
  if (arguments_.empty())
    fail<ValueError>({.op = "transpose",
                      .what = "there are no arguments to transpose by",
                      .where = where,
                      .help = "give the type of each argument of the function"});
  for (std::size_t i = 0; i < arguments_.size(); ++i)
    if (!is_floating(arguments_[i].dtype))
      fail<TypeError>({.op = "transpose",
                       .what = "argument " + std::to_string(i) + " (from 0) is " +
                               to_string(arguments_[i]) +
                               ", and only float32 and float64 have cotangents",
                       .where = where,
                       .help = "capture what is not to be transposed by"});
}

void TransposedFunction::require_one() const {
  if (arguments_.size() == 1) return;
  fail<ValueError>({.op = "transpose",
                    .what = "the function has " + std::to_string(arguments_.size()) +
                            " arguments, so that there are as many cotangents",
                    .where = where_,
                    .help = "all() gives them all"});
}

std::vector<Var> TransposedFunction::all(Var c) const {
  detail::require_callable(cache_ != nullptr, "transpose", where_);
  Graph& graph = detail::require_alive(c, "transpose", "the cotangent", where_).graph();
  std::vector<Var> x;
  for (const Type& type : arguments_) x.push_back(argument(graph, type, x.size()));
  const Var value = detail::require_alive(f_(x), "transpose", "what the function returns", where_);
  detail::require_one_graph(std::array{value, c}, "transpose", "value and cotangent", where_);
  require_linear(value, x, where_);
  return vjp({value}, {x, where_}, {c}, Unreachable::zero, where_).all();
}

std::vector<Tensor> TransposedFunction::all(const Tensor& c) const {
  detail::require_callable(cache_ != nullptr, "transpose", where_);
  return cache_->run([this](std::span<const Var> in) { return all(in[0]); }, std::span(&c, 1));
}

}  // namespace dualtape
