// The kinds of operators: how an author declares one.
//
// An operator is described by a plain struct and made callable by wrapping it in its kind:
//
//   struct Softsign {
//     static constexpr auto name = "softsign";
//     static constexpr auto doc = "x / (1 + |x|)";
//     static auto formula(auto x) { return x / (1 + abs(x)); }
//     static dt::Factor partial(dt::Var x, dt::Var y) { return dt::square(1 - dt::abs(y)); }
//     static auto sample() { return dt::domain(-3, 3).avoid(0); }
//   };
//   inline constexpr dt::Elementwise<Softsign> softsign;
//
// Every descriptor has `name` and `doc`, and may have `math`, `example`, `tolerance` and `edges`
// (the right numbers where random samples never look; core/case.hpp), `defaults`, see
// Op::defaults(), and all but those with a formula `shift` or `batch`, see Op::shift(). Beyond
// that:
//   Elementwise        formula (its first `mask_inputs` operands being truth values), partial (or
//                      `partial = dt::derive`), sample
//   Linear, Bilinear   infer, apply or kernel, transpose, cases
//   General            infer, apply or kernel, jvp, cases
//   ZeroDerivative     formula and sample, or infer, apply/kernel and cases; reason
//   NotDifferentiable  infer, apply or kernel, cases, reason
// A missing piece does not compile and the message says what is missing. Wrapped operators are
// constants and may be called from any thread (on different graphs).
#pragma once

#include <array>
#include <concepts>
#include <initializer_list>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <dualtape/core/formula.hpp>
#include <dualtape/core/kept.hpp>
#include <dualtape/core/op.hpp>
#include <dualtape/core/registry.hpp>

namespace dualtape {

// As `static constexpr auto partial = dt::derive;`: the partial derivatives come from the formula.
struct Derive {};
inline constexpr Derive derive{};

namespace detail {

template <class D>
concept Named = requires {
  { D::name } -> std::convertible_to<std::string_view>;
  { D::doc } -> std::convertible_to<std::string_view>;
};

template <class D>
concept HasFormula = (formula_arity<D> != 0);

template <class D>
concept Derives = requires {
  { D::partial } -> std::convertible_to<Derive>;
};
template <class D>
concept PartialOfOne = requires(Var v) {
  { D::partial(v, v) } -> std::convertible_to<Factor>;
};
template <class D>
concept PartialOfMany = requires(std::size_t i, std::span<const Var> in, Var y) {
  { D::partial(i, in, y) } -> std::convertible_to<Factor>;
};
template <class D>
concept Sampled = requires {
  { D::sample() } -> std::convertible_to<Domain>;
}
|| requires {
  { D::sample()[0] } -> std::convertible_to<Domain>;
};
template <class D>
concept HasCases = requires {
  { D::cases() } -> std::convertible_to<std::vector<Case>>;
};
template <class D>
concept HasEdges = requires {
  { D::edges() } -> std::convertible_to<std::vector<Edge>>;
};
template <class D>
std::vector<Edge> edges_of() {
  if constexpr (HasEdges<D>)
    return D::edges();
  else
    return {};
}
template <class D>
concept Infers = requires(Inference& inference) {
  D::infer(inference);
};
template <class D>
concept Applies = requires(std::span<const Tensor> in, std::span<Tensor> out, const Attributes& a) {
  D::apply(in, out, a);
};
template <class D>
concept HasKernel = requires(const KernelRequest& request) {
  { D::kernel(request) } -> std::convertible_to<Kernel>;
};
template <class D>
concept HasCost = requires(const KernelRequest& request) {
  { D::cost(request) } -> std::convertible_to<Cost>;
};
template <class D>
concept TransposesOne = requires(const NodeView& node, std::size_t i, Var cotangent) {
  { D::transpose(node, i, cotangent) } -> std::convertible_to<MaybeVar>;
};
template <class D>
concept TransposesMany = requires(const NodeView& n, std::size_t i, std::span<const MaybeVar> c) {
  { D::transpose(n, i, c) } -> std::convertible_to<MaybeVar>;
};
template <class D>
concept JvpOfOne = requires(const NodeView& node, std::span<const MaybeVar> tangents) {
  { D::jvp(node, tangents) } -> std::convertible_to<MaybeVar>;
};
template <class D>
concept JvpOfMany = requires(const NodeView& node, std::span<const MaybeVar> tangents) {
  { D::jvp(node, tangents) } -> std::convertible_to<std::vector<MaybeVar>>;
};
template <class D>
concept Reasoned = requires {
  { D::reason } -> std::convertible_to<std::string_view>;
};

template <class D>
consteval void check_named() {
  static_assert(Named<D>,
                "dualtape: an operator needs `static constexpr auto name = \"...\";` and "
                "`static constexpr auto doc = \"...\";`");
}
template <class D>
consteval void check_runs() {
  static_assert(Infers<D>,
                "dualtape: this kind of operator needs `static void infer(dt::Inference& "
                "inference)`, which puts one dt::Type per output into inference.out");
  static_assert(Applies<D> || HasKernel<D>,
                "dualtape: this kind of operator needs `static void apply(std::span<const "
                "dt::Tensor> in, std::span<dt::Tensor> out, const dt::Attributes&)`");
  static_assert(HasCases<D>,
                "dualtape: this kind of operator needs `static std::vector<dt::Case> cases()`, the "
                "sample calls that check_op runs");
}

template <class D>
OpInfo info_of(Kind kind) {
  OpInfo info;
  info.name = D::name;
  info.doc = D::doc;
  info.kind = kind;
  if constexpr (requires { D::math; }) info.math = D::math;
  if constexpr (requires { D::example; }) info.example = D::example;
  if constexpr (requires { D::tolerance; }) info.tolerance = D::tolerance;
  if constexpr (requires { D::tolerance32; }) info.tolerance32 = D::tolerance32;
  if constexpr (Reasoned<D>) info.reason = D::reason;
  if constexpr (requires { D::by_definition; }) info.by_definition = D::by_definition;
  return info;
}

// What formulas share, whatever the descriptor: inference by broadcasting, the kernel from the
// recording, sample calls from the domains. In core/tile/elementwise.cpp.
void infer_elementwise(Inference& inference, const Recording& recording);
Kernel elementwise_kernel(const Recording& recording, const KernelRequest& request);
std::vector<Case> elementwise_cases(const Op& op, std::vector<Domain> domains);
Kernel kernel_from_apply(void (*apply)(std::span<const Tensor>, std::span<Tensor>,
                                       const Attributes&),
                         const KernelRequest& request);

template <class D>
const Recording& recording_of() {
  static const Kept<Recording> recording(record_formula<D>());
  return recording.value;
}

// An operator described by a formula.
template <class D, Kind kind_>
class FormulaOp : public Op {
 public:
  const OpInfo& info() const override {
    static const OpInfo info = info_of<D>(kind_);
    return info;
  }
  Promotion promotion() const override {
    if constexpr (requires { D::promotion; })
      return D::promotion;
    else
      return Promotion::common_floating;
  }
  void infer(Inference& inference) const override {
    inference.require_count(formula_arity<D>);
    infer_elementwise(inference, recording_of<D>());
  }
  Kernel kernel(const KernelRequest& request) const override {
    return elementwise_kernel(recording_of<D>(), request);
  }
  std::vector<Case> cases() const override {
    if constexpr (HasCases<D>) {
      return D::cases();
    } else {
      std::vector<Domain> domains;
      if constexpr (std::convertible_to<decltype(D::sample()), Domain>)
        domains.push_back(D::sample());
      else
        for (const Domain& domain : D::sample()) domains.push_back(domain);
      return elementwise_cases(*this, std::move(domains));
    }
  }
  std::vector<Edge> edges() const override { return edges_of<D>(); }
  bool in_place(std::size_t, std::size_t) const override { return true; }
  bool linear_in(const NodeView& node, std::span<const bool> active) const override {
    if constexpr (requires { D::linear_in(active); })
      return D::linear_in(active);
    else
      return Op::linear_in(node, active);
  }
  const Recording* recording() const override { return &recording_of<D>(); }
};

template <class D>
class ElementwiseOp : public FormulaOp<D, Kind::elementwise> {
 public:
  bool derives_partials() const override { return Derives<D>; }
  Factor partial(const NodeView& node, std::size_t i) const override {
    if constexpr (PartialOfOne<D>)
      return D::partial(node.in[0], node.out.empty() ? Var{} : node.out[0]);
    else if constexpr (PartialOfMany<D>)
      return D::partial(i, node.in, node.out.empty() ? Var{} : node.out[0]);
    else
      return Op::partial(node, i);
  }
};

// An operator described by infer and apply (or a planned kernel).
template <class D, Kind kind_>
class PlainOp : public Op {
 public:
  const OpInfo& info() const override {
    static const OpInfo info = info_of<D>(kind_);
    return info;
  }
  Promotion promotion() const override {
    if constexpr (requires { D::promotion; })
      return D::promotion;
    else
      return Promotion::none;
  }
  Attributes defaults() const override {
    if constexpr (requires { D::defaults(); })
      return D::defaults();
    else
      return Op::defaults();
  }
  void infer(Inference& inference) const override { D::infer(inference); }
  Kernel kernel(const KernelRequest& request) const override {
    if constexpr (HasKernel<D>)
      return D::kernel(request);
    else
      return kernel_from_apply(&D::apply, request);
  }
  Cost cost(const KernelRequest& request) const override {
    if constexpr (HasCost<D>)
      return D::cost(request);
    else
      return Op::cost(request);
  }
  std::vector<Case> cases() const override { return D::cases(); }
  std::vector<Edge> edges() const override { return edges_of<D>(); }
  const Shift* shift() const override {
    if constexpr (requires { D::shift; })
      return &D::shift;
    else
      return Op::shift();
  }
  std::optional<std::vector<Var>> batch(const BatchView& view) const override {
    if constexpr (requires { Var(D::batch(view)); })
      return std::vector<Var>{D::batch(view)};
    else if constexpr (requires { D::batch(view); })
      return D::batch(view);
    else {
      static_assert(
          !requires { &D::batch; },
          "dualtape: a batching rule is `static dt::Var batch(const dt::BatchView& "
          "view)`, or returns a std::vector<dt::Var>, one for each output");
      return std::nullopt;
    }
  }
  bool is_alias() const override {
    if constexpr (requires { D::is_alias; })
      return D::is_alias;
    else
      return false;
  }
  bool is_random() const override {
    if constexpr (requires { D::is_random; })
      return D::is_random;
    else
      return false;
  }
  Slice slice(const KernelRequest& request) const override {
    if constexpr (requires { D::slice(request); })
      return D::slice(request);
    else
      return Op::slice(request);
  }
  bool in_place(std::size_t i, std::size_t o) const override {
    if constexpr (requires { D::in_place(i, o); })
      return D::in_place(i, o);
    else
      return Op::in_place(i, o);
  }
  bool can_fail() const override {
    if constexpr (requires { D::can_fail; })
      return D::can_fail;
    else
      return Op::can_fail();
  }
  bool linear_in(const NodeView& node, std::span<const bool> active) const override {
    if constexpr (requires { D::linear_in(active); })
      return D::linear_in(active);
    else
      return Op::linear_in(node, active);
  }
};

template <class D, Kind kind_>
class TransposableOp : public PlainOp<D, kind_> {
 public:
  MaybeVar transpose(const NodeView& node, std::size_t i,
                     std::span<const MaybeVar> cotangents) const override {
    if constexpr (TransposesMany<D>)
      return D::transpose(node, i, cotangents);
    else
      return cotangents[0] ? MaybeVar(D::transpose(node, i, *cotangents[0])) : std::nullopt;
  }
  std::vector<MaybeVar> transpose_all(const NodeView& node, const std::vector<bool>& wanted,
                                      std::span<const MaybeVar> cotangents) const override {
    if constexpr (requires { D::transpose_all(node, wanted, cotangents); })
      return D::transpose_all(node, wanted, cotangents);
    else
      return Op::transpose_all(node, wanted, cotangents);
  }
};

template <class D>
class GeneralOp : public PlainOp<D, Kind::general> {
 public:
  std::vector<MaybeVar> jvp(const NodeView& node,
                            std::span<const MaybeVar> tangents) const override {
    if constexpr (JvpOfMany<D>)
      return D::jvp(node, tangents);
    else
      return {MaybeVar(D::jvp(node, tangents))};
  }
};

// The callable every kind shares: one operator, registered when first used.
template <class Implementation>
class Callable {
 public:
  static const Op& op() {
    static const Kept<Implementation> implementation;
    static const bool registered = (register_op(implementation.value), true);
    static_cast<void>(registered);
    return implementation.value;
  }
  Var operator()(In a, Attributes attributes = {}) const {
    return apply(op(), {a}, std::move(attributes));
  }
  Var operator()(In a, In b, Attributes attributes = {}) const {
    return apply(op(), {a, b}, std::move(attributes));
  }
  Var operator()(In a, In b, In c, Attributes attributes = {}) const {
    return apply(op(), {a, b, c}, std::move(attributes));
  }
  Var operator()(std::initializer_list<In> inputs, Attributes attributes = {}) const {
    return apply(op(), inputs, std::move(attributes));
  }
};

}  // namespace detail

// out = f(in...) element by element, with broadcasting. `partial(x, y)` for one input, or
// `partial(i, in, y)`: the derivative of y by in[i] as a graph expression or a literal.
template <class D>
class Elementwise : public detail::Callable<detail::ElementwiseOp<D>> {
  static consteval bool check() {
    detail::check_named<D>();
    static_assert(
        detail::HasFormula<D>,
        "dualtape: an Elementwise operator needs `static auto formula(auto x)` (or of two "
        "or three numbers); if it has one, the error above tells what is wrong in it");
    static_assert(detail::Derives<D> || detail::PartialOfOne<D> || detail::PartialOfMany<D>,
                  "dualtape: an Elementwise operator needs its derivative: `static dt::Factor "
                  "partial(dt::Var x, dt::Var y)`, or for several inputs `static dt::Factor "
                  "partial(std::size_t i, std::span<const dt::Var> in, dt::Var y)`, or `static "
                  "constexpr auto partial = dt::derive;`");
    static_assert(detail::Derives<D> || detail::PartialOfMany<D> || formula_arity<D> == 1,
                  "dualtape: a formula of several inputs needs `static dt::Factor "
                  "partial(std::size_t i, std::span<const dt::Var> in, dt::Var y)`");
    static_assert(detail::Sampled<D> || detail::HasCases<D>,
                  "dualtape: an Elementwise operator needs `static auto sample()`, the domain (or "
                  "std::array of domains, one an input) its inputs may be drawn from");
    return true;
  }
  static_assert(check());
};

// Linear in the inputs that `linear_in(active)` accepts (default: all of them together), given the
// others. `transpose(node, i, cotangent)` gives the cotangent of in[i].
template <class D>
class Linear : public detail::Callable<detail::TransposableOp<D, Kind::linear>> {
  static consteval bool check() {
    detail::check_named<D>();
    detail::check_runs<D>();
    static_assert(detail::TransposesOne<D> || detail::TransposesMany<D>,
                  "dualtape: a Linear operator needs `static dt::Var transpose(const dt::NodeView& "
                  "node, std::size_t i, dt::Var cotangent)`");
    return true;
  }
  static_assert(check());
};

// Linear in each of two inputs while the other is held.
template <class D>
class Bilinear : public detail::Callable<detail::TransposableOp<D, Kind::bilinear>> {
  static consteval bool check() {
    detail::check_named<D>();
    detail::check_runs<D>();
    static_assert(
        detail::TransposesOne<D> || detail::TransposesMany<D>,
        "dualtape: a Bilinear operator needs `static dt::Var transpose(const dt::NodeView& "
        "node, std::size_t i, dt::Var cotangent)` for i = 0 and 1");
    return true;
  }
  static_assert(check());
};

// Anything else that is differentiable: the tangent of the output written with other operators,
// linear in the tangents given (an absent tangent is zero).
template <class D>
class General : public detail::Callable<detail::GeneralOp<D>> {
  static consteval bool check() {
    detail::check_named<D>();
    detail::check_runs<D>();
    static_assert(detail::JvpOfOne<D> || detail::JvpOfMany<D>,
                  "dualtape: a General operator needs `static dt::MaybeVar jvp(const dt::NodeView& "
                  "node, std::span<const dt::MaybeVar> tangents)`");
    return true;
  }
  static_assert(check());
};

// Piecewise constant or independent of its inputs' values: every derivative is zero.
template <class D>
class ZeroDerivative
    : public detail::Callable<
          std::conditional_t<detail::HasFormula<D>, detail::FormulaOp<D, Kind::zero_derivative>,
                             detail::PlainOp<D, Kind::zero_derivative>>> {
  static consteval bool check() {
    detail::check_named<D>();
    if constexpr (!detail::HasFormula<D>) detail::check_runs<D>();
    static_assert(detail::Reasoned<D>,
                  "dualtape: a ZeroDerivative operator needs `static constexpr auto reason = "
                  "\"...\";`, why its derivative is zero");
    return true;
  }
  static_assert(check());
};

// Differentiating through it is an error that gives the reason.
template <class D>
class NotDifferentiable : public detail::Callable<detail::PlainOp<D, Kind::none>> {
  static consteval bool check() {
    detail::check_named<D>();
    detail::check_runs<D>();
    static_assert(detail::Reasoned<D>,
                  "dualtape: a NotDifferentiable operator needs `static constexpr auto reason = "
                  "\"...\";`, which the error gives");
    return true;
  }
  static_assert(check());
};

// Adds a composite function's entry: documentation and checks for a plain function of Vars.
template <class D>
void register_composite() {
  detail::check_named<D>();
  static_assert(detail::HasCases<D>,
                "dualtape: a composite needs `static std::vector<dt::Case> cases()`");
  register_composite(Entry{detail::info_of<D>(Kind::composite), [] { return D::cases(); }, nullptr,
                           [] { return detail::edges_of<D>(); }});
}

}  // namespace dualtape
