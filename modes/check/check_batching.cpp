// Batching against a loop: what check_op does for every sample call.
#include <algorithm>
#include <cmath>
#include <sstream>

#include <dualtape/core/program.hpp>
#include <dualtape/modes/check/check_case.hpp>
#include <dualtape/modes/reverse.hpp>
#include <dualtape/modes/vmap.hpp>

namespace dualtape::detail {
namespace {

constexpr std::int64_t members = 3;

// One sample call with some inputs batched; the others are the same for all members.
class BatchCheck {
 public:
  BatchCheck(const Case& sample, const std::vector<bool>& batched, const OpInfo& info, Key key,
             CheckReport& report)
      : sample_(sample), batched_(batched), info_(info), key_(key), report_(report) {}

  void run() {
    compare("its value", [](std::span<const Var>, const std::vector<Var>& out) { return out; });
    if (info_.kind == Kind::none) return;
    compare("its vjp", [this](std::span<const Var> in, const std::vector<Var>& out) {
      return cotangents(in, out);
    });
    if (std::ranges::find(batched_, false) == batched_.end()) from_outside();
  }

 private:
  using Outputs = std::function<std::vector<Var>(std::span<const Var>, const std::vector<Var>&)>;

  Tensor value_of(std::size_t input, std::int64_t member) const {
    const Arg& arg = sample_.args[input];
    const auto m = static_cast<std::uint64_t>(batched_[input] ? member : 0);
    return draw(arg, key_.fold(input).fold(m), is_floating(arg.dtype) ? float64 : arg.dtype);
  }

  // The cotangents of all floating inputs where those of the outputs are their own values.
  std::vector<Var> cotangents(std::span<const Var> in, const std::vector<Var>& out) const {
    std::vector<Var> wrt, outputs;
    std::vector<MaybeVar> given;
    for (const Var& var : in)
      if (is_floating(var.dtype())) wrt.push_back(var);
    for (const Var& var : out)
      if (is_floating(var.dtype())) outputs.push_back(var);
    given.assign(outputs.begin(), outputs.end());
    std::vector<Var> found;
    if (wrt.empty() || outputs.empty()) return found;
    for (const MaybeVar& var : Linearized(outputs, wrt).transpose(given))
      if (var) found.push_back(*var);
    return found;
  }

  // What `outputs` makes of one member's call, for all members at once and for one after the other.
  void compare(const std::string& what, const Outputs& outputs) {
    const std::vector<Tensor> together = all_members(outputs);
    ++report_.checks;
    for (std::int64_t member = 0; member < members; ++member) {
      const std::vector<Tensor> alone = one_member(outputs, member);
      if (alone.size() != together.size()) return failed(what, "another count of results");
      for (std::size_t i = 0; i < alone.size(); ++i) {
        const std::string why = difference(together[i].row(member), alone[i]);
        if (!why.empty())
          return failed(
              what, "result " + std::to_string(i) + " of member " + std::to_string(member) + why);
      }
    }
  }
  // The vjp of the batched call is the batch of the call's vjps.
  void from_outside() {
    const auto call = [](std::span<const Var>, const std::vector<Var>& out) { return out; };
    const auto vjp = [this](std::span<const Var> in, const std::vector<Var>& out) {
      return cotangents(in, out);
    };
    const std::vector<Tensor> inside = all_members(vjp);
    const std::vector<Tensor> outside = all_members(call, vjp);
    ++report_.checks;
    if (inside.size() != outside.size()) return failed("its vjp from outside", "other results");
    for (std::size_t i = 0; i < inside.size(); ++i)
      if (const std::string why = difference(outside[i], inside[i]); !why.empty())
        return failed("its vjp from outside", "result " + std::to_string(i) + why);
  }
  // `after` is made of the batched call's inputs and results.
  std::vector<Tensor> all_members(const Outputs& outputs, const Outputs& after = nullptr) const {
    Graph graph;
    std::vector<Var> in;
    std::vector<Tensor> values;
    VmapOptions options;
    for (std::size_t i = 0; i < sample_.args.size(); ++i) {
      Tensor value = value_of(i, 0);
      if (batched_[i]) {
        Ints sizes = value.shape().vector();
        sizes.insert(sizes.begin(), members);
        Tensor all(Shape(sizes), value.dtype());
        for (std::int64_t m = 0; m < members; ++m) all.row(m).assign(value_of(i, m));
        value = all;
      }
      in.push_back(graph.input("x" + std::to_string(i), value.shape(), value.dtype()));
      values.push_back(value);
      options.in.push_back(batched_[i] ? BatchAxis(0) : std::nullopt);
    }
    const Batched batch(in, options, {"check_op", {}});
    const std::vector<Var> all =
        batch.for_all(outputs(batch.of_one(), sample_.build(batch.of_one())));
    return run(after ? after(in, all) : all, in, values);
  }
  std::vector<Tensor> one_member(const Outputs& outputs, std::int64_t member) const {
    Graph graph;
    std::vector<Var> in;
    std::vector<Tensor> values;
    for (std::size_t i = 0; i < sample_.args.size(); ++i) {
      values.push_back(value_of(i, member));
      in.push_back(
          graph.input("x" + std::to_string(i), values.back().shape(), values.back().dtype()));
    }
    return run(outputs(in, sample_.build(in)), in, values);
  }
  static std::vector<Tensor> run(const std::vector<Var>& outputs, const std::vector<Var>& in,
                                 const std::vector<Tensor>& values) {
    std::vector<Tensor> results;
    if (outputs.empty()) return results;
    std::vector<Feed> feeds;
    for (std::size_t i = 0; i < in.size(); ++i) feeds.emplace_back(in[i], values[i]);
    const dualtape::Outputs out = compile(outputs).run(feeds);
    for (const Var& var : outputs) results.push_back(out[var].copy());
    return results;
  }

  // "" where they agree: bits but for floats, which another order of sums may round differently.
  static std::string difference(const Tensor& got, const Tensor& wanted) {
    if (got.type() != wanted.type())
      return " is " + to_string(got.type()) + ", not " + to_string(wanted.type());
    if (identical(got, wanted)) return {};
    if (!is_floating(wanted.dtype())) return " has other numbers";
    const Tensor a = got.to(float64);
    const Tensor b = wanted.to(float64);
    double largest = 1, gap = 0;
    bool finite = true;
    for (std::size_t i = 0; i < a.data<double>().size(); ++i) {
      const double x = a.data<double>()[i], y = b.data<double>()[i];
      if (x == y || (std::isnan(x) && std::isnan(y))) continue;
      largest = std::max(largest, std::abs(y));
      finite = finite && std::isfinite(x - y);
      if (finite) gap = std::max(gap, std::abs(x - y));
      if (!finite) {
        std::ostringstream out;
        out << " is " << x << " where it should be " << y;
        return out.str();
      }
    }
    if (gap <= (wanted.dtype() == float32 ? 1e-5 : 1e-11) * largest) return {};
    std::ostringstream out;
    out << " is " << gap << " apart where the largest value is " << largest;
    return out.str();
  }
  void failed(const std::string& what, const std::string& why) {
    std::ostringstream out;
    out << "case '" << sample_.name << "', batched inputs {";
    bool first = true;
    for (std::size_t i = 0; i < batched_.size(); ++i)
      if (batched_[i]) out << (first ? "" : ", ") << i, first = false;
    out << "}, key " << key_.value() << ": batching " << what << ": " << why;
    report_.failures.push_back(out.str());
  }

  const Case& sample_;
  const std::vector<bool>& batched_;
  const OpInfo& info_;
  Key key_;
  CheckReport& report_;
};

// Every non-empty subset up to three inputs; above that each alone and all together.
std::vector<std::vector<bool>> subsets(std::size_t inputs) {
  std::vector<std::vector<bool>> all;
  if (inputs > 3) {
    for (std::size_t i = 0; i < inputs; ++i) {
      all.emplace_back(inputs);
      all.back()[i] = true;
    }
    all.emplace_back(inputs, true);
    return all;
  }
  for (std::size_t mask = 1; mask < (std::size_t{1} << inputs); ++mask) {
    all.emplace_back(inputs);
    for (std::size_t i = 0; i < inputs; ++i) all.back()[i] = ((mask >> i) & 1) != 0;
  }
  return all;
}

}  // namespace

void check_batching(const Case& sample, const OpInfo& info, Key key, CheckReport& report) {
  for (const std::vector<bool>& batched : subsets(sample.args.size()))
    BatchCheck(sample, batched, info, key, report).run();
}

}  // namespace dualtape::detail
