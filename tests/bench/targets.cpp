// The speed that is aimed at, and how near it is.
#include <algorithm>
#include <cmath>
#include <iomanip>
#include <optional>
#include <sstream>
#include <string_view>
#include <tuple>

#include <tests/bench/convolutions.hpp>
#include <tests/bench/own.hpp>
#include <tests/bench/peer.hpp>
#include <tests/bench/report.hpp>

namespace dualtape::bench {
namespace {

using Subjects = std::vector<Subject>;

enum class Measure : std::uint8_t {
  time,     // ours over the fastest of the others
  sum,      // ours over all of the others together
  pair,     // our two subjects' ratio over the two of each other
  peak,     // bytes over bytes
  speed,    // or bandwidth: at least so much of the other's
  ns,       // no more than so many
  ns_each,  // the same, of one item
};

struct Target {
  std::string what;
  Measure measure;
  double limit;
  Subjects ours;
  Subjects theirs;
  double unit = 1;  // of the ratio, or of the bytes where there are no others
};

Subject our(const std::string& workload, const std::string& mode) {
  return {workload, mode, "dualtape"};
}

void add_hand(std::vector<Target>& all) {
  for (const char* net : {"W2", "W2s"})
    for (const char* mode : {"base", "step_reverse", "step_forward_dense", "step_forward_rank1"})
      all.push_back({"over the best by hand",
                     Measure::time,
                     1.10,
                     {our(net, mode)},
                     {{net, mode, "hand-openblas"}, {net, mode, "hand-onednn"}}});
  // The floor below what is asked for against libtorch where that is out of reach.
  for (const char* net : {"chain16", "chain256"})
    all.push_back({"over the best by hand",
                   Measure::time,
                   1.10,
                   {our(net, "step_reverse")},
                   {{net, "step_reverse", "hand-openblas"}, {net, "step_reverse", "hand-onednn"}}});
  all.push_back({"peak bytes over the one by hand",
                 Measure::peak,
                 1.10,
                 {our("chain256", "jvp")},
                 {{"chain256", "jvp", "hand-openblas"}}});
}

void add_libtorch(std::vector<Target>& all) {
  struct Limit {
    const char* net;
    double limit;
  };
  for (const auto& [net, limit] : {Limit{"W1", 0.60},
                                   {"W2", 0.67},
                                   {"W2s", 0.55},
                                   {"W3", 0.65},
                                   {"W3s", 0.50},
                                   {"W4", 0.08},
                                   {"chain16", 0.45},
                                   {"chain256", 0.55}})
    all.push_back({"over libtorch",
                   Measure::time,
                   limit,
                   {our(net, "step_reverse")},
                   {{net, "step_reverse", "libtorch"}}});
  const auto forward = [&all](const char* net, const char* mode, double limit) {
    all.push_back(
        {"over libtorch's faster draw",
         Measure::time,
         limit,
         {our(net, mode)},
         {{net, "step_forward_dense", "libtorch"}, {net, "step_forward_normal", "libtorch"}}});
  };
  for (const auto& [net, limit] : {Limit{"W1", 0.40},
                                   {"W2", 0.40},
                                   {"W2s", 0.30},
                                   {"W3", 0.65},
                                   {"W3s", 0.50},
                                   {"W4", 0.08},
                                   {"chain256", 0.45}})
    forward(net, "step_forward_dense", limit);
  forward("W2", "step_forward_rank1", 0.22);
  forward("W2s", "step_forward_rank1", 0.17);
}

// Forward over backward step, ours over those by hand on one library.
void add_pairs(std::vector<Target>& all) {
  for (const char* mode : {"step_forward_rank1", "step_forward_dense"})
    for (const char* peer : {"hand-openblas", "hand-onednn"})
      all.push_back({"over step_reverse, " + std::string(peer),
                     Measure::pair,
                     1.05,
                     {our("W2", mode), our("W2", "step_reverse")},
                     {{"W2", mode, peer}, {"W2", "step_reverse", peer}}});
}

// Convolutions between others, where nothing is brought to another layout.
void add_convolutions(std::vector<Target>& all) {
  for (const ConvolutionCase& one : convolution_cases())
    for (const char* mode : {"forward", "input_gradient", "weight_gradient"}) {
      if (one.is_first() && mode == std::string_view("input_gradient")) continue;
      all.push_back({"of oneDNN's own speed",
                     Measure::speed,
                     0.9,
                     {our(one.name, mode)},
                     {{one.name, mode, "hand-onednn"}}});
    }
}

// Many directions, examples or applications at once, over as many one by one or what they are made
// of.
void add_batching(std::vector<Target>& all) {
  const auto one = [&all](const std::string& what, double limit, const Subject& ours,
                          const Subject& theirs, double unit = 1) {
    all.push_back({what, Measure::time, limit, {ours}, {theirs}, unit});
  };
  for (const auto& [net, dense, rank1] : {std::tuple{"W2", 0.9, 0.45}, {"W2s", 0.7, 0.2}}) {
    one("over 16 sweeps in a program", dense, our(net, "step_forward_dense_k16"),
        our(net, "sweeps_forward_dense_16"));
    // The floor of the line above: what is left where drawing and updating cost nothing.
    one("over 16 sweeps, 16 times", dense, our(net, "products_of_direction"),
        our(net, "sweeps_forward_dense_16"), 1.0 / 16);
    one("over 16 steps", rank1, our(net, "step_forward_rank1_k16"), our(net, "step_forward_rank1"),
        16);
  }
  all.push_back({"over gradient + copy",
                 Measure::sum,
                 1.3,
                 {our("W2s_modes", "gradients_of_examples")},
                 {our("W2s_modes", "gradient"), {"W2s_modes", "copy_of_gradients", "hand"}}});
  all.push_back({"peak bytes over the budget",
                 Measure::peak,
                 1.05,
                 {our("jacobian_1000x10", "jacobian_in_budget")},
                 {},
                 static_cast<double>(jacobian_budget)});
  for (const std::string end : {"", "_in_budget"})
    one("over its products", 1.3, our("jacobian_1000x10", "jacobian" + end),
        our("jacobian_1000x10", "products" + end));
  one("over the gradient", 2.5, our("W2s_modes", "hvp"), our("W2s_modes", "gradient"));
  one("over as many jvps", 0.6, our("W2s_modes", "linearized_100"), our("W2s_modes", "jvp_100"));
}

// Loops as nodes, over themselves with fewer steps or written out.
void add_loops(std::vector<Target>& all) {
  const auto one = [&all](const std::string& what, Measure measure, double limit, const char* ours,
                          const char* theirs) {
    all.push_back({what, measure, limit, {our("loops", ours)}, {our("loops", theirs)}});
  };
  all.push_back({"ns a step", Measure::ns_each, 60, {our("loops", "small_steps")}, {}});
  one("peak bytes over 10 steps'", Measure::peak, 1.0, "forward_10000", "forward_10");
  one("over 10 steps'", Measure::time, 1.1, "plan_10000", "plan_10");
  one("over the steps written out", Measure::time, 1.3, "ode_scan", "ode_unrolled");
  one("over the steps written out", Measure::time, 0.05, "ode_scan_from_scratch",
      "ode_unrolled_from_scratch");
  all.push_back({"over libtorch",
                 Measure::time,
                 0.6,
                 {our("lstm", "step_reverse")},
                 {{"lstm", "step_reverse", "libtorch"}}});
}

// Sums of high derivatives whose sum the planner takes first, over the same without.
void add_taylor(std::vector<Target>& all) {
  const auto one = [&all](const std::string& what, Measure measure, double limit,
                          const char* workload, const char* ours, const char* theirs) {
    all.push_back({what, measure, limit, {our(workload, ours)}, {our(workload, theirs)}});
  };
  one("over standard Taylor mode", Measure::time, 0.55, "laplacian_50", "collapsed", "standard");
  // The floor of the line above: 2 + D rows of products, over 1 + 2 D.
  one("over standard Taylor mode's", Measure::time, 0.55, "laplacian_50", "products",
      "products_standard");
  one("over forward over reverse", Measure::time, 0.50, "laplacian_50", "collapsed",
      "forward_over_reverse");
  one("peak bytes over forward over reverse", Measure::peak, 0.5, "laplacian_50", "collapsed",
      "forward_over_reverse");
  // The floor of the line above: a product's operand and result, for all directions.
  one("peak bytes over forward over reverse", Measure::peak, 0.5, "laplacian_50", "products",
      "forward_over_reverse");
  one("over standard Taylor mode", Measure::time, 0.8, "biharmonic_5", "collapsed", "standard");
  // The floor: 2 + 3 D^2 rows over 1 + 4 D^2.
  one("over standard Taylor mode's", Measure::time, 0.8, "biharmonic_5", "products",
      "products_standard");
  one("over nested forward mode", Measure::time, 0.2, "series_8", "series", "nested");
}

// One sparse Jacobian over so many evaluations of its function, and colours.
void add_sparsity(std::vector<Target>& all) {
  const auto one = [&all](const std::string& name, const std::string& what, double evaluations) {
    all.push_back({"over " + what + " evaluations",
                   Measure::time,
                   1.0,
                   {our("sparsity", name + "_jacobian")},
                   {our("sparsity", name)},
                   evaluations});
  };
  one("brusselator", "(colours + 2)", 14);
  one("bratu", "5", 5);
  one("broyden", "5", 5);
  // The floor of the line above: as many bytes as its entries, its seeds and its places are.
  all.push_back({"over 5 evaluations",
                 Measure::time,
                 1.0,
                 {our("sparsity", "broyden_copy")},
                 {our("sparsity", "broyden")},
                 5});
  // Counts, told as bytes are.
  all.push_back({"colours over ColPack's best",
                 Measure::peak,
                 1.1,
                 {our("sparsity", "colours")},
                 {our("sparsity", "colours_colpack")}});
}

std::vector<Target> targets() {
  std::vector<Target> all;
  add_hand(all);
  add_libtorch(all);
  add_pairs(all);
  add_convolutions(all);
  add_batching(all);
  add_loops(all);
  add_taylor(all);
  add_sparsity(all);
  all.push_back({"of memcpy's bandwidth",
                 Measure::speed,
                 0.8,
                 {our("elementwise16M", "chain10")},
                 {{"elementwise16M", "memcpy", "hand"}}});
  for (const char* rows : {"softmax_64x1000", "layer_norm_64x1000", "cross_entropy_64x1000",
                           "softmax_4096x1024", "layer_norm_4096x1024", "cross_entropy_4096x1024"})
    all.push_back({"over a loop by hand",
                   Measure::time,
                   1.15,
                   {our(rows, "base")},
                   {{rows, "base", "hand"}}});
  all.push_back({"peak bytes over libtorch",
                 Measure::peak,
                 0.9,
                 {our("W2", "step_reverse")},
                 {{"W2", "step_reverse", "libtorch"}}});
  all.push_back({"peak bytes over libtorch",
                 Measure::peak,
                 0.25,
                 {our("chain256", "jvp")},
                 {{"chain256", "jvp", "libtorch"}}});
  // The whole step, directions included: what is drawn again need not be kept.
  all.push_back({"peak bytes over libtorch",
                 Measure::peak,
                 0.25,
                 {our("chain256", "step_forward_replay")},
                 {{"chain256", "step_forward_dense", "libtorch"}}});
  all.push_back({"over ADOL-C's replay",
                 Measure::time,
                 0.5,
                 {our("beale", "reverse")},
                 {{"beale", "reverse", "adolc"}}});
  all.push_back({"ns a step", Measure::ns_each, 30, {our("dispatch", "chain_unfused")}, {}});
  all.push_back({"ms to plan", Measure::ns, 20e6, {our("plan", "mlp30_step_reverse")}, {}});
  all.push_back({"ms to plan", Measure::ns, 1e9, {our("plan", "mixed100k")}, {}});
  return all;
}

struct Result {
  double value = 0;
  double low = 0, high = 0;  // quartiles
};

const std::vector<double>* samples(const Figures& figures, const Subject& subject) {
  const auto found = figures.ns.find(subject);
  return found == figures.ns.end() ? nullptr : &found->second;
}

// The fastest of those measured; empty if none was.
std::optional<Subject> fastest(const Figures& figures, const Subjects& subjects) {
  std::optional<Subject> best;
  double least = HUGE_VAL;
  for (const Subject& subject : subjects)
    if (const auto* taken = samples(figures, subject); taken != nullptr && median(*taken) < least) {
      least = median(*taken);
      best = subject;
    }
  return best;
}

Result summary(const std::vector<double>& ratios) {
  return {median(ratios), quantile(ratios, 0.25), quantile(ratios, 0.75)};
}

// Round by round, so that what disturbs a round disturbs both sides.
Result ratio_of(const std::vector<double>& a, const std::vector<double>& b, double unit = 1) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    ratios.push_back(a[i] / b[i] / unit);
  return summary(ratios);
}

std::optional<Result> pair_ratio(const Figures& figures, const Target& target) {
  std::vector<double> ratios;
  const auto* a = samples(figures, target.ours[0]);
  const auto* b = samples(figures, target.ours[1]);
  const auto* c = samples(figures, target.theirs[0]);
  const auto* d = samples(figures, target.theirs[1]);
  if (a == nullptr || b == nullptr || c == nullptr || d == nullptr) return std::nullopt;
  for (std::size_t i = 0; i < std::min({a->size(), b->size(), c->size(), d->size()}); ++i)
    ratios.push_back((*a)[i] / (*b)[i] / ((*c)[i] / (*d)[i]));
  return summary(ratios);
}

std::optional<Result> sum_ratio(const Figures& figures, const Target& target) {
  std::vector<double> all;
  for (const Subject& subject : target.theirs) {
    const auto* taken = samples(figures, subject);
    if (taken == nullptr) return std::nullopt;
    if (all.empty()) all.resize(taken->size());
    all.resize(std::min(all.size(), taken->size()));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] += (*taken)[i];
  }
  const auto* mine = samples(figures, target.ours[0]);
  return mine == nullptr ? std::nullopt : std::optional(ratio_of(*mine, all));
}

std::optional<Result> peak_ratio(const Figures& figures, const Target& target) {
  const auto a = figures.peak_bytes.find(target.ours[0]);
  if (target.theirs.empty()) {
    if (a == figures.peak_bytes.end()) return std::nullopt;
    const double ratio = a->second / target.unit;
    return Result{ratio, ratio, ratio};
  }
  const auto b = figures.peak_bytes.find(target.theirs[0]);
  if (a == figures.peak_bytes.end() || b == figures.peak_bytes.end()) return std::nullopt;
  const double ratio = a->second / b->second;
  return Result{ratio, ratio, ratio};
}

std::optional<Result> evaluate(const Figures& figures, const Target& target) {
  if (target.measure == Measure::pair) return pair_ratio(figures, target);
  if (target.measure == Measure::sum) return sum_ratio(figures, target);
  if (target.measure == Measure::peak) return peak_ratio(figures, target);
  const auto* mine = samples(figures, target.ours[0]);
  if (mine == nullptr) return std::nullopt;
  if (target.theirs.empty()) {
    Result found = summary(*mine);
    double unit = 1;
    if (target.measure == Measure::ns_each) unit = figures.items.at(target.ours[0]);
    return Result{found.value / unit, found.low / unit, found.high / unit};
  }
  const auto rival = fastest(figures, target.theirs);
  if (!rival) return std::nullopt;
  const std::vector<double>& other = *samples(figures, *rival);
  return target.measure == Measure::speed ? ratio_of(other, *mine)
                                          : ratio_of(*mine, other, target.unit);
}

}  // namespace

std::vector<Judged> judge(const Figures& figures) {
  std::vector<Judged> all;
  for (const Target& target : targets()) {
    Judged one;
    one.workload = target.ours[0].workload;
    one.mode = target.ours[0].mode;
    one.what = target.what;
    one.limit = target.limit;
    one.scale = target.measure == Measure::ns ? 1e-6 : 1;
    one.at_least = target.measure == Measure::speed;
    if (const auto found = evaluate(figures, target)) {
      one.value = found->value;
      one.low = found->low;
      one.high = found->high;
    }
    all.push_back(std::move(one));
  }
  return all;
}

int print_targets(std::ostream& out, const Figures& figures) {
  out << "\nTargets: medians of ratios taken round by round, with their quartiles\n";
  int missed = 0;
  for (const Judged& target : judge(figures)) {
    if (!target.value) continue;
    if (!target.held()) ++missed;
    out << std::left << std::setw(24) << target.workload << std::setw(20) << target.mode
        << std::setw(35) << target.what << std::right << (target.at_least ? " >= " : " <= ")
        << std::setw(6) << target.limit * target.scale << std::fixed << std::setprecision(3)
        << std::setw(10) << *target.value * target.scale << "  [" << target.low * target.scale
        << ", " << target.high * target.scale << "]  " << (target.held() ? "held" : "MISSED")
        << '\n'
        << std::defaultfloat << std::setprecision(6);
  }
  return missed;
}

}  // namespace dualtape::bench
