// Calls at the edges of an operator's domain: values and slopes against the numbers it declares,
// and laws that need no numbers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>
#include <tuple>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/check/check_case.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape::detail {
namespace {

// The smallest normal number and the distance from 1 to the next.
struct Format {
  double smallest;
  double largest;
  double epsilon;
};
template <class T>
constexpr Format format_of{static_cast<double>(std::numeric_limits<T>::min()),
                           static_cast<double>(std::numeric_limits<T>::max()),
                           static_cast<double>(std::numeric_limits<T>::epsilon())};

bool fits_float32(const Tensor& tensor) {
  if (tensor.dtype() != float64) return true;
  return std::ranges::all_of(std::as_const(tensor).data<double>(), [](double x) {
    return std::isnan(x) || static_cast<double>(static_cast<float>(x)) == x;
  });
}

bool is_finite(const Tensor& tensor) {
  if (tensor.dtype() != float64) return true;
  return std::ranges::all_of(tensor.data<double>(), [](double x) { return std::isfinite(x); });
}

class EdgeCheck {
 public:
  EdgeCheck(const Edge& edge, const Entry& entry, DType floating, CheckReport& report)
      : edge_(edge), entry_(entry), floating_(floating), report_(report) {
    for (const Tensor& at : edge.at) {
      Tensor value = at.dtype() == float64 ? at.to(floating) : at;
      if (at.dtype() == float64) floating_inputs_.push_back(inputs_.size());
      inputs_.push_back(
          graph_.input("x" + std::to_string(inputs_.size()), at.shape(), value.dtype()));
      values_.push_back(std::move(value));
    }
    outputs_ = call(inputs_);
    for (const Var& out : outputs_)
      if (out.dtype() == floating) floating_outputs_.push_back(out);
    finite_ = std::ranges::all_of(edge.at, is_finite);
  }

  void run() {
    const std::vector<Tensor> values = evaluate(outputs_);
    if (!edge_.values.empty()) compare("value", values, edge_.values, edge_.ulp);
    constants_as_feeds(values);
    const bool derived = entry_.op == nullptr || entry_.op->differentiable();
    if (!derived || floating_outputs_.empty() || floating_inputs_.empty()) return;
    for (std::size_t k = 0; k < floating_inputs_.size(); ++k) first_order(k);
    if (edge_.second_order)
      for (const std::size_t i : floating_inputs_)
        for (const std::size_t j : floating_inputs_) second_order(i, j);
  }

 private:
  std::vector<Var> call(const std::vector<Var>& inputs) const {
    if (edge_.build) return edge_.build(inputs);
    if (entry_.op == nullptr)
      throw std::logic_error("an edge of a composite needs `build`, the call on its arguments");
    const std::vector<In> operands(inputs.begin(), inputs.end());
    return apply_all(*entry_.op, operands);
  }
  std::vector<Tensor> evaluate(const std::vector<Var>& wanted) const {
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < inputs_.size(); ++i) feeds.emplace_back(inputs_[i], values_[i]);
    Program program = compile(wanted);
    const Outputs out = program.run(feeds);
    std::vector<Tensor> result;
    for (const Var& var : wanted) result.push_back(out[var].to(float64).copy());
    return result;
  }

  void constants_as_feeds(const std::vector<Tensor>& fed) {
    Graph graph;
    std::vector<Var> constants;
    for (const Tensor& value : values_) constants.push_back(graph.constant(value));
    const std::vector<Var> outputs = call(constants);
    Program program = compile(outputs);
    const Outputs out = program.run({});
    for (std::size_t i = 0; i < outputs.size(); ++i)
      compare("value of constants against that of feeds", {out[outputs[i]].to(float64)}, {fed[i]},
              0);
  }

  // The slope of the sum of all outputs by each element of an input, by unit tangents: few elements
  // are expected.
  std::vector<MaybeVar> forward_slopes(Var sum_of_outputs, Var input) {
    std::vector<MaybeVar> slopes;
    for (std::int64_t k = 0; k < input.shape().count(); ++k) {
      Tensor unit(input.shape(), input.dtype());
      if (floating_ == float32)
        unit.data<float>()[static_cast<std::size_t>(k)] = 1;
      else
        unit.data<double>()[static_cast<std::size_t>(k)] = 1;
      slopes.push_back(forward_all({sum_of_outputs}, {input}, {graph_.constant(unit)})[0]);
    }
    return slopes;
  }
  Var total(const std::vector<Var>& outputs) {
    Var all;
    for (const Var& out : outputs) all = all.defined() ? add(all, sum(out)) : sum(out);
    return all;
  }

  void first_order(std::size_t k) {
    const Var input = inputs_[floating_inputs_[k]];
    const Var all = total(floating_outputs_);
    const std::string by = " by argument " + std::to_string(floating_inputs_[k]);
    const Tensor in_forward = gathered(forward_slopes(all, input), input.shape());
    const Tensor in_reverse = evaluate(reverse(all, {input}, Unreachable::zero).all()).front();
    compare("slope" + by + ", forward mode against reverse mode", {in_forward}, {in_reverse},
            2 * edge_.slope_ulp);
    if (k >= edge_.slopes.size()) return;
    compare("slope" + by + ", forward mode", {in_forward}, {edge_.slopes[k]}, edge_.slope_ulp);
    compare("slope" + by + ", reverse mode", {in_reverse}, {edge_.slopes[k]}, edge_.slope_ulp);
  }
  Tensor gathered(const std::vector<MaybeVar>& slopes, const Shape& shape) {
    Tensor result(shape, float64);
    for (std::size_t k = 0; k < slopes.size(); ++k)
      if (slopes[k]) result.data<double>()[k] = evaluate({*slopes[k]})[0].item();
    return result;
  }

  // 1, -2, 3, -4 ... in the dtype under test: many functions do not change along ones, or the sum
  // of their results does not.
  Var uneven(const Shape& shape) {
    Tensor numbers(shape, float64);
    double next = 1;
    for (double& number : numbers.data<double>()) {
      number = next;
      next = next > 0 ? -next - 1 : 1 - next;
    }
    return graph_.constant(numbers.to(floating_));
  }
  Var uneven_total() {
    Var all;
    for (const Var& out : floating_outputs_) {
      const Var weighted = sum(mul(out, uneven(out.shape())));
      all = all.defined() ? add(all, weighted) : weighted;
    }
    return all;
  }

  // A slope along a direction, and the largest it could be if its terms did not cancel.
  struct Slope {
    double value = 0;
    double size = 0;
  };

  // d/dx_j of the slope of the outputs by x_i, both along directions: each mode over each mode.
  void second_order(std::size_t i, std::size_t j) {
    if (inputs_[i].shape().count() == 0 || inputs_[j].shape().count() == 0) return;  // no direction
    const Var all = uneven_total();
    const Var direction = uneven(inputs_[i].shape());
    const MaybeVar by_forward = forward_all({all}, {inputs_[i]}, {direction})[0];
    const Var by_reverse =
        sum(mul(reverse(all, {inputs_[i]}, Unreachable::zero).all().front(), direction));
    const double wanted = by_forward ? forward_slope(*by_forward, inputs_[j]) : 0.0;
    const Slope reverse_over_forward =
        by_forward ? reverse_slope(*by_forward, inputs_[j]) : Slope{};
    const Slope reverse_over_reverse = reverse_slope(by_reverse, inputs_[j]);
    const double size = std::max(reverse_over_forward.size, reverse_over_reverse.size);
    const std::string by =
        " second slope by arguments " + std::to_string(i) + " and " + std::to_string(j);
    const auto held = [&](const char* nesting, double got) {
      // Terms that cancel may be added in another order, so their size counts and not their sum's.
      if (std::abs(got - wanted) <= 16 * edge_.slope_ulp * epsilon() * size) {
        ++report_.checks;
        return;
      }
      compare(nesting + by, {Tensor::scalar(got)}, {Tensor::scalar(wanted)}, edge_.slope_ulp);
    };
    held("reverse over forward", reverse_over_forward.value);
    held("forward over reverse", forward_slope(by_reverse, inputs_[j]));
    held("reverse over reverse", reverse_over_reverse.value);
    // At a tie each order may take another branch. Where an operand is infinite or NaN no order of
    // limits is the right one.
    if (!edge_.mixed || !finite_) return;
    mixed_.emplace_back(i, j, wanted);
    for (const auto& [by_i, by_j, other] : mixed_)
      if (by_i == j && by_j == i) held("the other order of", other);
  }
  double forward_slope(Var s, Var input) {
    const MaybeVar slope = forward_all({s}, {input}, {uneven(input.shape())})[0];
    return slope ? evaluate({*slope})[0].item() : 0.0;
  }
  Slope reverse_slope(Var s, Var input) {
    const Var direction = uneven(input.shape());
    const Var terms = mul(reverse(s, {input}, Unreachable::zero).all().front(), direction);
    const Tensor values = evaluate({terms}).front();
    Slope slope;
    for (const double term : values.data<double>()) {
      slope.value += term;
      slope.size += std::abs(term);
    }
    return slope;
  }
  double epsilon() const {
    return floating_ == float32 ? format_of<float>.epsilon : format_of<double>.epsilon;
  }

  void compare(const std::string& what, const std::vector<Tensor>& got,
               const std::vector<Tensor>& wanted, double allowed) {
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      ++report_.checks;
      if (i >= got.size() || got[i].shape() != wanted[i].shape()) {
        failed(what + ": is of shape " + (i < got.size() ? to_string(got[i].shape()) : "none") +
               ", wanted " + to_string(wanted[i].shape()));
        continue;
      }
      const Tensor wide = wanted[i].to(float64);
      const auto right = std::as_const(wide).data<double>();
      const auto seen = std::as_const(got[i]).data<double>();
      for (std::size_t k = 0; k < right.size(); ++k) {
        const double apart = ulps_apart(seen[k], right[k], floating_);
        if (apart <= allowed) continue;
        std::ostringstream out;
        out.precision(floating_ == float32 ? 9 : 17);
        out << what << ": " << seen[k] << " where " << right[k] << " is right";
        if (right.size() > 1) out << " (element " << k << ")";
        out.precision(3);
        out << ", " << apart << " ulp apart, allowed " << allowed;
        failed(out.str());
        break;
      }
    }
  }
  void failed(const std::string& what) {
    report_.failures.push_back("edge '" + edge_.name + "' in " + std::string(name_of(floating_)) +
                               ": " + what);
  }

  const Edge& edge_;
  const Entry& entry_;
  DType floating_;
  CheckReport& report_;
  Graph graph_;
  std::vector<Var> inputs_;
  std::vector<Tensor> values_;
  std::vector<std::size_t> floating_inputs_;
  std::vector<Var> outputs_;
  std::vector<Var> floating_outputs_;
  bool finite_ = true;
  std::vector<std::tuple<std::size_t, std::size_t, double>> mixed_;  // second slopes so far
};

}  // namespace

double ulps_apart(double got, double wanted, DType dtype) {
  const Format format = dtype == float32 ? format_of<float> : format_of<double>;
  if (std::isnan(got) || std::isnan(wanted))
    return std::isnan(got) && std::isnan(wanted) ? 0 : infinity;
  if (dtype == float32) {
    // What rounds to an infinity is one.
    if (std::abs(wanted) > format.largest) wanted = static_cast<double>(static_cast<float>(wanted));
  }
  if (got == wanted) return 0;
  if (std::isinf(got) || std::isinf(wanted)) return infinity;
  if (got == 0 && std::abs(wanted) < format.smallest) return 0;
  if (wanted == 0 && std::abs(got) < format.smallest) return 0;
  const double size = std::max(std::abs(wanted), format.smallest);
  const double unit = format.epsilon * std::exp2(std::floor(std::log2(size)));
  return std::abs(got - wanted) / unit;
}

void check_edge(const Edge& edge, const Entry& entry, CheckReport& report) {
  for (const DType floating : {float64, float32}) {
    if (floating == float32 && !std::ranges::all_of(edge.at, fits_float32)) continue;
    try {
      EdgeCheck(edge, entry, floating, report).run();
    } catch (const std::exception& error) {
      ++report.checks;
      report.failures.push_back("edge '" + edge.name + "' in " + std::string(name_of(floating)) +
                                ": throws " + error.what());
    }
  }
}

}  // namespace dualtape::detail
