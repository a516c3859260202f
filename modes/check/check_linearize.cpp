// Linearization: what check_op does for every sample call.
#include <algorithm>
#include <cmath>
#include <sstream>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/check/check_case.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/linearize.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/walk/arithmetic.hpp>
#include <dualtape/ops/join.hpp>
#include <dualtape/ops/shapes.hpp>

namespace dualtape::detail {
namespace {

// One floating output of one sample call as a function of all its floating inputs, in float64.
class LinearizeCheck {
 public:
  LinearizeCheck(const Case& sample, std::size_t output, Key key, CheckReport& report)
      : sample_(sample), output_(output), key_(key), report_(report) {
    for (std::size_t i = 0; i < sample.args.size(); ++i) {
      const Arg& arg = sample.args[i];
      const bool floating = is_floating(arg.dtype);
      values_.push_back(draw(arg, key.fold(i), floating ? float64 : arg.dtype));
      if (!floating) continue;
      x_.push_back(values_.back());
      v_.push_back(
          uniform(key.fold(300 + i), values_.back().shape(), -1, 1, values_.back().dtype()));
    }
  }

  void run() {
    const VarFunction f = [this](std::span<const Var> x) { return called(x); };
    const auto [value, linear] = linearize(f, x_);
    const Tensor c = uniform(key_.fold(400), value.shape(), -1, 1, value.dtype());
    Graph graph;
    std::vector<Var> x, v;
    for (const Tensor& one : x_) x.push_back(graph.constant(one));
    for (const Tensor& one : v_) v.push_back(graph.constant(one));
    const Var y = called(x);
    const Wrts wrt(x.begin(), x.end());
    const MaybeVar tangent = forward_all({y}, wrt, v)[0];
    const std::vector<Var> by_vjp = vjp({y}, wrt, {graph.constant(c)}, Unreachable::zero).all();
    compare("its value", value, eval(y));
    const Tensor jvp = eval(tangent ? *tangent : zeros_like(y));
    compare("apply against jvp", linear(v_), jvp);
    const std::vector<Tensor> cotangents = linear.transpose_all(c);
    for (std::size_t i = 0; i < cotangents.size(); ++i)
      compare("its transpose against vjp", cotangents[i], eval(by_vjp[i]));
    if (tangent) compare("transposed twice against jvp", transposed_twice(y, x, v), jvp);
  }

 private:
  using Wrts = std::vector<Wrt>;

  Var called(std::span<const Var> x) const {
    std::vector<Var> in;
    std::size_t next = 0;
    for (std::size_t i = 0; i < values_.size(); ++i)
      in.push_back(is_floating(sample_.args[i].dtype) ? x[next++]
                                                      : x[0].graph().constant(values_[i]));
    return sample_.build(in)[output_];
  }

  // The linear map from tangents to the tangent, as a function of Vars. What its transpose gives is
  // one vector, so that it may be transposed again.
  Tensor transposed_twice(Var y, const std::vector<Var>& x, const std::vector<Var>& v) const {
    const VarFunction apply = [&](std::span<const Var> tangents) {
      const MaybeVar moved = linear_along(y, x, {tangents.begin(), tangents.end()}, {});
      return moved ? *moved : zeros_like(y);
    };
    std::vector<Type> types;
    for (const Var& one : v) types.push_back(one.type());
    const TransposedFunction once(apply, types, Location{});
    const VarFunction joined = [&](std::span<const Var> c) { return as_vector(once.all(c[0])); };
    const TransposedFunction twice(joined, {y.type()}, Location{});
    return eval(twice(as_vector(v)));
  }
  static Var as_vector(const std::vector<Var>& all) {
    std::vector<Var> flat;
    for (const Var& one : all) flat.push_back(reshape(one, {one.shape().count()}));
    return concat(flat);
  }

  void compare(const std::string& what, const Tensor& got, const Tensor& wanted) {
    ++report_.checks;
    if (got.type() != wanted.type())
      return failed(what, to_string(got.type()) + " against " + to_string(wanted.type()));
    const Tensor a = got.to(float64), b = wanted.to(float64);
    double largest = 1, gap = 0;
    for (std::size_t i = 0; i < a.data<double>().size(); ++i) {
      const double x = a.data<double>()[i], y = b.data<double>()[i];
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;
      largest = std::max(largest, std::abs(y));
      gap = std::isfinite(x - y) ? std::max(gap, std::abs(x - y)) : INFINITY;
    }
    if (gap <= 1e-11 * largest) return;
    std::ostringstream out;
    out << gap << " apart where the largest value is " << largest;
    failed(what, out.str());
  }
  void failed(const std::string& what, const std::string& why) {
    std::ostringstream out;
    out << "case '" << sample_.name << "', output " << output_ << ", key " << key_.value()
        << ": linearized, " << what << ": " << why;
    report_.failures.push_back(out.str());
  }

  const Case& sample_;
  std::size_t output_;
  Key key_;
  CheckReport& report_;
  std::vector<Tensor> values_;  // of all inputs
  std::vector<Tensor> x_, v_;   // of the floating ones, and their directions
};

}  // namespace

void check_linearize(const Case& sample, const OpInfo& info, Key key, CheckReport& report) {
  if (info.kind == Kind::none) return;
  Graph graph;
  std::vector<Var> in;
  bool moves = false;
  for (const Arg& arg : sample.args) {
    const bool floating = is_floating(arg.dtype);
    moves = moves || floating;
    in.push_back(
        graph.input("x" + std::to_string(in.size()), arg.shape, floating ? float64 : arg.dtype));
  }
  if (!moves) return;
  const std::vector<Var> out = sample.build(in);
  for (std::size_t i = 0; i < out.size(); ++i)
    if (is_floating(out[i].dtype())) LinearizeCheck(sample, i, key, report).run();
}

}  // namespace dualtape::detail
