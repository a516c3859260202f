#include <dualtape/modes/check/check_case.hpp>

#include <algorithm>
#include <cmath>
#include <sstream>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/ops/arithmetic.hpp>
#include <dualtape/ops/reduce.hpp>

namespace dualtape::detail {
namespace {

using Tensors = std::vector<Tensor>;

std::span<const double> elements(const Tensor& tensor) { return tensor.data<double>(); }

double dot_of(const Tensors& a, const Tensors& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < elements(a[i]).size(); ++j)
      sum += elements(a[i])[j] * elements(b[i])[j];
  return sum;
}
double absolute_dot_of(const Tensors& a, const Tensors& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < elements(a[i]).size(); ++j)
      sum += std::abs(elements(a[i])[j] * elements(b[i])[j]);
  return sum;
}
double largest(const Tensors& a) {
  double most = 0;
  for (const Tensor& t : a)
    for (const double x : elements(t)) most = std::max(most, std::abs(x));
  return most;
}
double largest_gap(const Tensors& a, const Tensors& b) {
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < elements(a[i]).size(); ++j) {
      const double gap = std::abs(elements(a[i])[j] - elements(b[i])[j]);
      most = std::isnan(gap) ? INFINITY : std::max(most, gap);
    }
  return most;
}
Tensors moved(const Tensors& x, const std::vector<std::size_t>& which, const Tensors& v, double h) {
  Tensors result = x;
  for (std::size_t k = 0; k < which.size(); ++k) {
    result[which[k]] = x[which[k]].copy();
    const auto to = result[which[k]].data<double>();
    for (std::size_t j = 0; j < to.size(); ++j) to[j] += h * elements(v[k])[j];
  }
  return result;
}

// The graph of a sample call in one floating dtype, with its inputs drawn.
class Call {
 public:
  Call(const Case& sample, DType floating, Key key) {
    for (std::size_t i = 0; i < sample.args.size(); ++i) {
      const Arg& arg = sample.args[i];
      // Both dtypes see the same numbers: those that float32 can hold.
      Tensor value = draw(arg, key.fold(i), float64);
      const DType dtype = is_floating(arg.dtype) ? floating : arg.dtype;
      if (is_floating(arg.dtype)) value = value.to(float32).to(dtype);
      inputs_.push_back(graph.input("x" + std::to_string(i), arg.shape, dtype));
      values_.push_back(value);
      if (is_floating(arg.dtype)) floating_inputs_.push_back(i);
    }
    all_outputs = sample.build(inputs_);
    for (const Var& out : all_outputs)
      if (out.dtype() == floating) outputs.push_back(out);
  }

  Graph graph;
  std::vector<Var> all_outputs;
  std::vector<Var> outputs;  // those in the floating dtype under test: a cast to another rounds

  const std::vector<std::size_t>& floating_inputs() const { return floating_inputs_; }
  const Tensors& values() const { return values_; }
  std::vector<Var> inputs(const std::vector<std::size_t>& which) const {
    std::vector<Var> result;
    for (const std::size_t i : which) result.push_back(inputs_[i]);
    return result;
  }
  std::vector<Wrt> wrt(const std::vector<std::size_t>& which) const {
    std::vector<Wrt> result;
    for (const std::size_t i : which) result.emplace_back(inputs_[i]);
    return result;
  }
  // Another input of the graph, shaped like `like`, drawn from the key: a tangent or cotangent.
  Var companion(const std::string& name, Var like, Key key) {
    const Var var = graph.input(name, like.shape(), like.dtype());
    Tensor value = uniform(key, like.shape(), -1.0, 1.0, float64).to(float32).to(like.dtype());
    companions_.emplace_back(var, value);
    return var;
  }
  Tensor value_of(Var companion) const {
    for (const auto& [var, value] : companions_)
      if (var == companion) return value;
    return {};
  }
  // Values of `wanted` with the inputs at `x`, in float64.
  Tensors run(const std::vector<Var>& wanted, const Tensors& x) const {
    Program program = compile(wanted);
    return run(program, wanted, x);
  }
  Tensors run(Program& program, const std::vector<Var>& wanted, const Tensors& x) const {
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < inputs_.size(); ++i) feeds.emplace_back(inputs_[i], x[i]);
    for (const auto& [var, value] : companions_) feeds.emplace_back(var, value);
    const Outputs out = program.run(feeds);
    Tensors result;
    for (const Var& var : wanted) {
      const Tensor& value = out[var];
      result.push_back(value.dtype() == float64 ? value.copy() : value.to(float64));
    }
    return result;
  }

 private:
  std::vector<Var> inputs_;
  Tensors values_;
  std::vector<std::size_t> floating_inputs_;
  std::vector<std::pair<Var, Tensor>> companions_;
};

// Adds what is absent as zeros, so that results can be compared.
struct Results {
  std::vector<MaybeVar> vars;
  std::vector<Var> like;

  Tensors run(const Call& call, const Tensors& x) const {
    std::vector<Var> wanted;
    for (const MaybeVar& var : vars)
      if (var) wanted.push_back(*var);
    Tensors present;
    if (!wanted.empty()) present = call.run(wanted, x);
    Tensors result;
    std::size_t next = 0;
    for (std::size_t i = 0; i < vars.size(); ++i)
      result.push_back(vars[i] ? present[next++] : zeros(like[i].shape(), float64));
    return result;
  }
};

class CaseCheck {
 public:
  CaseCheck(const Case& sample, const OpInfo& info, Key key, CheckReport& report)
      : sample_(sample), info_(info), key_(key), report_(report) {}

  void run() {
    Call call(sample_, float64, key_);
    call.run(call.all_outputs, call.values());  // sample calls must run at all, empty ones too
    ++report_.checks;
    if (call.outputs.empty() || call.floating_inputs().empty()) return;
    if (info_.kind == Kind::none) return refused_alike();
    if (info_.kind == Kind::zero_derivative) return zero_alike();
    for (const std::vector<std::size_t>& subset : subsets(call.floating_inputs()))
      first_order(subset);
    second_order();
    single_precision();
  }

 private:
  // Every non-empty subset up to four inputs; above that each alone and all together.
  static std::vector<std::vector<std::size_t>> subsets(const std::vector<std::size_t>& all) {
    std::vector<std::vector<std::size_t>> result;
    if (all.size() > 4) {
      for (const std::size_t i : all) result.push_back({i});
      result.push_back(all);
      return result;
    }
    for (std::size_t mask = 1; mask < (std::size_t{1} << all.size()); ++mask) {
      std::vector<std::size_t> subset;
      for (std::size_t i = 0; i < all.size(); ++i)
        if ((mask >> i) & 1) subset.push_back(all[i]);
      result.push_back(subset);
    }
    return result;
  }

  void first_order(const std::vector<std::size_t>& active) {
    Call call(sample_, float64, key_);
    active_ = active;
    const Tensors& x = call.values();
    const std::vector<Var> in = call.inputs(active);
    std::vector<Var> v;
    std::vector<MaybeVar> c;
    for (std::size_t i = 0; i < in.size(); ++i)
      v.push_back(call.companion("v" + std::to_string(i), in[i], key_.fold(100 + i)));
    for (std::size_t i = 0; i < call.outputs.size(); ++i)
      c.emplace_back(call.companion("c" + std::to_string(i), call.outputs[i], key_.fold(200 + i)));
    Tensors v_values;
    Tensors c_values;
    for (const Var& var : v) v_values.push_back(call.value_of(var));
    for (const MaybeVar& var : c) c_values.push_back(call.value_of(*var));

    const Tensors primal_alone = call.run(call.outputs, x);
    const Results jvp{forward_all(call.outputs, call.wrt(active), v), call.outputs};
    const Results vjp{Linearized(call.outputs, call.wrt(active)).transpose(c), in};
    const Tensors jv = jvp.run(call, x);
    const Tensors jtc = vjp.run(call, x);
    primal_bits(call, jvp, vjp, primal_alone);

    const Tensors numeric = central_difference(call, active, v_values);
    compare("jvp against central differences", jv, numeric, info_.tolerance);
    const double scale = std::max(1.0, absolute_dot_of(c_values, numeric));
    compare_numbers("vjp against central differences", dot_of(jtc, v_values),
                    dot_of(c_values, numeric), info_.tolerance * scale);
    const double c_jv = dot_of(c_values, jv);
    compare_numbers(
        "<c, J v> against <J^T c, v>", dot_of(jtc, v_values), c_jv,
        1e-12 * std::max(absolute_dot_of(c_values, jv), absolute_dot_of(jtc, v_values)) + 1e-300);
    homogeneous(call, active, v, jv);
  }

  // Twice the tangent gives twice the result.
  void homogeneous(Call& call, const std::vector<std::size_t>& active, const std::vector<Var>& v,
                   const Tensors& jv) {
    std::vector<Var> twice;
    for (const Var& var : v) twice.push_back(mul(var, 2.0));
    const Results jvp{forward_all(call.outputs, call.wrt(active), twice), call.outputs};
    Tensors doubled;
    for (const Tensor& t : jv) {
      doubled.push_back(t.copy());
      for (double& value : doubled.back().data<double>()) value *= 2;
    }
    compare("jvp of a doubled tangent (linearity)", jvp.run(call, call.values()), doubled, 1e-12);
  }

  void primal_bits(const Call& call, const Results& jvp, const Results& vjp, const Tensors& alone) {
    for (const Results* mode : {&jvp, &vjp}) {
      std::vector<Var> wanted = call.outputs;
      for (const MaybeVar& var : mode->vars)
        if (var) wanted.push_back(*var);
      const Tensors together = call.run(wanted, call.values());
      ++report_.checks;
      for (std::size_t i = 0; i < alone.size(); ++i)
        if (!identical(alone[i], together[i]))
          failed("the value changes when its derivative is computed along with it");
    }
  }

  // (f(-2h) - 8 f(-h) + 8 f(h) - f(2h)) / 12h, error O(h^4).
  Tensors central_difference(const Call& call, const std::vector<std::size_t>& active,
                             const Tensors& v) {
    constexpr double h = 1e-3;
    Program program = compile(call.outputs);
    Tensors sum;
    for (const Var& out : call.outputs) sum.push_back(zeros(out.shape(), float64));
    constexpr double weights[][2] = {{-2, 1}, {-1, -8}, {1, 8}, {2, -1}};
    for (const auto& [step, weight] : weights) {
      const Tensors y = call.run(program, call.outputs, moved(call.values(), active, v, step * h));
      for (std::size_t i = 0; i < y.size(); ++i) {
        const auto to = sum[i].data<double>();
        for (std::size_t j = 0; j < to.size(); ++j) to[j] += weight / (12 * h) * elements(y[i])[j];
      }
    }
    return sum;
  }

  // d/dw of s = <c, J v> four ways: each mode over each mode.
  void second_order() {
    Call call(sample_, float64, key_);
    active_ = call.floating_inputs();
    const std::vector<Var> in = call.inputs(active_);
    std::vector<Var> v;
    std::vector<Var> w;
    std::vector<MaybeVar> c;
    Tensors w_values;
    for (std::size_t i = 0; i < in.size(); ++i) {
      v.push_back(call.companion("v" + std::to_string(i), in[i], key_.fold(100 + i)));
      w.push_back(call.companion("w" + std::to_string(i), in[i], key_.fold(300 + i)));
      w_values.push_back(call.value_of(w.back()));
    }
    for (std::size_t i = 0; i < call.outputs.size(); ++i)
      c.emplace_back(call.companion("c" + std::to_string(i), call.outputs[i], key_.fold(200 + i)));
    const MaybeVar by_forward = inner(forward_all(call.outputs, call.wrt(active_), v), c);
    const MaybeVar by_reverse =
        inner(Linearized(call.outputs, call.wrt(active_)).transpose(c), {v.begin(), v.end()});
    if (!by_forward || !by_reverse) {
      if (by_forward || by_reverse) failed("one mode finds a derivative and the other finds none");
      return;
    }
    const double numeric = slope_of(call, *by_forward, w_values);
    const double tolerance = 100 * info_.tolerance * std::max(1.0, std::abs(numeric));
    compare_numbers("forward over forward", forward_slope(call, *by_forward, w), numeric,
                    tolerance);
    compare_numbers("reverse over forward", reverse_slope(call, *by_forward, w_values), numeric,
                    tolerance);
    compare_numbers("forward over reverse", forward_slope(call, *by_reverse, w), numeric,
                    tolerance);
    compare_numbers("reverse over reverse", reverse_slope(call, *by_reverse, w_values), numeric,
                    tolerance);
  }

  static MaybeVar inner(const std::vector<MaybeVar>& a, const std::vector<MaybeVar>& b) {
    MaybeVar total;
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (!a[i] || !b[i]) continue;
      const Var term = sum(mul(*a[i], *b[i]));
      total = total ? add(*total, term) : term;
    }
    return total;
  }
  double slope_of(const Call& call, Var s, const Tensors& w) {
    constexpr double h = 1e-3;
    Program program = compile({s});
    const auto at = [&](double step) {
      return elements(call.run(program, {s}, moved(call.values(), active_, w, step * h))[0])[0];
    };
    return (at(-2) - 8 * at(-1) + 8 * at(1) - at(2)) / (12 * h);
  }
  double forward_slope(const Call& call, Var s, const std::vector<Var>& w) {
    const MaybeVar slope = forward_all({s}, call.wrt(active_), w)[0];
    return slope ? elements(call.run({*slope}, call.values())[0])[0] : 0.0;
  }
  double reverse_slope(const Call& call, Var s, const Tensors& w) {
    const Gradients gradients = reverse(s, call.wrt(active_), Unreachable::zero);
    return dot_of(call.run(gradients.all(), call.values()), w);
  }

  void single_precision() {
    Call narrow(sample_, float32, key_);
    Call wide(sample_, float64, key_);
    if (narrow.outputs.size() != wide.outputs.size())
      return;  // its dtypes do not follow its inputs'
    active_ = wide.floating_inputs();
    compare("float32 value against float64", narrow.run(narrow.outputs, narrow.values()),
            wide.run(wide.outputs, wide.values()), info_.tolerance32);
    compare("float32 jvp against float64", tangents(narrow), tangents(wide), info_.tolerance32);
    compare("float32 vjp against float64", cotangents(narrow), cotangents(wide), info_.tolerance32);
  }
  Tensors tangents(Call& call) {
    const std::vector<Var> in = call.inputs(active_);
    std::vector<Var> v;
    for (std::size_t i = 0; i < in.size(); ++i)
      v.push_back(call.companion("v" + std::to_string(i), in[i], key_.fold(100 + i)));
    return Results{forward_all(call.outputs, call.wrt(active_), v), call.outputs}.run(
        call, call.values());
  }
  Tensors cotangents(Call& call) {
    std::vector<MaybeVar> c;
    for (std::size_t i = 0; i < call.outputs.size(); ++i)
      c.emplace_back(call.companion("c" + std::to_string(i), call.outputs[i], key_.fold(200 + i)));
    return Results{Linearized(call.outputs, call.wrt(active_)).transpose(c), call.inputs(active_)}
        .run(call, call.values());
  }

  // Both modes throw, and with the operator's reason.
  void refused_alike() {
    const auto refusal = [&](auto&& differentiate) -> std::string {
      Call call(sample_, float64, key_);
      try {
        differentiate(call);
      } catch (const DerivativeError& error) {
        return error.what();
      }
      return "";
    };
    const std::string forward_text = refusal([](Call& call) {
      std::vector<Var> v = call.inputs(call.floating_inputs());
      forward_all(call.outputs, call.wrt(call.floating_inputs()), v);
    });
    const std::string reverse_text =
        refusal([](Call& call) { Linearized(call.outputs, call.wrt(call.floating_inputs())); });
    ++report_.checks;
    if (forward_text.empty() || forward_text != reverse_text)
      failed("is not differentiable, but the modes do not refuse alike: forward says '" +
             forward_text + "', reverse says '" + reverse_text + "'");
    if (info_.reason.empty() || forward_text.find(info_.reason) == std::string::npos)
      failed("refuses without giving its reason");
  }

  void zero_alike() {
    Call call(sample_, float64, key_);
    const std::vector<std::size_t>& all = call.floating_inputs();
    const std::vector<Var> in = call.inputs(all);
    std::vector<Var> v;
    std::vector<MaybeVar> c;
    for (std::size_t i = 0; i < in.size(); ++i)
      v.push_back(call.companion("v" + std::to_string(i), in[i], key_.fold(100 + i)));
    for (std::size_t i = 0; i < call.outputs.size(); ++i)
      c.emplace_back(call.companion("c" + std::to_string(i), call.outputs[i], key_.fold(200 + i)));
    ++report_.checks;
    for (const MaybeVar& t : forward_all(call.outputs, call.wrt(all), v))
      if (t) failed("has a derivative of zero by declaration, but forward mode finds a tangent");
    for (const MaybeVar& t : Linearized(call.outputs, call.wrt(all)).transpose(c))
      if (t) failed("has a derivative of zero by declaration, but reverse mode finds a cotangent");
    if (info_.by_definition) return;
    Tensors directions;
    for (const Var& var : v) directions.push_back(call.value_of(var));
    const Tensors numeric = central_difference(call, all, directions);
    ++report_.checks;
    if (largest(numeric) > info_.tolerance)
      failed("has a derivative of zero by declaration, but its value moves");
  }

  void compare(const std::string& what, const Tensors& got, const Tensors& wanted,
               double tolerance) {
    ++report_.checks;
    const double gap = largest_gap(got, wanted);
    if (gap <= tolerance * std::max(1.0, largest(wanted))) return;
    std::ostringstream out;
    out << what << ": largest gap " << gap << " where the largest value is " << largest(wanted);
    failed(out.str());
  }
  void compare_numbers(const std::string& what, double got, double wanted, double tolerance) {
    ++report_.checks;
    if (std::abs(got - wanted) <= tolerance) return;
    std::ostringstream out;
    out.precision(15);
    out << what << ": " << got << " against " << wanted << ", allowed gap " << tolerance;
    failed(out.str());
  }
  void failed(const std::string& what) {
    std::ostringstream out;
    out << "case '" << sample_.name << "', active inputs {";
    for (std::size_t i = 0; i < active_.size(); ++i) out << (i ? ", " : "") << active_[i];
    out << "}, key " << key_.value() << ": " << what;
    report_.failures.push_back(out.str());
  }

  const Case& sample_;
  const OpInfo& info_;
  Key key_;
  CheckReport& report_;
  std::vector<std::size_t> active_;
};

}  // namespace

void check_case(const Case& sample, const OpInfo& info, Key key, CheckReport& report) {
  try {
    CaseCheck(sample, info, key, report).run();
    check_batching(sample, info, key, report);
    check_linearize(sample, info, key, report);
    check_taylor(sample, info, key, report);
    check_sparse(sample, info, key, report);
  } catch (const std::exception& error) {
    ++report.checks;
    report.failures.push_back("case '" + sample.name + "', key " + std::to_string(key.value()) +
                              ": throws " + error.what());
  }
}

}  // namespace dualtape::detail
