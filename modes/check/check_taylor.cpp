// Taylor mode against forward mode nested in itself: what check_op does for every sample call.
#include <algorithm>
#include <cmath>
#include <sstream>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/check/check_case.hpp>
#include <dualtape/modes/forward.hpp>
#include <dualtape/modes/taylor.hpp>
#include <dualtape/modes/taylor/sums.hpp>
#include <dualtape/ops/arithmetic.hpp>

namespace dualtape::detail {
namespace {

constexpr std::size_t order = 3;

// One sample call in float64 whose active inputs move along x + v t + w t^2.
class TaylorCheck {
 public:
  TaylorCheck(const Case& sample, const OpInfo& info, std::vector<std::size_t> active, Key key,
              CheckReport& report)
      : sample_(sample), info_(info), active_(std::move(active)), key_(key), report_(report) {
    for (std::size_t i = 0; i < sample.args.size(); ++i) {
      const Arg& arg = sample.args[i];
      const DType dtype = is_floating(arg.dtype) ? float64 : arg.dtype;
      in_.push_back(fed("x" + std::to_string(i), draw(arg, key.fold(i), dtype)));
    }
    for (const std::size_t i : active_) {
      x_.push_back(in_[i]);
      v_.push_back(direction("v", i, 500));
      w_.push_back(direction("w", i, 600));
      twice_w_.push_back(mul(2.0, w_.back()));
    }
    for (const Var& out : sample.build(in_))
      if (out.dtype() == float64) out_.push_back(out);
  }

  void run() {
    if (out_.empty()) return;
    if (info_.kind == Kind::none) return must_refuse();
    const std::vector<std::vector<MaybeVar>> slopes = nested();
    const std::size_t found = slopes.size();  // orders that forward mode has
    std::vector<std::vector<MaybeVar>> paths;
    for (std::size_t i = 0; i < x_.size(); ++i) paths.push_back({v_[i], w_[i]});
    const auto series = taylor_all(out_, wrt(x_), paths, static_cast<int>(found));
    for (std::size_t k = 1; k <= found; ++k)
      for (std::size_t o = 0; o < out_.size(); ++o) compare(k, o, series[o][k], slopes[k - 1][o]);
    compare_all();
  }

 private:
  Var fed(const std::string& name, const Tensor& value) {
    const Var var = graph_.input(name, value.shape(), value.dtype());
    feeds_.emplace_back(var, value);
    return var;
  }
  Var direction(const std::string& name, std::size_t i, std::uint64_t stream) {
    return fed(name + std::to_string(i),
               uniform(key_.fold(stream + i), in_[i].shape(), -1, 1, float64));
  }
  static WrtList wrt(const std::vector<Var>& vars) { return {vars, Location{}}; }

  void must_refuse() {
    ++report_.checks;
    try {
      std::vector<std::vector<MaybeVar>> paths;
      for (const Var& v : v_) paths.push_back({v});
      taylor_all(out_, wrt(x_), paths, 2);
      failed("is not differentiable by declaration, but Taylor mode goes through");
    } catch (const DerivativeError&) {
    }
  }

  // d/dt, (d/dt)^2 ... of the outputs, as far as operators have them.
  std::vector<std::vector<MaybeVar>> nested() const {
    std::vector<Var> moving = x_, along = v_;
    moving.insert(moving.end(), v_.begin(), v_.end());
    along.insert(along.end(), twice_w_.begin(), twice_w_.end());
    std::vector<std::vector<MaybeVar>> found;
    std::vector<MaybeVar> now(out_.begin(), out_.end());
    for (std::size_t k = 1; k <= order; ++k) {
      std::vector<Var> present;
      for (const MaybeVar& var : now)
        if (var) present.push_back(*var);
      std::vector<MaybeVar> next;
      try {
        next = forward_all(present, wrt(moving), along);
      } catch (const DerivativeError&) {
        if (k == 1) throw;
        break;
      }
      std::size_t place = 0;
      for (MaybeVar& var : now)
        if (var) var = next[place++];
      found.push_back(now);
    }
    return found;
  }

  void compare(std::size_t k, std::size_t output, const MaybeVar& got, const MaybeVar& wanted) {
    ++report_.checks;
    if (!got && !wanted) return;
    const std::string what =
        "coefficient " + std::to_string(k) + " of output " + std::to_string(output);
    const Var none = mul(0.0, out_[output]);
    const Var right = wanted ? mul(1 / factorial(static_cast<std::int64_t>(k)), *wanted) : none;
    pairs_.push_back({what, got ? *got : none, right});
  }
  // All in one program.
  void compare_all() {
    std::vector<Var> vars;
    for (const Pair& pair : pairs_) {
      vars.push_back(pair.got);
      vars.push_back(pair.wanted);
    }
    if (vars.empty()) return;
    const Outputs values = compile(vars).run(feeds_);
    for (const auto& [what, got, wanted] : pairs_) {
      const auto a = values[got].data<double>(), b = values[wanted].data<double>();
      double largest = 1, gap = 0;
      for (std::size_t i = 0; i < a.size(); ++i) {
        if (a[i] == b[i] || (std::isnan(a[i]) && std::isnan(b[i]))) continue;
        largest = std::max(largest, std::abs(b[i]));
        gap = std::isfinite(a[i] - b[i]) ? std::max(gap, std::abs(a[i] - b[i])) : INFINITY;
      }
      if (gap <= 1e-10 * largest) continue;
      std::ostringstream out;
      out << what << " against nested forward mode: " << gap << " apart where the largest value is "
          << largest;
      failed(out.str());
    }
  }
  void failed(const std::string& what) {
    std::ostringstream out;
    out << "case '" << sample_.name << "', inputs that move {";
    for (std::size_t i = 0; i < active_.size(); ++i) out << (i ? ", " : "") << active_[i];
    out << "}, key " << key_.value() << ": Taylor mode: " << what;
    report_.failures.push_back(out.str());
  }

  struct Pair {
    std::string what;
    Var got, wanted;
  };

  const Case& sample_;
  const OpInfo& info_;
  std::vector<std::size_t> active_;
  Key key_;
  CheckReport& report_;
  Graph graph_;
  std::vector<Feed> feeds_;
  std::vector<Var> in_, out_;
  std::vector<Var> x_, v_, w_, twice_w_;  // of the active inputs
  std::vector<Pair> pairs_;
};

}  // namespace

void check_taylor(const Case& sample, const OpInfo& info, Key key, CheckReport& report) {
  std::vector<std::size_t> floating;
  for (std::size_t i = 0; i < sample.args.size(); ++i)
    if (is_floating(sample.args[i].dtype)) floating.push_back(i);
  if (floating.empty()) return;
  TaylorCheck(sample, info, floating, key, report).run();
  if (floating.size() == 1) return;
  for (const std::size_t i : floating) TaylorCheck(sample, info, {i}, key, report).run();
}

}  // namespace dualtape::detail
