// Taylor mode against forward mode nested in itself: what check_op does for every sample call.
#include <algorithm>
#include <cmath>
#include <optional>
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
    std::vector<std::vector<Tensor>> wanted;
    std::size_t found = slopes.size();  // orders that forward mode has here
    for (; found > 0 && wanted.empty(); --found) wanted = values_of(slopes, found);
    found = wanted.size();
    std::vector<std::vector<MaybeVar>> paths;
    for (std::size_t i = 0; i < x_.size(); ++i) paths.push_back({v_[i], w_[i]});
    const auto series = taylor_all(out_, wrt(x_), paths, static_cast<int>(found));
    std::vector<std::vector<MaybeVar>> terms(found);
    for (std::size_t k = 1; k <= found; ++k)
      for (std::size_t o = 0; o < out_.size(); ++o) terms[k - 1].push_back(series[o][k]);
    const auto got = values_of(terms, found);
    if (got.empty()) return failed("its program fails where nested forward mode's does not");
    for (std::size_t k = 1; k <= found; ++k)
      for (std::size_t o = 0; o < out_.size(); ++o) compare(k, o, got[k - 1][o], wanted[k - 1][o]);
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

  // Zeros where there is none; nothing if the program fails for more than the first order, as one
  // with the third derivative of a determinant does at a singular matrix.
  std::vector<std::vector<Tensor>> values_of(const std::vector<std::vector<MaybeVar>>& all,
                                             std::size_t orders) const {
    std::vector<Var> vars;
    for (std::size_t k = 0; k < orders; ++k)
      for (const MaybeVar& var : all[k])
        if (var) vars.push_back(*var);
    std::optional<Outputs> values;
    try {
      if (!vars.empty()) values = compile(vars).run(feeds_);
    } catch (const Error&) {
      if (orders == 1) throw;
      return {};
    }
    std::vector<std::vector<Tensor>> found(orders);
    for (std::size_t k = 0; k < orders; ++k)
      for (std::size_t o = 0; o < all[k].size(); ++o)
        found[k].push_back(all[k][o] ? (*values)[*all[k][o]].copy()
                                     : zeros(out_[o].shape(), out_[o].dtype()));
    return found;
  }

  // Forward mode gives derivatives, a series those over k!.
  void compare(std::size_t k, std::size_t output, const Tensor& got, const Tensor& derivative) {
    ++report_.checks;
    const auto a = got.data<double>(), d = derivative.data<double>();
    double largest = 1, gap = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double b = d[i] / factorial(static_cast<std::int64_t>(k));
      if (a[i] == b || (std::isnan(a[i]) && std::isnan(b))) continue;
      largest = std::max(largest, std::abs(b));
      gap = std::isfinite(a[i] - b) ? std::max(gap, std::abs(a[i] - b)) : INFINITY;
    }
    if (gap <= 1e-10 * largest) return;
    std::ostringstream out;
    out << "coefficient " << k << " of output " << output << " against nested forward mode: " << gap
        << " apart where the largest value is " << largest;
    failed(out.str());
  }
  void failed(const std::string& what) {
    std::ostringstream out;
    out << "case '" << sample_.name << "', inputs that move {";
    for (std::size_t i = 0; i < active_.size(); ++i) out << (i ? ", " : "") << active_[i];
    out << "}, key " << key_.value() << ": Taylor mode: " << what;
    report_.failures.push_back(out.str());
  }

  const Case& sample_;
  const OpInfo& info_;
  std::vector<std::size_t> active_;
  Key key_;
  CheckReport& report_;
  Graph graph_;
  std::vector<Feed> feeds_;
  std::vector<Var> in_, out_;
  std::vector<Var> x_, v_, w_, twice_w_;  // of the active inputs
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
